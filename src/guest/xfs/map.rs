//! Which blocks of the volume hold a file's.

use std::collections::HashSet;

use vmglean_formats::{
    ntfs::DataRun,
    xfs::{BlockKind, Extent, Fork, Inode, InodeKind, Node, tree_block},
};

use super::{base::Base, pieces::Place};
use crate::guest::Stream;

/// Runs of one file that are kept.
const MOST_RUNS: usize = 1 << 22;
/// Longest target of a link.
const LONGEST_TARGET: u64 = 1024;
/// Bytes of the head of a link's block.
const LINK_HEAD: usize = 56;

/// Extents of one inode, and what is wrong with them.
#[derive(Default)]
pub(super) struct Extents {
    pub(super) all: Vec<Extent>,
    /// Blocks of the tree that tells them.
    pub(super) tree: Vec<u64>,
    pub(super) defects: Vec<String>,
}

impl Extents {
    fn against(&mut self, what: &str) {
        // One of a kind says enough.
        if !self.defects.iter().any(|known| known == what) {
            self.defects.push(what.to_owned());
        }
    }
}

/// The extents of an inode.
pub(super) fn extents(base: &Base<'_>, inode: &Inode) -> Extents {
    let mut found = Extents::default();
    match &inode.fork {
        Fork::Local(_) => return found,
        Fork::None => found.against("where its content lies is not said"),
        Fork::Broken => found.against("where its content lies cannot be as it is said"),
        Fork::Extents(extents) => found.all.clone_from(extents),
        Fork::Tree(node) => {
            let mut walk = Walk { base, inode, seen: HashSet::new() };
            walk.node(node.clone(), (0, u64::MAX), &mut found);
        }
    }
    if found.defects.is_empty() && found.all.len() as u64 != inode.extents {
        found.against("it has another number of extents than its inode says");
    }
    found
}

struct Walk<'a> {
    base: &'a Base<'a>,
    inode: &'a Inode,
    seen: HashSet<u64>,
}

impl Walk<'_> {
    /// A node that must describe blocks of the file between two of them.
    fn node(&mut self, node: Node, (from, to): (u64, u64), found: &mut Extents) {
        let (level, children) = match node {
            Node::Leaf(extents) => {
                let is_inside =
                    |one: &Extent| one.block >= from && one.block.saturating_add(one.count) <= to;
                if !extents.iter().all(is_inside) {
                    found.against("an extent lies outside of its branch");
                } else if found.all.len().saturating_add(extents.len()) > MOST_RUNS {
                    found.against("it has more pieces than are followed");
                } else {
                    found.all.extend(extents);
                }
                return;
            }
            Node::Index(level, children) => (level, children),
        };
        let ends: Vec<u64> = children.iter().skip(1).map(|(block, _)| *block).chain([to]).collect();
        for ((block, place), end) in children.into_iter().zip(ends) {
            if !self.seen.insert(place) {
                found.against("its tree leads back into itself");
                continue;
            }
            let read = self.base.block(place, BlockKind::Extents, self.inode.number);
            found.tree.push(place);
            let child = read.and_then(|bytes| tree_block(&bytes)).filter(|child| {
                let below = match child {
                    Node::Leaf(_) => 0,
                    Node::Index(level, _) => *level,
                };
                below.checked_add(1) == Some(level)
            });
            match child {
                Some(child) if block >= from => self.node(child, (block, end), found),
                _ => found.against("a block of its extents is lost or broken"),
            }
        }
    }
}

/// The content of an inode as a stream; what its description lacks stands in its defects.
pub(super) fn stream(base: &Base<'_>, inode: &Inode) -> Stream {
    let block = base.shape.block_bytes.max(1);
    let mut stream = Stream {
        size: inode.size,
        valid: inode.size,
        cluster_bytes: block,
        // Clusters are counted on the disk: the volume may lie in pieces.
        volume_start: base.start % block,
        volume_bytes: Some(u64::MAX),
        ..Stream::default()
    };
    if inode.kind == InodeKind::Special {
        stream.size = 0;
        stream.valid = 0;
        return stream;
    }
    if inode.is_realtime && inode.kind == InodeKind::File {
        stream.defects.push("its content lies in the real-time section, which is not read".into());
        return stream;
    }
    if let Fork::Local(area) = &inode.fork {
        let size = usize::try_from(inode.size).unwrap_or(usize::MAX);
        match area.get(..size) {
            Some(content) if inode.kind != InodeKind::File => {
                stream.resident = Some(content.to_vec());
            }
            _ => stream.defects.push("a file's content cannot lie in its inode".into()),
        }
        return stream;
    }
    let mut found = extents(base, inode);
    if inode.kind == InodeKind::Link {
        stream.resident = target(base, inode, &found.all);
        if stream.resident.is_none() {
            stream.defects.push("where it leads to is lost".into());
        }
        return stream;
    }
    for extent in std::mem::take(&mut found.all) {
        let Extent { block: vcn, count: clusters, start, is_unwritten } = extent;
        let lcn = if is_unwritten {
            None
        } else {
            let Some((_, place)) = base.place(start, clusters) else {
                found.against("its extents leave the volume");
                continue;
            };
            if matches!(place, Place::Guess(_)) {
                found.against(
                    "nothing tells that this part of the volume lies where it would in one piece",
                );
            }
            match place.at().checked_sub(stream.volume_start) {
                Some(at) if at.is_multiple_of(block) => Some(at / block),
                _ => {
                    found.against("the piece of the volume that holds it begins inside a block");
                    continue;
                }
            }
        };
        add(&mut stream.runs, DataRun { vcn, clusters, lcn });
    }
    stream.defects = found.defects;
    stream.check_places();
    stream
}

/// Appends a run, joined with the last where it goes on.
fn add(runs: &mut Vec<DataRun>, run: DataRun) {
    if !runs.last_mut().is_some_and(|last| last.join(run)) {
        runs.push(run);
    }
}

/// Where a symbolic link leads, from its blocks.
fn target(base: &Base<'_>, inode: &Inode, extents: &[Extent]) -> Option<Vec<u8>> {
    let size = usize::try_from(inode.size).ok().filter(|_| inode.size <= LONGEST_TARGET)?;
    let mut target = Vec::with_capacity(size);
    for extent in extents.iter().take(4) {
        let offset = base.shape.block_offset(extent.start)?;
        let length = extent.count.min(128).checked_mul(base.shape.block_bytes)?;
        base.spend()?;
        let bytes = base.bytes(offset, length)?;
        if !base.is_block(&bytes, BlockKind::Link, inode.number, offset) {
            return None;
        }
        let room = bytes.get(LINK_HEAD..)?;
        let left = size.checked_sub(target.len())?;
        target.extend_from_slice(room.get(..left.min(room.len()))?);
    }
    (target.len() == size).then_some(target)
}
