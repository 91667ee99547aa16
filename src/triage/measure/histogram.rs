//! Byte counts of any stretch, as wide as one likes.

use super::{chi::ChiSquare, counts};

/// So many bytes are worth tables of their own, which are emptied and summed.
const MANY_BYTES: usize = 1024;

/// Counts of the 256 byte values over any number of bytes; sums of histograms are histograms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteHistogram {
    counts: [u64; 256],
    total: u64,
}

impl Default for ByteHistogram {
    fn default() -> Self {
        Self { counts: [0; 256], total: 0 }
    }
}

impl ByteHistogram {
    /// Counts these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut histogram = Self::default();
        histogram.add(bytes);
        histogram
    }

    /// Counts more bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for block in bytes.chunks(super::BLOCK_BYTES) {
            if block.len() < MANY_BYTES {
                self.add_few(block);
            } else {
                self.add_counts(&counts::count(block));
            }
        }
    }

    /// Counts bytes one by one.
    pub(super) fn add_few(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.counts[usize::from(byte)] += 1;
        }
        self.total += bytes.len() as u64;
    }

    /// Adds the counts of one block.
    pub(super) fn add_counts(&mut self, counts: &counts::Counts) {
        for (sum, &count) in self.counts.iter_mut().zip(counts) {
            *sum += u64::from(count);
            self.total += u64::from(count);
        }
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (sum, &count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
        self.total += other.total;
    }

    /// The counts by byte value.
    #[must_use]
    pub fn counts(&self) -> &[u64; 256] {
        &self.counts
    }

    /// Bytes counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Σn² over the counts, stopping at 2^64.
    #[must_use]
    pub fn sum_of_squares(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &n| sum.saturating_add(n.saturating_mul(n)))
    }

    /// Chi-square against uniform bytes.
    #[must_use]
    pub fn chi_square(&self) -> ChiSquare {
        ChiSquare::from_sums(self.sum_of_squares(), self.total)
    }

    /// Entropy in bits per byte; 0 for no bytes.
    #[must_use]
    pub fn entropy_bits(&self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        let total = lossy(self.total);
        let sum: f64 =
            self.counts.iter().filter(|&&n| n > 0).map(|&n| lossy(n) * lossy(n).log2()).sum();
        (total.log2() - sum / total).max(0.0)
    }

    /// Share of printable ASCII, tab and line ends, 0 to 1; 0 for no bytes.
    #[must_use]
    pub fn printable_share(&self) -> f64 {
        let printable: u64 = (0u8..=255)
            .zip(&self.counts)
            .filter(|(byte, _)| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r'))
            .map(|(_, &count)| count)
            .sum();
        if self.total == 0 { 0.0 } else { lossy(printable) / lossy(self.total) }
    }

    /// Share of zero bytes, 0 to 1; 0 for no bytes.
    #[must_use]
    pub fn zero_share(&self) -> f64 {
        let [zeros, ..] = self.counts;
        if self.total == 0 { 0.0 } else { lossy(zeros) / lossy(self.total) }
    }
}

/// Counts as real numbers: 53 bits are enough for a share.
fn lossy(count: u64) -> f64 {
    count as f64
}
