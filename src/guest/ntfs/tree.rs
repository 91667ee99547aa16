//! Paths by parent reference, with labels where a folder is lost.

use std::collections::HashMap;

use vmglean_formats::ntfs::Reference;

use super::{ghosts::Ghosts, place::Placed};
use crate::guest::scan::{Hits, NameHit, RecordHit};

/// Folders inside each other; NTFS paths have at most 32,767 characters.
const DEEPEST: usize = 1024;
/// Longest path in bytes.
const LONGEST: usize = 32 << 10;
/// Record of the root folder.
pub(super) const ROOT: u64 = 5;
/// Names of one record that are listed.
const MOST_NAMES: usize = 1024;

/// Makes paths, keeping those of folders.
pub(super) struct Tree<'a> {
    hits: &'a Hits,
    placed: &'a Placed,
    ghosts: &'a Ghosts,
    folders: HashMap<(u64, u16), Vec<u8>>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(hits: &'a Hits, placed: &'a Placed, ghosts: &'a Ghosts) -> Self {
        Self { hits, placed, ghosts, folders: HashMap::new() }
    }

    /// All paths of a record, the first name's first; 8.3 names only where there is no other.
    pub(super) fn paths(&mut self, hit: &RecordHit) -> Vec<Vec<u8>> {
        let names = self.names(hit);
        let long: Vec<&NameHit> = names.iter().filter(|name| !name.is_dos_only).collect();
        let all = if long.is_empty() { names.iter().collect() } else { long };
        let mut paths: Vec<Vec<u8>> = Vec::new();
        for name in all.into_iter().take(MOST_NAMES) {
            let path = self.join(name.parent, self.hits.text(name));
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }

    /// Names of a file, from its first record and from further ones.
    fn names(&self, hit: &RecordHit) -> Vec<NameHit> {
        let records = self.placed.records_of(self.hits, hit).take(MOST_NAMES);
        records.flat_map(|record| self.hits.names_of(record)).copied().take(MOST_NAMES).collect()
    }

    /// Path of `name` inside the folder `parent`.
    pub(super) fn join(&mut self, parent: Reference, name: &[u8]) -> Vec<u8> {
        let mut path = self.folder(parent);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path.truncate(LONGEST);
        path
    }

    /// Path of a folder: empty for the root, a label where it is lost.
    fn folder(&mut self, folder: Reference) -> Vec<u8> {
        let mut names: Vec<((u64, u16), Vec<u8>)> = Vec::new();
        let mut at = folder;
        let mut base = loop {
            if at.number == ROOT {
                break Vec::new();
            }
            let key = (at.number, at.sequence);
            if let Some(known) = self.folders.get(&key) {
                break known.clone();
            }
            let cycles = names.len() >= DEEPEST || names.iter().any(|(of, _)| *of == key);
            match self.up(at).filter(|_| !cycles) {
                Some((parent, name)) => {
                    names.push((key, name));
                    at = parent;
                }
                None => break label(at, cycles),
            }
        };
        for (key, name) in names.into_iter().rev() {
            if !base.is_empty() {
                base.push(b'/');
            }
            base.extend_from_slice(&name);
            base.truncate(LONGEST);
            self.folders.insert(key, base.clone());
        }
        base
    }

    /// The parent and the name of a folder, from its record or from an index.
    fn up(&self, folder: Reference) -> Option<(Reference, Vec<u8>)> {
        if let Some(entry) = self.placed.find(folder.number) {
            let hit = self.hits.records.get(entry.hit as usize)?;
            // Deleting a folder counts its number up.
            let deleted = !hit.is_in_use && hit.sequence == folder.sequence.wrapping_add(1);
            if !hit.is_folder || (hit.sequence != folder.sequence && !deleted) {
                return None;
            }
            let names = self.names(hit);
            let name = names.iter().find(|name| !name.is_dos_only).or(names.first())?;
            return Some((name.parent, self.hits.text(name).to_vec()));
        }
        let ghost = self.ghosts.folder(folder)?;
        Some((ghost.name.parent, ghost.name.name.clone()))
    }
}

fn label(folder: Reference, cycles: bool) -> Vec<u8> {
    let what = if cycles { "folder in a circle" } else { "lost folder" };
    format!("({what} {}-{})", folder.number, folder.sequence).into_bytes()
}
