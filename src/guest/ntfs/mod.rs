//! Files of one NTFS volume, from records filed by their own numbers.

mod claims;
mod file;
mod ghosts;
mod list;
mod place;
mod stream;
mod tree;
mod verdict;

pub use file::{Content, Extents, GuestFile, Place, RecordFact, Verdict};
pub use list::{NtfsFiles, Sink};
pub use stream::{Stream, StreamReader};
