//! What one sample is.

use std::ops::Range;

use vmglean_formats::ByteOffset;

use super::explain;
use crate::{
    finding::in_one_line,
    source::Source,
    triage::measure::{
        BLOCK_BYTES, BlockClass, BlockRecord, ByteHistogram, ChiSquare, LaneRecord, WINDOW_BYTES,
        WindowBuilder, WindowRecord,
    },
};

/// Neighbouring random-like blocks from this many on can be summed up to a judgement: 32 KiB of
/// deflate, zstd or zip stay within the bounds of random bytes in few cases, ciphertext nearly
/// always.
pub(super) const STRONG_BLOCKS: u16 = 8;

/// What remains of one sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) offset_bytes: u64,
    pub(super) blocks: u16,
    pub(super) zero_blocks: u16,
    /// Blocks in runs of [`STRONG_BLOCKS`] and more that stay random when summed.
    pub(super) strong_blocks: u16,
    /// Random-like blocks that nothing contradicts, too few together to be sure.
    pub(super) weak_blocks: u16,
    /// Random-like blocks that are compressed data: their sum is not random, or they are JPEG.
    pub(super) compressed_blocks: u16,
    /// Dense stretches of a few dozen bytes in blocks that are else zero.
    pub(super) islands: u16,
    /// Whether bytes at some places modulo 32 or 192 look random, those at others not.
    pub(super) has_lanes: bool,
    /// Whether one and the same 16 dense bytes fill much of a block, as equal plaintext does under
    /// a block cipher without chaining or a key stream that begins anew.
    pub(super) has_equal_units: bool,
    /// Whether the first block looks random.
    pub(super) first_is_random: bool,
    /// Where the first strong run begins, in the file.
    pub(super) strong_at: u64,
    /// Its blocks.
    pub(super) strong_run: u16,
    /// Chi-square of the strong blocks, for the evidence.
    pub(super) chi_square: f64,
}

impl Sample {
    /// Whether it must be explained.
    pub(super) fn is_hit(&self) -> bool {
        self.strong_blocks > 0
    }
}

/// Reads and measures samples; keeps its buffers.
pub(super) struct Reader<'a> {
    source: &'a dyn Source,
    buffer: Vec<u8>,
    builder: WindowBuilder,
    pub(super) read_bytes: u64,
    pub(super) unreadable: Vec<(u64, u64, String)>,
    /// How many places could not be read, also those past the kept ones.
    pub(super) failures: u64,
    /// Random-like blocks in runs too short to judge, of all samples together: what ciphertext
    /// of a few blocks in each period leaves.
    pub(super) lone: Lone,
}

/// Short runs of random-like blocks that begin and end inside samples and are no small file.
#[derive(Clone, Debug, Default)]
pub(super) struct Lone {
    /// How many blocks.
    pub(super) blocks: u64,
    sum: ByteHistogram,
}

/// Fewer blocks than this say nothing together.
const LEAST_LONE: u64 = 16;

impl Lone {
    /// Whether they are as even together as only ciphertext is; short pieces of compressed files
    /// are not.
    pub(super) fn looks_encrypted(&self) -> bool {
        self.blocks >= LEAST_LONE && self.sum.chi_square().is_random_like()
    }

    /// Chi-square of all of them.
    pub(super) fn chi_square(&self) -> f64 {
        self.sum.chi_square().value()
    }
}

/// Failures kept with their place; the rest is counted.
const MAX_FAILURES: usize = 64;

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            builder: WindowBuilder::new(true),
            read_bytes: 0,
            unreadable: Vec::new(),
            failures: 0,
            lone: Lone::default(),
        }
    }

    /// Measures one piece of at most 1 MiB; `None` where it cannot be read.
    pub(super) fn window(&mut self, at: &Range<u64>) -> Option<WindowRecord> {
        let length = usize::try_from(at.end.saturating_sub(at.start)).ok()?.min(WINDOW_BYTES);
        self.buffer.resize(length, 0);
        if let Err(error) = self.source.read_exact_at(&mut self.buffer, ByteOffset(at.start)) {
            self.failures += 1;
            if self.unreadable.len() < MAX_FAILURES {
                self.unreadable.push((at.start, length as u64, in_one_line(&error)));
            }
            return None;
        }
        self.read_bytes += length as u64;
        self.builder.begin(at.start);
        self.builder.push(&self.buffer);
        Some(self.builder.finish())
    }

    /// Judges one sample.
    pub(super) fn sample(&mut self, at: &Range<u64>) -> Option<Sample> {
        let record = self.window(at)?;
        let mut sample = Sample {
            offset_bytes: at.start,
            blocks: count(record.blocks.len()),
            zero_blocks: 0,
            strong_blocks: 0,
            weak_blocks: 0,
            compressed_blocks: 0,
            islands: count(record.islands.len()),
            has_lanes: record.lanes.is_some_and(|lanes| differ(&lanes)),
            has_equal_units: has_equal_units(&self.buffer),
            first_is_random: record.blocks.first().is_some_and(|block| block.is_random_like()),
            strong_at: at.start,
            strong_run: 0,
            chi_square: record.whole.chi_square.value(),
        };
        for block in &record.blocks {
            sample.zero_blocks += u16::from(block.class() == BlockClass::Zero);
        }
        let random = record.whole.random_blocks;
        if random == 0 {
            return Some(sample);
        }
        self.count_lone(&record);
        let mut seen_strong = false;
        for run in &record.runs {
            if run.blocks < STRONG_BLOCKS {
                continue;
            }
            let from = usize::from(run.first_block) * BLOCK_BYTES;
            let to = (from + usize::from(run.blocks) * BLOCK_BYTES).min(self.buffer.len());
            let is_jpeg = explain::is_jpeg_data(self.buffer.get(from..to).unwrap_or_default());
            let blocks = record.blocks.iter().skip(usize::from(run.first_block));
            let is_compressed = !run.chi_square.is_random_like()
                && !repeats(blocks.take(usize::from(run.blocks)), run.chi_square);
            if is_compressed || is_jpeg {
                sample.compressed_blocks += run.blocks;
                continue;
            }
            sample.strong_blocks += run.blocks;
            if !seen_strong {
                seen_strong = true;
                sample.strong_run = run.blocks;
                sample.strong_at = at.start + from as u64;
                sample.chi_square = run.chi_square.value();
            }
        }
        let rest = random.saturating_sub(sample.strong_blocks + sample.compressed_blocks);
        // The few left over: told by their common sum where there are enough of them.
        if record.whole.chi_square.is_random_like() || seen_strong {
            sample.weak_blocks = rest;
        } else {
            sample.compressed_blocks += rest;
        }
        Some(sample)
    }

    fn count_lone(&mut self, record: &WindowRecord) {
        let random = |at: usize| record.blocks.get(at).is_some_and(|block| block.is_random_like());
        let mut at = 0;
        while at < record.blocks.len() {
            let from = at;
            while random(at) {
                at += 1;
            }
            let length = at - from;
            if (1..usize::from(STRONG_BLOCKS)).contains(&length)
                && from > 0
                && at < record.blocks.len()
            {
                let bytes = |block: usize| self.buffer.get(block * BLOCK_BYTES..);
                let is_file = [from - 1, from]
                    .into_iter()
                    .any(|block| bytes(block).is_some_and(|b| explain::magic(b).is_some()));
                if !is_file && let Some(run) = self.buffer.get(from * BLOCK_BYTES..at * BLOCK_BYTES)
                {
                    self.lone.blocks += length as u64;
                    self.lone.sum.add(run);
                }
            }
            at += 1;
        }
    }

    /// The bytes of the window measured last.
    pub(super) fn buffer(&self) -> &[u8] {
        &self.buffer
    }
}

/// Whether bytes summed to `sum` are far more uneven than their `blocks` are: they repeat from
/// block to block, as under a key stream that begins anew. Compressed data is at most as uneven
/// as its blocks add up to, since each has its own code.
pub(super) fn repeats<'a>(blocks: impl Iterator<Item = &'a BlockRecord>, sum: ChiSquare) -> bool {
    let (mut excess, mut count) = (0.0, 0.0f64);
    for chi in blocks.filter_map(|block| block.chi_square()) {
        excess += chi.value() - MEAN_CHI_SQUARE;
        count += 1.0;
    }
    sum.value() > MEAN_CHI_SQUARE + excess.max(0.0) + 6.0 * CHI_SQUARE_DEVIATION * count.sqrt()
}

/// Mean and standard deviation of the chi-square of random bytes.
const MEAN_CHI_SQUARE: f64 = 255.0;
const CHI_SQUARE_DEVIATION: f64 = 22.6;

/// Units of a block cipher that are compared with the others of their block.
const PROBES: usize = 8;
/// So many of a block's 256 units are equal where ciphertext repeats: all of them over zeros,
/// one in twelve under a key stream that begins anew in each 192 bytes.
const EQUAL_UNITS: usize = 16;

/// Whether one and the same dense 16-byte unit fills much of a block.
fn has_equal_units(bytes: &[u8]) -> bool {
    (0..PROBES).any(|i| {
        let at = i * bytes.len() / PROBES / BLOCK_BYTES * BLOCK_BYTES;
        let Some(block) = bytes.get(at..at + BLOCK_BYTES) else { return false };
        let (units, _) = block.as_chunks::<16>();
        // A different place in each block: units lie at any distance from each other.
        units.get(i * 37 % units.len()).is_some_and(|probe| {
            is_dense(probe) && units.iter().filter(|unit| *unit == probe).count() >= EQUAL_UNITS
        })
    })
}

/// Whether such bytes are ciphertext rather than zeros, text, numbers or fill patterns.
fn is_dense(unit: &[u8; 16]) -> bool {
    let mut sorted = *unit;
    sorted.sort_unstable();
    let distinct = sorted.windows(2).filter(|pair| pair.first() != pair.last()).count() + 1;
    distinct >= 12 && unit.iter().filter(|byte| **byte >= 0x80).count() >= 4
}

/// Chi-square of lanes that are no ciphertext.
const STRUCTURED_CHI_SQUARE: f64 = 1000.0;

/// Whether one lane looks random and another of the same lattice does not.
fn differ(lanes: &LaneRecord) -> bool {
    [&lanes.of_32[..], &lanes.of_192[..]].iter().any(|lanes| {
        lanes.iter().any(|chi| chi.is_random_like())
            && lanes.iter().any(|chi| chi.value() > STRUCTURED_CHI_SQUARE)
    })
}

fn count(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
