//! The EFI variable store, in an `.nvram` record or in a checkpoint.

use serde::Serialize;

use super::u32_at;
use crate::{
    defect::DefectKind,
    dict::{DefectList, offset},
    units::{ByteOffset, Bytes},
};

const MAGIC: &[u8; 8] = b"VMWNVRAM";
const HEADER_BYTES: usize = 16;
/// GUID, attributes, total, name length.
const VARIABLE_HEADER_BYTES: usize = 28;
const MAX_VARIABLES: usize = 16_384;
const MAX_NAME_BYTES: usize = 2048;

/// Whether the guest enforces Secure Boot, as far as its keys tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecureBoot {
    /// A platform key is enrolled: enforced where `uefi.secureBoot.enabled` says so.
    KeysEnrolled,
    /// No platform key: setup mode, nothing is enforced.
    NoPlatformKey,
    /// The store is torn before a platform key was seen.
    Undetermined,
}

/// One variable; its data stay in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EfiVariable {
    /// `BootOrder`, `PK`, `db`.
    pub name: String,
    /// Vendor GUID in the usual notation.
    pub guid: String,
    /// EFI attributes.
    pub attributes: u32,
    /// Where its header begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// Bytes of data.
    #[serde(rename = "length_bytes")]
    pub length: Bytes,
}

/// A variable store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EfiStore {
    /// Where `VMWNVRAM` stands.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// Bytes in use, header included.
    pub used: Bytes,
    /// The variables, in store order.
    pub variables: Vec<EfiVariable>,
    /// What the keys tell.
    pub secure_boot: SecureBoot,
    /// MAC addresses that name variables (PXE keeps one a card), as `00:50:56:…`.
    pub mac_addresses: Vec<String>,
}

impl EfiStore {
    /// Reads a store that begins with `store`, lying `base` bytes into its file.
    pub(super) fn parse(store: &[u8], base: usize, defects: &mut DefectList) -> Option<Self> {
        if store.first_chunk() != Some(MAGIC) {
            let found = store.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
            let kind = DefectKind::Magic { expected: u64::from_le_bytes(*MAGIC), found };
            defects.add("EFI store magic", base, kind);
            return None;
        }
        let used = u32_at(store, 12).and_then(|used| usize::try_from(used).ok()).unwrap_or(0);
        let mut torn = false;
        if used < HEADER_BYTES || used > store.len() {
            let kind = DefectKind::OutOfRange {
                value: u64::try_from(used).unwrap_or(u64::MAX),
                min: 16,
                max: u64::try_from(store.len()).unwrap_or(u64::MAX),
            };
            defects.add("EFI store end", base.saturating_add(12), kind);
            torn = true;
        }
        let end = used.min(store.len());
        let mut found = Self {
            at: offset(base),
            used: Bytes(u64::try_from(used).unwrap_or(u64::MAX)),
            variables: Vec::new(),
            secure_boot: SecureBoot::Undetermined,
            mac_addresses: Vec::new(),
        };
        let mut at = HEADER_BYTES;
        while at < end {
            if found.variables.len() >= MAX_VARIABLES {
                let place = base.saturating_add(at);
                defects.limit(
                    "EFI variables",
                    place,
                    MAX_VARIABLES.saturating_add(1),
                    MAX_VARIABLES,
                );
                torn = true;
                break;
            }
            let rest = store.get(at..end).unwrap_or_default();
            match variable(rest, base.saturating_add(at)) {
                Ok((variable, size)) => {
                    found.variables.push(variable);
                    at = at.saturating_add(size);
                }
                Err((field, kind)) => {
                    defects.add(field, base.saturating_add(at), kind);
                    torn = true;
                    break;
                }
            }
        }
        // Behind the used part nothing was ever written.
        let tail = store.get(end..).unwrap_or_default();
        if let Some(odd) = tail.iter().position(|byte| *byte != 0xff).filter(|_| !torn) {
            let place = base.saturating_add(end).saturating_add(odd);
            let found = tail.get(odd).map_or(String::new(), |byte| format!("{byte:02x}"));
            let kind = DefectKind::Mismatch { expected: "ff".to_owned(), found };
            defects.add("EFI store free space", place, kind);
        }
        found.conclude(torn);
        Some(found)
    }

    fn conclude(&mut self, torn: bool) {
        let key = self.variables.iter().find(|variable| variable.name == "PK");
        self.secure_boot = match key {
            Some(key) if key.length.0 > 0 => SecureBoot::KeysEnrolled,
            None if torn => SecureBoot::Undetermined,
            Some(_) | None => SecureBoot::NoPlatformKey,
        };
        let mut macs: Vec<String> =
            self.variables.iter().filter_map(|variable| mac_of(&variable.name)).collect();
        macs.sort();
        macs.dedup();
        self.mac_addresses = macs;
    }
}

type Torn = (&'static str, DefectKind);

fn variable(rest: &[u8], at: usize) -> Result<(EfiVariable, usize), Torn> {
    let have = u64::try_from(rest.len()).unwrap_or(u64::MAX);
    let short = |need: usize| {
        let need = u64::try_from(need).unwrap_or(u64::MAX);
        ("EFI variable", DefectKind::Truncated { need, have })
    };
    let (Some(guid), Some(attributes), Some(total), Some(name_bytes)) =
        (rest.first_chunk::<16>(), u32_at(rest, 16), u32_at(rest, 20), u32_at(rest, 24))
    else {
        return Err(short(VARIABLE_HEADER_BYTES));
    };
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    let name_bytes = usize::try_from(name_bytes).unwrap_or(usize::MAX);
    let size = VARIABLE_HEADER_BYTES.saturating_add(total);
    if size > rest.len() {
        return Err(short(size));
    }
    if name_bytes == 0 || name_bytes > total.min(MAX_NAME_BYTES) || !name_bytes.is_multiple_of(2) {
        let value = u64::try_from(name_bytes).unwrap_or(u64::MAX);
        let max = u64::try_from(total.min(MAX_NAME_BYTES)).unwrap_or(u64::MAX);
        return Err(("EFI variable name length", DefectKind::OutOfRange { value, min: 2, max }));
    }
    let name_end = VARIABLE_HEADER_BYTES.saturating_add(name_bytes);
    let raw = rest.get(VARIABLE_HEADER_BYTES..name_end).unwrap_or_default();
    let units = raw.chunks_exact(2).filter_map(|pair| pair.first_chunk());
    let units: Vec<u16> = units.map(|pair| u16::from_le_bytes(*pair)).collect();
    let name = String::from_utf16(&units).unwrap_or_default();
    let name = name.trim_end_matches('\0').to_owned();
    if name.is_empty() || name.chars().any(char::is_control) {
        let encoding = "UTF-16LE name".to_owned();
        return Err(("EFI variable name", DefectKind::Encoding { encoding }));
    }
    let length = Bytes(u64::try_from(total.saturating_sub(name_bytes)).unwrap_or(u64::MAX));
    let guid = guid_text(guid);
    Ok((EfiVariable { name, guid, attributes, at: offset(at), length }, size))
}

/// EFI notation: the first three parts little-endian.
fn guid_text(bytes: &[u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    format!(
        "{d:02x}{c:02x}{b:02x}{a:02x}-{f:02x}{e:02x}-{h:02x}{g:02x}-\
         {i:02x}{j:02x}-{k:02x}{l:02x}{m:02x}{n:02x}{o:02x}{p:02x}"
    )
}

/// A name that is a MAC address: twelve hex digits, or six pairs with separators.
fn mac_of(name: &str) -> Option<String> {
    let digits: String = name.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let right = digits.len() == 12
        && name.len() <= 17
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    right.then(|| {
        let pairs: Vec<&str> = (0..6_usize)
            .filter_map(|pair| {
                digits.get(pair.saturating_mul(2)..pair.saturating_mul(2).saturating_add(2))
            })
            .collect();
        pairs.join(":").to_lowercase()
    })
}
