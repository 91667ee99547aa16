//! What a descriptor says, every key with its line.

use serde::Serialize;

use super::{Access, ContentId, CreateType, ExtentKind, Geometry};
use crate::units::{ByteOffset, Sectors};

/// The part of the descriptor a key stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// `version`, `CID`, `createType` and so on.
    Header,
    /// `changeTrackPath`.
    ChangeTracking,
    /// `ddb.*`.
    DiskDatabase,
}

/// One `name = value` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Which part it belongs to, told by its name and not by the titles above it.
    pub section: Section,
    /// The name as written.
    pub name: String,
    /// The value without quotes, `|xx` escapes decoded.
    pub value: String,
    /// The line as it was read, for quoting.
    pub raw: String,
    /// Line number, from 1.
    pub line: u32,
    /// First byte of the line, from the start of the file.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
}

/// One extent line and the file it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskExtent {
    /// How it may be used.
    pub access: Access,
    /// The access word as written.
    pub access_word: String,
    /// Virtual length.
    pub length: Sectors,
    /// What lies behind it.
    pub kind: ExtentKind,
    /// The kind's word as written.
    pub kind_word: String,
    /// The file, device or object URI between the quotes, exactly as written. Hostile input: may
    /// hold `../`, an absolute path, or anything else.
    pub name: Option<String>,
    /// Where the extent begins in that file.
    pub offset: Option<Sectors>,
    /// Sixth word, hosted Windows devices only.
    pub partition_uuid: Option<String>,
    /// Seventh word, hosted Windows devices only.
    pub device_id: Option<String>,
    /// The line as it was read, for quoting.
    pub raw: String,
    /// Line number, from 1.
    pub line: u32,
    /// First byte of the line, from the start of the file.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
}

/// A whole descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Descriptor {
    /// Every key in file order, repeated ones too.
    pub entries: Vec<Entry>,
    /// The extents in the order of their virtual sectors.
    pub extents: Vec<DiskExtent>,
    /// The encoding the bytes were read in (WHATWG name).
    pub encoding: String,
    /// The decoded text, up to the first NUL.
    #[serde(skip)]
    pub text: String,
}

impl Descriptor {
    /// The entry of this name, in any case; of repeated ones the last, as VMware's reader does.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.name.eq_ignore_ascii_case(name))
    }

    /// The value of this key, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entry(name).map(|entry| entry.value.as_str())
    }

    /// `version`: 3 means that changed block tracking is on.
    #[must_use]
    pub fn version(&self) -> Option<u32> {
        self.get("version")?.trim().parse().ok()
    }

    /// `CID`.
    #[must_use]
    pub fn cid(&self) -> Option<ContentId> {
        ContentId::from_hex(self.get("CID")?)
    }

    /// `parentCID` as written; [`ContentId::NO_PARENT`] where it says that there is none. `None`
    /// means that the key itself is missing or unreadable.
    #[must_use]
    pub fn parent_cid(&self) -> Option<ContentId> {
        ContentId::from_hex(self.get("parentCID")?)
    }

    /// Whether this disk is a delta on another one: by its parentCID, else by its hint.
    #[must_use]
    pub fn has_parent(&self) -> bool {
        match self.parent_cid() {
            Some(cid) => cid != ContentId::NO_PARENT,
            None => self.parent_file_name_hint().is_some(),
        }
    }

    /// `createType`; `None` where the key is missing.
    #[must_use]
    pub fn create_type(&self) -> Option<CreateType> {
        self.get("createType").map(CreateType::from_word)
    }

    /// `parentFileNameHint`: hostile input like every name here.
    #[must_use]
    pub fn parent_file_name_hint(&self) -> Option<&str> {
        self.get("parentFileNameHint")
    }

    /// `changeTrackPath`.
    #[must_use]
    pub fn change_track_path(&self) -> Option<&str> {
        self.get("changeTrackPath")
    }

    /// `ddb.longContentID`.
    #[must_use]
    pub fn long_content_id(&self) -> Option<&str> {
        self.get("ddb.longContentID")
    }

    /// `ddb.adapterType`.
    #[must_use]
    pub fn adapter_type(&self) -> Option<&str> {
        self.get("ddb.adapterType")
    }

    /// `ddb.uuid`.
    #[must_use]
    pub fn uuid(&self) -> Option<&str> {
        self.get("ddb.uuid")
    }

    /// `ddb.geometry.*`, where all three are there and are numbers.
    #[must_use]
    pub fn geometry(&self) -> Option<Geometry> {
        let number = |name: &str| self.get(name)?.trim().parse().ok();
        Some(Geometry {
            cylinders: number("ddb.geometry.cylinders")?,
            heads: number("ddb.geometry.heads")?,
            sectors: number("ddb.geometry.sectors")?,
        })
    }

    /// Whether `ddb.thinProvisioned` is set.
    #[must_use]
    pub fn is_thin(&self) -> bool {
        self.get("ddb.thinProvisioned").is_some_and(|value| value.trim() == "1")
    }

    /// Whether VMware itself encrypts this disk: `encryptionKeys`, or the filter `vmwarevmcrypt`.
    /// High entropy behind such a descriptor is expected.
    #[must_use]
    pub fn is_vmware_encrypted(&self) -> bool {
        self.get("encryptionKeys").is_some_and(|value| !value.trim().is_empty())
            || self
                .get("ddb.iofilters")
                .is_some_and(|value| value.to_ascii_lowercase().contains("vmwarevmcrypt"))
    }

    /// The sum of the extents' lengths, or `None` where it passes 2^64.
    #[must_use]
    pub fn capacity(&self) -> Option<Sectors> {
        self.extents
            .iter()
            .try_fold(0u64, |sum, extent| sum.checked_add(extent.length.0))
            .map(Sectors)
    }
}
