//! A volume's blocks and inodes.

use std::sync::atomic::{AtomicU64, Ordering};

use vmglean_formats::xfs::{BlockHead, BlockKind, Inode, Superblock};

use super::pieces::{Pieces, Place};
use crate::guest::Ground;

/// A volume on the disk.
pub(super) struct Base<'a> {
    pub(super) ground: &'a Ground<'a>,
    pub(super) start: u64,
    pub(super) shape: Superblock,
    pub(super) pieces: Pieces,
    /// Blocks of trees and folders that may still be read: structures that point at each other
    /// come to an end.
    budget: AtomicU64,
}

impl<'a> Base<'a> {
    pub(super) fn new(
        ground: &'a Ground<'a>,
        start: u64,
        shape: Superblock,
        pieces: Pieces,
    ) -> Self {
        let blocks = (ground.size() / shape.block_bytes.max(1)).min(shape.blocks);
        // Each is read when folders are, when claims are compared, and when files are judged.
        let budget = AtomicU64::new(blocks.saturating_mul(8).saturating_add(1024));
        Self { ground, start, shape, pieces, budget }
    }

    /// Where blocks begin, in the volume and on the disk; `None` where they leave their group.
    pub(super) fn place(&self, block: u64, count: u64) -> Option<(u64, Place)> {
        let offset = self.shape.block_offset(block)?;
        let length = count.checked_mul(self.shape.block_bytes)?;
        let last = block.checked_add(count.checked_sub(1)?)?;
        let end = self.shape.block_offset(last)?.checked_add(self.shape.block_bytes)?;
        let place = self.pieces.place(offset, length)?;
        (offset.checked_add(length) == Some(end)).then_some((offset, place))
    }

    /// `length` bytes from byte `offset` of the volume, unless they are known as lost.
    pub(super) fn bytes(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        let at = self.pieces.place(offset, length)?.at();
        let tally = self.ground.tally(at..at.checked_add(length)?);
        if tally.encrypted.saturating_add(tally.gone) >= length {
            return None;
        }
        self.ground.read(at, usize::try_from(length).ok()?).ok()
    }

    /// Counts a block, as long as the volume could have so many.
    pub(super) fn spend(&self) -> Option<()> {
        let spend = |left: u64| left.checked_sub(1);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).ok().map(|_| ())
    }

    /// Whether `bytes` are a block of this kind and owner that belongs at byte `offset` of this
    /// volume.
    pub(super) fn is_block(&self, bytes: &[u8], kind: BlockKind, owner: u64, offset: u64) -> bool {
        BlockHead::parse(bytes).is_some_and(|head| {
            head.kind == kind
                && head.owner == owner
                && head.uuid == self.shape.uuid
                && head.address.checked_mul(512) == Some(offset)
                && head.sum_holds(bytes)
        })
    }

    /// A block of this kind and owner by its number; `None` where it is lost or another.
    pub(super) fn block(&self, number: u64, kind: BlockKind, owner: u64) -> Option<Vec<u8>> {
        self.spend()?;
        let offset = self.shape.block_offset(number)?;
        let bytes = self.bytes(offset, self.shape.block_bytes)?;
        self.is_block(&bytes, kind, owner, offset).then_some(bytes)
    }

    /// The inode that lies at `at` on the disk, found by the scan.
    pub(super) fn inode(&self, at: u64) -> Option<Inode> {
        let bytes = self.ground.read(at, usize::try_from(self.shape.inode_bytes).ok()?).ok()?;
        Inode::parse(&bytes)
    }

    /// Where an inode must lie on the disk.
    pub(super) fn inode_at(&self, number: u64) -> Option<Place> {
        self.pieces.place(self.shape.inode_offset(number)?, self.shape.inode_bytes)
    }
}
