//! From what is left of a machine to what can start elsewhere: its configuration rebuilt line by
//! line from every file that repeats it, with the place each line was read from; descriptors for
//! bare extents; the small files that checkpoints keep spare; disks carried over as they are.
//!
//! [`plan`] decides what a folder will hold, [`write`] makes it: under another name until it is
//! whole, proven by reading it back, and taken up again where a killed run stopped. [`package`] makes
//! an OVF package or an OVA of a finished folder.

pub mod condition;
pub mod config;
pub mod descriptor;
mod disks;
mod memory;
pub mod names;
pub mod package;
mod plan;
mod readme;
mod snapshots;
pub mod write;

pub use disks::{Candidate, Carried, DiskPlan};
pub use memory::MemoryPair;
pub use plan::{MachinePlan, Origin, PlannedContent, PlannedFile, SalvageOptions, plan};
