//! What is asked for, and what came of it.

use std::path::PathBuf;

use super::{manifest::Sums, target::Paths};

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The disk's bytes as they are.
    Raw,
    /// A descriptor and a `-flat.vmdk`, as on an ESXi host.
    Flat,
    /// A hosted sparse disk with its descriptor inside.
    Sparse,
    /// streamOptimized, as an OVF import wants it.
    Stream,
}

impl Format {
    /// The word on the command line and in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Flat => "flat",
            Self::Sparse => "sparse",
            Self::Stream => "stream",
        }
    }
}

/// How to make it.
pub struct Request<'a> {
    /// Where.
    pub output: PathBuf,
    /// What.
    pub format: Format,
    /// The byte that stands in the place of what is not to be had.
    pub fill: u8,
    /// Make what can be made of a chain that would be refused.
    pub partial: bool,
    /// Replace what is there.
    pub overwrite: bool,
    /// How hard streams are deflated: 1 to 12.
    pub level: i32,
    /// Threads.
    pub threads: usize,
    /// Read the output back. Without it, it gets its name unproven.
    pub prove: bool,
    /// Write the file list with the hash of the whole output.
    pub file_hashes: bool,
    /// Another name for the manifest.
    pub manifest: Option<PathBuf>,
    /// Bytes written between two checkpoints.
    pub checkpoint_bytes: u64,
    /// Whether to stop at the next safe place.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Told how many bytes were read.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Consolidated {
    /// Its files.
    pub paths: Paths,
    /// Virtual size.
    pub size_bytes: u64,
    /// Bytes by state.
    pub sums: Sums,
    /// Ranges in the manifest.
    pub ranges: u64,
    /// Whether it was read back and found to be what the manifest says.
    pub proven: bool,
    /// Where an earlier run's record was taken up.
    pub resumed_from: Option<u64>,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}
