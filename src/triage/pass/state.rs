//! What a pass leaves on disk so that a killed one can go on.
//!
//! Two files: the records (append-only, `….records`) and a small JSON header that says up to
//! where they can be trusted, replaced in one step after they have reached the disk.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    hash::{Digests, HashKinds, HashState, Hasher},
    identity::SourceIdentity,
    options::{PassError, PassOptions},
    records::{MAGIC, Mark, Records},
    stretch::Stretch,
};
use crate::triage::measure::WINDOW_BYTES;

const SCHEMA: &str = "vmglean.pass/1";
/// Longest header read back: a few files' names and five hash states.
const LONGEST_HEADER_BYTES: u64 = 16 << 20;
/// Time between two checkpoints.
const EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    schema: String,
    version: String,
    identity: SourceIdentity,
    hashes: HashKinds,
    lanes: bool,
    covered_bytes: u64,
    records_bytes: u64,
    records_crc32: u32,
    hash_states: Vec<HashState>,
    /// Where the pass is done.
    digests: Option<Digests>,
}

/// How a state file was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// There was none.
    Fresh,
    /// It holds this much of the source; the pass goes on from there.
    From {
        /// Bytes covered from the start.
        covered_bytes: u64,
    },
    /// There was one, but it cannot be gone on with; the pass starts again.
    Discarded {
        /// Why, in words.
        why: String,
    },
}

/// Where a pass keeps its state between runs.
pub struct PassState {
    path: PathBuf,
    records_path: PathBuf,
    identity: SourceIdentity,
    hashes: HashKinds,
    lanes: bool,
    records: Records,
    resume: Resume,
    hash_states: Vec<HashState>,
    digests: Option<Digests>,
    marks: BTreeMap<u64, Mark>,
    every: Duration,
    last: Instant,
}

impl PassState {
    /// Opens the state at `path`, or begins one there. The records lie beside it.
    ///
    /// # Errors
    /// [`PassError::Stored`] when `path` holds something else or another process works on it,
    /// [`PassError::Records`] when the files cannot be made.
    pub fn open(
        path: &Path,
        identity: SourceIdentity,
        options: &PassOptions,
    ) -> Result<Self, PassError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".records");
        let records_path = PathBuf::from(name);
        let header = read_header(path)?;
        let failed = |source| PassError::Records { path: records_path.clone(), source };
        let file = open_records(&records_path)?;
        let (mut resume, mut keep) = (Resume::Fresh, None);
        let (mut hash_states, mut digests) = (Vec::new(), None);
        if let Some(header) = header {
            resume = match header.usable(&identity, options) {
                Ok(()) => {
                    let covered_bytes = header.covered_bytes;
                    let mark = Mark { bytes: header.records_bytes, checksum: header.records_crc32 };
                    keep = Some((mark, covered_bytes));
                    hash_states = header.hash_states;
                    digests = header.digests;
                    Resume::From { covered_bytes }
                }
                Err(why) => Resume::Discarded { why },
            };
        }
        let records = match Records::in_file(file.try_clone().map_err(failed)?, &records_path, keep)
        {
            Ok(records) => records,
            Err(why) => {
                resume = Resume::Discarded { why };
                hash_states.clear();
                digests = None;
                Records::in_file(file, &records_path, None)
                    .map_err(|why| PassError::Stored { path: records_path.clone(), what: why })?
            }
        };
        Ok(Self {
            path: path.to_owned(),
            records_path,
            identity,
            hashes: options.hashes,
            lanes: options.lanes,
            records,
            resume,
            hash_states,
            digests,
            marks: BTreeMap::new(),
            every: EVERY,
            last: Instant::now(),
        })
    }

    /// How the state was found.
    #[must_use]
    pub fn resume(&self) -> &Resume {
        &self.resume
    }

    /// Everything measured so far, earlier runs included.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Sets the time between two checkpoints, ten seconds else.
    pub fn set_interval(&mut self, every: Duration) {
        self.every = every;
    }

    /// Deletes the state, after what it was for has been delivered.
    ///
    /// # Errors
    /// The system's error; files that are gone already are none.
    pub fn remove(self) -> io::Result<()> {
        for path in [&self.path, &self.records_path] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The hashes as they stood at the resume point.
    pub(super) fn hashers(&self) -> Option<Vec<Hasher>> {
        self.hash_states.iter().map(Hasher::restore).collect()
    }

    /// The hashes of the whole source, where an earlier run came to its end.
    pub(super) fn digests(&self) -> Option<Digests> {
        self.digests
    }

    pub(super) fn push(&mut self, stretch: &Stretch) -> Result<(), PassError> {
        self.records.push(stretch)
    }

    pub(super) fn is_due(&self) -> bool {
        self.last.elapsed() >= self.every
    }

    pub(super) fn interval(&self) -> Duration {
        self.every
    }

    /// Remembers where the records stand at this place of the source.
    pub(super) fn mark(&mut self, at: u64) -> Result<(), PassError> {
        let mark = self.records.mark()?;
        self.marks.insert(at, mark);
        Ok(())
    }

    /// Makes this place, which was marked, the one to go on from.
    pub(super) fn checkpoint(
        &mut self,
        at: u64,
        hash_states: Vec<HashState>,
        digests: Option<Digests>,
    ) -> Result<(), PassError> {
        self.last = Instant::now();
        let Some(mark) = self.marks.remove(&at) else { return Ok(()) };
        self.records.sync()?;
        let header = Header {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            identity: self.identity.clone(),
            hashes: self.hashes,
            lanes: self.lanes,
            covered_bytes: at,
            records_bytes: mark.bytes,
            records_crc32: mark.checksum,
            hash_states,
            digests,
        };
        write_header(&self.path, &header)
            .map_err(|source| PassError::Records { path: self.path.clone(), source })
    }
}

impl Header {
    /// Whether a pass can go on from here; else why not.
    fn usable(&self, now: &SourceIdentity, options: &PassOptions) -> Result<(), String> {
        if self.version != env!("CARGO_PKG_VERSION") {
            return Err(format!("it was made by version {}", self.version));
        }
        if let Some(difference) = self.identity.difference(now) {
            return Err(difference);
        }
        if self.hashes != options.hashes || self.lanes != options.lanes {
            return Err("it was made with other options".to_owned());
        }
        if self.covered_bytes == self.identity.size_bytes() {
            let whole = "it is complete, but its hashes are missing";
            return self.digests.map(|_| ()).ok_or_else(|| whole.to_owned());
        }
        let mut kinds: Vec<_> = self.hash_states.iter().map(|state| state.kind).collect();
        let mut wanted = options.hashes.list();
        kinds.sort();
        wanted.sort();
        let restored = self.hash_states.iter().all(|state| Hasher::restore(state).is_some());
        if kinds != wanted || !restored {
            return Err("its hashes cannot be gone on with".to_owned());
        }
        if !self.covered_bytes.is_multiple_of(WINDOW_BYTES as u64) {
            return Err("it ends inside a window".to_owned());
        }
        Ok(())
    }
}

/// The header at `path`; `None` where there is no file.
fn read_header(path: &Path) -> Result<Option<Header>, PassError> {
    let stored = |what: String| PassError::Stored { path: path.to_owned(), what };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(stored(error.to_string())),
    };
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, LONGEST_HEADER_BYTES), &mut text)
        .map_err(|error| stored(error.to_string()))?;
    match serde_json::from_str::<Header>(&text) {
        Ok(header) if header.schema == SCHEMA => Ok(Some(header)),
        _ => Err(stored("it is no state of a pass; name another file or remove it".to_owned())),
    }
}

/// How long a lock is waited for: a fifth of a second.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Opens the records for this process alone. A file that does not begin as records do is not
/// touched.
fn open_records(path: &Path) -> Result<File, PassError> {
    let failed = |source| PassError::Records { path: path.to_owned(), source };
    let stored = |what: &str| PassError::Stored { path: path.to_owned(), what: what.to_owned() };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    // A run that was just stopped, or a child it was about to start, may hold it for a moment.
    let mut patience = LOCK_TRIES;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if patience > 0 => {
                patience -= 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => return Err(stored("another process works on it")),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    let mut start = [0; MAGIC.len()];
    if file.metadata().map_err(failed)?.len() > 0
        && (file.read_exact_at(&mut start, 0).is_err() || &start != MAGIC)
    {
        return Err(stored("it holds something else; name another file or remove it"));
    }
    Ok(file)
}

fn write_header(path: &Path, header: &Header) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, header)?;
    file.flush()?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
