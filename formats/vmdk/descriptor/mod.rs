//! The descriptor: the text that says which extent files make up a virtual disk, who its parent
//! is, and what the guest's controller should see.
//!
//! Grammar and keys: VMware, "Virtual Disk Format 5.0", chapter "The Descriptor"; deviations were
//! seen in files of real hosts and are named where they are handled.

mod fields;
mod grammar;
pub mod key;
pub mod model;
mod parse;
mod text;
pub mod word;

pub use key::{ContentId, Geometry};
pub use model::{Descriptor, DiskExtent, Entry, Section};
pub use parse::{DESCRIPTOR_LIMIT, open_descriptor};
pub use text::looks_like_descriptor;
pub use word::{Access, CreateType, ExtentKind};
