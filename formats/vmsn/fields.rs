//! A checkpoint tag by tag, for inspection.

use super::{Checkpoint, Tag, TagValue, facts::little_endian};
use crate::{
    field::{FieldNote, Fields},
    units::{ByteOffset, Bytes},
};

/// Most tags listed.
const MAX_LISTED: usize = 8192;

impl Fields for Checkpoint {
    /// Header, groups, then every tag. Values of texts are not shown: they may be secrets.
    fn fields(&self) -> Vec<FieldNote> {
        let header = |field: &'static str, at, value: String| {
            FieldNote::new("Checkpoint", field, ByteOffset(at), Bytes(4), value)
        };
        let mut notes = vec![
            header("magic", 0, format!("{:?}", self.magic)),
            header("version", 4, self.version.to_string()),
            header("numGroups", 8, self.groups.len().to_string()),
        ];
        for (index, group) in (0_u64..).zip(&self.groups) {
            let at = index.saturating_mul(80).saturating_add(12);
            let value = format!("{}: {} at {}", group.name, group.size, group.position);
            notes.push(FieldNote::new("Group", "entry", ByteOffset(at), Bytes(80), value));
        }
        for tag in self.tags.iter().take(MAX_LISTED) {
            notes.push(self.note(tag));
        }
        if let Some(next) = self.tags.get(MAX_LISTED) {
            let text =
                format!("{} more tags are not listed", self.tags.len().saturating_sub(MAX_LISTED));
            notes.push(FieldNote::new("Tag", "…", next.at, Bytes(0), text));
        }
        notes
    }
}

impl Checkpoint {
    fn note(&self, tag: &Tag) -> FieldNote {
        let group = self.groups.get(tag.group).map_or("?", |group| group.name.as_str());
        let indices: String = tag.indices.iter().map(|index| format!("[{index}]")).collect();
        let field = format!("{}{indices}", tag.name);
        let structure = group.to_owned();
        match &tag.value {
            TagValue::Inline(bytes) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let value = little_endian(bytes)
                    .map_or_else(|| format!("{length} bytes"), |number| number.to_string());
                FieldNote::new(structure, field, tag.value_at, Bytes(length), value)
            }
            TagValue::Block(block) => {
                let value = format!("block of {}", block.stored);
                let note = FieldNote::new(structure, field, block.at, block.stored, value);
                if block.compressed {
                    note.noted(format!("compressed, {} in memory", block.in_memory))
                } else {
                    note
                }
            }
        }
    }
}
