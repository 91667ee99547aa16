//! One 4 KiB block: exact sums, and the four bytes that are kept of it.

use super::{
    BLOCK_BYTES,
    chi::ChiSquare,
    counts::{self, Counts, Uniform},
    entropy::{entropy_8192ths, n_log_n_table},
};

/// A last block shorter than this says nothing about randomness: too few bytes for 256 cells.
pub const SHORTEST_JUDGED_BYTES: usize = 1024;

/// What a block is before any judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockClass {
    /// Inside a hole: nothing allocated, reads as zero. Not read.
    Absent,
    /// Read, all bytes zero.
    Zero,
    /// Read, all bytes this value (never zero).
    Constant(u8),
    /// Read and counted: chi-square and entropy are there.
    Data,
    /// Read and counted, but the source's last block and shorter than
    /// [`SHORTEST_JUDGED_BYTES`]: entropy only.
    Short,
    /// The medium did not give it.
    Unreadable,
}

/// Exact sums over the byte counts of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockStats {
    /// What the block is; [`BlockClass::Absent`] and [`BlockClass::Unreadable`] never come from
    /// measuring.
    pub class: BlockClass,
    /// Bytes measured, at most [`BLOCK_BYTES`].
    pub bytes: u16,
    /// Σn² over the 256 counts.
    pub sum_of_squares: u32,
    /// Σn·log2(n) over the 256 counts, in 65,536ths.
    pub sum_n_log_n: u32,
}

impl BlockStats {
    /// Measures one block; bytes past [`BLOCK_BYTES`] are left alone.
    #[must_use]
    pub fn of(block: &[u8]) -> Self {
        measure(block).0
    }

    /// Chi-square against uniform bytes.
    #[must_use]
    pub fn chi_square(&self) -> ChiSquare {
        ChiSquare::from_sums(u64::from(self.sum_of_squares), u64::from(self.bytes))
    }

    /// Entropy in bits per byte.
    #[must_use]
    pub fn entropy_bits(&self) -> f64 {
        let bytes = usize::from(self.bytes);
        let Some(&all) = n_log_n_table().get(bytes) else { return 0.0 };
        if bytes == 0 {
            return 0.0;
        }
        f64::from(all.saturating_sub(self.sum_n_log_n)) / (65_536.0 * f64::from(self.bytes))
    }
}

/// Measures one block; the counts come along where they had to be made.
pub(super) fn measure(block: &[u8]) -> (BlockStats, Option<Counts>) {
    let block = block.get(..BLOCK_BYTES).unwrap_or(block);
    // The cut above keeps this below 2^16.
    let bytes = u16::try_from(block.len()).unwrap_or(u16::MAX);
    if let Uniform::Yes(value) = counts::uniform(block) {
        let class = if value == 0 { BlockClass::Zero } else { BlockClass::Constant(value) };
        let stats = BlockStats {
            class,
            bytes,
            sum_of_squares: u32::from(bytes) * u32::from(bytes),
            sum_n_log_n: n_log_n_table().get(block.len()).copied().unwrap_or(0),
        };
        return (stats, None);
    }
    let counts = counts::count(block);
    let table = n_log_n_table();
    let (mut sum_of_squares, mut sum_n_log_n) = (0u32, 0u32);
    for &count in &counts {
        sum_of_squares += u32::from(count) * u32::from(count);
        // A count is at most the block's length; the mask only spares the check.
        sum_n_log_n += table[usize::from(count & 0x1FFF).min(BLOCK_BYTES)];
    }
    let class =
        if block.len() < SHORTEST_JUDGED_BYTES { BlockClass::Short } else { BlockClass::Data };
    (BlockStats { class, bytes, sum_of_squares, sum_n_log_n }, Some(counts))
}

/// What is kept of a block: its class, or chi-square and entropy, in four bytes.
///
/// Chi-square is exact (in sixteenths) below 2048 and has eleven significant bits above;
/// entropy has steps of 1/8192 bit.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockRecord {
    chi: u16,
    entropy: u16,
}

const ABSENT: u16 = 0xFFFF;
const ZERO: u16 = 0xFFFE;
const CONSTANT: u16 = 0xFFFD;
const UNREADABLE: u16 = 0xFFFC;
const SHORT: u16 = 0xFFFB;
/// Codes from here on are exponent and mantissa.
const COARSE: u16 = 0x8000;
const MANTISSA_BITS: u32 = 11;

impl BlockRecord {
    /// A block inside a hole.
    pub const ABSENT: Self = Self { chi: ABSENT, entropy: 0 };
    /// A block of zeros that was read.
    pub const ZERO: Self = Self { chi: ZERO, entropy: 0 };
    /// A block the medium did not give.
    pub const UNREADABLE: Self = Self { chi: UNREADABLE, entropy: 0 };

    /// The class.
    #[must_use]
    pub fn class(self) -> BlockClass {
        match self.chi {
            ABSENT => BlockClass::Absent,
            ZERO => BlockClass::Zero,
            CONSTANT => BlockClass::Constant(self.entropy.to_le_bytes()[0]),
            UNREADABLE => BlockClass::Unreadable,
            SHORT => BlockClass::Short,
            _ => BlockClass::Data,
        }
    }

    /// Chi-square of a [`BlockClass::Data`] block.
    #[must_use]
    pub fn chi_square(self) -> Option<ChiSquare> {
        match self.chi {
            SHORT.. => None,
            COARSE.. => {
                let code = u32::from(self.chi - COARSE);
                let exponent = code >> MANTISSA_BITS;
                let mantissa = (code & ((1 << MANTISSA_BITS) - 1)) | (1 << MANTISSA_BITS);
                let shifted = mantissa.checked_shl(15 - MANTISSA_BITS + exponent);
                Some(ChiSquare::from_sixteenths(shifted.unwrap_or(u32::MAX)))
            }
            exact => Some(ChiSquare::from_sixteenths(u32::from(exact))),
        }
    }

    /// Entropy in bits per byte of a block that was read; zero for uniform ones.
    #[must_use]
    pub fn entropy_bits(self) -> Option<f64> {
        match self.class() {
            BlockClass::Data | BlockClass::Short => Some(f64::from(self.entropy) / 8192.0),
            BlockClass::Zero | BlockClass::Constant(_) => Some(0.0),
            BlockClass::Absent | BlockClass::Unreadable => None,
        }
    }

    /// Whether uniformly random bytes look like this block.
    #[must_use]
    pub fn is_random_like(self) -> bool {
        self.chi_square().is_some_and(ChiSquare::is_random_like)
    }

    /// Whether it reads as zeros: read as such, or in a hole.
    #[must_use]
    pub fn reads_as_zero(self) -> bool {
        matches!(self.chi, ABSENT | ZERO)
    }

    /// The four bytes, for storing.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.chi.to_le_bytes(), self.entropy.to_le_bytes());
        [a, b, c, d]
    }

    /// From stored bytes; all values are valid.
    #[must_use]
    pub fn from_bytes([a, b, c, d]: [u8; 4]) -> Self {
        Self { chi: u16::from_le_bytes([a, b]), entropy: u16::from_le_bytes([c, d]) }
    }
}

impl From<BlockStats> for BlockRecord {
    fn from(stats: BlockStats) -> Self {
        let entropy = || entropy_8192ths(stats.sum_n_log_n, usize::from(stats.bytes));
        match stats.class {
            BlockClass::Absent => Self::ABSENT,
            BlockClass::Zero => Self::ZERO,
            BlockClass::Unreadable => Self::UNREADABLE,
            BlockClass::Constant(value) => Self { chi: CONSTANT, entropy: u16::from(value) },
            BlockClass::Short => Self { chi: SHORT, entropy: entropy() },
            BlockClass::Data => {
                Self { chi: encode_chi(stats.chi_square().sixteenths()), entropy: entropy() }
            }
        }
    }
}

impl std::fmt::Debug for BlockRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.chi_square() {
            Some(chi) => write!(f, "χ² {chi} {:.4} bits", f64::from(self.entropy) / 8192.0),
            None => write!(f, "{:?}", self.class()),
        }
    }
}

fn encode_chi(sixteenths: u32) -> u16 {
    match u16::try_from(sixteenths) {
        Ok(exact) if exact < COARSE => exact,
        _ => {
            // At least 2^15 here, so the exponent is counted from there.
            let exponent = sixteenths.ilog2() - 15;
            let mantissa = sixteenths >> (15 - MANTISSA_BITS + exponent);
            let code = exponent << MANTISSA_BITS | (mantissa & ((1 << MANTISSA_BITS) - 1));
            u16::try_from(code).map_or(SHORT - 1, |code| (COARSE + code.min(0x7FFA)).min(SHORT - 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_constant_short_and_empty_blocks_are_named() {
        assert_eq!(BlockStats::of(&[0; 4096]).class, BlockClass::Zero);
        assert_eq!(BlockStats::of(&[7; 4096]).class, BlockClass::Constant(7));
        assert_eq!(BlockStats::of(&[1, 2, 3]).class, BlockClass::Short);
        assert_eq!(BlockStats::of(&[]).class, BlockClass::Short);
        let mut last_differs = [0u8; 4096];
        last_differs[4095] = 1;
        assert_eq!(BlockStats::of(&last_differs).class, BlockClass::Data);
        let constant = BlockRecord::from(BlockStats::of(&[7; 100]));
        assert_eq!(constant.class(), BlockClass::Constant(7));
    }

    #[test]
    fn chi_square_is_kept_exactly_below_2048_and_to_one_part_in_2048_above() {
        for sixteenths in (0..40_000).chain((40_000..17_000_000).step_by(997)) {
            let kept = BlockRecord { chi: encode_chi(sixteenths), entropy: 0 };
            let back = kept.chi_square().unwrap().sixteenths();
            assert!(back <= sixteenths && sixteenths - back <= sixteenths / 2048, "{sixteenths}");
            if sixteenths < 0x8000 {
                assert_eq!(back, sixteenths);
            }
        }
    }
}
