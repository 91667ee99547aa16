//! A whole chain read as one disk.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use vmglean_formats::{ByteOffset, Bytes, MediumError, ReadAt};

use super::{
    extent::{DiskFile, DiskLink, ExtentBody},
    inflate::inflate,
    resolve::{Bottom, resolve},
    run::{FileId, Resolved, ResolvedRun, RunState},
};
use crate::source::Source;

/// Most runs kept of one window: about 1 MiB.
const WINDOW_RUNS: usize = 16 << 10;
/// First window of reads; grows while the disk is read in order and its runs stay few.
const FIRST_WINDOW_BYTES: u64 = 16 << 20;
/// First window of a walk. Tables are judged in windows of 2 GiB, in usual grains, whatever part
/// of them is asked about: less would have them judged again and again.
const FIRST_WALK_BYTES: u64 = 2 << 30;
/// So that the widest disk that can be is walked in some dozens of steps.
const LARGEST_WINDOW_BYTES: u64 = 1 << 60;
const WINDOWS_KEPT: usize = 8;
const GRAINS_KEPT: usize = 8;

/// Bytes of a virtual disk that cannot be had; carried inside the [`io::Error`] of a read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes at {offset:#x} of the virtual disk are {}: {why}", state_word(*.state))]
pub struct GoneRange {
    /// First byte, on the virtual disk.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
    /// [`RunState::Lost`] or [`RunState::Unreadable`].
    pub state: RunState,
    /// Which link, 0 = leaf.
    pub link: u32,
    /// Why.
    pub why: String,
}

fn state_word(state: RunState) -> &'static str {
    if state == RunState::Unreadable { "unreadable" } else { "lost" }
}

/// Why the bytes of one run did not come.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The chain does not hold them.
    #[error(transparent)]
    Gone(#[from] GoneRange),
    /// A file of the chain failed.
    #[error("{file}: {source}")]
    Medium {
        /// Which file.
        file: String,
        /// What it said.
        source: MediumError,
    },
    /// A compressed grain does not inflate to what its table promises.
    #[error("{file}: grain at {at:#x}: {why}")]
    Grain {
        /// Which file.
        file: String,
        /// Where its data lie there, in bytes.
        at: u64,
        /// What is wrong.
        why: String,
    },
}

struct Window {
    start: u64,
    end: u64,
    runs: Vec<ResolvedRun>,
}

/// A kept grain: its file, its place there, its inflated bytes.
type KeptGrain = (FileId, u64, Arc<Vec<u8>>);

/// A disk chain from a leaf (or any link) down, read as one disk. Bytes that are lost are never
/// read as zeros: such a read fails and names the range ([`GoneRange`]).
pub struct VirtualDisk {
    parts: Arc<Parts>,
    /// The link the disk is read from, 0 = leaf.
    first: usize,
    capacity: u64,
    windows: Mutex<VecDeque<Arc<Window>>>,
    grains: Mutex<VecDeque<KeptGrain>>,
}

/// What all points in time of one chain share.
struct Parts {
    links: Vec<DiskLink>,
    files: Vec<DiskFile>,
    bottom: Bottom,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept is only a cache of read-only facts; a panicked holder leaves it usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VirtualDisk {
    /// A disk of these links, leaf first; its size is the leaf's.
    #[must_use]
    pub fn new(links: Vec<DiskLink>, files: Vec<DiskFile>, bottom: Bottom) -> Self {
        let capacity = links.first().map_or(0, |link| link.capacity);
        let parts = Arc::new(Parts { links, files, bottom });
        Self { parts, first: 0, capacity, windows: Mutex::default(), grains: Mutex::default() }
    }

    /// The same chain read from a deeper link on: the disk as it was when that link was frozen.
    /// Links keep their numbers. `None` where the chain has no such link.
    #[must_use]
    pub fn at_link(&self, link: usize) -> Option<Self> {
        let capacity = self.parts.links.get(link)?.capacity;
        let parts = Arc::clone(&self.parts);
        let (windows, grains) = (Mutex::default(), Mutex::default());
        Some(Self { parts, first: link, capacity, windows, grains })
    }

    /// The link the disk is read from, 0 = leaf.
    #[must_use]
    pub fn first_link(&self) -> usize {
        self.first
    }

    /// A disk that is one plain file, read as it is.
    #[must_use]
    pub fn raw(name: &str, source: Arc<dyn Source>) -> Self {
        let length = source.len_bytes();
        let body = ExtentBody::Flat { file: FileId(0), at: 0 };
        let extents = vec![super::LinkExtent { start: 0, length, body }];
        let link = DiskLink { name: name.to_owned(), capacity: length, extents };
        let file = DiskFile { name: name.to_owned(), source };
        Self::new(vec![link], vec![file], Bottom::Zeros)
    }

    /// Virtual size in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity
    }

    /// All links of the chain, leaf first.
    #[must_use]
    pub fn links(&self) -> &[DiskLink] {
        &self.parts.links
    }

    /// The files the disk is made of; [`FileId`] counts them.
    #[must_use]
    pub fn files(&self) -> &[DiskFile] {
        &self.parts.files
    }

    /// The file of a run that has one.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&DiskFile> {
        self.parts.files.get(id.0 as usize)
    }

    /// What lies under the deepest link.
    #[must_use]
    pub fn bottom(&self) -> &Bottom {
        &self.parts.bottom
    }

    /// What `from..from + length` is made of: runs in order, without gap or overlap, cut at the
    /// disk's end. Stops after about `max_runs` (at least one), whichever comes first; the last
    /// run tells where to ask on. Empty only for an empty range or one past the end.
    #[must_use]
    pub fn resolve(&self, from: u64, length: u64, max_runs: usize) -> Resolved {
        let end = from.saturating_add(length).min(self.capacity);
        if from >= end {
            return Resolved::default();
        }
        let parts = &self.parts;
        let links = (parts.links.as_slice(), self.first);
        resolve(links, &parts.files, &parts.bottom, (from, end), max_runs)
    }

    /// Walks `from..end` window by window: each step is a batch of runs, resolved once.
    #[must_use]
    pub fn walk(&self, from: u64, end: u64) -> Walk<'_> {
        Walk { disk: self, at: from, end: end.min(self.capacity), window: FIRST_WALK_BYTES }
    }

    /// Why the bytes of `run` are gone.
    #[must_use]
    pub fn why_gone(&self, run: &ResolvedRun) -> String {
        let Some(link) = self.parts.links.get(run.link as usize) else {
            return "no such link".to_owned();
        };
        let Some(index) = run.extent else {
            return match &self.parts.bottom {
                Bottom::Lost { why } => why.clone(),
                Bottom::Zeros => "allocated nowhere".to_owned(),
            };
        };
        let file_name = |id: FileId| self.file(id).map_or("its file", |file| &file.name);
        let why = match link.extents.get(index as usize).map(|extent| &extent.body) {
            Some(ExtentBody::Lost { why } | ExtentBody::Unreadable { why }) => why.clone(),
            Some(ExtentBody::Flat { file, .. }) => format!("{} ends before them", file_name(*file)),
            Some(ExtentBody::Mapped { file, .. }) => {
                format!("the tables of {} do not tell where they are", file_name(*file))
            }
            Some(ExtentBody::Zero) | None => "no extent covers them".to_owned(),
        };
        format!("{}: {why}", link.name)
    }

    /// The range of a gone run, as an error.
    #[must_use]
    pub fn gone(&self, run: &ResolvedRun) -> GoneRange {
        GoneRange {
            offset: run.offset,
            length: run.length,
            state: run.state,
            link: run.link,
            why: self.why_gone(run),
        }
    }

    /// Fills `buf` with the first bytes of `run`; `buf` must not be longer than the run.
    ///
    /// # Errors
    /// [`RunError`] when the run is gone or its file fails.
    pub fn read_run(&self, run: &ResolvedRun, buf: &mut [u8]) -> Result<(), RunError> {
        match run.state {
            RunState::Zero | RunState::Absent => {
                buf.fill(0);
                Ok(())
            }
            RunState::Lost | RunState::Unreadable => Err(self.gone(run).into()),
            RunState::Data => {
                let file = self.file_of(run)?;
                file.source
                    .read_exact_at(buf, ByteOffset(run.file_offset))
                    .map_err(|source| RunError::Medium { file: file.name.clone(), source })
            }
            RunState::Compressed => {
                let grain = self.grain(run)?;
                let from = usize::try_from(run.skip).unwrap_or(usize::MAX);
                let bytes = grain.get(from..).and_then(|rest| rest.get(..buf.len()));
                match bytes {
                    Some(bytes) => {
                        buf.copy_from_slice(bytes);
                        Ok(())
                    }
                    None => {
                        Err(self
                            .broken_grain(run, format!("inflates to {} bytes only", grain.len())))
                    }
                }
            }
        }
    }

    fn file_of(&self, run: &ResolvedRun) -> Result<&DiskFile, RunError> {
        run.file.and_then(|id| self.file(id)).ok_or_else(|| self.gone(run).into())
    }

    fn broken_grain(&self, run: &ResolvedRun, why: String) -> RunError {
        let file =
            run.file.and_then(|id| self.file(id)).map_or_else(String::new, |f| f.name.clone());
        RunError::Grain { file, at: run.file_offset, why }
    }

    /// The whole inflated grain of a compressed run, from the few kept ones if it is there.
    fn grain(&self, run: &ResolvedRun) -> Result<Arc<Vec<u8>>, RunError> {
        let file = self.file_of(run)?;
        let id = run.file.unwrap_or(FileId(u32::MAX));
        {
            let mut kept = lock(&self.grains);
            if let Some(index) = kept.iter().position(|k| k.0 == id && k.1 == run.file_offset)
                && let Some(grain) = kept.remove(index)
            {
                let bytes = Arc::clone(&grain.2);
                kept.push_front(grain);
                return Ok(bytes);
            }
        }
        let stored = usize::try_from(run.stored).unwrap_or(usize::MAX);
        let packed = file
            .source
            .read_up_to(ByteOffset(run.file_offset), stored)
            .map_err(|source| RunError::Medium { file: file.name.clone(), source })?;
        let need = run.skip.saturating_add(run.length);
        let bytes = Arc::new(inflate(&packed, need).map_err(|why| self.broken_grain(run, why))?);
        let mut kept = lock(&self.grains);
        kept.push_front((id, run.file_offset, Arc::clone(&bytes)));
        kept.truncate(GRAINS_KEPT);
        Ok(bytes)
    }

    /// A resolved window that holds `at`, kept or new. `at` lies inside the disk.
    fn window(&self, at: u64) -> Arc<Window> {
        let mut length = FIRST_WINDOW_BYTES;
        {
            let mut kept = lock(&self.windows);
            if let Some(index) = kept.iter().position(|w| w.start <= at && at < w.end)
                && let Some(window) = kept.remove(index)
            {
                kept.push_front(Arc::clone(&window));
                return window;
            }
            // Read in order: the window before this one ends here, so take a larger one.
            if let Some(before) = kept.iter().find(|w| w.end == at)
                && before.runs.len() < WINDOW_RUNS / 4
            {
                length = (before.end - before.start)
                    .saturating_mul(2)
                    .clamp(FIRST_WINDOW_BYTES, LARGEST_WINDOW_BYTES);
            }
        }
        let runs = self.resolve(at, length, WINDOW_RUNS).runs;
        let end = runs.last().map_or(at, ResolvedRun::end);
        let window = Arc::new(Window { start: at, end, runs });
        let mut kept = lock(&self.windows);
        kept.push_front(Arc::clone(&window));
        kept.truncate(WINDOWS_KEPT);
        window
    }

    fn error(&self, at: u64, len: u64, error: RunError) -> MediumError {
        let source = match error {
            RunError::Medium { source: MediumError::Io { source, .. }, file } => {
                io::Error::new(source.kind(), format!("{file}: {source}"))
            }
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        };
        MediumError::Io { at: ByteOffset(at), len: Bytes(len), source }
    }
}

impl ReadAt for VirtualDisk {
    fn len_bytes(&self) -> u64 {
        self.capacity
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let length = buf.len() as u64;
        let end = at.0.saturating_add(length);
        if end > self.capacity {
            return Err(MediumError::End {
                end: ByteOffset(self.capacity),
                wanted: ByteOffset(end),
            });
        }
        let mut here = at.0;
        let mut rest = buf;
        while !rest.is_empty() {
            let window = self.window(here);
            let first = window.runs.partition_point(|run| run.end() <= here);
            for run in window.runs.iter().skip(first) {
                if rest.is_empty() {
                    break;
                }
                let part = run.clip(here, here.saturating_add(rest.len() as u64));
                let take = usize::try_from(part.length).unwrap_or(usize::MAX).min(rest.len());
                let (now, later) = rest.split_at_mut(take);
                self.read_run(&part, now).map_err(|error| self.error(here, part.length, error))?;
                rest = later;
                here += part.length;
            }
            if window.end <= here && window.runs.is_empty() {
                return Err(MediumError::End { end: ByteOffset(here), wanted: ByteOffset(end) });
            }
        }
        Ok(())
    }
}

impl Source for VirtualDisk {
    /// Zero and absent stretches are holes; lost ones are not, so that nobody skips them.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let mut at = from;
        while at < self.capacity {
            let window = self.window(at);
            let first = window.runs.partition_point(|run| run.end() <= at);
            let mut found: Option<Range<u64>> = None;
            for run in window.runs.iter().skip(first) {
                match &mut found {
                    None if run.state.is_zero() => {}
                    None => found = Some(run.offset.max(at)..run.end()),
                    Some(_) if run.state.is_zero() => return Ok(found),
                    Some(range) => range.end = run.end(),
                }
            }
            if found.is_some() || window.end <= at {
                return Ok(found);
            }
            at = window.end;
        }
        Ok(None)
    }
}

/// A walk over a disk in batches of runs. See [`VirtualDisk::walk`].
pub struct Walk<'a> {
    disk: &'a VirtualDisk,
    at: u64,
    end: u64,
    window: u64,
}

impl Iterator for Walk<'_> {
    type Item = Resolved;

    fn next(&mut self) -> Option<Resolved> {
        if self.at >= self.end {
            return None;
        }
        let length = self.window.min(self.end - self.at);
        let batch = self.disk.resolve(self.at, length, WINDOW_RUNS);
        let reached = batch.end(self.at);
        if reached <= self.at {
            return None;
        }
        self.window = if batch.runs.len() < WINDOW_RUNS / 4 {
            (self.window * 2).min(LARGEST_WINDOW_BYTES)
        } else {
            self.window.min(reached - self.at).max(FIRST_WINDOW_BYTES)
        };
        self.at = reached;
        Some(batch)
    }
}
