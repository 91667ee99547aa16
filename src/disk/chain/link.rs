//! What one link of a chain says of itself.

use serde::Serialize;
use vmglean_formats::vmdk::{ContentId, CreateType, Descriptor, ExtentFormat, Geometry};

use crate::source::RelPath;

/// Where a link's description comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DescribedBy {
    /// A descriptor file of its own.
    File,
    /// The descriptor inside a sparse extent.
    Embedded,
    /// Nothing: a sparse extent without a descriptor.
    Header,
    /// Nothing: taken as plain bytes.
    Raw,
    /// Nothing that is left: its layout was computed from the size of its child, and proven.
    Rebuilt,
}

/// One disk of a chain, as it says of itself.
#[derive(Clone, Debug)]
pub struct ChainLink {
    /// The descriptor, or the extent where there is none.
    pub path: RelPath,
    /// Whether the file was found under its name with something appended.
    pub renamed: bool,
    /// Where the description comes from.
    pub described_by: DescribedBy,
    /// `createType`.
    pub create_type: Option<CreateType>,
    /// `CID`.
    pub cid: Option<ContentId>,
    /// `parentCID` as written.
    pub parent_cid: Option<ContentId>,
    /// `ddb.longContentID`.
    pub long_content_id: Option<String>,
    /// `parentFileNameHint`. Hostile input.
    pub parent_hint: Option<String>,
    /// Whether it says that it has a parent, or is of a kind that always has one.
    pub has_parent: bool,
    /// Why the parent that was taken may be the wrong one: its CID is another, or is not known.
    pub parent_doubt: Option<String>,
    /// `ddb.adapterType`.
    pub adapter_type: Option<String>,
    /// `ddb.virtualHWVersion`.
    pub hardware_version: Option<String>,
    /// `ddb.uuid`.
    pub uuid: Option<String>,
    /// `ddb.geometry.*`.
    pub geometry: Option<Geometry>,
    /// Whether VMware itself encrypts it, so that high entropy is expected.
    pub vmware_encrypted: bool,
    /// Virtual size in bytes.
    pub capacity: u64,
    /// Its extents, in order.
    pub extents: Vec<ExtentFacts>,
}

/// One extent of a link, as found.
#[derive(Clone, Debug)]
pub struct ExtentFacts {
    /// The file, where one was found.
    pub path: Option<RelPath>,
    /// The name in the descriptor.
    pub name: Option<String>,
    /// Whether the file was found under that name with something appended.
    pub renamed: bool,
    /// Bytes of the file, footers left out.
    pub file_len: Option<u64>,
    /// The sparse format its header tells.
    pub format: Option<ExtentFormat>,
    /// Virtual length in bytes.
    pub length: u64,
    /// Whether its header is lost and its layout was computed.
    pub rebuilt: bool,
    /// Why it cannot be read, where that is so.
    pub broken: Option<String>,
}

impl ChainLink {
    /// A link that has no descriptor.
    pub(super) fn bare(path: RelPath, renamed: bool, described_by: DescribedBy) -> Self {
        Self {
            path,
            renamed,
            described_by,
            create_type: None,
            cid: None,
            parent_cid: None,
            long_content_id: None,
            parent_hint: None,
            has_parent: false,
            parent_doubt: None,
            adapter_type: None,
            hardware_version: None,
            uuid: None,
            geometry: None,
            vmware_encrypted: false,
            capacity: 0,
            extents: Vec::new(),
        }
    }

    /// A link described by `descriptor`.
    pub(super) fn described(
        path: RelPath,
        renamed: bool,
        described_by: DescribedBy,
        descriptor: &Descriptor,
    ) -> Self {
        Self {
            create_type: descriptor.create_type(),
            cid: descriptor.cid(),
            parent_cid: descriptor.parent_cid(),
            long_content_id: descriptor.long_content_id().map(str::to_owned),
            parent_hint: descriptor.parent_file_name_hint().map(str::to_owned),
            has_parent: descriptor.has_parent(),
            adapter_type: descriptor.adapter_type().map(str::to_owned),
            hardware_version: descriptor.get("ddb.virtualHWVersion").map(str::to_owned),
            uuid: descriptor.uuid().map(str::to_owned),
            geometry: descriptor.geometry(),
            vmware_encrypted: descriptor.is_vmware_encrypted(),
            ..Self::bare(path, renamed, described_by)
        }
    }
}
