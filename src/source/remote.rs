//! Files whose bytes lie elsewhere and are fetched as they are needed.

use std::{fmt, io, ops::Range, path::PathBuf, sync::Arc};

use vmglean_formats::{ByteOffset, Bytes, MediumError};

use super::RelPath;

/// Fetches bytes of files by their paths.
pub trait Remote: fmt::Debug + Send + Sync {
    /// The bytes of `range`, which lies within the file.
    ///
    /// # Errors
    /// Whatever keeps them from being had; never fewer bytes than asked for.
    fn fetch(&self, path: &RelPath, range: Range<u64>) -> io::Result<Vec<u8>>;
}

/// A source that is read over a [`Remote`]. Its folder holds the names and lengths: empty files of
/// the right length, no byte of which is ever read.
#[derive(Clone, Debug)]
pub struct RemoteSource {
    /// As the user named it.
    pub given: PathBuf,
    /// Where names and lengths stand.
    pub folder: PathBuf,
    /// Where the bytes come from.
    pub remote: Arc<dyn Remote>,
}

/// Tables and heads are read in small steps, so where fewer bytes than `SMALL` are asked for, the
/// whole stretch of this length round them is fetched and kept.
const STRETCH: u64 = 64 << 10;
const SMALL: u64 = 32 << 10;

/// One file of a remote source.
#[derive(Debug)]
pub(super) struct RemoteFile {
    remote: Arc<dyn Remote>,
    path: RelPath,
    /// What was fetched last, where it begins.
    last: std::sync::Mutex<(u64, Vec<u8>)>,
}

impl RemoteFile {
    pub(super) fn new(remote: &Arc<dyn Remote>, path: &RelPath) -> Self {
        Self { remote: Arc::clone(remote), path: path.clone(), last: std::sync::Mutex::default() }
    }

    pub(super) fn read_exact_at(
        &self,
        buf: &mut [u8],
        at: ByteOffset,
        len_bytes: u64,
    ) -> Result<(), MediumError> {
        let wanted = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        let end = at.0.saturating_add(wanted);
        if end > len_bytes {
            return Err(MediumError::End { end: ByteOffset(len_bytes), wanted: ByteOffset(end) });
        }
        let fail = |source| MediumError::Io { at, len: Bytes(wanted), source };
        let copy = |from: u64, bytes: &[u8], buf: &mut [u8]| -> bool {
            let start = at.0.checked_sub(from).and_then(|start| usize::try_from(start).ok());
            let part = start.and_then(|start| bytes.get(start..)?.get(..buf.len()));
            part.is_some_and(|part| {
                buf.copy_from_slice(part);
                true
            })
        };
        if let Ok(last) = self.last.lock()
            && copy(last.0, &last.1, buf)
        {
            return Ok(());
        }
        let (from, to) = if wanted < SMALL {
            let from = at.0 / STRETCH * STRETCH;
            (from, end.div_ceil(STRETCH).saturating_mul(STRETCH).min(len_bytes))
        } else {
            (at.0, end)
        };
        let bytes = self.remote.fetch(&self.path, from..to).map_err(fail)?;
        if !copy(from, &bytes, buf) {
            return Err(fail(io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        if wanted < SMALL
            && let Ok(mut last) = self.last.lock()
        {
            *last = (from, bytes);
        }
        Ok(())
    }
}
