//! Virtual disks: descriptors, sparse extents of every kind, and what their tables say.

pub mod run;

pub use run::{ExtentMap, Run, RunKind};
