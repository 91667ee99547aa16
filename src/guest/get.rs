//! Files written out: only what is asked for, under names that are safe here, each beside a line
//! that says where every byte came from.

use std::{
    collections::HashMap,
    fs::{self, File, FileTimes},
    io::{self, Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use md5::Md5;
use sha2::{Digest as _, Sha256};
use vmglean_formats::{ByteOffset, ReadAt as _};

use super::{Ground, GuestFile, Stream, StreamReader};
use crate::source::Source as _;

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
        let output = self.free(&base(file).join(safe_path(&file.path)));
        let path = self.root.join(&output);
        let failed = |source| GetError::Write { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let copied = copy(ground, file, stream, &path);
        if copied.is_err() {
            // Half a file under its own name would be taken for the file.
            let _gone = fs::remove_file(&path);
        }
        let (md5, sha256, holes) = copied?;
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
        Ok(Written { output, size: file.size, md5, sha256, holes, links })
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

type Copied = (String, String, Vec<Range<u64>>);

fn copy(
    ground: &Ground<'_>,
    file: &GuestFile,
    stream: &Stream,
    path: &Path,
) -> Result<Copied, GetError> {
    let failed = |source| GetError::Write { path: path.to_path_buf(), source };
    let reader = StreamReader::new(ground, stream);
    let size = stream.size;
    let data: u64 =
        stream.places().iter().filter(|p| p.disk_offset.is_some()).map(|p| p.length).sum();
    if size.saturating_sub(data) > MOST_ZEROS {
        return Err(GetError::TooLarge(size));
    }
    let mut out = File::options().write(true).create_new(true).open(path).map_err(failed)?;
    let (mut md5, mut sha) = (Md5::new(), Sha256::new());
    let mut holes: Vec<Range<u64>> = file.holes.iter().map(|(range, _)| range.clone()).collect();
    holes.retain(|hole| hole.start < hole.end);
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
            out.seek(SeekFrom::Start(at)).map_err(failed)?;
            out.write_all(part).map_err(failed)?;
        }
        md5.update(&*part);
        sha.update(&*part);
        at = end;
    }
    out.set_len(size).map_err(failed)?;
    if let Some(times) = times(file) {
        // A target that keeps no times still has the file; the manifest has the times.
        let _kept = out.set_times(times);
    }
    out.sync_data().map_err(failed)?;
    Ok((hex(&md5.finalize()), hex(&sha.finalize()), holes))
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
