//! What the transactions of the log change: which inodes, and which blocks.
//!
//! A record is a list of operations, each a piece of a transaction's regions. The first region of
//! every item says what it changes; what it changes it to is not asked here.

use std::collections::{BTreeMap, BTreeSet};

use super::{LogRecord, be32};
use crate::ext::crc32c;

/// Bytes of a sector, of an operation's head, and of a transaction's.
const SECTOR: usize = 512;
const OPERATION: usize = 12;
const TRANSACTION: usize = 16;
/// Rounds that one head keeps, and bytes of such a list with its own round.
const ROUNDS: usize = 64;
const LIST: usize = 260;
/// Flags of operations.
const START: u8 = 1;
const COMMIT: u8 = 2;
const GOES_ON: u8 = 8;
const UNMOUNT: u8 = 0x20;
/// Changes that are kept, and transactions open at once.
const MOST: usize = 1 << 24;
const MOST_OPEN: usize = 4096;

/// What is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Inodes.
    pub inodes: BTreeSet<u64>,
    /// Blocks: first sector of the volume, and how many.
    pub sectors: Vec<(u64, u64)>,
    /// Blocks of new inodes: group, first block of it, and how many.
    pub chunks: Vec<(u64, u64, u64)>,
}

/// A transaction that is being read.
#[derive(Default)]
struct Transaction {
    /// Bytes of its head that were read.
    head: usize,
    /// First region of the item that is being read.
    first: Vec<u8>,
    /// Regions of that item that were begun.
    regions: u16,
}

/// Reads records in the order they were written.
#[derive(Default)]
pub struct LogReader {
    open: BTreeMap<u32, Transaction>,
    changes: Changes,
}

impl LogReader {
    /// Takes a record: its heads and its content, as they lie in the log. `None` where they do
    /// not hold together, or change something in a way that is not known here.
    #[must_use]
    pub fn take(&mut self, bytes: &[u8]) -> Option<()> {
        let record = LogRecord::parse(bytes)?;
        let length = usize::try_from(be32(bytes, 12)?).ok()?;
        let heads = usize::try_from(record.sectors.0).ok()?.checked_mul(SECTOR)?;
        let (heads, rest) = bytes.split_at_checked(heads)?;
        let content = rest.get(..length)?;
        if !sum_holds(heads, content) {
            return None;
        }
        let mut content = content.to_vec();
        for (nth, sector) in content.chunks_mut(SECTOR).enumerate() {
            let list = (nth / ROUNDS).checked_mul(SECTOR)?;
            let first = if list == 0 { 44 } else { list.checked_add(4)? };
            let at = first.checked_add((nth % ROUNDS).checked_mul(4)?)?;
            sector.get_mut(..4)?.copy_from_slice(heads.get(at..at.checked_add(4)?)?);
        }
        let mut at = 0_usize;
        for _ in 0..record.operations {
            let head = content.get(at..at.checked_add(OPERATION)?)?;
            let (transaction, flags) = (be32(head, 0)?, *head.get(9)?);
            at = at.checked_add(OPERATION)?;
            let end = at.checked_add(usize::try_from(be32(head, 4)?).ok()?)?;
            self.operation(transaction, flags, content.get(at..end)?)?;
            at = end;
        }
        Some(())
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Option<Changes> {
        for transaction in std::mem::take(&mut self.open).into_values() {
            self.item(&transaction.first)?;
        }
        Some(self.changes)
    }

    fn operation(&mut self, number: u32, flags: u8, region: &[u8]) -> Option<()> {
        if flags & START != 0 {
            let before = self.open.insert(number, Transaction::default());
            self.item(&before.unwrap_or_default().first)?;
            if self.open.len() > MOST_OPEN {
                return None;
            }
        }
        if flags & (COMMIT | UNMOUNT) != 0 {
            let done = self.open.remove(&number).unwrap_or_default();
            return self.item(&done.first);
        }
        // One that began before what is needed changes nothing any more.
        let Some(own) = self.open.get_mut(&number).filter(|_| !region.is_empty()) else {
            return Some(());
        };
        if own.head < TRANSACTION {
            own.head = own.head.checked_add(region.len())?;
            return (own.head <= TRANSACTION).then_some(());
        }
        if flags & GOES_ON != 0 {
            if own.regions == 1 {
                own.first.extend_from_slice(region);
            }
            return Some(());
        }
        let count = own.first.get(2..4).and_then(|count| count.try_into().ok());
        let count = count.map(u16::from_le_bytes);
        if count.is_some_and(|count| own.regions < count) {
            own.regions = own.regions.checked_add(1)?;
            return Some(());
        }
        let done = std::mem::replace(&mut own.first, region.to_vec());
        own.regions = 1;
        self.item(&done)
    }

    /// An item by its first region, whose numbers are as the machine had them.
    fn item(&mut self, region: &[u8]) -> Option<()> {
        if region.is_empty() {
            return Some(());
        }
        let number = |at: usize, width: usize| {
            let mut bytes = [0; 8];
            bytes.get_mut(..width)?.copy_from_slice(region.get(at..at.checked_add(width)?)?);
            Some(u64::from_le_bytes(bytes))
        };
        let changes = &mut self.changes;
        match number(0, 2)? {
            // An inode; machines of 32 bits leave out a gap.
            0x123B => {
                let at = if region.len() == 52 { 12 } else { 16 };
                changes.inodes.insert(number(at, 8)?);
            }
            0x123C => changes.sectors.push((number(8, 8)?, number(6, 2)?)),
            0x123F => {
                let part = |at: usize| be32(region, at).map(u64::from);
                changes.chunks.push((part(4)?, part(8)?, part(20)?));
            }
            // Extents that are to be mapped, with the inodes they belong to.
            0x1244 => {
                for nth in 0..usize::try_from(number(4, 4)?).ok()? {
                    let at = nth.checked_mul(32)?.checked_add(16)?;
                    changes.inodes.insert(number(at, 8)?);
                }
            }
            // Space to be given up, counts of sharers, quotas: their inodes are items too.
            0x1236..=0x1238 | 0x123D | 0x123E | 0x1240..=0x1243 | 0x1245 => {}
            _ => return None,
        }
        let count = changes.inodes.len().max(changes.sectors.len()).max(changes.chunks.len());
        (count <= MOST).then_some(())
    }
}

/// Whether the checksum of a record holds: over its head, its further lists of rounds, and its
/// content.
fn sum_holds(heads: &[u8], content: &[u8]) -> bool {
    let lists = content.len().div_ceil(ROUNDS * SECTOR);
    let sum = |head: usize| {
        let mut crc = crc32c(u32::MAX, heads.get(..32)?);
        crc = crc32c(crc32c(crc, &[0; 4]), heads.get(36..head)?);
        for list in 1..lists {
            let at = list.checked_mul(SECTOR)?;
            crc = crc32c(crc, heads.get(at..at.checked_add(LIST)?)?);
        }
        Some(!crc32c(crc, content))
    };
    let stored = heads.get(32..36).and_then(|sum| sum.try_into().ok()).map(u32::from_le_bytes);
    // Machines of 32 bits have no gap at its end.
    stored.is_some() && (sum(328) == stored || sum(324) == stored)
}
