//! XFS of version 5, whose metadata has checksums: superblock, inodes, extents, folders, and the
//! heads by which blocks say what and whose they are. Of version 4 the superblock alone.
//!
//! Layout after the kernel's `xfs_format.h`, `xfs_da_format.h` and `xfs_log_format.h`. Numbers are
//! big-endian, the checksums (CRC-32C) are not. A parser gives `None` where its structure cannot
//! be one.

mod block;
mod changes;
mod extent;
mod folder;
mod group;
mod inode;
mod log;
mod superblock;

#[cfg(test)]
mod tests;

use crate::ext::crc32c;

pub use crate::ext::{EntryKind, Extent, InodeKind, Node};
pub use block::{BlockHead, BlockKind};
pub use changes::{Changes, LogReader};
pub use extent::{tree_block, tree_root};
pub use folder::{Entry, folder_entries, short_folder};
pub use group::{InodeChunk, InodeHead, InodeNode, SpaceHead, inode_tree_block};
pub use inode::{Fork, INODE_SIZES, Inode, inode_bytes};
pub use log::{LogRecord, cycle_of, is_unmount};
pub use superblock::Superblock;

/// Places on the medium are counted in these.
pub const SECTOR: u64 = 512;
/// Smallest and largest block.
const BLOCK_SIZES: std::ops::RangeInclusive<usize> = 512..=65_536;

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn uuid_at(bytes: &[u8], at: usize) -> Option<[u8; 16]> {
    bytes.get(at..at.checked_add(16)?)?.try_into().ok()
}

/// Whether the checksum at `sum_at` is that of all the bytes, itself taken as zeros.
#[must_use]
pub fn sum_holds(bytes: &[u8], sum_at: usize) -> bool {
    size_by_sum(bytes, sum_at, bytes.len()..=bytes.len()).is_some()
}

/// How many of the bytes, a power of two or all of them, the checksum at `sum_at` is made over.
fn size_by_sum(
    bytes: &[u8],
    sum_at: usize,
    sizes: std::ops::RangeInclusive<usize>,
) -> Option<usize> {
    let behind = sum_at.checked_add(4)?;
    let sum = u32::from_le_bytes(bytes.get(sum_at..behind)?.try_into().ok()?);
    let mut size = *sizes.start();
    let mut crc = crc32c(crc32c(u32::MAX, bytes.get(..sum_at)?), &[0; 4]);
    let mut done = behind;
    while size <= *sizes.end() {
        crc = crc32c(crc, bytes.get(done..size)?);
        if !crc == sum {
            return Some(size);
        }
        done = size;
        size = size.checked_mul(2)?;
    }
    None
}
