//! The descriptor for `inspect`.

use super::Descriptor;
use crate::{
    field::{FieldNote, Fields},
    units::{ByteOffset, Bytes},
};

fn note(field: &str, at: ByteOffset, raw: &str, value: String) -> FieldNote {
    let length = Bytes(u64::try_from(raw.len()).unwrap_or(u64::MAX));
    FieldNote::new("Descriptor", field.to_owned(), at, length, value)
}

impl Fields for Descriptor {
    fn fields(&self) -> Vec<FieldNote> {
        let keys = self.entries.iter().map(|entry| {
            let mut field = note(&entry.name, entry.at, &entry.raw, entry.value.clone());
            field.note = Some(format!("line {}", entry.line));
            field
        });
        let extents = self.extents.iter().map(|extent| {
            let mut field = note("extent", extent.at, &extent.raw, extent.raw.trim().to_owned());
            field.note = Some(format!("line {}", extent.line));
            field
        });
        let mut all: Vec<_> = keys.chain(extents).collect();
        all.sort_by_key(|field| field.offset_bytes);
        all
    }
}
