//! The bitmaps of all groups as one.

use super::{
    base::{Base, Block, PlacedGroup},
    inodes::Inodes,
};
use crate::guest::judge::Bitmap;

/// A bitmap of 8 TiB at 4 KiB a block.
const LONGEST: u64 = 256 << 20;

/// Which blocks are in use; `None` where the volume is too large or counts otherwise.
pub(super) fn bitmap(base: &Base<'_>, inodes: &Inodes) -> Option<Bitmap> {
    let shape = &base.shape;
    let each = shape.blocks_per_group / 8;
    let all = each.checked_mul(base.groups())?;
    if shape.is_bigalloc || all > LONGEST || !shape.blocks_per_group.is_multiple_of(8) {
        return None;
    }
    let mut bits = vec![0; usize::try_from(all).ok()?];
    let mut holes = Vec::new();
    let each_size = usize::try_from(each).ok()?;
    for (number, (placed, own)) in
        (0u64..).zip(inodes.groups.iter().zip(bits.chunks_mut(each_size)))
    {
        let read = placed.as_ref().and_then(|placed| {
            let group = &placed.group;
            if placed.is_current && group.has_no_block_bitmap(shape) {
                return None;
            }
            let block = base.block(group.block_bitmap)?;
            let length = usize::try_from(shape.blocks_per_group / 8).ok()?;
            let bytes = block.bytes.get(..length)?;
            let sum = group.bitmap_holds(bytes, group.block_bitmap_sum, shape);
            let holds = is_believed(base, placed, &block, sum);
            holds.then(|| bytes.to_vec())
        });
        match read {
            Some(bytes) if bytes.len() == own.len() => own.copy_from_slice(&bytes),
            _ => holes.push(number * each..(number + 1) * each),
        }
    }
    Some(Bitmap::of(shape.first_block, bits, holes))
}

/// Whether a bitmap counts, by its checksum's word; copies of descriptors may be older than it,
/// and do not follow whether it was ever written.
pub(super) fn is_believed(
    base: &Base<'_>,
    placed: &PlacedGroup,
    block: &Block,
    sum: Option<bool>,
) -> bool {
    match sum {
        Some(holds) => holds && !block.is_lost,
        None => block.is_good && (placed.is_current || !base.shape.has_uninit),
    }
}
