//! Names by the entries of folders.

use rayon::prelude::*;
use vmglean_formats::ext::{Entries, InodeKind, folder_block_holds, inline_folder, inode_flags};

use super::{
    base::Base,
    inodes::{Entry, Inodes, read_inode},
    map::stream,
};
use crate::guest::{
    names::{Found, Name, Names},
    scan::FolderHit,
};

/// Number of the root folder.
pub(super) const ROOT: u32 = 2;
/// Folders read together.
const BATCH: usize = 1024;
/// All names of a volume: of all folders in use, then first blocks of those whose inode is lost.
pub(super) fn read(base: &Base<'_>, inodes: &Inodes, blocks: &[FolderHit]) -> Names {
    let mut all = Names::default();
    let is_folder = |entry: &&Entry| entry.kind == InodeKind::Folder && entry.is_live;
    let folders: Vec<&Entry> = inodes.entries.iter().filter(is_folder).collect();
    for batch in folders.chunks(BATCH) {
        let found: Vec<Found> = batch.par_iter().map(|entry| folder(base, entry)).collect();
        all.take(found);
    }
    let end = base.start.saturating_add(base.shape.bytes());
    let first = blocks.partition_point(|hit| hit.at < base.start);
    let inside = blocks.iter().skip(first).take_while(|hit| hit.at < end);
    let lost: Vec<&FolderHit> = inside
        .filter(|hit| (hit.at - base.start).is_multiple_of(base.shape.block_bytes.max(1)))
        .filter(|hit| inodes.find(hit.inode).is_none())
        .filter(|hit| {
            // Where its inode can be read and is none, the folder was deleted.
            let size = base.shape.inode_bytes;
            let place = inodes.place_of(base, hit.inode);
            !place.is_some_and(|at| base.ground.is_good(at..at.saturating_add(size)))
        })
        .collect();
    for batch in lost.chunks(BATCH) {
        let found: Vec<Found> = batch.par_iter().map(|hit| first_block(base, hit)).collect();
        all.take(found);
    }
    all.sort();
    all
}

/// Number of an inode by a name of it.
pub(super) fn child(name: &Name) -> u32 {
    u32::try_from(name.child).unwrap_or(0)
}

fn folder(base: &Base<'_>, entry: &Entry) -> Found {
    let mut found = Found::default();
    let Some(inode) = read_inode(base, entry.at) else { return found };
    let is_secret = inode.has(inode_flags::ENCRYPTED);
    let take = |found: &mut Found, bytes: &[u8]| {
        let mut entries = Entries::new(bytes, base.shape.has_kinds());
        for one in entries.by_ref().filter(|one| one.name != b"." && one.name != b"..") {
            let name = if is_secret {
                // The name's bytes are ciphertext, and as good as any other label.
                format!("(encrypted name {})", hex::encode(one.name)).into_bytes()
            } else {
                one.name.to_vec()
            };
            found.names.push((u64::from(one.inode), u64::from(entry.number), one.kind, name));
        }
        found.is_torn |= entries.is_broken();
    };
    if inode.has(inode_flags::INLINE) {
        match inline_folder(&inode) {
            Some((_, pieces)) => pieces.into_iter().for_each(|piece| take(&mut found, piece)),
            None => found.is_torn = true,
        }
        return found;
    }
    let seed = base.seed(entry.number, inode.generation);
    let blocks = stream(base, entry.number, &inode);
    found.is_torn |= !blocks.defects.is_empty();
    for (first, count) in blocks.clusters() {
        for block in first..first.saturating_add(count) {
            let Some(read) = base.counted(block) else {
                found.is_torn = true;
                // Past the bound of all blocks, or lost: the next may be there.
                if block.saturating_sub(first) > base.shape.blocks_per_group {
                    break;
                }
                continue;
            };
            let holds =
                if base.shape.has_checksums { folder_block_holds(&read.bytes, seed) } else { None };
            if holds.unwrap_or(read.is_good) {
                take(&mut found, &read.bytes);
            } else {
                found.is_torn = true;
            }
        }
    }
    found
}

/// The first block of a folder whose inode is lost.
fn first_block(base: &Base<'_>, hit: &FolderHit) -> Found {
    let mut found = Found { is_torn: true, ..Found::default() };
    let block = (hit.at - base.start) / base.shape.block_bytes.max(1);
    let Some(read) = base.counted(block).filter(|read| read.is_good) else { return found };
    let entries = Entries::new(&read.bytes, base.shape.has_kinds());
    for one in entries.filter(|one| one.name != b"." && one.name != b"..") {
        let (child, parent) = (u64::from(one.inode), u64::from(hit.inode));
        found.names.push((child, parent, one.kind, one.name.to_vec()));
    }
    found
}
