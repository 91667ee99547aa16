//! Lanes: bytes that share their place modulo a period, which is where encryption of a few
//! bytes in each period shows although no block looks random.

use super::{chi::ChiSquare, histogram::ByteHistogram};

/// Byte counts of each lane of one period.
///
/// With `lane_bytes` 16 and two lanes, lane 0 holds the bytes whose offset modulo 32 is below
/// 16. Offsets count from the start of the source, or from any other origin the caller keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneHistograms {
    lane_bytes: usize,
    lanes: Vec<ByteHistogram>,
}

impl LaneHistograms {
    /// Empty counts for `lanes` lanes of `lane_bytes` each; both at least one.
    #[must_use]
    pub fn new(lane_bytes: usize, lanes: usize) -> Self {
        Self { lane_bytes: lane_bytes.max(1), lanes: vec![ByteHistogram::default(); lanes.max(1)] }
    }

    /// Counts bytes that begin at `offset`.
    pub fn add(&mut self, mut bytes: &[u8], mut offset: u64) {
        let lane_bytes = self.lane_bytes as u64;
        let count = self.lanes.len() as u64;
        while !bytes.is_empty() {
            let rest_of_lane = lane_bytes - offset % lane_bytes;
            let take = usize::try_from(rest_of_lane).map_or(bytes.len(), |r| r.min(bytes.len()));
            let (now, later) = bytes.split_at(take);
            let lane = usize::try_from(offset / lane_bytes % count).unwrap_or(0);
            if let Some(histogram) = self.lanes.get_mut(lane) {
                histogram.add_few(now);
            }
            bytes = later;
            offset = offset.wrapping_add(take as u64);
        }
    }

    /// The counts, lane by lane.
    #[must_use]
    pub fn lanes(&self) -> &[ByteHistogram] {
        &self.lanes
    }

    /// Forgets all counts.
    pub(super) fn clear(&mut self) {
        self.lanes.fill(ByteHistogram::default());
    }
}

/// Chi-square of the lanes of two common lattices over sampled blocks of one window.
///
/// Sampled are blocks that are neither uniform nor random-like: one in
/// [`LaneRecord::SAMPLE_ONE_IN`], by their place in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneRecord {
    /// Blocks sampled; with none, the rest is zero.
    pub blocks: u16,
    /// 16-byte lanes modulo 32.
    pub of_32: [ChiSquare; 2],
    /// 64-byte lanes modulo 192.
    pub of_192: [ChiSquare; 3],
}

impl LaneRecord {
    /// Of so many blocks by place, one is sampled.
    pub const SAMPLE_ONE_IN: usize = 8;
}
