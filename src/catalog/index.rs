//! Finds files by the names that other files give them.

use std::{collections::HashMap, os::unix::ffi::OsStrExt as _};

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

type Place = (usize, RelPath);

/// All files of a sweep, by place and by name.
#[derive(Debug)]
pub struct Index<'a> {
    files: &'a [CatalogFile],
    by_path: HashMap<Place, FileId>,
    /// Folder and lower-case original name.
    by_stem: HashMap<(Place, Vec<u8>), Vec<FileId>>,
    /// Last folder name and original name, both lower-case, over all sources.
    by_tail: HashMap<(Vec<u8>, Vec<u8>), Vec<FileId>>,
    by_folder: HashMap<Place, Vec<FileId>>,
    by_cid: HashMap<u32, Vec<FileId>>,
}

fn lower(bytes: &[u8]) -> Vec<u8> {
    bytes.to_ascii_lowercase()
}

/// Name of the folder a file lies in, also where that is the source itself.
fn tail(file: &CatalogFile) -> Vec<u8> {
    let folder = file.shown.parent().and_then(|folder| folder.file_name());
    lower(folder.unwrap_or_default().as_bytes())
}

impl<'a> Index<'a> {
    /// Indexes `files`; a [`FileId`] is a position in it.
    #[must_use]
    pub fn new(files: &'a [CatalogFile]) -> Self {
        let mut index = Self {
            files,
            by_path: HashMap::with_capacity(files.len()),
            by_stem: HashMap::with_capacity(files.len()),
            by_tail: HashMap::with_capacity(files.len()),
            by_folder: HashMap::new(),
            by_cid: HashMap::new(),
        };
        for (number, file) in files.iter().enumerate() {
            let Ok(number) = u32::try_from(number) else { break };
            let id = FileId(number);
            let place = (file.root, file.folder());
            index.by_path.insert((file.root, file.path.clone()), id);
            index.by_stem.entry((place.clone(), lower(file.stem()))).or_default().push(id);
            index.by_tail.entry((tail(file), lower(file.stem()))).or_default().push(id);
            index.by_folder.entry(place).or_default().push(id);
            if let Some(cid) = file.descriptor().and_then(|d| d.cid) {
                index.by_cid.entry(cid.0).or_default().push(id);
            }
        }
        index
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

    /// Files of one folder, sorted by name.
    pub(super) fn in_folder(&self, root: usize, folder: &RelPath) -> &[FileId] {
        self.by_folder.get(&(root, folder.clone())).map_or(&[], Vec::as_slice)
    }

    /// Files of all folders, each folder once, in order of their first file.
    pub(super) fn folders(&self) -> Vec<(&Place, &[FileId])> {
        let mut folders: Vec<_> =
            self.by_folder.iter().map(|(place, ids)| (place, ids.as_slice())).collect();
        folders.sort_by_key(|(_, ids)| ids.first().copied());
        folders
    }

    /// Descriptors with this CID.
    pub(super) fn with_cid(&self, cid: u32) -> &[FileId] {
        self.by_cid.get(&cid).map_or(&[], Vec::as_slice)
    }

    /// A file of `folder` whose name is, or was before something was appended, `name`.
    pub(super) fn beside(
        &self,
        root: usize,
        folder: &RelPath,
        name: &[u8],
    ) -> Option<(FileId, How)> {
        let exact = folder.resolve(name).ok().and_then(|path| self.by_path.get(&(root, path)));
        if let Some(id) = exact {
            return Some((*id, How::Exact));
        }
        let stems = self.by_stem.get(&((root, folder.clone()), lower(name)))?;
        // Where a name stands both plain and with something appended, the plain one is meant.
        let best = stems.iter().min_by_key(|id| self.file(**id).name.suffixes.len())?;
        let how = if self.file(*best).name.suffixes.is_empty() { How::Exact } else { How::Renamed };
        Some((*best, how))
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
            let key = (lower(base_name(above)), lower(base));
            if let Some([only]) = self.by_tail.get(&key).map(Vec::as_slice) {
                return Lookup::Found(*only, How::Elsewhere);
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
