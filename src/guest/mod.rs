//! Guest volumes and files inside a damaged disk, each file with its verdict.
//!
//! Structures are scanned for, never walked to: one pass over the bytes that are not encrypted
//! collects what describes itself ([`scan`]), volumes follow from it by vote ([`volumes`]), and
//! each file's clusters are held against the damage map. What cannot be told is said to be
//! unknown; nothing damaged is ever called intact.

pub mod content;
pub mod get;
mod ground;
pub mod ntfs;
pub mod partition;
pub mod scan;
pub mod volumes;

pub use ground::{Ground, Tally};
pub use ntfs::{Content, Extents, GuestFile, NtfsFiles, RecordFact, Verdict};
