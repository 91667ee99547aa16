//! Lists what lies below a root: no link followed, nothing opened, every refusal told.

use std::path::Path;

use walkdir::WalkDir;

use super::root::{EvidenceRoot, RelPath};

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
#[must_use]
pub fn walk(root: &EvidenceRoot, from: &RelPath) -> (Vec<Found>, Vec<WalkError>) {
    walk_to(root, from, MAX_DEPTH)
}

/// What lies in the root itself, without its folders.
#[must_use]
pub fn list(root: &EvidenceRoot) -> Vec<Found> {
    walk_to(root, &RelPath::default(), 1).0
}

fn walk_to(root: &EvidenceRoot, from: &RelPath, depth: usize) -> (Vec<Found>, Vec<WalkError>) {
    let start = root.display(from);
    let relative = |path: &Path| {
        let below = path.strip_prefix(root.path()).unwrap_or(path);
        RelPath::new(below).unwrap_or_default()
    };
    let mut found = Vec::new();
    let mut refused = Vec::new();
    let listing = WalkDir::new(&start)
        .follow_links(false)
        .follow_root_links(true)
        .max_depth(depth)
        .sort_by(|a, b| a.file_name().cmp(b.file_name()));
    for entry in listing {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {
                if entry.depth() == MAX_DEPTH {
                    refused.push(WalkError {
                        path: relative(entry.path()),
                        why: format!("lies {MAX_DEPTH} folders deep and is not entered"),
                    });
                }
            }
            Ok(entry) => {
                let kind = if entry.file_type().is_file() {
                    FoundKind::File
                } else if entry.file_type().is_symlink() {
                    FoundKind::Symlink
                } else {
                    FoundKind::Special
                };
                found.push(Found { path: relative(entry.path()), kind });
            }
            Err(error) => refused.push(WalkError {
                path: error.path().map(relative).unwrap_or_default(),
                why: error.io_error().map_or_else(|| error.to_string(), ToString::to_string),
            }),
        }
    }
    (found, refused)
}
