//! Magic, version and the table of groups.

use serde::Serialize;

use super::{
    MAX_GROUPS,
    reader::{Reader, u32_at, u64_at},
};
use crate::{
    defect::{Defect, DefectKind, FormatError},
    dict::DefectList,
    units::{ByteOffset, Bytes},
};

const HEADER_BYTES: u64 = 12;
const GROUP_BYTES: usize = 80;
const NAME_BYTES: usize = 64;

/// The first four bytes: the state of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Magic {
    /// `0xBED0BED0` (other readers write `0xBED2BED0`; both are taken): 32-bit block sizes.
    Old,
    /// `0xBED2BED2`: a complete checkpoint.
    Normal,
    /// `0xBED3BED3`: not everything was written.
    Partial,
    /// `0xBAD1BAD1`: was restored already.
    Restored,
    /// `0xBAD2BAD2`: must not be restored.
    NotRestorable,
}

impl Magic {
    /// Which magic this number is.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        match number {
            0xBED0_BED0 | 0xBED2_BED0 => Some(Self::Old),
            0xBED2_BED2 => Some(Self::Normal),
            0xBED3_BED3 => Some(Self::Partial),
            0xBAD1_BAD1 => Some(Self::Restored),
            0xBAD2_BAD2 => Some(Self::NotRestorable),
            _ => None,
        }
    }
}

/// One entry of the group table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// `Snapshot`, `Checkpoint`, `memory`.
    pub name: String,
    /// Where its tag list begins.
    #[serde(rename = "offset_bytes")]
    pub position: ByteOffset,
    /// Length of its tag list, end mark included.
    #[serde(rename = "length_bytes")]
    pub size: Bytes,
}

impl Group {
    pub(super) fn end(&self) -> u64 {
        self.position.0.saturating_add(self.size.0)
    }
}

pub(super) struct Header {
    pub(super) magic: Magic,
    pub(super) version: u32,
    pub(super) groups: Vec<Group>,
    whole_table: bool,
}

pub(super) fn end_of(groups: &[Group]) -> ByteOffset {
    ByteOffset(groups.iter().map(Group::end).max().unwrap_or(HEADER_BYTES))
}

pub(super) fn read(reader: &mut Reader, defects: &mut DefectList) -> Result<Header, FormatError> {
    let length = reader.len();
    let head = reader.up_to(0, 12)?;
    let defect = |field, at, kind| Defect::new("Checkpoint", field, ByteOffset(at), kind);
    let (Some(found), Some(version), Some(count)) =
        (u32_at(head, 0), u32_at(head, 4), u32_at(head, 8))
    else {
        let kind = DefectKind::Truncated { need: HEADER_BYTES, have: length };
        return Err(defect("header", 0, kind).into());
    };
    let Some(magic) = Magic::of(found) else {
        let kind = DefectKind::Magic { expected: 0xBED2_BED2, found: found.into() };
        return Err(defect("magic", 0, kind).into());
    };
    if count == 0 || count > MAX_GROUPS {
        let kind = DefectKind::OutOfRange { value: count.into(), min: 1, max: MAX_GROUPS.into() };
        defects.add("numGroups", 8, kind);
    }
    let mut groups = Vec::new();
    let mut whole_table = count > 0 && count <= MAX_GROUPS;
    for index in 0..count.min(MAX_GROUPS) {
        let at = HEADER_BYTES.saturating_add(u64::from(index).saturating_mul(80));
        match reader.up_to(at, GROUP_BYTES) {
            Ok(entry) if entry.len() == GROUP_BYTES => match group(entry, at, length, defects) {
                Some(group) => groups.push(group),
                None => whole_table = false,
            },
            Ok(entry) => {
                let have = u64::try_from(entry.len()).unwrap_or(0);
                defects.add_at("group", ByteOffset(at), DefectKind::Truncated { need: 80, have });
                whole_table = false;
                break;
            }
            Err(error) => {
                let kind = DefectKind::Unreadable { length: Bytes(80), why: error.to_string() };
                defects.add_at("group", ByteOffset(at), kind);
                whole_table = false;
            }
        }
    }
    check_order(&groups, count, defects);
    Ok(Header { magic, version, groups, whole_table })
}

fn group(entry: &[u8], at: u64, length: u64, defects: &mut DefectList) -> Option<Group> {
    let name = entry.get(..NAME_BYTES)?;
    let (position, size) = (u64_at(entry, 64)?, u64_at(entry, 72)?);
    let used = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES);
    let (name, padding) = name.split_at_checked(used)?;
    if name.is_empty()
        || !name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        || padding.iter().any(|byte| *byte != 0)
    {
        let encoding = "NUL-padded name".to_owned();
        defects.add_at("group.name", ByteOffset(at), DefectKind::Encoding { encoding });
        return None;
    }
    let group = Group {
        name: String::from_utf8_lossy(name).into_owned(),
        position: ByteOffset(position),
        size: Bytes(size),
    };
    if position.checked_add(size).is_none_or(|end| end > length) {
        let to = ByteOffset(position.saturating_add(size));
        let kind = DefectKind::PastEnd { to, end: ByteOffset(length) };
        defects.add_at("group.size", ByteOffset(at.saturating_add(72)), kind);
    }
    Some(group)
}

/// Groups follow the table and each other without gap.
fn check_order(groups: &[Group], count: u32, defects: &mut DefectList) {
    let mut sorted: Vec<&Group> = groups.iter().collect();
    sorted.sort_by_key(|group| group.position);
    let table = u64::from(count.min(MAX_GROUPS)).saturating_mul(80);
    let mut end = HEADER_BYTES.saturating_add(table);
    for group in sorted {
        let at = group.position;
        if at.0 < end {
            defects.add_at("group.position", at, DefectKind::Overlap { to: at });
        } else if at.0 > end {
            let expected = format!("{}, where the bytes before it end", ByteOffset(end));
            let kind = DefectKind::Mismatch { expected, found: at.to_string() };
            defects.add_at("group.position", at, kind);
        }
        end = end.max(group.end());
    }
}

impl Header {
    /// The last group is followed by two zero bytes and nothing else.
    pub(super) fn check_tail(&self, reader: &mut Reader, defects: &mut DefectList) {
        if !self.whole_table {
            return;
        }
        let end = end_of(&self.groups);
        let length = reader.len();
        let Some(want) = end.0.checked_add(2) else { return };
        if length > want {
            let kind = DefectKind::Mismatch {
                expected: format!("{want} bytes, as the groups say"),
                found: format!("{length} bytes"),
            };
            defects.add_at("file length", ByteOffset(want), kind);
        } else if length < want && length >= end.0 {
            let have = length.saturating_sub(end.0);
            defects.add_at("end", end, DefectKind::Truncated { need: 2, have });
        }
        if let Ok([first, second]) = reader.up_to(end.0, 2)
            && (*first, *second) != (0, 0)
        {
            let found = format!("{first:02x} {second:02x}");
            let kind = DefectKind::Mismatch { expected: "00 00".to_owned(), found };
            defects.add_at("end", end, kind);
        }
    }
}
