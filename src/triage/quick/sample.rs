//! What one sample is, and what a wider look round it adds.

use std::ops::Range;

use vmglean_formats::ByteOffset;

use super::{container, structure::chain};
use crate::{
    source::Source,
    triage::measure::{
        BLOCK_BYTES, BlockClass, ByteHistogram, WINDOW_BYTES, WindowBuilder, WindowRecord,
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
    /// Whether the first block looks random.
    pub(super) first_is_random: bool,
    /// Where the first strong run begins, in the file.
    pub(super) strong_at: u64,
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
}

/// Failures kept with their place; the rest is counted.
const MAX_FAILURES: usize = 64;

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            builder: WindowBuilder::new(false),
            read_bytes: 0,
            unreadable: Vec::new(),
            failures: 0,
        }
    }

    /// Measures one piece of at most 1 MiB; `None` where it cannot be read.
    pub(super) fn window(&mut self, at: &Range<u64>) -> Option<WindowRecord> {
        let length = usize::try_from(at.end.saturating_sub(at.start)).ok()?.min(WINDOW_BYTES);
        self.buffer.resize(length, 0);
        if let Err(error) = self.source.read_exact_at(&mut self.buffer, ByteOffset(at.start)) {
            self.failures += 1;
            if self.unreadable.len() < MAX_FAILURES {
                self.unreadable.push((at.start, length as u64, chain(&error)));
            }
            return None;
        }
        self.read_bytes += length as u64;
        self.builder.begin(0);
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
            first_is_random: record.blocks.first().is_some_and(|block| block.is_random_like()),
            strong_at: at.start,
            chi_square: record.whole.chi_square.value(),
        };
        for block in &record.blocks {
            sample.zero_blocks += u16::from(block.class() == BlockClass::Zero);
        }
        let random = record.whole.random_blocks;
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
            let is_jpeg = container::is_jpeg_data(self.buffer.get(from..to).unwrap_or_default());
            if !run.chi_square.is_random_like() || is_jpeg {
                sample.compressed_blocks += run.blocks;
                continue;
            }
            sample.strong_blocks += run.blocks;
            if !seen_strong {
                seen_strong = true;
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
}

fn count(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// What a wider look says of a hit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wider {
    /// Compressed or coded data: why.
    Explained(String),
    /// Random-like however far the look went.
    Unexplained {
        /// First byte of the run of random-like blocks, as far as seen.
        from: u64,
        /// Its end, as far as seen.
        to: u64,
        /// Whether both ends lie inside the look.
        is_isolated: bool,
        /// Chi-square of the whole run.
        chi_square: f64,
    },
    /// The look itself failed.
    Unreadable,
}

/// Random-like blocks may be interrupted by this many others and still be one run: one block in
/// 1,500 of ciphertext falls outside the bounds.
const BRIDGE_BLOCKS: usize = 1;
/// Blocks before a run that may hold the header of what it belongs to.
const HEADER_BLOCKS: usize = 16;

impl Reader<'_> {
    /// Reads up to 1 MiB round a hit and says what it belongs to.
    pub(super) fn widen(&mut self, hit: &Sample, size: u64) -> Wider {
        let wide = WINDOW_BYTES as u64;
        // Half before, half behind: a chain of blocks on either side can be seen.
        let start = hit.strong_at.saturating_sub(wide / 2) / 4096 * 4096;
        let start = start.min(size.saturating_sub(wide) / 4096 * 4096);
        let at = start..start.saturating_add(wide).min(size);
        let Some(record) = self.window(&at) else { return Wider::Unreadable };
        let place = usize::try_from((hit.strong_at.saturating_sub(start)) / 4096).unwrap_or(0);
        let random: Vec<bool> = record.blocks.iter().map(|block| block.is_random_like()).collect();
        let (first, end) = run_round(&random, place);
        let bytes = |from: usize, to: usize| {
            let to = (to * BLOCK_BYTES).min(self.buffer.len());
            self.buffer.get(from * BLOCK_BYTES..to).unwrap_or_default()
        };
        // A header in the run or shortly before it, at a block's start.
        for block in (first.saturating_sub(HEADER_BLOCKS)..=place).rev() {
            if let Some(name) = container::magic(bytes(block, block + 1)) {
                let offset = start + (block * BLOCK_BYTES) as u64;
                return Wider::Explained(format!("{name} header at {offset:#x}"));
            }
        }
        let run = bytes(first, end);
        let chi = ByteHistogram::of(run).chi_square();
        let from = start + (first * BLOCK_BYTES) as u64;
        if !chi.is_random_like() {
            return Wider::Explained(format!(
                "chi-square {chi} over {} bytes from {from:#x}: not even enough for ciphertext",
                run.len()
            ));
        }
        // Compressed data looks random in some blocks and not in others; a short run is judged
        // with the random-like blocks round it. A long one must stand for itself.
        if end - first < LONG_BLOCKS {
            let region = region_round(&random, first, end);
            let mut sum = ByteHistogram::default();
            let mut blocks = 0;
            for block in region.filter(|block| random.get(*block) == Some(&true)) {
                sum.add(bytes(block, block + 1));
                blocks += 1;
            }
            if blocks > end - first && !sum.chi_square().is_random_like() {
                return Wider::Explained(format!(
                    "chi-square {} over {blocks} random-like blocks round {from:#x}: compressed",
                    sum.chi_square()
                ));
            }
        }
        if end - first >= 64 && container::has_lzma2_chain(bytes(0, random.len())) {
            return Wider::Explained(format!(
                "LZMA2 chunks (xz, 7-Zip) chain through {start:#x} to {:#x}",
                at.end
            ));
        }
        if container::is_jpeg_data(run) {
            return Wider::Explained("JPEG byte stuffing holds".to_owned());
        }
        Wider::Unexplained {
            from: start + (first * BLOCK_BYTES) as u64,
            to: (start + (end * BLOCK_BYTES) as u64).min(at.end),
            is_isolated: first > 0 && end < random.len(),
            chi_square: chi.value(),
        }
    }
}

/// From this length on a run is judged alone.
const LONG_BLOCKS: usize = 32;
/// Other blocks that may lie between the random-like ones of one compressed file.
const REGION_GAP: usize = 16;

/// The blocks round a run, as far as random-like ones follow each other loosely.
fn region_round(random: &[bool], first: usize, end: usize) -> std::ops::Range<usize> {
    let is = |i: usize| random.get(i).copied().unwrap_or(false);
    let (mut from, mut to) = (first, end);
    while let Some(by) = (1..=REGION_GAP).find(|by| from >= *by && is(from - by)) {
        from -= by;
    }
    while let Some(by) = (0..REGION_GAP).find(|by| is(to + by)) {
        to += by + 1;
    }
    from..to
}

/// The run of random-like blocks round `place`, short interruptions bridged.
fn run_round(random: &[bool], place: usize) -> (usize, usize) {
    let is = |i: usize| random.get(i).copied().unwrap_or(false);
    let mut first = place;
    while first > 0 {
        match (1..=BRIDGE_BLOCKS + 1).find(|by| first >= *by && is(first - by)) {
            Some(by) => first -= by,
            None => break,
        }
    }
    let mut end = place + 1;
    while end < random.len() {
        match (0..=BRIDGE_BLOCKS).find(|by| is(end + by)) {
            Some(by) => end += by + 1,
            None => break,
        }
    }
    (first, end.min(random.len()))
}

#[cfg(test)]
mod tests {
    use super::run_round;

    #[test]
    fn a_run_bridges_one_block_but_not_two() {
        let bits = |text: &str| -> Vec<bool> { text.bytes().map(|b| b == b'x').collect() };
        assert_eq!(run_round(&bits("..xx.xxx..x"), 3), (2, 8));
        assert_eq!(run_round(&bits("xxxx"), 0), (0, 4));
        assert_eq!(run_round(&bits("....x"), 4), (4, 5));
    }
}
