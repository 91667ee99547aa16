//! Names by the entries of folders.

use rayon::prelude::*;
use vmglean_formats::xfs::{
    BlockKind, Entry as FolderEntry, Fork, InodeKind, folder_entries, short_folder,
};

use super::{
    base::Base,
    hits::{BlockHit, VolumeHits},
    inodes::{Entry, Inodes},
    made::Made,
    map::extents,
};
use crate::guest::names::{Found, Names};

/// Folders read together.
const BATCH: usize = 1024;
/// Names lie in a folder's first 32 GiB; behind them its index does.
const NAMES_END: u64 = 32 << 30;

/// What a folder tells.
#[derive(Default)]
struct Told {
    found: Found,
    folder: u64,
    /// The folder above.
    parent: Option<u64>,
}

/// All names of a volume, and the root folder where one tells that nothing is above it.
pub(super) fn read(
    base: &Base<'_>,
    inodes: &Inodes,
    hits: &VolumeHits,
    made: &Made,
) -> (Names, Option<u64>) {
    let mut all = Names::default();
    let mut root = base.shape.root;
    let is_folder = |entry: &&Entry| entry.kind == InodeKind::Folder && entry.is_live;
    let folders: Vec<&Entry> = inodes.entries.iter().filter(is_folder).collect();
    for batch in folders.chunks(BATCH) {
        let told: Vec<Told> = batch.par_iter().map(|entry| folder(base, entry)).collect();
        let own = told.iter().find(|told| told.parent == Some(told.folder));
        root = root.or(own.map(|told| told.folder));
        all.take(told.into_iter().map(|told| told.found).collect());
    }
    let lost: Vec<&BlockHit> = hits
        .blocks
        .iter()
        .filter(|hit| hit.kind == BlockKind::Folder && inodes.find(hit.owner).is_none())
        .filter(|hit| made.is_made(base, hit.owner) != Some(false))
        .filter(|hit| {
            // Where its inode can be read and is none, the folder was deleted.
            let size = base.shape.inode_bytes;
            let place = base.inode_at(hit.owner).map(|place| place.at());
            !place.is_some_and(|at| base.ground.is_good(at..at.saturating_add(size)))
        })
        .collect();
    for batch in lost.chunks(BATCH) {
        let told: Vec<Told> = batch.par_iter().map(|hit| block_alone(base, hit)).collect();
        let own = told.iter().find(|told| told.parent == Some(told.folder));
        root = root.or(own.map(|told| told.folder));
        all.take(told.into_iter().map(|told| told.found).collect());
    }
    all.sort();
    (all, root)
}

impl Told {
    fn take(&mut self, entries: &[FolderEntry<'_>]) {
        for one in entries {
            match one.name {
                b"." => {}
                b".." => self.parent = Some(one.inode),
                name => {
                    self.found.names.push((one.inode, self.folder, one.kind, name.to_vec()));
                }
            }
        }
    }

    /// A block that belongs at byte `offset` of the volume.
    fn block(&mut self, base: &Base<'_>, bytes: &[u8], offset: u64) {
        if !base.is_block(bytes, BlockKind::Folder, self.folder, offset) {
            self.found.is_torn = true;
            return;
        }
        let (entries, is_whole) = folder_entries(bytes);
        self.take(&entries);
        self.found.is_torn |= !is_whole;
    }
}

fn folder(base: &Base<'_>, entry: &Entry) -> Told {
    let mut told = Told { folder: entry.number, ..Told::default() };
    let Some(inode) = base.inode(entry.at) else { return told };
    if let Fork::Local(area) = &inode.fork {
        match short_folder(area) {
            Some((parent, entries)) => {
                told.parent = Some(parent);
                told.take(&entries);
            }
            None => told.found.is_torn = true,
        }
        return told;
    }
    let found = extents(base, &inode);
    told.found.is_torn |= !found.defects.is_empty();
    let block = base.shape.block_bytes.max(1);
    let each = usize::try_from(base.shape.folder_block_bytes()).unwrap_or(usize::MAX);
    // A block of a folder may be made of several, wherever they lie.
    let mut parts: Vec<u8> = Vec::new();
    let mut first = 0;
    let mut next = 0;
    for extent in found.all {
        for nth in 0..extent.count {
            let at = extent.block.saturating_add(nth);
            if at >= NAMES_END / block {
                return told;
            }
            if base.spend().is_none() {
                told.found.is_torn = true;
                return told;
            }
            let place = extent.start.checked_add(nth).and_then(|n| base.shape.block_offset(n));
            let is_first = at.saturating_mul(block).is_multiple_of(each as u64);
            let read = place.and_then(|offset| base.bytes(offset, block));
            let (Some(offset), Some(read)) = (place, read) else {
                told.found.is_torn = true;
                parts.clear();
                continue;
            };
            if is_first {
                parts.clear();
                first = offset;
            } else if parts.is_empty() || at != next {
                parts.clear();
                continue;
            }
            next = at.saturating_add(1);
            parts.extend(read);
            if parts.len() >= each {
                told.block(base, &parts, first);
                parts.clear();
            }
        }
    }
    told
}

/// A block of a folder whose inode is lost.
fn block_alone(base: &Base<'_>, hit: &BlockHit) -> Told {
    let mut told = Told { folder: hit.owner, ..Told::default() };
    told.found.is_torn = true;
    let size = 1 << hit.size_log2.min(16);
    let is_placed = base.pieces.place(hit.offset, size).is_some_and(|place| place.at() == hit.at);
    let length = usize::try_from(size).unwrap_or(0);
    let read = base.ground.read(hit.at, length).ok().filter(|_| is_placed);
    if let (Some(bytes), Some(())) = (read, base.spend()) {
        told.block(base, &bytes, hit.offset);
    }
    told
}
