//! Files of one NTFS volume, from records filed by their own numbers.

mod assemble;
mod ghosts;
mod list;
mod place;
mod tree;
mod verdict;

pub use list::NtfsFiles;
