//! One door for every sparse kind.

use serde::Serialize;

use super::{Descriptor, ExtentMap};
use crate::{
    defect::{Checked, FormatError},
    field::FieldNote,
    read::ReadAt,
    units::{ByteOffset, Sectors},
};

/// Which format an extent file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExtentFormat {
    /// `KDMV`, grains as they are.
    HostedSparse,
    /// `KDMV`, grains compressed.
    StreamOptimized,
    /// `COWD`: vmfsSparse, an ESXi redo log.
    Cowd,
    /// seSparse.
    SeSparse,
}

/// An extent file whose header was read, ready to be asked for its runs.
pub struct OpenedExtent {
    /// Which format it has.
    pub format: ExtentFormat,
    /// The tables.
    pub map: Box<dyn ExtentMap>,
    /// The descriptor that lies inside, where one does, with its own defects.
    pub embedded_descriptor: Option<Checked<Descriptor>>,
    /// Virtual size by its header.
    pub capacity: Sectors,
    /// Bytes of one grain.
    pub grain_bytes: u64,
    /// Whether a run without data falls through to a parent by the format's nature: always for
    /// COWD and seSparse, by the descriptor's parentCID for hosted sparse.
    pub is_delta: Option<bool>,
    /// Every header field, for `inspect`.
    pub fields: Vec<FieldNote>,
}

/// Opens a sparse extent of any kind by its first bytes.
///
/// # Errors
/// [`FormatError::Medium`] where the header cannot be read, [`FormatError::Damaged`] where the
/// first bytes begin no sparse extent or the header holds values nothing can be computed with,
/// [`FormatError::Unsupported`] for versions and flags beyond this reader.
pub fn open_extent(file: &dyn ReadAt) -> Result<Checked<OpenedExtent>, FormatError> {
    let _ = file;
    Err(FormatError::Unsupported {
        structure: "SparseExtent",
        feature: "any kind",
        at: ByteOffset(0),
    })
}
