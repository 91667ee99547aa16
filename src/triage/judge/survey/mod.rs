//! What the pass found, condensed to pieces of one tone: all that the judgement keeps in memory.

mod block;
mod retone;
mod run;
mod tone;

use std::ops::Range;

use block::{Summed, compressed_spans, is_mixed, is_repeated, is_summed_high, short_bits};
use run::{Open, mean_chi, tones};
pub use tone::{Piece, PlacedIsland, Tone};

use crate::triage::{
    measure::{BLOCK_BYTES, BLOCKS_PER_SPAN, BlockClass, BlockRecord, WindowRecord},
    pass::Stretch,
};

/// A block outside these never counts as part of ciphertext: 1 in 10^12 ciphertext blocks.
const BLOCK_LOW: u32 = 120 * 16;
const BLOCK_HIGH: u32 = 470 * 16;
/// How many blocks of an open run are held before they are judged.
const OPEN_BLOCKS: usize = 65_536;
/// Random-like blocks in a row that may be the start of a long file's content.
const LONG_RUN_BLOCKS: usize = 8;
/// Most starts of such runs that wait to be asked for.
const MOST_LONG_RUNS: usize = 1024;
/// Most islands kept; a lattice shows in far fewer.
const MOST_ISLANDS: usize = 400_000;
/// Most places of repeated blocks kept.
const MOST_REPEATED: usize = 256;
/// Most mixed blocks kept.
const MOST_MIXED: usize = 65_536;

/// The condensed pass.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Pieces from the first byte to the last, without gap or overlap.
    pub pieces: Vec<Piece>,
    /// Islands in order, thinned out where there are too many.
    pub islands: Vec<PlacedIsland>,
    /// Bytes covered.
    pub size_bytes: u64,
    /// Blocks that hold sixteen byte values in equal numbers, as a repeated cipher block does.
    pub sixteenfold: Vec<u64>,
    /// Blocks that hold zeros and else rich bytes, as a lattice leaves in empty space; thinned
    /// out where there are too many.
    pub mixed: Vec<u64>,
    /// Random-like blocks that measure exactly as one a few blocks before: how many, and where
    /// the first are. A key stream that repeats makes them of empty space.
    pub repeated_blocks: u64,
    /// See `repeated_blocks`.
    pub repeated: Vec<u64>,
    long_runs: Vec<u64>,
    mixed_stride: u64,
    mixed_seen: u64,
    open: Vec<Open>,
    open_start: u64,
    island_stride: u64,
    islands_seen: u64,
}

impl Survey {
    /// Nothing covered yet.
    #[must_use]
    pub fn new() -> Self {
        Self { island_stride: 1, mixed_stride: 1, ..Self::default() }
    }

    /// Takes the next stretch of the pass.
    pub fn take(&mut self, stretch: &Stretch) {
        match stretch {
            Stretch::Absent { length_bytes, .. } => self.uniform(Tone::Absent, *length_bytes),
            Stretch::Zero { length_bytes, .. } => self.uniform(Tone::Zero, *length_bytes),
            Stretch::Unreadable { length_bytes, .. } => {
                self.uniform(Tone::Unreadable, *length_bytes);
            }
            Stretch::Window(window) => self.window(window),
        }
    }

    /// Closes the last run.
    pub fn finish(&mut self) {
        self.close();
    }

    /// Where random-like runs begin that were seen to be long since this was last asked, in order.
    pub fn take_long_runs(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.long_runs)
    }

    /// The pieces that touch `range`.
    #[must_use]
    pub fn over(&self, range: &Range<u64>) -> &[Piece] {
        let from = self.pieces.partition_point(|p| p.end <= range.start);
        let to = self.pieces.partition_point(|p| p.start < range.end);
        self.pieces.get(from..to.max(from)).unwrap_or_default()
    }

    /// The same for a range that begins no earlier than the one asked for before, which left
    /// `from` behind; 0 at first.
    pub fn over_next(&self, range: &Range<u64>, from: &mut usize) -> impl Iterator<Item = &Piece> {
        // The next range is near: steps that double find it sooner than halving all pieces.
        let ends_before = |at: usize| self.pieces.get(at).is_some_and(|p| p.end <= range.start);
        let mut step = 1;
        while ends_before(*from + step - 1) {
            *from += step;
            step *= 2;
        }
        let near = self.pieces.get(*from..(*from + step).min(self.pieces.len()));
        *from += near.unwrap_or_default().partition_point(|p| p.end <= range.start);
        let end = range.end;
        let rest = self.pieces.get(*from..).unwrap_or_default();
        rest.iter().take_while(move |p| p.start < end)
    }

    /// The tone of the block that holds byte `at`.
    #[must_use]
    pub fn tone_at(&self, at: u64) -> Option<Tone> {
        self.piece_at(at).map(|p| p.tone)
    }

    /// The piece that holds byte `at`.
    #[must_use]
    pub fn piece_at(&self, at: u64) -> Option<&Piece> {
        let index = self.pieces.partition_point(|p| p.end <= at);
        self.pieces.get(index).filter(|p| p.start <= at)
    }

    fn window(&mut self, window: &WindowRecord) {
        for island in &window.islands {
            self.islands_seen += 1;
            if self.islands_seen.is_multiple_of(self.island_stride) {
                self.islands.push(PlacedIsland {
                    start: window.offset_bytes + u64::from(island.offset_bytes),
                    length: u64::from(island.length_bytes),
                });
            }
            if self.islands.len() >= MOST_ISLANDS {
                let mut nth = 0_u32;
                self.islands.retain(|_| {
                    nth += 1;
                    nth.is_multiple_of(2)
                });
                self.island_stride *= 2;
            }
        }
        let compressed = compressed_spans(window);
        let mut runs = window.runs.iter().peekable();
        for (index, record) in window.blocks.iter().enumerate() {
            let place = u16::try_from(index).unwrap_or(u16::MAX);
            while runs.next_if(|run| run.first_block + run.blocks <= place).is_some() {}
            let summed_high = runs.peek().is_some_and(|run| is_summed_high(run, place));
            let repeated = is_repeated(window, index);
            if repeated {
                self.repeated_blocks += 1;
                if self.repeated.len() < MOST_REPEATED {
                    self.repeated.push(window.block_offset(index));
                }
            }
            let span = compressed.get(index / BLOCKS_PER_SPAN).copied().unwrap_or_default();
            self.block(
                *record,
                window.block_bytes(index) as u64,
                Summed { high: summed_high, compressed: span, repeated },
                window.block_offset(index),
            );
        }
    }

    fn block(&mut self, record: BlockRecord, bytes: u64, summed: Summed, at: u64) {
        let tone = match record.class() {
            BlockClass::Absent => Tone::Absent,
            BlockClass::Zero => Tone::Zero,
            BlockClass::Unreadable => Tone::Unreadable,
            BlockClass::Constant(_) => Tone::Plain,
            BlockClass::Short => {
                // Too short for any number: it goes with what lies before it.
                let rich = record.entropy_bits().is_some_and(|bits| bits > short_bits(bytes));
                match (rich, self.open.is_empty()) {
                    (true, false) => Tone::Random,
                    (true, true) => Tone::Doubtful,
                    (false, _) => Tone::Plain,
                }
            }
            BlockClass::Data => {
                let chi = record.chi_square().map_or(u32::MAX, |c| c.sixteenths());
                if (BLOCK_LOW..=BLOCK_HIGH).contains(&chi) {
                    let open = Open {
                        chi,
                        bytes: u32::try_from(bytes).unwrap_or(0),
                        strict: record.is_random_like(),
                        summed_high: summed.high,
                        compressed: summed.compressed,
                        repeated: summed.repeated,
                    };
                    self.push_open(open);
                    return;
                }
                // 16 values of equal share: chi-square 15 times the length, exactly.
                if bytes == BLOCK_BYTES as u64
                    && (61_430 * 16..=140_000 * 16).contains(&chi)
                    && record.entropy_bits().is_some_and(|bits| (3.3..=4.001).contains(&bits))
                    && self.sixteenfold.len() < 4096
                {
                    self.sixteenfold.push(at);
                }
                if is_mixed(chi, record.entropy_bits().unwrap_or(0.0)) {
                    self.keep_mixed(at);
                }
                Tone::Plain
            }
        };
        if tone == Tone::Random {
            self.push_open(Open {
                chi: 255 * 16,
                bytes: u32::try_from(bytes).unwrap_or(0),
                strict: false,
                summed_high: false,
                compressed: false,
                repeated: false,
            });
        } else {
            self.uniform(tone, bytes);
        }
    }

    fn keep_mixed(&mut self, at: u64) {
        self.mixed_seen += 1;
        // Neighbours belong together, so sixteen are kept or left at a time.
        if (self.mixed_seen / 16).is_multiple_of(self.mixed_stride) {
            self.mixed.push(at);
        }
        if self.mixed.len() >= MOST_MIXED {
            let mut nth = 0_u32;
            self.mixed.retain(|_| {
                nth += 1;
                (nth / 16).is_multiple_of(2)
            });
            self.mixed_stride *= 2;
        }
    }

    fn push_open(&mut self, open: Open) {
        if self.open.is_empty() {
            self.open_start = self.size_bytes;
        }
        self.size_bytes += u64::from(open.bytes);
        self.open.push(open);
        if self.open.len() == LONG_RUN_BLOCKS && self.long_runs.len() < MOST_LONG_RUNS {
            self.long_runs.push(self.open_start);
        }
        if self.open.len() >= OPEN_BLOCKS {
            self.close();
        }
    }

    fn uniform(&mut self, tone: Tone, bytes: u64) {
        self.close();
        let start = self.size_bytes;
        self.size_bytes += bytes;
        self.keep(start, self.size_bytes, tone, 0);
    }

    /// Judges the open run block by block and keeps its pieces.
    fn close(&mut self) {
        let open = std::mem::take(&mut self.open);
        if open.is_empty() {
            return;
        }
        let mut start = self.open_start;
        if !open.iter().any(|block| block.strict) {
            let bytes: u64 = open.iter().map(|b| u64::from(b.bytes)).sum();
            // Near misses only: with fewer than four, a ciphertext block could be among them.
            let tone = if open.len() < 4 { Tone::Doubtful } else { Tone::Packed };
            self.keep(start, start + bytes, tone, mean_chi(&open));
            return;
        }
        let tones = tones(&open);
        for (block, tone) in open.iter().zip(tones) {
            let end = start + u64::from(block.bytes);
            self.keep(start, end, tone, block.chi);
            start = end;
        }
    }

    fn keep(&mut self, start: u64, end: u64, tone: Tone, chi_sixteenths: u32) {
        if start >= end {
            return;
        }
        match self.pieces.last_mut() {
            Some(last) if last.tone == tone => {
                let (old, new) = (last.end - last.start, end - start);
                let sum = u128::from(last.chi_sixteenths) * u128::from(old)
                    + u128::from(chi_sixteenths) * u128::from(new);
                last.chi_sixteenths =
                    u32::try_from(sum / u128::from(old + new)).unwrap_or(u32::MAX);
                last.end = end;
            }
            _ => self.pieces.push(Piece { start, end, tone, chi_sixteenths }),
        }
    }
}
