//! One door for every sparse kind.

use std::fmt;

use serde::Serialize;

use super::{
    Descriptor, ExtentMap, cowd::CowdExtent, seextent::SeSparseExtent, sparse::SparseExtent,
};
use crate::{
    defect::{Checked, Defect, DefectKind, FormatError},
    field::{FieldNote, Fields},
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
    /// Whether a run without data falls through to a parent: always for COWD and seSparse, by
    /// the embedded descriptor for hosted sparse, `None` where only a separate descriptor knows.
    pub is_delta: Option<bool>,
    /// Every header field, for `inspect`.
    pub fields: Vec<FieldNote>,
}

impl fmt::Debug for OpenedExtent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedExtent")
            .field("format", &self.format)
            .field("capacity", &self.capacity)
            .field("grain_bytes", &self.grain_bytes)
            .finish_non_exhaustive()
    }
}

impl OpenedExtent {
    /// Tells grains that lie in the file and that no entry names, after a walk over all its runs
    /// found `named_bytes` of them and nothing lost. What is absent may then be theirs.
    #[must_use]
    pub fn unnamed_grains(&self, file: &dyn ReadAt, named_bytes: u64) -> Option<UnnamedGrains> {
        let named = named_bytes.div_ceil(self.grain_bytes.max(1));
        let held = self.map.held_grains(file)?;
        let count = held.checked_sub(named).filter(|count| *count > 0)?;
        let kind = DefectKind::Mismatch {
            expected: format!("{held} grains, as the file holds"),
            found: format!("{named}: {count} are named by no entry"),
        };
        let defect = Defect::new("GrainTable", "entries", ByteOffset(0), kind);
        Some(UnnamedGrains { bytes: count.saturating_mul(self.grain_bytes), defect })
    }
}

/// Grains of a file whose entries are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnnamedGrains {
    /// How many bytes they hold.
    pub bytes: u64,
    /// In words.
    pub defect: Defect,
}

/// Opens a sparse extent of any kind by its first bytes.
///
/// # Errors
/// [`FormatError::Medium`] where the header cannot be read, [`FormatError::Damaged`] where the
/// first bytes begin no sparse extent or the header holds values nothing can be computed with,
/// [`FormatError::Unsupported`] for versions and flags beyond this reader.
pub fn open_extent(file: &dyn ReadAt) -> Result<Checked<OpenedExtent>, FormatError> {
    let head = file.read_up_to(ByteOffset(0), 8)?;
    match head.as_slice() {
        [b'K', b'D', b'M', b'V', ..] => open_sparse(file),
        [b'C', b'O', b'W', b'D', ..] => open_cowd(file),
        [0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0] => open_sesparse(file),
        [b'k', b'd', b'm', b'v', ..] => Err(FormatError::Unsupported {
            structure: "SparseExtentHeader",
            feature: "the header of an output that was never finished",
            at: ByteOffset(0),
        }),
        short if short.len() < 8 => {
            let have = u64::try_from(short.len()).unwrap_or(0);
            let kind = DefectKind::Truncated { need: 512, have };
            Err(Defect::new("SparseExtent", "header", ByteOffset(0), kind).into())
        }
        other => {
            let first = other.get(..4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
            let found = u64::from(u32::from_le_bytes(first.unwrap_or_default()));
            let expected = u64::from(super::header::MAGIC);
            let kind = DefectKind::Magic { expected, found };
            Err(Defect::new("SparseExtent", "magicNumber", ByteOffset(0), kind).into())
        }
    }
}

fn open_sparse(file: &dyn ReadAt) -> Result<Checked<OpenedExtent>, FormatError> {
    let Checked { value: extent, mut defects } = SparseExtent::open(file)?;
    let header = extent.header();
    let embedded_descriptor = match header.embedded_descriptor(file) {
        Ok(found) => found,
        Err(FormatError::Damaged(defect)) => {
            defects.push(defect);
            None
        }
        Err(other) => {
            let kind = DefectKind::Unreadable {
                length: crate::units::Bytes(header.descriptor_size.0.saturating_mul(512)),
                why: other.to_string(),
            };
            defects.push(Defect::new("Descriptor", "text", ByteOffset(512), kind));
            None
        }
    };
    let opened = OpenedExtent {
        format: if header.is_compressed() {
            ExtentFormat::StreamOptimized
        } else {
            ExtentFormat::HostedSparse
        },
        is_delta: embedded_descriptor.as_ref().map(|found| found.value.has_parent()),
        embedded_descriptor,
        capacity: header.capacity,
        grain_bytes: header.grain_bytes(),
        fields: header.fields(),
        map: Box::new(extent),
    };
    Ok(Checked { value: opened, defects })
}

fn open_cowd(file: &dyn ReadAt) -> Result<Checked<OpenedExtent>, FormatError> {
    Ok(CowdExtent::open(file)?.map(|extent| OpenedExtent {
        format: ExtentFormat::Cowd,
        embedded_descriptor: None,
        capacity: extent.header().capacity,
        grain_bytes: extent.header().grain_size.0.saturating_mul(512),
        is_delta: Some(true),
        fields: extent.header().fields(),
        map: Box::new(extent),
    }))
}

fn open_sesparse(file: &dyn ReadAt) -> Result<Checked<OpenedExtent>, FormatError> {
    Ok(SeSparseExtent::open(file)?.map(|extent| {
        let mut fields = extent.header().fields();
        fields.extend(extent.volatile_header().map(Fields::fields).unwrap_or_default());
        fields.extend(extent.journal().fields());
        OpenedExtent {
            format: ExtentFormat::SeSparse,
            embedded_descriptor: None,
            capacity: extent.header().capacity,
            grain_bytes: extent.header().grain_bytes(),
            is_delta: Some(true),
            fields,
            map: Box::new(extent),
        }
    }))
}
