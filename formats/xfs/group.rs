//! What stands at the start of every allocation group, and the tree of its inodes.

use super::{be16, be32, sum_holds, uuid_at};

/// Bytes of the head of a tree's block, and of a record of the tree of inodes.
const HEAD: usize = 56;
const RECORD: usize = 16;
const DEEPEST: u16 = 9;

/// `XAGF`: the head of a group's free space, which numbers the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceHead {
    /// The group.
    pub group: u64,
    /// Blocks of the group; the last one may have fewer than the others.
    pub blocks: u64,
    /// The volume's number.
    pub uuid: [u8; 16],
}

impl SpaceHead {
    /// The head that `bytes` begin with, if its checksum holds.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let is_one = bytes.starts_with(b"XAGF") && is_summed(bytes, 216);
        is_one.then(|| {
            Some(Self {
                group: u64::from(be32(bytes, 8)?),
                blocks: u64::from(be32(bytes, 12)?),
                uuid: uuid_at(bytes, 64)?,
            })
        })?
    }
}

/// `XAGI`: the head of a group's inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeHead {
    /// The group.
    pub group: u64,
    /// Root of the tree of inodes, a block of the group.
    pub root: u64,
    /// Levels of the tree.
    pub levels: u32,
    /// The volume's number.
    pub uuid: [u8; 16],
}

impl InodeHead {
    /// The head that `bytes` begin with, if its checksum holds.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let is_one = bytes.starts_with(b"XAGI") && is_summed(bytes, 312);
        is_one.then(|| {
            Some(Self {
                group: u64::from(be32(bytes, 8)?),
                root: u64::from(be32(bytes, 20)?),
                levels: be32(bytes, 24)?,
                uuid: uuid_at(bytes, 296)?,
            })
        })?
    }
}

/// Whether the checksum holds over a sector, which has 512 bytes or some more.
fn is_summed(bytes: &[u8], at: usize) -> bool {
    let sizes = [512, 1024, 2048, 4096];
    sizes.iter().any(|size| bytes.get(..*size).is_some_and(|sector| sum_holds(sector, at)))
}

/// 64 inodes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeChunk {
    /// Number of the first, in its group.
    pub first: u64,
    /// A bit for each four that are not there.
    pub holes: u16,
    /// A bit for each that is free.
    pub free: u64,
}

impl InodeChunk {
    /// Whether the inode of this number in its group is made; `None`: it is not one of these.
    #[must_use]
    pub fn is_made(&self, number: u64) -> Option<bool> {
        let nth = u32::try_from(number.checked_sub(self.first)?).ok().filter(|nth| *nth < 64)?;
        Some(self.holes.checked_shr(nth / 4)? & 1 == 0)
    }
}

/// A block of the tree of inodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InodeNode {
    /// Chunks, in order.
    Leaf(Vec<InodeChunk>),
    /// Its level, and the blocks of the group below it.
    Index(u16, Vec<u64>),
}

/// A block of the tree of inodes, whose checksum, owner and place were asked before.
#[must_use]
pub fn inode_tree_block(block: &[u8]) -> Option<InodeNode> {
    let (level, count) = (be16(block, 4)?, usize::from(be16(block, 6)?));
    let rest = block.get(HEAD..)?;
    if level == 0 {
        let (records, _) = rest.get(..count.checked_mul(RECORD)?)?.as_chunks::<RECORD>();
        let chunks = records.iter().map(|record| {
            Some(InodeChunk {
                first: u64::from(be32(record, 0)?),
                holes: be16(record, 4)?,
                free: super::be64(record, 8)?,
            })
        });
        return chunks.collect::<Option<Vec<_>>>().map(InodeNode::Leaf);
    }
    let room = rest.len() / 8;
    if level > DEEPEST || count > room {
        return None;
    }
    let (pointers, _) = rest.get(room.checked_mul(4)?..)?.as_chunks::<4>();
    let below = pointers.iter().take(count).map(|place| u64::from(u32::from_be_bytes(*place)));
    Some(InodeNode::Index(level, below.collect()))
}
