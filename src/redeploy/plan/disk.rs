//! Disks that can travel: what stands behind a name, and how its bytes are read for the way.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use vmglean_formats::{
    ByteOffset, Confidence, FileKind, MediumError, ReadAt as _, detect,
    detect::DETECT_BYTES,
    vmdk::{ContentId, Descriptor, ExtentKind, SparseFlags, SparseHeader},
};

use super::{
    Disk, Machine,
    source::{SourceError, Stretch, open, read_small, relative, stamp},
    vmx::directory,
};
use crate::{
    disk::{Chain, Companions, FolderCompanions, open_chain},
    finding::{Weight, in_one_line},
    redeploy::vsphere::Controller,
    salvage::descriptor::{ExtentWord, Lost},
    source::{Access, EvidenceRoot, SourceFile},
};

const MAX_DESCRIPTOR: u64 = 64 << 10;
const SECTOR: u64 = 512;
const CONSOLIDATE: &str = "cannot travel as it is; make one disk of it first (vmglean consolidate)";

/// What a disk's `data` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A flat file with its own descriptor, or a stream.
    #[default]
    AsIs,
    /// The disk's bytes and nothing else; its descriptor is written anew.
    Raw,
    /// A sparse disk: unpacked on the way, its descriptor is written anew.
    Sparse,
}

impl Form {
    pub(super) fn is_as_is(&self) -> bool {
        *self == Self::AsIs
    }
}

/// What stands behind a disk's name.
pub(super) struct Found {
    pub(super) form: Form,
    pub(super) descriptor: Option<PathBuf>,
    pub(super) data: PathBuf,
    /// Bytes that travel.
    pub(super) size: u64,
    pub(super) capacity: u64,
    pub(super) modified: String,
}

impl Found {
    pub(super) fn at(self, controller: Controller, bus: u32, unit: u32) -> Disk {
        Disk {
            controller,
            bus,
            unit,
            capacity_bytes: self.capacity,
            form: self.form,
            descriptor: self.descriptor,
            data: self.data,
            offset_bytes: 0,
            size_bytes: self.size,
            modified: self.modified,
            sha256: None,
        }
    }
}

impl Disk {
    /// Whether it travels as a stream; else as descriptor and flat file.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.form == Form::AsIs && self.descriptor.is_none()
    }

    /// The names of its descriptor and of its flat file on the datastore. `None` for a stream,
    /// and for names that are no text.
    #[must_use]
    pub fn names(&self) -> Option<(String, String)> {
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        if let Some(descriptor) = &self.descriptor {
            return Some((name(descriptor)?, name(&self.data)?));
        }
        if self.is_stream() {
            return None;
        }
        let stem = directory(&stem(&self.data)?);
        Some((format!("{stem}.vmdk"), format!("{stem}-flat.vmdk")))
    }

    /// The text of a descriptor for a disk that has none of its own.
    #[must_use]
    pub fn written_descriptor(&self, flat: &str) -> Vec<u8> {
        let lost = Lost {
            word: ExtentWord::Vmfs,
            extents: vec![(flat.to_owned(), self.size_bytes / SECTOR)],
            // What VMware gives a disk that was never written to by a machine.
            cid: ContentId(0xffff_fffe),
            parent: None,
            adapter: match self.controller {
                Controller::Ide => "ide",
                Controller::BusLogic => "buslogic",
                _ => "lsilogic",
            },
            logged_geometry: None,
            uuid: None,
            long_content_id: None,
            hardware_version: None,
        };
        lost.write()
    }

    /// Its bytes as they travel, from front to back.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn read(&self, machine: &Machine) -> Result<Stretch, SourceError> {
        if self.form != Form::Sparse {
            let file = machine.open(&self.data)?;
            file.advise_sequential();
            return Ok(Stretch::new(file, self.offset_bytes, self.size_bytes));
        }
        let path = machine.base().join(&self.data);
        let chain = chain(&machine.base(), &self.data)
            .map_err(|reason| SourceError { path: path.clone(), reason })?;
        let disk = chain.into_disk();
        if disk.capacity_bytes() != self.size_bytes {
            let reason = format!("holds {} bytes now", disk.capacity_bytes());
            return Err(SourceError { path, reason });
        }
        Ok(Stretch::new(disk, 0, self.size_bytes))
    }
}

/// `web` of `web.vmdk`, `web-flat.vmdk` and `web.raw`.
pub(super) fn stem(name: &Path) -> Option<String> {
    let stem = name.file_stem()?.to_str()?;
    Some(stem.strip_suffix("-flat").filter(|stem| !stem.is_empty()).unwrap_or(stem).to_owned())
}

/// Opens the disk that `name` is. `Err` says why not.
pub(super) fn chain(folder: &Path, name: &Path) -> Result<Chain, String> {
    let root = EvidenceRoot::open(folder, Access::Read).map_err(|error| error.to_string())?;
    let companions: Arc<dyn Companions> = Arc::new(FolderCompanions::new(Arc::new(root)));
    let leaf = relative(name)?;
    open_chain(&companions, &leaf).map_err(|error| in_one_line(&error))
}

/// Looks at a disk's file: a descriptor with one flat extent, a sparse disk, or a stream.
pub(super) fn look(folder: &Path, name: &Path) -> Result<Found, String> {
    let shown = folder.join(name);
    let no = |why: &str| Err(format!("{}: {why}", shown.display()));
    if !is_plain(name) {
        return no("lies in another folder; bring the machine's files together first");
    }
    let file = open(folder, name).map_err(|error| error.to_string())?;
    let head = file.read_up_to(ByteOffset(0), 512).map_err(|error| error.to_string())?;
    if let Ok(read) = SparseHeader::parse(&head, ByteOffset(0)) {
        let header = read.value;
        let stream = header.flags.contains(SparseFlags::COMPRESSED | SparseFlags::MARKERS);
        if stream && header.version < 3 {
            return no(
                "a stream of a version hosts call too old; write it anew (vmglean consolidate -O stream)",
            );
        }
        let capacity = match whole(folder, name) {
            Ok(capacity) => capacity,
            Err(why) => return no(&why),
        };
        return Ok(Found {
            form: if stream { Form::AsIs } else { Form::Sparse },
            descriptor: None,
            data: name.to_path_buf(),
            size: if stream { file.len_bytes() } else { capacity },
            capacity,
            modified: stamp(&file),
        });
    }
    if file.len_bytes() > MAX_DESCRIPTOR {
        return no("is neither a descriptor nor a stream");
    }
    described(folder, name)
}

/// The flat file behind a descriptor.
fn described(folder: &Path, name: &Path) -> Result<Found, String> {
    let shown = folder.join(name);
    let no = |why: &str| Err(format!("{}: {why}", shown.display()));
    let text = read_small(folder, name, MAX_DESCRIPTOR).map_err(|error| error.to_string())?;
    let read = Descriptor::parse(&text, ByteOffset(0)).value;
    if read.has_parent() {
        return no(&format!("a snapshot's disk {CONSOLIDATE}"));
    }
    let extent = match read.extents.as_slice() {
        [extent] => extent,
        [] => return no("is no disk"),
        _ => return no(&format!("a disk of several parts {CONSOLIDATE}")),
    };
    if !matches!(extent.kind, ExtentKind::Flat | ExtentKind::Vmfs)
        || extent.offset.is_some_and(|offset| offset.0 != 0)
    {
        return no(&format!("a disk of kind {} {CONSOLIDATE}", extent.kind_word));
    }
    let Some(data) = extent.name.as_deref().map(PathBuf::from) else {
        return no("names no flat file");
    };
    if !is_plain(&data) {
        return no("names a flat file in another folder; bring the machine's files together first");
    }
    let flat = match open(folder, &data) {
        Ok(flat) => flat,
        Err(error) => return no(&format!("its flat file cannot be had: {error}")),
    };
    let capacity = extent.length.to_bytes().map(|bytes| bytes.0);
    if capacity != Some(flat.len_bytes()) {
        return no(&format!(
            "says {} bytes, its flat file has {}; rebuild the descriptor first (vmglean salvage)",
            capacity.unwrap_or_default(),
            flat.len_bytes()
        ));
    }
    Ok(Found {
        form: Form::AsIs,
        descriptor: Some(name.to_path_buf()),
        size: flat.len_bytes(),
        capacity: flat.len_bytes(),
        modified: stamp(&flat),
        data,
    })
}

/// The virtual size of a sparse disk or a stream of which every byte can be had. `Err` says what
/// is in the way: a hole in its tables must not become zeros on a host.
fn whole(folder: &Path, name: &Path) -> Result<u64, String> {
    let judge = "; look at it first (vmglean map), or take what is left (vmglean consolidate)";
    let chain = chain(folder, name)?;
    let [link] = chain.links.as_slice() else {
        return Err(format!("a snapshot's disk {CONSOLIDATE}"));
    };
    if link.has_parent || !chain.is_complete() {
        return Err(format!("a snapshot's disk {CONSOLIDATE}"));
    }
    // A part of a split disk leads to the descriptor that names it.
    if link.extents.len() > 1 || link.path != relative(name)? {
        return Err(format!("a part of a disk of several parts {CONSOLIDATE}"));
    }
    let grave = chain.findings.iter().find(|finding| finding.weight != Weight::Note);
    if let Some(finding) = grave {
        return Err(format!("{}{judge}", finding.what));
    }
    let disk = chain.disk();
    let (mut reached, capacity) = (0, disk.capacity_bytes());
    for batch in disk.walk(0, capacity) {
        if let Some(run) = batch.runs.iter().find(|run| run.state.is_gone()) {
            return Err(format!("{}{judge}", disk.gone(run)));
        }
        reached = batch.end(reached);
    }
    if reached != capacity || capacity == 0 {
        return Err(format!("its tables cover {reached} of {capacity} bytes{judge}"));
    }
    match disk.unnamed_grains(0).or_else(|| disk.mended_tables(0)) {
        Some(why) => Err(format!("{why}{judge}")),
        None => Ok(capacity),
    }
}

/// What a file is by its first bytes; `None` for a raw disk, and for anything not known.
pub(super) fn kind(file: &SourceFile) -> Result<Option<FileKind>, MediumError> {
    let take = usize::try_from(file.len_bytes()).unwrap_or(usize::MAX).min(DETECT_BYTES);
    let head = file.read_up_to(ByteOffset(0), take)?;
    let seen = detect(&head).filter(|seen| seen.confidence != Confidence::Trace);
    Ok(seen.map(|seen| seen.kind))
}

/// Any disk that a person names: as [`look`], or bytes and nothing else.
pub(super) fn named(folder: &Path, name: &Path) -> Result<Found, String> {
    let shown = folder.join(name);
    let no = |why: String| Err(format!("{}: {why}", shown.display()));
    let file = open(folder, name).map_err(|error| error.to_string())?;
    let length = file.len_bytes();
    if length == 0 {
        return no("is empty".to_owned());
    }
    match kind(&file).map_err(|error| error.to_string())? {
        Some(FileKind::VmdkDescriptor | FileKind::VmdkSparse) => return look(folder, name),
        Some(kind) => {
            let word = serde_json::to_value(kind).unwrap_or_default();
            return no(format!("is no disk by its first bytes ({})", word.as_str().unwrap_or("?")));
        }
        None => {}
    }
    let ending = name.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
    let is_flat = ending.as_deref() == Some("vmdk")
        && name.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("-flat"));
    if !is_flat && !matches!(ending.as_deref(), Some("raw" | "img" | "dd")) {
        return no(
            "is no machine, disk or sweep record (.vmx, .ovf, .ova, .vmdk, .raw, .json, .jsonl)"
                .to_owned(),
        );
    }
    if length % SECTOR != 0 {
        return no(format!(
            "has {length} bytes, no whole number of sectors; look at it first (vmglean map)"
        ));
    }
    Ok(Found {
        form: Form::Raw,
        descriptor: None,
        data: name.to_path_buf(),
        size: length,
        capacity: length,
        modified: stamp(&file),
    })
}

/// A name without any folder.
pub(super) fn is_plain(name: &Path) -> bool {
    let text = name.to_string_lossy();
    !text.contains(['/', '\\']) && !matches!(text.as_ref(), "" | "." | "..")
}
