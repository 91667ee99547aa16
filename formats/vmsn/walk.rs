//! From tag to tag, to the last byte of every group.

use serde::Serialize;

use super::{
    Block, MAX_TAGS,
    header::{Group, Header, Magic},
    reader::{Reader, u16_at, u32_at, u64_at},
};
use crate::{
    defect::DefectKind,
    dict::DefectList,
    units::{ByteOffset, Bytes},
};

/// What a tag holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagValue {
    /// Up to 61 bytes beside the name.
    Inline(Vec<u8>),
    /// A value with its own length.
    Block(Block),
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// Which group, by place in the table.
    pub group: usize,
    /// Its name.
    pub name: String,
    /// Up to three indices.
    pub indices: Vec<u32>,
    /// Where the tag begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// Where its value begins.
    pub value_at: ByteOffset,
    /// Its value.
    #[serde(skip)]
    pub value: TagValue,
}

pub(super) enum Step {
    /// A tag and the place behind it.
    Tag(Box<Tag>, u64),
    /// The end mark; the place behind it.
    End(u64),
    /// Nothing to go on from.
    Lost(&'static str, u64, DefectKind),
}

pub(super) fn tags(reader: &mut Reader, header: &Header, defects: &mut DefectList) -> Vec<Tag> {
    let mut found = Vec::new();
    for (index, group) in header.groups.iter().enumerate() {
        walk_group(reader, header.magic, (index, group), &mut found, defects);
    }
    found
}

fn walk_group(
    reader: &mut Reader,
    magic: Magic,
    (index, group): (usize, &Group),
    found: &mut Vec<Tag>,
    defects: &mut DefectList,
) {
    let end = group.end();
    let mut at = group.position.0;
    loop {
        if found.len() >= MAX_TAGS {
            let limit = u64::try_from(MAX_TAGS).unwrap_or(u64::MAX);
            let kind = DefectKind::Limit { value: limit.saturating_add(1), limit };
            defects.add_at("tags", ByteOffset(at), kind);
            return;
        }
        match step(reader, magic, index, at, end) {
            Step::Tag(tag, next) => {
                if let TagValue::Block(block) = &tag.value
                    && !block.compressed
                    && block.stored != block.in_memory
                {
                    let expected = format!("{}, as in memory", block.in_memory);
                    let kind = DefectKind::Mismatch { expected, found: block.stored.to_string() };
                    defects.add_at("block.sizeOnDisk", tag.at, kind);
                }
                found.push(*tag);
                at = next;
            }
            Step::End(next) => {
                if next != end {
                    let expected = format!("{}, as its table entry says", ByteOffset(end));
                    let found = ByteOffset(next).to_string();
                    let kind = DefectKind::Mismatch { expected, found };
                    defects.add_at("group end", ByteOffset(at), kind);
                }
                return;
            }
            Step::Lost(field, at, kind) => {
                defects.add_at(field, ByteOffset(at), kind);
                return;
            }
        }
    }
}

/// Takes the tag at `at`; nothing of it may reach past `end`.
pub(super) fn step(reader: &mut Reader, magic: Magic, group: usize, at: u64, end: u64) -> Step {
    let room = end.saturating_sub(at);
    let file_end = reader.len();
    let lost = |field, place: u64, need: u64| {
        // What ends first is what is wrong: the file or the group.
        let have = end.min(file_end).saturating_sub(place);
        Step::Lost(field, place, DefectKind::Truncated { need, have })
    };
    // Mark, name (255), indices (12), inline value (61) or block header (18).
    let head = match reader.up_to(at, 2 + 255 + 12 + 61) {
        Ok(head) => head,
        Err(error) => {
            let kind = DefectKind::Unreadable { length: Bytes(2), why: error.to_string() };
            return Step::Lost("tag", at, kind);
        }
    };
    let (Some(mark), Some([low, high])) = (u16_at(head, 0), head.first_chunk::<2>()) else {
        return lost("tag", at, 2);
    };
    if room < 2 {
        return lost("tag", at, 2);
    }
    if mark == 0 {
        return Step::End(at.saturating_add(2));
    }
    let (name_length, count, size) = (usize::from(*high), usize::from(low >> 6), low & 63);
    let indices_at = name_length.saturating_add(2);
    let value_start = indices_at.saturating_add(count.saturating_mul(4));
    let header = match (size, magic) {
        (62 | 63, Magic::Old) => 10,
        (62 | 63, _) => 18,
        (size, _) => usize::from(size),
    };
    let need = value_start.saturating_add(header);
    let need_bytes = u64::try_from(need).unwrap_or(u64::MAX);
    let (Some(name), Some(body)) = (head.get(2..indices_at), head.get(value_start..need)) else {
        return lost("tag", at, need_bytes);
    };
    if need_bytes > room {
        return lost("tag", at, need_bytes);
    }
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        let encoding = "tag name".to_owned();
        return Step::Lost("tag.name", at, DefectKind::Encoding { encoding });
    }
    let indices = (0..count)
        .filter_map(|index| u32_at(head, indices_at.saturating_add(index.saturating_mul(4))))
        .collect();
    let after_header = at.saturating_add(need_bytes);
    let (value_at, value, next) = if size < 62 {
        let start = at.saturating_add(u64::try_from(value_start).unwrap_or(u64::MAX));
        (start, TagValue::Inline(body.to_vec()), after_header)
    } else {
        let Some((stored, in_memory, padding)) = block_header(body, magic) else {
            return lost("tag", at, need_bytes);
        };
        let start = after_header.saturating_add(u64::from(padding));
        let next = start.checked_add(stored).filter(|next| *next <= end && *next <= file_end);
        let Some(next) = next else {
            let have = end.min(file_end).saturating_sub(start);
            let kind = DefectKind::Truncated { need: stored, have };
            return Step::Lost("block", start, kind);
        };
        let block = Block {
            at: ByteOffset(start),
            stored: Bytes(stored),
            in_memory: Bytes(in_memory),
            compressed: size == 62,
        };
        (start, TagValue::Block(block), next)
    };
    let tag = Tag {
        group,
        name: String::from_utf8_lossy(name).into_owned(),
        indices,
        at: ByteOffset(at),
        value_at: ByteOffset(value_at),
        value,
    };
    Step::Tag(Box::new(tag), next)
}

/// `sizeOnDisk`, `sizeInMemory`, `padLen`.
fn block_header(body: &[u8], magic: Magic) -> Option<(u64, u64, u16)> {
    if magic == Magic::Old {
        Some((u32_at(body, 0)?.into(), u32_at(body, 4)?.into(), u16_at(body, 8)?))
    } else {
        Some((u64_at(body, 0)?, u64_at(body, 8)?, u16_at(body, 16)?))
    }
}
