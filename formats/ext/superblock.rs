//! The superblock and its copies.

use super::{Inode, InodeKind, crc::crc32c, inode_flags, u16_at, u32_at};

/// The first superblock lies this far into the volume.
pub const SUPERBLOCK_AT: usize = 1024;
const FIRST_AT: u64 = 1024;
/// At byte 0x38 of every superblock.
pub const EXT_MAGIC: u16 = 0xEF53;

/// Geometry as a superblock states it; all of it bounded, and none of it proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Bytes a block: 1 KiB to 64 KiB.
    pub block_bytes: u64,
    /// First block of group 0: 1 where a block is 1 KiB, else 0.
    pub first_block: u64,
    /// Blocks of the volume.
    pub blocks: u64,
    /// Blocks a group.
    pub blocks_per_group: u64,
    /// Inodes a group.
    pub inodes_per_group: u64,
    /// Bytes an inode.
    pub inode_bytes: u64,
    /// Bytes a group descriptor.
    pub descriptor_bytes: u64,
    /// Groups.
    pub groups: u64,
    /// Group that this copy lies in.
    pub group: u64,
    /// The volume's own number.
    pub uuid: [u8; 16],
    /// What checksums begin with.
    pub seed: u32,
    /// When it was last written, seconds since 1970.
    pub written: u32,
    /// Features that all must know.
    pub incompat: u32,
    /// Features that writers must know.
    pub read_only: u32,
    /// Features that nobody must know.
    pub compat: u32,
    /// First group whose descriptors lie in their own meta group.
    pub first_meta_group: u32,
    /// First inode that is no part of the file system itself.
    pub first_inode: u32,
    /// Inodes that are parts of the file system without a number of their own by rule; 0: none.
    pub own_inodes: [u32; 2],
    /// The two groups that hold copies where that was chosen.
    pub copies_in: [u32; 2],
    /// Inode of the journal; 0 where it lies on another disk, or there is none.
    pub journal_inode: u32,
    /// Where the journal lies, once more: the words of its inode that say so.
    pub journal_map: Option<[u32; 17]>,
    /// Blocks behind the descriptors that are kept free for more of them.
    pub reserved_descriptor_blocks: u64,
    /// Whether metadata has checksums.
    pub has_checksums: bool,
    /// Whether descriptors tell of inodes and bitmaps that were never written.
    pub has_uninit: bool,
    /// Whether a journal waits to be written over the volume.
    pub is_journal_pending: bool,
    /// Whether descriptors lie in their own meta groups.
    pub is_meta_bg: bool,
    /// Whether bitmaps count clusters of blocks.
    pub is_bigalloc: bool,
}

/// Whether a superblock stands 1 KiB into these bytes.
#[must_use]
pub fn is_superblock(volume: &[u8]) -> bool {
    let Some(block) = volume.get(SUPERBLOCK_AT..) else { return false };
    u16_at(block, 0x38) == Some(EXT_MAGIC)
        && u32_at(block, 0x18).is_some_and(|log| log <= 6)
        && u32_at(block, 0).is_some_and(|inodes| inodes > 0)
        && u32_at(block, 4).is_some_and(|blocks| blocks > 0)
}

impl Superblock {
    /// What the superblock that begins `block` states, if it can be.
    #[must_use]
    pub fn parse(block: &[u8]) -> Option<Self> {
        let block_bytes = 1024u64.checked_shl(u32_at(block, 0x18).filter(|log| *log <= 6)?)?;
        let incompat = u32_at(block, 0x60)?;
        let read_only = u32_at(block, 0x64)?;
        let is_64 = incompat & 0x80 != 0;
        let high = if is_64 { u64::from(u32_at(block, 0x150)?) << 32 } else { 0 };
        let blocks = u64::from(u32_at(block, 4)?) | high;
        let first_block = u64::from(u32_at(block, 0x14)?);
        let blocks_per_group = u64::from(u32_at(block, 0x20)?);
        let inodes_per_group = u64::from(u32_at(block, 0x28)?);
        let inode_bytes = match u32_at(block, 0x4C)? {
            0 => 128,
            _ => u64::from(u16_at(block, 0x58)?),
        };
        let descriptor_bytes = match u16_at(block, 0xFE)? {
            size if is_64 => u64::from(size),
            _ => 32,
        };
        let groups = blocks.checked_sub(first_block)?.div_ceil(blocks_per_group.max(1));
        let is_sane = first_block <= 1
            && (256..=1 << 22).contains(&blocks_per_group)
            && (1..=block_bytes.saturating_mul(8)).contains(&inodes_per_group)
            && inode_bytes.is_power_of_two()
            && (128..=block_bytes).contains(&inode_bytes)
            && descriptor_bytes.is_power_of_two()
            && (32..=1024).contains(&descriptor_bytes)
            && groups > 0
            && blocks.checked_mul(block_bytes).is_some();
        let uuid: [u8; 16] = block.get(0x68..0x78)?.try_into().ok()?;
        let seed =
            if incompat & 0x2000 != 0 { u32_at(block, 0x270)? } else { crc32c(u32::MAX, &uuid) };
        is_sane.then_some(Self {
            block_bytes,
            first_block,
            blocks,
            blocks_per_group,
            inodes_per_group,
            inode_bytes,
            descriptor_bytes,
            groups,
            group: u64::from(u16_at(block, 0x5A)?),
            uuid,
            seed,
            written: u32_at(block, 0x30)?,
            incompat,
            read_only,
            compat: u32_at(block, 0x5C)?,
            first_meta_group: u32_at(block, 0x104)?,
            first_inode: if u32_at(block, 0x4C)? == 0 { 11 } else { u32_at(block, 0x54)? },
            own_inodes: [u32_at(block, 0x26C)?, u32_at(block, 0x280)?],
            copies_in: [u32_at(block, 0x24C)?, u32_at(block, 0x250)?],
            journal_inode: u32_at(block, 0xE0)?,
            journal_map: journal_map(block),
            reserved_descriptor_blocks: u64::from(u16_at(block, 0xCE)?),
            has_checksums: read_only & 0x400 != 0,
            has_uninit: read_only & 0x410 != 0,
            is_journal_pending: incompat & 4 != 0,
            is_meta_bg: incompat & 0x10 != 0,
            is_bigalloc: read_only & 0x200 != 0,
        })
    }

    /// A volume of which no superblock is left, as mke2fs makes them: checksums, entries that
    /// name kinds, copies in few groups. What it does not know is to be found out.
    #[must_use]
    pub fn guessed(block_bytes: u64, blocks: u64, blocks_per_group: u64, is_wide: bool) -> Self {
        let first_block = u64::from(block_bytes == 1024);
        let within = blocks.saturating_sub(first_block);
        Self {
            block_bytes,
            first_block,
            blocks,
            blocks_per_group,
            inodes_per_group: 8,
            inode_bytes: 256,
            descriptor_bytes: if is_wide { 64 } else { 32 },
            groups: within.div_ceil(blocks_per_group.max(1)).max(1),
            group: u64::MAX,
            uuid: [0; 16],
            seed: 0,
            written: 0,
            incompat: if is_wide { 0xC2 } else { 0x42 },
            read_only: 0x401,
            compat: 0,
            first_meta_group: 0,
            first_inode: 11,
            own_inodes: [0; 2],
            copies_in: [0; 2],
            journal_inode: 8,
            journal_map: None,
            reserved_descriptor_blocks: 0,
            has_checksums: true,
            has_uninit: true,
            is_journal_pending: false,
            is_meta_bg: false,
            is_bigalloc: false,
        }
    }

    /// Whether the checksum of the superblock that begins `block` is right; `None`: it has none.
    #[must_use]
    pub fn sum_holds(&self, block: &[u8]) -> Option<bool> {
        self.has_checksums.then(|| {
            let sum = block.get(..1020).map(|bytes| crc32c(u32::MAX, bytes));
            sum.is_some() && u32_at(block, 1020) == sum
        })
    }

    /// Bytes of the volume.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_bytes)
    }

    /// Whether entries of folders name the kind of file.
    #[must_use]
    pub fn has_kinds(&self) -> bool {
        self.incompat & 2 != 0
    }

    /// Whether an inode is part of the file system itself; the root is not.
    #[must_use]
    pub fn is_own(&self, inode: u32) -> bool {
        (inode < self.first_inode && inode != 2) || self.own_inodes.contains(&inode)
    }

    /// Whether it has a journal.
    #[must_use]
    pub fn has_journal(&self) -> bool {
        self.compat & 4 != 0
    }

    /// The journal's inode as copies of the superblock hold it: its size, and where its blocks lie.
    #[must_use]
    pub fn journal_copy(&self) -> Option<Inode> {
        let words = self.journal_map?;
        let (places, sizes) = words.split_at_checked(15)?;
        let (high, low) = (sizes.first().copied()?, sizes.get(1).copied()?);
        let mut map = [0; 60];
        for (out, word) in map.chunks_exact_mut(4).zip(places) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        let has_extents = u16_at(&map, 0) == Some(0xF30A);
        Some(Inode {
            kind: InodeKind::File,
            mode: 0x8180,
            size: u64::from(low) | u64::from(high) << 32,
            links: 1,
            flags: if has_extents { inode_flags::EXTENTS } else { 0 },
            deleted: 0,
            generation: 0,
            times: [None; 4],
            map,
            more: None,
        })
    }

    /// First block of a group.
    #[must_use]
    pub fn group_start(&self, group: u64) -> u64 {
        group.saturating_mul(self.blocks_per_group).saturating_add(self.first_block)
    }

    /// Byte of the volume at which group `group`'s copy of the superblock begins.
    #[must_use]
    pub fn copy_at(&self, group: u64) -> u64 {
        let start = self.group_start(group).saturating_mul(self.block_bytes);
        if group == 0 { FIRST_AT } else { start }
    }

    /// Whether a group holds a copy of the superblock, by rule.
    #[must_use]
    pub fn has_copy(&self, group: u64) -> bool {
        let is_power = |of: u64| {
            let mut power = of;
            while power < group {
                power = power.saturating_mul(of);
            }
            power == group
        };
        if self.compat & 0x200 != 0 {
            return group == 0 || self.copies_in.iter().any(|of| u64::from(*of) == group);
        }
        let is_sparse = self.read_only & 1 != 0;
        !is_sparse || group <= 1 || [3, 5, 7].into_iter().any(is_power)
    }

    /// Group descriptors a block.
    #[must_use]
    pub fn descriptors_per_block(&self) -> u64 {
        self.block_bytes.checked_div(self.descriptor_bytes).unwrap_or(0).max(1)
    }

    /// Blocks that hold the descriptor block `number`: the first one first, then its copies.
    #[must_use]
    pub fn descriptor_blocks(&self, number: u64) -> Vec<u64> {
        /// Copies looked at; powers of 3, 5 and 7 below 2^32 are fewer.
        const MOST_COPIES: usize = 64;
        let behind = |group: u64| {
            let own =
                if group == 0 { FIRST_AT.checked_div(self.block_bytes).unwrap_or(0) } else { 0 };
            let start = if group == 0 { own } else { self.group_start(group) };
            start.saturating_add(u64::from(self.has_copy(group)))
        };
        let each = self.descriptors_per_block();
        if self.is_meta_bg && number >= u64::from(self.first_meta_group) {
            let first = number.saturating_mul(each);
            let groups =
                [first, first.saturating_add(1), first.saturating_add(each.saturating_sub(1))];
            return groups.into_iter().filter(|group| *group < self.groups).map(behind).collect();
        }
        let mut groups: Vec<u64> = vec![0, 1];
        if self.compat & 0x200 != 0 {
            groups.extend(self.copies_in.iter().map(|group| u64::from(*group)));
        } else if self.read_only & 1 == 0 {
            groups.extend(2..64);
        } else {
            for of in [3_u64, 5, 7] {
                groups.extend(std::iter::successors(Some(of), |power| power.checked_mul(of)));
            }
        }
        groups.retain(|group| *group < self.groups && self.has_copy(*group));
        groups.sort_unstable();
        groups.dedup();
        groups.truncate(MOST_COPIES);
        groups.into_iter().map(|group| behind(group).saturating_add(number)).collect()
    }
}

/// The copy of the journal inode's map, where one was made.
fn journal_map(block: &[u8]) -> Option<[u32; 17]> {
    const INODE_BLOCKS: u8 = 1;
    if block.get(0xFD) != Some(&INODE_BLOCKS) {
        return None;
    }
    let mut words = [0; 17];
    for (word, bytes) in words.iter_mut().zip(block.get(0x10C..0x150)?.chunks_exact(4)) {
        *word = u32_at(bytes, 0)?;
    }
    words.iter().any(|word| *word != 0).then_some(words)
}
