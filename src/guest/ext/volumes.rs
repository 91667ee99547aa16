//! Volumes by their superblocks: each copy says which group it lies in, hence where the volume
//! begins.

use std::collections::BTreeMap;

use vmglean_formats::{
    ext::{Inode, InodeKind, Superblock, is_inode},
    partition::Partition,
};

use super::{base::Base, headless::headless};
use crate::guest::{
    Ground,
    partition::Table,
    scan::Hits,
    volumes::{Volume, VolumeKind},
};

/// Candidates that are looked at; every group of a small volume may hold a copy.
const MOST: usize = 65_536;
/// Where a first partition begins where no table tells, or the volume of a disk without one.
pub(super) const USUAL_STARTS: [u64; 3] = [1 << 20, 0, 63 * 512];
/// File records of NTFS by which a volume without table and root folder is one left from before.
const MOST_FOREIGN: usize = 8;
/// Number of the root folder.
const ROOT: u64 = 2;

struct Candidate {
    shape: Superblock,
    at: u64,
    copies: u32,
}

/// Whether two superblocks are copies of one.
fn are_alike(one: &Superblock, other: &Superblock) -> bool {
    one.uuid == other.uuid
        && one.block_bytes == other.block_bytes
        && one.blocks_per_group == other.blocks_per_group
        && one.inodes_per_group == other.inodes_per_group
        && one.inode_bytes == other.inode_bytes
}

/// Where copies of this superblock lie that put the volume's start at `start`.
pub(in crate::guest) fn copies<'h>(
    hits: &'h Hits,
    start: u64,
    shape: &'h Superblock,
) -> impl Iterator<Item = u64> + 'h {
    hits.supers
        .iter()
        .filter(move |hit| hit.at.checked_sub(hit.shape.copy_at(hit.shape.group)) == Some(start))
        .filter(move |hit| are_alike(&hit.shape, shape))
        .map(|hit| hit.at)
}

/// Finds ext volumes from the superblocks that the scan hit.
pub(in crate::guest) fn volumes(ground: &Ground<'_>, hits: &Hits, table: &Table) -> Vec<Volume> {
    let mut found: BTreeMap<u64, Vec<Candidate>> = BTreeMap::new();
    for hit in hits.supers.iter().take(MOST) {
        let shape = hit.shape;
        let Some(start) = hit.at.checked_sub(shape.copy_at(shape.group)) else { continue };
        if shape.group >= shape.groups {
            continue;
        }
        let candidates = found.entry(start).or_default();
        let has_room = candidates.len() < 64;
        match candidates.iter_mut().find(|known| are_alike(&known.shape, &shape)) {
            Some(known) => {
                known.copies += 1;
                // The first one is kept up; copies may be older, or of a smaller volume.
                let is_better = (shape.group == 0, shape.written)
                    > (known.shape.group == 0, known.shape.written);
                if is_better {
                    known.shape = shape;
                    known.at = hit.at;
                }
            }
            None if has_room => {
                candidates.push(Candidate { shape, at: hit.at, copies: 1 });
            }
            None => {}
        }
    }
    let mut volumes: Vec<Volume> = found
        .into_iter()
        .filter_map(|(start, candidates)| {
            let judged =
                candidates.iter().map(|candidate| weigh(ground, hits, table, start, candidate));
            let best = judged.max_by_key(|(score, written, _)| (*score, *written))?;
            let (score, _, volume) = best;
            // A superblock alone may lie in a journal, or be left from an older volume.
            (score >= 3).then_some(volume)
        })
        .collect();
    let mut places: Vec<(u64, Option<u64>)> =
        table.partitions.iter().map(|partition| (partition.start, Some(partition.end))).collect();
    if places.is_empty() {
        places.extend(USUAL_STARTS.map(|start| (start, None)));
    }
    for (start, end) in places {
        if volumes.iter().any(|volume| volume.start <= start && start < volume.end(ground.size())) {
            continue;
        }
        if let Some((shape, votes)) = headless(ground, start, end) {
            volumes.push(without_superblock(table, start, shape, votes));
        }
    }
    volumes
}

/// A volume of which no superblock is left.
fn without_superblock(table: &Table, start: u64, shape: Superblock, votes: u32) -> Volume {
    let partition = table.partitions.iter().find(|partition| partition.start == start);
    let mut rests_on = vec![format!(
        "no superblock is left; {votes} inodes agree by their checksums where the group \
         descriptors put them"
    )];
    if partition.is_some() {
        rests_on.push(table.rests_on.clone());
    }
    volume(start, shape, partition, rests_on)
}

fn volume(
    start: u64,
    shape: Superblock,
    partition: Option<&Partition>,
    rests_on: Vec<String>,
) -> Volume {
    Volume {
        number: 0,
        start,
        bytes: Some(shape.bytes()),
        kind: VolumeKind::Ext(shape),
        name: partition.map(|partition| partition.name.clone()).unwrap_or_default(),
        rests_on,
        inside: None,
    }
}

fn weigh(
    ground: &Ground<'_>,
    hits: &Hits,
    table: &Table,
    start: u64,
    candidate: &Candidate,
) -> (u32, u32, Volume) {
    let shape = candidate.shape;
    let mut rests_on = vec![if shape.group == 0 {
        format!("superblock at {:#x}", candidate.at)
    } else {
        format!("copy of the superblock at {:#x}, in group {}", candidate.at, shape.group)
    }];
    let mut score = candidate.copies.min(4);
    if candidate.copies > 1 {
        // Each lies in another group: no journal and no chance puts two of them so.
        score += 1;
        rests_on.push(format!("{} copies of it agree on its start", candidate.copies));
    }
    let partition = table.partitions.iter().find(|partition| partition.start == start);
    if partition.is_some() {
        score += 2;
        rests_on.push(table.rests_on.clone());
    }
    if has_root(ground, start, shape) {
        score += 4;
        rests_on.push("the root folder's inode where the group descriptors put it".to_owned());
    } else if partition.is_none() && is_overwritten(hits, start, shape.bytes()) {
        score = 0;
    }
    (score, shape.written, volume(start, shape, partition, rests_on))
}

/// Whether another file system stands where this one was.
fn is_overwritten(hits: &Hits, start: u64, length: u64) -> bool {
    let first = hits.records.partition_point(|hit| hit.at < start);
    let end = start.saturating_add(length);
    let inside = hits.records.iter().skip(first).take(MOST_FOREIGN);
    inside.take_while(|hit| hit.at < end).count() >= MOST_FOREIGN
}

fn has_root(ground: &Ground<'_>, start: u64, shape: Superblock) -> bool {
    let base = Base::new(ground, start, shape);
    let Some(group) = base.group(0) else { return false };
    let Some(block) = base.block(group.group.inode_table) else { return false };
    let Ok(size) = usize::try_from(shape.inode_bytes) else { return false };
    let Some(bytes) = block.bytes.get(size..size * 2) else { return false };
    let is_folder =
        Inode::parse(bytes).is_some_and(|inode| inode.kind == InodeKind::Folder && inode.links > 1);
    is_folder && is_inode(bytes, ROOT, &shape)
}
