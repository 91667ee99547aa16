//! What the judgement must know besides the bytes.

use crate::triage::{
    footer::{FooterQuestion, FooterReading},
    judge::Facts,
};

/// Most runs of a stated rule that are listed.
const MOST_STATED: usize = 1 << 20;

/// Facts from the end of a disk and from its names.
#[must_use]
pub fn facts(footer: Option<&FooterReading>, question: &FooterQuestion) -> Facts {
    let mut facts = Facts::default();
    if let Some(first) = question.named.first() {
        facts.attacked = Some(format!("named after {first}"));
    }
    let Some(reading) = footer else { return facts };
    if reading.layers.is_empty() {
        return facts;
    }
    facts.original_bytes = Some(reading.original_size_bytes);
    facts.footer.clone_from(&reading.evidence);
    if reading.is_proven() {
        facts.attacked.get_or_insert_with(|| "a locker's footer at its end".to_owned());
    }
    for prediction in reading.layers.iter().filter_map(|layer| layer.prediction.as_ref()) {
        facts.stated.push(prediction.ranges(MOST_STATED));
    }
    facts
}
