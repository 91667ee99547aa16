//! Virtual disks: chains of links resolved to runs, and read as one disk.
//!
//! A chain is resolved window by window: each link's tables are asked once for a whole stretch,
//! leaf first, and only what a link leaves open goes on to its parent. Reading then takes few
//! large reads instead of one a grain, and memory stays the same whatever the capacity.

pub mod chain;
mod extent;
mod inflate;
mod reader;
mod resolve;
mod run;
mod unnamed;

pub use chain::{
    Candidate, Chain, ChainEnd, ChainError, ChainLink, Companions, DescribedBy, ExtentFacts,
    FolderCompanions, MAX_LINKS, open_chain,
};
pub use extent::{DiskFile, DiskLink, ExtentBody, LinkExtent};
pub use reader::{GoneRange, RunError, VirtualDisk, Walk};
pub use resolve::Bottom;
pub use run::{FileId, LinkDefect, Resolved, ResolvedRun, RunState};
