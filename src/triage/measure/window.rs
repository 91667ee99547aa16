//! One 1 MiB window: its blocks, and what only sums over several blocks can tell.

use super::{
    BLOCK_BYTES, BLOCKS_PER_SPAN, BLOCKS_PER_WINDOW, WINDOW_BYTES,
    block::{self, BlockClass, BlockRecord},
    chi::ChiSquare,
    counts::Counts,
    lanes::{LaneHistograms, LaneRecord},
};

/// The random-like blocks of one 64 KiB span, summed.
///
/// Only random-like blocks are summed: a span that is half zeros still tells ciphertext from
/// deflate in its other half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanRecord {
    /// How many blocks of the span are random-like.
    pub random_blocks: u16,
    /// Chi-square of their summed counts.
    pub chi_square: ChiSquare,
}

/// Neighbouring random-like blocks of one window, two or more, summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomRun {
    /// First block, counted in the window.
    pub first_block: u16,
    /// How many blocks.
    pub blocks: u16,
    /// Chi-square of their summed counts.
    pub chi_square: ChiSquare,
}

/// A dense stretch in a block that is else zero: what encryption of a few bytes in each period
/// leaves in empty space. At most one a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Island {
    /// First non-zero byte, counted from the start of the window.
    pub offset_bytes: u32,
    /// From the first to the last non-zero byte.
    pub length_bytes: u16,
}

/// Bytes of one window that the medium did not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadableRun {
    /// First block, counted in the window.
    pub first_block: u16,
    /// How many blocks.
    pub blocks: u16,
    /// Why.
    pub cause: ReadFailure,
}

/// Why the medium did not give bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReadFailure {
    /// The source ended before them: it shrank, or was cut.
    Ended,
    /// The system's error number.
    Os(i32),
    /// The source itself could not say where the bytes are, such as a virtual disk whose tables
    /// are lost.
    Untold,
}

impl std::fmt::Display for ReadFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended => f.write_str("the source ends before it"),
            Self::Os(number) => std::io::Error::from_raw_os_error(*number).fmt(f),
            Self::Untold => f.write_str("the source cannot tell where it is"),
        }
    }
}

/// Everything kept of one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRecord {
    /// First byte, from the start of the source; a multiple of [`WINDOW_BYTES`].
    pub offset_bytes: u64,
    /// Bytes covered: [`WINDOW_BYTES`], less only at the end of the source.
    pub length_bytes: u32,
    /// One a block; the last block may be shorter than [`BLOCK_BYTES`].
    pub blocks: Vec<BlockRecord>,
    /// One a span.
    pub spans: Vec<SpanRecord>,
    /// All random-like blocks of the window, summed.
    pub whole: SpanRecord,
    /// Maximal runs of random-like blocks within the window, in order.
    pub runs: Vec<RandomRun>,
    /// Dense stretches in near-zero blocks, in order.
    pub islands: Vec<Island>,
    /// Why blocks are [`BlockClass::Unreadable`], in order, all of them covered.
    pub unreadable: Vec<UnreadableRun>,
    /// Lanes, where they were asked for.
    pub lanes: Option<LaneRecord>,
}

impl WindowRecord {
    /// Bytes of block `index`: all but the last are [`BLOCK_BYTES`].
    #[must_use]
    pub fn block_bytes(&self, index: usize) -> usize {
        let rest = (self.length_bytes as usize).saturating_sub(index * BLOCK_BYTES);
        rest.min(BLOCK_BYTES)
    }

    /// Place of block `index`, from the start of the source.
    #[must_use]
    pub fn block_offset(&self, index: usize) -> u64 {
        self.offset_bytes.saturating_add((index * BLOCK_BYTES) as u64)
    }
}

/// Fewest and most non-zero bytes of a block that may hold one [`Island`].
const ISLAND_BYTES: std::ops::RangeInclusive<u16> = 12..=600;

/// Sums of random-like blocks on the way; 32 bits hold a window's count of one value.
#[derive(Clone)]
struct Sum {
    counts: [u32; 256],
    blocks: u16,
    bytes: u32,
}

impl Sum {
    const EMPTY: Self = Self { counts: [0; 256], blocks: 0, bytes: 0 };

    fn add(&mut self, counts: &Counts, bytes: u16) {
        for (sum, &count) in self.counts.iter_mut().zip(counts) {
            *sum += u32::from(count);
        }
        self.blocks += 1;
        self.bytes += u32::from(bytes);
    }

    fn merge(&mut self, other: &Self) {
        if other.blocks == 0 {
            return;
        }
        for (sum, &count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }

    fn chi_square(&self) -> ChiSquare {
        let squares = self.counts.iter().map(|&n| u64::from(n) * u64::from(n)).sum();
        ChiSquare::from_sums(squares, u64::from(self.bytes))
    }

    /// The record, and empty again.
    fn take(&mut self) -> SpanRecord {
        let record = SpanRecord { random_blocks: self.blocks, chi_square: self.chi_square() };
        if self.blocks > 0 {
            *self = Self::EMPTY;
        }
        record
    }
}

/// Measures windows, one after the other; keeps its buffers between them.
pub struct WindowBuilder {
    record: WindowRecord,
    span: Sum,
    whole: Sum,
    run: Sum,
    lanes: Option<[LaneHistograms; 2]>,
    sampled: u16,
}

impl WindowBuilder {
    /// A builder; `lanes` asks for a [`LaneRecord`] with each window.
    #[must_use]
    pub fn new(lanes: bool) -> Self {
        let lanes = lanes.then(|| [LaneHistograms::new(16, 2), LaneHistograms::new(64, 3)]);
        Self {
            record: empty_record(0),
            span: Sum::EMPTY,
            whole: Sum::EMPTY,
            run: Sum::EMPTY,
            lanes,
            sampled: 0,
        }
    }

    /// Begins a window that starts at this multiple of [`WINDOW_BYTES`], dropping any unfinished.
    pub fn begin(&mut self, offset_bytes: u64) {
        self.record = empty_record(offset_bytes);
        self.span = Sum::EMPTY;
        self.whole = Sum::EMPTY;
        self.run = Sum::EMPTY;
        self.sampled = 0;
        for lanes in self.lanes.iter_mut().flatten() {
            lanes.clear();
        }
    }

    /// Bytes of the window covered so far.
    #[must_use]
    pub fn covered_bytes(&self) -> usize {
        self.record.length_bytes as usize
    }

    /// Measures the bytes that come next. All but the last piece of a source must be whole
    /// blocks; bytes past the window's end are left alone.
    pub fn push(&mut self, bytes: &[u8]) {
        for block in bytes.chunks(BLOCK_BYTES) {
            if self.is_full() {
                return;
            }
            self.push_block(block);
        }
    }

    /// Takes a hole of this many bytes as read.
    pub fn push_hole(&mut self, bytes: usize) {
        self.push_unread(bytes, BlockRecord::ABSENT);
    }

    /// Takes bytes that could not be read.
    pub fn push_unreadable(&mut self, bytes: usize, cause: ReadFailure) {
        let first_block = self.next_block();
        self.push_unread(bytes, BlockRecord::UNREADABLE);
        let blocks = self.next_block() - first_block;
        match self.record.unreadable.last_mut() {
            Some(last) if last.cause == cause && last.first_block + last.blocks == first_block => {
                last.blocks += blocks;
            }
            _ if blocks == 0 => {}
            _ => self.record.unreadable.push(UnreadableRun { first_block, blocks, cause }),
        }
    }

    /// Ends the window and gives its record.
    #[must_use]
    pub fn finish(&mut self) -> WindowRecord {
        self.end_run();
        if !self.record.blocks.len().is_multiple_of(BLOCKS_PER_SPAN) {
            self.end_span();
        }
        self.record.whole = self.whole.take();
        if let Some([of_32, of_192]) = &self.lanes {
            let mut lanes = LaneRecord { blocks: self.sampled, ..LaneRecord::default() };
            for (chi, lane) in lanes.of_32.iter_mut().zip(of_32.lanes()) {
                *chi = lane.chi_square();
            }
            for (chi, lane) in lanes.of_192.iter_mut().zip(of_192.lanes()) {
                *chi = lane.chi_square();
            }
            self.record.lanes = Some(lanes);
        }
        let next = self.record.offset_bytes.saturating_add(WINDOW_BYTES as u64);
        let record = std::mem::replace(&mut self.record, empty_record(0));
        self.begin(next);
        record
    }

    fn is_full(&self) -> bool {
        self.record.blocks.len() >= BLOCKS_PER_WINDOW
    }

    fn next_block(&self) -> u16 {
        // At most BLOCKS_PER_WINDOW.
        u16::try_from(self.record.blocks.len()).unwrap_or(u16::MAX)
    }

    fn push_unread(&mut self, bytes: usize, record: BlockRecord) {
        let mut rest = bytes;
        while rest > 0 && !self.is_full() {
            let take = rest.min(BLOCK_BYTES);
            self.end_run();
            self.keep(record, take);
            rest -= take;
        }
    }

    fn push_block(&mut self, bytes: &[u8]) {
        let (stats, counts) = block::measure(bytes);
        let record = BlockRecord::from(stats);
        if let Some(counts) = &counts {
            if record.is_random_like() {
                self.run.add(counts, stats.bytes);
                self.span.add(counts, stats.bytes);
            } else {
                self.end_run();
                self.look_inside(bytes, counts, record);
            }
        } else {
            self.end_run();
        }
        self.keep(record, bytes.len());
    }

    /// Stores the record and closes the span if it was its last block.
    fn keep(&mut self, record: BlockRecord, bytes: usize) {
        self.record.blocks.push(record);
        // At most BLOCK_BYTES.
        self.record.length_bytes += u32::try_from(bytes).unwrap_or(0);
        if self.record.blocks.len().is_multiple_of(BLOCKS_PER_SPAN) {
            self.end_span();
        }
    }

    fn end_run(&mut self) {
        if self.run.blocks == 0 {
            return;
        }
        // Blocks of the run are the last ones kept.
        let first_block = self.next_block() - self.run.blocks;
        let SpanRecord { random_blocks: blocks, chi_square } = self.run.take();
        if blocks > 1 {
            self.record.runs.push(RandomRun { first_block, blocks, chi_square });
        }
    }

    fn end_span(&mut self) {
        self.whole.merge(&self.span);
        self.record.spans.push(self.span.take());
    }

    /// What block sums cannot see: islands in zeros, and lanes.
    fn look_inside(&mut self, bytes: &[u8], counts: &Counts, record: BlockRecord) {
        if record.class() != BlockClass::Data {
            return;
        }
        let place = self.record.blocks.len();
        let [zeros, ..] = counts;
        let dense = u16::try_from(bytes.len()).unwrap_or(u16::MAX).saturating_sub(*zeros);
        if ISLAND_BYTES.contains(&dense)
            && let Some(first) = bytes.iter().position(|&byte| byte != 0)
            && let Some(last) = bytes.iter().rposition(|&byte| byte != 0)
            // A quarter of an island may be zero by chance or by the plaintext's own ways.
            && (last + 1 - first) * 3 <= usize::from(dense) * 4
        {
            self.record.islands.push(Island {
                // Both fit: inside a window, inside a block.
                offset_bytes: u32::try_from(place * BLOCK_BYTES + first).unwrap_or(u32::MAX),
                length_bytes: u16::try_from(last + 1 - first).unwrap_or(u16::MAX),
            });
        }
        if let Some(lanes) = &mut self.lanes
            && place.is_multiple_of(LaneRecord::SAMPLE_ONE_IN)
        {
            let offset = self.record.offset_bytes.saturating_add((place * BLOCK_BYTES) as u64);
            for histograms in lanes {
                histograms.add(bytes, offset);
            }
            self.sampled += 1;
        }
    }
}

fn empty_record(offset_bytes: u64) -> WindowRecord {
    WindowRecord {
        offset_bytes,
        length_bytes: 0,
        blocks: Vec::with_capacity(BLOCKS_PER_WINDOW),
        spans: Vec::with_capacity(BLOCKS_PER_WINDOW / BLOCKS_PER_SPAN),
        whole: SpanRecord::default(),
        runs: Vec::new(),
        islands: Vec::new(),
        unreadable: Vec::new(),
        lanes: None,
    }
}
