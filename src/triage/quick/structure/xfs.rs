//! XFS: the superblock, the headers of its allocation groups, the root folder's inode.
//!
//! Layout after the kernel's documentation of XFS's disk format; all numbers are big-endian, the
//! checksums of version 5 (CRC-32C) are not.

use std::ops::Range;

use vmglean_formats::ext::crc32c;

use super::{Place, structure};

/// Groups that are looked at: the first ones, and others at equal distances.
const FIRST_GROUPS: u64 = 2;
const OTHER_GROUPS: u64 = 14;
/// Version 5 has checksums.
const VERSION_5: u16 = 5;

struct Volume {
    start: u64,
    block_bytes: u64,
    blocks: u64,
    group_blocks: u64,
    groups: u64,
    sector_bytes: usize,
    inode_bytes: u64,
    inodes_per_block_log: u8,
    group_blocks_log: u8,
    root: u64,
    has_checksums: bool,
}

impl Volume {
    fn parse(head: &[u8], start: u64) -> Option<Self> {
        let volume = Self {
            start,
            block_bytes: u64::from(be32(head, 4)?),
            blocks: be64(head, 8)?,
            group_blocks: u64::from(be32(head, 84)?),
            groups: u64::from(be32(head, 88)?),
            sector_bytes: usize::from(be16(head, 102)?),
            inode_bytes: u64::from(be16(head, 104)?),
            inodes_per_block_log: *head.get(123)?,
            group_blocks_log: *head.get(124)?,
            root: be64(head, 56)?,
            has_checksums: be16(head, 100)? & 15 == VERSION_5,
        };
        let is_sane = (512..=65_536).contains(&volume.block_bytes)
            && volume.block_bytes.is_power_of_two()
            && (512..=32_768).contains(&volume.sector_bytes)
            && volume.sector_bytes.is_power_of_two()
            && (256..=4096).contains(&volume.inode_bytes)
            && volume.group_blocks > 0
            && volume.groups > 0
            && volume.group_blocks_log < 33
            && volume.inodes_per_block_log < 9
            && volume.blocks.checked_mul(volume.block_bytes).is_some()
            && volume.blocks.div_ceil(volume.group_blocks) == volume.groups;
        is_sane.then_some(volume)
    }

    /// Where a group begins.
    fn group_at(&self, number: u64) -> u64 {
        let by = number.saturating_mul(self.group_blocks).saturating_mul(self.block_bytes);
        self.start.saturating_add(by)
    }
}

/// Looks at a volume whose first bytes are `head`, a superblock by its magic.
pub(super) fn look(place: &mut Place<'_>, at: &Range<u64>, head: &[u8]) {
    let Some(volume) = Volume::parse(head, at.start) else {
        let detail = "the XFS superblock states a geometry that cannot be";
        place.found.damaged.push(structure(at.start, 512, detail));
        return;
    };
    let sector = head.get(..volume.sector_bytes.min(head.len())).unwrap_or_default();
    if volume.has_checksums && sector.len() == volume.sector_bytes && !is_right(sector, 224) {
        let detail = "the XFS superblock's checksum is wrong";
        place.found.damaged.push(structure(at.start, sector.len() as u64, detail));
    } else {
        place.found.intact(at.start, 512, "XFS superblock");
    }
    let spread = (0..OTHER_GROUPS).map(|nth| volume.groups * nth / OTHER_GROUPS);
    let mut chosen: Vec<u64> = (0..FIRST_GROUPS.min(volume.groups)).chain(spread).collect();
    chosen.sort_unstable();
    chosen.dedup();
    let answers: Vec<bool> =
        chosen.iter().filter_map(|number| group(place, &volume, *number)).collect();
    let whole = answers.iter().filter(|is_whole| **is_whole).count();
    if whole > 0 && whole == answers.len() {
        let detail = format!("headers of {whole} XFS allocation groups");
        place.found.intact(at.start, 3 * volume.sector_bytes as u64, detail);
    }
    root(place, &volume);
}

/// Whether the headers of a group are there. What lies in another file is not asked.
fn group(place: &mut Place<'_>, volume: &Volume, number: u64) -> Option<bool> {
    let at = volume.group_at(number);
    let length = 3 * volume.sector_bytes;
    let bytes = place.read(at, length).filter(|bytes| bytes.len() == length)?;
    let headers: [(&[u8], usize, &str); 3] = [
        (b"XFSB", 224, "superblock"),
        (b"XAGF", 216, "header of free space"),
        (b"XAGI", 312, "header of inodes"),
    ];
    for ((magic, sum_at, name), sector) in headers.iter().zip(bytes.chunks(volume.sector_bytes)) {
        let is_own = *sum_at == 224 || be32(sector, 8).map(u64::from) == Some(number);
        let is_whole = sector.starts_with(magic) && is_own;
        if is_whole && (!volume.has_checksums || is_right(sector, *sum_at)) {
            continue;
        }
        let nth = headers.iter().position(|header| header.0 == *magic).unwrap_or(0);
        let from = at.saturating_add((nth * volume.sector_bytes) as u64);
        let what = format!("the {name} of XFS group {number} must be");
        place.wreck(from, sector, &what);
        return Some(false);
    }
    Some(true)
}

/// The root folder's inode.
fn root(place: &mut Place<'_>, volume: &Volume) {
    let low = u32::from(volume.inodes_per_block_log);
    let group = volume.root.checked_shr(low + u32::from(volume.group_blocks_log)).unwrap_or(0);
    let block = volume.root.checked_shr(low).unwrap_or(0)
        & (1_u64 << volume.group_blocks_log).wrapping_sub(1);
    let nth = volume.root & (1_u64 << low).wrapping_sub(1);
    if group >= volume.groups || block >= volume.group_blocks {
        return;
    }
    let at = volume.group_at(group).saturating_add(block * volume.block_bytes);
    let at = at.saturating_add(nth * volume.inode_bytes);
    let Ok(length) = usize::try_from(volume.inode_bytes) else { return };
    let Some(inode) = place.read(at, length).filter(|inode| inode.len() == length) else { return };
    let is_folder = inode.starts_with(b"IN") && be16(&inode, 2).is_some_and(|mode| mode >> 12 == 4);
    if is_folder && (!volume.has_checksums || is_right(&inode, 100)) {
        place.found.intact(at, volume.inode_bytes, "root folder of XFS");
    } else {
        place.wreck(at, &inode, "the root folder's inode of XFS must be");
    }
}

/// Whether the CRC-32C at `sum_at` is that of all the bytes, itself taken as zeros.
fn is_right(bytes: &[u8], sum_at: usize) -> bool {
    let (Some(before), Some(sum), Some(behind)) =
        (bytes.get(..sum_at), super::u32_at(bytes, sum_at), bytes.get(sum_at + 4..))
    else {
        return false;
    };
    !crc32c(crc32c(crc32c(u32::MAX, before), &[0; 4]), behind) == sum
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}
