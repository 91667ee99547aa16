//! The few facts kept of each small file, so that memory stays small whatever the datastore.

use vmglean_formats::{
    Checked, Defect, DefectKind, FormatError, ReadAt,
    vmdk::{Access, CreateType, Descriptor, ExtentKind, descriptor::ContentId},
    vmsd::Vmsd,
    vmsn::Checkpoint,
    vmx::{Encryption, Vmx},
};

/// One extent line, without what only quoting needs.
#[derive(Clone, Debug)]
pub struct ExtentLine {
    /// What stands behind it.
    pub kind: ExtentKind,
    /// The file, device or object it names; empty where it names none.
    pub name: Box<str>,
    /// Virtual length; `None` past 2^64.
    pub length_bytes: Option<u64>,
    /// Where it begins in that file; `None` past 2^64.
    pub offset_bytes: Option<u64>,
    /// How it may be used.
    pub access: Access,
}

/// What a descriptor says of its disk.
#[derive(Clone, Debug)]
pub struct DescriptorFacts {
    /// `createType`.
    pub create_type: Option<CreateType>,
    /// `CID`.
    pub cid: Option<ContentId>,
    /// `parentCID`, [`ContentId::NO_PARENT`] where it says that there is none.
    pub parent_cid: Option<ContentId>,
    /// `ddb.longContentID`.
    pub long_content_id: Option<String>,
    /// `ddb.uuid`.
    pub uuid: Option<String>,
    /// Whether the disk is a delta.
    pub has_parent: bool,
    /// `parentFileNameHint`.
    pub hint: Option<String>,
    /// The extent lines.
    pub extents: Box<[ExtentLine]>,
    /// Sum of the extents' sectors.
    pub capacity_sectors: Option<u64>,
    /// VMware itself encrypts this disk.
    pub vmware_encrypted: bool,
    /// What was wrong with the text.
    pub defects: Vec<Defect>,
}

impl DescriptorFacts {
    pub(super) fn new(descriptor: &Descriptor, defects: Vec<Defect>) -> Self {
        Self {
            create_type: descriptor.create_type(),
            cid: descriptor.cid(),
            parent_cid: descriptor.parent_cid(),
            long_content_id: descriptor.long_content_id().map(str::to_owned),
            uuid: descriptor.uuid().map(str::to_owned),
            has_parent: descriptor.has_parent(),
            hint: descriptor.parent_file_name_hint().map(str::to_owned),
            capacity_sectors: descriptor.capacity().map(|sectors| sectors.0),
            vmware_encrypted: descriptor.is_vmware_encrypted(),
            extents: descriptor
                .extents
                .iter()
                .map(|line| ExtentLine {
                    kind: line.kind,
                    name: line.name.clone().unwrap_or_default().into_boxed_str(),
                    length_bytes: line.length.to_bytes().map(|bytes| bytes.0),
                    offset_bytes: line.offset.map_or(Some(0), |at| Some(at.to_bytes()?.0)),
                    access: line.access,
                })
                .collect(),
            defects,
        }
    }

    /// Virtual size in bytes, where the extent lines add up to one.
    #[must_use]
    pub fn capacity_bytes(&self) -> Option<u64> {
        self.capacity_sectors?.checked_mul(512)
    }
}

/// Whether and how VMware itself encrypts a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VmwareEncryption {
    /// Not at all.
    #[default]
    None,
    /// Only secrets, for a virtual TPM: the disks are clear.
    SecretsOnly,
    /// The whole configuration, and as a rule the disks.
    Whole,
    /// A key safe without its data: nothing tells.
    Unclear,
}

/// What a configuration says.
#[derive(Clone, Debug)]
pub struct VmxFacts {
    /// `displayName`.
    pub display_name: Option<String>,
    /// `uuid.bios`.
    pub uuid_bios: Option<String>,
    /// Node and file name of each hard disk that is present; an empty name where none is told.
    pub disks: Vec<(String, String)>,
    /// The suspended state that the next power-on goes on from.
    pub vm_state: Option<String>,
    /// VMware's own encryption.
    pub encryption: VmwareEncryption,
    /// Whether it reads as a whole configuration: nothing torn, nothing foreign in it.
    pub whole: bool,
    /// What was wrong with the text.
    pub defects: Vec<Defect>,
}

impl VmxFacts {
    pub(super) fn new(vmx: &Vmx, defects: Vec<Defect>) -> Self {
        let disks = vmx
            .disks()
            .map(|disk| (disk.node.clone(), disk.file_name.clone().unwrap_or_default()))
            .collect();
        let encryption = match &vmx.encryption {
            Encryption::None => VmwareEncryption::None,
            Encryption::Partial { .. } => VmwareEncryption::SecretsOnly,
            Encryption::Whole { .. } => VmwareEncryption::Whole,
            Encryption::Undetermined { .. } => VmwareEncryption::Unclear,
        };
        // A repeated key is odd, not torn: VMware reads such a file.
        let whole = !defects.iter().any(|d| !matches!(d.kind, DefectKind::Duplicate { .. }));
        Self {
            display_name: vmx.display_name.clone(),
            uuid_bios: vmx.uuid_bios.clone(),
            disks,
            vm_state: vmx.vm_state.clone().filter(|name| !name.is_empty()),
            encryption,
            whole,
            defects,
        }
    }
}

/// One snapshot point of a `.vmsd`.
#[derive(Clone, Debug)]
pub struct SnapshotPoint {
    /// Its name.
    pub display_name: Option<String>,
    /// When it was taken, microseconds since 1970 UTC.
    pub created_us: Option<u64>,
    /// Its state, a `.vmsn`, as written.
    pub state_file: Option<String>,
    /// The disks it froze, as written.
    pub disks: Vec<String>,
}

/// What a snapshot list says.
#[derive(Clone, Debug, Default)]
pub struct SnapshotFacts {
    /// Its points.
    pub points: Vec<SnapshotPoint>,
    /// What was wrong with the text.
    pub defects: Vec<Defect>,
}

impl SnapshotFacts {
    pub(super) fn new(vmsd: &Vmsd, defects: Vec<Defect>) -> Self {
        let points = vmsd
            .snapshots
            .iter()
            .map(|node| SnapshotPoint {
                display_name: node.display_name.clone(),
                created_us: node.create_time_us,
                state_file: node.file_name.clone().filter(|name| !name.is_empty()),
                disks: node.disks.iter().filter_map(|disk| disk.file_name.clone()).collect(),
            })
            .collect();
        Self { points, defects }
    }
}

/// What a checkpoint file can give back.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckpointFacts {
    /// It holds a copy of the configuration.
    pub has_configuration: bool,
}

impl CheckpointFacts {
    /// What `source` holds, and what is wrong with it.
    pub(super) fn read(source: &dyn ReadAt) -> Result<(Self, Vec<Defect>), FormatError> {
        match Checkpoint::parse(source) {
            Ok(Checked { value, defects }) => {
                Ok((Self { has_configuration: value.cfg_file.is_some() }, defects))
            }
            Err(FormatError::Damaged(defect)) => Ok((Self::default(), vec![defect])),
            Err(FormatError::Unsupported { .. }) => Ok((Self::default(), Vec::new())),
            Err(error @ FormatError::Medium { .. }) => Err(error),
        }
    }
}
