//! Which inodes are made, by the trees of inodes of all groups.
//!
//! An inode that was given up with all of those made with it stays on the disk as it was, checksum
//! and all: only these trees tell.

use std::collections::BTreeMap;

use vmglean_formats::xfs::{BlockKind, InodeChunk, InodeHead, InodeNode, inode_tree_block};

use super::{base::Base, hits::VolumeHits};

/// Groups that are looked at, and chunks that are kept.
const MOST_GROUPS: u64 = 1 << 20;
const MOST_CHUNKS: usize = 1 << 26;
/// Inodes of a chunk.
const CHUNK: u64 = 64;

/// The chunks of one group.
#[derive(Default)]
struct Group {
    /// In the order of their numbers.
    chunks: Vec<InodeChunk>,
    /// Whether they are all of them.
    is_whole: bool,
}

/// Made inodes of a volume.
#[derive(Default)]
pub(super) struct Made {
    groups: BTreeMap<u64, Group>,
    /// Groups of which the whole tree is there.
    pub(super) whole: u64,
}

impl Made {
    pub(super) fn read(base: &Base<'_>, hits: &VolumeHits) -> Self {
        let mut all = Self::default();
        for number in 0..base.shape.groups.min(MOST_GROUPS) {
            if base.shape.group_offset(number).is_none_or(|offset| offset > base.ground.size()) {
                break;
            }
            let group = walk(base, number).map(|chunks| Group { chunks, is_whole: true });
            if let Some(group) = group {
                all.whole += 1;
                all.groups.insert(number, group);
            }
        }
        all.leaves(base, hits);
        all
    }

    /// Leaves of trees that cannot be walked, newer ones before older ones.
    fn leaves(&mut self, base: &Base<'_>, hits: &VolumeHits) {
        let mut leaves: Vec<(u64, u64, u64)> = hits
            .blocks
            .iter()
            .filter(|hit| hit.kind == BlockKind::Inodes)
            .filter(|hit| !self.groups.get(&hit.owner).is_some_and(|group| group.is_whole))
            .map(|hit| (hit.lsn, hit.offset, hit.owner))
            .collect();
        leaves.sort_unstable_by(|one, other| other.cmp(one));
        let mut found: BTreeMap<(u64, u64), InodeChunk> = BTreeMap::new();
        for (_, offset, owner) in leaves {
            let Some(bytes) = base.bytes(offset, base.shape.block_bytes) else { continue };
            if !base.is_block(&bytes, BlockKind::Inodes, owner, offset) || found.len() > MOST_CHUNKS
            {
                continue;
            }
            let Some(InodeNode::Leaf(chunks)) = inode_tree_block(&bytes) else { continue };
            for chunk in chunks {
                found.entry((owner, chunk.first)).or_insert(chunk);
            }
        }
        for ((owner, _), chunk) in found {
            self.groups.entry(owner).or_default().chunks.push(chunk);
        }
    }

    /// Whether an inode is made; `None` where nothing tells.
    pub(super) fn is_made(&self, base: &Base<'_>, number: u64) -> Option<bool> {
        let (group, within) = base.shape.inode_group(number);
        let group = self.groups.get(&group)?;
        let next = group.chunks.partition_point(|chunk| chunk.first <= within);
        // Chunks made of parts can overlap with the next.
        let near = group.chunks.get(next.saturating_sub(2)..next).unwrap_or_default();
        if near.iter().any(|chunk| chunk.is_made(within) == Some(true)) {
            return Some(true);
        }
        (group.is_whole || near.iter().any(|chunk| within < chunk.first.saturating_add(CHUNK)))
            .then_some(false)
    }

    /// Whether all groups are whole.
    pub(super) fn is_whole(&self, base: &Base<'_>) -> bool {
        self.whole == base.shape.groups
    }
}

/// The chunks of a group, from its head down; `None` where a block of it is lost.
fn walk(base: &Base<'_>, group: u64) -> Option<Vec<InodeChunk>> {
    let offset = base.shape.group_offset(group)?.checked_add(base.shape.sector_bytes * 2)?;
    let sector = base.bytes(offset, base.shape.sector_bytes)?;
    let head = InodeHead::parse(&sector)
        .filter(|head| head.group == group && head.uuid == base.shape.uuid)?;
    let mut chunks = Vec::new();
    // Block and level; the root is the highest.
    let mut waiting = vec![(head.root, head.levels.checked_sub(1)?)];
    while let Some((block, level)) = waiting.pop() {
        base.spend()?;
        let offset = base.shape.block_of_group_offset(group, block)?;
        let bytes = base.bytes(offset, base.shape.block_bytes)?;
        if !base.is_block(&bytes, BlockKind::Inodes, group, offset) {
            return None;
        }
        match inode_tree_block(&bytes)? {
            InodeNode::Leaf(found) if level == 0 => chunks.extend(found),
            InodeNode::Index(own, below) if u32::from(own) == level && level > 0 => {
                waiting.extend(below.into_iter().map(|block| (block, level - 1)));
            }
            InodeNode::Leaf(_) | InodeNode::Index(..) => return None,
        }
        if chunks.len() > MOST_CHUNKS {
            return None;
        }
    }
    chunks.sort_unstable_by_key(|chunk| chunk.first);
    Some(chunks)
}
