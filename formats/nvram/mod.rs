//! `.nvram`: the state of the guest firmware.
//!
//! `MRVN`, a version, then records of section, tag, length and data; their order varies. Measured:
//! 8684 bytes are a BIOS machine, 270840 an EFI machine. Layout inferred from samples.

mod efi;
mod fields;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use efi::{EfiStore, EfiVariable, SecureBoot};

use crate::{
    defect::{Checked, DefectKind},
    dict::{DefectList, offset},
    units::{ByteOffset, Bytes},
};

/// Most bytes read; real files stay below 1 MiB.
pub const MAX_NVRAM_BYTES: usize = 16 << 20;
const MAGIC: u32 = 0x4E56_524D;
const HEADER_BYTES: usize = 8;
const RECORD_HEADER_BYTES: usize = 12;
const MAX_RECORDS: usize = 4096;

/// Which firmware a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirmwareKind {
    /// CMOS and ESCD records, no EFI store.
    Bios,
    /// With an EFI variable store.
    Efi,
    /// Neither could be seen.
    Undetermined,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// `CMOS`, `ESCD`, `EFI_`.
    pub section: String,
    /// `timA`, `440x`, `NV`; empty where it is zero.
    pub tag: String,
    /// Where its header begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// Bytes of data behind the 12-byte header.
    #[serde(rename = "length_bytes")]
    pub length: Bytes,
}

/// An `.nvram` as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nvram {
    /// Version behind the magic; 1 in every sample.
    pub version: u32,
    /// Which firmware.
    pub firmware: FirmwareKind,
    /// The records, in file order.
    pub records: Vec<Record>,
    /// The EFI variables.
    pub efi: Option<EfiStore>,
    /// A record or variable speaks of a virtual TPM.
    pub vtpm: bool,
}

impl Nvram {
    /// Reads an `.nvram`. Without its magic the value is empty.
    ///
    /// Defects: another magic or version, records that run past the end or are no records,
    /// bytes left over, and a torn EFI store.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let mut defects = DefectList::new("Nvram");
        let mut value = Self {
            version: 0,
            firmware: FirmwareKind::Undetermined,
            records: Vec::new(),
            efi: None,
            vtpm: false,
        };
        let whole = bytes.len();
        let bytes = bytes.get(..whole.min(MAX_NVRAM_BYTES)).unwrap_or(bytes);
        if whole > bytes.len() {
            defects.limit("length", bytes.len(), whole, MAX_NVRAM_BYTES);
        }
        match (u32_at(bytes, 0), u32_at(bytes, 4)) {
            (Some(MAGIC), Some(version)) => {
                value.version = version;
                if version != 1 {
                    defects.add("version", 4, DefectKind::Unknown { value: version.into() });
                }
                value.walk(bytes, &mut defects);
            }
            (Some(found), Some(_)) => {
                let kind = DefectKind::Magic { expected: MAGIC.into(), found: found.into() };
                defects.add("magic", 0, kind);
            }
            _ => {
                let have = u64::try_from(whole).unwrap_or(u64::MAX);
                defects.add("header", 0, DefectKind::Truncated { need: 8, have });
            }
        }
        Checked { value, defects: defects.finish() }
    }

    fn walk(&mut self, bytes: &[u8], defects: &mut DefectList) {
        let mut at = HEADER_BYTES;
        while at < bytes.len() {
            if self.records.len() >= MAX_RECORDS {
                defects.limit("records", at, MAX_RECORDS.saturating_add(1), MAX_RECORDS);
                break;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let (Some(section), Some(tag), Some(length)) =
                (rest.get(..4), rest.get(4..8), u32_at(rest, 8))
            else {
                let have = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                let need = u64::try_from(RECORD_HEADER_BYTES).unwrap_or(u64::MAX);
                defects.add("record", at, DefectKind::Truncated { need, have });
                break;
            };
            let (Some(section), Some(tag)) = (name(section), name(tag)) else {
                let encoding = "record name".to_owned();
                defects.add("record.section", at, DefectKind::Encoding { encoding });
                break;
            };
            if section.is_empty() {
                defects.add("record.section", at, DefectKind::Unknown { value: 0 });
                break;
            }
            let data = rest.get(RECORD_HEADER_BYTES..).unwrap_or_default();
            let want = usize::try_from(length).unwrap_or(usize::MAX);
            if want > data.len() {
                let have = u64::try_from(data.len()).unwrap_or(u64::MAX);
                defects.add(
                    "record.length",
                    at,
                    DefectKind::Truncated { need: length.into(), have },
                );
            }
            let data = data.get(..want).unwrap_or(data);
            let data_at = at.saturating_add(RECORD_HEADER_BYTES);
            if section == "EFI_" && tag == "NV" {
                self.efi = EfiStore::parse(data, data_at, defects);
            }
            self.vtpm |= section.contains("TPM") || tag.contains("TPM");
            self.records.push(Record {
                section,
                tag,
                at: offset(at),
                length: Bytes(length.into()),
            });
            at = data_at.saturating_add(want);
        }
        let efi_record = self.records.iter().any(|record| record.section == "EFI_");
        let bios_record = self.records.iter().any(|record| record.section == "ESCD");
        self.firmware = match (efi_record, bios_record) {
            (true, _) => FirmwareKind::Efi,
            (false, true) => FirmwareKind::Bios,
            (false, false) => FirmwareKind::Undetermined,
        };
        if self.firmware == FirmwareKind::Undetermined {
            let what = "a record that tells the firmware".to_owned();
            defects.add("records", bytes.len(), DefectKind::Missing { what });
        }
        let efi = self.efi.as_ref();
        self.vtpm |= efi.is_some_and(|efi| efi.variables.iter().any(|v| v.name.contains("Tpm")));
    }
}

/// Four bytes, NUL-padded; `None` where they are no text.
fn name(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, padding) = bytes.split_at_checked(end)?;
    let sound = text.iter().all(u8::is_ascii_graphic) && padding.iter().all(|byte| *byte == 0);
    sound.then(|| String::from_utf8_lossy(text).into_owned())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}
