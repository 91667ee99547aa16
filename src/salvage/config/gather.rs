//! Every file of a machine that repeats its configuration, read.

use vmglean_formats::{
    ByteOffset, Checked, ReadAt, detect,
    log::VmwareLog,
    nvram::{FirmwareKind, Nvram},
    vmsd::Vmsd,
    vmsn::{Block, Checkpoint, MAX_SPARE_BYTES, carve},
    vmxf::Vmxf,
};

use super::piece::{Piece, PieceKind};
use crate::{
    catalog::{CatalogFile, FileId, Index, Machine},
    families::NameKind,
    finding::{Finding, Weight},
    source::{EvidenceRoot, OpenError, RecordPath, SourceFile},
};

/// Longest text read as a configuration.
const TEXT_BYTES: usize = 4 << 20;
/// Most logs and checkpoints read of one machine.
const MAX_FILES: usize = 256;
/// Of a checkpoint whose table is lost this much is searched at each end: without memory inside,
/// the spare files lie in the first hundreds of KiB; with it, at the end.
const CARVE_BYTES: u64 = 1 << 30;

/// Opens catalogued files.
#[derive(Clone, Copy, Debug)]
pub struct Opener<'a> {
    /// The sources, by position.
    pub roots: &'a [&'a EvidenceRoot],
    /// The catalog.
    pub index: &'a Index<'a>,
}

impl<'a> Opener<'a> {
    /// The file.
    #[must_use]
    pub fn file(&self, id: FileId) -> &'a CatalogFile {
        self.index.file(id)
    }

    /// Opens the file for reading.
    ///
    /// # Errors
    /// [`OpenError`] as [`EvidenceRoot::open_file`] has it.
    pub fn open(&self, id: FileId) -> Result<SourceFile, OpenError> {
        let file = self.file(id);
        self.roots.get(file.root).ok_or(OpenError::NotFound)?.open_file(&file.path)
    }

    /// The whole text of a small file.
    pub(super) fn text(&self, id: FileId, findings: &mut Vec<Finding>) -> Option<Vec<u8>> {
        let source = opened(self, id, findings)?;
        match source.read_up_to(ByteOffset(0), TEXT_BYTES) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                findings.push(unreadable(self.file(id), &error.to_string()));
                None
            }
        }
    }
}

fn opened(opener: &Opener<'_>, id: FileId, findings: &mut Vec<Finding>) -> Option<SourceFile> {
    match opener.open(id) {
        Ok(source) => Some(source),
        Err(error) => {
            findings.push(unreadable(opener.file(id), &error.to_string()));
            None
        }
    }
}

fn unreadable(file: &CatalogFile, why: &str) -> Finding {
    Finding {
        code: "file.unreadable".to_owned(),
        weight: Weight::Unreadable,
        path: file.shown.to_string_lossy().into_owned(),
        offset_bytes: None,
        what: why.to_owned(),
        next: Some("read it from another copy, or image the disk it lies on first".to_owned()),
    }
}

/// Which spare file a checkpoint carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpareKind {
    /// `nvramFile`.
    Nvram,
    /// `extendedConfigFile`.
    Vmxf,
}

/// A spare file found inside a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spare {
    /// Which.
    pub kind: SpareKind,
    /// The checkpoint.
    pub file: FileId,
    /// First byte in the checkpoint.
    pub at: u64,
    /// Its bytes, without the NULs behind a text.
    pub bytes: Vec<u8>,
    /// Whether it was found by its tag, the table being lost.
    pub carved: bool,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Copies of the configuration.
    pub pieces: Vec<Piece>,
    /// Spare `.nvram` and `.vmxf`, newest checkpoint first.
    pub spares: Vec<Spare>,
    /// Logs, the latest first.
    pub logs: Vec<(FileId, VmwareLog)>,
    /// Checkpoints with what they tell of memory and identity, newest first.
    pub checkpoints: Vec<(FileId, Box<Checkpoint>)>,
    /// The snapshot list, where it reads.
    pub vmsd: Option<(FileId, Vmsd)>,
    /// Firmware by the machine's own or spare `.nvram`.
    pub firmware: Option<(RecordPath, FirmwareKind)>,
    /// Whether the machine's own `.nvram` is there and whole.
    pub nvram: Option<FileId>,
    /// Whether the machine's own `.vmxf` is there and whole.
    pub vmxf: Option<FileId>,
    /// Names that files give the `.vmx`: who says so, and the name.
    pub vmx_names: Vec<(RecordPath, String)>,
    /// What could not be read.
    pub findings: Vec<Finding>,
}

/// Reads every file of `machine` that repeats its configuration.
#[must_use]
pub fn gather(opener: &Opener<'_>, machine: &Machine) -> Gathered {
    let mut found = Gathered::default();
    let own = machine.config.own.into_iter();
    let mut files: Vec<FileId> = own.chain(machine.companions.iter().copied()).collect();
    files.sort_by_key(|id| order(opener.file(*id)));
    let mut logs = Vec::new();
    let (mut read_logs, mut read_checkpoints) = (0, 0);
    for id in files {
        let file = opener.file(id);
        if file.size_bytes == 0 {
            continue;
        }
        let path = &file.shown;
        match file.name.kind {
            NameKind::Vmx | NameKind::Vmtx => text_piece(opener, id, PieceKind::Vmx, &mut found),
            NameKind::VmxBackup => text_piece(opener, id, PieceKind::Backup, &mut found),
            // A lock holds an owner's name as a rule; some tools leave a copy under this name.
            NameKind::Lock if file.stem().to_ascii_lowercase().ends_with(b".vmx.lck") => {
                text_piece(opener, id, PieceKind::Backup, &mut found);
            }
            NameKind::Log if read_logs < MAX_FILES => {
                read_logs += 1;
                if let Some(source) = opened(opener, id, &mut found.findings) {
                    logs.push((id, VmwareLog::parse(&source).value));
                }
            }
            NameKind::Vmsn | NameKind::Vmss if read_checkpoints < MAX_FILES => {
                read_checkpoints += 1;
                if let Some(source) = opened(opener, id, &mut found.findings) {
                    checkpoint(&source, id, file, &mut found);
                }
            }
            NameKind::Nvram => {
                let Some(bytes) = opener.text(id, &mut found.findings) else { continue };
                let Checked { value, defects } = Nvram::parse(&bytes);
                let sealed = detect(&bytes).map(|d| d.kind)
                    == Some(vmglean_formats::FileKind::EncryptedContainer);
                if defects.is_empty() || sealed {
                    found.nvram = Some(id);
                }
                if value.firmware != FirmwareKind::Undetermined {
                    found.firmware = Some((RecordPath::from(path.clone()), value.firmware));
                }
            }
            NameKind::Vmxf => {
                let Some(bytes) = opener.text(id, &mut found.findings) else { continue };
                let Checked { value, defects } = Vmxf::parse(&bytes);
                if defects.is_empty() {
                    found.vmxf = Some(id);
                }
                if let Some(name) = value.vmx_path_name {
                    found.vmx_names.push((RecordPath::from(path.clone()), name));
                }
            }
            NameKind::Vmsd => {
                let Some(bytes) = opener.text(id, &mut found.findings) else { continue };
                let Checked { value, defects } = Vmsd::parse(&bytes);
                if defects.is_empty() || !value.snapshots.is_empty() {
                    found.vmsd = Some((id, value));
                }
            }
            _ => {}
        }
    }
    take_logs(opener, logs, &mut found);
    sort_checkpoints(opener, &mut found);
    judge_own(&mut found);
    found
}

/// Files by name, so that the same folder gives the same answer whatever its order.
fn order(file: &CatalogFile) -> (usize, crate::source::RelPath) {
    (file.root, file.path.clone())
}

fn text_piece(opener: &Opener<'_>, id: FileId, kind: PieceKind, found: &mut Gathered) {
    let Some(bytes) = opener.text(id, &mut found.findings) else { return };
    let path = &opener.file(id).shown;
    if let Some(piece) = Piece::from_vmx(kind, path, None, 0, &bytes) {
        found.pieces.push(piece);
    }
}

fn checkpoint(source: &SourceFile, id: FileId, file: &CatalogFile, found: &mut Gathered) {
    let parsed = Checkpoint::parse(source).ok();
    let blocks = parsed.as_ref().map_or_else(Vec::new, |read| {
        let of = &read.value;
        vec![
            ("cfgFile", of.cfg_file),
            ("nvramFile", of.nvram_file),
            ("extendedConfigFile", of.extended_config_file),
        ]
    });
    let mut blocks: Vec<(&'static str, Block, bool)> =
        blocks.into_iter().filter_map(|(name, block)| Some((name, block?, false))).collect();
    if !blocks.iter().any(|(name, ..)| *name == "cfgFile") {
        let length = file.size_bytes;
        let head = length.min(CARVE_BYTES);
        let tail = length.saturating_sub(CARVE_BYTES).max(head);
        for (from, to) in [(0, head), (tail, length)] {
            let carved = carve(source, ByteOffset(from), ByteOffset(to)).value;
            for carved in carved {
                // Guest memory may hold another machine's: the first of each is this file's own
                // unless the name is there already.
                if !blocks.iter().any(|(name, ..)| *name == carved.name) {
                    blocks.push((carved.name, carved.block, true));
                }
            }
        }
    }
    for (name, block, carved) in blocks {
        let Ok(bytes) = block.read(source, MAX_SPARE_BYTES) else { continue };
        let text_end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        match name {
            "cfgFile" => {
                let kind = if carved { PieceKind::CarvedCheckpoint } else { PieceKind::Checkpoint };
                let text = bytes.get(..text_end).unwrap_or_default();
                let piece = Piece::from_vmx(kind, &file.shown, Some(name), block.at.0, text);
                found.pieces.extend(piece);
            }
            "nvramFile" => {
                let read = Nvram::parse(&bytes);
                if !read.defects.is_empty() {
                    continue;
                }
                let path = RecordPath::from(file.shown.clone());
                found.firmware.get_or_insert((path, read.value.firmware));
                let at = block.at.0;
                let kind = SpareKind::Nvram;
                found.spares.push(Spare { kind, file: id, at, bytes, carved });
            }
            _ => {
                let bytes = bytes.get(..text_end).unwrap_or_default().to_vec();
                let read = Vmxf::parse(&bytes);
                if let Some(name) = read.value.vmx_path_name {
                    found.vmx_names.push((RecordPath::from(file.shown.clone()), name));
                }
                if read.defects.is_empty() {
                    let at = block.at.0;
                    let kind = SpareKind::Vmxf;
                    found.spares.push(Spare { kind, file: id, at, bytes, carved });
                }
            }
        }
    }
    if let Some(read) = parsed {
        found.checkpoints.push((id, Box::new(read.value)));
    }
}

/// Sorts the logs, latest first, and takes their configurations.
fn take_logs(opener: &Opener<'_>, mut logs: Vec<(FileId, VmwareLog)>, found: &mut Gathered) {
    // Hosts number rotated logs upwards, desktop products downwards: only what the logs
    // themselves say tells their order. `vmware.log` without a number is the latest by custom.
    let is_current = |id: FileId| {
        let stem = opener.file(id).stem().to_ascii_lowercase();
        stem == b"vmware.log"
    };
    let time = |log: &VmwareLog| log.first_time.as_ref().and_then(|time| time.unix_ms);
    logs.sort_by(|(a, first), (b, second)| {
        let key =
            |id: FileId, log: &VmwareLog| (time(log), is_current(id), opener.file(id).mtime_ns);
        key(*b, second).cmp(&key(*a, first))
    });
    let mut latest = true;
    for (id, log) in &logs {
        let path = &opener.file(*id).shown;
        let pieces = Piece::from_log(path, log, latest);
        latest &= pieces.is_empty();
        found.pieces.extend(pieces);
        if let Some(vmx) = log.config.as_ref().and_then(|config| config.path.clone()) {
            found.vmx_names.push((RecordPath::from(path.clone()), vmx));
        }
    }
    found.logs = logs;
}

/// Newest first: by the snapshot list where it tells, else by the file's time.
fn sort_checkpoints(opener: &Opener<'_>, found: &mut Gathered) {
    let created = |name: &[u8]| {
        let (_, vmsd) = found.vmsd.as_ref()?;
        let node = vmsd.snapshots.iter().find(|node| {
            node.file_name.as_ref().is_some_and(|file| {
                crate::source::base_name(file.as_bytes()).eq_ignore_ascii_case(name)
            })
        })?;
        i64::try_from(node.create_time_us? / 1000).ok()
    };
    let when = |id: FileId| {
        let file = opener.file(id);
        let by_time = i64::try_from(file.mtime_ns / 1_000_000).unwrap_or(0);
        created(file.stem()).unwrap_or(by_time)
    };
    let times: Vec<(RecordPath, i64)> = found
        .checkpoints
        .iter()
        .map(|(id, _)| *id)
        .chain(found.spares.iter().map(|spare| spare.file))
        .map(|id| (RecordPath::from(opener.file(id).shown.clone()), when(id)))
        .collect();
    let mut checkpoints = std::mem::take(&mut found.checkpoints);
    let mut spares = std::mem::take(&mut found.spares);
    checkpoints.sort_by_key(|(id, _)| std::cmp::Reverse(when(*id)));
    spares.sort_by_key(|spare| (spare.carved, std::cmp::Reverse(when(spare.file))));
    found.checkpoints = checkpoints;
    found.spares = spares;
    for piece in &mut found.pieces {
        if matches!(piece.kind, PieceKind::Checkpoint | PieceKind::CarvedCheckpoint) {
            let time = times.iter().find(|(path, _)| *path == piece.path).map(|(_, time)| *time);
            piece.as_of_unix_ms = time;
        }
    }
}

/// A `.vmx` cut at a line's end reads as whole; copies with far more keys give it away.
fn judge_own(found: &mut Gathered) {
    let most = found
        .pieces
        .iter()
        .filter(|piece| piece.kind != PieceKind::Vmx && piece.complete)
        .map(|piece| piece.told.len())
        .max()
        .unwrap_or(0);
    for own in found.pieces.iter_mut().filter(|piece| piece.kind == PieceKind::Vmx) {
        let sealed = own.told.contains_key("encryption.data");
        if own.complete && !sealed && own.told.len() * 5 < most * 4 {
            own.complete = false;
            found.findings.push(Finding {
                code: "config.short".to_owned(),
                weight: Weight::Damage,
                path: own.path.lossy().into_owned(),
                offset_bytes: None,
                what: format!(
                    "has {} keys where another copy has {most}: it was probably cut",
                    own.told.len()
                ),
                next: None,
            });
        }
    }
}
