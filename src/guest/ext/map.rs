//! Which blocks of the volume hold a file's: extent trees and old lists of block numbers.

use std::collections::HashSet;

use vmglean_formats::{
    ext::{Extent, Inode, InodeKind, Node, inode_flags, pointers},
    ntfs::DataRun,
};

use super::base::{Base, Block};
use crate::guest::Stream;

/// Runs of one file that are kept.
const MOST_RUNS: usize = 1 << 22;

/// Reads where the blocks of one inode lie.
struct Walk<'a> {
    base: &'a Base<'a>,
    seed: u32,
    runs: Vec<DataRun>,
    /// Blocks of its tree that were read.
    seen: HashSet<u64>,
    defects: Vec<String>,
}

/// The content of an inode as a stream; what its description lacks stands in its defects.
pub(super) fn stream(base: &Base<'_>, number: u32, inode: &Inode) -> Stream {
    let block = base.shape.block_bytes;
    let mut stream = Stream {
        size: inode.size,
        valid: inode.size,
        cluster_bytes: block,
        volume_start: base.start,
        volume_bytes: Some(base.shape.bytes()),
        ..Stream::default()
    };
    if inode.kind == InodeKind::Special {
        stream.size = 0;
        stream.valid = 0;
        return stream;
    }
    let is_inline = inode.has(inode_flags::INLINE);
    if let Some(content) = inode.inline() {
        stream.resident = Some(content);
        return stream;
    }
    if is_inline {
        stream.defects.push("content in its inode is not all there".to_owned());
        return stream;
    }
    let seed = base.seed(number, inode.generation);
    let mut walk = Walk { base, seed, runs: Vec::new(), seen: HashSet::new(), defects: Vec::new() };
    if inode.has(inode_flags::EXTENTS) {
        match Node::parse(&inode.map) {
            Some(node) => walk.node(node, 0, u64::MAX),
            None => walk.against("its extents are broken"),
        }
    } else {
        walk.numbers(inode);
    }
    stream.runs = walk.runs;
    stream.defects = walk.defects;
    stream.check_places();
    stream
}

impl Walk<'_> {
    fn against(&mut self, what: &str) {
        // One of a kind says enough.
        if !self.defects.iter().any(|known| known == what) {
            self.defects.push(what.to_owned());
        }
    }

    /// A block of the tree, once.
    fn read(&mut self, block: u64) -> Option<Block> {
        if !self.seen.insert(block) {
            self.against("its tree leads back into itself");
            return None;
        }
        self.base.counted(block)
    }

    fn add(&mut self, run: DataRun) {
        if let Some(last) = self.runs.last_mut() {
            if last.join(run) {
                return;
            }
            if run.vcn < last.end() {
                self.against("its extents overlap");
                return;
            }
        }
        if self.runs.len() >= MOST_RUNS {
            self.against("it has more pieces than are followed");
            return;
        }
        self.runs.push(run);
    }

    /// A node that must describe blocks of the file between `from` and `to`.
    fn node(&mut self, node: Node, from: u64, to: u64) {
        let (depth, children) = match node {
            Node::Leaf(extents) => {
                for Extent { block, count, start, is_unwritten } in extents {
                    if block < from || block.saturating_add(count) > to {
                        self.against("an extent lies outside of its branch");
                        continue;
                    }
                    let inside = start.saturating_add(count) <= self.base.shape.blocks;
                    if !inside {
                        self.against("its extents leave the volume");
                    }
                    let lcn = (!is_unwritten).then_some(start);
                    self.add(DataRun { vcn: block, clusters: count, lcn });
                }
                return;
            }
            Node::Index(depth, children) => (depth, children),
        };
        let ends: Vec<u64> = children.iter().skip(1).map(|(block, _)| *block).chain([to]).collect();
        for ((block, place), end) in children.into_iter().zip(ends) {
            let Some(read) = self.read(place) else {
                self.against("a block of its extents is lost");
                continue;
            };
            let has_sum = self.base.shape.has_checksums;
            let is_believed =
                if has_sum { Node::sum_holds(&read.bytes, self.seed) } else { read.is_good };
            let child = Node::parse(&read.bytes).filter(|_| is_believed).filter(|child| {
                let below = match child {
                    Node::Leaf(_) => 0,
                    Node::Index(depth, _) => *depth,
                };
                below.checked_add(1) == Some(depth)
            });
            match child {
                Some(child) if block >= from => self.node(child, block, end),
                _ => self.against("a block of its extents is lost or broken"),
            }
        }
    }

    /// Twelve block numbers, then blocks of them, of blocks of them, of blocks of those.
    fn numbers(&mut self, inode: &Inode) {
        let each = self.base.shape.block_bytes / 4;
        let blocks = inode.size.div_ceil(self.base.shape.block_bytes.max(1));
        let mut at = 0_u64;
        for (nth, number) in pointers(&inode.map).enumerate() {
            let level = u32::try_from(nth).unwrap_or(u32::MAX).saturating_sub(11);
            if at >= blocks {
                break;
            }
            self.number(number, at, level, blocks);
            at = at.saturating_add(each.saturating_pow(level));
        }
    }

    fn number(&mut self, number: u64, at: u64, level: u32, blocks: u64) {
        if number == 0 || at >= blocks {
            return;
        }
        if number >= self.base.shape.blocks {
            self.against("its blocks leave the volume");
            return;
        }
        if level == 0 {
            self.add(DataRun { vcn: at, clusters: 1, lcn: Some(number) });
            return;
        }
        let Some(read) = self.read(number).filter(|read| read.is_good) else {
            self.against("a block of its block numbers is lost");
            return;
        };
        let each = (self.base.shape.block_bytes / 4).saturating_pow(level - 1);
        let mut at = at;
        for number in pointers(&read.bytes) {
            self.number(number, at, level - 1, blocks);
            at = at.saturating_add(each);
        }
    }
}
