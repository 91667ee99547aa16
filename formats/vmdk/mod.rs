//! Virtual disks: descriptors, sparse extents of every kind, and what their tables say.

mod backmap;
mod blocks;
mod claims;
pub mod cowd;
pub mod ctk;
mod defects;
pub mod descriptor;
mod directory;
mod grain;
pub mod header;
pub mod inflate;
pub mod journal;
pub mod layout;
pub mod markers;
pub mod open;
mod packed;
pub mod probe;
pub mod run;
pub mod seextent;
pub mod sesparse;
mod single;
pub mod sparse;
pub mod stream;
mod walk;
mod witnesses;

pub use backmap::{BackmapEntry, BackmapMeaning};
pub use cowd::{CowdExtent, CowdHeader};
pub use ctk::ChangeTracking;
pub use descriptor::{
    Access, ContentId, CreateType, Descriptor, DiskExtent, Entry, ExtentKind, Geometry, Section,
    open_descriptor,
};
pub use header::{SparseFlags, SparseHeader};
pub use inflate::{Inflated, inflate_grain};
pub use journal::{Journal, JournalHeader, JournalRecord};
pub use layout::{Area, CowdLayout, SeSparseLayout, SparseLayout};
pub use markers::MarkerIndex;
pub use open::{ExtentFormat, OpenedExtent, UnnamedGrains, open_extent};
pub use run::{ExtentMap, Run, RunKind};
pub use seextent::SeSparseExtent;
pub use sesparse::{ConstHeader, SeEntry, VolatileHeader};
pub use sparse::SparseExtent;
pub use stream::{FoundGrain, Marker, grain_length};
