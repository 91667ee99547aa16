//! Bytes that only a decoder could tell from ciphertext, where nothing is decoded.

use std::ops::Range;

use super::{
    Facts,
    assemble::Reasons,
    runs::{Run, State, push},
    survey::{Piece, Survey, Tone},
};
use crate::finding::{EvidenceKind, Finding, Weight};

/// A stream begins and ends within a block that looks otherwise.
const BLOCK: u64 = 4096;

/// Where bytes are compressed or random-like, with the blocks beside them, in order.
pub(super) struct Packed(Vec<Range<u64>>);

impl Packed {
    pub(super) fn of(survey: &Survey) -> Self {
        let mut all: Vec<Range<u64>> = Vec::new();
        let pieces = survey.pieces.iter();
        for piece in pieces.filter(|p| p.tone == Tone::Packed || p.tone.may_be_ciphertext()) {
            let (from, to) = (piece.start.saturating_sub(BLOCK), piece.end.saturating_add(BLOCK));
            match all.last_mut() {
                Some(last) if last.end >= from => last.end = to,
                _ => all.push(from..to),
            }
        }
        Self(all)
    }

    /// What of the runs in `state` lies there, with the run of each.
    fn parts<'r>(
        &'r self,
        runs: &'r [Run],
        state: State,
    ) -> impl Iterator<Item = (&'r Run, Range<u64>)> {
        let mut next = 0;
        runs.iter().filter(move |run| run.state == state).flat_map(move |run| {
            while self.0.get(next).is_some_and(|range| range.end <= run.start) {
                next += 1;
            }
            let over = self.0.iter().skip(next).take_while(|range| range.start < run.end);
            over.map(move |range| (run, range.start.max(run.start)..range.end.min(run.end)))
        })
    }

    /// What of the intact bytes in `runs` a decoder might have found damaged, as undetermined runs.
    pub(super) fn untold(&self, survey: &Survey, runs: &[Run], reasons: &mut Reasons) -> Vec<Run> {
        let why = reasons.add(
            EvidenceKind::Statistic,
            0..survey.size_bytes,
            "compressed or random-like, and nothing was unpacked (--no-unpack): no checksum tells \
             whether it is damaged",
        );
        let mut out = Vec::new();
        for (run, range) in self.parts(runs, State::Intact) {
            let is_told = |piece: &&Piece| {
                matches!(piece.tone, Tone::Proven | Tone::Walked | Tone::Zero | Tone::Absent)
            };
            let told = survey.over(&range).iter().filter(is_told).map(Piece::range);
            let mut at = range.start;
            for told in told.chain([range.end..range.end]) {
                let doubted = at..told.start.min(range.end).max(at);
                let doubted = Run::new(doubted, State::Undetermined, why);
                push(&mut out, Run { lattice: run.lattice, ..doubted });
                at = at.max(told.end);
            }
        }
        out
    }

    /// Says how much stays open in `runs`.
    pub(super) fn finding(&self, runs: &[Run], facts: &Facts) -> Option<Finding> {
        let open = || self.parts(runs, State::Undetermined).map(|(_, range)| range);
        let first = open().next()?;
        let bytes: u64 = open().map(|range| range.end - range.start).sum();
        Some(Finding {
            code: "map.not-unpacked".to_owned(),
            weight: Weight::Note,
            path: facts.path.clone(),
            offset_bytes: Some(first.start),
            what: format!(
                "{bytes} bytes are undetermined that are compressed or look so: nothing was unpacked \
                 to hold them against their checksums"
            ),
            next: Some("map it again without --no-unpack, for what you need of it".to_owned()),
        })
    }
}
