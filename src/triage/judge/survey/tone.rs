//! How stretches of a disk look, and where they lie.

use std::ops::Range;

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

    /// Whether a whole block of it shows that there was no encryption.
    #[must_use]
    pub fn is_plain(self) -> bool {
        matches!(self, Self::Plain | Self::Zero | Self::Absent | Self::Proven)
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
