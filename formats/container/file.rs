//! The container around files of an encrypted machine (`.nvram`, `.vmss`).
//!
//! One header block of 4096 bytes, then blocks of 4064 bytes ciphertext and 2 x 16 bytes. Checked
//! on one sample: 2384400 bytes of content are 587 blocks and the header, 2408448 bytes.

use serde::Serialize;

use crate::{
    defect::{Checked, Defect, DefectKind, FormatError},
    dict::DefectList,
    field::{FieldNote, Fields},
    read::ReadAt,
    units::{ByteOffset, Bytes},
};

const MAGIC: u32 = 0x8943_DD9E;
const BLOCK_BYTES: u64 = 4096;
const PAYLOAD_BYTES: u64 = 4064;

/// The header of an encrypted file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EncryptedFile {
    /// Version; 1 in the sample.
    pub version: u32,
    /// Ciphertext bytes a block; 4064.
    pub payload: Bytes,
    /// Length of the content.
    pub plaintext: Bytes,
    /// Length the file must have for that content; `None` where it passes 2^64.
    pub expected_length: Option<Bytes>,
    /// Length the file has.
    pub length: Bytes,
}

impl EncryptedFile {
    /// Reads the header and holds the file's length against it.
    ///
    /// # Errors
    /// [`FormatError::Medium`], or [`FormatError::Damaged`] where the magic is another one or
    /// the header is cut.
    pub fn parse(file: &dyn ReadAt) -> Result<Checked<Self>, FormatError> {
        let mut defects = DefectList::new("EncryptedFile");
        let head = file.read_up_to(ByteOffset(0), 4096)?;
        let u32_at = |at: usize| {
            head.get(at..).and_then(|rest| rest.first_chunk()).map(|b| u32::from_le_bytes(*b))
        };
        let u64_at = |at: usize| {
            head.get(at..).and_then(|rest| rest.first_chunk()).map(|b| u64::from_le_bytes(*b))
        };
        let error = |field, kind| Defect::new("EncryptedFile", field, ByteOffset(0), kind);
        let magic = u32_at(0).unwrap_or(0);
        if magic != MAGIC {
            let kind = DefectKind::Magic { expected: MAGIC.into(), found: magic.into() };
            return Err(error("magic", kind).into());
        }
        let have = u64::try_from(head.len()).unwrap_or(u64::MAX);
        if have < BLOCK_BYTES {
            let kind = DefectKind::Truncated { need: BLOCK_BYTES, have };
            return Err(error("header", kind).into());
        }
        let wanted =
            [("version", 4, 1), ("payload", 8, PAYLOAD_BYTES), ("iv", 12, 16), ("tag", 16, 16)];
        for (field, at, expected) in wanted {
            let found = u64::from(u32_at(at).unwrap_or(0));
            if found != expected {
                let kind = DefectKind::Mismatch {
                    expected: expected.to_string(),
                    found: found.to_string(),
                };
                defects.add(field, at, kind);
            }
        }
        if let Some(odd) = head.get(32..0xff0).and_then(|rest| rest.iter().position(|b| *b != 0)) {
            let at = odd.saturating_add(32);
            let value = head.get(at).copied().unwrap_or(0).into();
            defects.add("reserved", at, DefectKind::Unknown { value });
        }
        let plaintext = u64_at(24).unwrap_or(0);
        let blocks = plaintext.div_ceil(PAYLOAD_BYTES).checked_add(1);
        let expected = blocks.and_then(|blocks| blocks.checked_mul(BLOCK_BYTES));
        let length = file.len_bytes();
        match expected {
            Some(need) if length < need => {
                let at = usize::try_from(length).unwrap_or(usize::MAX);
                defects.add("length", at, DefectKind::Truncated { need, have: length });
            }
            Some(need) if length == need => {}
            Some(_) | None => {
                let kind = DefectKind::Mismatch {
                    expected: expected
                        .map_or("a length below 2^64".to_owned(), |n| format!("{n} bytes")),
                    found: format!("{length} bytes"),
                };
                defects.add("length", 24, kind);
            }
        }
        let value = Self {
            version: u32_at(4).unwrap_or(0),
            payload: Bytes(u32_at(8).unwrap_or(0).into()),
            plaintext: Bytes(plaintext),
            expected_length: expected.map(Bytes),
            length: Bytes(length),
        };
        Ok(Checked { value, defects: defects.finish() })
    }
}

impl Fields for EncryptedFile {
    fn fields(&self) -> Vec<FieldNote> {
        let note = |field: &'static str, at, length, value: String| {
            FieldNote::new("EncryptedFile", field, ByteOffset(at), Bytes(length), value)
        };
        vec![
            note("magic", 0, 4, format!("{MAGIC:#x}")),
            note("version", 4, 4, self.version.to_string()),
            note("payload", 8, 4, self.payload.to_string()),
            note("plaintext", 24, 8, self.plaintext.to_string()),
        ]
    }
}
