//! Partitions from any surviving copy of the table.

use vmglean_formats::{
    ByteOffset,
    partition::{GptHeader, MAX_ENTRIES_BYTES, Partition, mbr},
};

use super::{Ground, scan::SECTOR};

/// More copies than this are not tried.
const MOST_COPIES: usize = 64;
/// More partitions than this are not looked at.
pub const MOST_PARTITIONS: usize = 128;

/// Partitions, and the copy they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// In the table's order.
    pub partitions: Vec<Partition>,
    /// In words; empty where no table survived.
    pub rests_on: String,
}

/// Reads the table: GPT at the start, at the end, anywhere `found` points to; else an MBR.
#[must_use]
pub fn table(ground: &Ground<'_>, found: &[u64]) -> Table {
    let last = (ground.size() / SECTOR).saturating_sub(1).saturating_mul(SECTOR);
    let usual = [(SECTOR, "primary GPT"), (last, "backup GPT in the last sector")];
    let rest = found.iter().map(|at| (*at, "GPT copy found by scan"));
    for (at, what) in usual.into_iter().chain(rest).take(MOST_COPIES) {
        if let Some(mut partitions) = gpt(ground, at) {
            partitions.truncate(MOST_PARTITIONS);
            return Table { partitions, rests_on: format!("{what} at {at:#x}, both CRCs right") };
        }
    }
    let head = ground.read(0, 512).ok().filter(|_| ground.is_good(0..512));
    match head.and_then(|sector| mbr(&sector, ground.size())) {
        Some(partitions) if !partitions.is_empty() => {
            Table { partitions, rests_on: "MBR in sector 0".to_owned() }
        }
        _ => Table::default(),
    }
}

fn gpt(ground: &Ground<'_>, at: u64) -> Option<Vec<Partition>> {
    let sector = ground.read(at, 512).ok()?;
    let header = GptHeader::parse(&sector, ByteOffset(at)).ok()?;
    // A copy inside a file of the guest names another place as its own.
    if header.my_lba.checked_mul(SECTOR)? != at {
        return None;
    }
    let entries_at = header.entries_lba.checked_mul(SECTOR)?;
    let length = header.array_bytes().min(MAX_ENTRIES_BYTES);
    let entries = ground.read(entries_at, usize::try_from(length).ok()?).ok()?;
    header.partitions(&entries)
}
