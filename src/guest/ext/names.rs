//! Names by the entries of folders, and the paths that follow.

use std::collections::HashMap;

use rayon::prelude::*;
use vmglean_formats::ext::{
    Entries, EntryKind, InodeKind, folder_block_holds, inline_folder, inode_flags,
};

use super::{
    base::Base,
    inodes::{Entry, Inodes, read_inode},
    map::stream,
};
use crate::guest::scan::FolderHit;

/// Number of the root folder.
pub(super) const ROOT: u32 = 2;
/// Folders read together.
const BATCH: usize = 1024;
/// Folders inside each other; paths have at most 4096 characters.
const DEEPEST: usize = 1024;
/// Longest path in bytes.
const LONGEST: usize = 32 << 10;
/// Names that are kept.
const MOST_NAMES: usize = 1 << 30;
/// Names of one inode that are listed.
const MOST_LINKS: usize = 1024;

/// An entry of a folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) child: u32,
    pub(super) parent: u32,
    pub(super) kind: EntryKind,
    start: usize,
    length: u8,
}

/// All names of a volume, in the order of their inodes.
#[derive(Default)]
pub(super) struct Names {
    all: Vec<Name>,
    text: Vec<u8>,
    /// Folders of which a block is lost.
    pub(super) torn: u64,
}

#[derive(Default)]
struct Found {
    names: Vec<(u32, u32, EntryKind, Vec<u8>)>,
    is_torn: bool,
}

impl Names {
    /// Reads all folders in use, then first blocks of those whose inode is lost.
    pub(super) fn read(base: &Base<'_>, inodes: &Inodes, blocks: &[FolderHit]) -> Self {
        let mut all = Self::default();
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
        all.all.sort_by_key(|name| name.child);
        all.all.dedup_by(|one, other| {
            let text = &all.text;
            one.child == other.child
                && one.parent == other.parent
                && text_of(text, one) == text_of(text, other)
        });
        all
    }

    fn take(&mut self, found: Vec<Found>) {
        for found in found {
            self.torn += u64::from(found.is_torn);
            for (child, parent, kind, name) in found.names {
                if self.all.len() >= MOST_NAMES {
                    return;
                }
                let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
                self.all.push(Name { child, parent, kind, start: self.text.len(), length });
                self.text.extend_from_slice(&name);
            }
        }
    }

    /// Names of an inode.
    pub(super) fn of(&self, inode: u32) -> &[Name] {
        let from = self.all.partition_point(|name| name.child < inode);
        let rest = self.all.get(from..).unwrap_or_default();
        let count = rest.partition_point(|name| name.child == inode);
        rest.get(..count.min(MOST_LINKS)).unwrap_or_default()
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Name] {
        &self.all
    }

    pub(super) fn text(&self, name: &Name) -> &[u8] {
        text_of(&self.text, name)
    }
}

fn text_of<'a>(text: &'a [u8], name: &Name) -> &'a [u8] {
    text.get(name.start..name.start + usize::from(name.length)).unwrap_or_default()
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
                let hex =
                    one.name.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
                format!("(encrypted name {hex})").into_bytes()
            } else {
                one.name.to_vec()
            };
            found.names.push((one.inode, entry.number, one.kind, name));
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
        found.names.push((one.inode, hit.inode, one.kind, one.name.to_vec()));
    }
    found
}

/// Makes paths, keeping those of folders.
pub(super) struct Tree<'a> {
    names: &'a Names,
    folders: HashMap<u32, Vec<u8>>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(names: &'a Names) -> Self {
        Self { names, folders: HashMap::new() }
    }

    /// All paths of an inode.
    pub(super) fn paths(&mut self, inode: u32) -> Vec<Vec<u8>> {
        let names = self.names;
        names.of(inode).iter().map(|name| self.join(name)).collect()
    }

    /// The path that a name makes.
    pub(super) fn join(&mut self, name: &Name) -> Vec<u8> {
        let names = self.names;
        let mut path = self.folder(name.parent);
        append(&mut path, names.text(name));
        path
    }

    /// Path of a folder: empty for the root, a label where it is lost.
    fn folder(&mut self, folder: u32) -> Vec<u8> {
        let mut below: Vec<(u32, Vec<u8>)> = Vec::new();
        let mut at = folder;
        let mut path = loop {
            if at == ROOT {
                break Vec::new();
            }
            if let Some(known) = self.folders.get(&at) {
                break known.clone();
            }
            let cycles = below.len() >= DEEPEST || below.iter().any(|(of, _)| *of == at);
            match self.names.of(at).first().filter(|_| !cycles) {
                Some(name) => {
                    below.push((at, self.names.text(name).to_vec()));
                    at = name.parent;
                }
                None => {
                    let what = if cycles { "folder in a circle" } else { "lost folder" };
                    break format!("({what} {at})").into_bytes();
                }
            }
        };
        for (of, name) in below.into_iter().rev() {
            append(&mut path, &name);
            self.folders.insert(of, path.clone());
        }
        path
    }
}

fn append(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path.truncate(LONGEST);
}
