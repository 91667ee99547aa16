//! Typed values of single keys.

use std::fmt;

use serde::{Serialize, Serializer};

/// The content ID of a disk: changes at the first write after each open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub u32);

impl ContentId {
    /// `ffffffff` as parentCID: this disk has no parent.
    pub const NO_PARENT: Self = Self(0xffff_ffff);
    /// `fffffffe`: never written since creation.
    pub const NEVER_WRITTEN: Self = Self(0xffff_fffe);

    /// Reads 1 to 8 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.trim();
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if plain { u32::from_str_radix(digits, 16).ok().map(Self) } else { None }
    }

    /// The CID that belongs to a `ddb.longContentID`: its last 8 hex digits.
    /// Measured on 11 of 11 descriptors written by VMware; not documented.
    #[must_use]
    pub fn from_long_content_id(text: &str) -> Option<Self> {
        let digits = text.trim();
        let long = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if long { Self::from_hex(digits.get(24..)?) } else { None }
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl Serialize for ContentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Cylinders, heads and sectors as a descriptor states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Geometry {
    /// Cylinders; ESXi does not cap them.
    pub cylinders: u64,
    /// Heads.
    pub heads: u64,
    /// Sectors a track.
    pub sectors: u64,
}
