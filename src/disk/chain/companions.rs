//! Finding and opening the files a chain names, never outside the evidence root.

use std::{
    collections::HashMap,
    ffi::OsString,
    os::unix::ffi::OsStrExt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::source::{EvidenceRoot, OpenError, RelPath, Source};

/// Names of one folder that are kept; more are told as not listed.
const MAX_NAMES_PER_FOLDER: usize = 65_536;

/// A file that may be the one a descriptor names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it lies.
    pub path: RelPath,
    /// Whether its name is the wanted one with something appended, as lockers do.
    pub renamed: bool,
    /// Length without appended footers, where that is known.
    pub original_len_bytes: Option<u64>,
}

/// Whoever knows which files lie where, and under which names they once lay there.
pub trait Companions: Send + Sync {
    /// Files of `folder` that are or were called `name`, most likely first.
    fn find(&self, folder: &RelPath, name: &[u8]) -> Vec<Candidate>;

    /// Files of `folder` that may be descriptors or disks with one inside, in order of name.
    fn disks_in(&self, folder: &RelPath) -> Vec<Candidate>;

    /// Opens a candidate.
    ///
    /// # Errors
    /// [`OpenError`]: symbolic links and special files are refused, nothing outside is reached.
    fn open(&self, candidate: &Candidate) -> Result<Arc<dyn Source>, OpenError>;
}

/// Tells a file's length without the footers appended to it.
pub type OriginalLength = Box<dyn Fn(&RelPath, &dyn Source) -> Option<u64> + Send + Sync>;

/// Companions straight from the folders of an evidence root.
pub struct FolderCompanions {
    root: Arc<EvidenceRoot>,
    original_length: Option<OriginalLength>,
    names: Mutex<HashMap<RelPath, Arc<Names>>>,
}

/// Names of one folder with their lower-case form, sorted by that: what was renamed by appending
/// lies right behind the name it had.
type Names = Vec<(Vec<u8>, OsString)>;

impl FolderCompanions {
    /// Companions below `root`; every file counts in its whole length.
    #[must_use]
    pub fn new(root: Arc<EvidenceRoot>) -> Self {
        Self { root, original_length: None, names: Mutex::default() }
    }

    /// The same, with appended footers left out as `original_length` tells.
    #[must_use]
    pub fn with_lengths(mut self, original_length: OriginalLength) -> Self {
        self.original_length = Some(original_length);
        self
    }

    /// Names in a folder. A folder that cannot be listed has none: opening by the exact name still
    /// tells the reason.
    fn names(&self, folder: &RelPath) -> Arc<Names> {
        let mut kept = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = kept.get(folder) {
            return Arc::clone(names);
        }
        let mut names: Names = std::fs::read_dir(self.root.display(folder))
            .map(|entries| {
                let entries = entries.flatten().take(MAX_NAMES_PER_FOLDER);
                entries
                    .map(|entry| entry.file_name())
                    .map(|name| (name.as_bytes().to_ascii_lowercase(), name))
                    .collect()
            })
            .unwrap_or_default();
        names.sort();
        let names = Arc::new(names);
        kept.insert(folder.clone(), Arc::clone(&names));
        names
    }
}

/// Whether `name` is `wanted` with something appended the way lockers append.
fn is_renamed(name: &[u8], wanted: &[u8]) -> bool {
    let Some(rest) = name.get(wanted.len()..) else { return false };
    name.get(..wanted.len()).is_some_and(|head| head.eq_ignore_ascii_case(wanted))
        && matches!(rest.first(), Some(b'.' | b'-' | b'_' | b' ' | b'[' | b'(' | b'{' | b'~'))
}

impl Companions for FolderCompanions {
    fn find(&self, folder: &RelPath, name: &[u8]) -> Vec<Candidate> {
        let mut exact = Vec::new();
        let mut other_case = Vec::new();
        let mut renamed = Vec::new();
        let names = self.names(folder);
        let lower = name.to_ascii_lowercase();
        let first = names.partition_point(|(known, _)| *known < lower);
        for (_, found) in names.iter().skip(first).take_while(|(k, _)| k.starts_with(&lower)) {
            let bytes = found.as_bytes();
            let (list, is_new_name) = if bytes == name {
                (&mut exact, false)
            } else if bytes.eq_ignore_ascii_case(name) {
                (&mut other_case, false)
            } else if is_renamed(bytes, name) {
                (&mut renamed, true)
            } else {
                continue;
            };
            list.push(Candidate {
                path: folder.join(found),
                renamed: is_new_name,
                original_len_bytes: None,
            });
        }
        exact.append(&mut other_case);
        exact.append(&mut renamed);
        exact
    }

    fn disks_in(&self, folder: &RelPath) -> Vec<Candidate> {
        let names = self.names(folder);
        let disks = names.iter().filter(|(lower, _)| lower.windows(5).any(|part| part == b".vmdk"));
        disks
            .map(|(lower, name)| Candidate {
                path: folder.join(name),
                renamed: !lower.ends_with(b".vmdk"),
                original_len_bytes: None,
            })
            .collect()
    }

    fn open(&self, candidate: &Candidate) -> Result<Arc<dyn Source>, OpenError> {
        let file = self.root.open_file(&candidate.path)?;
        let length = candidate
            .original_len_bytes
            .or_else(|| self.original_length.as_ref().and_then(|ask| ask(&candidate.path, &file)));
        Ok(super::pool::shorten(Arc::new(file), length))
    }
}
