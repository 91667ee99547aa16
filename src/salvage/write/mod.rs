//! Makes a planned folder: as `NAME.unfinished` until every file in it is proven, then under its
//! name in one step. A killed run is gone on with; a finished machine is left as it is.

mod copy;
mod manifest;

use std::{
    fs::{self, File},
    io::{self, BufRead as _, Write as _},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use sha2::{Digest as _, Sha256};

use self::copy::{RangeKind, copy};
pub use self::manifest::{FinishedFile, MANIFEST_SCHEMA, ManifestHead, ManifestLine, OriginWord};
use super::{
    config::Opener,
    plan::{MachinePlan, PlannedContent, PlannedFile},
};
use crate::source::RecordPath;

/// Marks an unfinished folder as ours, and says for which plan.
const MARK: &str = ".vmglean-plan";
/// Files of an unfinished folder that are done.
const JOURNAL: &str = ".vmglean-finished.jsonl";

/// Why a folder was not made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system refused or failed.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
    /// A source file cannot be opened any more.
    #[error("{}: {why}", path.display())]
    Source {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Something else stands there.
    #[error("{} is there already and is not this salvage; --overwrite replaces it", .0.display())]
    Exists(PathBuf),
    /// Read back, the copy differs from what was written.
    #[error("{} does not read back as it was written: do not trust this medium", .0.display())]
    Unverified(PathBuf),
    /// Asked to stop.
    #[error("stopped; run again to go on")]
    Stopped,
}

impl WriteError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }
}

/// A folder made, or found made.
#[derive(Debug)]
pub struct Written {
    /// Whether an earlier run had made it.
    pub already: bool,
    /// Its files.
    pub files: Vec<FinishedFile>,
}

/// Bytes the plan takes on a target where nothing is shared: holes cost nothing.
#[must_use]
pub fn needed_bytes(opener: &Opener<'_>, plan: &MachinePlan) -> u64 {
    let cost = |file: &PlannedFile| match &file.content {
        PlannedContent::Bytes { bytes, .. } => bytes.len() as u64,
        PlannedContent::Part { file, length, .. } => {
            opener.open(*file).map_or(*length, |source| source.stamp().allocated_bytes.min(*length))
        }
    };
    plan.files.iter().map(cost).fold(0, u64::saturating_add)
}

/// Whether `out` can share blocks with the plan's largest source file, so that copies cost nothing.
#[must_use]
pub fn shares_blocks(opener: &Opener<'_>, plan: &MachinePlan, out: &Path) -> bool {
    let largest = plan.files.iter().filter_map(|file| match &file.content {
        PlannedContent::Part { file, length, .. } => Some((*length, *file)),
        PlannedContent::Bytes { .. } => None,
    });
    let Some((_, id)) = largest.max() else { return false };
    let (Ok(source), Ok(probe)) = (opener.open(id), tempfile::tempfile_in(out)) else {
        return false;
    };
    source.share_blocks_with(&probe).is_ok()
}

/// A hash of everything that decides the folder.
fn plan_hash(opener: &Opener<'_>, plan: &MachinePlan) -> String {
    let mut hash = blake3::Hasher::new();
    let mut put = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    put(env!("CARGO_PKG_VERSION"));
    put(&plan.id);
    for file in &plan.files {
        put(&file.name);
        match &file.content {
            PlannedContent::Bytes { bytes, .. } => put(&blake3::hash(bytes).to_hex()),
            PlannedContent::Part { file, at, length, .. } => {
                let of = opener.file(*file);
                put(&format!("{:?} {at} {length} {} {}", of.shown, of.size_bytes, of.mtime_ns));
            }
        }
    }
    hash.finalize().to_hex().to_string()
}

/// Makes the folder of `plan` below `out`.
///
/// # Errors
/// [`WriteError`]; after any of them a second run goes on where this one stopped.
pub fn write(
    opener: &Opener<'_>,
    plan: &MachinePlan,
    out: &Path,
    overwrite: bool,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64),
) -> Result<Written, WriteError> {
    let hash = plan_hash(opener, plan);
    let folder = out.join(&plan.folder);
    if folder.symlink_metadata().is_ok() {
        if let Some(files) = finished(&folder, &hash, plan) {
            forget_work(&folder);
            return Ok(Written { already: true, files });
        }
        if !overwrite {
            return Err(WriteError::Exists(folder));
        }
    }
    let work = out.join(format!("{}.unfinished", plan.folder));
    let (mut done, mut journal) = open_work(&work, &hash, overwrite)?;
    let mut files = Vec::new();
    for planned in &plan.files {
        let path = work.join(&planned.name);
        let known = done.iter().position(|file| file.name == planned.name);
        let known = known.map(|at| done.swap_remove(at));
        let is_there = |file: &FinishedFile| {
            fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() == file.length_bytes)
        };
        if let Some(file) = known.filter(is_there) {
            progress(file.length_bytes);
            files.push(file);
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| WriteError::io(parent, e))?;
        }
        let file = make(opener, planned, &path, stop, progress)?;
        let mut line = serde_json::to_vec(&file).map_err(|e| WriteError::io(&path, e.into()))?;
        line.push(b'\n');
        let keep = journal.write_all(&line).and_then(|()| journal.sync_data());
        keep.map_err(|e| WriteError::io(&work.join(JOURNAL), e))?;
        files.push(file);
    }
    finish(plan, &work, &folder, hash, &files)?;
    Ok(Written { already: false, files })
}

/// The files of a folder that an equal run made, if all of them are there.
fn finished(folder: &Path, hash: &str, plan: &MachinePlan) -> Option<Vec<FinishedFile>> {
    let manifest = File::open(folder.join("MANIFEST.jsonl")).ok()?;
    let mut lines = io::BufReader::new(manifest).lines();
    let head: ManifestHead = serde_json::from_str(&lines.next()?.ok()?).ok()?;
    if head.schema != MANIFEST_SCHEMA || head.plan != hash {
        return None;
    }
    let list = hashdeep_path(folder)?;
    let list = fs::read_to_string(list).ok()?;
    let mut files = Vec::new();
    for planned in &plan.files {
        let mut of = list.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ',');
            let (length, sha256, name) = (parts.next()?, parts.next()?, parts.next()?);
            (name.strip_prefix("./") == Some(&planned.name)).then_some((length, sha256))
        });
        let (length, sha256) = of.next()?;
        let length_bytes = length.parse().ok()?;
        let meta = fs::symlink_metadata(folder.join(&planned.name)).ok()?;
        if !meta.is_file() || meta.len() != length_bytes {
            return None;
        }
        files.push(FinishedFile {
            name: planned.name.clone(),
            length_bytes,
            sha256: sha256.to_owned(),
            ranges: Vec::new(),
            unreadable_bytes: 0,
        });
    }
    for line in lines.map_while(Result::ok) {
        let Ok(range) = serde_json::from_str::<ManifestLine>(&line) else { continue };
        if let Some(file) = files.iter_mut().find(|file| file.name == range.output) {
            if range.state.as_deref() == Some("unreadable") {
                file.unreadable_bytes = file.unreadable_bytes.saturating_add(range.length_bytes);
            }
            file.ranges.push(range);
        }
    }
    Some(files)
}

/// `NAME.hashdeep` beside the folder `NAME`, so that the list does not list itself.
fn hashdeep_path(folder: &Path) -> Option<PathBuf> {
    let mut name = folder.file_name()?.to_owned();
    name.push(".hashdeep");
    Some(folder.with_file_name(name))
}

/// The unfinished folder and what is done in it; one of another plan is begun anew.
fn open_work(
    work: &Path,
    hash: &str,
    overwrite: bool,
) -> Result<(Vec<FinishedFile>, File), WriteError> {
    let fail = |source| WriteError::io(work, source);
    let mark = work.join(MARK);
    let mut done = Vec::new();
    if work.symlink_metadata().is_ok() {
        match fs::read_to_string(&mark) {
            Ok(found) if found.trim_end() == hash => {
                let text = fs::read_to_string(work.join(JOURNAL)).unwrap_or_default();
                // The last line of a killed run may be torn; its file is made again.
                done = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            }
            Ok(_) => fs::remove_dir_all(work).map_err(fail)?,
            Err(_) if overwrite || is_empty(work) => fs::remove_dir_all(work).map_err(fail)?,
            Err(_) => return Err(WriteError::Exists(work.to_path_buf())),
        }
    }
    fs::create_dir_all(work).map_err(fail)?;
    fs::write(&mark, hash).map_err(fail)?;
    let journal = File::options().append(true).create(true).open(work.join(JOURNAL));
    Ok((done, journal.map_err(fail)?))
}

/// Removes what only an unfinished folder needs.
fn forget_work(folder: &Path) {
    for ours in [MARK, JOURNAL] {
        // Gone already, as a rule.
        let _ = fs::remove_file(folder.join(ours));
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn make(
    opener: &Opener<'_>,
    planned: &PlannedFile,
    path: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64),
) -> Result<FinishedFile, WriteError> {
    let line = |at: u64, length: u64| ManifestLine {
        output: planned.name.clone(),
        offset_bytes: at,
        length_bytes: length,
        origin: planned.origin.into(),
        source: None,
        source_offset_bytes: None,
        state: None,
        sha256: None,
        why: planned.why.clone(),
    };
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let name = planned.name.clone();
    let finished = match &planned.content {
        PlannedContent::Bytes { bytes, source } => {
            let write = || -> io::Result<()> {
                let mut file = File::create(&part)?;
                file.write_all(bytes)?;
                file.sync_all()
            };
            write().map_err(|e| WriteError::io(&part, e))?;
            let length_bytes = bytes.len() as u64;
            progress(length_bytes);
            let sha256 = hex::encode(Sha256::digest(bytes));
            let mut range = line(0, length_bytes);
            range.sha256 = Some(sha256.clone());
            if let Some((path, at)) = source {
                range.source = Some(path.clone());
                range.source_offset_bytes = Some(*at);
            }
            let ranges = vec![range];
            FinishedFile { name, length_bytes, sha256, ranges, unreadable_bytes: 0 }
        }
        PlannedContent::Part { file, at, length, state } => {
            let shown = &opener.file(*file).shown;
            let source = opener.open(*file).map_err(|error| WriteError::Source {
                path: shown.clone(),
                why: error.to_string(),
            })?;
            let copied = copy(&source, *at, *length, &part, stop, progress)?;
            let mut unreadable_bytes = 0;
            let mut ranges = Vec::new();
            for range in copied.ranges {
                let mut told = line(range.at, range.length);
                told.source = Some(RecordPath::from(shown.clone()));
                told.source_offset_bytes = Some(at.saturating_add(range.at));
                told.sha256 = range.sha256;
                let word = match range.kind {
                    RangeKind::Data => *state,
                    RangeKind::Hole => "zero",
                    RangeKind::Unreadable => {
                        unreadable_bytes += range.length;
                        "unreadable"
                    }
                };
                told.state = Some(word.to_owned());
                ranges.push(told);
            }
            let (length_bytes, sha256) = (*length, copied.sha256);
            FinishedFile { name, length_bytes, sha256, ranges, unreadable_bytes }
        }
    };
    fs::rename(&part, path).map_err(|e| WriteError::io(path, e))?;
    Ok(finished)
}

/// Writes the lists and gives the folder its name.
fn finish(
    plan: &MachinePlan,
    work: &Path,
    folder: &Path,
    hash: String,
    files: &[FinishedFile],
) -> Result<(), WriteError> {
    let head =
        ManifestHead { schema: MANIFEST_SCHEMA.to_owned(), machine: plan.id.clone(), plan: hash };
    let end = || -> io::Result<()> {
        let text = manifest::manifest(&head, files)?;
        let mut list: Vec<(String, u64, String)> =
            files.iter().map(|f| (f.name.clone(), f.length_bytes, f.sha256.clone())).collect();
        list.push(("MANIFEST.jsonl".into(), text.len() as u64, hex::encode(Sha256::digest(&text))));
        list.sort();
        put(&work.join("MANIFEST.jsonl"), &text)?;
        if let Some(path) = hashdeep_path(folder) {
            put(&path, manifest::hashdeep(&list).as_bytes())?;
        }
        File::open(work)?.sync_all()?;
        let mut old = folder.as_os_str().to_owned();
        old.push(".replaced");
        let old = PathBuf::from(old);
        let replaces = folder.symlink_metadata().is_ok();
        if replaces {
            fs::rename(folder, &old)?;
        }
        fs::rename(work, folder)?;
        // Only now: a run killed before this still knows the folder as its own.
        forget_work(folder);
        if let Some(parent) = folder.parent() {
            File::open(parent)?.sync_all()?;
        }
        if replaces {
            if old.is_dir() { fs::remove_dir_all(&old)? } else { fs::remove_file(&old)? }
        }
        Ok(())
    };
    end().map_err(|e| WriteError::io(folder, e))
}

fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}
