//! Everything a pass measured, kept so that it can be walked again and again in bounded memory.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{
    codec::{self, LONGEST_ENTRY_BYTES},
    options::PassError,
    stretch::{Joiner, Stretch},
};

/// Records held in memory before they go to a file.
const MEMORY_BYTES: usize = 16 << 20;
/// Records held in memory where there is a file.
const BUFFER_BYTES: usize = 1 << 20;
/// What a kept file begins with, so that no other file is ever taken for one and cut.
pub(super) const MAGIC: &[u8; 16] = b"vmglean records\n";
/// Read back at once.
const READ_BYTES: usize = 256 << 10;

/// The stretches of one pass, in order, from the first byte on.
///
/// Up to 16 MiB stay in memory (16 GiB of dense data, any amount of holes and zeros); more goes
/// to an unnamed temporary file, or to the state file's companion where a pass keeps one.
pub struct Records {
    tail: Vec<u8>,
    file: Option<File>,
    /// Of the file, or of the folder for temporary ones; for messages.
    path: PathBuf,
    /// Where the first entry lies.
    base: u64,
    file_bytes: u64,
    checksum: crc32fast::Hasher,
    joiner: Joiner,
    covered_bytes: u64,
    limit: usize,
}

/// A place in the records where a pass can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Bytes of the file up to it.
    pub(super) bytes: u64,
    /// CRC-32 of these.
    pub(super) checksum: u32,
}

impl Default for Records {
    fn default() -> Self {
        Self::new()
    }
}

impl Records {
    /// None yet, in memory.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tail: Vec::new(),
            file: None,
            path: std::env::temp_dir(),
            base: 0,
            file_bytes: 0,
            checksum: crc32fast::Hasher::new(),
            joiner: Joiner::default(),
            covered_bytes: 0,
            limit: MEMORY_BYTES,
        }
    }

    /// In this file, keeping what stands before `keep`, which must cover the source up to
    /// `covered_bytes`.
    ///
    /// # Errors
    /// Words for the reason why what the file holds cannot be gone on with.
    pub(super) fn in_file(
        file: File,
        path: &Path,
        keep: Option<(Mark, u64)>,
    ) -> Result<Self, String> {
        let base = MAGIC.len() as u64;
        let mut records = Self { path: path.to_owned(), limit: BUFFER_BYTES, base, ..Self::new() };
        if let Some((mark, covered_bytes)) = keep {
            records.checksum = checksum(&file, mark.bytes)
                .map_err(|error| format!("its records cannot be read: {error}"))?;
            if records.checksum.clone().finalize() != mark.checksum {
                return Err("its records have changed".to_owned());
            }
            records.file_bytes = mark.bytes;
            records.covered_bytes = covered_bytes;
        }
        file.set_len(records.file_bytes)
            .map_err(|error| format!("its records cannot be cut: {error}"))?;
        if records.file_bytes == 0 {
            file.write_all_at(MAGIC, 0)
                .map_err(|error| format!("its records cannot be written: {error}"))?;
            records.checksum.update(MAGIC);
            records.file_bytes = base;
        }
        records.file = Some(file);
        Ok(records)
    }

    /// Bytes of the source covered from its start.
    #[must_use]
    pub fn covered_bytes(&self) -> u64 {
        self.covered_bytes
    }

    /// Bytes the records take, in memory and on disk.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.file_bytes.saturating_add(self.tail.len() as u64)
    }

    /// Keeps the stretch that begins where the last one ended.
    ///
    /// # Errors
    /// [`PassError::Records`] when the file cannot take more.
    pub fn push(&mut self, stretch: &Stretch) -> Result<(), PassError> {
        self.covered_bytes = stretch.end_bytes();
        if let Some(ready) = self.joiner.push(stretch.clone()) {
            codec::encode(&ready, &mut self.tail);
        }
        if self.tail.len() >= self.limit { self.flush() } else { Ok(()) }
    }

    /// Everything so far as a place to go on from, written to the file.
    pub(super) fn mark(&mut self) -> Result<Mark, PassError> {
        if let Some(ready) = self.joiner.finish() {
            codec::encode(&ready, &mut self.tail);
        }
        self.flush()?;
        Ok(Mark { bytes: self.file_bytes, checksum: self.checksum.clone().finalize() })
    }

    /// Makes sure that what was written survives a crash of the machine.
    pub(super) fn sync(&self) -> Result<(), PassError> {
        match &self.file {
            Some(file) => file.sync_data().map_err(|source| self.failed(source)),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), PassError> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile().map_err(|source| self.failed(source))?);
            self.limit = BUFFER_BYTES;
        }
        if let Some(file) = &self.file {
            file.write_all_at(&self.tail, self.file_bytes).map_err(|source| self.failed(source))?;
        }
        self.checksum.update(&self.tail);
        self.file_bytes += self.tail.len() as u64;
        self.tail.clear();
        self.tail.shrink_to(2 * BUFFER_BYTES);
        Ok(())
    }

    fn failed(&self, source: io::Error) -> PassError {
        PassError::Records { path: self.path.clone(), source }
    }

    /// Walks all stretches from the first byte on, each as long as it can be.
    #[must_use]
    pub fn iter(&self) -> Walk<'_> {
        Walk {
            records: self,
            file_at: self.base,
            tail_at: 0,
            buf: Vec::new(),
            buf_at: 0,
            offset_bytes: 0,
            joiner: Joiner::default(),
            state: WalkState::File,
        }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<Stretch, PassError>;
    type IntoIter = Walk<'a>;

    fn into_iter(self) -> Walk<'a> {
        self.iter()
    }
}

fn checksum(file: &File, bytes: u64) -> io::Result<crc32fast::Hasher> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buf = vec![0; READ_BYTES];
    let mut at = 0;
    while at < bytes {
        let take = usize::try_from(bytes - at).map_or(READ_BYTES, |rest| rest.min(READ_BYTES));
        let Some(part) = buf.get_mut(..take) else { break };
        file.read_exact_at(part, at)?;
        hasher.update(part);
        at += take as u64;
    }
    Ok(hasher)
}

/// A walk over [`Records`]; ends after the first error.
pub struct Walk<'a> {
    records: &'a Records,
    file_at: u64,
    tail_at: usize,
    buf: Vec<u8>,
    buf_at: usize,
    offset_bytes: u64,
    joiner: Joiner,
    state: WalkState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WalkState {
    File,
    Waiting,
    Done,
}

impl Walk<'_> {
    /// The next stored entry, decoded.
    fn entry(&mut self) -> Result<Option<Stretch>, PassError> {
        let stretch = {
            let Some(body) = self.body()? else { return Ok(None) };
            let (source, range) = body;
            let bytes = match source {
                From::File => self.buf.get(range),
                From::Tail => self.records.tail.get(range),
            };
            codec::decode(bytes.unwrap_or(&[]), self.offset_bytes)
        };
        let Some(stretch) = stretch else { return Err(self.broken("an entry is damaged")) };
        self.offset_bytes = stretch.end_bytes();
        Ok(Some(stretch))
    }

    /// Where the next entry's body lies.
    fn body(&mut self) -> Result<Option<(From, std::ops::Range<usize>)>, PassError> {
        if self.buf_at == self.buf.len() && self.file_at == self.records.file_bytes {
            let start = self.tail_at;
            let Some(range) = body_range(&self.records.tail, start) else { return Ok(None) };
            self.tail_at = range.end;
            return Ok(Some((From::Tail, range)));
        }
        let range = match body_range(&self.buf, self.buf_at) {
            Some(range) => range,
            None => {
                self.fill()?;
                body_range(&self.buf, self.buf_at)
                    .ok_or_else(|| self.broken("an entry is cut short"))?
            }
        };
        self.buf_at = range.end;
        Ok(Some((From::File, range)))
    }

    fn fill(&mut self) -> Result<(), PassError> {
        self.buf.drain(..self.buf_at);
        self.buf_at = 0;
        let rest = self.records.file_bytes - self.file_at;
        let take = usize::try_from(rest).map_or(READ_BYTES, |rest| rest.min(READ_BYTES));
        let old = self.buf.len();
        self.buf.resize(old + take, 0);
        if let (Some(file), Some(part)) = (&self.records.file, self.buf.get_mut(old..)) {
            file.read_exact_at(part, self.file_at)
                .map_err(|error| self.broken(&error.to_string()))?;
        }
        self.file_at += take as u64;
        Ok(())
    }

    fn broken(&self, what: &str) -> PassError {
        PassError::Stored { path: self.records.path.clone(), what: what.to_owned() }
    }
}

enum From {
    File,
    Tail,
}

/// The body of the entry at `at`, if all of it is there.
fn body_range(bytes: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let length = bytes.get(at..)?.first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let start = at + 4;
    (length <= LONGEST_ENTRY_BYTES && bytes.len() >= start + length).then(|| start..start + length)
}

impl Iterator for Walk<'_> {
    type Item = Result<Stretch, PassError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.state {
                WalkState::Done => return None,
                WalkState::Waiting => {
                    self.state = WalkState::Done;
                    return self.joiner.finish().map(Ok);
                }
                WalkState::File => match self.entry() {
                    Ok(Some(stretch)) => {
                        if let Some(ready) = self.joiner.push(stretch) {
                            return Some(Ok(ready));
                        }
                    }
                    Ok(None) => {
                        self.state = WalkState::Waiting;
                        if let Some(waiting) = self.records.joiner.waiting()
                            && let Some(ready) = self.joiner.push(waiting.clone())
                        {
                            return Some(Ok(ready));
                        }
                    }
                    Err(error) => {
                        self.state = WalkState::Done;
                        return Some(Err(error));
                    }
                },
            }
        }
    }
}
