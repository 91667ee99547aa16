//! Random-like segments and their edges.

use rayon::prelude::*;
use vmglean_formats::ReadAt;

use super::survey::{Survey, Tone};
use crate::triage::{
    edges::{Edge, Side, find_edge, find_packed_edge},
    pattern::SeenRun,
};

/// Edges read from the source at most; further segments keep block edges.
const MOST_REFINED: usize = 20_000;

/// Neighbouring blocks that may be ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// First byte, in whole blocks.
    pub(super) start: u64,
    /// The byte after it, in whole blocks.
    pub(super) end: u64,
    /// Where it begins to the byte; `None` where what lies before says nothing.
    pub(super) first: Option<Edge>,
    /// Where it ends.
    pub(super) last: Option<Edge>,
    /// Where it begins, to some kilobytes, after compressed bytes.
    pub(super) soft_first: Option<Edge>,
    /// Where it ends, likewise.
    pub(super) soft_last: Option<Edge>,
}

impl Segment {
    fn new(start: u64, end: u64) -> Self {
        Self { start, end, first: None, last: None, soft_first: None, soft_last: None }
    }

    /// An edge this wide borders on compressed bytes that no sum told from plaintext.
    fn soften_first(&mut self) {
        // The few bytes that some lockers spare are too few for a law of their own.
        if self.start <= SPARED_BYTES {
            return;
        }
        if let Some(edge) = self.first.take_if(|edge| edge.high - edge.low > SHARP_BYTES) {
            self.soft_first = Some(edge.widened(SHARP_BYTES * 8));
        }
    }

    fn soften_last(&mut self) {
        if let Some(edge) = self.last.take_if(|edge| edge.high - edge.low > SHARP_BYTES) {
            self.soft_last = Some(edge.widened(SHARP_BYTES * 8));
        }
    }

    /// The best that is known of its end.
    pub(super) fn any_last(&self) -> Option<Edge> {
        self.last.or(self.soft_last)
    }
}

impl From<Segment> for SeenRun {
    fn from(s: Segment) -> Self {
        Self { start: s.start, end: s.end, first: s.first.or(s.soft_first), last: s.any_last() }
    }
}

/// First bytes that lockers spare at most.
pub(super) const SPARED_BYTES: u64 = 64 * 1024;
/// Edges wider than this are not known to the byte.
const SHARP_BYTES: u64 = 512;
/// Fewer blocks than this beside a container are its ragged end, no run.
const RAGGED_BYTES: u64 = 2 * 4096;

/// All segments of the disk, in order; edges read where a neighbour is plaintext.
pub(super) fn segments(source: &dyn ReadAt, survey: &Survey, size: u64) -> Vec<Segment> {
    let mut all: Vec<Segment> = Vec::new();
    for piece in survey.pieces.iter().filter(|p| p.tone.may_be_ciphertext() && p.start < size) {
        let end = piece.end.min(size);
        match all.last_mut() {
            Some(last) if last.end == piece.start => last.end = end,
            _ => all.push(Segment::new(piece.start, end)),
        }
    }
    let explained = |at: Option<u64>| {
        at.and_then(|at| survey.tone_at(at))
            .is_some_and(|t| matches!(t, Tone::Proven | Tone::Walked | Tone::Owner))
    };
    all.retain(|s| {
        s.end - s.start > RAGGED_BYTES
            || !(explained(s.start.checked_sub(1)) || explained(Some(s.end)))
    });
    let limit = 0..size;
    all.par_iter_mut().take(MOST_REFINED).for_each(|segment| {
        let plain = |at: Option<u64>| {
            at.is_some_and(|at| {
                matches!(survey.tone_at(at), Some(Tone::Plain | Tone::Zero | Tone::Absent))
            })
        };
        let packed = |at: Option<u64>| {
            let piece = survey.piece_at(at?).filter(|p| p.tone == Tone::Packed)?;
            Some(piece.range())
        };
        if segment.start == 0 {
            segment.first = Some(Edge::exact(0));
        } else if plain(segment.start.checked_sub(1)) {
            segment.first = find_edge(source, segment.start, Side::Start, &limit);
        } else if let Some(packed) = packed(segment.start.checked_sub(1)) {
            segment.soft_first =
                find_packed_edge(source, segment.start, Side::Start, &packed, &limit);
        }
        segment.soften_first();
        if segment.end >= size {
            segment.last = Some(Edge::exact(size));
        } else if plain(Some(segment.end)) {
            segment.last = find_edge(source, segment.end, Side::End, &limit);
        } else if let Some(packed) = packed(Some(segment.end)) {
            segment.soft_last = find_packed_edge(source, segment.end, Side::End, &packed, &limit);
        }
        segment.soften_last();
    });
    all
}
