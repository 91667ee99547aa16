//! ext2, ext3, ext4: superblock, group descriptors, inodes, extents and folders.
//!
//! Layout after the kernel's documentation of ext4's disk layout. Nothing is believed that the
//! geometry rules out, and checksums are asked where the file system has them. A parser gives
//! `None` where its structure cannot be one.

mod crc;
mod folder;
mod group;
mod inode;
mod journal;
mod superblock;
mod tree;

#[cfg(test)]
mod tests;

pub use crc::crc32c;
pub use folder::{Entries, Entry, EntryKind, folder_block_holds, inline_folder};
pub use group::Group;
pub use inode::{Inode, InodeKind, inode_flags, is_inode, number_by_inode, seed_by_inode};
pub use journal::{Journal, JournalBlock, Tag};
pub use superblock::{EXT_MAGIC, SUPERBLOCK_AT, Superblock, is_superblock};
pub use tree::{Extent, Node, pointers};

/// The little-endian number at `at`.
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// The little-endian number at `at`.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
