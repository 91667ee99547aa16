//! What lies round the edges of random-like segments.

use super::{
    assemble::Reasons,
    runs::{Run, State},
    segments::Segment,
    survey::{Survey, Tone},
};
use crate::{
    finding::EvidenceKind,
    triage::{
        edges::Edge,
        pattern::{Rule, RuleKind},
    },
};

/// Block length.
const BLOCK: u64 = 4096;
/// Edges that no rule places are seen this exactly at best.
pub(super) const OUTER_DOUBT: u64 = 64;

/// Where a segment's edge lies inside a block: the ciphertext's part of the plaintext block is
/// no longer plaintext, and the other way round. `size` is where the disk ends.
pub(super) fn edge_runs(
    survey: &Survey,
    segments: &[Segment],
    rule: Option<&Rule>,
    size: u64,
    reasons: &mut Reasons,
) -> Vec<Run> {
    let all = 0..size;
    let cut = reasons.add(
        EvidenceKind::Statistic,
        all.clone(),
        "byte-level change point between plaintext and random-like bytes",
    );
    let hidden = reasons.add(
        EvidenceKind::Statistic,
        all,
        "borders on random-like bytes; the edge could lie anywhere in this block",
    );
    let mut made = Made { out: Vec::new() };
    for segment in segments {
        // Where the rule puts an edge that the bytes allow, nothing is left to doubt.
        let ruled = |at: u64, seen: Option<Edge>| {
            rule.filter(|r| r.kind != RuleKind::Lattice).is_some_and(|rule| {
                let near = at.saturating_sub(2 * BLOCK)..at + 2 * BLOCK;
                let mut edges = rule.ranges(near, size).flat_map(|r| [r.start, r.end]);
                edges.any(|edge| match seen {
                    Some(seen) => edge + OUTER_DOUBT >= seen.low && edge <= seen.high + OUTER_DOUBT,
                    None => edge.abs_diff(at) <= BLOCK,
                })
            })
        };
        let plain = |at: u64| {
            survey.tone_at(at).is_some_and(|t| matches!(t, Tone::Plain | Tone::Packed | Tone::Zero))
        };
        if segment.start > 0 && !ruled(segment.start, segment.first) {
            match segment.first {
                Some(edge) => {
                    let low = edge.low.saturating_sub(OUTER_DOUBT);
                    let high = (edge.high + OUTER_DOUBT).max(segment.start.min(edge.high + BLOCK));
                    made.put(Run::new(low..high, State::Undetermined, cut));
                }
                None => {
                    let before = segment.start.saturating_sub(BLOCK);
                    if plain(before) {
                        made.put(Run::new(before..segment.start, State::Undetermined, hidden));
                    }
                }
            }
        }
        if segment.end < size && !ruled(segment.end, segment.last) {
            match segment.last {
                Some(edge) => {
                    let low = edge.low.saturating_sub(OUTER_DOUBT).min(segment.end);
                    let high = (edge.high + OUTER_DOUBT).min(size);
                    made.put(Run::new(low..high, State::Undetermined, cut));
                }
                None => {
                    let after = (segment.end + BLOCK).min(size);
                    if plain(segment.end) {
                        made.put(Run::new(segment.end..after, State::Undetermined, hidden));
                    }
                }
            }
        }
    }
    made.out
}

struct Made {
    out: Vec<Run>,
}

impl Made {
    /// Two edges can meet in one block between two segments.
    fn put(&mut self, mut run: Run) {
        run.start = self.out.last().map_or(run.start, |last| run.start.max(last.end));
        if run.start < run.end {
            self.out.push(run);
        }
    }
}
