//! How far a volume is known to lie in one piece, where it begins at no partition: inside LVM2 whose
//! text is lost, what follows may lie elsewhere.

use std::ops::RangeInclusive;

use rayon::prelude::*;
use vmglean_formats::ext::InodeKind;

use super::{
    base::Base,
    inodes::{Inodes, read_inode},
    map::stream,
    volumes::{USUAL_STARTS, copies},
};
use crate::guest::{partition::table, scan::Hits};

/// The first and the last block of which something tells that they lie where the volume's start puts
/// them: copies of the superblock, inodes by their checksums, and folders by their first blocks. What
/// lies between two of them lies in one piece. `None`: the volume begins where a partition does.
pub(super) fn reach(base: &Base<'_>, inodes: &Inodes, hits: &Hits) -> Option<RangeInclusive<u64>> {
    let start = base.start;
    let is_partition =
        table(base.ground, &hits.gpt).partitions.iter().any(|one| one.start == start);
    let shows_lvm = !hits.labels.is_empty() || !hits.areas.is_empty();
    if is_partition || start == 0 || (USUAL_STARTS.contains(&start) && !shows_lvm) {
        return None;
    }
    let block = base.shape.block_bytes.max(1);
    let number = |at: u64| Some(at.checked_sub(start)? / block);
    let mut told: Vec<u64> = copies(hits, start, &base.shape).filter_map(number).collect();
    let proven = inodes.entries.iter().filter(|entry| entry.is_proven);
    told.extend(proven.filter_map(|entry| number(entry.at)));
    let folders: Vec<u64> = hits
        .folders
        .par_iter()
        .filter(|hit| hit.at >= start && (hit.at - start).is_multiple_of(block))
        .filter_map(|hit| {
            let entry = inodes.find(hit.inode).filter(|entry| entry.kind == InodeKind::Folder)?;
            let inode = read_inode(base, entry.at)?;
            let runs = stream(base, entry.number, &inode).runs;
            let first = runs.first().filter(|run| run.vcn == 0)?.lcn;
            number(hit.at).filter(|number| first == Some(*number))
        })
        .collect();
    told.extend(folders);
    let first = told.iter().min().copied().unwrap_or(0);
    Some(first..=told.iter().max().copied().unwrap_or(0))
}
