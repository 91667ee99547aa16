//! Disks with a footer of whole sectors behind them: their length does not give it away, but a
//! known rule that follows from the length before the attack does.

use super::{
    Facts, rule,
    segments::{Segment, segments},
    survey::Survey,
};
use crate::{
    source::Source,
    triage::{footer, pattern::Rule},
};
use vmglean_formats::ByteOffset;

/// A rule of the library over a shorter disk that the bytes bear out.
pub(super) struct Found {
    /// Bytes without the footer.
    pub(super) size_bytes: u64,
    /// The segments up to there.
    pub(super) segments: Vec<Segment>,
    /// The rule.
    pub(super) rule: Rule,
}

/// The best of the rules over the sizes in question.
pub(super) fn find(source: &dyn Source, survey: &Survey, facts: &Facts) -> Option<Found> {
    let mut best: Option<Found> = None;
    for (size, library) in &facts.shorter {
        let length = usize::try_from(survey.size_bytes.checked_sub(*size)?).ok()?;
        let appended = source.read_up_to(ByteOffset(*size), length).ok()?;
        if appended.len() != length || !footer::looks_random(&appended) {
            continue;
        }
        let segments = segments(source, survey, *size);
        let shorter = Facts {
            library: library.clone(),
            original_bytes: Some(*size),
            shorter: Vec::new(),
            ..facts.clone()
        };
        let Some(rule) = rule::find(survey, &segments, None, &shorter, *size) else { continue };
        let is_known = library.iter().any(|l| (l.run, l.period) == (rule.run, rule.period));
        if rule.run > 0 && is_known && best.as_ref().is_none_or(|b| rule.score > b.rule.score) {
            best = Some(Found { size_bytes: *size, segments, rule });
        }
    }
    best
}
