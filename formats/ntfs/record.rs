//! File records: one file's attributes, or those that did not fit into its first record.

use std::ops::Range;

use serde::Serialize;

use super::{
    DataRun, MAX_RECORD_BYTES, Reference, array, decode_runs, index, repair, u16_at, u32_at,
    u64_at, wtf8,
};
use crate::{ByteOffset, Checked, Defect, DefectKind};

/// Kinds of attributes.
pub mod kinds {
    /// Times and flags.
    pub const STANDARD_INFORMATION: u32 = 0x10;
    /// Where attributes lie that did not fit.
    pub const ATTRIBUTE_LIST: u32 = 0x20;
    /// A name.
    pub const FILE_NAME: u32 = 0x30;
    /// Name of the volume.
    pub const VOLUME_NAME: u32 = 0x60;
    /// Content.
    pub const DATA: u32 = 0x80;
    /// Names in a folder, those that fit.
    pub const INDEX_ROOT: u32 = 0x90;
    /// Names in a folder, the rest.
    pub const INDEX_ALLOCATION: u32 = 0xA0;
    /// Bits of a table's use.
    pub const BITMAP: u32 = 0xB0;
    /// Content is made by another driver.
    pub const REPARSE_POINT: u32 = 0xC0;
    /// After the last attribute.
    pub const END: u32 = u32::MAX;
}

const STRUCTURE: &str = "FILE_RECORD_SEGMENT_HEADER";

/// What a record says of itself before its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RecordHead {
    /// Its own number; `None` before Windows XP.
    pub number: Option<u32>,
    /// How often the number has been used.
    pub sequence: u16,
    /// Number of the last log record that changed it.
    pub lsn: u64,
    /// Names that lead to it.
    pub links: u16,
    /// Whether it is in use; else deleted.
    pub is_in_use: bool,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// The first record of the file, where this is a later one.
    pub base: Option<Reference>,
    /// Bytes in use.
    pub used_bytes: u32,
    /// Bytes of the record.
    pub record_bytes: u32,
    /// First attribute.
    attributes_at: u16,
}

impl RecordHead {
    /// Reads the head that `bytes` begin with: enough to know how long the record is.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(b"FILE") {
            return None;
        }
        let record_bytes = u32_at(bytes, 28)?;
        let used_bytes = u32_at(bytes, 24)?;
        let attributes_at = u16_at(bytes, 20)?;
        let is_sane = record_bytes.is_power_of_two()
            && (512..=MAX_RECORD_BYTES).contains(&record_bytes)
            && used_bytes <= record_bytes
            && (0x2A..=512).contains(&attributes_at)
            && u32::from(attributes_at) <= used_bytes;
        if !is_sane {
            return None;
        }
        let flags = u16_at(bytes, 22)?;
        let base = u64_at(bytes, 32)?;
        Some(Self {
            number: if u16_at(bytes, 4)? >= 0x30 { Some(u32_at(bytes, 44)?) } else { None },
            sequence: u16_at(bytes, 16)?,
            lsn: u64_at(bytes, 8)?,
            links: u16_at(bytes, 18)?,
            is_in_use: flags & 1 != 0,
            is_folder: flags & 2 != 0,
            base: (base != 0).then(|| Reference::new(base)),
            used_bytes,
            record_bytes,
            attributes_at,
        })
    }
}

/// A record with its attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileRecord {
    /// What it says of itself.
    pub head: RecordHead,
    /// Its attributes in order.
    pub attributes: Vec<Attribute>,
    /// The bytes, repaired; values of attributes are ranges of them.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attribute {
    /// What it is: see [`kinds`].
    pub kind: u32,
    /// Name in WTF-8; empty for the unnamed one.
    pub name: Vec<u8>,
    /// Its id in the record.
    pub id: u16,
    /// 1 compressed, 0x4000 encrypted by the owner, 0x8000 sparse.
    pub flags: u16,
    /// Its value, or where that lies.
    pub body: AttributeBody,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum AttributeBody {
    /// In the record.
    Resident {
        /// Bytes of the record.
        value: Range<usize>,
    },
    /// In clusters.
    NonResident {
        /// First cluster of the attribute that this part covers.
        first_vcn: u64,
        /// The cluster after the last.
        end_vcn: u64,
        /// Bytes allocated; 0 in later parts.
        allocated: u64,
        /// Bytes of content; 0 in later parts.
        size: u64,
        /// Bytes that were ever written; the rest reads as zero. 0 in later parts.
        valid: u64,
        /// Clusters of a compression unit; 0: not compressed.
        unit_clusters: u32,
        /// Where it lies.
        runs: Vec<DataRun>,
    },
}

impl Attribute {
    /// Whether it is stored in LZNT1.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.flags & 0xFF != 0
    }

    /// Whether its owner encrypted it (EFS).
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.flags & 0x4000 != 0
    }

    /// The cluster size that follows from allocated bytes and last cluster, where these tell.
    #[must_use]
    pub fn cluster_bytes(&self) -> Option<u32> {
        let AttributeBody::NonResident { first_vcn: 0, end_vcn, allocated, .. } = self.body else {
            return None;
        };
        if self.flags != 0 || end_vcn == 0 || allocated.checked_rem(end_vcn) != Some(0) {
            return None;
        }
        let size = u32::try_from(allocated.checked_div(end_vcn)?).ok()?;
        (size.is_power_of_two() && (256..=super::MAX_CLUSTER_BYTES).contains(&size)).then_some(size)
    }
}

impl FileRecord {
    /// Reads the record that `bytes` are; their length must be the record's. A record whose
    /// attributes do not end as they should comes with a defect.
    ///
    /// # Errors
    /// A [`Defect`] where it is none or its fix-ups do not hold.
    pub fn parse(mut bytes: Vec<u8>, at: ByteOffset) -> Result<Checked<Self>, Defect> {
        let head = RecordHead::parse(&bytes).ok_or_else(|| {
            let found = u64::from(u32_at(&bytes, 0).unwrap_or(0));
            let expected = u64::from(u32::from_le_bytes(*b"FILE"));
            Defect::new(STRUCTURE, "magic", at, DefectKind::Magic { expected, found })
        })?;
        if bytes.len() != index(head.record_bytes) {
            let have = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let kind = DefectKind::Truncated { need: u64::from(head.record_bytes), have };
            return Err(Defect::new(STRUCTURE, "bytes_allocated", at, kind));
        }
        repair(&mut bytes, at)?;
        let (attributes, defects) = attributes(&bytes, &head, at);
        Ok(Checked { value: Self { head, attributes, bytes }, defects })
    }

    /// The value of a resident attribute.
    #[must_use]
    pub fn value(&self, attribute: &Attribute) -> Option<&[u8]> {
        match &attribute.body {
            AttributeBody::Resident { value } => self.bytes.get(value.clone()),
            AttributeBody::NonResident { .. } => None,
        }
    }

    /// Attributes of one kind.
    pub fn of_kind(&self, kind: u32) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(move |attribute| attribute.kind == kind)
    }
}

fn attributes(bytes: &[u8], head: &RecordHead, at: ByteOffset) -> (Vec<Attribute>, Vec<Defect>) {
    let mut found = Vec::new();
    let mut defects = Vec::new();
    let end = index(head.used_bytes).min(bytes.len());
    let mut place = usize::from(head.attributes_at);
    loop {
        let here = at.checked_add(u64::try_from(place).unwrap_or(0)).unwrap_or(at);
        let rest = bytes.get(place..end).unwrap_or_default();
        match u32_at(rest, 0) {
            Some(kinds::END) => return (found, defects),
            Some(_) => {}
            None => {
                let kind = DefectKind::Missing { what: "the end mark".to_owned() };
                defects.push(Defect::new("ATTRIBUTE_RECORD_HEADER", "type", here, kind));
                return (found, defects);
            }
        }
        let length = u32_at(rest, 4).map_or(0, index);
        let whole = rest.get(..length).filter(|_| length >= 24 && length.is_multiple_of(8));
        match whole.and_then(|bytes| attribute(bytes, place, here)) {
            Some(checked) => {
                defects.extend(checked.defects);
                found.push(checked.value);
            }
            None => {
                let value = u64::try_from(length).unwrap_or(u64::MAX);
                let max = u64::try_from(rest.len()).unwrap_or(0);
                let kind = DefectKind::OutOfRange { value, min: 24, max };
                defects.push(Defect::new("ATTRIBUTE_RECORD_HEADER", "length", here, kind));
                return (found, defects);
            }
        }
        place = place.saturating_add(length);
    }
}

fn attribute(bytes: &[u8], place: usize, at: ByteOffset) -> Option<Checked<Attribute>> {
    let [is_outside, name_length] = array(bytes, 8)?;
    let name_at = usize::from(u16_at(bytes, 10)?);
    let name_end = name_at.checked_add(usize::from(name_length).checked_mul(2)?)?;
    let name = if name_length == 0 { Vec::new() } else { wtf8(bytes.get(name_at..name_end)?) };
    let mut defects = Vec::new();
    let body = if is_outside == 0 {
        let length = index(u32_at(bytes, 16)?);
        let from = usize::from(u16_at(bytes, 20)?);
        let to = from.checked_add(length)?;
        bytes.get(from..to)?;
        AttributeBody::Resident { value: place.checked_add(from)?..place.checked_add(to)? }
    } else {
        let first_vcn = u64_at(bytes, 16)?;
        let last_vcn = u64_at(bytes, 24)?;
        // An attribute without clusters has -1 as its last.
        let end_vcn = last_vcn.wrapping_add(1);
        let runs_at = usize::from(u16_at(bytes, 32)?);
        let unit = u32::from(u16_at(bytes, 34)? & 0xFF);
        let list = bytes.get(runs_at..).filter(|_| runs_at >= 64)?;
        let runs_from = at.checked_add(u64::try_from(runs_at).ok()?)?;
        let decoded = decode_runs(list, first_vcn, runs_from);
        defects.extend(decoded.defects);
        let covered = decoded.value.last().map_or(first_vcn, DataRun::end);
        if covered != end_vcn {
            let kind = DefectKind::Mismatch {
                expected: format!("{end_vcn} clusters"),
                found: format!("{covered}"),
            };
            defects.push(Defect::new("MAPPING_PAIRS", "last_vcn", runs_from, kind));
        }
        let is_first = first_vcn == 0;
        let of_first = |offset| if is_first { u64_at(bytes, offset) } else { Some(0) };
        AttributeBody::NonResident {
            first_vcn,
            end_vcn,
            allocated: of_first(40)?,
            size: of_first(48)?,
            valid: of_first(56)?,
            unit_clusters: if unit == 0 { 0 } else { 1_u32.checked_shl(unit.min(31))? },
            runs: decoded.value,
        }
    };
    let value = Attribute {
        kind: u32_at(bytes, 0)?,
        name,
        id: u16_at(bytes, 14)?,
        flags: u16_at(bytes, 12)?,
        body,
    };
    Some(Checked { value, defects })
}
