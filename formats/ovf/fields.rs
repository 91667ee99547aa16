//! Envelope, manifest and archive, for inspection.

use super::{Envelope, Manifest, TarList};
use crate::{
    field::{FieldNote, Fields},
    units::Bytes,
};

const MAX_LISTED: usize = 8192;

impl Fields for Envelope {
    fn fields(&self) -> Vec<FieldNote> {
        let mut notes = Vec::new();
        for file in &self.files {
            let size = file.size.map_or(String::new(), |size| format!(", {size}"));
            let value = format!("{}{size}", file.href);
            notes.push(FieldNote::new("File", file.id.clone(), file.at, Bytes(0), value));
        }
        for disk in &self.disks {
            let capacity = disk.capacity.map_or("unknown capacity".to_owned(), |c| c.to_string());
            let file = disk.file_ref.as_deref().unwrap_or("no file");
            let value = format!("{capacity}, {file}");
            let note = FieldNote::new("Disk", disk.id.clone(), disk.at, Bytes(0), value);
            notes.push(match &disk.parent_ref {
                Some(parent) => note.noted(format!("delta of {parent}")),
                None => note,
            });
        }
        notes.truncate(MAX_LISTED);
        notes
    }
}

impl Fields for Manifest {
    fn fields(&self) -> Vec<FieldNote> {
        let digests = self.digests.iter().take(MAX_LISTED);
        digests
            .map(|digest| {
                let value = format!("{:?} {}", digest.kind, digest.hex);
                FieldNote::new("Manifest", digest.name.clone(), digest.at, Bytes(0), value)
            })
            .collect()
    }
}

impl Fields for TarList {
    fn fields(&self) -> Vec<FieldNote> {
        let members = self.members.iter().take(MAX_LISTED);
        members
            .map(|member| {
                let value = format!("{} at {}", member.length, member.data_at);
                FieldNote::new("Tar", member.name.clone(), member.at, Bytes(512), value)
            })
            .collect()
    }
}
