//! Why a disk is not made.

use std::{io, path::PathBuf};

use super::{record::RecordError, verify::VerifyError};

/// Why nothing is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A name is taken.
    #[error("{} is there already; --overwrite replaces it", .0.display())]
    Exists(PathBuf),
    /// The file system has too little room.
    #[error("{} has {free} bytes free, the output needs {need}", folder.display())]
    TooSmall {
        /// Where.
        folder: PathBuf,
        /// Bytes needed.
        need: u64,
        /// Bytes free.
        free: u64,
    },
    /// The chain does not end with a base.
    #[error(
        "the chain has no base: {0}; --partial makes what there is, with the rest named as lost"
    )]
    NoBase(String),
    /// A descriptor that does not fit its files.
    #[error("{link}: {what}; --partial makes what there is, with the rest named as lost")]
    Extents {
        /// Which link.
        link: String,
        /// In which way.
        what: String,
    },
    /// Nothing can be told of the size.
    #[error("the size of {0} is not known")]
    NoSize(String),
    /// A format that cannot hold it.
    #[error("{0}")]
    Format(String),
}

/// Why it was not made.
#[derive(Debug, thiserror::Error)]
pub enum ConsolidateError {
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The record cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The output could not be written; a second run goes on.
    #[error("cannot write {}; the same command goes on from byte {next_bytes} of the disk", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// The first byte of the disk that is not safe yet.
        next_bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// The output is not what was written.
    #[error(transparent)]
    Unproven(#[from] VerifyError),
}
