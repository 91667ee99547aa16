//! An `.nvram` record by record, for inspection.

use super::Nvram;
use crate::{
    field::{FieldNote, Fields},
    units::{ByteOffset, Bytes},
};

const MAX_LISTED: usize = 4096;

impl Fields for Nvram {
    fn fields(&self) -> Vec<FieldNote> {
        let version = self.version.to_string();
        let mut notes = vec![FieldNote::new("Nvram", "version", ByteOffset(4), Bytes(4), version)];
        for record in &self.records {
            let name = format!("{}/{}", record.section, record.tag);
            let at = ByteOffset(record.at.0.saturating_add(12));
            let value = record.length.to_string();
            notes.push(FieldNote::new("Record", name, at, record.length, value));
        }
        let variables = self.efi.iter().flat_map(|efi| &efi.variables);
        for variable in variables.take(MAX_LISTED) {
            let value = format!("{}, attributes {:#x}", variable.length, variable.attributes);
            let note = FieldNote::new(
                "EFI variable",
                variable.name.clone(),
                variable.at,
                variable.length,
                value,
            );
            notes.push(note.noted(variable.guid.clone()));
        }
        notes
    }
}
