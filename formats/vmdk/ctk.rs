//! Changed block tracking files (`-ctk.vmdk`): recognised, never needed for recovery.
//!
//! One independent source (libvmdk, from one unpublished sample); the body's form is not known.

use serde::Serialize;

use crate::{
    defect::{Checked, Defect, DefectKind},
    field::{FieldNote, Fields},
    units::{ByteOffset, Bytes},
};

const STRUCTURE: &str = "ChangeTrackingHeader";
const MAGIC: u64 = 0xf619_72a2;

/// The header of a changed block tracking file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeTracking {
    /// Bytes of the header: 512 in the one sample.
    pub header_bytes: u32,
    /// Probably the first half of the change IDs.
    pub guid: [u8; 16],
}

impl ChangeTracking {
    /// Reads the header that a file begins with.
    ///
    /// # Errors
    /// A [`Defect`] where the magic is another one or the bytes end too early.
    pub fn parse(bytes: &[u8]) -> Result<Checked<Self>, Defect> {
        let number = |at: usize| -> Option<u32> {
            let bytes = bytes.get(at..at.checked_add(4)?)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let wrong = |field, at, kind| Defect::new(STRUCTURE, field, ByteOffset(at), kind);
        let guid = bytes.get(44..60).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        let (Some(magic), Some(one), Some(header_bytes), Some(guid)) =
            (number(0), number(4), number(12), guid)
        else {
            let have = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            return Err(wrong("header", 0, DefectKind::Truncated { need: 60, have }));
        };
        if u64::from(magic) != MAGIC {
            let kind = DefectKind::Magic { expected: MAGIC, found: u64::from(magic) };
            return Err(wrong("magic", 0, kind));
        }
        let mut defects = Vec::new();
        if one != 1 {
            defects.push(wrong("version", 4, DefectKind::Unknown { value: u64::from(one) }));
        }
        if header_bytes != 512 {
            let value = u64::from(header_bytes);
            defects.push(wrong("headerLength", 12, DefectKind::Unknown { value }));
        }
        Ok(Checked { value: Self { header_bytes, guid }, defects })
    }
}

impl Fields for ChangeTracking {
    fn fields(&self) -> Vec<FieldNote> {
        let hex: String = self.guid.iter().map(|byte| format!("{byte:02x}")).collect();
        let length = self.header_bytes.to_string();
        vec![
            FieldNote::new(STRUCTURE, "magic", ByteOffset(0), Bytes(4), format!("{MAGIC:#x}")),
            FieldNote::new(STRUCTURE, "headerLength", ByteOffset(12), Bytes(4), length),
            FieldNote::new(STRUCTURE, "guid", ByteOffset(44), Bytes(16), hex),
        ]
    }
}
