//! What the judgement must know besides the bytes.

use crate::families::Families;
use crate::triage::{
    footer::{FooterQuestion, FooterReading},
    judge::Facts,
    pattern::{Rule, as_rule, library},
};

/// Facts from the end of a disk and from its names.
#[must_use]
pub fn facts(
    footer: Option<&FooterReading>,
    question: &FooterQuestion,
    families: &Families,
    size: u64,
) -> Facts {
    let original = footer.map_or(size, |f| f.original_size_bytes);
    let mut facts = Facts { library: library(families, original), ..Facts::default() };
    if let Some(first) = question.named.first() {
        facts.attacked = Some(format!("named after {first}"));
    }
    let Some(reading) = footer else { return facts };
    if reading.appended_bytes() == 0 {
        if question.whole_sectors && question.expected_bytes.is_none() {
            facts.shorter = shorter(families, size);
        }
        return facts;
    }
    facts.original_bytes = Some(reading.original_size_bytes);
    facts.footer.clone_from(&reading.evidence);
    facts.attacked.get_or_insert_with(|| {
        if reading.is_proven() {
            "a locker's footer at its end".to_owned()
        } else if reading.layers.is_empty() {
            "bytes behind its last whole sector".to_owned()
        } else {
            "random bytes of a known footer's length behind its last sector".to_owned()
        }
    });
    for prediction in reading.layers.iter().filter_map(|layer| layer.prediction.as_ref()) {
        // What the footer states is one more rule to hold against the bytes.
        facts.library.extend(as_rule(prediction));
    }
    facts
}

/// What known footers of whole sectors would leave of `size`, with the rules over that.
fn shorter(families: &Families, size: u64) -> Vec<(u64, Vec<Rule>)> {
    let footers = families.all().iter().flat_map(|family| &family.footers);
    let mut lengths: Vec<u64> = footers
        .filter(|form| form.magic.is_none() && form.geometry.is_none())
        .filter_map(|form| form.length_bytes)
        .filter(|length| *length > 0 && length.is_multiple_of(512) && *length < size)
        .collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths.into_iter().map(|length| (size - length, library(families, size - length))).collect()
}
