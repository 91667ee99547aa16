//! Where content lies: extents of 128 bits, and trees of them.

use super::{Extent, Node, be16};

/// Bytes of an extent, and of the head of a tree's block.
const RECORD: usize = 16;
const HEAD: usize = 72;
/// Trees are no deeper than this: `XFS_BTREE_MAXLEVELS`.
const DEEPEST: u16 = 9;

/// The first `count` extents of `bytes`: in order, without overlap.
pub(super) fn records(bytes: &[u8], count: usize) -> Option<Vec<Extent>> {
    let (records, _) = bytes.get(..count.checked_mul(RECORD)?)?.as_chunks::<RECORD>();
    let mut found = Vec::with_capacity(records.len());
    let mut end = 0_u64;
    for record in records {
        let bits = u128::from_be_bytes(*record);
        let part = |shift: u32, width: u32| {
            let bits = bits.checked_shr(shift)? & 1_u128.checked_shl(width)?.wrapping_sub(1);
            u64::try_from(bits).ok()
        };
        let (block, start, count) = (part(73, 54)?, part(21, 52)?, part(0, 21)?);
        if count == 0 || block < end {
            return None;
        }
        end = block.checked_add(count)?;
        found.push(Extent { block, count, start, is_unwritten: bits >> 127 == 1 });
    }
    Some(found)
}

/// Keys and places of children that follow a head, each list with room for `room`.
fn children(bytes: &[u8], count: usize, room: usize) -> Option<Vec<(u64, u64)>> {
    let places = room.checked_mul(8)?;
    if count > room || count == 0 {
        return None;
    }
    let (keys, _) = bytes.get(..count.checked_mul(8)?)?.as_chunks::<8>();
    let (pointers, _) = bytes.get(places..)?.get(..count.checked_mul(8)?)?.as_chunks::<8>();
    let pairs = keys.iter().zip(pointers);
    let found: Vec<(u64, u64)> = pairs
        .map(|(key, pointer)| (u64::from_be_bytes(*key), u64::from_be_bytes(*pointer)))
        .collect();
    let is_ordered = found.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
    is_ordered.then_some(found)
}

/// The root of a tree of extents, as it lies in an inode.
#[must_use]
pub fn tree_root(bytes: &[u8]) -> Option<Node> {
    let (level, count) = (be16(bytes, 0)?, usize::from(be16(bytes, 2)?));
    let rest = bytes.get(4..)?;
    if !(1..=DEEPEST).contains(&level) {
        return None;
    }
    Some(Node::Index(level, children(rest, count, rest.len() / RECORD)?))
}

/// A block of a tree of extents, whose checksum, owner and place were asked before.
#[must_use]
pub fn tree_block(block: &[u8]) -> Option<Node> {
    let (level, count) = (be16(block, 4)?, usize::from(be16(block, 6)?));
    let rest = block.get(HEAD..)?;
    match level {
        0 => records(rest, count).map(Node::Leaf),
        1..=DEEPEST => Some(Node::Index(level, children(rest, count, rest.len() / RECORD)?)),
        _ => None,
    }
}
