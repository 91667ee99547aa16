//! Where bytes come from. Nothing here can write.

mod file;
mod joined;
mod mapped;
mod record_path;
mod remote;
mod root;
mod walk;

use std::{io, ops::Range};

use vmglean_formats::ReadAt;

pub use file::{Access, FileStamp, SourceFile, read_exact, read_up_to};
pub use joined::{Joined, Part};
pub use record_path::RecordPath;
pub use remote::{Remote, RemoteSource};
pub use root::{Escape, EvidenceRoot, OpenError, RelPath, base_name};
pub use walk::{Found, FoundKind, WalkError, list, walk};

/// An opened piece of evidence: bytes by position, and where the holes are.
pub trait Source: ReadAt {
    /// The next stretch that may hold data at or after `from`, or `None` where only a hole
    /// follows. A source that knows no holes answers with all the rest.
    ///
    /// # Errors
    /// The system's error; the caller then treats the rest as data.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let end = self.len_bytes();
        Ok((from < end).then_some(from..end))
    }
}

impl Source for [u8] {}
impl Source for Vec<u8> {}
impl<T: Source + ?Sized> Source for &T {
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        (**self).next_data(from)
    }
}
impl<T: Source + ?Sized> Source for Box<T> {
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        (**self).next_data(from)
    }
}
impl<T: Source + ?Sized> Source for std::sync::Arc<T> {
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        (**self).next_data(from)
    }
}
