//! The small files of a machine and of its host, written from the facts of their formats.

pub mod archive;
pub mod checkpoint;
pub mod host;
pub mod hurt;
pub mod log;
pub mod nvram;
pub mod sealed;
pub mod seeds;
pub mod text;
