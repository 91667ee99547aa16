//! Files written out: only what is asked for, under names that are safe here, each beside a line
//! that says where every byte came from, and each read back before it counts as written.

use std::{
    collections::HashMap,
    fs::{self, File, FileTimes},
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use md5::Md5;
use sha2::{Digest as _, Sha256};
use vmglean_formats::{ByteOffset, ReadAt as _};

use super::{EventLog, Ground, GuestFile, Stream, StreamReader, Verdict, logs::rebuilt_name};
use crate::{
    source::{Source as _, read_up_to},
    triage::judge::State,
};

/// Bytes copied at a time.
const STEP: usize = 1 << 20;
/// Longest name that every file system here can keep.
const LONGEST_NAME: usize = 240;
/// Most folders below each other.
const MOST_PARTS: usize = 128;
/// Zeros in holes are hashed too; a file with more of them than this is refused.
const MOST_ZEROS: u64 = 64 << 30;

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it lies, below the output folder.
    pub output: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Of what was written.
    pub md5: String,
    /// Of what was written.
    pub sha256: String,
    /// Ranges left as zeros because their bytes are not as the guest wrote them.
    pub holes: Vec<Range<u64>>,
    /// Ranges written as they stand of which the map cannot tell whether the guest wrote them.
    pub unsure: Vec<Range<u64>>,
    /// Further names of it, below the output folder.
    pub links: Vec<PathBuf>,
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// Its bytes do not come.
    #[error("cannot read it: {0}")]
    Read(#[from] vmglean_formats::MediumError),
    /// The output failed: nothing further can be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// It would be mostly zeros.
    #[error("it is {0} bytes, nearly all of them holes; named, not written")]
    TooLarge(u64),
    /// Read back, it differs from what was written.
    #[error("{} does not read back as it was written: do not trust this medium", .0.display())]
    Unverified(PathBuf),
}

/// An output folder, and which names are taken in it.
#[derive(Debug)]
pub struct Writer {
    root: PathBuf,
    taken: HashMap<PathBuf, u32>,
}

impl Writer {
    /// Files go below `root`, which is there and empty.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), taken: HashMap::new() }
    }

    /// Makes the folder that `file` is.
    ///
    /// # Errors
    /// As the system says.
    pub fn folder(&mut self, file: &GuestFile) -> Result<PathBuf, GetError> {
        let output = base(file).join(safe_path(&file.path));
        let path = self.root.join(&output);
        fs::create_dir_all(&path).map_err(|source| GetError::Write { path, source })?;
        Ok(output)
    }

    /// Writes `file`; its bad ranges are left as zeros.
    ///
    /// # Errors
    /// [`GetError`]; what was written of it is removed again.
    pub fn file(
        &mut self,
        ground: &Ground<'_>,
        file: &GuestFile,
        stream: &Stream,
    ) -> Result<Written, GetError> {
        let (output, path) = self.place(file, &file.path)?;
        let failed = |source| GetError::Write { path: path.clone(), source };
        let (md5, sha256, holes) = kept(&path, copy(ground, file, stream, &path))?;
        let mut links = Vec::new();
        for link in &file.links {
            let name = self.free(&base(file).join(safe_path(link)));
            let other = self.root.join(&name);
            if let Some(folder) = other.parent() {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            // Where the target knows no hard links, the name stands in the manifest alone.
            if fs::hard_link(&path, &other).is_ok() {
                links.push(name);
            }
        }
        let unsure = unsure(file);
        Ok(Written { output, size: file.size, md5, sha256, holes, unsure, links })
    }

    /// Writes what is left of a log beside it, under a name that says so.
    ///
    /// # Errors
    /// [`GetError`]; what was written of it is removed again.
    pub fn log(
        &mut self,
        ground: &Ground<'_>,
        file: &GuestFile,
        stream: &Stream,
        log: &EventLog,
    ) -> Result<Written, GetError> {
        let (output, path) = self.place(file, &rebuilt_name(&file.path))?;
        let made = write_log(ground, file, stream, log, &path);
        let (size, (md5, sha256, holes)) = kept(&path, made)?;
        let (unsure, links) = (Vec::new(), Vec::new());
        Ok(Written { output, size, md5, sha256, holes, unsure, links })
    }

    /// A free name below the output folder for `name`, and its path, whose folder is made.
    fn place(&mut self, file: &GuestFile, name: &[u8]) -> Result<(PathBuf, PathBuf), GetError> {
        let output = self.free(&base(file).join(safe_path(name)));
        let path = self.root.join(&output);
        if let Some(folder) = path.parent() {
            let failed = |source| GetError::Write { path: path.clone(), source };
            fs::create_dir_all(folder).map_err(failed)?;
        }
        Ok((output, path))
    }

    /// `path`, or with a number where another file has taken that name; names that differ only
    /// in case are one here, so that the output can be copied to Windows.
    fn free(&mut self, path: &Path) -> PathBuf {
        let mut free = path.to_path_buf();
        loop {
            let key = PathBuf::from(free.to_string_lossy().to_lowercase());
            if !self.taken.contains_key(&key) && self.root.join(&free).symlink_metadata().is_err() {
                self.taken.insert(key, 1);
                return free;
            }
            let own = PathBuf::from(path.to_string_lossy().to_lowercase());
            let count = self.taken.entry(own).or_insert(1);
            *count += 1;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            free = path.with_file_name(format!("{} ({count})", name.unwrap_or_default()));
        }
    }
}

fn base(file: &GuestFile) -> PathBuf {
    let apart = if file.is_deleted { "-deleted" } else { "" };
    PathBuf::from(format!("volume{}{apart}", file.volume))
}

/// A relative path of safe parts, never empty, never leading up.
#[must_use]
pub fn safe_path(path: &[u8]) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.split(|byte| *byte == b'/').take(MOST_PARTS) {
        out.push(safe_name(part));
    }
    out
}

/// One part made safe for Linux and Windows: no separators, no control characters, no device
/// names, no dots or spaces at its end, not too long.
fn safe_name(part: &[u8]) -> String {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];
    let text = String::from_utf8_lossy(part);
    let mut name: String = text
        .chars()
        .map(|c| match c {
            '\\' | '/' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
            c if c.is_control() => '_',
            // Marks that turn the direction of text make names look like others.
            '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => '_',
            c => c,
        })
        .collect();
    if name.len() > LONGEST_NAME {
        let mut end = LONGEST_NAME;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
    }
    if name.ends_with(['.', ' ']) || name.is_empty() {
        name.push('_');
    }
    let stem = name.split('.').next().unwrap_or_default().to_lowercase();
    let device = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    if DEVICES.contains(&device) && stem.len() <= 4 {
        name.insert(0, '_');
    }
    name
}

/// What the map cannot tell of a file that goes out as undetermined. It is written as it stands and
/// listed: zeros in its place would spoil a file that most often is whole.
fn unsure(file: &GuestFile) -> Vec<Range<u64>> {
    if file.verdict != Verdict::Undetermined {
        return Vec::new();
    }
    let told = file.holes.iter().filter(|(_, state)| *state == State::Undetermined);
    told.map(|(range, _)| range.clone()).filter(|range| range.start < range.end).collect()
}

type Copied = (String, String, Vec<Range<u64>>);

fn copy(
    ground: &Ground<'_>,
    file: &GuestFile,
    stream: &Stream,
    path: &Path,
) -> Result<Copied, GetError> {
    let reader = StreamReader::new(ground, stream);
    let size = stream.size;
    let data: u64 =
        stream.places().iter().filter(|p| p.disk_offset.is_some()).map(|p| p.length).sum();
    if size.saturating_sub(data) > MOST_ZEROS {
        return Err(GetError::TooLarge(size));
    }
    let mut out = Output::create(path)?;
    let unsure = unsure(file);
    let mut holes: Vec<Range<u64>> = file.holes.iter().map(|(range, _)| range.clone()).collect();
    holes.retain(|hole| unsure.binary_search_by_key(&hole.start, |range| range.start).is_err());
    // What the map could not tell, the content's own checksums have told.
    holes.retain(|hole| hole.start < hole.end && file.verdict != Verdict::Proven);
    let mut buf = vec![0; STEP];
    let mut at = 0;
    while at < size {
        let bad = holes.iter().find(|hole| hole.contains(&at)).cloned();
        let data = reader.next_data(at).ok().flatten();
        let next_bad = holes.iter().map(|hole| hole.start).find(|start| *start > at);
        let (is_zero, end) = match (bad, data) {
            (Some(hole), _) => (true, hole.end),
            (None, None) => (true, size),
            (None, Some(range)) if range.start > at => (true, range.start),
            (None, Some(range)) => (false, range.end),
        };
        let end = end.min(next_bad.unwrap_or(size)).min(size).min(at + STEP as u64).max(at + 1);
        let take = usize::try_from(end - at).unwrap_or(0);
        let Some(part) = buf.get_mut(..take) else { break };
        if is_zero {
            part.fill(0);
        } else {
            reader.read_exact_at(part, ByteOffset(at))?;
        }
        out.add(part, is_zero)?;
        at = end;
    }
    let (md5, sha256) = out.finish(file)?;
    Ok((md5, sha256, holes))
}

/// Writes a log: its new head, then its chunks.
fn write_log(
    ground: &Ground<'_>,
    file: &GuestFile,
    stream: &Stream,
    log: &EventLog,
    path: &Path,
) -> Result<(u64, Copied), GetError> {
    let reader = StreamReader::new(ground, stream);
    let mut out = Output::create(path)?;
    out.add(&log.head(), false)?;
    let mut holes = Vec::new();
    for chunk in &log.chunks {
        let (bytes, left_out) = chunk.read(&reader, file)?;
        let from = out.at;
        holes.extend(left_out.into_iter().map(|hole| from + hole.start..from + hole.end));
        out.add(&bytes, false)?;
    }
    let size = out.at;
    let (md5, sha256) = out.finish(file)?;
    Ok((size, (md5, sha256, holes)))
}

/// Half a file under its own name would be taken for the file.
fn kept<T>(path: &Path, made: Result<T, GetError>) -> Result<T, GetError> {
    if made.is_err() {
        let _gone = fs::remove_file(path);
    }
    made
}

/// A file being written from front to back, hashed on the way.
struct Output<'p> {
    path: &'p Path,
    out: File,
    md5: Md5,
    sha: Sha256,
    at: u64,
}

impl<'p> Output<'p> {
    fn create(path: &'p Path) -> Result<Self, GetError> {
        let out = File::options().read(true).write(true).create_new(true).open(path);
        let out = out.map_err(|source| GetError::Write { path: path.to_path_buf(), source })?;
        Ok(Self { path, out, md5: Md5::new(), sha: Sha256::new(), at: 0 })
    }

    fn failed(&self, source: io::Error) -> GetError {
        GetError::Write { path: self.path.to_path_buf(), source }
    }

    /// Appends bytes; those known as zeros stay a hole.
    fn add(&mut self, bytes: &[u8], is_zero: bool) -> Result<(), GetError> {
        if !is_zero {
            self.out.write_all_at(bytes, self.at).map_err(|source| self.failed(source))?;
        }
        self.md5.update(bytes);
        self.sha.update(bytes);
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Makes it safe on the medium and reads it back: MD5 and SHA-256 of what stands there.
    fn finish(mut self, file: &GuestFile) -> Result<(String, String), GetError> {
        let length = self.at;
        let safe = self.out.set_len(length).and_then(|()| self.out.sync_data());
        safe.map_err(|source| self.failed(source))?;
        let written = std::mem::take(&mut self.sha).finalize();
        if self.read_back().ok() != Some(written.to_vec()) {
            return Err(GetError::Unverified(self.path.to_path_buf()));
        }
        if let Some(times) = times(file) {
            // A target that keeps no times still has the file; the manifest has the times.
            let _kept = self.out.set_times(times);
        }
        Ok((hex::encode(self.md5.finalize()), hex::encode(written)))
    }

    /// SHA-256 of the file as the medium has it.
    fn read_back(&self) -> io::Result<Vec<u8>> {
        // Where the system keeps its own copy all the same, that is what is compared.
        let _unheeded = rustix::fs::fadvise(&self.out, 0, None, rustix::fs::Advice::DontNeed);
        let mut sha = Sha256::new();
        let mut buf = vec![0; STEP];
        let mut at = 0;
        loop {
            let count = read_up_to(&self.out, &mut buf, at)?;
            if count == 0 {
                return Ok(sha.finalize().to_vec());
            }
            sha.update(buf.get(..count).unwrap_or_default());
            at = at.saturating_add(count as u64);
        }
    }
}

fn times(file: &GuestFile) -> Option<FileTimes> {
    let [_, changed, _, read] = file.times;
    let time = |ns: Option<i128>| {
        let ns = u64::try_from(ns?).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(ns))
    };
    let changed = time(changed)?;
    Some(FileTimes::new().set_modified(changed).set_accessed(time(read).unwrap_or(changed)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::safe_path;

    #[test]
    fn no_name_leads_out_of_the_output_or_breaks_a_target() {
        for (evil, safe) in [
            ("../../etc/passwd", ".._/.._/etc/passwd"),
            ("/etc/passwd", "_/etc/passwd"),
            ("a//b", "a/_/b"),
            ("a/./..", "a/._/.._"),
            ("C:\\Windows\\x", "C__Windows_x"),
            ("con.txt", "_con.txt"),
            ("COM1", "_COM1"),
            ("console.txt", "console.txt"),
            ("name. ", "name. _"),
            ("x\u{202E}gpj.exe", "x_gpj.exe"),
            ("a\nb\0c", "a_b_c"),
            ("file.txt:stream", "file.txt_stream"),
            ("", "_"),
        ] {
            assert_eq!(safe_path(evil.as_bytes()), PathBuf::from(safe), "{evil:?}");
        }
        let long = "ü".repeat(4000);
        assert!(safe_path(long.as_bytes()).as_os_str().len() <= 242);
    }
}
