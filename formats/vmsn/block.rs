//! A large value: where it lies, and reading it within bounds.

use std::io::Read;

use serde::Serialize;

use crate::{
    defect::{Defect, DefectKind, FormatError},
    read::ReadAt,
    units::{ByteOffset, Bytes},
};

/// Most bytes of a spare `.vmx`, `.nvram` or `.vmxf` taken into memory.
pub const MAX_SPARE_BYTES: u64 = 16 << 20;

/// The bytes of a block tag, padding stepped over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Block {
    /// First byte of the data.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// Bytes in the file (`sizeOnDisk`).
    #[serde(rename = "length_bytes")]
    pub stored: Bytes,
    /// Bytes when loaded (`sizeInMemory`).
    #[serde(rename = "memory_bytes")]
    pub in_memory: Bytes,
    /// Value type 62. Assumed to be zlib; none of the files at hand has one.
    pub compressed: bool,
}

impl Block {
    /// The whole value, inflated where it is compressed.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] when it passes `limit` or does not inflate to its told length,
    /// [`FormatError::Medium`] when the medium fails or the file ends inside.
    pub fn read(&self, file: &dyn ReadAt, limit: u64) -> Result<Vec<u8>, FormatError> {
        let damaged = |kind| FormatError::from(Defect::new("Checkpoint", "block", self.at, kind));
        let largest = self.stored.0.max(self.in_memory.0);
        if largest > limit {
            return Err(damaged(DefectKind::Limit { value: largest, limit }));
        }
        let rest = file.len_bytes().saturating_sub(self.at.0);
        if self.stored.0 > rest {
            return Err(damaged(DefectKind::Truncated { need: self.stored.0, have: rest }));
        }
        let mut stored = vec![0; usize::try_from(self.stored.0).unwrap_or(0)];
        file.read_exact_at(&mut stored, self.at)?;
        if !self.compressed {
            return Ok(stored);
        }
        let mut value = Vec::new();
        let bound = self.in_memory.0.saturating_add(1);
        flate2::read::ZlibDecoder::new(stored.as_slice())
            .take(bound)
            .read_to_end(&mut value)
            .map_err(|error| damaged(DefectKind::Inflate { why: error.to_string() }))?;
        if u64::try_from(value.len()).ok() != Some(self.in_memory.0) {
            let why = format!("{} bytes came out, {} were told", value.len(), self.in_memory.0);
            return Err(damaged(DefectKind::Inflate { why }));
        }
        Ok(value)
    }
}
