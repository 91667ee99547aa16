//! What the scan collects of XFS, by the volume's number.

use std::collections::BTreeMap;

use vmglean_formats::xfs::{
    BlockHead, BlockKind, Inode, InodeKind, LogRecord, SpaceHead, Superblock, inode_bytes,
};

use crate::guest::Ground;

/// Volumes that are kept apart: more are made up.
const MOST_VOLUMES: usize = 4096;
/// Structures of one kind and volume that are kept.
const MOST_INODES: usize = 1 << 31;
const MOST_OTHERS: usize = 1 << 26;

/// An inode whose checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InodeHit {
    /// Where it lies on the disk.
    pub at: u64,
    /// Its own number.
    pub number: u64,
    /// What it is.
    pub kind: InodeKind,
    /// Whether names lead to it, by its own word.
    pub is_live: bool,
    /// Base-2 logarithm of its length.
    pub size_log2: u8,
}

/// A block that says where it must lie, whose checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHit {
    /// Where it lies on the disk.
    pub at: u64,
    /// Where it must lie, in bytes from the volume's start.
    pub offset: u64,
    /// Inode or group that it belongs to.
    pub owner: u64,
    /// When it was written, as a place of the log.
    pub lsn: u64,
    /// What it is.
    pub kind: BlockKind,
    /// Base-2 logarithm of its length.
    pub size_log2: u8,
}

/// Structures of one volume, each list in the order of the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct VolumeHits {
    /// Superblocks, with their place.
    pub supers: Vec<(u64, Superblock)>,
    /// Heads of groups, with their place.
    pub heads: Vec<(u64, SpaceHead)>,
    /// Inodes.
    pub inodes: Vec<InodeHit>,
    /// Blocks.
    pub blocks: Vec<BlockHit>,
    /// Records of the log that the map vouches for, with their place.
    pub logs: Vec<(u64, LogRecord)>,
}

/// All structures of XFS.
#[derive(Clone, Debug, Default)]
pub struct XfsHits {
    volumes: BTreeMap<[u8; 16], VolumeHits>,
}

impl XfsHits {
    /// Structures by the number of their volume.
    pub(super) fn volumes(&self) -> impl Iterator<Item = (&[u8; 16], &VolumeHits)> {
        self.volumes.iter()
    }

    pub(super) fn of(&self, uuid: &[u8; 16]) -> Option<&VolumeHits> {
        self.volumes.get(uuid)
    }

    pub(in crate::guest) fn take(&mut self, other: Self) {
        for (uuid, hits) in other.volumes {
            let Some(own) = self.own(uuid) else { continue };
            append(&mut own.supers, hits.supers, MOST_OTHERS);
            append(&mut own.heads, hits.heads, MOST_OTHERS);
            append(&mut own.inodes, hits.inodes, MOST_INODES);
            append(&mut own.blocks, hits.blocks, MOST_OTHERS);
            append(&mut own.logs, hits.logs, MOST_OTHERS);
        }
    }

    fn own(&mut self, uuid: [u8; 16]) -> Option<&mut VolumeHits> {
        let has_room = self.volumes.len() < MOST_VOLUMES || self.volumes.contains_key(&uuid);
        has_room.then(|| self.volumes.entry(uuid).or_default())
    }

    /// Takes what begins `rest`, which lies at `at` on the disk.
    pub(in crate::guest) fn look(&mut self, ground: &Ground<'_>, at: u64, rest: &[u8]) {
        match rest.get(..4) {
            Some(b"XFSB") => {
                let shape = Superblock::parse(rest).filter(|shape| shape.sum_holds(rest));
                if let Some((own, shape)) =
                    shape.and_then(|shape| Some((self.own(shape.uuid)?, shape)))
                {
                    own.supers.push((at, shape));
                }
            }
            Some(b"XAGF") => {
                let head = SpaceHead::parse(rest);
                if let Some((own, head)) = head.and_then(|head| Some((self.own(head.uuid)?, head)))
                {
                    own.heads.push((at, head));
                }
            }
            Some(b"\xFE\xED\xBA\xBE") => {
                let record = LogRecord::parse(rest);
                let record = record.filter(|_| ground.is_good(at..at.saturating_add(512)));
                if let Some((own, record)) =
                    record.and_then(|record| Some((self.own(record.uuid)?, record)))
                {
                    own.logs.push((at, record));
                }
            }
            Some([b'I', b'N', ..]) => self.inode(at, rest),
            _ => self.block(at, rest),
        }
    }

    fn inode(&mut self, at: u64, rest: &[u8]) {
        let Some(bytes) = inode_bytes(rest).and_then(|size| rest.get(..size)) else { return };
        let Some(inode) = Inode::parse(bytes) else { return };
        let Some(own) = self.own(inode.uuid) else { return };
        own.inodes.push(InodeHit {
            at,
            number: inode.number,
            kind: inode.kind,
            is_live: inode.links > 0,
            size_log2: log2(bytes.len()),
        });
    }

    fn block(&mut self, at: u64, rest: &[u8]) {
        let Some(head) = BlockHead::parse(rest) else { return };
        let Some(size) = head.bytes_by_sum(rest) else { return };
        let Some(offset) = head.address.checked_mul(512) else { return };
        let Some(own) = self.own(head.uuid) else { return };
        own.blocks.push(BlockHit {
            at,
            offset,
            owner: head.owner,
            lsn: head.lsn,
            kind: head.kind,
            size_log2: log2(size),
        });
    }
}

fn append<T>(own: &mut Vec<T>, other: Vec<T>, most: usize) {
    if own.len().saturating_add(other.len()) <= most {
        own.extend(other);
    }
}

fn log2(size: usize) -> u8 {
    u8::try_from(size.checked_ilog2().unwrap_or(0)).unwrap_or(0)
}
