//! OVF: the envelope (`.ovf`), its manifest (`.mf`), and the tar archive of both (`.ova`).
//!
//! Source: DMTF DSP0243, and the envelopes VMware's products write.

mod envelope;
mod fields;
mod manifest;
mod tar;
#[cfg(test)]
mod tests;

pub use envelope::{Envelope, OvfDisk, OvfFile, OvfItem, OvfProperty, OvfSystem, capacity_bytes};
pub use manifest::{Digest, DigestKind, Manifest};
pub(crate) use tar::header as tar_header;
pub use tar::{TarList, TarMember, TarType};
