//! Group descriptors.

use super::{Superblock, crc::crc32c, u16_at, u32_at};

/// A group descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub number: u64,
    /// Block of its block bitmap.
    pub block_bitmap: u64,
    /// Block of its inode bitmap.
    pub inode_bitmap: u64,
    /// First block of its inodes.
    pub inode_table: u64,
    /// Blocks that are free.
    pub free_blocks: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
    /// Inodes at the table's end that were never written.
    pub unused_inodes: u64,
    /// 1: its inodes were never written, 2: its block bitmap was not.
    pub flags: u16,
    /// Checksum of its block bitmap.
    pub block_bitmap_sum: u32,
    /// Checksum of its inode bitmap.
    pub inode_bitmap_sum: u32,
}

impl Group {
    /// The descriptor of group `number`, if it can be one and its checksum holds.
    #[must_use]
    pub fn parse(bytes: &[u8], number: u64, volume: &Superblock) -> Option<Self> {
        let bytes = bytes.get(..usize::try_from(volume.descriptor_bytes).ok()?)?;
        let is_wide = volume.descriptor_bytes >= 64;
        let wide = |low: usize, high: usize| {
            let above = if is_wide { u64::from(u32_at(bytes, high)?) << 32 } else { 0 };
            Some(u64::from(u32_at(bytes, low)?) | above)
        };
        let half = |low: usize, high: usize| {
            let above = if is_wide { u32::from(u16_at(bytes, high)?) << 16 } else { 0 };
            Some(u32::from(u16_at(bytes, low)?) | above)
        };
        let group = Self {
            number,
            block_bitmap: wide(0, 0x20)?,
            inode_bitmap: wide(4, 0x24)?,
            inode_table: wide(8, 0x28)?,
            free_blocks: u64::from(half(0x0C, 0x2C)?),
            free_inodes: u64::from(half(0x0E, 0x2E)?),
            unused_inodes: u64::from(half(0x1C, 0x32)?),
            flags: u16_at(bytes, 0x12)?,
            block_bitmap_sum: half(0x18, 0x38)?,
            inode_bitmap_sum: half(0x1A, 0x3A)?,
        };
        let inside = |block: u64| block > 0 && block < volume.blocks;
        let is_sane = inside(group.block_bitmap)
            && inside(group.inode_bitmap)
            && inside(group.inode_table)
            && group.free_inodes <= volume.inodes_per_group
            && group.free_blocks <= volume.blocks_per_group;
        let sum = u32::try_from(number).map(|number| {
            let sum = crc32c(volume.seed, &number.to_le_bytes());
            let sum = crc32c(sum, bytes.get(..0x1E).unwrap_or_default());
            crc32c(crc32c(sum, &[0, 0]), bytes.get(0x20..).unwrap_or_default())
        });
        let is_right = !volume.has_checksums
            || sum.is_ok_and(|sum| u16_at(bytes, 0x1E).map(u32::from) == Some(sum & 0xFFFF));
        (is_sane && is_right).then_some(group)
    }

    /// Inodes that were ever written.
    #[must_use]
    pub fn made_inodes(&self, volume: &Superblock) -> u64 {
        if volume.has_uninit && self.flags & 1 != 0 {
            return 0;
        }
        let unused = if volume.has_uninit { self.unused_inodes } else { 0 };
        volume.inodes_per_group.saturating_sub(unused)
    }

    /// Whether its block bitmap was never written.
    #[must_use]
    pub fn has_no_block_bitmap(&self, volume: &Superblock) -> bool {
        volume.has_uninit && self.flags & 2 != 0
    }

    /// Whether a bitmap has this checksum; `None`: it has none.
    #[must_use]
    pub fn bitmap_holds(&self, bytes: &[u8], stated: u32, volume: &Superblock) -> Option<bool> {
        volume.has_checksums.then(|| {
            let sum = crc32c(volume.seed, bytes);
            stated == if volume.descriptor_bytes >= 64 { sum } else { sum & 0xFFFF }
        })
    }
}
