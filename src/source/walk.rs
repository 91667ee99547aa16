//! Lists what lies below a root: no link followed, nothing opened, every refusal told.

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt as _};

use rayon::prelude::*;
use rustix::fs::{Dir, FileType};

use super::root::{EvidenceRoot, RelPath};

/// Folders listed by one thread before another one takes some.
const AT_ONCE: usize = 16;
/// Folders deeper than this are told and not entered.
const MAX_DEPTH: usize = 64;

/// What the listing says an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundKind {
    /// A regular file.
    File,
    /// A symbolic link; where it leads is not looked at.
    Symlink,
    /// A FIFO, socket or device.
    Special,
}

/// One entry below the root that is no folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub path: RelPath,
    /// What.
    pub kind: FoundKind,
}

/// A place below the root that could not be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkError {
    /// Where.
    pub path: RelPath,
    /// The system's word.
    pub why: String,
}

/// Everything below `from`, sorted by path bytes folder by folder, and what could not be listed.
/// Folders are listed on all threads of the pool it is called in.
#[must_use]
pub fn walk(root: &EvidenceRoot, from: &RelPath) -> (Vec<Found>, Vec<WalkError>) {
    let mut listing = Listing::default();
    descend(root, from, 0, &mut listing);
    (listing.found, listing.refused)
}

/// What lies in the root itself, without its folders.
#[must_use]
pub fn list(root: &EvidenceRoot) -> Vec<Found> {
    let items = items(root, &RelPath::default(), 0).into_iter();
    let here = items.filter_map(|item| match item {
        Item::Here(found) => Some(found),
        Item::Refused(_) | Item::Folder(_) => None,
    });
    here.collect()
}

#[derive(Default)]
struct Listing {
    found: Vec<Found>,
    refused: Vec<WalkError>,
}

/// One entry of a folder, in order of name.
enum Item {
    Here(Found),
    Refused(WalkError),
    Folder(RelPath),
}

fn descend(root: &EvidenceRoot, folder: &RelPath, depth: usize, listing: &mut Listing) {
    let items = items(root, folder, depth);
    let folders: Vec<&RelPath> = items
        .iter()
        .filter_map(|item| match item {
            Item::Folder(path) => Some(path),
            Item::Here(_) | Item::Refused(_) => None,
        })
        .collect();
    let below: Vec<Listing> = folders
        .par_iter()
        .with_min_len(AT_ONCE)
        .map(|folder| {
            let mut below = Listing::default();
            descend(root, folder, depth + 1, &mut below);
            below
        })
        .collect();
    let mut below = below.into_iter();
    for item in items {
        match item {
            Item::Here(found) => listing.found.push(found),
            Item::Refused(error) => listing.refused.push(error),
            Item::Folder(_) => {
                let mut inside = below.next().unwrap_or_default();
                listing.found.append(&mut inside.found);
                listing.refused.append(&mut inside.refused);
            }
        }
    }
}

fn items(root: &EvidenceRoot, folder: &RelPath, depth: usize) -> Vec<Item> {
    if depth == MAX_DEPTH {
        let why = format!("lies {MAX_DEPTH} folders deep and is not entered");
        return vec![Item::Refused(WalkError { path: folder.clone(), why })];
    }
    let refused = |error: io::Error| {
        Item::Refused(WalkError { path: folder.clone(), why: error.to_string() })
    };
    let opened = root.open_folder(folder).and_then(|fd| Ok(Dir::new(fd)?));
    let dir = match opened {
        Ok(dir) => dir,
        Err(error) => return vec![refused(error)],
    };
    let mut items = Vec::new();
    for entry in dir {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                items.push((Vec::new(), refused(error.into())));
                // A listing that fails once fails for ever.
                break;
            }
        };
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let path = folder.join(OsStr::from_bytes(name));
        let kind = match entry.file_type() {
            FileType::Unknown => root.kind(&path).unwrap_or(FileType::Unknown),
            known => known,
        };
        let here = |kind| Item::Here(Found { path: path.clone(), kind });
        let item = match kind {
            FileType::Directory => Item::Folder(path),
            FileType::RegularFile => here(FoundKind::File),
            FileType::Symlink => here(FoundKind::Symlink),
            _ => here(FoundKind::Special),
        };
        items.push((name.to_vec(), item));
    }
    items.sort_by(|(one, _), (two, _)| one.cmp(two));
    items.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::source::Access;

    #[test]
    fn entries_come_folder_by_folder_in_order_of_name_and_no_link_is_entered() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"").unwrap();
        for name in ["b/2", "b/10", "b/c/1", "a/1", "z", "B"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        symlink(outside.path(), dir.path().join("b/link")).unwrap();
        let root = EvidenceRoot::open(dir.path(), Access::Read).unwrap();
        let (found, refused) = walk(&root, &RelPath::default());
        let paths: Vec<_> = found.iter().map(|one| one.path.as_path().to_str().unwrap()).collect();
        assert_eq!(paths, ["B", "a/1", "b/10", "b/2", "b/c/1", "b/link", "z"]);
        assert_eq!(found[5].kind, FoundKind::Symlink);
        assert_eq!(refused, []);
        let (gone, refused) = walk(&root, &RelPath::from("nowhere"));
        assert!(gone.is_empty());
        assert_eq!(refused[0].path, RelPath::from("nowhere"));
    }

    #[test]
    fn what_lies_too_deep_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let deep: std::path::PathBuf = (0..70).map(|_| "d").collect();
        fs::create_dir_all(dir.path().join(&deep)).unwrap();
        fs::write(dir.path().join(&deep).join("f"), b"").unwrap();
        let root = EvidenceRoot::open(dir.path(), Access::Read).unwrap();
        let (found, refused) = walk(&root, &RelPath::default());
        assert!(found.is_empty());
        assert_eq!(refused[0].why, "lies 64 folders deep and is not entered");
        assert_eq!(refused[0].path.as_path().components().count(), 64);
    }
}
