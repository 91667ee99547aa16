//! Lengths and positions whose unit is in the type.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes in one sector, the unit of every size inside a VMDK.
pub const SECTOR_BYTES: u64 = 512;

/// A count of 512-byte sectors.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Sectors(pub u64);

/// A count of bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A position in bytes from the start of one source. Displays as hex, for a hex viewer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteOffset(pub u64);

/// Which grain of a virtual disk, counted from its start.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct GrainIndex(pub u64);

impl Sectors {
    /// The same length in bytes, or `None` where it passes 2^64.
    #[must_use]
    pub fn to_bytes(self) -> Option<Bytes> {
        self.0.checked_mul(SECTOR_BYTES).map(Bytes)
    }

    /// The byte position of this sector number, or `None` where it passes 2^64.
    #[must_use]
    pub fn to_offset(self) -> Option<ByteOffset> {
        self.0.checked_mul(SECTOR_BYTES).map(ByteOffset)
    }
}

impl Bytes {
    /// Whole sectors in this length, rounded up.
    #[must_use]
    pub fn to_sectors_up(self) -> Sectors {
        Sectors(self.0.div_ceil(SECTOR_BYTES))
    }
}

impl ByteOffset {
    /// The position `by` further on, or `None` past 2^64.
    #[must_use]
    pub fn checked_add(self, by: u64) -> Option<Self> {
        self.0.checked_add(by).map(Self)
    }
}

impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sectors", self.0)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

impl fmt::Display for ByteOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for GrainIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grain {}", self.0)
    }
}
