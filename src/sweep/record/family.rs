//! Families of lockers, by what points to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    catalog::Index,
    families::{self, SuffixMeaning},
    report::record::{Basis, Confidence, FamilyHit},
    sweep::judge::Judgements,
};

/// Lines that a family's entry quotes as what it rests on.
const MAX_RESTS_ON: usize = 8;

#[derive(Default)]
struct Traces {
    basis: Option<Basis>,
    confidence: Option<Confidence>,
    rests_on: Vec<String>,
    files: BTreeSet<u32>,
}

fn sure(confidence: families::Confidence) -> Confidence {
    match confidence {
        families::Confidence::Low => Confidence::Low,
        families::Confidence::Medium => Confidence::Medium,
        families::Confidence::High => Confidence::High,
    }
}

/// Families by what points to them: footers, notes, then names.
pub(super) fn family_hits(index: &Index<'_>, judgements: &Judgements) -> Vec<FamilyHit> {
    let mut traces: BTreeMap<String, Traces> = BTreeMap::new();
    let mut add = |family: &str, basis: Basis, confidence: Confidence, why: String, file: u32| {
        let trace = traces.entry(family.to_owned()).or_default();
        trace.basis = Some(trace.basis.map_or(basis, |known| known.min(basis)));
        trace.confidence = Some(trace.confidence.map_or(confidence, |known| known.max(confidence)));
        trace.files.insert(file);
        if trace.rests_on.len() < MAX_RESTS_ON && !trace.rests_on.contains(&why) {
            trace.rests_on.push(why);
        }
    };
    for (id, file) in index.iter() {
        for suffix in file.name.suffixes.iter().filter(|s| s.meaning == SuffixMeaning::Known) {
            for family in &suffix.families {
                let why =
                    format!("suffix {}: {}", String::from_utf8_lossy(&suffix.text), family.why);
                // A suffix is chosen freely; a name alone is never sure.
                let confidence = sure(family.confidence).min(Confidence::Medium);
                add(&family.family, Basis::Name, confidence, why, id.0);
            }
        }
        if let Some(footer) = judgements.disk(id).and_then(|disk| disk.content.footer.as_ref()) {
            for layer in footer.layers.iter().filter(|_| footer.is_proven()) {
                for hint in &layer.families {
                    let why = format!("footer: {}", hint.rests_on);
                    add(&hint.family, Basis::Footer, sure(hint.confidence), why, id.0);
                }
            }
        }
    }
    for (id, note) in &judgements.notes {
        for hint in &note.families {
            // Where each note lies stands in the list of notes.
            add(&hint.family, Basis::Note, sure(hint.confidence), hint.rests_on.clone(), id.0);
        }
    }
    let mut hits: Vec<FamilyHit> = traces
        .into_iter()
        .map(|(name, trace)| FamilyHit {
            name,
            confidence: trace.confidence.unwrap_or(Confidence::Low),
            basis: trace.basis.unwrap_or(Basis::Name),
            rests_on: trace.rests_on,
            files: trace.files.len() as u64,
        })
        .collect();
    hits.sort_by(|a, b| {
        (a.basis, std::cmp::Reverse(a.confidence), std::cmp::Reverse(a.files), &a.name).cmp(&(
            b.basis,
            std::cmp::Reverse(b.confidence),
            std::cmp::Reverse(b.files),
            &b.name,
        ))
    });
    hits
}
