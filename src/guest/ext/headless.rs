//! Volumes of which no superblock is left. A comb of encryption whose period divides the distance
//! of groups hits the superblock and all of its copies, and spares the descriptors behind them.
//!
//! An inode's checksum begins with the volume's own seed, and can be carried back to it. Where
//! inodes in the place that a group descriptor gives them agree on the seed, seed, sizes and start
//! are proven; the numbers of inodes in other groups follow from their checksums in turn.

use std::collections::HashMap;

use vmglean_formats::ext::{Group, Superblock, is_inode, number_by_inode, seed_by_inode};

use super::base::Base;
use crate::guest::Ground;

/// Sizes of blocks, usual ones first.
const BLOCKS: [u64; 7] = [4096, 1024, 2048, 8192, 16_384, 32_768, 65_536];
/// Sizes of inodes that have room for a checksum of 32 bits.
const INODES: [u64; 3] = [256, 512, 1024];
/// Inodes that must agree.
const FEWEST: u32 = 3;
/// Copies of descriptors that are tried.
const MOST_COPIES: usize = 8;
/// Blocks of one table that are looked at.
const MOST_BLOCKS: u64 = 64;
/// Groups whose tables are looked at.
const MOST_GROUPS: u64 = 64;
/// Inode of the journal.
const JOURNAL: u32 = 8;

/// The volume that begins at `start`, and how many inodes agree on it.
pub(super) fn headless(
    ground: &Ground<'_>,
    start: u64,
    end: Option<u64>,
) -> Option<(Superblock, u32)> {
    let length = end.unwrap_or(ground.size()).min(ground.size()).checked_sub(start)?;
    for block_bytes in BLOCKS {
        let blocks = length / block_bytes;
        for is_wide in [true, false] {
            for shift in 0..4 {
                let per_group = (8 * block_bytes) >> shift;
                let guess = Superblock::guessed(block_bytes, blocks, per_group, is_wide);
                if blocks < 64 {
                    continue;
                }
                if let Some((shape, votes)) = seeded(ground, start, guess) {
                    return completed(ground, start, shape).map(|shape| (shape, votes));
                }
            }
        }
    }
    None
}

/// The guess with its seed and its size of inodes, where a first descriptor leads to inodes that
/// agree.
fn seeded(ground: &Ground<'_>, start: u64, guess: Superblock) -> Option<(Superblock, u32)> {
    let base = Base::new(ground, start, guess);
    // Its checksum counts once the seed is known.
    let unsummed = Superblock { has_checksums: false, ..roomy(guess) };
    for place in guess.descriptor_blocks(0).into_iter().take(MOST_COPIES) {
        let Some(block) = base.block(place) else { continue };
        let Some(group) = Group::parse(&block.bytes, 0, &unsummed) else { continue };
        for inode_bytes in INODES {
            let shape = Superblock { inode_bytes, ..guess };
            let Some((seed, votes)) = seed(&base, group.inode_table, inode_bytes) else {
                continue;
            };
            let shape = Superblock { seed, ..shape };
            if Group::parse(&block.bytes, 0, &roomy(shape)).is_some() {
                return Some((shape, votes));
            }
        }
    }
    None
}

/// The shape with as many inodes a group as there can be: how many there are is not known yet.
fn roomy(shape: Superblock) -> Superblock {
    Superblock { inodes_per_group: 8 * shape.block_bytes, ..shape }
}

/// The descriptor of a group while the number of its inodes is not known, from any copy whose
/// checksum holds. That of the first group has led to the seed: inodes where it puts them prove it,
/// also where the map, a byte or two too wide, calls some of it lost.
fn descriptor(base: &Base<'_>, number: u64) -> Option<Group> {
    let shape = roomy(base.shape);
    let each = shape.descriptors_per_block();
    let from = usize::try_from((number % each).saturating_mul(shape.descriptor_bytes)).ok()?;
    shape.descriptor_blocks(number / each).into_iter().take(MOST_COPIES).find_map(|place| {
        let block = base.block(place)?;
        let at = block.at.checked_add(u64::try_from(from).ok()?)?;
        let tally = base.ground.tally(at..at.checked_add(shape.descriptor_bytes)?);
        let is_lost = tally.encrypted > 0 || tally.gone > 0;
        let group = Group::parse(block.bytes.get(from..)?, number, &shape)?;
        let is_proven = || number == 0 && has_inodes(base, &group);
        (!is_lost || is_proven()).then_some(group)
    })
}

/// Whether as many inodes as must agree stand where the descriptor of the first group puts them.
fn has_inodes(base: &Base<'_>, group: &Group) -> bool {
    seed(base, group.inode_table, base.shape.inode_bytes)
        .is_some_and(|(seed, _)| seed == base.shape.seed)
}

/// The seed that most inodes of the first table speak for, if enough do.
fn seed(base: &Base<'_>, table: u64, inode_bytes: u64) -> Option<(u32, u32)> {
    let mut votes: HashMap<u32, u32> = HashMap::new();
    inodes(base, table, inode_bytes, &mut |index, bytes| {
        let number = u32::try_from(index.saturating_add(1)).ok();
        if let Some(seed) = number.and_then(|number| seed_by_inode(bytes, number)) {
            *votes.entry(seed).or_insert(0) += 1;
        }
    });
    let best = votes.into_iter().max_by_key(|(seed, count)| (*count, *seed))?;
    Some(best).filter(|(_, count)| *count >= FEWEST)
}

/// Hands out what is not zero at the beginning of a table, with its place in it.
fn inodes(base: &Base<'_>, table: u64, inode_bytes: u64, told: &mut dyn FnMut(u64, &[u8])) {
    let Ok(size) = usize::try_from(inode_bytes) else { return };
    let each = (base.shape.block_bytes / inode_bytes.max(1)).max(1);
    for nth in 0..MOST_BLOCKS {
        // Checksums that agree speak for themselves, whatever the map can tell of them.
        let Some(block) = base.block(table.saturating_add(nth)) else { continue };
        for (within, bytes) in (0u64..).zip(block.bytes.chunks_exact(size)) {
            if bytes.iter().any(|byte| *byte != 0) {
                told(nth * each + within, bytes);
            }
        }
    }
}

/// The rest of the geometry: blocks and inodes a group, and whether there is a journal.
fn completed(ground: &Ground<'_>, start: u64, shape: Superblock) -> Option<Superblock> {
    let mut shape = grouped(ground, start, shape);
    let base = Base::new(ground, start, shape);
    let first = descriptor(&base, 0)?;
    shape.inodes_per_group = by_numbers(&base)
        .or_else(|| by_bitmap(&base, &first))
        .unwrap_or_else(|| seen(&base, &first));
    let place =
        base.at(first.inode_table)?.checked_add(u64::from(JOURNAL - 1) * shape.inode_bytes)?;
    let journal = ground.read(place, usize::try_from(shape.inode_bytes).ok()?).ok()?;
    let is_journal = is_inode(&journal, u64::from(JOURNAL), &shape)
        && journal.get(..2).is_some_and(|mode| mode != [0, 0]);
    // Where its inode is lost, there may have been one.
    if is_journal || !ground.is_good(place..place.saturating_add(shape.inode_bytes)) {
        shape.compat |= 4;
    }
    (shape.inodes_per_group > 0).then_some(shape)
}

/// The shape with as many blocks a group as make the last descriptor the last one.
fn grouped(ground: &Ground<'_>, start: u64, shape: Superblock) -> Superblock {
    let mut per_group = 8 * shape.block_bytes;
    while per_group >= 256 {
        let groups = shape.blocks.saturating_sub(shape.first_block).div_ceil(per_group).max(1);
        let tried = Superblock { blocks_per_group: per_group, groups, ..shape };
        let base = Base::new(ground, start, tried);
        // One of the last may be lost.
        let has_last =
            (groups.saturating_sub(3)..groups).any(|group| descriptor(&base, group).is_some());
        if has_last && descriptor(&base, groups).is_none() {
            return tried;
        }
        per_group /= 2;
    }
    shape
}

/// Inodes a group, by the numbers that inodes of other groups must have.
fn by_numbers(base: &Base<'_>) -> Option<u64> {
    let shape = &base.shape;
    let mut votes: HashMap<u64, u32> = HashMap::new();
    for number in 1..shape.groups.min(MOST_GROUPS) {
        let Some(group) = descriptor(base, number) else { continue };
        inodes(base, group.inode_table, shape.inode_bytes, &mut |index, bytes| {
            let before = number_by_inode(bytes, shape.seed)
                .and_then(|own| u64::from(own).checked_sub(index.saturating_add(1)));
            let Some(before) = before.filter(|before| before.is_multiple_of(number)) else {
                return;
            };
            let each = before / number;
            if each.is_multiple_of(8) && (8..=8 * shape.block_bytes).contains(&each) {
                *votes.entry(each).or_insert(0) += 1;
            }
        });
        let best = votes.iter().max_by_key(|(each, count)| (**count, **each));
        if let Some((each, _)) = best.filter(|(_, count)| **count >= FEWEST) {
            return Some(*each);
        }
    }
    None
}

/// Inodes a group, by the length of the first group's bitmap that its checksum speaks for.
fn by_bitmap(base: &Base<'_>, group: &Group) -> Option<u64> {
    let shape = &base.shape;
    let block = base.block(group.inode_bitmap).filter(|block| !block.is_lost)?;
    // Groups hold whole blocks of inodes, and whole bytes of bits.
    let step = (shape.block_bytes / shape.inode_bytes.max(1)).max(8);
    let mut found = None;
    for each in (1..=8 * shape.block_bytes / step).map(|nth| nth * step) {
        let length = usize::try_from(each / 8).ok()?;
        let bytes = block.bytes.get(..length)?;
        if group.bitmap_holds(bytes, group.inode_bitmap_sum, shape) == Some(true) {
            if found.is_some() {
                // Sums of 16 bits can hold twice.
                return None;
            }
            found = Some(each);
        }
    }
    found
}

/// As many inodes as the first group shows: fewer than there can be, never too many.
fn seen(base: &Base<'_>, group: &Group) -> u64 {
    let shape = &base.shape;
    let mut last = 0;
    inodes(base, group.inode_table, shape.inode_bytes, &mut |index, bytes| {
        let number = index.saturating_add(1);
        if number_by_inode(bytes, shape.seed).map(u64::from) == Some(number) {
            last = last.max(number);
        }
    });
    last.next_multiple_of(8)
}
