//! The record of a run, from which a second run goes on.
//!
//! One JSON object a line. Range lines count only once a checkpoint follows them; a checkpoint is
//! written after the bytes before it are on the medium. A torn end is cut off.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    manifest::{ManifestLine, OutputLine, RangeLine, Sums},
    place::Position,
};

/// Lines kept in memory before a checkpoint.
const MAX_KEPT_BYTES: usize = 8 << 20;
/// No line of ours comes near.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The system's word.
    #[error("cannot keep the record {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another run holds it.
    #[error("another run is writing {}", .0.display())]
    Held(PathBuf),
    /// It belongs to another job.
    #[error("{} is the record of another job or of changed sources ({what}): delete it and its .part file, or use --overwrite", path.display())]
    Other {
        /// Which.
        path: PathBuf,
        /// What differs.
        what: String,
    },
}

/// What a job must have in common with the run it goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JobLine {
    pub(super) version: String,
    pub(super) output: OutputLine,
    pub(super) level: i32,
    /// Name, length and last change of every source file.
    pub(super) sources: Vec<(String, u64, String)>,
    /// What is known of the sources' content.
    pub(super) damage: String,
    /// Recorded damage maps, by the SHA-256 of each.
    #[serde(default)]
    pub(super) maps: Vec<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
enum Line {
    Job(JobLine),
    Range(RangeLine),
    Checkpoint { next_bytes: u64, position: Position, sums: Sums, ranges: u64 },
    Proven { file_sha256: Option<String> },
}

/// An open record.
pub(super) struct Record {
    path: PathBuf,
    file: File,
    kept: Vec<u8>,
    position: Position,
    tables_told: usize,
    next_bytes: u64,
    sums: Sums,
    ranges: u64,
    proven: bool,
    file_hash: Option<String>,
    resumed_from: Option<u64>,
}

impl Record {
    /// Opens the record at `path` for `job`: a new one, or one to go on from.
    pub(super) fn open(
        path: &Path,
        job: &JobLine,
        start: Position,
        overwrite: bool,
    ) -> Result<Self, RecordError> {
        let wrong = |source| RecordError::Io { path: path.to_path_buf(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(wrong)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| RecordError::Held(path.to_path_buf()))?;
        let mut record = Self {
            path: path.to_path_buf(),
            file,
            kept: Vec::new(),
            tables_told: start.tables.len(),
            position: start.clone(),
            next_bytes: 0,
            sums: Sums::default(),
            ranges: 0,
            proven: false,
            file_hash: None,
            resumed_from: None,
        };
        match record.load() {
            Ok(Some(found)) if found == *job => {}
            Ok(Some(found)) if !overwrite => {
                let what = difference(&found, job);
                return Err(RecordError::Other { path: path.to_path_buf(), what });
            }
            Ok(_) => {
                record.position = start;
                record.tables_told = record.position.tables.len();
                (record.next_bytes, record.sums, record.ranges) = (0, Sums::default(), 0);
                (record.proven, record.resumed_from) = (false, None);
                record.begin(job).map_err(wrong)?;
            }
            Err(error) => return Err(wrong(error)),
        }
        Ok(record)
    }

    fn begin(&mut self, job: &JobLine) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        let mut text = serde_json::to_vec(&Line::Job(job.clone()))?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.file.sync_data()
    }

    /// Reads what is there up to its last checkpoint and cuts the rest off.
    fn load(&mut self) -> io::Result<Option<JobLine>> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
        let mut line = Vec::new();
        let mut job = None;
        let (mut at, mut good) = (0_u64, 0_u64);
        loop {
            line.clear();
            let length = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
            if length == 0 || line.last() != Some(&b'\n') {
                break;
            }
            let Ok(parsed) = serde_json::from_slice::<Line>(&line) else { break };
            at += length as u64;
            match (parsed, &job) {
                (Line::Job(found), None) => {
                    job = Some(found);
                    good = at;
                }
                (Line::Range(_), Some(_)) => {}
                (Line::Checkpoint { next_bytes, position, sums, ranges }, Some(_)) => {
                    self.next_bytes = next_bytes;
                    self.position.next_sector = position.next_sector;
                    self.position.open_table = position.open_table;
                    self.position.tables.extend(position.tables);
                    (self.sums, self.ranges) = (sums, ranges);
                    self.resumed_from = Some(next_bytes);
                    good = at;
                }
                (Line::Proven { file_sha256 }, Some(_)) => {
                    (self.proven, self.file_hash) = (true, file_sha256);
                    good = at;
                }
                _ => break,
            }
        }
        drop(reader);
        self.tables_told = self.position.tables.len();
        self.file.set_len(good)?;
        self.file.seek(SeekFrom::Start(good))?;
        Ok(job)
    }

    /// Adds the lines of the next unit.
    pub(super) fn add(
        &mut self,
        lines: &[RangeLine],
        sums: &Sums,
        end: u64,
    ) -> Result<(), RecordError> {
        for line in lines {
            self.push(&Line::Range(line.clone()))?;
        }
        self.ranges += lines.len() as u64;
        self.sums.add_all(sums);
        self.next_bytes = end;
        Ok(())
    }

    fn push(&mut self, line: &Line) -> Result<(), RecordError> {
        serde_json::to_writer(&mut self.kept, line).map_err(|error| self.wrong(error.into()))?;
        self.kept.push(b'\n');
        Ok(())
    }

    fn wrong(&self, source: io::Error) -> RecordError {
        RecordError::Io { path: self.path.clone(), source }
    }

    /// Whether so many lines wait that a checkpoint is due.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= MAX_KEPT_BYTES
    }

    /// Where the output's next bytes go.
    pub(super) fn position(&mut self) -> &mut Position {
        &mut self.position
    }

    /// Writes a checkpoint: everything added so far is on the medium.
    pub(super) fn checkpoint(&mut self) -> Result<(), RecordError> {
        let position = Position {
            next_sector: self.position.next_sector,
            open_table: self.position.open_table.clone(),
            tables: self.position.tables.get(self.tables_told..).unwrap_or_default().to_vec(),
        };
        let (next_bytes, sums, ranges) = (self.next_bytes, self.sums, self.ranges);
        self.push(&Line::Checkpoint { next_bytes, position, sums, ranges })?;
        self.tables_told = self.position.tables.len();
        self.flush()
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        let kept = std::mem::take(&mut self.kept);
        let written = self.file.write_all(&kept).and_then(|()| self.file.sync_data());
        written.map_err(|error| self.wrong(error))
    }

    /// Says that the output was read back and is what this record says.
    pub(super) fn set_proven(&mut self, file_sha256: Option<String>) -> Result<(), RecordError> {
        self.push(&Line::Proven { file_sha256: file_sha256.clone() })?;
        (self.proven, self.file_hash) = (true, file_sha256);
        self.flush()
    }

    /// SHA-256 of the whole output, where it was asked for.
    pub(super) fn file_hash(&self) -> Option<&str> {
        self.file_hash.as_deref()
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }

    /// The first byte of the disk that is not in the output yet.
    pub(super) fn next_bytes(&self) -> u64 {
        self.next_bytes
    }

    pub(super) fn resumed_from(&self) -> Option<u64> {
        self.resumed_from
    }

    pub(super) fn sums(&self) -> Sums {
        self.sums
    }

    pub(super) fn ranges(&self) -> u64 {
        self.ranges
    }

    /// Gives every range line as written and as read, in order.
    pub(super) fn each_range(
        &self,
        mut take: impl FnMut(&[u8], RangeLine) -> io::Result<()>,
    ) -> Result<(), RecordError> {
        let mut read = || -> io::Result<()> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(0))?;
            let mut reader = BufReader::with_capacity(1 << 20, file);
            let mut line = Vec::new();
            loop {
                line.clear();
                if reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
                    return Ok(());
                }
                if !line.starts_with(br#"{"record":"range""#) {
                    continue;
                }
                match serde_json::from_slice(&line)? {
                    ManifestLine::Range(range) => take(&line, range)?,
                    _ => continue,
                }
            }
        };
        read().map_err(|error| self.wrong(error))
    }

    /// Removes the record.
    pub(super) fn remove(self) -> Result<(), RecordError> {
        std::fs::remove_file(&self.path).map_err(|error| self.wrong(error))
    }
}

fn difference(found: &JobLine, job: &JobLine) -> String {
    if found.version != job.version {
        return format!("made by vmglean {}", found.version);
    }
    if found.output != job.output || found.level != job.level {
        return "other options".to_owned();
    }
    for (one, two) in found.sources.iter().zip(&job.sources) {
        if one != two {
            return format!("{} changed", one.0);
        }
    }
    if found.sources.len() != job.sources.len() {
        return "other source files".to_owned();
    }
    if found.maps != job.maps {
        let told = |maps: &[(String, String)]| match maps {
            [] => "no damage map".to_owned(),
            all => {
                let all: Vec<String> =
                    all.iter().map(|(name, hash)| format!("{name} (SHA-256 {hash})")).collect();
                format!("the damage map {}", all.join(", "))
            }
        };
        return format!("it was made with {}, now it is {}", told(&found.maps), told(&job.maps));
    }
    "other knowledge of the sources' damage".to_owned()
}
