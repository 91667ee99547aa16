//! One file of the datastore as the catalog knows it.

use std::path::PathBuf;

use vmglean_formats::{detect::FileKind, vmdk::ExtentFormat};

use super::facts::{CheckpointFacts, DescriptorFacts, SnapshotFacts, VmxFacts};
use crate::{families::NameParts, finding::Finding, source::RelPath};

/// A file's place in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

impl FileId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One file and what its bytes said.
#[derive(Clone, Debug)]
pub struct CatalogFile {
    /// Which source it belongs to, by position on the command line.
    pub root: usize,
    /// Its path below that source.
    pub path: RelPath,
    /// The same, as a person would open it.
    pub shown: PathBuf,
    /// Its length; 0 where it could not be asked.
    pub size_bytes: u64,
    /// Last change of content, nanoseconds since 1970 UTC; 0 where it could not be asked.
    pub mtime_ns: i128,
    /// Last change of the file itself, in the same unit, which nobody can set back.
    pub ctime_ns: i128,
    /// The file system's number for it.
    pub inode: u64,
    /// Its name taken apart.
    pub name: NameParts,
    /// What it is.
    pub content: Content,
    /// Whether it has no name of VMware's and begins with a partition table.
    pub begins_partitioned: bool,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// What a file is by its bytes, where its name or its bytes say anything.
#[derive(Clone, Debug)]
pub enum Content {
    /// A text descriptor.
    Descriptor(Box<DescriptorFacts>),
    /// A sparse extent, with the descriptor inside where there is one.
    Sparse {
        /// Which format.
        format: ExtentFormat,
        /// Virtual size by its header.
        capacity_bytes: Option<u64>,
        /// The descriptor inside.
        embedded: Option<Box<DescriptorFacts>>,
    },
    /// Plain disk content by its name; its bytes have no format of their own.
    Flat,
    /// Change tracking; never needed to bring a machine back.
    ChangeTracking,
    /// A configuration.
    Vmx(Box<VmxFacts>),
    /// A snapshot list.
    Snapshots(SnapshotFacts),
    /// A snapshot's or suspended machine's state.
    Checkpoint(CheckpointFacts),
    /// A log of VMware's.
    Log,
    /// Another small file of VMware's that reads as what it should be.
    Known(FileKind),
    /// Named as a VMware file, but its bytes are something else. Triage says what.
    Unfit {
        /// What its name promises.
        promised: &'static str,
        /// Why it is not that.
        why: String,
    },
    /// Guest memory, swap and other raw files of VMware's that have no structure to check.
    Raw,
    /// No bytes at all.
    Empty,
    /// Not looked into: a link, a special file, or no permission.
    Refused,
    /// Small and of no VMware name: perhaps a note.
    Small,
    /// None of VMware's.
    Other,
}

impl CatalogFile {
    /// The descriptor it is or holds.
    #[must_use]
    pub fn descriptor(&self) -> Option<&DescriptorFacts> {
        match &self.content {
            Content::Descriptor(facts) => Some(facts),
            Content::Sparse { embedded, .. } => embedded.as_deref(),
            _ => None,
        }
    }

    /// Virtual size that the file itself tells.
    #[must_use]
    pub fn capacity_bytes(&self) -> Option<u64> {
        match &self.content {
            Content::Descriptor(facts) => facts.capacity_bytes(),
            Content::Sparse { capacity_bytes, .. } => *capacity_bytes,
            _ => None,
        }
    }

    /// The name VMware gave, without what was appended.
    #[must_use]
    pub fn stem(&self) -> &[u8] {
        &self.name.stem
    }

    /// The folder it lies in.
    #[must_use]
    pub fn folder(&self) -> RelPath {
        self.path.folder()
    }
}
