//! A volume's blocks and groups.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use vmglean_formats::ext::{Group, Superblock, crc32c, seed_by_inode};

use super::journal::Copy;
use crate::guest::Ground;

/// A block as read.
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// Where it lies on the disk.
    pub(super) at: u64,
    /// Whether the map vouches for all of it.
    pub(super) is_good: bool,
    /// Whether the map calls a byte of it lost.
    pub(super) is_lost: bool,
}

/// A group whose descriptor is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlacedGroup {
    pub(super) group: Group,
    /// Whether it is the first one, which is kept up; copies only have the places.
    pub(super) is_current: bool,
}

/// A volume on the disk.
pub(super) struct Base<'a> {
    pub(super) ground: &'a Ground<'a>,
    pub(super) start: u64,
    pub(super) shape: Superblock,
    /// Newer copies of blocks, from the journal.
    copies: HashMap<u64, Copy>,
    /// Blocks of trees and folders that may still be read: structures that point at each other
    /// come to an end.
    budget: AtomicU64,
}

impl<'a> Base<'a> {
    pub(super) fn new(ground: &'a Ground<'a>, start: u64, shape: Superblock) -> Self {
        let blocks = (ground.size() / shape.block_bytes.max(1)).min(shape.blocks);
        // Each is read when folders are, when claims are compared, and when files are judged.
        let budget = AtomicU64::new(blocks.saturating_mul(8).saturating_add(1024));
        Self { ground, start, shape, copies: HashMap::new(), budget }
    }

    /// The same with what waits in the journal in place of what it will be written over.
    pub(super) fn with_journal(mut self, copies: HashMap<u64, Copy>) -> Self {
        self.copies = copies;
        self
    }

    /// Whether newer bytes of a stretch of blocks wait in the journal.
    pub(super) fn is_waiting(&self, first: u64, count: u64) -> bool {
        if self.copies.is_empty() {
            return false;
        }
        let end = first.saturating_add(count);
        if count < self.copies.len() as u64 {
            (first..end).any(|block| self.copies.contains_key(&block))
        } else {
            self.copies.keys().any(|block| (first..end).contains(block))
        }
    }

    /// Where a block lies on the disk.
    pub(super) fn at(&self, block: u64) -> Option<u64> {
        let inside = block < self.shape.blocks;
        let at = self.start.checked_add(block.checked_mul(self.shape.block_bytes)?)?;
        (inside && at < self.ground.size()).then_some(at)
    }

    /// A block, unless all of it is known as lost.
    pub(super) fn block(&self, block: u64) -> Option<Block> {
        let copy = self.copies.get(&block);
        let at = match copy {
            Some(copy) => copy.at,
            None => self.at(block)?,
        };
        let tally = self.ground.tally(at..at.checked_add(self.shape.block_bytes)?);
        let lost = tally.encrypted.saturating_add(tally.gone);
        if lost >= self.shape.block_bytes {
            return None;
        }
        let mut bytes = self.ground.read(at, usize::try_from(self.shape.block_bytes).ok()?).ok()?;
        if let Some(word) = bytes.get_mut(..4).filter(|_| copy.is_some_and(|copy| copy.is_escaped))
        {
            word.copy_from_slice(&[0xC0, 0x3B, 0x39, 0x98]);
        }
        Some(Block { bytes, at, is_good: tally.bad() == 0, is_lost: lost > 0 })
    }

    /// A block of a tree or a folder, as long as the volume could have so many.
    pub(super) fn counted(&self, block: u64) -> Option<Block> {
        let spend = |left: u64| left.checked_sub(1);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).ok()?;
        self.block(block)
    }

    /// What the checksums of an inode's blocks begin with.
    pub(super) fn seed(&self, number: u32, generation: u32) -> u32 {
        crc32c(crc32c(self.shape.seed, &number.to_le_bytes()), &generation.to_le_bytes())
    }

    /// Groups that the disk has room for.
    pub(super) fn groups(&self) -> u64 {
        let group = self.shape.blocks_per_group.saturating_mul(self.shape.block_bytes).max(1);
        self.shape.groups.min(self.ground.size() / group + 1)
    }

    /// Blocks of one table of inodes.
    pub(super) fn table_blocks(&self) -> u64 {
        let bytes = self.shape.inodes_per_group.saturating_mul(self.shape.inode_bytes);
        bytes.div_ceil(self.shape.block_bytes.max(1))
    }

    /// The descriptor of a group, from any copy that holds.
    pub(super) fn group(&self, number: u64) -> Option<PlacedGroup> {
        let each = self.shape.descriptors_per_block();
        self.descriptor_block(number / each, number..number.saturating_add(1)).pop()?
    }

    /// Descriptors of all groups, each from the first of its copies that holds.
    pub(super) fn all_groups(&self) -> Vec<Option<PlacedGroup>> {
        let each = self.shape.descriptors_per_block();
        let groups = self.groups();
        let blocks = groups.div_ceil(each);
        let of = |block: u64| block * each..(block * each).saturating_add(each).min(groups);
        (0..blocks).flat_map(|block| self.descriptor_block(block, of(block))).collect()
    }

    fn descriptor_block(
        &self,
        number: u64,
        wanted: std::ops::Range<u64>,
    ) -> Vec<Option<PlacedGroup>> {
        let each = self.shape.descriptors_per_block();
        let size = self.shape.descriptor_bytes;
        let count = usize::try_from(wanted.end.saturating_sub(wanted.start)).unwrap_or(0);
        let mut found: Vec<Option<PlacedGroup>> = vec![None; count];
        for (copy, block) in self.shape.descriptor_blocks(number).into_iter().enumerate() {
            if found.iter().all(Option::is_some) {
                break;
            }
            let Some(block) = self.block(block) else { continue };
            for (number, place) in wanted.clone().zip(&mut found) {
                let from = (number % each).saturating_mul(size);
                let on_disk = block.at.saturating_add(from);
                let tally = self.ground.tally(on_disk..on_disk.saturating_add(size));
                if place.is_some() || (tally.bad() > 0 && !self.shape.has_checksums) {
                    continue;
                }
                let bytes = usize::try_from(from).ok().and_then(|from| block.bytes.get(from..));
                let group = bytes.and_then(|bytes| Group::parse(bytes, number, &self.shape));
                let has_room = |group: &Group| {
                    group.inode_table.saturating_add(self.table_blocks()) <= self.shape.blocks
                };
                // Checksums of descriptors have 16 bits: they say nothing against the map. What lies
                // where such a descriptor puts its inodes does.
                let is_lost = tally.encrypted > 0 || tally.gone > 0;
                *place = group
                    .filter(has_room)
                    .filter(|group| !is_lost || self.is_table(group))
                    .map(|group| PlacedGroup { group, is_current: copy == 0 });
            }
        }
        found
    }

    /// Whether inodes of this group stand where the descriptor puts them, by checksums that begin
    /// with the volume's seed and their own numbers.
    fn is_table(&self, group: &Group) -> bool {
        /// Blocks looked at, and inodes that must agree.
        const BLOCKS: u64 = 4;
        const FEWEST: usize = 3;
        let shape = &self.shape;
        let Ok(size) = usize::try_from(shape.inode_bytes) else { return false };
        let each = (shape.block_bytes / shape.inode_bytes.max(1)).max(1);
        let first = group.number.saturating_mul(shape.inodes_per_group).saturating_add(1);
        let proven = (0..BLOCKS.min(self.table_blocks())).flat_map(|nth| {
            let block = self.block(group.inode_table.saturating_add(nth));
            let bytes = block.map(|block| block.bytes).unwrap_or_default();
            let number = first.saturating_add(nth.saturating_mul(each));
            let is_one = |(number, bytes): (u64, &[u8])| {
                let number = u32::try_from(number).ok();
                bytes.iter().any(|byte| *byte != 0)
                    && number.and_then(|number| seed_by_inode(bytes, number)) == Some(shape.seed)
            };
            let count = (number..).zip(bytes.chunks_exact(size.max(1))).filter(|one| is_one(*one));
            vec![(); count.count()]
        });
        proven.take(FEWEST).count() >= FEWEST
    }
}
