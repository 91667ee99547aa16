//! Reads one file just far enough to know what it is.

use std::os::unix::ffi::OsStrExt as _;

use vmglean_formats::{
    ByteOffset, Checked, Defect, DefectKind, FormatError, ReadAt as _,
    detect::{Confidence, DETECT_BYTES, Detected, FileKind, detect},
    nvram::Nvram,
    vmdk::{
        Descriptor, OpenedExtent, descriptor::looks_like_descriptor, open_descriptor, open_extent,
    },
    vmsd::Vmsd,
    vmx::Vmx,
    vmxf::Vmxf,
};

use super::{
    facts::{CheckpointFacts, DescriptorFacts, SnapshotFacts, VmxFacts},
    file::{CatalogFile, Content},
};
use crate::{
    families::{Families, NameKind, SuffixMeaning, split_suffix},
    finding::{Finding, Weight, in_one_line},
    source::{EvidenceRoot, Found, FoundKind, OpenError, SourceFile},
};

/// Configurations and snapshot lists longer than this are not read whole; real ones stay far
/// below (the longest of 40 seen has 14 KiB).
const TEXT_LIMIT: usize = 4 << 20;
/// Descriptors that are files of their own are small texts; anything longer under that name is a
/// disk with its descriptor inside.
const DESCRIPTOR_FILE_BYTES: u64 = 64 << 10;
/// Files of no VMware name up to this size may be notes.
pub(super) const NOTE_LIMIT: u64 = 256 << 10;
/// Defects of one file that become findings of their own; the rest is counted.
const DEFECTS_SHOWN: usize = 5;

/// Reads `found` below source number `root_index`.
#[must_use]
pub fn read_file(
    root: &EvidenceRoot,
    root_index: usize,
    found: &Found,
    families: &Families,
) -> CatalogFile {
    let mut name = split_suffix(found.path.file_name().as_bytes(), families);
    // What a locker leaves beside its victim is not the victim under another name.
    if name.suffixes.iter().any(|suffix| suffix.meaning == SuffixMeaning::Sidecar) {
        name.stem = found.path.file_name().as_bytes().to_vec();
        name.kind = NameKind::Other;
    }
    let mut file = CatalogFile {
        root: root_index,
        shown: root.display(&found.path),
        path: found.path.clone(),
        size_bytes: 0,
        mtime_ns: 0,
        ctime_ns: 0,
        inode: 0,
        name,
        content: Content::Other,
        begins_partitioned: false,
        findings: Vec::new(),
    };
    let opened = match found.kind {
        FoundKind::File => root.open_listed(&found.path),
        FoundKind::Symlink | FoundKind::Special => root.open_file(&found.path),
    };
    match opened {
        Ok(source) => {
            file.size_bytes = source.stamp().len_bytes;
            file.mtime_ns = source.stamp().mtime_ns;
            file.ctime_ns = source.stamp().ctime_ns;
            file.inode = source.stamp().inode;
            match classify(&source, &mut file) {
                Ok(content) => {
                    // Somebody's copy of a configuration: the machine is not made of it, and can
                    // be had back from it.
                    if file.name.kind == NameKind::Vmx
                        && file.name.is_copy()
                        && matches!(content, Content::Vmx(_))
                    {
                        file.name.kind = NameKind::VmxBackup;
                    }
                    file.content = content;
                }
                Err(error) => unreadable(&mut file, &in_one_line(&error)),
            }
        }
        Err(error) => refused(&mut file, &error),
    }
    file
}

fn unreadable(file: &mut CatalogFile, why: &str) {
    file.content = Content::Refused;
    let next = "read it from another copy, or image the disk it lies on first";
    push(file, "file.unreadable", Weight::Unreadable, why.to_owned(), Some(next));
}

fn refused(file: &mut CatalogFile, error: &OpenError) {
    file.content = Content::Refused;
    let ours = file.name.kind != NameKind::Other;
    let (code, weight, next) = match error {
        OpenError::Symlink => (
            "file.symlink",
            if ours { Weight::Damage } else { Weight::Note },
            Some("name the place it leads to as a source of its own if it belongs to the evidence"),
        ),
        OpenError::Special(_) => {
            ("file.special", if ours { Weight::Damage } else { Weight::Note }, None)
        }
        OpenError::NotFound => ("file.vanished", Weight::Unreadable, None),
        OpenError::Io(_) => {
            ("file.unreadable", Weight::Unreadable, Some("run with the right to read it"))
        }
    };
    push(file, code, weight, format!("not opened: {error}"), next);
}

fn push(file: &mut CatalogFile, code: &str, weight: Weight, what: String, next: Option<&str>) {
    file.findings.push(Finding {
        code: code.to_owned(),
        weight,
        path: file.shown.to_string_lossy().into_owned(),
        offset_bytes: None,
        what,
        next: next.map(str::to_owned),
    });
}

fn push_defects(file: &mut CatalogFile, defects: &[Defect]) {
    for defect in defects.iter().take(DEFECTS_SHOWN) {
        // A repeated key is odd, not torn: VMware reads such a file.
        let is_odd = matches!(defect.kind, DefectKind::Duplicate { .. });
        file.findings.push(Finding {
            code: "file.defect".to_owned(),
            weight: if is_odd { Weight::Note } else { Weight::Damage },
            path: file.shown.to_string_lossy().into_owned(),
            offset_bytes: Some(defect.at.0),
            what: defect.to_string(),
            next: (defect.field == "length" && matches!(defect.kind, DefectKind::Limit { .. }))
                .then(|| "no more than that was read; see what else lies in it".to_owned()),
        });
    }
    if defects.len() > DEFECTS_SHOWN {
        let more = defects.len() - DEFECTS_SHOWN;
        let next = "vmglean inspect lists them all";
        push(file, "file.defect", Weight::Damage, format!("{more} more defects"), Some(next));
    }
}

fn classify(source: &SourceFile, file: &mut CatalogFile) -> Result<Content, FormatError> {
    if file.size_bytes == 0 {
        return Ok(Content::Empty);
    }
    Ok(match file.name.kind {
        NameKind::Vmdk
        | NameKind::Delta
        | NameKind::SeSparse
        | NameKind::SparseExtent
        | NameKind::ChangeTracking => disk_file(source, file)?,
        NameKind::Flat | NameKind::RawDeviceMap => Content::Flat,
        NameKind::Vmx | NameKind::VmxBackup | NameKind::Vmtx => configuration(source, file)?,
        NameKind::Vmsd => {
            let Checked { value, defects } = Vmsd::parse(&text(source)?);
            if !defects.is_empty() && value.snapshots.is_empty() {
                return Ok(unfit("a snapshot list", &defects));
            }
            push_defects(file, &defects);
            Content::Snapshots(SnapshotFacts::new(&value, defects))
        }
        NameKind::Vmsn | NameKind::Vmss => {
            promised(source, file, "a checkpoint", FileKind::Checkpoint)?
        }
        NameKind::Nvram => promised(source, file, "firmware memory", FileKind::Nvram)?,
        NameKind::Vmxf => promised(source, file, "a .vmxf", FileKind::Vmxf)?,
        NameKind::Log => promised(source, file, "a log", FileKind::VmwareLog)?,
        NameKind::Export => {
            let head = source.read_up_to(ByteOffset(0), DETECT_BYTES)?;
            detect(&head).map_or(Content::Other, |found| Content::Known(found.kind))
        }
        NameKind::Vmem | NameKind::Vswp | NameKind::Media => Content::Raw,
        NameKind::Lock | NameKind::OtherVmware => Content::Other,
        NameKind::Other => stranger(source, file)?,
    })
}

/// A file whose name VMware did not give: a note, or a disk whose name was replaced whole.
fn stranger(source: &SourceFile, file: &mut CatalogFile) -> Result<Content, FormatError> {
    if file.size_bytes <= NOTE_LIMIT {
        return Ok(Content::Small);
    }
    let head = source.read_up_to(ByteOffset(0), DETECT_BYTES)?;
    let disk = detect(&head).is_some_and(|found| {
        matches!(found.kind, FileKind::VmdkSparse | FileKind::VmdkCowd | FileKind::VmdkSeSparse)
    });
    if disk {
        return disk_file(source, file);
    }
    file.begins_partitioned = begins_partitioned(&head);
    Ok(Content::Other)
}

/// Whether `head` begins with a boot record whose entries make sense, or with a GPT.
fn begins_partitioned(head: &[u8]) -> bool {
    // An entry begins with 0x80 or 0; its type stands at its fifth byte.
    let entries = || head.get(446..510).unwrap_or_default().chunks_exact(16);
    let mbr = head.get(510..512) == Some(&[0x55, 0xaa])
        && entries().all(|entry| matches!(entry.first(), Some(0 | 0x80)))
        && entries().any(|entry| entry.get(4).is_some_and(|kind| *kind != 0));
    mbr || head.get(512..520) == Some(b"EFI PART")
}

fn text(source: &SourceFile) -> Result<Vec<u8>, FormatError> {
    Ok(source.read_up_to(ByteOffset(0), TEXT_LIMIT)?)
}

fn unfit(promised: &'static str, defects: &[Defect]) -> Content {
    let why = defects.first().map_or_else(
        || "nothing in it is understood".to_owned(),
        |first| match defects.len() {
            1 => first.to_string(),
            n => format!("{first} (and {} more)", n - 1),
        },
    );
    Content::Unfit { promised, why }
}

fn promised(
    source: &SourceFile,
    file: &mut CatalogFile,
    promised: &'static str,
    kind: FileKind,
) -> Result<Content, FormatError> {
    let head = source.read_up_to(ByteOffset(0), DETECT_BYTES)?;
    Ok(match detect(&head) {
        Some(found) if found.kind == kind && kind == FileKind::VmwareLog => Content::Log,
        Some(found) if found.kind == kind && kind == FileKind::Checkpoint => {
            let (facts, defects) = CheckpointFacts::read(source)?;
            push_defects(file, &defects);
            Content::Checkpoint(facts)
        }
        Some(found) if found.kind == kind && kind == FileKind::Nvram => {
            push_defects(file, &Nvram::parse(&text(source)?).defects);
            Content::Known(kind)
        }
        Some(found) if found.kind == kind && kind == FileKind::Vmxf => {
            push_defects(file, &Vmxf::parse(&text(source)?).defects);
            Content::Known(kind)
        }
        // VMware encrypts these small files of an encrypted machine in a container of its own.
        Some(found) if found.kind == kind || found.kind == FileKind::EncryptedContainer => {
            Content::Known(found.kind)
        }
        Some(found) => Content::Unfit {
            promised,
            why: format!("its first bytes are those of {:?}", found.kind),
        },
        None => Content::Unfit { promised, why: "its first bytes are of no known kind".to_owned() },
    })
}

fn configuration(source: &SourceFile, file: &mut CatalogFile) -> Result<Content, FormatError> {
    let text = text(source)?;
    if let Some(found) = detect(text.get(..16).unwrap_or(&text))
        && found.kind == FileKind::EncryptedContainer
    {
        return Ok(Content::Known(found.kind));
    }
    let Checked { value, defects } = Vmx::parse(&text);
    let facts = VmxFacts::new(&value, defects);
    let says_nothing = facts.display_name.is_none()
        && facts.disks.is_empty()
        && value.hardware_version.is_none()
        && facts.encryption == super::facts::VmwareEncryption::None;
    if says_nothing {
        return Ok(unfit("a configuration", &facts.defects));
    }
    push_defects(file, &facts.defects);
    Ok(Content::Vmx(Box::new(facts)))
}

fn disk_file(source: &SourceFile, file: &mut CatalogFile) -> Result<Content, FormatError> {
    let head = source.read_up_to(ByteOffset(0), DETECT_BYTES)?;
    // Words of a descriptor behind a lost head are the one inside a disk, where the file is long.
    let inner = |found: &Detected| {
        found.kind == FileKind::VmdkDescriptor
            && found.confidence == Confidence::Trace
            && file.size_bytes > DESCRIPTOR_FILE_BYTES
    };
    let found = detect(&head);
    if let Some(found) = found.filter(inner) {
        let why = format!(
            "its header is lost, though the descriptor inside still shows words at {:#x}",
            found.at.0
        );
        return Ok(Content::Unfit { promised: "a disk", why });
    }
    let kind = found.map(|found| found.kind);
    if kind == Some(FileKind::VmdkDescriptor) || looks_like_descriptor(&head) {
        let whole = head.len() as u64 == file.size_bytes && !head.starts_with(b"KDMV");
        let Checked { value, defects } =
            if whole { Descriptor::parse(&head, ByteOffset(0)) } else { open_descriptor(source)? };
        push_defects(file, &defects);
        return Ok(Content::Descriptor(Box::new(DescriptorFacts::new(&value, defects))));
    }
    match kind {
        Some(FileKind::VmdkSparse | FileKind::VmdkCowd | FileKind::VmdkSeSparse) => {
            sparse(source, file)
        }
        Some(FileKind::ChangeTracking) => Ok(Content::ChangeTracking),
        Some(FileKind::EncryptedContainer) => Ok(Content::Known(FileKind::EncryptedContainer)),
        other => Ok(lost_disk_head(file, other)),
    }
}

/// A disk's file whose first bytes are no VMDK's.
fn lost_disk_head(file: &CatalogFile, other: Option<FileKind>) -> Content {
    let promised = match file.name.kind {
        NameKind::Delta => "a vmfsSparse delta",
        NameKind::SeSparse => "a seSparse delta",
        NameKind::SparseExtent => "a sparse extent",
        NameKind::ChangeTracking => "change tracking",
        _ if file.size_bytes <= DESCRIPTOR_FILE_BYTES => "a descriptor",
        _ => "a disk",
    };
    let why = match other {
        Some(kind) => format!("its first bytes are those of {kind:?}"),
        None => "its first bytes are of no known kind".to_owned(),
    };
    Content::Unfit { promised, why }
}

fn sparse(source: &SourceFile, file: &mut CatalogFile) -> Result<Content, FormatError> {
    match open_extent(source) {
        Ok(Checked { value, defects }) => {
            push_defects(file, &defects);
            let OpenedExtent { format, capacity, embedded_descriptor, .. } = value;
            let embedded = embedded_descriptor.map(|Checked { value, defects }| {
                push_defects(file, &defects);
                Box::new(DescriptorFacts::new(&value, defects))
            });
            let capacity_bytes = capacity.to_bytes().map(|bytes| bytes.0);
            Ok(Content::Sparse { format, capacity_bytes, embedded })
        }
        Err(FormatError::Damaged(defect)) => {
            let fit = lost_disk_head(file, None);
            let Content::Unfit { promised, .. } = fit else { return Ok(fit) };
            Ok(Content::Unfit { promised, why: defect.to_string() })
        }
        Err(FormatError::Unsupported { structure, feature, at }) => {
            let why = format!("{structure} at {at} uses {feature}");
            Ok(Content::Unfit { promised: "a supported disk", why })
        }
        Err(error @ FormatError::Medium { .. }) => Err(error),
    }
}
