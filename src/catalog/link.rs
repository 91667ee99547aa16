//! One disk of a chain and its extents.

use vmglean_formats::vmdk::{Access, ExtentKind};

use super::file::FileId;

/// One disk of a chain.
#[derive(Clone, Debug)]
pub struct ChainLink {
    /// The descriptor, or the sparse file that holds or lacks it; `None` where only extents are
    /// left.
    pub file: Option<FileId>,
    /// Whether a readable descriptor describes it.
    pub described: bool,
    /// Its extents, in order.
    pub extents: Vec<LinkExtent>,
    /// Virtual size, where something tells it.
    pub capacity_bytes: Option<u64>,
    /// Whether VMware itself encrypts it.
    pub vmware_encrypted: bool,
    /// Whether it can stand alone: a base disk.
    pub is_base: bool,
}

/// One extent of a link.
#[derive(Clone, Debug)]
pub struct LinkExtent {
    /// The file, where there is one.
    pub file: Option<FileId>,
    /// The name it was sought by.
    pub name: String,
    /// What stands behind it; `None` where only its name tells.
    pub kind: Option<ExtentKind>,
    /// Virtual length.
    pub length_bytes: Option<u64>,
    /// Where it begins in the file; `None` past 2^64.
    pub offset_bytes: Option<u64>,
    /// How its line says it may be used.
    pub access: Access,
}

impl LinkExtent {
    /// Whether a file must be there for its bytes.
    #[must_use]
    pub fn needs_file(&self) -> bool {
        !matches!(self.kind, Some(ExtentKind::Zero))
    }

    /// Whether its bytes lie on a LUN that no file of the datastore holds.
    #[must_use]
    pub fn is_device(&self) -> bool {
        matches!(self.kind, Some(ExtentKind::VmfsRdm | ExtentKind::VmfsRaw))
    }

    /// Whether a descriptor calls it plain disk content.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        matches!(self.kind, Some(ExtentKind::Flat | ExtentKind::Vmfs))
    }

    /// Where it ends in the file; `None` where that is not known or past 2^64.
    #[must_use]
    pub fn end_bytes(&self) -> Option<u64> {
        self.offset_bytes?.checked_add(self.length_bytes?)
    }
}
