//! What each predicted run is worth, in nats against "no rule".

use std::ops::Range;

use super::SeenRun;
use crate::triage::{
    edges::Edge,
    judge::{Survey, Tone},
};

/// A whole block that cannot be ciphertext where the rule wants it.
pub(super) const CONTRADICTED: f64 = -25.0;
/// A ciphertext-like block where the rule wants it, or where it wants none.
const BLOCK_NATS: f64 = 0.15;
/// What the blocks of one run or gap may weigh together.
const MOST_BLOCK_NATS: f64 = 12.0;
/// An edge that is seen well enough to lie elsewhere.
const EDGE_ELSEWHERE: f64 = -5.0;
/// What one edge may weigh.
const MOST_EDGE_NATS: f64 = 9.0;
/// What a run may be worth at most: both edges, and the blocks.
pub(super) const MOST_NATS: f64 = 2.0 * MOST_EDGE_NATS + MOST_BLOCK_NATS;
/// Half of the neighbourhood in which edges are counted for their chance of agreeing.
const NEIGHBOURHOOD: u64 = 2 << 20;
/// Block length.
pub(super) const BLOCK: u64 = 4096;
/// Compressed over 32 KiB, or parts of a container that lead on: a shorter run could hide in it, a longer one could not.
pub(in crate::triage) const LONGEST_HIDDEN: u64 = 16 * BLOCK;

/// Edges that are seen, in order.
#[derive(Debug, Default)]
pub(super) struct Edges {
    /// First edges of runs.
    pub(super) starts: Vec<Edge>,
    /// Last edges.
    pub(super) ends: Vec<Edge>,
}

impl Edges {
    pub(super) fn of(seen: &[SeenRun]) -> Self {
        let mut made = Self {
            starts: seen.iter().filter_map(|r| r.first).collect(),
            ends: seen.iter().filter_map(|r| r.last).collect(),
        };
        made.starts.sort_by_key(|e| e.at);
        made.ends.sort_by_key(|e| e.at);
        made
    }
}

/// The edge of `all` next to `at`, within a block.
pub(super) fn near(all: &[Edge], at: u64) -> Option<Edge> {
    let from = all.partition_point(|e| e.at.saturating_add(BLOCK) < at);
    all.get(from..)?
        .iter()
        .take_while(|e| e.at <= at + BLOCK)
        .min_by_key(|e| e.at.abs_diff(at))
        .copied()
}

/// The edge of `all` that allows `at`.
pub(super) fn allowing(all: &[Edge], at: u64) -> Option<Edge> {
    let from = all.partition_point(|e| e.at.saturating_add(2 * BLOCK) < at);
    all.get(from..)?.iter().take_while(|e| e.at <= at + 2 * BLOCK).find(|e| e.allows(at)).copied()
}

/// What it is worth that an edge lies at `at` where one is predicted.
fn edge_nats(all: &[Edge], at: u64) -> (f64, bool) {
    if let Some(edge) = allowing(all, at) {
        let from = all.partition_point(|e| e.at.saturating_add(NEIGHBOURHOOD) < at);
        let to = all.partition_point(|e| e.at <= at.saturating_add(NEIGHBOURHOOD));
        let width = (edge.high - edge.low + 1) as f64;
        let chance = (to - from) as f64 * width / (2 * NEIGHBOURHOOD) as f64;
        return ((-chance.ln()).clamp(0.0, MOST_EDGE_NATS), true);
    }
    (if near(all, at).is_some() { EDGE_ELSEWHERE } else { 0.0 }, false)
}

/// What one predicted run is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gain {
    /// Nats for or against.
    pub nats: f64,
    /// Whether an edge of it is seen.
    pub confirmed: bool,
    /// Bytes in whole blocks that cannot be ciphertext.
    pub contradicted: u64,
    /// Bytes in whole blocks that may be.
    pub possible: u64,
    /// Where the first contradiction begins.
    pub first_contradiction: Option<u64>,
    /// What of `nats` the gap behind the run speaks.
    pub gap_nats: f64,
    /// Whether run and gap look random throughout, which says nothing of the run.
    pub is_hidden: bool,
}

/// Weighs one run and the gap behind it, which ends at `next`. Runs come in order; `from` is
/// where the survey is looked at from, 0 for the first.
pub(super) fn gain(
    survey: &Survey,
    edges: &Edges,
    run: &Range<u64>,
    next: u64,
    from: &mut usize,
) -> Gain {
    let inner = run.start.next_multiple_of(BLOCK)..run.end / BLOCK * BLOCK;
    let mut made = Gain::default();
    if inner.start >= inner.end {
        return made;
    }
    let mut random = 0;
    for piece in survey.over_next(&inner, from) {
        let bytes = piece.end.min(inner.end) - piece.start.max(inner.start);
        match piece.tone {
            Tone::Plain | Tone::Zero | Tone::Absent | Tone::Proven => {
                made.contradicted += bytes;
                made.first_contradiction.get_or_insert(piece.start.max(inner.start));
            }
            Tone::Random => {
                random += bytes;
                made.possible += bytes;
            }
            Tone::Doubtful | Tone::Owner => made.possible += bytes,
            // Ciphertext of this length would have broken the chain of short parts, or the sums.
            Tone::Packed | Tone::Walked if bytes >= LONGEST_HIDDEN => {
                made.contradicted += bytes;
                made.first_contradiction.get_or_insert(piece.start.max(inner.start));
            }
            Tone::Walked => made.possible += bytes,
            Tone::Packed => {}
            Tone::Unreadable => {}
        }
    }
    if made.contradicted > 0 {
        made.nats = CONTRADICTED;
        return made;
    }
    if made.possible == 0 {
        return made;
    }
    for (all, at) in [(&edges.starts, run.start), (&edges.ends, run.end)] {
        // Both ends of the disk are edges by nature and prove nothing.
        if at > 0 && at < survey.size_bytes {
            let (nats, seen) = edge_nats(all, at);
            made.nats += nats;
            made.confirmed |= seen;
        }
    }
    // Random-like blocks speak for the rule where those of the gap are not, and against it
    // where they are; a region that is random-like throughout says nothing.
    let gap = run.end.next_multiple_of(BLOCK)..next / BLOCK * BLOCK;
    if gap.start < gap.end {
        let stray: u64 = survey
            .over_next(&gap, from)
            .filter(|p| p.tone == Tone::Random)
            .map(|p| p.end.min(gap.end) - p.start.max(gap.start))
            .sum();
        if stray == gap.end - gap.start && random == inner.end - inner.start {
            made.is_hidden = true;
            return made;
        }
        let clear = 1.0 - stray as f64 / (gap.end - gap.start) as f64;
        made.gap_nats = clear * ((random / BLOCK) as f64 * BLOCK_NATS).min(MOST_BLOCK_NATS)
            - ((stray / BLOCK) as f64 * BLOCK_NATS).min(MOST_BLOCK_NATS);
        made.nats += made.gap_nats;
    }
    made
}
