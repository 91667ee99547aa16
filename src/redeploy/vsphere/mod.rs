//! A small client of the vSphere Web Services API (`urn:vim25`): vCenter 6.7 to 9, ESXi 6.5 to 8.
//!
//! Only members that version 6.5 knows are sent, in the order its schema declares. Nothing was run
//! against a real vCenter or host; the simulator of govmomi and the published type tables are what
//! the tests hold it to.

mod address;
mod buffers;
mod error;
mod files;
mod http;
mod inventory;
mod lease;
mod machine;
mod network;
mod rights;
mod server;
mod task;
mod tls;
mod xml;

pub use address::{Address, AddressError, Credentials, CredentialsError};
pub use error::{Error, Fault};
pub use files::{DatastoreFile, ListedFile, Watch};
pub use http::{Pace, Sent};
pub use inventory::{Object, Properties};
pub use lease::{DeviceUrl, Lease};
pub use machine::{Backing, Controller, DiskSpec, MachineSpec, NicSpec};
pub use network::Switch;
pub use server::{About, Server};
pub use tls::{Thumbprint, ThumbprintError, Trust};
pub use xml::{MoRef, Node, Xml, XmlError};
