//! Descriptors: written anew for bare extents, and surviving ones made to fit their new folder.

use std::fmt::Write as _;

use vmglean_formats::{
    dict::Charset,
    vmdk::{ContentId, Descriptor},
};

/// How an extent line calls what lies behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentWord {
    /// Plain content on a host's file system.
    Vmfs,
    /// Plain content of a hosted product.
    Flat,
    /// A delta of ESXi up to 6.5.
    VmfsSparse,
    /// A delta of ESXi from 6.5 on.
    SeSparse,
    /// One extent of a split hosted disk.
    Sparse,
}

/// What is known of a disk whose descriptor is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Kind of its extents.
    pub word: ExtentWord,
    /// Name and sectors of each extent, in order.
    pub extents: Vec<(String, u64)>,
    /// `CID`.
    pub cid: ContentId,
    /// File name and CID of the parent, for a delta.
    pub parent: Option<(String, ContentId)>,
    /// `ide`, `buslogic` or `lsilogic`.
    pub adapter: &'static str,
    /// Cylinders, heads, sectors, where a log states them.
    pub logged_geometry: Option<(u64, u64, u64)>,
    /// `ddb.uuid`, where a log states it.
    pub uuid: Option<String>,
    /// `ddb.longContentID`, where a log states it.
    pub long_content_id: Option<String>,
    /// `ddb.virtualHWVersion`.
    pub hardware_version: Option<String>,
}

/// Cylinders, heads and sectors a track as VMware computes them for an adapter and a capacity.
///
/// Sources: measured on eight ESXi and hosted disks; between 1 and 2 GiB by BusLogic's rule.
#[must_use]
pub fn geometry(adapter: &str, sectors: u64) -> (u64, u64, u64) {
    let (heads, track) = match adapter {
        "ide" => (16, 63),
        _ if sectors >= 4_194_304 => (255, 63),
        _ if sectors >= 2_097_152 => (128, 32),
        _ => (64, 32),
    };
    (sectors / (heads * track), heads, track)
}

impl Lost {
    /// Sectors of all extents; `None` past 2^64.
    #[must_use]
    pub fn capacity_sectors(&self) -> Option<u64> {
        self.extents.iter().try_fold(0_u64, |sum, (_, sectors)| sum.checked_add(*sectors))
    }

    /// The text of the descriptor.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let many = self.extents.len() > 1;
        let (create_type, word) = match self.word {
            ExtentWord::Vmfs => ("vmfs", "VMFS"),
            ExtentWord::Flat if many => ("twoGbMaxExtentFlat", "FLAT"),
            ExtentWord::Flat => ("monolithicFlat", "FLAT"),
            ExtentWord::VmfsSparse => ("vmfsSparse", "VMFSSPARSE"),
            ExtentWord::SeSparse => ("seSparse", "SESPARSE"),
            ExtentWord::Sparse => ("twoGbMaxExtentSparse", "SPARSE"),
        };
        let parent = self.parent.as_ref().map_or(ContentId::NO_PARENT, |(_, cid)| *cid);
        let mut out = format!(
            "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID={:08x}\nparentCID={:08x}\n\
             createType=\"{create_type}\"\n",
            self.cid.0, parent.0
        );
        if let Some((hint, _)) = &self.parent {
            let _ = writeln!(out, "parentFileNameHint=\"{hint}\"");
        }
        out.push_str("\n# Extent description\n");
        let offset = if self.word == ExtentWord::Flat { " 0" } else { "" };
        for (name, sectors) in &self.extents {
            let _ = writeln!(out, "RW {sectors} {word} \"{name}\"{offset}");
        }
        out.push_str("\n# The Disk Data Base\n#DDB\n\n");
        let mut ddb = |name: &str, value: &str| {
            let _ = writeln!(out, "ddb.{name} = \"{value}\"");
        };
        // A child takes all this from its base.
        if self.parent.is_none() {
            let capacity = self.capacity_sectors().unwrap_or(0);
            let computed = || geometry(self.adapter, capacity);
            let (cylinders, heads, sectors) = self.logged_geometry.unwrap_or_else(computed);
            ddb("adapterType", self.adapter);
            ddb("geometry.cylinders", &cylinders.to_string());
            ddb("geometry.heads", &heads.to_string());
            ddb("geometry.sectors", &sectors.to_string());
            ddb("virtualHWVersion", self.hardware_version.as_deref().unwrap_or("4"));
        }
        if self.word == ExtentWord::SeSparse {
            ddb("grain", "8");
        }
        if let Some(id) = &self.long_content_id {
            ddb("longContentID", id);
        }
        if let Some(uuid) = &self.uuid {
            ddb("uuid", uuid);
        }
        out.into_bytes()
    }
}

/// What must change in a surviving descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New names of extents, by position; `None` keeps one.
    pub extents: Vec<Option<String>>,
    /// New `parentFileNameHint`.
    pub hint: Option<String>,
    /// Drops `changeTrackPath`, whose file is not carried over, and the version that needs it.
    pub drop_change_tracking: bool,
}

impl Changes {
    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.extents.iter().all(Option::is_none)
            && self.hint.is_none()
            && !self.drop_change_tracking
    }

    /// The descriptor with the changes made and every other line as it was; `None` where the
    /// descriptor's own encoding cannot say a new name.
    #[must_use]
    pub fn apply(&self, descriptor: &Descriptor) -> Option<Vec<u8>> {
        let mut out = String::with_capacity(descriptor.text.len() + 256);
        for (number, line) in (1_u32..).zip(descriptor.text.split_inclusive('\n')) {
            let entry = descriptor.entries.iter().find(|entry| entry.line == number);
            let name = entry.map(|entry| entry.name.to_ascii_lowercase()).unwrap_or_default();
            let extent = descriptor.extents.iter().position(|extent| extent.line == number);
            let renamed = extent.and_then(|at| self.extents.get(at)?.as_deref());
            if let (Some(new), Some((before, rest))) = (renamed, line.split_once('"'))
                && let Some((_, after)) = rest.split_once('"')
            {
                let _ = write!(out, "{before}\"{new}\"{after}");
            } else if let Some(hint) = self.hint.as_deref().filter(|_| name == "parentfilenamehint")
            {
                let _ = writeln!(out, "parentFileNameHint=\"{hint}\"");
            } else if self.drop_change_tracking && name == "changetrackpath" {
            } else if self.drop_change_tracking && name == "version" {
                out.push_str("version=1\n");
            } else {
                out.push_str(line);
            }
        }
        let charset = Charset::named(&descriptor.encoding).unwrap_or_default();
        charset.encode(&out)
    }
}

#[cfg(test)]
mod tests {
    use vmglean_formats::{ByteOffset, vmdk::CreateType};

    use super::*;

    fn flat(sectors: u64) -> Lost {
        Lost {
            word: ExtentWord::Vmfs,
            extents: vec![("srv-flat.vmdk".into(), sectors)],
            cid: ContentId(0x1234_5678),
            parent: None,
            adapter: "lsilogic",
            logged_geometry: None,
            uuid: None,
            long_content_id: None,
            hardware_version: None,
        }
    }

    #[test]
    fn geometry_is_what_real_disks_have() {
        // 42 TiB and 16 GiB of ESXi, 2 MiB of ESXi, 20 GiB at IDE.
        assert_eq!(geometry("lsilogic", 90_194_313_216), (5_614_336, 255, 63));
        assert_eq!(geometry("lsilogic", 33_554_432).0, 2088);
        assert_eq!(geometry("lsilogic", 4096), (2, 64, 32));
        assert_eq!(geometry("ide", 41_943_040), (41_610, 16, 63));
    }

    #[test]
    fn a_written_descriptor_reads_back_without_defect() {
        let mut delta = flat(4096);
        delta.word = ExtentWord::SeSparse;
        delta.parent = Some(("srv.vmdk".into(), ContentId(7)));
        for (lost, kind) in [(flat(4096), CreateType::Vmfs), (delta, CreateType::SeSparse)] {
            let read = Descriptor::parse(&lost.write(), ByteOffset(0));
            assert_eq!(read.defects, []);
            let read = read.value;
            assert_eq!(read.create_type(), Some(kind));
            assert_eq!(read.capacity().map(|s| s.0), Some(4096));
            assert_eq!(read.cid(), Some(ContentId(0x1234_5678)));
            assert_eq!(read.parent_file_name_hint(), lost.parent.as_ref().map(|p| p.0.as_str()));
        }
    }

    #[test]
    fn a_surviving_descriptor_changes_only_where_it_must() {
        let text = "# Disk DescriptorFile\r\nversion=3\r\nCID=00000001\r\nparentCID=00000002\r\n\
             createType=\"vmfsSparse\"\r\nparentFileNameHint=\"/vmfs/volumes/x/y.vmdk\"\r\n\
             RW 8 VMFSSPARSE \"a-delta.vmdk\"\r\n# Change Tracking File\r\n\
             changeTrackPath=\"a-ctk.vmdk\"\r\nddb.longContentID = \"1\"\r\n";
        let read = Descriptor::parse(text.as_bytes(), ByteOffset(0)).value;
        assert!(Changes::default().is_nothing());
        // Lines end as hosts write them.
        let text = text.replace("\r\n", "\n");
        assert_eq!(Changes::default().apply(&read).unwrap(), text.as_bytes());
        let changes = Changes {
            extents: vec![Some("b-delta.vmdk".into())],
            hint: Some("y.vmdk".into()),
            drop_change_tracking: true,
        };
        let changed = String::from_utf8(changes.apply(&read).unwrap()).unwrap();
        let expected = text
            .replace("version=3", "version=1")
            .replace("/vmfs/volumes/x/y.vmdk", "y.vmdk")
            .replace("a-delta", "b-delta")
            .replace("changeTrackPath=\"a-ctk.vmdk\"\n", "");
        assert_eq!(changed, expected);
    }
}
