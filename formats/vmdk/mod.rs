//! Virtual disks: descriptors, sparse extents of every kind, and what their tables say.

pub mod descriptor;
pub mod open;
pub mod run;

pub use descriptor::{
    Access, ContentId, CreateType, Descriptor, DiskExtent, Entry, ExtentKind, Geometry, Section,
    open_descriptor,
};
pub use open::{ExtentFormat, OpenedExtent, open_extent};
pub use run::{ExtentMap, Run, RunKind};
