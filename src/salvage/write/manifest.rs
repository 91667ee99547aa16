//! `MANIFEST.jsonl` and the hashdeep list: where each byte comes from, and how to check it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::{salvage::plan::Origin, source::RecordPath};

/// What the first line of a manifest says.
pub const MANIFEST_SCHEMA: &str = "vmglean.salvage-manifest/1";

/// First line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestHead {
    /// Always [`MANIFEST_SCHEMA`].
    pub schema: String,
    /// What was salvaged.
    pub machine: String,
    /// A hash of everything that decided this folder; equal for an equal run.
    pub plan: String,
}

/// A range of an output file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestLine {
    /// The file, relative to the folder.
    pub output: String,
    /// First byte there.
    pub offset_bytes: u64,
    /// How many bytes.
    pub length_bytes: u64,
    /// How the bytes came to be.
    pub origin: OriginWord,
    /// The file they come from; `null` where they were written anew.
    pub source: Option<RecordPath>,
    /// First byte there.
    pub source_offset_bytes: Option<u64>,
    /// What they are, as far as it is known, in the words of all records; `null` where they were
    /// written anew.
    pub state: Option<String>,
    /// SHA-256 of the range; `null` for holes, which read as zeros.
    pub sha256: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// [`Origin`] as it reads back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginWord {
    /// See [`Origin::Copied`].
    Copied,
    /// See [`Origin::Extracted`].
    Extracted,
    /// See [`Origin::Changed`].
    Changed,
    /// See [`Origin::Rebuilt`].
    Rebuilt,
}

impl From<Origin> for OriginWord {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Copied => Self::Copied,
            Origin::Extracted => Self::Extracted,
            Origin::Changed => Self::Changed,
            Origin::Rebuilt => Self::Rebuilt,
        }
    }
}

/// One finished file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedFile {
    /// Its name, relative to the folder.
    pub name: String,
    /// Its length.
    pub length_bytes: u64,
    /// SHA-256 of the whole.
    pub sha256: String,
    /// Its ranges.
    pub ranges: Vec<ManifestLine>,
    /// Bytes that could not be read and are zeros now.
    pub unreadable_bytes: u64,
}

/// The text of `MANIFEST.jsonl`.
pub(super) fn manifest(head: &ManifestHead, files: &[FinishedFile]) -> std::io::Result<Vec<u8>> {
    let mut out = serde_json::to_vec(head)?;
    out.push(b'\n');
    for line in files.iter().flat_map(|file| &file.ranges) {
        serde_json::to_writer(&mut out, line)?;
        out.push(b'\n');
    }
    Ok(out)
}

/// A list that `hashdeep -a -k` audits a folder with.
pub(super) fn hashdeep(files: &[(String, u64, String)]) -> String {
    let mut out = String::from("%%%% HASHDEEP-1.0\n%%%% size,sha256,filename\n");
    for (name, length, sha256) in files {
        let _ = writeln!(out, "{length},{sha256},./{name}");
    }
    out
}
