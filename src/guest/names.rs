//! Names by the entries of folders, and the paths that follow.

use std::collections::HashMap;

use vmglean_formats::ext::EntryKind;

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
    pub(super) child: u64,
    pub(super) parent: u64,
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

/// What one folder gave.
#[derive(Default)]
pub(super) struct Found {
    /// Inode, folder, kind and name.
    pub(super) names: Vec<(u64, u64, EntryKind, Vec<u8>)>,
    /// Whether a part of it is lost.
    pub(super) is_torn: bool,
}

impl Names {
    pub(super) fn take(&mut self, found: Vec<Found>) {
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

    /// Puts them in order, each once.
    pub(super) fn sort(&mut self) {
        self.all.sort_by_key(|name| name.child);
        self.all.dedup_by(|one, other| {
            let text = &self.text;
            one.child == other.child
                && one.parent == other.parent
                && text_of(text, one) == text_of(text, other)
        });
    }

    /// Names of an inode.
    pub(super) fn of(&self, inode: u64) -> &[Name] {
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

/// Makes paths, keeping those of folders.
pub(super) struct Tree<'a> {
    names: &'a Names,
    root: Option<u64>,
    folders: HashMap<u64, Vec<u8>>,
}

impl<'a> Tree<'a> {
    /// Paths from the folder `root`.
    pub(super) fn new(names: &'a Names, root: Option<u64>) -> Self {
        Self { names, root, folders: HashMap::new() }
    }

    /// All paths of an inode.
    pub(super) fn paths(&mut self, inode: u64) -> Vec<Vec<u8>> {
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
    fn folder(&mut self, folder: u64) -> Vec<u8> {
        let mut below: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut at = folder;
        let mut path = loop {
            if self.root == Some(at) {
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
