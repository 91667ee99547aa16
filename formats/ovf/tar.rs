//! The members of a tar archive: an OVA, or the bundle of a host's state.
//!
//! POSIX ustar headers with GNU long names and PAX paths and sizes. Lists; extracts nothing.

use serde::Serialize;

use crate::{
    defect::{Checked, DefectKind},
    dict::{DefectList, shorten},
    read::ReadAt,
    units::{ByteOffset, Bytes},
};

const BLOCK_BYTES: usize = 512;
const MAX_MEMBERS: usize = 1 << 16;
/// Archives are padded to records of 10 KiB by default, 1 MiB at most.
const MAX_PADDING_BYTES: u64 = 1 << 20;
const MAX_EXTENSION_BYTES: u64 = 64 << 10;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TarType {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A link of either kind.
    Link,
    /// Anything else.
    Other,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TarMember {
    /// Its name, as written; may point anywhere.
    pub name: String,
    /// What it is.
    pub kind: TarType,
    /// Where its header stands.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// Where its data begin.
    pub data_at: ByteOffset,
    /// Bytes of data its header tells.
    #[serde(rename = "length_bytes")]
    pub length: Bytes,
    /// Bytes of data that are there.
    pub have: Bytes,
}

/// The members of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TarList {
    /// In archive order.
    pub members: Vec<TarMember>,
    /// Whether the two zero blocks of the end were seen.
    pub ended: bool,
}

/// A header block taken apart.
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) flag: u8,
}

impl TarList {
    /// Lists an archive, stepping over the data. Stops at a header that is none, with a defect
    /// naming the place; what lies behind it is then not listed.
    #[must_use]
    pub fn read(file: &dyn ReadAt) -> Checked<Self> {
        let mut defects = DefectList::new("Tar");
        let mut value = Self::default();
        let length = file.len_bytes();
        let (mut at, mut zeros) = (0_u64, 0_u8);
        let (mut long_name, mut pax_size) = (None, None);
        while at < length {
            let block = match block(file, at, &mut defects) {
                Some(block) => block,
                None => break,
            };
            let next = at.saturating_add(512);
            if block.iter().all(|byte| *byte == 0) {
                zeros = zeros.saturating_add(1);
                if zeros == 2 {
                    value.ended = true;
                    check_rest(file, next, &mut defects);
                    break;
                }
                at = next;
                continue;
            }
            if zeros == 1 {
                let expected = "a second zero block".to_owned();
                let found = "more data".to_owned();
                defects.add_at("end", ByteOffset(at), DefectKind::Mismatch { expected, found });
            }
            zeros = 0;
            let Some(header) = header(&block, at, &mut defects) else { break };
            if value.members.len() >= MAX_MEMBERS {
                let place = usize::try_from(at).unwrap_or(usize::MAX);
                defects.limit("members", place, MAX_MEMBERS.saturating_add(1), MAX_MEMBERS);
                break;
            }
            let size = if matches!(header.flag, b'x' | b'g' | b'L' | b'K') {
                header.size
            } else {
                pax_size.take().unwrap_or(header.size)
            };
            let have = size.min(length.saturating_sub(next));
            if have < size {
                defects.add_at(
                    "data",
                    ByteOffset(next),
                    DefectKind::Truncated { need: size, have },
                );
            }
            match header.flag {
                b'L' => {
                    long_name = extension(file, next, size, &mut defects).map(|bytes| text(&bytes));
                }
                b'x' => {
                    let bytes = extension(file, next, size, &mut defects).unwrap_or_default();
                    let (path, told) = pax(&bytes);
                    long_name = path.or(long_name);
                    pax_size = told.or(pax_size);
                }
                b'K' | b'g' => {}
                flag => {
                    let name = long_name.take().unwrap_or(header.name);
                    check_name(&name, at, &mut defects);
                    value.members.push(TarMember {
                        name,
                        kind: kind_of(flag),
                        at: ByteOffset(at),
                        data_at: ByteOffset(next),
                        length: Bytes(size),
                        have: Bytes(have),
                    });
                }
            }
            let Some(step) = size.checked_next_multiple_of(512) else { break };
            let Some(after) = next.checked_add(step) else { break };
            at = after;
        }
        if !value.ended && at >= length {
            let have = length.saturating_sub(at.min(length));
            let kind = DefectKind::Truncated { need: 1024, have };
            defects.add_at("end", ByteOffset(at.min(length)), kind);
        }
        Checked { value, defects: defects.finish() }
    }
}

/// Behind the end mark stands padding: short, and zero. Else the mark may be a lost header.
fn check_rest(file: &dyn ReadAt, at: u64, defects: &mut DefectList) {
    let rest = file.len_bytes().saturating_sub(at);
    let padding = rest <= MAX_PADDING_BYTES
        && usize::try_from(rest)
            .ok()
            .and_then(|rest| file.read_up_to(ByteOffset(at), rest).ok())
            .is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
    if !padding {
        let expected = "nothing behind the end".to_owned();
        let found = format!("{rest} bytes");
        defects.add_at("end", ByteOffset(at), DefectKind::Mismatch { expected, found });
    }
}

fn block(file: &dyn ReadAt, at: u64, defects: &mut DefectList) -> Option<Vec<u8>> {
    match file.read_up_to(ByteOffset(at), BLOCK_BYTES) {
        Ok(block) if block.len() == BLOCK_BYTES => Some(block),
        Ok(block) => {
            let have = u64::try_from(block.len()).unwrap_or(0);
            defects.add_at("header", ByteOffset(at), DefectKind::Truncated { need: 512, have });
            None
        }
        Err(error) => {
            let kind = DefectKind::Unreadable { length: Bytes(512), why: error.to_string() };
            defects.add_at("header", ByteOffset(at), kind);
            None
        }
    }
}

/// Takes a header apart; `None` with a defect where its checksum or size does not hold.
pub(crate) fn header(block: &[u8], at: u64, defects: &mut DefectList) -> Option<Header> {
    let (told, size) = (block.get(148..156)?, block.get(124..136)?);
    let sum = block.iter().enumerate().fold(0_u64, |sum, (place, byte)| {
        let byte = if (148..156).contains(&place) { b' ' } else { *byte };
        sum.saturating_add(u64::from(byte))
    });
    if number(told) != Some(sum) {
        let expected = format!("{sum:o}");
        let found = format!("{:?}", shorten(&text(told)));
        let place = ByteOffset(at.saturating_add(148));
        defects.add_at("header.chksum", place, DefectKind::Mismatch { expected, found });
        return None;
    }
    let Some(size) = number(size) else {
        let expected = "an octal number".to_owned();
        let found = format!("{:?}", shorten(&text(size)));
        let place = ByteOffset(at.saturating_add(124));
        defects.add_at("header.size", place, DefectKind::Mismatch { expected, found });
        return None;
    };
    let (name, flag) = (text(block.get(..100)?), block.get(156).copied()?);
    let ustar = block.get(257..262)? == b"ustar" && block.get(262)? == &0;
    let prefix = if ustar { text(block.get(345..500)?) } else { String::new() };
    let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
    Some(Header { name, size, flag })
}

/// Octal, or base 256 where the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if *first == 0x80 {
        return rest
            .iter()
            .try_fold(0_u64, |value, byte| value.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let digits = std::str::from_utf8(field.get(..end)?).ok()?.trim_matches(' ');
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or(field)).into_owned()
}

fn kind_of(flag: u8) -> TarType {
    match flag {
        0 | b'0' | b'7' => TarType::File,
        b'5' => TarType::Folder,
        b'1' | b'2' => TarType::Link,
        _ => TarType::Other,
    }
}

fn extension(file: &dyn ReadAt, at: u64, size: u64, defects: &mut DefectList) -> Option<Vec<u8>> {
    if size > MAX_EXTENSION_BYTES {
        let kind = DefectKind::Limit { value: size, limit: MAX_EXTENSION_BYTES };
        defects.add_at("extension", ByteOffset(at), kind);
        return None;
    }
    file.read_up_to(ByteOffset(at), usize::try_from(size).ok()?).ok()
}

/// `path` and `size` of PAX records `LEN key=value\n`.
fn pax(bytes: &[u8]) -> (Option<String>, Option<u64>) {
    let (mut path, mut size) = (None, None);
    let mut rest = bytes;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let digits = std::str::from_utf8(rest.get(..space).unwrap_or_default()).ok();
        let Some(length) = digits.and_then(|digits| digits.parse::<usize>().ok()) else { break };
        let Some(record) = rest.get(space.saturating_add(1)..length) else { break };
        let record = String::from_utf8_lossy(record);
        match record.trim_end_matches('\n').split_once('=') {
            Some(("path", value)) => path = Some(value.to_owned()),
            Some(("size", value)) => size = value.parse().ok(),
            Some(_) | None => {}
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    (path, size)
}

fn check_name(name: &str, at: u64, defects: &mut DefectList) {
    if name.starts_with('/') || name.split(['/', '\\']).any(|part| part == "..") {
        let expected = "a name inside the archive".to_owned();
        let found = format!("{:?}", shorten(name));
        defects.add_at("header.name", ByteOffset(at), DefectKind::Mismatch { expected, found });
    }
}
