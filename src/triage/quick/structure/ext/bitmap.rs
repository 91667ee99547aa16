//! What the block bitmaps say of a stretch of the volume.

use std::ops::Range;

use super::{DESCRIPTOR_BYTES, Group, Place, SUPERBLOCK, Volume};
use crate::triage::quick::structure::usage::are_clear;

/// Blocks of a group were never given out.
const BLOCKS_UNMADE: u16 = 2;

/// Whether no file keeps data in `stretch`; `None` where the bitmaps cannot be had. Bitmaps and
/// inode tables in it do not count: those of untouched groups are zeros.
pub(in super::super) fn is_unused(
    place: &mut Place<'_>,
    at: &Range<u64>,
    head: &[u8],
    stretch: &Range<u64>,
) -> Option<bool> {
    let volume = Volume::parse(head.get(SUPERBLOCK..SUPERBLOCK + 1024)?, at.start)?;
    // A journal that waits may hold other bitmaps; clusters count otherwise.
    if volume.shape.is_journal_pending || volume.shape.is_meta_bg || volume.shape.is_bigalloc {
        return None;
    }
    let groups = groups(place, &volume)?;
    let from = stretch.start.checked_sub(volume.start)? / volume.shape.block_bytes;
    let to = stretch.end.checked_sub(volume.start)?.div_ceil(volume.shape.block_bytes);
    let (from, to) = (from.max(volume.shape.first_block), to.min(volume.shape.blocks));
    for group in &groups {
        let first = volume.shape.first_block + group.number * volume.shape.blocks_per_group;
        let (from, to) = (from.max(first), to.min(first + volume.shape.blocks_per_group));
        if from >= to || volume.shape.has_uninit && group.flags & BLOCKS_UNMADE != 0 {
            continue;
        }
        let length = usize::try_from(volume.shape.blocks_per_group.div_ceil(8)).ok()?;
        let bitmap = place.read(volume.at(group.block_bitmap)?, length)?;
        let mut at = from;
        while at < to {
            if are_clear(&bitmap, at - first..at - first + 1) {
                at += 1;
            } else if let Some(end) = own_table(&groups, &volume, at) {
                at = end;
            } else {
                return Some(false);
            }
        }
    }
    Some(true)
}

/// All group descriptors; `None` where one is lost or there are more than are read.
fn groups(place: &mut Place<'_>, volume: &Volume) -> Option<Vec<Group>> {
    let length = volume.shape.groups.checked_mul(volume.shape.descriptor_bytes)?;
    if length > DESCRIPTOR_BYTES {
        return None;
    }
    let bytes = place.read(volume.descriptors_at()?, usize::try_from(length).ok()?)?;
    let size = usize::try_from(volume.shape.descriptor_bytes).ok()?;
    let groups: Option<Vec<Group>> = (0..volume.shape.groups)
        .zip(bytes.chunks_exact(size))
        .map(|(number, bytes)| Group::parse(bytes, number, &volume.shape))
        .collect();
    groups.filter(|groups| groups.len() as u64 == volume.shape.groups)
}

/// Where the bitmap or inode table ends that holds `block`, if one does.
fn own_table(groups: &[Group], volume: &Volume, block: u64) -> Option<u64> {
    let table = (volume.shape.inodes_per_group * volume.shape.inode_bytes)
        .div_ceil(volume.shape.block_bytes);
    groups.iter().find_map(|group| {
        [(group.block_bitmap, 1), (group.inode_bitmap, 1), (group.inode_table, table)]
            .into_iter()
            .map(|(from, blocks)| from..from.saturating_add(blocks))
            .find(|blocks| blocks.contains(&block))
            .map(|blocks| blocks.end)
    })
}
