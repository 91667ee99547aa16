//! Ransom notes: found by name and by content, quoted, their victim id and suffix parsed.
//!
//! Addresses in them are listed as text; nothing here opens one.

mod facts;
mod judge;
mod text;

pub use facts::NoteFacts;
pub use judge::{MAX_NOTE_BYTES, RansomNote, exercise, judge_note, may_be_note};

#[cfg(test)]
mod tests;
