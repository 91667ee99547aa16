//! Heads of metadata blocks: what each is, whose, and where it must lie.

use super::{BLOCK_SIZES, be32, be64, size_by_sum, uuid_at};

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// A block of names.
    Folder,
    /// Where a folder has room.
    FolderRoom,
    /// A tree of extents of one inode.
    Extents,
    /// Which inodes of a group are made.
    Inodes,
    /// The target of a symbolic link.
    Link,
    /// Another tree of a group.
    Other,
}

/// The head of a block that says where it must lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHead {
    /// What it is.
    pub kind: BlockKind,
    /// Its place, in sectors from the volume's start.
    pub address: u64,
    /// The inode it belongs to; of a group's trees, the group.
    pub owner: u64,
    /// When it was last written, as a place of the log.
    pub lsn: u64,
    /// The volume's number.
    pub uuid: [u8; 16],
    sum_at: usize,
}

/// Places of address, write, volume, owner (and its width) and checksum.
type Layout = (usize, usize, usize, (usize, usize), usize);
const FOLDER: Layout = (8, 16, 24, (40, 8), 4);
const LONG: Layout = (24, 32, 40, (56, 8), 64);
const SHORT: Layout = (16, 24, 32, (48, 4), 52);
const LINK: Layout = (40, 48, 16, (32, 8), 12);

impl BlockHead {
    /// The head that `bytes` begin with.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, layout) = match bytes.get(..4)? {
            b"XDB3" | b"XDD3" => (BlockKind::Folder, FOLDER),
            b"XDF3" => (BlockKind::FolderRoom, FOLDER),
            b"BMA3" => (BlockKind::Extents, LONG),
            b"IAB3" => (BlockKind::Inodes, SHORT),
            b"AB3B" | b"AB3C" | b"FIB3" | b"RMB3" | b"R3FC" => (BlockKind::Other, SHORT),
            b"XSLM" => (BlockKind::Link, LINK),
            _ => return None,
        };
        let (address, lsn, uuid, (owner, width), sum_at) = layout;
        Some(Self {
            kind,
            address: be64(bytes, address)?,
            owner: if width == 8 { be64(bytes, owner)? } else { u64::from(be32(bytes, owner)?) },
            lsn: be64(bytes, lsn)?,
            uuid: uuid_at(bytes, uuid)?,
            sum_at,
        })
    }

    /// How long the block that `bytes` begin with is, by its checksum; `None`: it does not hold.
    #[must_use]
    pub fn bytes_by_sum(&self, bytes: &[u8]) -> Option<usize> {
        size_by_sum(bytes, self.sum_at, BLOCK_SIZES)
    }

    /// Whether the checksum of a block that is `bytes` long holds.
    #[must_use]
    pub fn sum_holds(&self, bytes: &[u8]) -> bool {
        super::sum_holds(bytes, self.sum_at)
    }
}
