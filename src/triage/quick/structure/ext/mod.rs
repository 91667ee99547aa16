//! ext2, ext3, ext4: superblock and its copies, group descriptors, bitmaps and inode tables.
//!
//! Layout after the kernel's documentation of ext4's disk layout. Checksums are asked where the
//! file system has them; bitmaps only where no journal waits to be written over them.

mod bitmap;
mod inode;

use std::ops::Range;

pub(super) use bitmap::is_unused;

use vmglean_formats::ext::{EXT_MAGIC as MAGIC, Group, Superblock};
pub(super) use vmglean_formats::ext::{SUPERBLOCK_AT as SUPERBLOCK, is_superblock};

use super::{Place, files::Files, structure, u16_at, u32_at};

/// Bytes of the descriptor table that are read.
const DESCRIPTOR_BYTES: u64 = 64 * 1024;
/// Groups whose tables are looked at: the first ones, and others at equal distances.
const FIRST_GROUPS: u64 = 4;
const OTHER_GROUPS: u64 = 12;
/// Bytes of inode tables that are read together, and at least of each.
const INODE_BYTES: u64 = 256 * 1024;
const LEAST_INODE_BYTES: u64 = 16 * 1024;

/// A volume by its superblock.
#[derive(Clone, Debug)]
struct Volume {
    start: u64,
    shape: Superblock,
}

impl Volume {
    fn parse(block: &[u8], start: u64) -> Option<Self> {
        Superblock::parse(block).map(|shape| Self { start, shape })
    }

    /// Where the group descriptors begin: behind the superblock's own block, which has a number
    /// of its own in small blocks only.
    fn descriptors_at(&self) -> Option<u64> {
        self.at(SUPERBLOCK as u64 / self.shape.block_bytes + 1)
    }

    /// Where a block lies in the file.
    fn at(&self, block: u64) -> Option<u64> {
        (block < self.shape.blocks).then_some(())?;
        block.checked_mul(self.shape.block_bytes).and_then(|by| self.start.checked_add(by))
    }
}

/// Looks at a volume whose superblock is at its place in `head`.
pub(super) fn look(place: &mut Place<'_>, at: &Range<u64>, head: &[u8]) {
    let Some(block) = head.get(SUPERBLOCK..SUPERBLOCK + 1024) else { return };
    let here = at.start + SUPERBLOCK as u64;
    let Some(volume) = Volume::parse(block, at.start) else {
        let detail = "the ext superblock states a geometry that cannot be";
        place.found.damaged.push(structure(here, 1024, detail));
        return;
    };
    if volume.shape.sum_holds(block) == Some(false) {
        let detail = "the ext superblock's checksum is wrong";
        place.found.damaged.push(structure(here, 1024, detail));
    } else {
        place.found.intact(here, 1024, "ext superblock");
    }
    copy(place, &volume, block);
    tables(place, &volume);
}

/// Group 1 holds the first copy of a superblock wherever copies are kept by rule.
fn copy(place: &mut Place<'_>, volume: &Volume, block: &[u8]) {
    let is_by_choice = u32_at(block, 0x5C).is_some_and(|compat| compat & 0x200 != 0);
    // Clusters of blocks move copies by a block.
    if volume.shape.groups < 2 || is_by_choice || volume.shape.is_bigalloc {
        return;
    }
    let Some(at) = volume.at(volume.shape.first_block + volume.shape.blocks_per_group) else {
        return;
    };
    let Some(copy) = place.read(at, 1024) else { return };
    let same_uuid = copy.get(0x68..0x78) == block.get(0x68..0x78);
    if u16_at(&copy, 0x38) == Some(MAGIC) && same_uuid {
        place.found.intact(at, 1024, "backup ext superblock of the same file system");
    } else {
        place.wreck(at, &copy, "the backup ext superblock must be");
    }
}

/// Group descriptors, and the tables of some groups.
fn tables(place: &mut Place<'_>, volume: &Volume) {
    let Some(at) = volume.descriptors_at() else { return };
    let size = volume.shape.descriptor_bytes;
    let most = if volume.shape.is_meta_bg { volume.shape.block_bytes } else { DESCRIPTOR_BYTES };
    let length = volume.shape.groups.saturating_mul(size).min(most);
    let Some(bytes) = usize::try_from(length).ok().and_then(|length| place.read(at, length)) else {
        return;
    };
    let mut groups = Vec::new();
    let mut lost = 0u64;
    for (number, bytes) in (0u64..).zip(bytes.chunks_exact(usize::try_from(size).unwrap_or(32))) {
        match Group::parse(bytes, number, &volume.shape) {
            Some(group) => groups.push(group),
            None => lost += 1,
        }
    }
    if lost > 0 {
        let looked = groups.len() as u64 + lost;
        let what = format!("ext group descriptors must be ({lost} of {looked} looked at)");
        place.wreck(at, &bytes, &what);
    } else if !groups.is_empty() {
        let detail = format!("{} ext group descriptors", groups.len());
        place.found.intact(at, bytes.len() as u64, detail);
    }
    let count = groups.len() as u64;
    let spread = (0..OTHER_GROUPS).map(|nth| count * nth / OTHER_GROUPS);
    let mut chosen: Vec<u64> = (0..FIRST_GROUPS.min(count)).chain(spread).collect();
    chosen.sort_unstable();
    chosen.dedup();
    let most = INODE_BYTES.checked_div(chosen.len() as u64).unwrap_or(0).max(LEAST_INODE_BYTES);
    let (mut looked, mut whole) = (0u64, true);
    let mut files = Files::default();
    for group in chosen.into_iter().filter_map(|nth| groups.get(usize::try_from(nth).ok()?)) {
        looked += 1;
        whole &= inode_bitmap(place, volume, group);
        whole &= inode::look(place, volume, group, most, &mut files);
    }
    // What the journal still holds may be missing at its place.
    files.note(place, "ext", if volume.shape.is_journal_pending { 8 } else { u64::MAX });
    if whole && looked > 0 {
        let detail = format!("inode tables of {looked} ext groups");
        place.found.intact(at, bytes.len() as u64, detail);
    }
}

/// Whether the bitmap is what its descriptor says, as far as can be said.
fn inode_bitmap(place: &mut Place<'_>, volume: &Volume, group: &Group) -> bool {
    let is_made = !(volume.shape.has_uninit && group.flags & 1 != 0);
    if !volume.shape.has_checksums || volume.shape.is_journal_pending || !is_made {
        return true;
    }
    let Some(at) = volume.at(group.inode_bitmap) else { return true };
    let Ok(length) = usize::try_from(volume.shape.inodes_per_group / 8) else { return true };
    let Some(bytes) = place.read(at, length).filter(|bytes| bytes.len() == length) else {
        return true;
    };
    if group.bitmap_holds(&bytes, group.inode_bitmap_sum, &volume.shape) == Some(true) {
        return true;
    }
    let what = format!("the inode bitmap of ext group {} must be", group.number);
    place.wreck(at, &bytes, &what);
    false
}

/// What shows that an ext file system lay here though its superblock is gone: a copy of it, or
/// the descriptors behind it together with the root folder's inode.
pub(super) fn witness(place: &mut Place<'_>, at: &Range<u64>) -> Option<&'static str> {
    for log in 0..3u32 {
        let block_bytes = 1024u64 << log;
        let first = u64::from(log == 0);
        for group in [1u64, 3, 5, 7] {
            let by = (first + group * 8 * block_bytes) * block_bytes;
            let copy_at = at.start.saturating_add(by);
            if copy_at >= at.end {
                break;
            }
            let Some(copy) = place.read(copy_at, 1024) else { break };
            let is_copy = u16_at(&copy, 0x38) == Some(MAGIC)
                && u32_at(&copy, 0x18) == Some(log)
                && u16_at(&copy, 0x5A).map(u64::from) == Some(group);
            if is_copy {
                place.found.intact(copy_at, 1024, "backup ext superblock");
                return Some("its copy holds");
            }
        }
    }
    for log in 0..3u32 {
        let block_bytes = 1024u64 << log;
        let table = at.start.saturating_add(block_bytes * if log == 0 { 2 } else { 1 });
        let Some(bytes) = place.read(table, 64) else { continue };
        let inside = |block: u32| {
            let by = u64::from(block).checked_mul(block_bytes)?;
            at.start.checked_add(by).filter(|at_block| block > 1 && *at_block < at.end)
        };
        let places: Vec<u64> =
            [0, 4, 8].iter().filter_map(|from| inside(u32_at(&bytes, *from)?)).collect();
        let &[blocks, inodes, inode_table] = places.as_slice() else { continue };
        if blocks == inodes || inodes == inode_table {
            continue;
        }
        let Some(first) = place.read(inode_table, 1024) else { continue };
        let is_root = |size: usize| {
            let root = first.get(size..).unwrap_or_default();
            // A folder of root's, with links, and blocks in it.
            u16_at(root, 0).is_some_and(|mode| mode >> 12 == 4 && mode & 0o111 != 0)
                && u16_at(root, 2) == Some(0)
                && u16_at(root, 0x1A).is_some_and(|links| links > 0)
                && u32_at(root, 0x1C).is_some_and(|sectors| sectors > 0)
        };
        if is_root(128) || is_root(256) || is_root(512) {
            return Some("group descriptors and the root folder's inode hold");
        }
    }
    None
}
