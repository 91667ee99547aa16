//! What is there: every VMware file read once and told in a few facts, files grouped to
//! machines, disks linked to chains, and what is left over offered to whom it could belong.
//!
//! Nothing here judges content; a file whose bytes are not what its name promises is said to be
//! so, and triage finds out why.

mod assemble;
mod chain;
mod disk;
mod facts;
mod file;
mod index;
mod link;
mod lookalike;
mod machine;
mod orphan;
mod parent;
mod read;

pub use assemble::assemble;
pub use disk::MachineDisk;
pub use facts::{CheckpointFacts, DescriptorFacts, SnapshotFacts, VmwareEncryption, VmxFacts};
pub use file::{CatalogFile, Content, FileId};
pub use index::Index;
pub use link::{ChainLink, LinkExtent};
pub use lookalike::LOOKALIKE;
pub use machine::{Config, ConfigSource, Lookalike, Machine};
pub use orphan::{Orphan, orphans};
pub use read::read_file;
