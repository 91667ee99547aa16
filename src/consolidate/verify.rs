//! The output read back and held against the record; the manifest and its companions made.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sha2::{Digest, Sha256};
use vmglean_formats::{ByteOffset, ReadAt, vmdk::open_extent};

use super::{
    damage::Damage,
    fill::{Filler, is_zero},
    manifest::{JudgedLine, ManifestLine, OutputLine, RangeLine, state_word},
    out::Buffer,
    plan::{Piece, UNIT, Unit},
    record::{Record, RecordError},
};
use crate::{
    disk::{
        Bottom, DiskFile, DiskLink, ExtentBody, FileId, LinkExtent, ResolvedRun, RunState,
        VirtualDisk,
    },
    source::{Access, EvidenceRoot, RelPath, Source, read_exact},
    triage::judge::State,
};

/// How far ahead the output's own tables are asked: they are judged in windows of that size.
const AHEAD_BYTES: u64 = 2 << 30;
const AHEAD_RUNS: usize = 16 << 10;

/// Why an output is not proven.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It holds other bytes than were written.
    #[error("the output differs from its record: {length} bytes at {offset:#x} of the disk: {why}")]
    Differs {
        /// First byte of the range.
        offset: u64,
        /// Its length.
        length: u64,
        /// In which way.
        why: String,
    },
    /// It cannot be opened as what it should be.
    #[error("the output cannot be read back: {0}")]
    Open(String),
    /// The record or a companion file failed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The system's word.
    #[error("cannot write {what}")]
    Io {
        /// Which file.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody asked for a stop.
    #[error("stopped")]
    Stopped,
}

/// What goes beside the output.
pub(super) struct Companion<'a> {
    pub(super) manifest: &'a Path,
    pub(super) map: &'a Path,
    pub(super) output: &'a OutputLine,
    pub(super) judged: &'a [JudgedLine],
    pub(super) threads: usize,
    /// Whether the output is read back.
    pub(super) check: bool,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
}

/// Opens a made file as the disk it holds.
pub(super) fn open_made(path: &Path, sparse: bool, size: u64) -> Result<VirtualDisk, VerifyError> {
    let wrong = |error: &dyn std::fmt::Display| VerifyError::Open(error.to_string());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let root = EvidenceRoot::open(folder, Access::Read).map_err(|e| wrong(&e))?;
    let rel = RelPath::default().join(path.file_name().unwrap_or_default());
    let file = root.open_file(&rel).map_err(|e| wrong(&e))?;
    let source: Arc<dyn Source> = Arc::new(file);
    if !sparse {
        return Ok(VirtualDisk::raw("output", source));
    }
    let opened = open_extent(&*source).map_err(|e| wrong(&e))?;
    if let Some(defect) = opened.defects.first() {
        return Err(wrong(defect));
    }
    let length = opened.value.map.capacity().0;
    if length < size {
        return Err(VerifyError::Open(format!("holds {length} bytes instead of {size}")));
    }
    let body = ExtentBody::Mapped {
        file: FileId(0),
        map: opened.value.map,
        grain_bytes: opened.value.grain_bytes,
    };
    let extents = vec![LinkExtent { start: 0, length, body }];
    let link = DiskLink { name: "output".to_owned(), capacity: length, extents };
    let file = DiskFile { name: "output".to_owned(), source };
    Ok(VirtualDisk::new(vec![link], vec![file], Bottom::Zeros))
}

/// Reads the output back range by range and writes manifest and ddrescue map on the way.
pub(super) fn prove(
    disk: &VirtualDisk,
    record: &Record,
    with: &Companion<'_>,
) -> Result<(), VerifyError> {
    let io = |what: &Path| {
        let what = what.display().to_string();
        move |source| VerifyError::Io { what, source }
    };
    let manifest = File::create(with.manifest).map_err(io(with.manifest))?;
    let mut manifest = BufWriter::with_capacity(1 << 20, manifest);
    let map = File::create(with.map).map_err(io(with.map))?;
    let mut map = RescueMap::new(BufWriter::new(map)).map_err(io(with.map))?;
    // What was made holds what it holds.
    let nothing = Damage::default();
    let failed: Mutex<Option<VerifyError>> = Mutex::new(None);
    let over = AtomicBool::new(false);
    let (sender, receiver) = crossbeam_channel::bounded::<Vec<RangeLine>>(16);
    let mut lines = 1_u64;
    let written = std::thread::scope(|scope| {
        for _ in 0..with.threads.max(1) {
            let receiver = receiver.clone();
            let (failed, over, nothing) = (&failed, &over, &nothing);
            scope.spawn(move || {
                let mut checker = Checker::new(disk, nothing);
                for group in receiver {
                    if over.load(Ordering::Relaxed) {
                        continue;
                    }
                    if let Err(error) = check(&mut checker, &group, with) {
                        over.store(true, Ordering::Relaxed);
                        let mut held = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        held.get_or_insert(error);
                    }
                }
            });
        }
        drop(receiver);
        let mut group: Vec<RangeLine> = Vec::new();
        let mut bytes = 0;
        let first = ManifestLine::Output(with.output.clone());
        write_line(&mut manifest, &first).map_err(io(with.manifest))?;
        for line in with.judged {
            let line = ManifestLine::Judged(line.clone());
            write_line(&mut manifest, &line).map_err(io(with.manifest))?;
            lines += 1;
        }
        record.each_range(|text, range| {
            manifest.write_all(text)?;
            lines += 1;
            map.add(&range)?;
            if !with.check {
                return Ok(());
            }
            bytes += range.length_bytes;
            group.push(range);
            if bytes >= UNIT || group.len() >= 16_384 {
                bytes = 0;
                let _over = sender.send(std::mem::take(&mut group));
            }
            if over.load(Ordering::Relaxed) || (with.stop)() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Ok(())
        })?;
        let _over = sender.send(group);
        drop(sender);
        Ok::<(), VerifyError>(())
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    if (with.stop)() {
        return Err(VerifyError::Stopped);
    }
    written?;
    let rest = [ManifestLine::Totals(record.sums()), ManifestLine::Complete { lines: lines + 1 }];
    for line in rest {
        write_line(&mut manifest, &line).map_err(io(with.manifest))?;
    }
    let file = manifest.into_inner().map_err(|e| io(with.manifest)(e.into_error()))?;
    file.sync_all().map_err(io(with.manifest))?;
    map.finish().map_err(io(with.map))
}

fn write_line(out: &mut dyn Write, line: &ManifestLine) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn check(
    checker: &mut Checker<'_>,
    group: &[RangeLine],
    with: &Companion<'_>,
) -> Result<(), VerifyError> {
    let mut at = 0;
    while let Some(first) = group.get(at) {
        if first.sha256.is_none() {
            check_zeros(checker.disk, first, &mut checker.buffer)?;
            at += 1;
            continue;
        }
        // Ranges with data that follow each other are read at once.
        let mut end = at + 1;
        let start = first.offset_bytes;
        let mut stop = start + first.length_bytes;
        while let Some(next) = group.get(end)
            && next.sha256.is_some()
            && next.offset_bytes == stop
            && next.offset_bytes + next.length_bytes - start <= UNIT
        {
            stop = next.offset_bytes + next.length_bytes;
            end += 1;
        }
        let bytes = checker.read(start, stop)?;
        for line in group.get(at..end).unwrap_or_default() {
            let from = usize::try_from(line.offset_bytes - start).unwrap_or(usize::MAX);
            let length = usize::try_from(line.length_bytes).unwrap_or(usize::MAX);
            let part = bytes.get(from..).and_then(|rest| rest.get(..length)).unwrap_or_default();
            if line.sha256.as_deref() != Some(hex::encode(Sha256::digest(part)).as_str()) {
                return Err(differs(line, "another SHA-256"));
            }
        }
        (with.progress)(stop - start);
        checker.buffer = bytes;
        at = end;
    }
    Ok(())
}

fn differs(line: &RangeLine, why: &str) -> VerifyError {
    VerifyError::Differs {
        offset: line.offset_bytes,
        length: line.length_bytes,
        why: why.to_owned(),
    }
}

/// What a thread checks with.
struct Checker<'a> {
    disk: &'a VirtualDisk,
    filler: Filler<'a>,
    buffer: Buffer,
    /// Runs from the last place on that was asked about: what is asked next lies behind it.
    runs: Vec<ResolvedRun>,
}

impl<'a> Checker<'a> {
    fn new(disk: &'a VirtualDisk, nothing: &'a Damage) -> Self {
        let filler = Filler::new(disk, nothing, 0, false);
        Self { disk, filler, buffer: Buffer::default(), runs: Vec::new() }
    }

    /// What `start..end` is made of; ends early where the disk does.
    fn pieces(&mut self, start: u64, end: u64) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut at = start;
        while at < end {
            let reaches = |runs: &[ResolvedRun]| {
                runs.first().is_some_and(|run| run.offset <= at)
                    && runs.last().is_some_and(|run| run.end() > at)
            };
            if !reaches(&self.runs) {
                self.runs = self.disk.resolve(at, AHEAD_BYTES, AHEAD_RUNS).runs;
                if !reaches(&self.runs) {
                    break;
                }
            }
            let first = self.runs.partition_point(|run| run.end() <= at);
            for run in self.runs.iter().skip(first).take_while(|run| run.offset < end) {
                let run = run.clip(at, end);
                at = run.end();
                let state = match run.state {
                    RunState::Data | RunState::Compressed => State::Undetermined,
                    RunState::Zero | RunState::Absent => State::Zero,
                    RunState::Lost | RunState::Unreadable => State::Damaged,
                };
                let (doubt, reason, lattice, withheld, rewritten) = (None, None, None, false, None);
                pieces.push(Piece { run, state, doubt, reason, withheld, lattice, rewritten });
            }
        }
        pieces
    }

    fn read(&mut self, start: u64, end: u64) -> Result<Buffer, VerifyError> {
        let pieces = self.pieces(start, end);
        let at = pieces.last().map_or(start, |piece| piece.run.end());
        let unit = Unit { index: 0, start, end, pieces, is_empty: false };
        let filled = self.filler.fill(&unit, std::mem::take(&mut self.buffer));
        let gone = filled.sums.filled_bytes();
        if at < end || gone > 0 {
            let why = format!("{gone} bytes cannot be read back");
            return Err(VerifyError::Differs { offset: start, length: end - start, why });
        }
        Ok(filled.bytes)
    }
}

/// A range of zeros: a hole, or zeros that are read.
fn check_zeros(
    disk: &VirtualDisk,
    line: &RangeLine,
    buffer: &mut Buffer,
) -> Result<(), VerifyError> {
    let end = line.offset_bytes.saturating_add(line.length_bytes);
    let mut at = line.offset_bytes;
    if end > disk.capacity_bytes() {
        return Err(differs(line, "the output is too short"));
    }
    while at < end {
        let next = disk.next_data(at).map_err(|error| VerifyError::Open(error.to_string()))?;
        let Some(data) = next.filter(|data| data.start < end) else { return Ok(()) };
        at = data.start.max(at);
        let stop = data.end.min(end).min(at + (1 << 20));
        buffer.resize(usize::try_from(stop - at).unwrap_or(0));
        disk.read_exact_at(buffer, ByteOffset(at))
            .map_err(|error| VerifyError::Open(error.to_string()))?;
        if !is_zero(buffer) {
            return Err(differs(line, "other bytes than zeros"));
        }
        at = stop;
    }
    Ok(())
}

/// A GNU ddrescue map: `+` what stands in the output as it was read, `-` what the fill stands for,
/// `?` what was copied although something speaks against it.
struct RescueMap<W: Write> {
    out: W,
    run: Option<(u64, u64, char)>,
}

impl<W: Write> RescueMap<W> {
    fn new(mut out: W) -> io::Result<Self> {
        writeln!(out, "# Mapfile. Made by vmglean consolidate")?;
        writeln!(out, "# current_pos  current_status  current_pass")?;
        writeln!(out, "0x00000000     +               1")?;
        writeln!(out, "#      pos        size  status")?;
        Ok(Self { out, run: None })
    }

    fn add(&mut self, range: &RangeLine) -> io::Result<()> {
        let is_doubted = range.state == state_word(State::Undetermined) && range.why.is_some();
        let status = match range.filled {
            true => '-',
            false if is_doubted => '?',
            false => '+',
        };
        match &mut self.run {
            Some((at, length, known))
                if *known == status && *at + *length == range.offset_bytes =>
            {
                *length += range.length_bytes;
                Ok(())
            }
            _ => {
                self.flush()?;
                self.run = Some((range.offset_bytes, range.length_bytes, status));
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.run.take() {
            Some((at, length, status)) => {
                writeln!(self.out, "0x{at:08X}  0x{length:08X}  {status}")
            }
            None => Ok(()),
        }
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.out.flush()
    }
}

/// Whether a file is holes for hours of hashing, and next to nothing else: more than a TiB of
/// them, and 256 bytes for each that is stored. A header that lies makes such a disk of a MiB.
pub(super) fn is_hollow(path: &Path) -> bool {
    const MANY: u64 = 1 << 40;
    path.symlink_metadata().is_ok_and(|meta| {
        let stored = meta.blocks().saturating_mul(512);
        meta.len().saturating_sub(stored) > MANY.max(stored.saturating_mul(256))
    })
}

/// SHA-256 of a whole file. Holes are not read, but hashed as the zeros they are.
pub(super) fn hash_file(path: &Path, stop: &dyn Fn() -> bool) -> io::Result<String> {
    const STEP: usize = 1 << 20;
    let file = File::open(path)?;
    // Advice only: without it the same bytes come slower.
    let _advised = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
    let length = file.metadata()?.len();
    let mut hash = Sha256::new();
    let mut buffer = vec![0; STEP];
    let mut at = 0;
    while at < length {
        let data = next_data(&file, at, length);
        buffer.fill(0);
        while at < data {
            if stop() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let step = (data - at).min(STEP as u64);
            hash.update(buffer.get(..usize::try_from(step).unwrap_or(STEP)).unwrap_or_default());
            at += step;
        }
        let end = next_hole(&file, at, length);
        while at < end {
            if stop() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let step = usize::try_from((end - at).min(STEP as u64)).unwrap_or(STEP);
            let part = buffer.get_mut(..step).unwrap_or_default();
            read_exact(&file, part, at)?;
            hash.update(&*part);
            at += step as u64;
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// Where the first data at or behind `at` begins; `at` where the file system cannot tell.
fn next_data(file: &File, at: u64, length: u64) -> u64 {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(data) => data.clamp(at, length),
        Err(rustix::io::Errno::NXIO) => length,
        Err(_) => at,
    }
}

/// Where the data at `at` end.
fn next_hole(file: &File, at: u64, length: u64) -> u64 {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(at)) {
        Ok(hole) if hole > at => hole.min(length),
        _ => length,
    }
}
