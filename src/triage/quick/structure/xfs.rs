//! XFS: the superblock, the headers of its allocation groups, the root folder's inode.
//!
//! Layout after the kernel's documentation of XFS's disk format; all numbers are big-endian, the
//! checksums of version 5 (CRC-32C) are not.

use std::ops::Range;

use vmglean_formats::xfs::{Superblock, sum_holds};

use super::{Place, structure};

/// Groups that are looked at: the first ones, and others at equal distances.
const FIRST_GROUPS: u64 = 2;
const OTHER_GROUPS: u64 = 14;

/// Looks at a volume whose first bytes are `head`, a superblock by its magic.
pub(super) fn look(place: &mut Place<'_>, at: &Range<u64>, head: &[u8]) {
    let Some(volume) = Superblock::parse(head) else {
        let detail = "the XFS superblock states a geometry that cannot be";
        place.found.damaged.push(structure(at.start, 512, detail));
        return;
    };
    let is_there = head.len() as u64 >= volume.sector_bytes;
    if volume.has_checksums && is_there && !volume.sum_holds(head) {
        let detail = "the XFS superblock's checksum is wrong";
        place.found.damaged.push(structure(at.start, volume.sector_bytes, detail));
    } else {
        place.found.intact(at.start, 512, "XFS superblock");
    }
    let spread = (0..OTHER_GROUPS).map(|nth| volume.groups * nth / OTHER_GROUPS);
    let mut chosen: Vec<u64> = (0..FIRST_GROUPS.min(volume.groups)).chain(spread).collect();
    chosen.sort_unstable();
    chosen.dedup();
    let answers: Vec<bool> =
        chosen.iter().filter_map(|number| group(place, &volume, at.start, *number)).collect();
    let whole = answers.iter().filter(|is_whole| **is_whole).count();
    if whole > 0 && whole == answers.len() {
        let detail = format!("headers of {whole} XFS allocation groups");
        place.found.intact(at.start, 3 * volume.sector_bytes, detail);
    }
    root(place, &volume, at.start);
}

/// Whether the headers of a group are there. What lies in another file is not asked.
fn group(place: &mut Place<'_>, volume: &Superblock, start: u64, number: u64) -> Option<bool> {
    let at = start.checked_add(volume.group_offset(number)?)?;
    let sector_bytes = usize::try_from(volume.sector_bytes).ok()?;
    let length = 3 * sector_bytes;
    let bytes = place.read(at, length).filter(|bytes| bytes.len() == length)?;
    let headers: [(&[u8], usize, &str); 3] = [
        (b"XFSB", 224, "superblock"),
        (b"XAGF", 216, "header of free space"),
        (b"XAGI", 312, "header of inodes"),
    ];
    for ((magic, sum_at, name), sector) in headers.iter().zip(bytes.chunks(sector_bytes)) {
        let is_own = *sum_at == 224 || be32(sector, 8).map(u64::from) == Some(number);
        let is_whole = sector.starts_with(magic) && is_own;
        if is_whole && (!volume.has_checksums || sum_holds(sector, *sum_at)) {
            continue;
        }
        let nth = headers.iter().position(|header| header.0 == *magic).unwrap_or(0);
        let from = at.saturating_add((nth * sector_bytes) as u64);
        let what = format!("the {name} of XFS group {number} must be");
        place.wreck(from, sector, &what);
        return Some(false);
    }
    Some(true)
}

/// The root folder's inode.
fn root(place: &mut Place<'_>, volume: &Superblock, start: u64) {
    let offset = volume.root.and_then(|root| volume.inode_offset(root));
    let Some(at) = offset.and_then(|offset| start.checked_add(offset)) else { return };
    let Ok(length) = usize::try_from(volume.inode_bytes) else { return };
    let Some(inode) = place.read(at, length).filter(|inode| inode.len() == length) else { return };
    let is_folder = inode.starts_with(b"IN") && be16(&inode, 2).is_some_and(|mode| mode >> 12 == 4);
    if is_folder && (!volume.has_checksums || sum_holds(&inode, 100)) {
        place.found.intact(at, volume.inode_bytes, "root folder of XFS");
    } else {
        place.wreck(at, &inode, "the root folder's inode of XFS must be");
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
