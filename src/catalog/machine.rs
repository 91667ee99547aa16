//! One machine: its configuration, disks, snapshots and other files.

use super::{
    disk::MachineDisk,
    facts::{SnapshotFacts, VmxFacts},
    file::{Content, FileId},
    index::Index,
};
use crate::{finding::Finding, source::RelPath};

/// Where a configuration can be had from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The `.vmx` or `.vmtx` itself.
    Own(FileId),
    /// A copy that VMware or somebody left: `.vmx~`.
    Backup(FileId),
    /// A snapshot's or suspended state's copy.
    Checkpoint(FileId),
    /// A log of VMware's, which repeats it.
    Log(FileId),
}

impl ConfigSource {
    /// Its place among all kinds, the best first.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Own(_) => 0,
            Self::Backup(_) => 1,
            Self::Checkpoint(_) => 2,
            Self::Log(_) => 3,
        }
    }

    /// The file.
    #[must_use]
    pub fn file(self) -> FileId {
        match self {
            Self::Own(id) | Self::Backup(id) | Self::Checkpoint(id) | Self::Log(id) => id,
        }
    }
}

/// A machine's configuration as found.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The `.vmx` or `.vmtx`, in whatever state.
    pub own: Option<FileId>,
    /// Files that hold the configuration, best first.
    pub sources: Vec<ConfigSource>,
}

/// A file of no machine that could be an extent that a disk misses.
#[derive(Clone, Debug)]
pub struct Lookalike {
    /// The file.
    pub file: FileId,
    /// Position of the disk in [`Machine::disks`]; `None` for a snapshot's.
    pub disk: Option<usize>,
    /// What the disk calls the extent.
    pub wanted: String,
    /// What speaks for it.
    pub why: String,
}

/// One machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its display name, or the best stand-in.
    pub name: String,
    /// The source it lies in.
    pub root: usize,
    /// The folder of its configuration, or of its first disk.
    pub folder: RelPath,
    /// Its configuration.
    pub config: Config,
    /// Its disks.
    pub disks: Vec<MachineDisk>,
    /// Disks of its snapshots that none of `disks` stands on: other branches of the tree.
    pub branches: Vec<MachineDisk>,
    /// Its snapshot list.
    pub snapshots: Option<FileId>,
    /// Its other small files: nvram, vmxf, logs, checkpoints.
    pub companions: Vec<FileId>,
    /// Files of no machine that could be extents it misses.
    pub lookalikes: Vec<Lookalike>,
    /// What is wrong with it as a whole.
    pub findings: Vec<Finding>,
}

impl Machine {
    /// The file that anchors it: its configuration, else its first disk file.
    #[must_use]
    pub fn anchor(&self) -> Option<FileId> {
        self.config.own.or_else(|| {
            let first = self.disks.first()?;
            first.leaf.or_else(|| first.files().first().copied())
        })
    }

    /// Its disks and those of its snapshots.
    pub fn all_disks(&self) -> impl Iterator<Item = &MachineDisk> {
        self.disks.iter().chain(&self.branches)
    }

    /// Every file that is known to be its own, with those of its disks.
    pub fn files(&self) -> impl Iterator<Item = FileId> {
        let disks = self.all_disks().flat_map(MachineDisk::files);
        self.config.own.into_iter().chain(self.companions.iter().copied()).chain(disks)
    }

    /// What its own configuration says, where it is whole enough to say anything.
    #[must_use]
    pub fn vmx<'a>(&self, index: &Index<'a>) -> Option<&'a VmxFacts> {
        match &index.file(self.config.own?).content {
            Content::Vmx(facts) => Some(facts),
            _ => None,
        }
    }

    /// Its snapshot list as read.
    #[must_use]
    pub fn snapshot_facts<'a>(&self, index: &Index<'a>) -> Option<&'a SnapshotFacts> {
        match &index.file(self.snapshots?).content {
            Content::Snapshots(facts) => Some(facts),
            _ => None,
        }
    }
}
