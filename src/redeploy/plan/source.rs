//! Files that travel: opened below their folder only, read from front to back.

use std::{
    io::{self, Read},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use vmglean_formats::{ByteOffset, ReadAt as _};

use super::Machine;
use crate::source::{Access, EvidenceRoot, RelPath, Source, SourceFile};

/// A file that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct SourceError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// Opens a file of `folder`; nothing outside it is reached.
pub(super) fn open(folder: &Path, name: &Path) -> Result<SourceFile, SourceError> {
    let fail = |reason: String| SourceError { path: folder.join(name), reason };
    let root = EvidenceRoot::open(folder, Access::Read).map_err(|error| fail(error.to_string()))?;
    let rel = relative(name).map_err(fail)?;
    root.open_file(&rel).map_err(|error| fail(error.to_string()))
}

/// A name below a folder; `Err` where it leads out of it.
pub(super) fn relative(name: &Path) -> Result<RelPath, String> {
    RelPath::default().resolve(name.as_os_str().as_bytes()).map_err(|error| error.to_string())
}

/// The whole of a small file.
pub(super) fn read_small(folder: &Path, name: &Path, most: u64) -> Result<Vec<u8>, SourceError> {
    let file = open(folder, name)?;
    let fail = |reason: String| SourceError { path: folder.join(name), reason };
    let length = file.len_bytes();
    if length > most {
        return Err(fail(format!("is {length} bytes long, more than any such file")));
    }
    let take = usize::try_from(length).unwrap_or_default();
    file.read_up_to(ByteOffset(0), take).map_err(|error| fail(error.to_string()))
}

/// What tells a changed file from an unchanged one.
#[must_use]
pub fn stamp(file: &SourceFile) -> String {
    file.stamp().mtime_ns.to_string()
}

impl Machine {
    /// The folder that its files lie in.
    pub(super) fn base(&self) -> PathBuf {
        if self.source.is_dir() {
            return self.source.clone();
        }
        match self.source.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        }
    }

    /// Opens one of its files.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn open(&self, name: &Path) -> Result<SourceFile, SourceError> {
        open(&self.base(), name)
    }

    /// Reads one of its small files.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn read(&self, name: &Path) -> Result<Vec<u8>, SourceError> {
        read_small(&self.base(), name, 16 << 20)
    }
}

/// A stretch of a file or a disk, read from front to back.
pub struct Stretch {
    file: Box<dyn Source>,
    at: u64,
    left: u64,
}

impl Stretch {
    /// `length` bytes from `offset`.
    #[must_use]
    pub fn new(file: impl Source + 'static, offset: u64, length: u64) -> Self {
        Self { file: Box::new(file), at: offset, left: length }
    }
}

impl Read for Stretch {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let take = usize::try_from(self.left).unwrap_or(buf.len()).min(buf.len());
        let Some(part) = buf.get_mut(..take) else { return Ok(0) };
        self.file.read_exact_at(part, ByteOffset(self.at)).map_err(io::Error::other)?;
        let got = u64::try_from(take).unwrap_or_default();
        self.at = self.at.saturating_add(got);
        self.left = self.left.saturating_sub(got);
        Ok(take)
    }
}
