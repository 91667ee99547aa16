//! What one sample is.

use std::{collections::HashMap, ops::Range};

use vmglean_formats::ByteOffset;

use super::{explain, fill::is_filled, islands::Islands, weave::Weave};
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
    /// Blocks, not zero, that are one short pattern over and over.
    pub(super) filled_blocks: u16,
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
    /// A short random-like run that the end of the last sample cuts.
    cut: Option<Cut>,
    /// Dense pieces at one distance.
    pub(super) weave: Weave,
    /// Dense stretches in blocks that are else zero.
    pub(super) islands: Islands,
}

/// Random-like blocks at the end of a sample.
struct Cut {
    /// Where they begin.
    from: u64,
    /// Where they end.
    at: u64,
    bytes: Vec<u8>,
    /// Whether the run can be a short one that is no file.
    is_open: bool,
}

/// Short runs of random-like blocks that begin and end inside samples and are no small file.
#[derive(Clone, Debug, Default)]
pub(super) struct Lone {
    /// How many blocks.
    pub(super) blocks: u64,
    sum: ByteHistogram,
    /// Where the first ones begin.
    starts: Vec<u64>,
}

/// Starts of short runs that are kept.
const MOST_STARTS: usize = 4096;
/// Distances that whole blocks are encrypted at: powers of two from 64 KiB to 64 MiB.
const DISTANCES: std::ops::RangeInclusive<u32> = 16..=26;

/// Fewer blocks than this say nothing together.
const LEAST_LONE: u64 = 16;

impl Lone {
    /// Whether they are as even together as only ciphertext is; short pieces of compressed files
    /// are not.
    pub(super) fn looks_encrypted(&self) -> bool {
        self.blocks >= LEAST_LONE && self.sum.chi_square().is_random_like() || self.are_in_step()
    }

    /// Whether most of them lie one round distance apart, which those of archives and code do not.
    fn are_in_step(&self) -> bool {
        DISTANCES.map(|log| 1u64 << log).any(|distance| {
            let mut phases: HashMap<u64, usize> = HashMap::new();
            for start in &self.starts {
                *phases.entry(start % distance).or_default() += 1;
            }
            let most = phases.values().copied().max().unwrap_or(0);
            most as u64 >= LEAST_LONE && most * 2 > self.starts.len()
        })
    }

    /// What is odd about them, in words.
    pub(super) fn words(&self) -> String {
        let chi = self.sum.chi_square();
        if chi.is_random_like() {
            format!("together they are as even as ciphertext (chi-square {:.1})", chi.value())
        } else {
            "most of them lie a round distance apart".to_owned()
        }
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
            cut: None,
            weave: Weave::default(),
            islands: Islands::default(),
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
            filled_blocks: 0,
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
        for (block, bytes) in record.blocks.iter().zip(self.buffer.chunks(BLOCK_BYTES)) {
            let is_zero = block.class() == BlockClass::Zero;
            sample.zero_blocks += u16::from(is_zero);
            sample.filled_blocks +=
                u16::from(!is_zero && !block.is_random_like() && is_filled(bytes));
        }
        let random = record.whole.random_blocks;
        if sample.zero_blocks < sample.blocks && random < sample.blocks {
            self.weave.add(&self.buffer);
        }
        self.islands.add(&self.buffer, &record.islands);
        self.count_lone(&record, at);
        if random == 0 {
            return Some(sample);
        }
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

    /// Counts runs of random-like blocks too short to judge. A sample that begins where the last
    /// one ended goes on with its last run.
    fn count_lone(&mut self, record: &WindowRecord, at: &Range<u64>) {
        let mut before = self.cut.take().filter(|cut| cut.at == at.start);
        let random = |at: usize| record.blocks.get(at).is_some_and(|block| block.is_random_like());
        let end = record.blocks.len();
        let mut place = 0;
        while place < end {
            let from = place;
            while random(place) {
                place += 1;
            }
            let part =
                self.buffer.get(from * BLOCK_BYTES..(place * BLOCK_BYTES).min(self.buffer.len()));
            let part = part.unwrap_or_default();
            let begin = at.start.saturating_add((from * BLOCK_BYTES) as u64);
            let mut run = Cut { from: begin, at: at.end, bytes: Vec::new(), is_open: from > 0 };
            if from == 0
                && let Some(cut) = before.take()
            {
                let from = if cut.bytes.is_empty() { begin } else { cut.from };
                run = Cut { from, at: at.end, ..cut };
            }
            let blocks = part.len().div_ceil(BLOCK_BYTES);
            if from > 0 && blocks > 0 {
                let first = |block: usize| self.buffer.get(block * BLOCK_BYTES..);
                run.is_open &= ![from - 1, from]
                    .into_iter()
                    .any(|block| first(block).is_some_and(|b| explain::magic(b).is_some()));
            } else if from == 0 {
                run.is_open &= explain::magic(part).is_none();
            }
            let most = usize::from(STRONG_BLOCKS) * BLOCK_BYTES;
            run.is_open &= run.bytes.len() + part.len() < most;
            if run.is_open {
                run.bytes.extend_from_slice(part);
            }
            if place >= end {
                self.cut = Some(run);
                return;
            }
            if run.is_open && !run.bytes.is_empty() {
                self.lone.blocks += run.bytes.len().div_ceil(BLOCK_BYTES) as u64;
                self.lone.sum.add(&run.bytes);
                if self.lone.starts.len() < MOST_STARTS {
                    self.lone.starts.push(run.from);
                }
            }
            place += 1;
        }
        // Its last block is none, so a run may begin with the next sample.
        self.cut = Some(Cut { from: at.end, at: at.end, bytes: Vec::new(), is_open: true });
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
