//! Tables of ext file systems that lie in the middle of long files: a file that fills one group of
//! blocks goes on in the next, behind copies of the superblock, bitmaps and inodes.

use std::ops::Range;

use vmglean_formats::{
    ByteOffset, ReadAt,
    ext::{EXT_MAGIC, Group, Node, SUPERBLOCK_AT, Superblock},
    partition::{GptHeader, Partition, SECTORS, mbr},
};

use crate::triage::measure::BlockStats;

/// Where volumes begin that no table of partitions tells of: on the whole disk, in the first
/// partition, and in the first logical volume of either.
const USUAL_STARTS: [u64; 3] = [0, 1 << 20, 2 << 20];
/// A logical volume begins so far into its partition.
const LVM_BYTES: u64 = 1 << 20;
/// Places where volumes could begin that are looked at.
const MOST_STARTS: usize = 64;
/// Blocks of usual sizes, each of which makes groups of eight times as many.
const USUAL_BLOCKS: [u64; 3] = [4096, 1024, 2048];
/// Groups that hold a copy of the superblock by rule, the first of them.
const COPIES: [u64; 8] = [1, 3, 5, 7, 9, 25, 27, 49];
/// Groups looked at in one volume, and stretches kept in all.
const MOST_GROUPS: u64 = 1 << 20;
const MOST_GAPS: usize = 200_000;
/// A node of an extent tree begins so.
const NODE_MAGIC: [u8; 2] = [0x0A, 0xF3];
/// Nodes of the journal's tree that are read.
const MOST_NODES: usize = 64;
/// Blocks of descriptors of which no copy is right, before no more are looked for.
const MOST_LOST: usize = 16;
/// Copies of one block of descriptors that are tried.
const MOST_COPIES: usize = 4;

/// Stretches that no file lies in.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// In order, none touching the next.
    tables: Vec<Range<u64>>,
    /// Volumes, in order, and their bytes a block.
    volumes: Vec<(Range<u64>, u64)>,
}

impl Gaps {
    /// Those of the volumes that are found on the first `size` bytes.
    pub(super) fn of(source: &dyn ReadAt, size: u64) -> Self {
        let (mut all, mut volumes) = (Vec::new(), Vec::new());
        for at in starts(source, size) {
            if let Some(volume) = volume(source, at, size) {
                tables(source, at..size, &volume, &mut all);
                volumes.push((at..at.saturating_add(volume.bytes()), volume.block_bytes));
            }
        }
        all.retain(|gap| gap.start < size);
        all.sort_unstable_by_key(|gap| gap.start);
        let mut tables: Vec<Range<u64>> = Vec::new();
        for gap in all {
            match tables.last_mut() {
                Some(last) if gap.start <= last.end => last.end = last.end.max(gap.end),
                _ => tables.push(gap),
            }
        }
        Self { tables, volumes }
    }

    /// The first one that begins at `from` or behind it.
    pub(super) fn next(&self, from: u64) -> Option<Range<u64>> {
        let next = self.tables.partition_point(|gap| gap.start < from);
        self.tables.get(next).cloned()
    }

    /// The first byte from `at` on that lies in none.
    pub(super) fn behind(&self, at: u64) -> u64 {
        let next = self.tables.partition_point(|gap| gap.end <= at);
        self.tables.get(next).filter(|gap| gap.start <= at).map_or(at, |gap| gap.end)
    }

    /// The first block of `bytes`, which lie at `at`, that a node of an extent tree begins in; and
    /// whether it is one, which only all of its bytes tell.
    pub(super) fn node(&self, bytes: &[u8], at: u64) -> Option<(Range<u64>, bool)> {
        let (volume, block) = self.volumes.iter().rfind(|(range, _)| range.contains(&at))?;
        let length = usize::try_from(*block).ok()?;
        let first = (at - volume.start).next_multiple_of(*block) + volume.start - at;
        (usize::try_from(first).ok()?..bytes.len()).step_by(length).find_map(|from| {
            let node = bytes.get(from..)?;
            if !node.starts_with(&NODE_MAGIC) {
                return None;
            }
            let whole = node.get(..length);
            let is_node = whole.and_then(Node::parse).is_some();
            let start = at + from as u64;
            (is_node || whole.is_none()).then(|| (start..start + block, is_node))
        })
    }
}

/// Where volumes may begin.
fn starts(source: &dyn ReadAt, size: u64) -> Vec<u64> {
    let mut all = USUAL_STARTS.to_vec();
    for partition in partitions(source, size).unwrap_or_default() {
        all.extend([partition.start, partition.start.saturating_add(LVM_BYTES)]);
    }
    all.sort_unstable();
    all.dedup();
    all.retain(|start| *start < size);
    all.truncate(MOST_STARTS);
    all
}

fn partitions(source: &dyn ReadAt, size: u64) -> Option<Vec<Partition>> {
    let first = read(source, 0, 512)?;
    let last = |sector: u64| (size / sector).checked_sub(1).map(|nth| nth * sector);
    let places = SECTORS.into_iter().chain(SECTORS.into_iter().filter_map(last));
    let table = |at: u64| {
        let header = GptHeader::parse(&read(source, at, 512)?, ByteOffset(at)).ok()?;
        let sector = header.sector_bytes(at)?;
        let length = usize::try_from(header.array_bytes()).ok()?;
        let array = read(source, header.entries_lba.checked_mul(sector)?, length)?;
        header.partitions(&array, sector)
    };
    places.filter(|at| *at > 0).find_map(table).or_else(|| mbr(&first, size))
}

/// The volume that begins at `start`, by its superblock, or by a copy where that looks encrypted.
fn volume(source: &dyn ReadAt, start: u64, size: u64) -> Option<Superblock> {
    let head = read(source, start, 4096)?;
    let block = head.get(SUPERBLOCK_AT..SUPERBLOCK_AT + 1024)?;
    if let Some(volume) = superblock(block).filter(|volume| volume.group == 0) {
        return Some(volume);
    }
    if !BlockStats::of(&head).chi_square().is_random_like() {
        return None;
    }
    let copies = USUAL_BLOCKS.into_iter().flat_map(|bytes| COPIES.map(|group| (bytes, group)));
    copies.into_iter().find_map(|(bytes, group)| {
        let first = u64::from(bytes == 1024);
        let at = start.checked_add((group * bytes * 8 + first) * bytes)?;
        let block = read(source, at, 1024).filter(|_| at < size)?;
        let volume = superblock(&block)?;
        (volume.group == group && start.checked_add(volume.copy_at(group)) == Some(at))
            .then_some(volume)
    })
}

fn superblock(block: &[u8]) -> Option<Superblock> {
    let magic = block.get(0x38..0x3A)?;
    let volume = Superblock::parse(block).filter(|_| magic == EXT_MAGIC.to_le_bytes())?;
    (volume.sum_holds(block) != Some(false)).then_some(volume)
}

/// Adds where the tables of a volume lie that begins and must end in `place`.
fn tables(source: &dyn ReadAt, place: Range<u64>, volume: &Superblock, all: &mut Vec<Range<u64>>) {
    let start = place.start;
    let bytes = |blocks: u64| blocks.checked_mul(volume.block_bytes);
    let mut add = |first: u64, blocks: u64| {
        let from = bytes(first).and_then(|by| start.checked_add(by));
        let to = from.zip(bytes(blocks)).and_then(|(from, by)| from.checked_add(by));
        let Some((from, to)) = from.zip(to) else { return };
        let has_room = all.len() < MOST_GAPS;
        match all.last_mut() {
            Some(last) if last.end == from => last.end = to,
            _ if has_room => all.push(from..to),
            _ => {}
        }
    };
    for (first, blocks) in journal(source, start, volume) {
        add(first, blocks);
    }
    let each = volume.descriptors_per_block();
    let group_bytes = volume.blocks_per_group.saturating_mul(volume.block_bytes);
    let there = (place.end - start).div_ceil(group_bytes.max(1));
    let groups = volume.groups.min(there).min(MOST_GROUPS);
    let descriptor_blocks = volume.groups.div_ceil(each);
    let inode_blocks = (volume.inodes_per_group * volume.inode_bytes).div_ceil(volume.block_bytes);
    let behind = match volume.is_meta_bg {
        true => 0,
        false => descriptor_blocks + volume.reserved_descriptor_blocks,
    };
    let mut lost = 0;
    for number in 0..groups.div_ceil(each) {
        let found =
            if lost < MOST_LOST { descriptors(source, start, volume, number) } else { None };
        lost += usize::from(found.is_none());
        let mut found = found.unwrap_or_default().into_iter();
        for group in number * each..((number + 1) * each).min(groups) {
            if volume.has_copy(group) {
                add(volume.group_start(group), 1 + behind);
            }
            if let Some(group) = found.next() {
                add(group.block_bitmap, 1);
                add(group.inode_bitmap, 1);
                add(group.inode_table, inode_blocks);
            }
        }
        if volume.is_meta_bg {
            for block in volume.descriptor_blocks(number) {
                add(block, 1);
            }
        }
    }
}

/// Where the journal lies: first block and number, by the copy of its inode.
fn journal(source: &dyn ReadAt, start: u64, volume: &Superblock) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    let copy = volume.journal_copy().and_then(|inode| Node::parse(&inode.map));
    let (mut open, mut read_nodes) = (Vec::from_iter(copy), 0);
    while let Some(node) = open.pop() {
        match node {
            Node::Leaf(extents) => all.extend(extents.iter().map(|one| (one.start, one.count))),
            Node::Index(_, children) => {
                for (_, block) in children {
                    read_nodes += 1;
                    let bytes =
                        (read_nodes <= MOST_NODES).then(|| block_at(source, start, volume, block));
                    open.extend(bytes.flatten().and_then(|bytes| Node::parse(&bytes)));
                    all.push((block, 1));
                }
            }
        }
    }
    all
}

fn block_at(source: &dyn ReadAt, start: u64, volume: &Superblock, block: u64) -> Option<Vec<u8>> {
    let at = block.checked_mul(volume.block_bytes).and_then(|by| start.checked_add(by))?;
    read(source, at, usize::try_from(volume.block_bytes).ok()?)
}

/// All groups of one block of descriptors, in order, from the first copy that holds all it must.
fn descriptors(
    source: &dyn ReadAt,
    start: u64,
    volume: &Superblock,
    number: u64,
) -> Option<Vec<Group>> {
    let each = volume.descriptors_per_block();
    let first = number * each;
    let many = volume.groups.checked_sub(first)?.min(each);
    let length = usize::try_from(volume.descriptor_bytes).ok()?;
    volume.descriptor_blocks(number).into_iter().take(MOST_COPIES).find_map(|block| {
        let bytes = block_at(source, start, volume, block)?;
        let groups: Vec<Group> = (first..first + many)
            .zip(bytes.chunks_exact(length))
            .filter_map(|(group, bytes)| Group::parse(bytes, group, volume))
            .collect();
        (groups.len() as u64 == many).then_some(groups)
    })
}

fn read(source: &dyn ReadAt, at: u64, length: usize) -> Option<Vec<u8>> {
    let bytes = source.read_up_to(ByteOffset(at), length).ok()?;
    (bytes.len() == length).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Gaps, SUPERBLOCK_AT};

    proptest! {
        /// Whatever superblock and descriptors state: stretches in order, apart, on the disk.
        #[test]
        fn any_superblock_makes_stretches_in_order(
            mut bytes in proptest::collection::vec(any::<u8>(), 4096..20_000),
            words in proptest::collection::vec((0_usize..255, prop_oneof![
                any::<u32>(), 0_u32..16, Just(u32::MAX), (0_u32..32).prop_map(|bit| 1 << bit),
            ]), 0..20),
        ) {
            let block = &mut bytes[SUPERBLOCK_AT..];
            // A geometry that is believed, then whatever comes.
            block[..1024].fill(0);
            let mut put = |word: usize, value: u32| {
                block[word * 4..word * 4 + 4].copy_from_slice(&value.to_le_bytes());
            };
            for (word, value) in [(1, 1 << 30), (8, 8192), (10, 2048), (0x13, 1), (0x16, 256)] {
                put(word, value);
            }
            for (word, value) in words {
                put(word, value);
            }
            block[0x38..0x3A].copy_from_slice(&[0x53, 0xEF]);
            let size = bytes.len() as u64;
            let gaps = Gaps::of(&bytes, size);
            let mut end = None;
            for gap in &gaps.tables {
                prop_assert!(gap.start < gap.end && gap.start < size);
                prop_assert!(end.is_none_or(|end| end < gap.start), "{:?}", gaps.tables);
                end = Some(gap.end);
            }
            let mut at = 0;
            while at < size {
                let (behind, next) = (gaps.behind(at), gaps.next(at));
                prop_assert!(behind >= at && next.is_none_or(|gap| gap.start >= at));
                let _survived = gaps.node(&bytes[at as usize..], at);
                at += 1000;
            }
        }
    }
}
