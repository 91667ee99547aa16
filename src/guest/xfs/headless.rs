//! Geometry of a volume of which no superblock is left.
//!
//! Trees have blocks of the volume's size and inodes their own; groups are numbered by their heads.
//! An inode's number is made of its group and its place there: once blocks have told where the
//! volume begins, inodes of two groups tell how large a group is.

use std::collections::HashMap;

use vmglean_formats::xfs::{BlockKind, Superblock};

use super::hits::VolumeHits;
use crate::guest::{Ground, partition::Table};

/// Structures that are asked.
const MOST: usize = 65_536;
/// Structures that must agree.
const FEWEST: u32 = 3;

/// The volume's geometry, and what it rests on.
pub(super) fn headless(
    ground: &Ground<'_>,
    table: &Table,
    uuid: [u8; 16],
    hits: &VolumeHits,
) -> Option<(Superblock, String)> {
    let trees = hits.blocks.iter().filter(|hit| {
        matches!(hit.kind, BlockKind::Extents | BlockKind::Inodes | BlockKind::Other)
    });
    let folders = hits.blocks.iter().filter(|hit| hit.kind == BlockKind::Folder);
    let of_folders = most(folders.map(|hit| u64::from(hit.size_log2)));
    let block_log = most(trees.map(|hit| u64::from(hit.size_log2))).or(of_folders)?;
    let inode_log = most(hits.inodes.iter().map(|hit| u64::from(hit.size_log2)))?;
    let (block_bytes, inode_bytes) = (1 << block_log, 1 << inode_log);
    let folder_log = of_folders.and_then(|log| log.checked_sub(block_log)).unwrap_or(0);
    let voices = hits.blocks.iter().take(MOST);
    let start = most(voices.filter_map(|hit| hit.at.checked_sub(hit.offset)))?;
    let (group_blocks, sector_bytes) = match by_heads(hits, start, block_bytes) {
        Some(known) => known,
        None => (by_inodes(hits, start, block_bytes, inode_bytes)?, 512),
    };
    let end = table.partitions.iter().find(|partition| partition.start == start);
    let end = end.map_or(ground.size(), |partition| partition.end.min(ground.size()));
    let blocks = end.checked_sub(start)? / block_bytes;
    let shape = Superblock::guessed(
        uuid,
        (block_bytes, inode_bytes),
        (group_blocks, blocks),
        u32::try_from(folder_log).ok()?,
    )?;
    let shape = Superblock { sector_bytes, ..shape };
    let what = "no superblock is left; its structures tell sizes of blocks, inodes and groups";
    Some((shape, what.to_owned()))
}

fn most(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut counts: HashMap<u64, u32> = HashMap::new();
    for value in values.take(MOST) {
        *counts.entry(value).or_insert(0) += 1;
    }
    counts.into_iter().max_by_key(|(value, count)| (*count, *value)).map(|(value, _)| value)
}

/// Blocks of a group and bytes of a sector, by heads of groups: each lies in its group's second
/// sector.
fn by_heads(hits: &VolumeHits, start: u64, block_bytes: u64) -> Option<(u64, u64)> {
    let mut votes: HashMap<(u64, u64), u32> = HashMap::new();
    for (at, head) in hits.heads.iter().take(MOST) {
        let Some(before) = at.checked_sub(start) else { continue };
        for sector in (9..16).map(|log| 1_u64 << log) {
            let Some(before) = before.checked_sub(sector) else { break };
            let groups = head.group.saturating_mul(block_bytes);
            let blocks = match before.checked_div(groups) {
                None if before == 0 => head.blocks,
                Some(blocks) if before.is_multiple_of(groups) && blocks >= head.blocks => blocks,
                _ => continue,
            };
            *votes.entry((blocks, sector)).or_insert(0) += 1;
        }
    }
    // The first group alone may be the last one too, and smaller than others were.
    let best = votes.into_iter().max_by_key(|(pair, count)| (*count, *pair));
    best.filter(|(_, count)| *count >= 2).map(|(pair, _)| pair)
}

/// Blocks of a group, by numbers and places of inodes outside of the first one.
fn by_inodes(hits: &VolumeHits, start: u64, block_bytes: u64, inode_bytes: u64) -> Option<u64> {
    let per_block_log = (block_bytes / inode_bytes).checked_ilog2()?;
    let mut votes: HashMap<u64, u32> = HashMap::new();
    let step = hits.inodes.len().div_ceil(MOST).max(1);
    for hit in hits.inodes.iter().step_by(step) {
        let Some(offset) = hit.at.checked_sub(start) else { continue };
        for log in 4..32_u32 {
            let bits = log + per_block_log;
            let group = hit.number >> bits;
            let within = (hit.number & ((1 << bits) - 1)).saturating_mul(inode_bytes);
            let Some(bytes) = offset.checked_sub(within).filter(|_| group > 0) else { continue };
            let blocks = bytes / group / block_bytes;
            let is_exact = blocks.checked_mul(group).and_then(|all| all.checked_mul(block_bytes));
            let is_possible = blocks > 1 << (log - 1) && blocks <= 1 << log;
            if is_exact == Some(bytes) && is_possible {
                *votes.entry(blocks).or_insert(0) += 1;
            }
        }
    }
    let (blocks, count) = votes.into_iter().max_by_key(|(blocks, count)| (*count, *blocks))?;
    (count >= FEWEST).then_some(blocks)
}
