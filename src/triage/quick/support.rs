//! What speaks, besides the statistics, for an attack; and which family it fits.

use super::{
    disk::Seen,
    verdict::{DiskContext, FamilyNaming},
};
use crate::{
    families::{Confidence, FamilyHint, SuffixMeaning},
    finding::{Evidence, EvidenceKind},
    triage::footer::FooterProof,
};

/// Supports named in a reason.
const SUPPORTS_SAID: usize = 2;

/// Independent supports, weighed.
#[derive(Debug, Default)]
pub(super) struct Support {
    pub(super) evidence: Vec<Evidence>,
    /// Each proves an attack together with random-like data.
    strong: Vec<String>,
    /// Two of these do.
    medium: Vec<String>,
    pub(super) is_footer_proven: bool,
    pub(super) is_renamed: bool,
    /// Whether the name alone proves an attack: it says nothing of the bytes.
    pub(super) is_name_alone: bool,
    /// Whether the stated or seen damage is too fine for block statistics.
    pub(super) has_lattice: bool,
    /// Signs of encryption finer than blocks.
    pub(super) fine: Vec<String>,
    /// Whether a medium support concerns this very file, not its surroundings.
    is_own: bool,
}

impl Support {
    /// Whether one support is enough.
    pub(super) fn proves(&self) -> bool {
        !self.strong.is_empty()
    }

    /// Whether several together are: the surroundings alone tip only where the head, which every
    /// known family damages first, looks random.
    pub(super) fn tips(&self, head_random: bool) -> bool {
        self.proves()
            || self.medium.len() >= 2 && (self.is_own || head_random)
            || !self.medium.is_empty() && head_random
    }

    /// The supports in words, the strongest first; a reason stays one sentence, and all of them
    /// stand in the evidence.
    pub(super) fn say(&self) -> String {
        let all: Vec<&str> = self.strong.iter().chain(&self.medium).map(String::as_str).collect();
        match all.get(..SUPPORTS_SAID) {
            Some(first) if all.len() > SUPPORTS_SAID + 1 => {
                format!("{}, and {} more signs", first.join("; "), all.len() - SUPPORTS_SAID)
            }
            _ => all.join("; "),
        }
    }

    /// The same as an addition to a sentence, empty where nothing speaks for an attack.
    pub(super) fn suspicion(&self) -> String {
        let words = self.say();
        if words.is_empty() { words } else { format!("; for an attack speaks: {words}") }
    }
}

pub(super) fn collect(seen: &Seen, context: &DiskContext) -> Support {
    let mut found = Support::default();
    footer(&mut found, seen);
    suffixes(&mut found, seen, context);
    for evidence in &seen.structures.destroyed {
        found.strong.push(at(evidence));
        found.evidence.push(evidence.clone());
    }
    for evidence in &seen.structures.suspicious {
        found.medium.push(at(evidence));
        found.evidence.push(evidence.clone());
    }
    found.evidence.extend(seen.structures.damaged.iter().cloned());
    found.evidence.extend(seen.structures.doubtful.iter().cloned());
    found.evidence.extend(seen.structures.intact.iter().cloned());
    if let Some(fit) = &seen.fit {
        let detail = format!(
            "{} random-like samples lie on one rule ({}), weight {:.0} nats; it fits {}",
            fit.on_runs,
            fit.detail,
            fit.nats,
            std::iter::once(&fit.family).chain(&fit.others).cloned().collect::<Vec<_>>().join(", ")
        );
        found.strong.push(format!("damage placed by a rule: {}", fit.detail));
        found.evidence.push(Evidence {
            kind: EvidenceKind::Pattern,
            offset_bytes: 0,
            length_bytes: seen.size,
            detail,
        });
    }
    found.fine = fine(seen);
    found.medium.extend(found.fine.iter().cloned());
    let named = context.suffixes.iter().filter(|one| one.meaning == SuffixMeaning::Known).count();
    found.is_name_alone = found.strong.len() == named && found.fine.is_empty();
    if context.note_in_folder {
        found.medium.push("a ransom note lies in its folder".to_owned());
        found.evidence.push(Evidence {
            kind: EvidenceKind::Note,
            offset_bytes: 0,
            length_bytes: 0,
            detail: "a ransom note lies in the folder".to_owned(),
        });
    }
    if context.siblings_hit > 0 {
        let words = format!("{} other files of its machine are encrypted", context.siblings_hit);
        found.evidence.push(Evidence {
            kind: EvidenceKind::Companion,
            offset_bytes: 0,
            length_bytes: 0,
            detail: words.clone(),
        });
        found.medium.push(words);
    }
    found
}

fn at(evidence: &Evidence) -> String {
    format!("{} at {:#x}", evidence.detail, evidence.offset_bytes)
}

fn footer(found: &mut Support, seen: &Seen) {
    let Some(footer) = &seen.footer else { return };
    found.evidence.extend(footer.evidence.iter().cloned());
    for layer in &footer.layers {
        let names: Vec<&str> = layer.families.iter().map(|hint| hint.family.as_str()).collect();
        let whose = if names.is_empty() { "unknown".to_owned() } else { names.join(" or ") };
        let words = format!("footer of {} bytes ({whose})", layer.length_bytes);
        if layer.proof > FooterProof::Length {
            found.is_footer_proven = true;
            found.strong.push(words);
        } else {
            found.is_own = true;
            found.medium.push(words);
        }
        found.has_lattice |= layer.prediction.as_ref().is_some_and(|prediction| {
            prediction.combs.iter().any(|comb| comb.run_bytes < 4096)
                || prediction.encrypted_bytes() < prediction.size_bytes / 1000
        });
    }
    if footer.layers.is_empty() && footer.appended_bytes() > 0 {
        found.is_own = true;
        found
            .medium
            .push(format!("{} bytes stand behind the last whole sector", footer.appended_bytes()));
    }
}

fn suffixes(found: &mut Support, seen: &Seen, context: &DiskContext) {
    for suffix in &context.suffixes {
        let text = String::from_utf8_lossy(&suffix.text).escape_debug().to_string();
        let words = match suffix.meaning {
            SuffixMeaning::Known => {
                let names: Vec<&str> =
                    suffix.families.iter().map(|family| family.family.as_str()).collect();
                format!("suffix {text} ({})", names.join(", "))
            }
            SuffixMeaning::PerVictimRule => format!("suffix {text}, as made for one victim"),
            SuffixMeaning::Unknown => format!("unknown suffix {text}"),
            SuffixMeaning::Sidecar | SuffixMeaning::Ordinary => continue,
        };
        found.is_renamed = true;
        found.is_own = true;
        found.evidence.push(Evidence {
            kind: EvidenceKind::Name,
            offset_bytes: 0,
            length_bytes: seen.size,
            detail: words.clone(),
        });
        if suffix.meaning == SuffixMeaning::Known {
            found.strong.push(words);
        } else {
            found.medium.push(words);
        }
    }
}

/// Signs of encryption finer than any block, in words: dense stretches at equal distance in zeros,
/// and lanes that look random beside lanes that do not.
fn fine(seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    let islands: u64 = seen.samples.iter().map(|sample| u64::from(sample.islands)).sum();
    let blocks: u64 = seen.samples.iter().map(|sample| u64::from(sample.blocks)).sum();
    let with = seen.samples.iter().filter(|sample| sample.islands >= 4).count();
    // In a lattice of 64 bytes in 6,400 most zero blocks of a sample hold one.
    if seen.has_islands && with >= 8 && islands * 4 > blocks.min(with as u64 * 16) {
        found.push(format!(
            "{islands} dense stretches of at most 256 bytes in blocks that are else zero"
        ));
    }
    if let Some((distance, stretches)) = seen.weave {
        found.push(format!(
            "in {stretches} stretches of 32 KiB dense pieces lie {distance} bytes apart with plain \
             ones between"
        ));
    }
    let equal = seen.samples.iter().filter(|sample| sample.has_equal_units).count();
    if equal >= 8 && equal * 20 >= seen.samples.len() {
        found.push(format!(
            "in {equal} samples the same 16 dense bytes fill much of a block, as ciphers that repeat \
             themselves leave of equal plaintext"
        ));
    }
    let lanes = seen.samples.iter().filter(|sample| sample.has_lanes).count();
    // Tables of hashes have such lanes too, but not in one sample of twenty.
    if lanes >= 8 && lanes * 20 >= seen.samples.len() {
        found.push(format!(
            "in {lanes} samples bytes at equal distance look random and their neighbours do not"
        ));
    }
    found
}

/// Names the family that most speaks for, where a verdict of encryption stands.
pub(super) fn name_family(
    seen: &Seen,
    context: &DiskContext,
    is_hit: bool,
) -> Option<FamilyNaming> {
    if !is_hit {
        return None;
    }
    let mut hints: Vec<(u32, FamilyHint)> = Vec::new();
    for layer in seen.footer.iter().flat_map(|footer| &footer.layers) {
        let weight = match layer.proof {
            FooterProof::Checked => 8,
            FooterProof::Magic => 6,
            FooterProof::Length => 1,
        };
        hints.extend(layer.families.iter().map(|hint| (weight, hint.clone())));
    }
    for suffix in &context.suffixes {
        let weight = match suffix.meaning {
            SuffixMeaning::Known => 4,
            SuffixMeaning::PerVictimRule => 1,
            SuffixMeaning::Sidecar | SuffixMeaning::Ordinary | SuffixMeaning::Unknown => continue,
        };
        let text = String::from_utf8_lossy(&suffix.text).escape_debug().to_string();
        hints.extend(suffix.families.iter().map(|family| {
            let rests_on = format!("suffix {text}: {}", family.why);
            let confidence = family.confidence;
            (weight, FamilyHint { family: family.family.clone(), rests_on, confidence })
        }));
    }
    hints.extend(context.note_families.iter().map(|hint| (3, hint.clone())));
    if let Some(fit) = &seen.fit {
        let rests_on = format!("damage placed by its rule ({})", fit.detail);
        for name in std::iter::once(&fit.family).chain(&fit.others) {
            hints.push((
                3,
                FamilyHint {
                    family: name.clone(),
                    rests_on: rests_on.clone(),
                    confidence: Confidence::Medium,
                },
            ));
        }
    }
    strongest(&hints)
}

/// The family with the greatest sum; none where the best one rests on a bare shape or length.
fn strongest(hints: &[(u32, FamilyHint)]) -> Option<FamilyNaming> {
    let mut sums: Vec<(u32, &str)> = Vec::new();
    for (weight, hint) in hints {
        match sums.iter_mut().find(|(_, name)| *name == hint.family) {
            Some((sum, _)) => *sum += weight,
            None => sums.push((*weight, &hint.family)),
        }
    }
    // Stable: among equals the one seen first.
    sums.sort_by_key(|(sum, _)| std::cmp::Reverse(*sum));
    let (best, name) = sums.first().copied()?;
    let is_tie = sums.get(1).is_some_and(|(second, _)| *second == best);
    // A bare shape or length names nobody, and neither does a rule that two families share.
    if best < 3 || best == 3 && is_tie {
        return None;
    }
    let fits: Vec<&FamilyHint> =
        hints.iter().map(|(_, hint)| hint).filter(|hint| hint.family == name).collect();
    Some(FamilyNaming {
        name: name.to_owned(),
        rests_on: fits.iter().map(|hint| hint.rests_on.clone()).collect(),
        confidence: fits.iter().map(|hint| hint.confidence).max()?,
        others: sums.iter().skip(1).take(8).map(|(_, name)| (*name).to_owned()).collect(),
    })
}
