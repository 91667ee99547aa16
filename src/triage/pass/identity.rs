//! Whether a source is still the one that an earlier pass read.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vmglean_formats::ByteOffset;

use crate::source::Source;

/// Bytes at each end of the source that belong to its identity.
const EDGE_BYTES: u64 = 4096;

/// What tells one source from another, and from itself after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    size_bytes: u64,
    /// SHA-256 of the first 4 KiB, or why they did not come.
    head: String,
    /// SHA-256 of the last 4 KiB, or why they did not come.
    tail: String,
    files: Vec<FileIdentity>,
}

/// One file under a source, as the file system describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    name: String,
    size_bytes: u64,
    inode: u64,
    mtime_ns: i128,
    ctime_ns: i128,
}

impl FileIdentity {
    /// Of a file with this name and these attributes.
    #[must_use]
    pub fn new(name: &str, meta: &Metadata) -> Self {
        let ns = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Self {
            name: name.to_owned(),
            size_bytes: meta.len(),
            inode: meta.ino(),
            mtime_ns: ns(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: ns(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl SourceIdentity {
    /// Of a source that rests on these files.
    #[must_use]
    pub fn of(source: &dyn Source, files: Vec<FileIdentity>) -> Self {
        let size_bytes = source.len_bytes();
        let edge = |at: u64| match source.read_up_to(ByteOffset(at), EDGE_BYTES as usize) {
            Ok(bytes) => hex::encode(Sha256::digest(bytes)),
            Err(error) => error.to_string(),
        };
        Self { size_bytes, head: edge(0), tail: edge(size_bytes.saturating_sub(EDGE_BYTES)), files }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What differs in `now`, in words; `None` where nothing does.
    pub(super) fn difference(&self, now: &Self) -> Option<String> {
        if self.size_bytes != now.size_bytes {
            return Some(format!(
                "the source has {} bytes now, {} then",
                now.size_bytes, self.size_bytes
            ));
        }
        if self.head != now.head || self.tail != now.tail {
            return Some("the source begins or ends with other bytes now".to_owned());
        }
        if self.files.len() != now.files.len() {
            return Some("the source rests on other files now".to_owned());
        }
        let changed = self.files.iter().zip(&now.files).find(|(then, now)| then != now);
        changed.map(|(then, _)| format!("{} was changed or replaced since", then.name))
    }
}
