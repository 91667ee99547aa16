//! All inodes of a volume, each at the place of its number.

use rayon::prelude::*;
use vmglean_formats::ext::{Inode, InodeKind, Node, Superblock, inode_flags, is_inode, pointers};

use super::{
    base::{Base, PlacedGroup},
    bitmaps::is_believed,
};

/// Groups whose tables are read together.
const BATCH: usize = 64;
/// Inodes that are kept.
const MOST_INODES: usize = 1 << 31;

/// An inode of the volume.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) number: u32,
    pub(super) at: u64,
    pub(super) kind: InodeKind,
    /// Whether it is in use by its own word.
    pub(super) is_live: bool,
    /// Whether its checksum holds.
    pub(super) is_proven: bool,
    /// Whether the bitmap of inodes calls it free.
    pub(super) is_free: bool,
}

/// The inodes in the order of their numbers.
#[derive(Default)]
pub(super) struct Inodes {
    pub(super) entries: Vec<Entry>,
    /// Groups of which no descriptor is left.
    pub(super) lost_groups: u64,
    /// Groups in all.
    pub(super) groups: Vec<Option<PlacedGroup>>,
}

impl Inodes {
    /// Reads all tables.
    pub(super) fn read(base: &Base<'_>) -> Self {
        let groups = base.all_groups();
        let lost_groups = groups.iter().filter(|group| group.is_none()).count() as u64;
        let mut all = Self { entries: Vec::new(), lost_groups, groups };
        let placed: Vec<PlacedGroup> = all.groups.iter().flatten().copied().collect();
        // Tables do not overlap: together they are no larger than the disk.
        let table = base.table_blocks().saturating_mul(base.shape.block_bytes).max(1);
        let most = usize::try_from(base.ground.size() / table + 1).unwrap_or(usize::MAX);
        for batch in placed.get(..placed.len().min(most)).unwrap_or_default().chunks(BATCH) {
            let found: Vec<Vec<Entry>> =
                batch.par_iter().map(|group| table_of(base, group)).collect();
            for found in found {
                if all.entries.len().saturating_add(found.len()) <= MOST_INODES {
                    all.entries.extend(found);
                }
            }
        }
        all.entries.sort_by_key(|entry| entry.number);
        all
    }

    pub(super) fn find(&self, number: u32) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        self.entries.get(at)
    }

    /// Where inode `number` must lie.
    pub(super) fn place_of(&self, base: &Base<'_>, number: u32) -> Option<u64> {
        let index = u64::from(number).checked_sub(1)?;
        let each = base.shape.inodes_per_group.max(1);
        let group = self.groups.get(usize::try_from(index / each).ok()?)?.as_ref()?;
        let within = (index % each).checked_mul(base.shape.inode_bytes)?;
        base.at(group.group.inode_table)?.checked_add(within)
    }
}

/// The inode that lies at `at`.
pub(super) fn read_inode(base: &Base<'_>, at: u64) -> Option<Inode> {
    let bytes = base.ground.read(at, usize::try_from(base.shape.inode_bytes).ok()?).ok()?;
    Inode::parse(&bytes)
}

fn table_of(base: &Base<'_>, placed: &PlacedGroup) -> Vec<Entry> {
    let shape = &base.shape;
    let group = &placed.group;
    let (Ok(size), Ok(block_size)) =
        (usize::try_from(shape.inode_bytes), usize::try_from(shape.block_bytes))
    else {
        return Vec::new();
    };
    // Copies do not follow how many were made.
    let made = if placed.is_current { group.made_inodes(shape) } else { shape.inodes_per_group };
    let bitmap = base.block(group.inode_bitmap).filter(|_| made > 0).filter(|block| {
        let length = usize::try_from(shape.inodes_per_group / 8).unwrap_or(0);
        let sum = block
            .bytes
            .get(..length)
            .and_then(|bytes| group.bitmap_holds(bytes, group.inode_bitmap_sum, shape));
        is_believed(base, placed, block, sum)
    });
    let first = group.number.saturating_mul(shape.inodes_per_group);
    let each = (block_size / size).max(1) as u64;
    let mut found = Vec::new();
    for nth in 0..made.div_ceil(each) {
        let Some(block) = base.block(group.inode_table.saturating_add(nth)) else { continue };
        for (within, bytes) in (0u64..).zip(block.bytes.chunks_exact(size)) {
            let index = nth * each + within;
            if index >= made || bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            let Ok(number) = u32::try_from(first.saturating_add(index).saturating_add(1)) else {
                break;
            };
            let at = block.at.saturating_add(within.saturating_mul(shape.inode_bytes));
            let byte = bitmap
                .as_ref()
                .and_then(|bitmap| bitmap.bytes.get(usize::try_from(index / 8).ok()?).copied());
            let is_free = byte.is_some_and(|byte| byte >> (index % 8) & 1 == 0);
            if let Some(entry) = believed(base, number, at, bytes, is_free) {
                found.push(entry);
            }
        }
    }
    found
}

fn believed(base: &Base<'_>, number: u32, at: u64, bytes: &[u8], is_free: bool) -> Option<Entry> {
    let shape = &base.shape;
    let inode = Inode::parse(bytes).filter(|inode| inode.kind != InodeKind::Free)?;
    if !is_inode(bytes, u64::from(number), shape) {
        return None;
    }
    let tally = base.ground.tally(at..at.checked_add(shape.inode_bytes)?);
    // 32 bits of checksum prove an inode against the map too, 16 do not.
    let extra = bytes.get(0x80..0x82).and_then(|extra| <[u8; 2]>::try_from(extra).ok());
    let is_long = shape.has_checksums && extra.is_some_and(|extra| u16::from_le_bytes(extra) >= 4);
    let is_proven = is_long || (shape.has_checksums && tally.encrypted == 0 && tally.gone == 0);
    if !is_proven && (tally.bad() > 0 || !is_plausible(&inode, shape)) {
        return None;
    }
    let is_live = inode.links > 0 && inode.deleted == 0;
    Some(Entry { number, at, kind: inode.kind, is_live, is_proven, is_free })
}

/// Whether an inode without a checksum can be one.
fn is_plausible(inode: &Inode, shape: &Superblock) -> bool {
    if inode.has(inode_flags::INLINE) || inode.inline().is_some() {
        return true;
    }
    if inode.kind == InodeKind::Special {
        return inode.size == 0;
    }
    if inode.has(inode_flags::EXTENTS) {
        return Node::parse(&inode.map).is_some();
    }
    pointers(&inode.map).all(|block| block < shape.blocks)
}
