//! What a log tells, for inspection.

use super::VmwareLog;
use crate::{
    dict::{WITHHELD, is_secret_key},
    field::{FieldNote, Fields},
    units::{ByteOffset, Bytes},
};

const MAX_LISTED: usize = 8192;

impl Fields for VmwareLog {
    /// Product and times, then the latest configuration line by line, secrets withheld.
    fn fields(&self) -> Vec<FieldNote> {
        let mut notes = Vec::new();
        let texts = [
            ("product", &self.product),
            ("version", &self.version),
            ("build", &self.build),
            ("codepage", &self.codepage),
            ("Hostname", &self.host_name),
            ("location-UUID", &self.uuid_location),
            ("BIOS-UUID", &self.uuid_bios),
        ];
        for (field, value) in texts {
            if let Some(value) = value {
                let at = ByteOffset(0);
                notes.push(FieldNote::new("vmware.log", field, at, Bytes(0), value.clone()));
            }
        }
        for (field, time) in [("first time", &self.first_time), ("last time", &self.last_time)] {
            if let Some(time) = time {
                let at = ByteOffset(0);
                notes.push(FieldNote::new("vmware.log", field, at, Bytes(0), time.text.clone()));
            }
        }
        let end = format!("{:?}", self.end);
        notes.push(FieldNote::new("vmware.log", "end", ByteOffset(self.length.0), Bytes(0), end));
        let values = self.config.iter().flat_map(|config| config.values.values());
        for logged in values.take(MAX_LISTED) {
            let value = match &logged.value {
                Some(_) if is_secret_key(&logged.key) => WITHHELD.to_owned(),
                Some(value) => value.clone(),
                None => "<not printed>".to_owned(),
            };
            let note =
                FieldNote::new("CONFIGURATION", logged.key.clone(), logged.at, Bytes(0), value);
            notes.push(note.noted(format!("line {}", logged.line)));
        }
        notes
    }
}
