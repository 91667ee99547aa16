//! Partitions from any surviving copy of the table.

use vmglean_formats::{
    ByteOffset,
    partition::{GptHeader, MAX_ENTRIES_BYTES, Partition, SECTORS, mbr},
};

use super::Ground;

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

/// Reads the table: GPT at the start, at the end, anywhere `found` points to, in sectors of 512 or
/// of 4096 bytes; else an MBR.
#[must_use]
pub fn table(ground: &Ground<'_>, found: &[u64]) -> Table {
    let last = |sector: u64| (ground.size() / sector).saturating_sub(1).saturating_mul(sector);
    let first = SECTORS.map(|sector| (sector, "primary GPT"));
    let second = SECTORS.map(|sector| (last(sector), "backup GPT in the last sector"));
    let rest = found.iter().map(|at| (*at, "GPT copy found by scan"));
    for (at, what) in first.into_iter().chain(second).chain(rest).take(MOST_COPIES) {
        if let Some((mut partitions, sector)) = gpt(ground, at) {
            partitions.truncate(MOST_PARTITIONS);
            let sectors = match sector {
                512 => String::new(),
                _ => format!(", in sectors of {sector} bytes"),
            };
            let rests_on = format!("{what} at {at:#x}, both CRCs right{sectors}");
            return Table { partitions, rests_on };
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

/// The partitions of a table that proves itself, and the sectors it counts in.
fn gpt(ground: &Ground<'_>, at: u64) -> Option<(Vec<Partition>, u64)> {
    let bytes = ground.read(at, 512).ok()?;
    let header = GptHeader::parse(&bytes, ByteOffset(at)).ok()?;
    let sector = header.sector_bytes(at)?;
    let entries_at = header.entries_lba.checked_mul(sector)?;
    let length = header.array_bytes().min(MAX_ENTRIES_BYTES);
    let entries = ground.read(entries_at, usize::try_from(length).ok()?).ok()?;
    Some((header.partitions(&entries, sector)?, sector))
}
