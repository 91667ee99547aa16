//! Where a file's blocks lie: nodes of extent trees, and blocks of block numbers.

use super::{crc::crc32c, u16_at, u32_at};

/// Consecutive blocks of a file that lie consecutively.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First block of the file.
    pub block: u64,
    /// How many.
    pub count: u64,
    /// First block of the volume.
    pub start: u64,
    /// Whether it was only set aside: it reads as zero.
    pub is_unwritten: bool,
}

/// A node of an extent tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Extents, in order, without overlap.
    Leaf(Vec<Extent>),
    /// Its depth, and for each child its first block of the file and its block of the volume.
    Index(u16, Vec<(u64, u64)>),
}

/// Nodes lie no deeper than this.
const DEEPEST: u16 = 5;
/// Bytes of a node's head, and of each entry behind it.
const ENTRY: usize = 12;

/// Where a node of so many entries ends.
fn tail(entries: usize) -> usize {
    entries.saturating_add(1).saturating_mul(ENTRY)
}

impl Node {
    /// The node that `bytes` are; `None` where they cannot be one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (count, most) = (usize::from(u16_at(bytes, 2)?), usize::from(u16_at(bytes, 4)?));
        let depth = u16_at(bytes, 6)?;
        let room = bytes.len().saturating_sub(12) / ENTRY;
        if u16_at(bytes, 0)? != 0xF30A || depth > DEEPEST || count > most || most > room {
            return None;
        }
        let entries = bytes.get(ENTRY..tail(count))?.chunks_exact(ENTRY);
        let mut end = 0;
        if depth == 0 {
            let mut extents = Vec::with_capacity(count);
            for entry in entries {
                let block = u64::from(u32_at(entry, 0)?);
                let length = u64::from(u16_at(entry, 4)?);
                let is_unwritten = length > 0x8000;
                let count = if is_unwritten { length.saturating_sub(0x8000) } else { length };
                let start = u64::from(u32_at(entry, 8)?) | u64::from(u16_at(entry, 6)?) << 32;
                if count == 0 || block < end || start == 0 {
                    return None;
                }
                end = block.saturating_add(count);
                extents.push(Extent { block, count, start, is_unwritten });
            }
            return Some(Self::Leaf(extents));
        }
        let mut children = Vec::with_capacity(count);
        for entry in entries {
            let block = u64::from(u32_at(entry, 0)?);
            let child = u64::from(u32_at(entry, 4)?) | u64::from(u16_at(entry, 8)?) << 32;
            if (block < end && !children.is_empty()) || child == 0 {
                return None;
            }
            end = block.saturating_add(1);
            children.push((block, child));
        }
        Some(Self::Index(depth, children))
    }

    /// Whether the checksum behind a node in a block of its own is right. `seed` is the
    /// checksum's beginning for its inode.
    #[must_use]
    pub fn sum_holds(bytes: &[u8], seed: u32) -> bool {
        let Some(most) = u16_at(bytes, 4) else { return false };
        let tail = tail(usize::from(most));
        let Some(summed) = bytes.get(..tail) else { return false };
        u32_at(bytes, tail) == Some(crc32c(seed, summed))
    }
}

/// Block numbers in a block of them.
pub fn pointers(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u64::from(u32::from_le_bytes(*word)))
}
