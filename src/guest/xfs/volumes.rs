//! Volumes by vote: each structure that says where it must lie says where the volume begins.

use std::collections::BTreeMap;

use vmglean_formats::xfs::Superblock;

use super::{headless::headless, hits::VolumeHits};
use crate::guest::{
    Ground,
    partition::Table,
    scan::Hits,
    volumes::{Volume, VolumeKind},
};

/// Structures that must agree on a start.
const FEWEST: u32 = 3;
/// Where a first partition begins where no table tells, or the volume of a disk without one.
const USUAL_STARTS: [u64; 3] = [1 << 20, 0, 63 * 512];
/// Structures of another file system by which a volume without table and superblock is one left
/// from before.
const MOST_FOREIGN: usize = 8;
/// Volumes of one number: copies of partitions.
const MOST_COPIES: usize = 16;

/// A volume's geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XfsGeometry {
    /// What its superblock says, or what was found out without one.
    pub shape: Superblock,
    /// Whether it lies in one piece for sure: in a partition of its own.
    pub is_contiguous: bool,
}

/// Places of structures on the disk, and in the volume.
pub(super) fn voices<'a>(
    hits: &'a VolumeHits,
    shape: &'a Superblock,
) -> impl Iterator<Item = (u64, u64)> + 'a {
    let blocks = hits.blocks.iter().map(|hit| (hit.at, hit.offset));
    let heads = hits.heads.iter().filter_map(|(at, head)| {
        Some((*at, shape.group_offset(head.group)?.checked_add(shape.sector_bytes)?))
    });
    let inodes =
        hits.inodes.iter().filter_map(|hit| Some((hit.at, shape.inode_offset(hit.number)?)));
    let log = shape.log_start.and_then(|first| shape.block_offset(first));
    let records = hits.logs.iter().filter_map(move |(at, record)| {
        Some((*at, log?.checked_add(u64::from(record.sector) * 512)?))
    });
    let end = shape.bytes();
    blocks.chain(heads).chain(records).chain(inodes).filter(move |(_, offset)| *offset < end)
}

/// Finds XFS volumes from what the scan hit, each with whether its own superblock begins it.
pub(in crate::guest) fn volumes(
    ground: &Ground<'_>,
    hits: &Hits,
    table: &Table,
) -> Vec<(Volume, bool)> {
    let mut found: BTreeMap<u64, (bool, u32, Volume)> = BTreeMap::new();
    for (uuid, own) in hits.xfs.volumes() {
        let known = shape_of(own).or_else(|| headless(ground, table, *uuid, own));
        let Some((shape, what)) = known else {
            continue;
        };
        for (start, votes) in starts(own, &shape, table) {
            let is_first = own.supers.iter().any(|(at, _)| *at == start);
            let partition = table.partitions.iter().find(|partition| partition.start == start);
            let known = is_first || partition.is_some();
            if !known && is_overwritten(hits, start, shape.bytes()) {
                continue;
            }
            let is_alone = |starts: &[(u64, u32)]| starts.len() < 2;
            let is_contiguous = partition.is_some()
                || USUAL_STARTS.contains(&start)
                    && table.partitions.is_empty()
                    && is_alone(&all_starts(own, &shape));
            let mut rests_on = vec![match own.supers.iter().find(|(at, _)| *at == start) {
                Some((at, _)) => format!("superblock at {at:#x}"),
                None => what.clone(),
            }];
            if votes > 0 {
                rests_on.push(format!("{votes} structures agree on its start"));
            }
            if partition.is_some() {
                rests_on.push(table.rests_on.clone());
            }
            let volume = Volume {
                number: 0,
                start,
                bytes: Some(shape.bytes()),
                kind: VolumeKind::Xfs(XfsGeometry { shape, is_contiguous }),
                name: partition.map(|partition| partition.name.clone()).unwrap_or_default(),
                rests_on,
                inside: None,
            };
            // Of two that begin at one place, one was made over the other.
            let is_better =
                found.get(&start).is_none_or(|(first, of, _)| (*first, *of) < (is_first, votes));
            if is_better {
                found.insert(start, (is_first, votes, volume));
            }
        }
    }
    found.into_values().map(|(is_first, _, volume)| (volume, is_first)).collect()
}

/// The geometry that most copies of the superblock give, the first one before all.
fn shape_of(hits: &VolumeHits) -> Option<(Superblock, String)> {
    let alike = |one: &Superblock, other: &Superblock| {
        one.block_bytes == other.block_bytes
            && one.blocks == other.blocks
            && one.group_blocks == other.group_blocks
            && one.inode_bytes == other.inode_bytes
    };
    let count =
        |shape: &Superblock| hits.supers.iter().filter(|(_, other)| alike(shape, other)).count();
    let looked_at = hits.supers.iter().take(256);
    let (at, shape) = looked_at.max_by_key(|(_, shape)| {
        // Copies have no numbers of inodes, or some of them.
        (shape.root.is_some(), shape.own != [0; 5], count(shape))
    })?;
    Some((*shape, format!("copy of the superblock at {at:#x}")))
}

/// Where the volume may begin, by votes, most first.
fn all_starts(hits: &VolumeHits, shape: &Superblock) -> Vec<(u64, u32)> {
    let mut votes: BTreeMap<u64, u32> = BTreeMap::new();
    for (at, offset) in voices(hits, shape) {
        if let Some(start) = at.checked_sub(offset).filter(|start| start.is_multiple_of(512)) {
            *votes.entry(start).or_insert(0) += 1;
        }
    }
    let mut starts: Vec<(u64, u32)> =
        votes.into_iter().filter(|(_, count)| *count >= FEWEST).collect();
    starts.sort_by_key(|(start, count)| (std::cmp::Reverse(*count), *start));
    starts
}

/// The best start, and further ones that are a partition's: copies of the volume.
fn starts(hits: &VolumeHits, shape: &Superblock, table: &Table) -> Vec<(u64, u32)> {
    let is_partition =
        |start: u64| table.partitions.iter().any(|partition| partition.start == start);
    let all = all_starts(hits, shape);
    let mut chosen: Vec<(u64, u32)> = all.first().copied().into_iter().collect();
    let others = all.iter().skip(1).filter(|(start, _)| is_partition(*start));
    chosen.extend(others.take(MOST_COPIES));
    if chosen.is_empty() {
        let first = hits.supers.iter().map(|(at, _)| *at).find(|at| is_partition(*at));
        chosen.extend(first.map(|at| (at, 0)));
    }
    chosen
}

/// Whether another file system stands where this one was.
fn is_overwritten(hits: &Hits, start: u64, length: u64) -> bool {
    let end = start.saturating_add(length);
    let first = hits.records.partition_point(|hit| hit.at < start);
    let records = hits.records.iter().skip(first).take(MOST_FOREIGN);
    let folders = hits.folders.partition_point(|hit| hit.at < start);
    let folders = hits.folders.iter().skip(folders).take(MOST_FOREIGN);
    records.take_while(|hit| hit.at < end).count() >= MOST_FOREIGN
        || folders.take_while(|hit| hit.at < end).count() >= MOST_FOREIGN
}
