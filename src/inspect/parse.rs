//! Which format the bytes have, and every field of it.

use vmglean_formats::{
    ByteOffset, Bytes, Checked, Confidence, Defect, FieldNote, Fields, FileKind, FormatError,
    ReadAt,
    container::{EncryptedFile, Envelope as EsxiEnvelope},
    detect::{DETECT_BYTES, Detected},
    esxi::{EsxConf, VmInventory, Vmtar},
    log::VmwareLog,
    nvram::Nvram,
    ovf::{Envelope, Manifest, TarList},
    vmdk::{ChangeTracking, ExtentFormat, OpenedExtent, RunKind, open_descriptor, open_extent},
    vmsd::Vmsd,
    vmsn::{Block, Checkpoint, MAX_SPARE_BYTES, carve},
    vmx::Vmx,
    vmxf::Vmxf,
};

use crate::{
    families::{NameKind, NameParts},
    finding::in_one_line,
    report::inspect::{DefectRecord, FieldRecord},
    report::units::{bytes as size, counted},
};

/// Most bytes of a text taken into memory; a configuration has a few KiB, 16 MiB is the most the
/// parsers believe.
const TEXT_BYTES: usize = 16 << 20;
/// Runs of a sparse extent asked for at a time, and walked in all.
const WINDOW_RUNS: usize = 4096;
const MAX_RUNS: u64 = 40_000_000;
/// Defects listed; the rest is counted.
const MAX_DEFECTS: usize = 1000;

/// What the bytes of one file say.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The format; `None` where none is known.
    pub kind: Option<FileKind>,
    /// The same in words.
    pub format: Option<String>,
    /// What says so.
    pub rests_on: Option<String>,
    /// Every field.
    pub fields: Vec<FieldRecord>,
    /// What does not hold.
    pub defects: Vec<DefectRecord>,
    /// Why it could not be read, or not further.
    pub error: Option<String>,
    /// Copies of other files that lie inside: what a checkpoint keeps of its machine.
    pub spares: Vec<Spare>,
}

/// A whole file that lies inside another.
#[derive(Clone, Debug)]
pub struct Spare {
    /// The ending of the file it is a copy of: `vmx`, `nvram` or `vmxf`.
    pub extension: &'static str,
    /// Its bytes, padding left out.
    pub bytes: Vec<u8>,
}

impl Parsed {
    fn take<T: Fields>(&mut self, read: &Checked<T>) {
        self.notes(&read.value.fields());
        self.defects(&read.defects);
    }

    fn notes(&mut self, notes: &[FieldNote]) {
        self.fields.extend(notes.iter().map(FieldRecord::from));
    }

    fn defects(&mut self, defects: &[Defect]) {
        self.defects.extend(defects.iter().map(DefectRecord::from));
    }

    fn fail(&mut self, error: &FormatError) {
        match error {
            FormatError::Damaged(defect) => self.defects.push(defect.into()),
            FormatError::Unsupported { structure, feature, at } => {
                self.defects.push(DefectRecord {
                    structure: (*structure).to_owned(),
                    field: "feature".to_owned(),
                    offset_bytes: at.0,
                    what: format!("{feature}: not supported"),
                });
            }
            FormatError::Medium { .. } => self.error = Some(in_one_line(error)),
        }
    }

    fn row(&mut self, structure: &str, field: &str, place: (u64, u64), value: String) {
        self.fields.push(FieldRecord {
            structure: structure.to_owned(),
            field: field.to_owned(),
            offset_bytes: place.0,
            length_bytes: place.1,
            value,
            note: None,
        });
    }
}

/// Tells the format of `source` by its bytes and takes it apart. The name decides only between
/// texts of one form.
#[must_use]
pub fn parse(source: &dyn ReadAt, name: &NameParts) -> Parsed {
    let mut parsed = Parsed::default();
    let head = match source.read_up_to(ByteOffset(0), DETECT_BYTES) {
        Ok(head) => head,
        Err(error) => {
            parsed.error = Some(in_one_line(&error));
            return parsed;
        }
    };
    let stem = String::from_utf8_lossy(&name.stem).to_ascii_lowercase();
    let Some(found) = vmglean_formats::detect(&head) else {
        by_name(source, &stem, name.kind, &mut parsed);
        finish(&mut parsed);
        return parsed;
    };
    parsed.kind = Some(found.kind);
    parsed.rests_on = Some(rests_on(&head, found));
    parsed.format = Some(in_words(found.kind).to_owned());
    if let Err(error) = take_apart(source, &head, found.kind, name.kind, &mut parsed) {
        parsed.fail(&error);
    }
    finish(&mut parsed);
    parsed
}

fn finish(parsed: &mut Parsed) {
    if let Some(past) = parsed.defects.get(MAX_DEFECTS) {
        let last = DefectRecord {
            structure: past.structure.clone(),
            field: "defects".to_owned(),
            offset_bytes: past.offset_bytes,
            what: format!("{} more are not listed", parsed.defects.len() - MAX_DEFECTS),
        };
        parsed.defects.truncate(MAX_DEFECTS);
        parsed.defects.push(last);
    }
}

fn text(source: &dyn ReadAt) -> Result<Vec<u8>, FormatError> {
    Ok(source.read_up_to(ByteOffset(0), TEXT_BYTES)?)
}

/// Texts that only their name tells.
fn by_name(source: &dyn ReadAt, stem: &str, kind: NameKind, parsed: &mut Parsed) {
    let (format, manifest) = match stem {
        "esx.conf" => ("host configuration of ESXi (esx.conf)", false),
        "vminventory.xml" => ("registered machines of an ESXi host (vmInventory.xml)", false),
        _ if kind == NameKind::Export && stem.ends_with(".mf") => ("OVF manifest", true),
        _ => return,
    };
    let bytes = match text(source) {
        Ok(bytes) => bytes,
        Err(error) => return parsed.fail(&error),
    };
    match stem {
        _ if manifest => parsed.take(&Manifest::parse(&bytes)),
        "esx.conf" => parsed.take(&EsxConf::parse(&bytes)),
        _ => parsed.take(&VmInventory::parse(&bytes)),
    }
    if !parsed.fields.is_empty() {
        parsed.format = Some(format.to_owned());
        parsed.rests_on = Some(format!("its name {stem}"));
    }
}

fn take_apart(
    source: &dyn ReadAt,
    head: &[u8],
    kind: FileKind,
    name: NameKind,
    parsed: &mut Parsed,
) -> Result<(), FormatError> {
    match kind {
        FileKind::VmdkDescriptor => parsed.take(&open_descriptor(source)?),
        FileKind::VmdkSparse
        | FileKind::VmdkSparseUnfinished
        | FileKind::VmdkCowd
        | FileKind::VmdkSeSparse => extent(source, parsed)?,
        FileKind::ChangeTracking => {
            parsed.take(&ChangeTracking::parse(head).map_err(FormatError::Damaged)?);
        }
        FileKind::Checkpoint => match Checkpoint::parse(source) {
            Ok(read) => {
                parsed.take(&read);
                let spares =
                    [("cfgFile", &read.value.cfg_file), ("nvramFile", &read.value.nvram_file)];
                let last = ("extendedConfigFile", &read.value.extended_config_file);
                for (name, block) in spares.into_iter().chain([last]) {
                    if let Some(block) = block {
                        spare(source, name, block, parsed);
                    }
                }
                if read.value.cfg_file.is_none() {
                    carved(source, parsed);
                }
            }
            Err(error) => {
                parsed.fail(&error);
                carved(source, parsed);
            }
        },
        FileKind::Nvram => parsed.take(&Nvram::parse(&text(source)?)),
        FileKind::EncryptedContainer => parsed.take(&EncryptedFile::parse(source)?),
        FileKind::EsxiEnvelope => parsed.take(&EsxiEnvelope::parse(source)?),
        FileKind::Vmtar => {
            let read = Vmtar::read(source);
            for member in &read.value.members {
                let place = (member.at.0, 512);
                let value = format!("{} at {:#x}", size(member.length.0), member.data_at.0);
                parsed.row("Vmtar", &member.name, place, value);
            }
            parsed.defects(&read.defects);
        }
        FileKind::Dictionary => dictionary(&text(source)?, name, parsed),
        FileKind::Vmxf => parsed.take(&Vmxf::parse(&text(source)?)),
        FileKind::Ovf => parsed.take(&Envelope::parse(&text(source)?)),
        FileKind::Tar => parsed.take(&TarList::read(source)),
        FileKind::VmwareLog => parsed.take(&VmwareLog::parse(source)),
        FileKind::Gzip
        | FileKind::Bzip2
        | FileKind::Xz
        | FileKind::Zstd
        | FileKind::Zip
        | FileKind::SevenZip
        | FileKind::Iso9660
        | FileKind::Ewf
        | FileKind::Qcow2
        | FileKind::Vhdx
        | FileKind::Sqlite
        | FileKind::Png => {}
    }
    Ok(())
}

/// A checkpoint whose table does not lead to its spare files may still hold them.
fn carved(source: &dyn ReadAt, parsed: &mut Parsed) {
    let read = carve(source, ByteOffset(0), ByteOffset(source.len_bytes()));
    for found in &read.value {
        let value = format!("{} at {:#x}", size(found.block.stored.0), found.block.at.0);
        parsed.row("found by its tag", found.name, (found.at.0, found.block.stored.0), value);
        spare(source, found.name, &found.block, parsed);
    }
    parsed.defects(&read.defects);
}

/// Keeps a spare file once, and takes a configuration apart.
fn spare(source: &dyn ReadAt, name: &str, block: &Block, parsed: &mut Parsed) {
    let extension = match name {
        "cfgFile" => "vmx",
        "nvramFile" => "nvram",
        _ => "vmxf",
    };
    let mut bytes = match block.read(source, MAX_SPARE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => return parsed.fail(&error),
    };
    if extension != "nvram" {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(end);
    }
    if extension == "vmx" {
        let read = Vmx::parse(&bytes);
        let mut fields: Vec<FieldRecord> =
            read.value.fields().iter().map(FieldRecord::from).collect();
        let mut defects: Vec<DefectRecord> = read.defects.iter().map(DefectRecord::from).collect();
        // Offsets are those of this file, unless they lie in compressed bytes.
        let base = if block.compressed { 0 } else { block.at.0 };
        for field in &mut fields {
            field.structure = "cfgFile".to_owned();
            field.offset_bytes = field.offset_bytes.saturating_add(base);
        }
        for defect in &mut defects {
            defect.structure = "cfgFile".to_owned();
            defect.offset_bytes = defect.offset_bytes.saturating_add(base);
        }
        parsed.fields.append(&mut fields);
        parsed.defects.append(&mut defects);
    }
    if !parsed.spares.iter().any(|known| known.extension == extension) {
        parsed.spares.push(Spare { extension, bytes });
    }
}

fn dictionary(bytes: &[u8], name: NameKind, parsed: &mut Parsed) {
    let is_list = match name {
        NameKind::Vmsd => true,
        NameKind::Vmx | NameKind::VmxBackup | NameKind::Vmtx => false,
        _ => {
            let read = Vmsd::parse(bytes);
            !read.value.snapshots.is_empty()
        }
    };
    if is_list {
        parsed.format = Some("snapshot list (.vmsd)".to_owned());
        parsed.take(&Vmsd::parse(bytes));
    } else {
        parsed.format = Some("configuration (.vmx)".to_owned());
        parsed.take(&Vmx::parse(bytes));
    }
}

fn extent(source: &dyn ReadAt, parsed: &mut Parsed) -> Result<(), FormatError> {
    let Checked { value: opened, defects } = open_extent(source)?;
    parsed.format = Some(
        match opened.format {
            ExtentFormat::HostedSparse => "hosted sparse extent",
            ExtentFormat::StreamOptimized => "streamOptimized extent",
            ExtentFormat::Cowd => "vmfsSparse extent (ESXi redo log)",
            ExtentFormat::SeSparse => "seSparse extent",
        }
        .to_owned(),
    );
    parsed.notes(&opened.fields);
    parsed.defects(&defects);
    if let Some(read) = &opened.embedded_descriptor {
        parsed.take(read);
    }
    tables(source, &opened, parsed);
    Ok(())
}

/// Walks the tables to their end: what they map, and every entry that does not hold.
fn tables(source: &dyn ReadAt, opened: &OpenedExtent, parsed: &mut Parsed) {
    let capacity = opened.map.capacity().0;
    let (mut at, mut runs_seen) = (0_u64, 0_u64);
    let mut sums = [("stored", 0_u64), ("zero", 0), ("absent", 0), ("lost", 0)];
    let mut first_lost = None;
    while at < capacity && runs_seen < MAX_RUNS {
        let window = opened.map.runs(source, ByteOffset(at), Bytes(capacity - at), WINDOW_RUNS);
        let Checked { value: runs, defects } = match window {
            Ok(read) => read,
            Err(error) => {
                parsed.fail(&error);
                break;
            }
        };
        if parsed.defects.len() <= MAX_DEFECTS {
            parsed.defects(&defects);
        }
        let mut end = at;
        for run in &runs {
            runs_seen += 1;
            end = run.offset.0.saturating_add(run.length.0);
            let which = match run.kind {
                RunKind::Stored { .. } | RunKind::Compressed { .. } => 0,
                RunKind::Zero => 1,
                RunKind::Absent => 2,
                RunKind::Lost => {
                    first_lost.get_or_insert(run.offset.0);
                    3
                }
            };
            if let Some((_, sum)) = sums.get_mut(which) {
                *sum = sum.saturating_add(run.length.0);
            }
        }
        if end <= at {
            break;
        }
        at = end;
    }
    let [(_, stored), _, _, (_, lost)] = sums;
    if at >= capacity
        && lost == 0
        && let Some(unnamed) = opened.unnamed_grains(source, stored)
    {
        parsed.defects(&[unnamed.defect]);
    }
    for (what, sum) in sums {
        let mut value = size(sum);
        if let (Some(first), "lost") = (first_lost, what) {
            value.push_str(&format!(", the first at {first:#x} of the virtual disk"));
        }
        parsed.row("grain tables", what, (0, 0), value);
    }
    parsed.row("grain tables", "runs", (0, 0), counted(runs_seen, "run"));
    if at < capacity {
        let what = format!("walked to {at:#x} of {capacity:#x}, the rest is not known");
        parsed.defects.push(DefectRecord {
            structure: "grain tables".to_owned(),
            field: "runs".to_owned(),
            offset_bytes: 0,
            what,
        });
    }
}

fn rests_on(head: &[u8], found: Detected) -> String {
    let at = usize::try_from(found.at.0).unwrap_or(usize::MAX);
    let length = usize::try_from(found.length.0).unwrap_or(0).min(24);
    let bytes = at.checked_add(length).and_then(|end| head.get(at..end)).unwrap_or_default();
    let shown = if bytes.iter().all(|byte| (0x20..0x7f).contains(byte)) && !bytes.is_empty() {
        format!("{:?}", String::from_utf8_lossy(bytes))
    } else {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    };
    let word = match found.confidence {
        Confidence::Magic => "magic",
        Confidence::Likely => "words",
        Confidence::Trace => "a trace behind a lost head,",
    };
    format!("{word} {shown} at {:#x}", found.at.0)
}

/// A format as people name it.
fn in_words(kind: FileKind) -> &'static str {
    match kind {
        FileKind::VmdkDescriptor => "VMDK descriptor",
        FileKind::VmdkSparse => "hosted sparse extent",
        FileKind::VmdkSparseUnfinished => "hosted sparse extent that was never finished",
        FileKind::VmdkCowd => "vmfsSparse extent (ESXi redo log)",
        FileKind::VmdkSeSparse => "seSparse extent",
        FileKind::ChangeTracking => "changed block tracking (-ctk.vmdk)",
        FileKind::Checkpoint => "checkpoint (.vmsn, .vmss)",
        FileKind::Nvram => "firmware memory (.nvram)",
        FileKind::EncryptedContainer => "container of a machine encrypted by VMware itself",
        FileKind::EsxiEnvelope => "encrypted envelope of an ESXi host",
        FileKind::Vmtar => "vmtar archive",
        FileKind::Dictionary => "dictionary text",
        FileKind::Vmxf => "team configuration (.vmxf)",
        FileKind::Ovf => "OVF envelope",
        FileKind::Tar => "tar archive (OVA where it holds an .ovf)",
        FileKind::Gzip => "gzip stream",
        FileKind::Bzip2 => "bzip2 stream",
        FileKind::Xz => "xz stream",
        FileKind::Zstd => "zstd stream",
        FileKind::Zip => "zip archive",
        FileKind::SevenZip => "7z archive",
        FileKind::Iso9660 => "ISO 9660 image",
        FileKind::Ewf => "EWF image (.E01)",
        FileKind::Qcow2 => "qcow2 image",
        FileKind::Vhdx => "VHDX image",
        FileKind::Sqlite => "SQLite database",
        FileKind::Png => "PNG picture",
        FileKind::VmwareLog => "vmware.log",
    }
}
