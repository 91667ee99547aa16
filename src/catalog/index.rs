//! Finds files by the names that other files give them.

use std::{
    hash::{DefaultHasher, Hasher as _},
    os::unix::ffi::OsStrExt as _,
};

use rayon::prelude::*;

use super::file::{CatalogFile, FileId};
use crate::source::{Escape, RelPath, base_name};

/// How a named file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Exactly where it was said to be.
    Exact,
    /// There, with something appended to its name.
    Renamed,
    /// Elsewhere: by the name of its folder and its own, which no second file has.
    Elsewhere,
}

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// A file stands for it.
    Found(FileId, How),
    /// None does.
    Missing,
    /// It leads out of the evidence.
    Outside(Escape),
}

/// Files by a hash of their key, sorted by it. Whoever asks compares the key itself: this keeps
/// 16 bytes a file where a map of keys would keep each key again.
#[derive(Debug, Default)]
struct Hashed(Vec<(u64, FileId)>);

impl Hashed {
    fn new(files: &[CatalogFile], key: impl Fn(&CatalogFile) -> Option<u64> + Sync) -> Self {
        let mut rows: Vec<(u64, FileId)> = (0..files.len())
            .into_par_iter()
            .with_min_len(1024)
            .filter_map(|number| {
                Some((key(files.get(number)?)?, FileId(u32::try_from(number).ok()?)))
            })
            .collect();
        rows.par_sort_unstable();
        Self(rows)
    }

    /// Files whose key has this hash, in their order.
    fn with(&self, hash: u64) -> impl Iterator<Item = FileId> + '_ {
        let first = self.0.partition_point(|(known, _)| *known < hash);
        self.0.iter().skip(first).take_while(move |(known, _)| *known == hash).map(|(_, id)| *id)
    }
}

fn hash_of(parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}

/// As [`hash_of`], upper and lower case alike in the last part.
fn hash_lower(parts: &[&[u8]], last: &[u8]) -> u64 {
    let lower = last.to_ascii_lowercase();
    let mut all: Vec<&[u8]> = parts.to_vec();
    all.push(&lower);
    hash_of(&all)
}

/// Name of the folder a file lies in, lower-case, also where that is the source itself.
fn tail(file: &CatalogFile) -> Vec<u8> {
    let folder = file.shown.parent().and_then(|folder| folder.file_name());
    folder.unwrap_or_default().as_bytes().to_ascii_lowercase()
}

/// One folder: its files are `ids[from..to]` of the index.
#[derive(Clone, Copy, Debug)]
struct Folder {
    from: usize,
    to: usize,
}

/// All files of a sweep, by place and by name.
#[derive(Debug)]
pub struct Index<'a> {
    files: &'a [CatalogFile],
    by_path: Hashed,
    /// Folder and original name.
    by_stem: Hashed,
    /// Last folder name and original name, over all sources.
    by_tail: Hashed,
    by_cid: Vec<(u32, FileId)>,
    /// Files by source and folder, in their order within each.
    ids: Vec<FileId>,
    /// Sorted by source and folder.
    folders: Vec<Folder>,
}

impl<'a> Index<'a> {
    /// Indexes `files`; a [`FileId`] is a position in it.
    #[must_use]
    pub fn new(files: &'a [CatalogFile]) -> Self {
        let files = files.get(..files.len().min(u32::MAX as usize)).unwrap_or(files);
        let root = |file: &CatalogFile| file.root.to_le_bytes();
        let by_path =
            Hashed::new(files, |file| Some(hash_of(&[&root(file), file.path.as_bytes()])));
        let by_stem = Hashed::new(files, |file| {
            Some(hash_lower(&[&root(file), file.path.folder_bytes()], file.stem()))
        });
        let by_tail = Hashed::new(files, |file| Some(hash_lower(&[&tail(file)], file.stem())));
        let numbered = || (0_u32..).map(FileId).zip(files);
        let mut by_cid: Vec<(u32, FileId)> = numbered()
            .filter_map(|(id, file)| Some((file.descriptor().and_then(|d| d.cid)?.0, id)))
            .collect();
        by_cid.sort_unstable();
        let place =
            |id: FileId| files.get(id.index()).map(|file| (file.root, file.path.folder_bytes()));
        let mut ids: Vec<FileId> = numbered().map(|(id, _)| id).collect();
        ids.par_sort_unstable_by(|a, b| (place(*a), a).cmp(&(place(*b), b)));
        let mut folders = Vec::new();
        let mut from = 0;
        for group in ids.chunk_by(|a, b| place(*a) == place(*b)) {
            folders.push(Folder { from, to: from + group.len() });
            from += group.len();
        }
        Self { files, by_path, by_stem, by_tail, by_cid, ids, folders }
    }

    /// The file with this number.
    #[must_use]
    pub fn file(&self, id: FileId) -> &'a CatalogFile {
        // An id is only ever made by `new`, from this very slice.
        &self.files[id.index()]
    }

    /// All files with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &'a CatalogFile)> {
        (0_u32..).map(FileId).zip(self.files)
    }

    fn files_of(&self, folder: Folder) -> &[FileId] {
        self.ids.get(folder.from..folder.to).unwrap_or_default()
    }

    /// Files of one folder, sorted by name.
    #[must_use]
    pub fn in_folder(&self, root: usize, folder: &RelPath) -> &[FileId] {
        let wanted = (root, folder.as_bytes());
        let place = |found: &Folder| {
            let first = self.file(*self.ids.get(found.from)?);
            Some((first.root, first.path.folder_bytes()))
        };
        let found = self.folders.binary_search_by(|known| place(known).cmp(&Some(wanted)));
        found.ok().and_then(|at| self.folders.get(at)).map_or(&[], |found| self.files_of(*found))
    }

    /// Source and path of all folders, in order of their first file.
    pub(super) fn folders(&self) -> Vec<(usize, RelPath)> {
        let mut first: Vec<FileId> =
            self.folders.iter().filter_map(|f| self.files_of(*f).first().copied()).collect();
        first.sort_unstable();
        let places = first.into_iter().map(|id| self.file(id));
        places.map(|file| (file.root, file.folder())).collect()
    }

    /// Descriptors with this CID.
    pub(super) fn with_cid(&self, cid: u32) -> impl Iterator<Item = FileId> + '_ {
        let first = self.by_cid.partition_point(|(known, _)| *known < cid);
        self.by_cid
            .iter()
            .skip(first)
            .take_while(move |(known, _)| *known == cid)
            .map(|(_, id)| *id)
    }

    fn at_path(&self, root: usize, path: &RelPath) -> Option<FileId> {
        let hash = hash_of(&[&root.to_le_bytes(), path.as_bytes()]);
        self.by_path.with(hash).find(|id| {
            let file = self.file(*id);
            file.root == root && file.path == *path
        })
    }

    /// A file of `folder` whose name is, or was before something was appended, `name`.
    pub(super) fn beside(
        &self,
        root: usize,
        folder: &RelPath,
        name: &[u8],
    ) -> Option<(FileId, How)> {
        let exact = folder.resolve(name).ok().and_then(|path| self.at_path(root, &path));
        if let Some(id) = exact {
            return Some((id, How::Exact));
        }
        let hash = hash_lower(&[&root.to_le_bytes(), folder.as_bytes()], name);
        let stems = self.by_stem.with(hash).filter(|id| {
            let file = self.file(*id);
            file.root == root
                && file.path.folder_bytes() == folder.as_bytes()
                && file.stem().eq_ignore_ascii_case(name)
        });
        // Where a name stands both plain and with something appended, the plain one is meant; a
        // copy is the last resort.
        let name = |id: &FileId| &self.file(*id).name;
        let best = stems.min_by_key(|id| (name(id).is_copy(), name(id).suffixes.len()))?;
        let how = if name(&best).suffixes.is_empty() { How::Exact } else { How::Renamed };
        Some((best, how))
    }

    /// The file that `name`, written in a file of `folder`, means.
    pub(super) fn lookup(&self, root: usize, folder: &RelPath, name: &[u8]) -> Lookup {
        let resolved = folder.resolve(name);
        if let Ok(path) = &resolved
            && let Some((id, how)) = self.beside(root, &path.folder(), path.file_name().as_bytes())
        {
            return Lookup::Found(id, how);
        }
        let base = base_name(name);
        let above = name.len().checked_sub(base.len() + 1).and_then(|end| name.get(..end));
        if let Some(above) = above {
            let wanted = base_name(above).to_ascii_lowercase();
            let hash = hash_lower(&[&wanted], base);
            let mut found = self.by_tail.with(hash).filter(|id| {
                let file = self.file(*id);
                file.stem().eq_ignore_ascii_case(base) && tail(file) == wanted
            });
            if let (Some(only), None) = (found.next(), found.next()) {
                return Lookup::Found(only, How::Elsewhere);
            }
            // An absolute path of a host that is gone: the file may simply lie beside.
            if resolved.is_err()
                && let Some((id, _)) = self.beside(root, folder, base)
            {
                return Lookup::Found(id, How::Elsewhere);
            }
        }
        match resolved {
            // Every path of a host's datastores is absolute; that alone is no attempt.
            Err(Escape::Absolute) if name.starts_with(b"/vmfs/volumes/") => Lookup::Missing,
            Err(escape) => Lookup::Outside(escape),
            Ok(_) => Lookup::Missing,
        }
    }
}
