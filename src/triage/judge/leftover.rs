//! Random-like bytes between a rule's runs, looked at by themselves.
//!
//! The pass sums eight blocks at a time, so compressed data beside a run looks random with it.
//! Once the rule has said where the run ends, what lies beyond can be summed alone.

use std::ops::Range;

use super::{
    assemble::Reasons,
    runs::{Run, State},
    survey::{Survey, Tone},
};
use crate::{
    finding::EvidenceKind,
    source::Source,
    triage::{edges, pattern::Rule},
};

/// How far the tone of a block looks to either side.
const TONE_REACH: u64 = 32 * 1024;
/// Bytes read for this at most.
const MOST_BYTES: u64 = 64 << 20;
/// Bytes looked at of one stretch.
const PIECE_BYTES: u64 = 1 << 20;

/// The stretches off `rule` that are compressed.
pub(super) fn compressed(
    source: &dyn Source,
    survey: &Survey,
    rule: &Rule,
    size: u64,
    reasons: &mut Reasons,
) -> Vec<Run> {
    let why = reasons.add(
        EvidenceKind::Pattern,
        0..size,
        "off the damage rule, and by itself not as even as ciphertext: compressed",
    );
    let mut out = Vec::new();
    let mut left = MOST_BYTES;
    for piece in survey.pieces.iter().filter(|p| p.tone == Tone::Random && p.start < size) {
        let is_packed =
            |at: Option<u64>| at.and_then(|at| survey.tone_at(at)) == Some(Tone::Packed);
        for range in off(rule, &piece.range(), size) {
            let cut = (range.start > piece.start, range.end < piece.end);
            let beside = cut.0 && is_packed(Some(range.end))
                || cut.1 && is_packed(range.start.checked_sub(1));
            let length = range.end - range.start;
            if !beside || length > TONE_REACH {
                let looked = length.min(PIECE_BYTES);
                if left < looked {
                    return out;
                }
                left -= looked;
                if length > PIECE_BYTES || !edges::is_uneven(source, &range) {
                    continue;
                }
            }
            out.push(Run::new(range, State::Intact, why));
        }
    }
    out
}

/// What of `range` no run of the rule covers.
fn off(rule: &Rule, range: &Range<u64>, size: u64) -> Vec<Range<u64>> {
    let mut all = Vec::new();
    let mut at = range.start;
    for run in rule.ranges(range.clone(), size) {
        if at < run.start {
            all.push(at..run.start.min(range.end));
        }
        at = at.max(run.end);
    }
    if at < range.end.min(size) {
        all.push(at..range.end.min(size));
    }
    all
}
