//! Files of a damaged guest, as `vmglean.files/1`, as text, and as lists other tools read.

mod lists;
mod logical;
mod record;
mod text;

pub use lists::{
    Manifest, ManifestLine, ManifestRange, RebuiltLog, body_line, hashdeep_head, hashdeep_line,
};
pub use logical::{PartLine, StripeLine};
pub use record::{
    FILES_SCHEMA, FileLine, FilesRecord, FilesSummary, RunLine, Tallied, VolumeRecord,
    volume_record,
};
pub use text::{write_files, write_summary, write_volumes};
