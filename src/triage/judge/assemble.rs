//! The judgement itself: layers laid over each other.

use std::ops::Range;

use super::{
    DamageMap, Facts, JudgeOptions, ecb, edge, explained, leftover, loose,
    packed::Packed,
    placed, rule,
    runs::{Run, State, overlay, push},
    second,
    segments::segments,
    shorter,
    survey::{Survey, Tone},
};
use crate::{
    finding::{Evidence, EvidenceKind, Finding, Weight},
    source::Source,
    triage::{
        lanes::{self, FoundLattice, Testimony},
        leaks,
        pattern::{Rule, RuleKind},
        quick,
        structure::{self, Walks},
    },
};

/// Why bytes that may be ciphertext are not called so.
const UNEXPLAINED: &str =
    "random-like (chi-square 182 to 340 per 4 KiB), and neither a structure nor a rule explains it";

/// Why bytes that do not look encrypted are not called intact.
const UNTOLD: &str = "compressed or rich throughout, without empty space: encryption of a few bytes \
                      in each period (64 in 192 or 6400, 16 in 32) would not show";

/// Evidence on the way to the map.
pub(super) struct Reasons(Vec<Evidence>);

impl Reasons {
    pub(super) fn add(
        &mut self,
        kind: EvidenceKind,
        range: Range<u64>,
        detail: impl Into<String>,
    ) -> usize {
        self.0.push(Evidence {
            kind,
            offset_bytes: range.start,
            length_bytes: range.end.saturating_sub(range.start),
            detail: detail.into(),
        });
        self.0.len() - 1
    }
}

/// Judges a disk from what the pass found; reads again only where it must look closer.
#[must_use]
pub fn judge(
    source: &dyn Source,
    survey: Survey,
    facts: &Facts,
    options: JudgeOptions,
) -> DamageMap {
    let original = facts.original_bytes.unwrap_or(survey.size_bytes).min(survey.size_bytes);
    let walks = Walks::new(source, original, options.no_unpack);
    judge_after(source, survey, facts, options, &walks)
}

/// The same where some of the structure was followed before.
#[must_use]
pub fn judge_after(
    source: &dyn Source,
    survey: Survey,
    facts: &Facts,
    options: JudgeOptions,
    walks: &Walks,
) -> DamageMap {
    let size = survey.size_bytes;
    let original = facts.original_bytes.unwrap_or(size).min(size);
    let mut reasons = Reasons(facts.footer.clone());
    let mut findings = Vec::new();
    let period = leaks::key_stream_period(source, &survey, &facts.path);
    // Under a key stream that repeats, sums over several blocks say nothing.
    let survey = if period.is_some() { survey.unsummed() } else { survey };
    let owners = quick::owner_encrypted(source, original);
    // Whoever waits for a long container to be followed reads islands meanwhile.
    let (containers, islands) = rayon::join(
        || structure::explain(source, &survey, original, walks),
        || lanes::Seen::read(source, &survey, original),
    );
    let survey = &survey.retoned(&explained::tones(&owners, &containers));
    let islands = islands.outside_ciphertext(survey);
    let mut lattice = lanes::find(source, survey, &islands, original);
    let mut segments = segments(source, survey, original);
    let mut rule = rule::find(survey, &segments, lattice.as_ref(), facts, original);
    let mut original = original;
    let mut library = &facts.library;
    if lattice.is_none()
        && let Some(found) = shorter::find(source, survey, facts)
        && rule.is_none_or(|rule| rule.run == 0 || rule.score < found.rule.score)
    {
        original = found.size_bytes;
        library = facts.shorter.iter().find(|s| s.0 == original).map_or(library, |s| &s.1);
        segments = found.segments;
        rule = Some(found.rule);
    }
    let mut untold = None;
    // A rule shows what the attack was.
    if rule.is_none() && !options.strict {
        match lanes::testimony(source, survey, original) {
            Testimony::Seen(found) if facts.attacked.is_some() => {
                rule = rule::find(survey, &segments, Some(&found), facts, original);
                lattice = Some(found);
            }
            Testimony::Denied => {}
            open => {
                untold = Some(reasons.add(EvidenceKind::Statistic, 0..original, UNTOLD));
                if let Testimony::Seen(found) = open {
                    findings.push(lattice_finding(&found, facts));
                }
            }
        }
    }
    let second = lattice.as_ref().and_then(|_| second::find(survey, &segments, facts, original));
    let off_lattice = lattice
        .as_ref()
        .filter(|_| !options.strict && second.is_none())
        .map(|found| found.sure.clone());

    let mut runs = base(survey, rule.as_ref(), (options, untold), &mut reasons);
    if let Some(rule) = rule.filter(|r| r.run > 0 && r.kind != RuleKind::Lattice && !options.strict)
    {
        let found = leftover::compressed(source, survey, &rule, original, &mut reasons);
        runs = overlay(runs, found);
    }
    if let Some(sure) = off_lattice {
        runs = second::off_lattice(runs, survey, &segments, &sure, &mut reasons);
    }
    runs = overlay(
        runs,
        explained::contradicted(
            survey,
            &containers,
            rule.as_ref(),
            lattice.as_ref(),
            original,
            &mut reasons,
        ),
    );
    runs = overlay(
        runs,
        explained::owner_runs(survey, &owners, &containers, (options, untold), &mut reasons),
    );
    let edges_by = second.as_ref().or(rule.as_ref());
    runs = overlay(runs, edge::edge_runs(survey, &segments, edges_by, original, &mut reasons));
    if let Some(rule) = &rule {
        let placed = match rule.kind {
            RuleKind::Lattice => &Rule { run: 0, ..*rule },
            _ => rule,
        };
        let is_known = library.iter().any(|known| known.has_same_comb(placed));
        let placed = (placed, is_known);
        runs = overlay(
            runs,
            placed::rule_runs(source, survey, placed, &segments, original, &mut reasons),
        );
    }
    if let Some(second) = &second {
        let is_known = library.iter().any(|known| known.has_same_comb(second));
        let placed = (second, is_known);
        runs = overlay(
            runs,
            placed::rule_runs(source, survey, placed, &segments, original, &mut reasons),
        );
    }
    if let Some(found) = &lattice {
        runs = placed::with_lattice(runs, found, &mut reasons, original);
        runs = overlay(runs, placed::repeated_head(found, &mut reasons));
    }
    if let Some(found) = &lattice {
        findings.extend(leaks::same_bytes(found, &facts.path));
    }
    if let Some(found) = lanes::loose(&islands, lattice.as_ref()) {
        let hiding = loose::hiding(source, survey, &runs, &found, &mut reasons);
        runs = overlay(runs, hiding);
        findings.push(loose::finding(&found, facts));
    }
    findings.extend(period);
    if let Some(found) = ecb::find(source, survey, original) {
        runs = overlay(runs, ecb::runs(survey, &found, facts, &mut reasons));
        findings.push(ecb::finding(&found, facts));
    }
    if options.no_unpack {
        let packed = Packed::of(survey);
        let untold = packed.untold(survey, &runs, &mut reasons);
        runs = overlay(runs, untold);
        findings.extend(packed.finding(&runs, facts));
    }
    if original < size {
        let why = reasons.add(
            EvidenceKind::Footer,
            original..size,
            "appended to the disk by the locker; no part of the disk",
        );
        runs = overlay(runs, vec![Run::new(original..size, State::Encrypted, why)]);
    }
    DamageMap {
        size_bytes: size,
        original_bytes: original,
        runs,
        rule,
        unexplained: reasons.0.iter().position(|reason| reason.detail == UNEXPLAINED),
        evidence: reasons.0,
        findings,
    }
}

fn lattice_finding(found: &FoundLattice, facts: &Facts) -> Finding {
    Finding {
        code: "map.lattice-suspected".to_owned(),
        weight: Weight::Note,
        path: facts.path.clone(),
        offset_bytes: Some(found.lattice.origin),
        what: format!(
            "{} bytes of every {} look random, and those between do not, in {} of {} stretches looked \
             at: a locker's work, or records that hold keys or hashes",
            found.lattice.run, found.lattice.period, found.islands, found.looked
        ),
        next: Some(
            "hold it against a copy from before, or look at the bytes themselves".to_owned(),
        ),
    }
}

/// What each piece is without any rule.
fn base(
    survey: &Survey,
    rule: Option<&Rule>,
    (options, untold): (JudgeOptions, Option<usize>),
    reasons: &mut Reasons,
) -> Vec<Run> {
    let all = 0..survey.size_bytes;
    let mut why = |kind, detail: &str| reasons.add(kind, all.clone(), detail);
    let zero = why(EvidenceKind::Statistic, "all bytes zero");
    let absent = why(EvidenceKind::Structure, "nothing allocated here; reads as zero");
    let unreadable = why(EvidenceKind::Statistic, "the medium did not give these bytes");
    let plain = why(
        EvidenceKind::Statistic,
        "byte values far from uniform (chi-square per 4 KiB above 470 or below 120; ciphertext has 255 ± 23)",
    );
    let packed = why(
        EvidenceKind::Statistic,
        "compressed: chi-squares of every 32 KiB around sum to more than ciphertext's could (1 in 10^9)",
    );
    let off_rule = why(
        EvidenceKind::Pattern,
        "off the damage rule, and not uniform over the whole run: compressed",
    );
    let unexplained = why(EvidenceKind::Statistic, UNEXPLAINED);
    let walked =
        why(EvidenceKind::Structure, "parts of a container lead over it by the lengths they state");
    let proven = why(EvidenceKind::Structure, "inside a container whose checksum over it is right");
    let owner = why(
        EvidenceKind::Structure,
        "inside a volume or file that its owner encrypted: looks the same damaged or not",
    );
    // Strictly, only what is proven is intact.
    let likely = |evidence: usize| match untold {
        Some(untold) => (State::Undetermined, untold),
        None if options.strict => (State::Undetermined, evidence),
        None => (State::Intact, evidence),
    };
    let mut runs = Vec::with_capacity(survey.pieces.len());
    for piece in &survey.pieces {
        let (state, evidence) = match piece.tone {
            Tone::Absent => (State::Absent, absent),
            Tone::Zero => (State::Zero, zero),
            Tone::Unreadable => (State::Unreadable, unreadable),
            Tone::Plain => likely(plain),
            Tone::Packed => likely(packed),
            Tone::Walked => likely(walked),
            Tone::Proven => (State::Intact, proven),
            Tone::Owner => (State::Undetermined, owner),
            Tone::Doubtful if rule.is_some_and(|r| r.run > 0) && !options.strict => {
                (State::Intact, off_rule)
            }
            Tone::Doubtful | Tone::Random => (State::Undetermined, unexplained),
        };
        push(&mut runs, Run::new(piece.range(), state, evidence));
    }
    runs
}
