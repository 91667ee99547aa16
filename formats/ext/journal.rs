//! The journal: blocks of the volume that were written down before they were written back.

use super::{crc::crc32c, u32_at as little_u32_at};

/// First word of the journal's own blocks.
const MAGIC: u32 = 0xC03B_3998;

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    little_u32_at(bytes, at).map(u32::swap_bytes)
}

/// The journal's superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Bytes a block.
    pub block_bytes: u32,
    /// Blocks, this one with them.
    pub blocks: u32,
    /// First block of the ring.
    pub first: u32,
    /// Number of the first transaction that waits.
    pub sequence: u32,
    /// Block where it begins; 0: none waits.
    pub start: u32,
    has_wide_numbers: bool,
    sums: Sums,
    seed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sums {
    None,
    Short,
    Long,
}

/// A block that waits, as a transaction lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Block of the volume.
    pub block: u64,
    /// Whether its first word was the journal's and is zero here.
    pub is_escaped: bool,
    sum: u32,
}

/// A block of the journal's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalBlock {
    /// These blocks follow, in this order.
    Tags(Vec<Tag>),
    /// The transaction is whole.
    Commit,
    /// What earlier transactions say of these blocks no longer counts.
    Revoked(Vec<u64>),
}

impl Journal {
    /// The superblock that `block` is, if its sizes can be and its checksum, if it has one, holds.
    /// `block` is its first 1,024 bytes.
    #[must_use]
    pub fn parse(block: &[u8]) -> Option<Self> {
        let is_super = u32_at(block, 0) == Some(MAGIC) && matches!(u32_at(block, 4), Some(3 | 4));
        let version = u32_at(block, 4)?;
        let features = if version == 4 { u32_at(block, 40)? } else { 0 };
        let journal = Self {
            block_bytes: u32_at(block, 12)?,
            blocks: u32_at(block, 16)?,
            first: u32_at(block, 20)?,
            sequence: u32_at(block, 24)?,
            start: u32_at(block, 28)?,
            has_wide_numbers: features & 2 != 0,
            sums: match features & 0x18 {
                0x10 => Sums::Long,
                0x08 => Sums::Short,
                _ => Sums::None,
            },
            seed: crc32c(u32::MAX, block.get(48..64)?),
        };
        let is_sane = is_super
            && journal.block_bytes.is_power_of_two()
            && (1024..=65_536).contains(&journal.block_bytes)
            && journal.first >= 1
            && journal.first < journal.blocks
            && journal.start < journal.blocks;
        is_sane.then_some(journal).filter(|journal| !journal.has_sums() || own_sum_holds(block))
    }

    /// Whether blocks carry checksums.
    #[must_use]
    pub fn has_sums(&self) -> bool {
        self.sums != Sums::None
    }

    /// The block of the ring after `block`.
    #[must_use]
    pub fn after(&self, block: u32) -> u32 {
        let next = block.saturating_add(1);
        if next >= self.blocks { self.first } else { next }
    }

    /// The journal's own block that `block` is, of transaction `sequence`; `None` where it is
    /// none, and where its checksum is wrong.
    #[must_use]
    pub fn block(&self, block: &[u8], sequence: u32) -> Option<JournalBlock> {
        if u32_at(block, 0)? != MAGIC || u32_at(block, 8)? != sequence {
            return None;
        }
        let end = block.len().checked_sub(if self.has_sums() { 4 } else { 0 })?;
        match u32_at(block, 4)? {
            1 => self.sum_holds(block, end).then(|| JournalBlock::Tags(self.tags(block, end))),
            2 => self.sum_holds(block, 16).then_some(JournalBlock::Commit),
            5 => {
                let used = usize::try_from(u32_at(block, 12)?).ok()?.min(end);
                let words = block.get(16..used)?;
                let size = if self.has_wide_numbers { 8 } else { 4 };
                let numbers = words
                    .chunks_exact(size)
                    .map(|word| word.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
                let numbers = numbers.collect();
                self.sum_holds(block, end).then_some(JournalBlock::Revoked(numbers))
            }
            _ => None,
        }
    }

    /// Whether the block's checksum, which stands at `at`, is right.
    fn sum_holds(&self, block: &[u8], at: usize) -> bool {
        if !self.has_sums() {
            return true;
        }
        let (Some(before), Some(after)) = (block.get(..at), block.get(at.saturating_add(4)..))
        else {
            return false;
        };
        let sum = crc32c(crc32c(crc32c(self.seed, before), &[0; 4]), after);
        u32_at(block, at) == Some(sum)
    }

    fn tags(&self, block: &[u8], end: usize) -> Vec<Tag> {
        let mut tags = Vec::new();
        let mut at = 12_usize;
        let size = match (self.sums, self.has_wide_numbers) {
            (Sums::Long, _) => 16,
            (_, true) => 12,
            (_, false) => 8,
        };
        while at.saturating_add(size) <= end {
            let Some(tag) = block.get(at..at.saturating_add(size)) else { break };
            let (Some(low), Some(second)) = (u32_at(tag, 0), u32_at(tag, 4)) else { break };
            let is_long = self.sums == Sums::Long;
            let flags = if is_long { second } else { second & 0xFFFF };
            let sum = if is_long { u32_at(tag, 12).unwrap_or(0) } else { second >> 16 };
            let high = if self.has_wide_numbers { u32_at(tag, 8).unwrap_or(0) } else { 0 };
            let block_number = u64::from(low) | u64::from(high) << 32;
            tags.push(Tag { block: block_number, is_escaped: flags & 1 != 0, sum });
            at = at.saturating_add(size);
            if flags & 2 == 0 {
                at = at.saturating_add(16);
            }
            if flags & 8 != 0 {
                break;
            }
        }
        tags
    }

    /// Whether `block` is what the transaction's `tag` says; `None`: no checksum tells.
    #[must_use]
    pub fn data_holds(&self, tag: &Tag, block: &[u8], sequence: u32) -> Option<bool> {
        let sum = crc32c(crc32c(self.seed, &sequence.to_be_bytes()), block);
        match self.sums {
            Sums::None => None,
            Sums::Short => Some(sum & 0xFFFF == tag.sum),
            Sums::Long => Some(sum == tag.sum),
        }
    }
}

/// Whether the checksum of the journal's superblock is right.
fn own_sum_holds(block: &[u8]) -> bool {
    let (Some(before), Some(after)) = (block.get(..0xFC), block.get(0x100..1024)) else {
        return false;
    };
    let sum = crc32c(crc32c(crc32c(u32::MAX, before), &[0; 4]), after);
    u32_at(block, 0xFC) == Some(sum)
}
