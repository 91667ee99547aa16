//! What the pass found, condensed to pieces of one tone: all that the judgement keeps in memory.

use std::ops::Range;

use crate::triage::{
    measure::{BLOCK_BYTES, BLOCKS_PER_SPAN, BlockClass, BlockRecord, RandomRun, WindowRecord},
    pass::Stretch,
};

/// How a stretch of blocks looks, before anything is concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tone {
    /// In a hole.
    Absent,
    /// Read, all zeros.
    Zero,
    /// Not given by the medium.
    Unreadable,
    /// Bytes far from uniform.
    Plain,
    /// Random-like block by block, yet every stretch of 32 KiB around is not: compressed.
    Packed,
    /// Random-like over 32 KiB, not so over the whole run in its window.
    Doubtful,
    /// As ciphertext looks.
    Random,
    /// Random-like, and inside a volume or file that its owner encrypted.
    Owner,
    /// Random-like, and parts of a container lead over it by their stated lengths.
    Walked,
    /// Random-like, and proven by a checksum over it.
    Proven,
}

impl Tone {
    /// Whether ciphertext could look like this.
    #[must_use]
    pub fn may_be_ciphertext(self) -> bool {
        matches!(self, Self::Doubtful | Self::Random)
    }
}

/// Neighbouring blocks of one tone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// How it looks.
    pub tone: Tone,
    /// Mean chi-square of its blocks, in sixteenths; 0 where none was counted.
    pub chi_sixteenths: u32,
}

impl Piece {
    /// Bytes covered.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }
}

/// A dense stretch of bytes inside zeros, with its place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedIsland {
    /// First non-zero byte.
    pub start: u64,
    /// From the first to the last non-zero byte.
    pub length: u64,
}

/// Blocks of one window over which chi-squares are summed.
const WINDOW_BLOCKS: usize = 8;
/// Random-like runs at least this long within a window are judged by their summed counts.
const SUMMED_BLOCKS: u16 = 16;
/// A block outside these never counts as part of ciphertext: 1 in 10^12 ciphertext blocks.
const BLOCK_LOW: u32 = 120 * 16;
const BLOCK_HIGH: u32 = 470 * 16;
/// Summed counts of ciphertext pass this once in 10^9 times.
const SUMMED_HIGH: u32 = 400 * 16;
/// Summed counts of a span of ciphertext pass this once in 2,000 times; three in a row never.
const SPAN_HIGH: u32 = 335 * 16;
/// How many blocks of an open run are held before they are judged.
const OPEN_BLOCKS: usize = 65_536;
/// Most islands kept; a lattice shows in far fewer.
const MOST_ISLANDS: usize = 400_000;
/// Most places of repeated blocks kept.
const MOST_REPEATED: usize = 256;
/// How far back a repeated block is looked for, in blocks.
const REPEAT_REACH: usize = 16;
/// Share of zeros up to which a block counts as mixed: two runs of 11 bytes are left.
const MOST_ZEROS: f64 = 0.9945;
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
    mixed_stride: u64,
    mixed_seen: u64,
    open: Vec<Open>,
    open_start: u64,
    island_stride: u64,
    islands_seen: u64,
}

/// One block of the run that is still open.
#[derive(Clone, Copy, Debug)]
struct Open {
    chi: u32,
    bytes: u32,
    strict: bool,
    summed_high: bool,
    compressed: bool,
    repeated: bool,
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

    /// The pieces that touch `range`.
    #[must_use]
    pub fn over(&self, range: &Range<u64>) -> &[Piece] {
        let from = self.pieces.partition_point(|p| p.end <= range.start);
        let to = self.pieces.partition_point(|p| p.start < range.end);
        self.pieces.get(from..to.max(from)).unwrap_or_default()
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

    /// The same disk without what only sums over several blocks said.
    #[must_use]
    pub fn unsummed(&self) -> Self {
        let mut made = Self { pieces: Vec::new(), open: Vec::new(), ..self.clone() };
        for piece in &self.pieces {
            let tone = match piece.tone {
                Tone::Packed | Tone::Doubtful => Tone::Random,
                tone => tone,
            };
            made.keep(piece.start, piece.end, tone, piece.chi_sixteenths);
        }
        made
    }

    /// The same disk with `ranges`, which are in order, in another tone: whole blocks of them
    /// that are random-like or compressed.
    #[must_use]
    pub fn retoned(&self, ranges: &[(Range<u64>, Tone)]) -> Self {
        let mut made = Self {
            islands: self.islands.clone(),
            mixed: self.mixed.clone(),
            sixteenfold: self.sixteenfold.clone(),
            repeated: self.repeated.clone(),
            repeated_blocks: self.repeated_blocks,
            size_bytes: self.size_bytes,
            ..Self::new()
        };
        let block = BLOCK_BYTES as u64;
        let mut whole = ranges
            .iter()
            .map(|(r, tone)| (r.start.next_multiple_of(block)..r.end / block * block, *tone))
            .filter(|(r, _)| r.start < r.end)
            .peekable();
        for piece in &self.pieces {
            let is_open = matches!(piece.tone, Tone::Random | Tone::Doubtful | Tone::Packed);
            let mut at = piece.start;
            while at < piece.end {
                while whole.next_if(|(r, _)| r.end <= at).is_some() {}
                let (end, tone) = match whole.peek() {
                    Some((r, tone)) if r.start <= at => (r.end.min(piece.end), *tone),
                    Some((r, _)) => (r.start.min(piece.end), piece.tone),
                    None => (piece.end, piece.tone),
                };
                // What only names the bytes does not undo what their numbers say.
                let is_open = is_open && !(tone == Tone::Owner && piece.tone == Tone::Packed);
                let tone = if is_open { tone } else { piece.tone };
                made.keep(at, end, tone, piece.chi_sixteenths);
                at = end;
            }
        }
        made
    }

    fn push_open(&mut self, open: Open) {
        if self.open.is_empty() {
            self.open_start = self.size_bytes;
        }
        self.size_bytes += u64::from(open.bytes);
        self.open.push(open);
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

/// What sums over several blocks say of one.
#[derive(Clone, Copy, Default)]
struct Summed {
    high: bool,
    compressed: bool,
    repeated: bool,
}

/// Whether a random-like block has the very numbers of one shortly before it: once in thousands
/// by chance.
fn is_repeated(window: &WindowRecord, index: usize) -> bool {
    let Some(block) = window.blocks.get(index).filter(|b| b.is_random_like()) else {
        return false;
    };
    let before = index.saturating_sub(REPEAT_REACH)..index;
    window.blocks.get(before).is_some_and(|before| before.contains(block))
}

/// Spans whose summed counts, and those of both neighbours, ciphertext could not have: an edge
/// of ciphertext lies at least a span away.
fn compressed_spans(window: &WindowRecord) -> Vec<bool> {
    let high: Vec<bool> = window
        .spans
        .iter()
        .enumerate()
        .map(|(at, span)| {
            let first = at * BLOCKS_PER_SPAN;
            // A repeated key stream sums up as no sound one would, yet it is ciphertext.
            let repeated =
                (first..first + BLOCKS_PER_SPAN).filter(|b| is_repeated(window, *b)).count();
            span.random_blocks >= 8 && span.chi_square.sixteenths() > SPAN_HIGH && repeated < 2
        })
        .collect();
    (0..high.len())
        .map(|at| {
            let from = at.saturating_sub(1);
            at > 0
                && at + 1 < high.len()
                && high.get(from..=at + 1).is_some_and(|n| n.iter().all(|h| *h))
        })
        .collect()
}

/// Whether a block could be zeros and ciphertext in a mixture, by chi-square (in sixteenths)
/// and entropy: the share of zeros follows from one, the richness of the rest from the other.
fn is_mixed(chi_sixteenths: u32, entropy: f64) -> bool {
    let c = f64::from(chi_sixteenths) / 16.0 / BLOCK_BYTES as f64;
    // c = 256·z² + (1 − z)²·256/255 − 1
    let z = (2.008 + (2.008_f64.powi(2) + 4.0 * 257.004 * c).sqrt()) / (2.0 * 257.004);
    if !(0.25..=MOST_ZEROS).contains(&z) {
        return false;
    }
    let split = -z * z.log2() - (1.0 - z) * (1.0 - z).log2();
    let rest = (entropy - split) / (1.0 - z);
    // The entropy of few bytes is bounded by their number.
    let bytes = (1.0 - z) * BLOCK_BYTES as f64;
    rest > 5.5_f64.min(bytes.log2() - 1.0)
}

fn is_summed_high(run: &RandomRun, place: u16) -> bool {
    run.first_block <= place
        && run.blocks >= SUMMED_BLOCKS
        && run.chi_square.sixteenths() > SUMMED_HIGH
}

/// Entropy that fewer than 1,024 random bytes do not go below: plug-in mean less five deviations.
fn short_bits(bytes: u64) -> f64 {
    // Below 256 bytes the plug-in estimate is nearly log2(n).
    let n = bytes.max(2) as f64;
    if n < 256.0 { n.log2() * 0.93 } else { 7.0 }
}

fn mean_chi(open: &[Open]) -> u32 {
    let sum: u64 = open.iter().map(|b| u64::from(b.chi)).sum();
    u32::try_from(sum / (open.len().max(1) as u64)).unwrap_or(u32::MAX)
}

/// The quantile of chi-square with `degrees` degrees of freedom `z` deviations out, after
/// Wilson and Hilferty (1931), in sixteenths.
fn quantile(degrees: f64, z: f64) -> u32 {
    let a = 2.0 / (9.0 * degrees);
    let value = degrees * (1.0 - a + z * a.sqrt()).powi(3) * 16.0;
    value.max(0.0) as u32
}

fn tones(open: &[Open]) -> Vec<Tone> {
    let width = open.len().min(WINDOW_BLOCKS);
    let degrees = 255.0 * width as f64;
    let (low, high) = (quantile(degrees, -6.2), quantile(degrees, 6.2));
    let mut random = vec![false; open.len()];
    let mut sum: u32 = open.iter().take(width).map(|b| b.chi).sum();
    for first in 0..=open.len() - width {
        if first > 0 {
            sum = sum + open[first + width - 1].chi - open[first - 1].chi;
        }
        if (low..=high).contains(&sum) {
            random[first..first + width].fill(true);
        }
    }
    let short = open.len() < WINDOW_BLOCKS;
    let near_repeated = |at: usize| {
        let near = at.saturating_sub(WINDOW_BLOCKS)..(at + WINDOW_BLOCKS).min(open.len());
        open.get(near).is_some_and(|n| n.iter().filter(|b| b.repeated).count() >= 2)
    };
    random
        .iter()
        .zip(open)
        .enumerate()
        .map(|(at, (&random, block))| match (random, block.summed_high) {
            _ if near_repeated(at) => Tone::Random,
            _ if block.compressed => Tone::Packed,
            (true, false) => Tone::Random,
            (true, true) => Tone::Doubtful,
            // A short run may be part ciphertext, part not: it proves nothing either way.
            (false, _) if short => Tone::Doubtful,
            (false, _) => Tone::Packed,
        })
        .collect()
}
