//! Guest volumes and files inside a damaged disk, each file with its verdict.
//!
//! Structures are scanned for, never walked to: one pass over the bytes that are not encrypted
//! collects what describes itself ([`scan`]), volumes follow from it by vote ([`volumes`]), and
//! each file's clusters are held against the damage map. What cannot be told is said to be
//! unknown; nothing damaged is ever called intact.

mod claims;
pub mod content;
pub mod ext;
mod file;
pub mod get;
mod ground;
mod judge;
mod logs;
pub mod lvm;
mod names;
pub mod ntfs;
pub mod partition;
pub mod scan;
mod stream;
pub mod volumes;
pub mod xfs;

use std::{io, sync::atomic::AtomicBool};

pub use ext::ExtFiles;
pub use file::{Content, Extents, GuestFile, Place, RecordFact, Verdict};
pub use ground::{Ground, Tally};
pub use logs::{Chunk, EventLog, LOG_HEAD_BYTES};
pub use ntfs::NtfsFiles;
pub use stream::{Stream, StreamReader};
pub use xfs::XfsFiles;

use scan::Hits;
use volumes::{Volume, VolumeKind};

/// Takes files with their streams, in the order of their records.
pub type Sink<'s> = dyn FnMut(GuestFile, Option<Stream>) -> io::Result<()> + 's;

/// The files of one volume, whatever its file system.
pub enum Files<'a> {
    /// Of NTFS.
    Ntfs(Box<NtfsFiles<'a>>),
    /// Of ext2, ext3 or ext4.
    Ext(Box<ExtFiles<'a>>),
    /// Of XFS.
    Xfs(Box<XfsFiles<'a>>),
}

impl<'a> Files<'a> {
    /// Files the volume's records; `None` where its file system is not read.
    #[must_use]
    pub fn open(ground: &'a Ground<'a>, hits: &'a Hits, volume: &'a Volume) -> Option<Self> {
        match volume.kind {
            VolumeKind::Ntfs(_) => {
                NtfsFiles::open(ground, hits, volume).map(|files| Self::Ntfs(Box::new(files)))
            }
            VolumeKind::Ext(_) => {
                ExtFiles::open(ground, hits, volume).map(|files| Self::Ext(Box::new(files)))
            }
            VolumeKind::Xfs(_) => {
                XfsFiles::open(ground, hits, volume).map(|files| Self::Xfs(Box::new(files)))
            }
            VolumeKind::Named(_) | VolumeKind::Unknown => None,
        }
    }

    /// Why the map is not to be believed on this volume, if so: then only what proves itself is
    /// handed out.
    #[must_use]
    pub fn mistrust(&self) -> Option<&str> {
        match self {
            Self::Ntfs(files) => files.mistrust(),
            Self::Ext(files) => files.mistrust(),
            Self::Xfs(files) => files.mistrust(),
        }
    }

    /// Records found at their places.
    #[must_use]
    pub fn records(&self) -> usize {
        match self {
            Self::Ntfs(files) => files.records(),
            Self::Ext(files) => files.records(),
            Self::Xfs(files) => files.records(),
        }
    }

    /// Names whose records are lost.
    #[must_use]
    pub fn lost_names(&self) -> usize {
        match self {
            Self::Ntfs(files) => files.lost_names(),
            Self::Ext(files) => files.lost_names(),
            Self::Xfs(files) => files.lost_names(),
        }
    }

    /// What the places of the records rest on.
    #[must_use]
    pub fn rests_on(&self) -> &str {
        match self {
            Self::Ntfs(files) => files.rests_on(),
            Self::Ext(files) => files.rests_on(),
            Self::Xfs(files) => files.rests_on(),
        }
    }

    /// Hands every file, folder and stream to `sink`. Content is tested where `test` is set.
    /// Stops early when `stop` is set.
    ///
    /// # Errors
    /// As the sink says.
    pub fn each(&self, test: bool, stop: &AtomicBool, sink: &mut Sink<'_>) -> io::Result<()> {
        match self {
            Self::Ntfs(files) => files.each(test, stop, sink),
            Self::Ext(files) => files.each(test, stop, sink),
            Self::Xfs(files) => files.each(test, stop, sink),
        }
    }
}
