//! Bytes to numbers: the statistics kernel that every judgement stands on.
//!
//! Unit of measure is the 4 KiB block ([`BLOCK_BYTES`]); blocks are summed to 64 KiB spans and
//! 1 MiB windows ([`WindowRecord`]). All numbers come from integer counts, so they are the same
//! on every processor and for any number of threads.

mod block;
mod chi;
mod counts;
mod entropy;
mod histogram;
mod lanes;
mod window;

pub use block::{BlockClass, BlockRecord, BlockStats, SHORTEST_JUDGED_BYTES};
pub use chi::{ChiSquare, RANDOM_CHI2_HIGH, RANDOM_CHI2_LOW};
pub use entropy::entropy_of_small;
pub use histogram::ByteHistogram;
pub use lanes::{LaneHistograms, LaneRecord};
pub use window::{
    Island, RandomRun, ReadFailure, SpanRecord, UnreadableRun, WindowBuilder, WindowRecord,
};

/// Bytes in a block, the finest unit of the pass.
pub const BLOCK_BYTES: usize = 4096;
/// Bytes in a span, sixteen blocks.
pub const SPAN_BYTES: usize = 65_536;
/// Bytes in a window, sixteen spans: what one worker measures at a time.
pub const WINDOW_BYTES: usize = 1_048_576;
/// Blocks in a full span.
pub const BLOCKS_PER_SPAN: usize = SPAN_BYTES / BLOCK_BYTES;
/// Blocks in a full window.
pub const BLOCKS_PER_WINDOW: usize = WINDOW_BYTES / BLOCK_BYTES;
