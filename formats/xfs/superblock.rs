//! The superblock: the first one, and its copy at the start of every allocation group.

use super::{be16, be32, be64, sum_holds, uuid_at};

/// Place of the checksum.
const SUM_AT: usize = 224;
/// A number that says nothing.
const NULL: u64 = u64::MAX;

/// Features that readers must know: what they are called, and whether they are read here.
const INCOMPAT: [(u32, &str, bool); 9] = [
    (0x1, "kinds in folders", true),
    (0x2, "sparse inode chunks", true),
    (0x4, "a metadata UUID", true),
    (0x8, "big times", true),
    (0x10, "a mark that it needs repair", false),
    (0x20, "64-bit extent counts", true),
    (0x40, "exchanged ranges", true),
    (0x80, "parent pointers", true),
    (0x100, "a metadata folder", false),
];

/// Geometry as a superblock states it; all of it bounded, and none of it proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Bytes a block: 512 to 65,536.
    pub block_bytes: u64,
    /// Blocks of the volume.
    pub blocks: u64,
    /// Blocks of every allocation group but the last.
    pub group_blocks: u64,
    /// Allocation groups.
    pub groups: u64,
    /// Bytes a sector.
    pub sector_bytes: u64,
    /// Bytes an inode.
    pub inode_bytes: u64,
    /// Bits of an inode's number that tell its place in its block.
    pub inodes_per_block_log: u32,
    /// Bits of a block's number that tell its place in its group.
    pub group_blocks_log: u32,
    /// A folder's block has two to the power of this many blocks.
    pub folder_block_log: u32,
    /// Inodes that are made and given up together.
    pub chunk_inodes: u64,
    /// The number that metadata carries.
    pub uuid: [u8; 16],
    /// The number that the volume is known by.
    pub user_uuid: [u8; 16],
    /// Inode of the root folder; copies do not tell.
    pub root: Option<u64>,
    /// Inodes of the file system itself: of the real-time section, and quotas; 0: none.
    pub own: [u64; 5],
    /// First block of the log; `None`: it lies on another disk, or nothing tells.
    pub log_start: Option<u64>,
    /// Blocks of the log.
    pub log_blocks: u64,
    /// Features that readers must know.
    pub incompat: u32,
    /// Whether metadata has checksums: version 5.
    pub has_checksums: bool,
}

impl Superblock {
    /// What the superblock that `bytes` begin with states, if it can be.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let version = be16(bytes, 100)? & 15;
        if !bytes.starts_with(b"XFSB") || !(1..=5).contains(&version) {
            return None;
        }
        let has_checksums = version == 5;
        let incompat = if has_checksums { be32(bytes, 216)? } else { 0 };
        let user_uuid = uuid_at(bytes, 32)?;
        let uuid = if incompat & 4 != 0 { uuid_at(bytes, 248)? } else { user_uuid };
        let inodes_per_block_log = u32::from(*bytes.get(123)?);
        // Blocks that chunks of inodes are aligned to, and what parts of them are.
        let parts = if incompat & 2 != 0 { be32(bytes, 228)? } else { 0 };
        let together = [be32(bytes, 180)?, parts]
            .into_iter()
            .filter(|blocks| *blocks > 0)
            .map(|blocks| u64::from(blocks).checked_shl(inodes_per_block_log).unwrap_or(1))
            .fold(64, u64::min);
        let log_start = be64(bytes, 48)?;
        let volume = Self {
            block_bytes: u64::from(be32(bytes, 4)?),
            blocks: be64(bytes, 8)?,
            group_blocks: u64::from(be32(bytes, 84)?),
            groups: u64::from(be32(bytes, 88)?),
            sector_bytes: u64::from(be16(bytes, 102)?),
            inode_bytes: u64::from(be16(bytes, 104)?),
            inodes_per_block_log,
            group_blocks_log: u32::from(*bytes.get(124)?),
            folder_block_log: u32::from(*bytes.get(192)?),
            chunk_inodes: if together.is_power_of_two() { together } else { 1 },
            uuid,
            user_uuid,
            root: be64(bytes, 56).filter(|root| *root != NULL && *root != 0),
            own: [64, 72, 160, 168, 232]
                .map(|at| be64(bytes, at).filter(|own| *own != NULL).unwrap_or(0)),
            log_start: Some(log_start).filter(|start| *start != 0),
            log_blocks: u64::from(be32(bytes, 96)?),
            incompat,
            has_checksums,
        };
        volume.is_sane().then_some(volume)
    }

    fn is_sane(&self) -> bool {
        let inodes = self.inode_bytes.checked_mul(1 << self.inodes_per_block_log.min(32));
        let folder = self.block_bytes.checked_mul(1 << self.folder_block_log.min(32));
        (512..=65_536).contains(&self.block_bytes)
            && self.block_bytes.is_power_of_two()
            && (512..=32_768).contains(&self.sector_bytes)
            && self.sector_bytes.is_power_of_two()
            && (256..=4096).contains(&self.inode_bytes)
            && inodes == Some(self.block_bytes)
            && folder.is_some_and(|bytes| bytes <= 65_536)
            && self.group_blocks > 0
            && self.group_blocks_log < 32
            && self.group_blocks.checked_next_power_of_two() == Some(1 << self.group_blocks_log)
            && self.groups > 0
            && self.blocks.checked_mul(self.block_bytes).is_some()
            && self.blocks.div_ceil(self.group_blocks) == self.groups
    }

    /// A volume of which no superblock is left, by what else tells of it; `None` where that
    /// cannot be.
    #[must_use]
    pub fn guessed(
        uuid: [u8; 16],
        (block_bytes, inode_bytes): (u64, u64),
        (group_blocks, blocks): (u64, u64),
        folder_block_log: u32,
    ) -> Option<Self> {
        let per_block = block_bytes.checked_div(inode_bytes)?;
        let guess = Self {
            block_bytes,
            blocks,
            group_blocks,
            groups: blocks.div_ceil(group_blocks.max(1)),
            sector_bytes: 512,
            inode_bytes,
            inodes_per_block_log: per_block.checked_ilog2()?,
            group_blocks_log: group_blocks.checked_next_power_of_two()?.ilog2(),
            folder_block_log,
            // The fewest that are ever made together.
            chunk_inodes: 16,
            uuid,
            user_uuid: uuid,
            root: None,
            own: [0; 5],
            log_start: None,
            log_blocks: 0,
            incompat: 1,
            has_checksums: true,
        };
        guess.is_sane().then_some(guess)
    }

    /// Whether the checksum of the sector that `bytes` begin with is right.
    #[must_use]
    pub fn sum_holds(&self, bytes: &[u8]) -> bool {
        let size = usize::try_from(self.sector_bytes).unwrap_or(usize::MAX);
        self.has_checksums && bytes.get(..size).is_some_and(|sector| sum_holds(sector, SUM_AT))
    }

    /// Bytes of the volume.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_bytes)
    }

    /// Bytes of a folder's block.
    #[must_use]
    pub fn folder_block_bytes(&self) -> u64 {
        self.block_bytes.saturating_mul(1 << self.folder_block_log.min(16))
    }

    /// What readers must know and is not known here.
    #[must_use]
    pub fn unread_feature(&self) -> Option<&'static str> {
        let known = INCOMPAT.iter().fold(0, |all, (bit, ..)| all | bit);
        if self.incompat & !known != 0 {
            return Some("a feature that is not known here");
        }
        let unread = |(bit, _, is_read): &&(u32, &str, bool)| !is_read && self.incompat & bit != 0;
        INCOMPAT.iter().find(unread).map(|(_, name, _)| *name)
    }

    /// First byte of a group, counted from the volume's.
    #[must_use]
    pub fn group_offset(&self, group: u64) -> Option<u64> {
        let blocks = group.checked_mul(self.group_blocks)?;
        (group < self.groups).then(|| blocks.checked_mul(self.block_bytes))?
    }

    /// First byte of a block by its number (group and place in it), counted from the volume's;
    /// `None` where the volume has no such block.
    #[must_use]
    pub fn block_offset(&self, block: u64) -> Option<u64> {
        let group = block.checked_shr(self.group_blocks_log)?;
        let within = block & low_bits(self.group_blocks_log);
        let linear = group.checked_mul(self.group_blocks)?.checked_add(within)?;
        let is_inside = within < self.group_blocks && linear < self.blocks;
        is_inside.then(|| linear.checked_mul(self.block_bytes))?
    }

    /// The same for a block counted inside its group.
    #[must_use]
    pub fn block_of_group_offset(&self, group: u64, block: u64) -> Option<u64> {
        let number = group.checked_shl(self.group_blocks_log)?;
        (block < self.group_blocks).then(|| self.block_offset(number | block))?
    }

    /// First byte of an inode by its number, counted from the volume's; `None` where the volume
    /// has no such inode.
    #[must_use]
    pub fn inode_offset(&self, number: u64) -> Option<u64> {
        let block = self.block_offset(number.checked_shr(self.inodes_per_block_log)?)?;
        let within = number & low_bits(self.inodes_per_block_log);
        block.checked_add(within.checked_mul(self.inode_bytes)?)
    }

    /// Group of an inode, and its number there.
    #[must_use]
    pub fn inode_group(&self, number: u64) -> (u64, u64) {
        let bits = self.group_blocks_log.saturating_add(self.inodes_per_block_log);
        (number.checked_shr(bits).unwrap_or(0), number & low_bits(bits))
    }
}

fn low_bits(count: u32) -> u64 {
    1_u64.checked_shl(count).unwrap_or(0).wrapping_sub(1)
}
