//! A dictionary line by line, for inspection.

use super::{Dictionary, is_secret_key, offset};
use crate::{
    field::{FieldNote, Fields},
    units::Bytes,
};

/// Most lines listed.
const MAX_LISTED: usize = 8192;

impl Fields for Dictionary {
    /// One note an entry, in file order, secrets withheld.
    fn fields(&self) -> Vec<FieldNote> {
        let mut notes: Vec<FieldNote> = self
            .entries
            .iter()
            .take(MAX_LISTED)
            .map(|entry| {
                let (key, shown) = (entry.key.clone(), entry.shown());
                let note =
                    FieldNote::new(self.structure, key, entry.value_at, entry.value_length, shown);
                if is_secret_key(&entry.key) {
                    note.noted(format!("line {}, secret", entry.line))
                } else {
                    note.noted(format!("line {}", entry.line))
                }
            })
            .collect();
        if let Some(next) = self.entries.get(MAX_LISTED) {
            let rest = self.entries.len().saturating_sub(MAX_LISTED);
            let text = format!("{rest} more entries are not listed");
            notes.push(FieldNote::new(self.structure, "…", next.at, Bytes(0), text));
        }
        for line in &self.unnamed {
            let length = Bytes(u64::try_from(line.text.len()).unwrap_or(u64::MAX));
            let note = FieldNote::new(self.structure, "line", line.at, length, line.text.clone());
            notes.push(note.noted(format!("line {} fits no grammar", line.line)));
        }
        if self.bom {
            let bom =
                FieldNote::new(self.structure, "byte order mark", offset(0), Bytes(3), "UTF-8");
            notes.push(bom);
        }
        notes.sort_by_key(|note| note.offset_bytes);
        notes
    }
}
