//! Judgements kept in a file, so that a killed sweep goes on where it was.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::judge::Judged;

/// Lines longer than this are no judgement of ours.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// How often the file is forced to the medium.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// Why a state file is not used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refused or failed.
    #[error("state file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It belongs to a sweep with other options.
    #[error(
        "state file {} was made by {found}, this sweep is {wanted}: name another file, or remove it",
        path.display()
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// What made it.
        found: String,
        /// What would use it.
        wanted: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    schema: String,
    made_by: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    judged: Judged,
}

const SCHEMA: &str = "vmglean.sweep-state/1";

fn head_line(made_by: &str) -> io::Result<Vec<u8>> {
    let head = Head { schema: SCHEMA.to_owned(), made_by: made_by.to_owned() };
    let mut text = serde_json::to_vec(&head)?;
    text.push(b'\n');
    Ok(text)
}

/// The open state file and what it already holds.
#[derive(Debug, Default)]
pub(super) struct State {
    known: HashMap<String, Judged>,
    file: Option<Mutex<(File, Instant)>>,
}

impl State {
    /// No file: nothing is known, nothing is kept.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// Opens or creates the file at `path` for a sweep described by `made_by`.
    pub(super) fn open(path: &Path, made_by: &str) -> Result<Self, StateError> {
        let fail = |source| StateError::Io { path: path.to_path_buf(), source };
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(path).map_err(fail)?;
        let mut known = HashMap::new();
        let mut whole_bytes = 0_u64;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        let mut first = true;
        loop {
            line.clear();
            let read = io::Read::take(&mut reader, MAX_LINE_BYTES)
                .read_until(b'\n', &mut line)
                .map_err(fail)?;
            // The last line of a killed run may be torn; it is judged again.
            if read == 0 || line.last() != Some(&b'\n') {
                break;
            }
            if first {
                let head: Option<Head> = serde_json::from_slice(&line).ok();
                let found = match head {
                    Some(head) if head.schema == SCHEMA => head.made_by,
                    Some(head) => head.schema,
                    None => "something else".to_owned(),
                };
                if found != made_by {
                    let (path, wanted) = (path.to_path_buf(), made_by.to_owned());
                    return Err(StateError::Other { path, found, wanted });
                }
                first = false;
            } else if let Ok(Line { key, judged }) = serde_json::from_slice(&line) {
                known.insert(key, judged);
            }
            whole_bytes += read as u64;
        }
        drop(reader);
        let text = head_line(made_by).map_err(fail)?;
        // Only what is ours may be cut: a torn first line of our own, never somebody's file.
        if first && !text.starts_with(&line) {
            let (path, wanted) = (path.to_path_buf(), made_by.to_owned());
            return Err(StateError::Other { path, found: "something else".to_owned(), wanted });
        }
        if file.metadata().map_err(fail)?.len() > whole_bytes {
            file.set_len(whole_bytes).map_err(fail)?;
        }
        if first {
            file.write_all(&text).map_err(fail)?;
        }
        Ok(Self { known, file: Some(Mutex::new((file, Instant::now()))) })
    }

    pub(super) fn get(&self, key: &str) -> Option<&Judged> {
        self.known.get(key)
    }

    /// Appends a judgement; a line is written whole or, by a kill, torn and then left out.
    pub(super) fn put(&self, key: &str, judged: &Judged) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut text = serde_json::to_vec(&Line { key: key.to_owned(), judged: judged.clone() })?;
        text.push(b'\n');
        let mut held = file.lock().unwrap_or_else(PoisonError::into_inner);
        held.0.write_all(&text)?;
        if held.1.elapsed() >= SYNC_EVERY {
            held.0.sync_data()?;
            held.1 = Instant::now();
        }
        Ok(())
    }

    /// Forces everything to the medium.
    pub(super) fn sync(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.lock().unwrap_or_else(PoisonError::into_inner).0.sync_data()
    }
}
