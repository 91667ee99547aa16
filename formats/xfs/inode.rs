//! Inodes of version 3, which carry their own number.

use super::{Extent, InodeKind, Node, be16, be32, be64, extent, size_by_sum, uuid_at};

/// Sizes that an inode can have.
pub const INODE_SIZES: std::ops::RangeInclusive<usize> = 512..=2048;
/// Place of the checksum, and where the content's description begins.
const SUM_AT: usize = 100;
const FORK_AT: usize = 176;
/// Bits of `di_flags2`.
const REFLINK: u64 = 2;
const BIG_TIME: u64 = 8;
const BIG_COUNT: u64 = 16;

/// Where an inode's content lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fork {
    /// It has none: a device, a pipe, a socket.
    None,
    /// In the inode: all of it, with what room is left behind.
    Local(Vec<u8>),
    /// In these blocks.
    Extents(Vec<Extent>),
    /// In blocks that a tree with this root tells.
    Tree(Node),
    /// What is said of it cannot be.
    Broken,
}

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Its own number.
    pub number: u64,
    /// The volume's number.
    pub uuid: [u8; 16],
    /// What it is.
    pub kind: InodeKind,
    /// Bytes of content.
    pub size: u64,
    /// Names that lead to it; 0: deleted.
    pub links: u32,
    /// When it was last written, as a place of the log.
    pub lsn: u64,
    /// Whether its blocks may be another file's as well.
    pub is_shared: bool,
    /// Whether its content lies in the real-time section.
    pub is_realtime: bool,
    /// Created, changed, record changed, read: nanoseconds since 1970.
    pub times: [Option<i128>; 4],
    /// Extents that it must have.
    pub extents: u64,
    /// Where its content lies.
    pub fork: Fork,
}

/// How long the inode that `bytes` begin with is, by its checksum; `None`: it is none.
#[must_use]
pub fn inode_bytes(bytes: &[u8]) -> Option<usize> {
    let is_one = bytes.starts_with(b"IN") && bytes.get(4) == Some(&3);
    is_one.then(|| size_by_sum(bytes, SUM_AT, INODE_SIZES))?
}

impl Inode {
    /// The inode that `bytes` are, whose checksum was asked before.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(b"IN") || bytes.get(4) != Some(&3) {
            return None;
        }
        let kind = match be16(bytes, 2)? >> 12 {
            0 => InodeKind::Free,
            4 => InodeKind::Folder,
            8 => InodeKind::File,
            10 => InodeKind::Link,
            1 | 2 | 6 | 12 => InodeKind::Special,
            _ => return None,
        };
        let flags = be16(bytes, 90)?;
        let flags2 = be64(bytes, 120)?;
        let time = |at: usize| time(bytes, at, flags2 & BIG_TIME != 0);
        let extents =
            if flags2 & BIG_COUNT != 0 { be64(bytes, 24)? } else { u64::from(be32(bytes, 76)?) };
        let size = be64(bytes, 56)?;
        Some(Self {
            number: be64(bytes, 152)?,
            uuid: uuid_at(bytes, 160)?,
            kind,
            size,
            links: be32(bytes, 16)?,
            lsn: be64(bytes, 112)?,
            is_shared: flags2 & REFLINK != 0,
            is_realtime: flags & 1 != 0,
            times: [time(144), time(40), time(48), time(32)],
            extents,
            fork: fork(bytes, extents, size)?,
        })
    }
}

fn fork(bytes: &[u8], extents: u64, size: u64) -> Option<Fork> {
    let area = bytes.get(FORK_AT..)?;
    let length = match usize::from(*bytes.get(82)?).checked_mul(8)? {
        0 => area.len(),
        length => length,
    };
    let Some(area) = area.get(..length) else { return Some(Fork::Broken) };
    let known = match *bytes.get(5)? {
        0 => Some(Fork::None),
        1 => {
            let is_inside = usize::try_from(size).is_ok_and(|size| size <= area.len());
            is_inside.then(|| Fork::Local(area.to_vec()))
        }
        2 => usize::try_from(extents)
            .ok()
            .and_then(|count| extent::records(area, count))
            .map(Fork::Extents),
        3 => extent::tree_root(area).map(Fork::Tree),
        _ => None,
    };
    Some(known.unwrap_or(Fork::Broken))
}

fn time(bytes: &[u8], at: usize, is_big: bool) -> Option<i128> {
    if is_big {
        // Nanoseconds since 1901-12-13, where 32 bits of seconds begin.
        let since = i128::from(be64(bytes, at)?);
        return Some(since.saturating_sub((1_i128 << 31).saturating_mul(1_000_000_000)));
    }
    let seconds = i128::from(be32(bytes, at)?.cast_signed());
    let part = i128::from(be32(bytes, at.checked_add(4)?)?.min(999_999_999));
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(part))
}
