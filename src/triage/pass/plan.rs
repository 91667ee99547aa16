//! Which part of the source comes next: a hole of whole windows, or a window to read.

use std::ops::Range;

use super::read::PIECE_BYTES;
use crate::{
    source::Source,
    triage::measure::{BLOCK_BYTES, WINDOW_BYTES},
};

const BLOCK: u64 = BLOCK_BYTES as u64;
const WINDOW: u64 = WINDOW_BYTES as u64;

/// One step of a pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Whole windows without data, or the rest of the source.
    Hole { offset: u64, length: u64 },
    /// A window to read.
    Window(WindowPlan),
}

/// A window and which of it holds data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WindowPlan {
    /// First byte, a multiple of the window's size.
    pub(super) offset: u64,
    /// Bytes of the window that exist.
    pub(super) length: usize,
    /// Parts to read, in bytes from the window's start, in order, apart, cut at blocks.
    pub(super) data: Vec<Range<usize>>,
}

/// Consecutive bytes of a window to take in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Inside a hole.
    Hole(Range<usize>),
    /// To read: at most [`PIECE_BYTES`].
    Data(Range<usize>),
}

impl WindowPlan {
    /// The whole window in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let rest = self.data.last().map_or(0, |last| last.end)..self.length;
        let before = std::iter::once(0).chain(self.data.iter().map(|data| data.end));
        let parts = self.data.iter().zip(before).flat_map(|(data, before)| {
            let reads = data.clone().step_by(PIECE_BYTES);
            let reads = reads.map(|at| Piece::Data(at..data.end.min(at + PIECE_BYTES)));
            std::iter::once(Piece::Hole(before..data.start)).chain(reads)
        });
        parts.chain(std::iter::once(Piece::Hole(rest))).filter(|piece| match piece {
            Piece::Hole(range) | Piece::Data(range) => !range.is_empty(),
        })
    }
}

/// Walks a source from a window boundary to its end.
pub(super) struct Plan<'a> {
    source: &'a dyn Source,
    at: u64,
    end: u64,
    longest_hole: u64,
    /// Data known to lie ahead: ends after `at`, or is empty where nothing is known yet.
    ahead: Range<u64>,
}

impl<'a> Plan<'a> {
    /// A plan from `at`, a multiple of the window's size, to the end. Holes longer than
    /// `longest_hole`, whole windows, are cut.
    pub(super) fn new(source: &'a dyn Source, at: u64, longest_hole: u64) -> Self {
        Self { source, at, end: source.len_bytes(), longest_hole, ahead: 0..0 }
    }

    /// Where the next step begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Whether no step is left.
    pub(super) fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// The next step, or `None` at the end.
    pub(super) fn next(&mut self) -> Option<Step> {
        if self.is_done() {
            return None;
        }
        self.look_ahead(self.at);
        let first = self.ahead.start;
        let window = first - first % WINDOW;
        if first >= self.end || window > self.at {
            let to = window.min(self.end);
            let to = if first >= self.end { self.end } else { to };
            let to = to.min(self.at.saturating_add(self.longest_hole));
            let step = Step::Hole { offset: self.at, length: to - self.at };
            self.at = to;
            return Some(step);
        }
        Some(Step::Window(self.window()))
    }

    fn window(&mut self) -> WindowPlan {
        let offset = self.at;
        let to = offset.saturating_add(WINDOW).min(self.end);
        let mut data: Vec<Range<usize>> = Vec::new();
        let mut at = offset;
        while at < to {
            self.look_ahead(at);
            if self.ahead.start >= to {
                break;
            }
            // Out to whole blocks: a block that is half hole is read whole.
            let from = self.ahead.start - self.ahead.start % BLOCK;
            let until = self.ahead.end.checked_next_multiple_of(BLOCK).unwrap_or(to).min(to);
            let part = inside(offset, from.max(at))..inside(offset, until);
            match data.last_mut() {
                Some(last) if last.end >= part.start => last.end = part.end,
                _ => data.push(part),
            }
            at = until;
        }
        self.at = to;
        WindowPlan { offset, length: inside(offset, to), data }
    }

    /// Makes `ahead` the first data that ends after `at`.
    fn look_ahead(&mut self, at: u64) {
        if self.ahead.end > at {
            return;
        }
        let told = self.source.next_data(at);
        self.ahead = match told {
            Ok(Some(range)) if range.end > at.max(range.start) => {
                range.start.max(at)..range.end.min(self.end).max(at)
            }
            Ok(None) => self.end..u64::MAX,
            // A source that does not know, or does not move on: everything left may be data.
            Ok(Some(_)) | Err(_) => at..self.end,
        };
    }
}

/// Distance inside a window.
fn inside(offset: u64, at: u64) -> usize {
    usize::try_from(at.saturating_sub(offset)).map_or(WINDOW_BYTES, |at| at.min(WINDOW_BYTES))
}
