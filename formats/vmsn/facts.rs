//! What single tags tell: product, identity, times, what the guest said.

use serde::Serialize;

use super::{Block, Group, Tag, TagValue};
use crate::{
    dict::{WITHHELD, is_secret_key},
    read::ReadAt,
};

const MAX_TEXT_BYTES: u64 = 4096;
const MAX_GUEST_VARIABLES: usize = 1024;

/// One variable the guest set, such as `guestinfo.ip`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuestVariable {
    /// Its name.
    pub name: String,
    /// Its value, withheld where the name is that of a secret.
    pub value: String,
}

/// Tags with the names of their groups.
pub(super) struct TagView<'a> {
    pub(super) groups: &'a [Group],
    pub(super) tags: &'a [Tag],
}

impl<'a> TagView<'a> {
    pub(super) fn tags_of(&self, group: &str, name: &str) -> impl Iterator<Item = &'a Tag> {
        self.group_tags(group).filter(move |tag| tag.name == name)
    }

    fn group_tags(&self, group: &str) -> impl Iterator<Item = &'a Tag> {
        let place = self.groups.iter().position(|known| known.name == group);
        self.tags.iter().filter(move |tag| Some(tag.group) == place)
    }

    pub(super) fn block(&self, group: &str, name: &str) -> Option<Block> {
        self.tags_of(group, name).find_map(|tag| match &tag.value {
            TagValue::Block(block) => Some(*block),
            TagValue::Inline(_) => None,
        })
    }

    pub(super) fn number(&self, group: &str, name: &str) -> Option<u64> {
        self.tags_of(group, name).find_map(|tag| match &tag.value {
            TagValue::Inline(bytes) => little_endian(bytes),
            TagValue::Block(_) => None,
        })
    }

    pub(super) fn text(&self, file: &dyn ReadAt, group: &str, name: &str) -> Option<String> {
        self.tags_of(group, name).find_map(|tag| text_of(tag, file))
    }

    pub(super) fn bios_uuid(&self, file: &dyn ReadAt) -> Option<String> {
        let tag = self.tags_of("UUIDVMX", "BIOSUUID").next()?;
        let bytes = bytes_of(tag, file)?;
        (bytes.len() == 16).then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The first number in `group` whose name holds `part` and that is a plausible time.
    pub(super) fn time(&self, group: &str, part: &str) -> Option<u64> {
        const SANE_SECONDS: std::ops::Range<u64> = 900_000_000..5_000_000_000;
        self.group_tags(group).filter(|tag| tag.name.to_ascii_lowercase().contains(part)).find_map(
            |tag| {
                match &tag.value {
                    TagValue::Inline(bytes) => little_endian(bytes),
                    TagValue::Block(_) => None,
                }
                .filter(|seconds| SANE_SECONDS.contains(seconds))
            },
        )
    }

    pub(super) fn guest_variables(&self, file: &dyn ReadAt) -> Vec<GuestVariable> {
        let strings = || self.tags_of("GuestVars", "guestvars.strings");
        strings()
            .filter(|tag| matches!(tag.indices.as_slice(), [_, 0]))
            .take(MAX_GUEST_VARIABLES)
            .filter_map(|tag| {
                let number = tag.indices.first()?;
                let name = text_of(tag, file)?;
                let value = strings().find(|other| other.indices == [*number, 1]);
                let value = value.and_then(|tag| text_of(tag, file)).unwrap_or_default();
                let value = if is_secret_key(&name) { WITHHELD.to_owned() } else { value };
                Some(GuestVariable { name, value })
            })
            .collect()
    }
}

pub(super) fn little_endian(bytes: &[u8]) -> Option<u64> {
    matches!(bytes.len(), 1 | 2 | 4 | 8)
        .then(|| bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
}

fn bytes_of(tag: &Tag, file: &dyn ReadAt) -> Option<Vec<u8>> {
    match &tag.value {
        TagValue::Inline(bytes) => Some(bytes.clone()),
        TagValue::Block(block) => block.read(file, MAX_TEXT_BYTES).ok(),
    }
}

/// A NUL-terminated text, control characters removed.
fn text_of(tag: &Tag, file: &dyn ReadAt) -> Option<String> {
    let bytes = bytes_of(tag, file)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    Some(text.chars().filter(|character| !character.is_control()).collect())
}
