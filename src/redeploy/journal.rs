//! The journal: one line before and one after every step, on disk before the next is taken.
//!
//! Whatever ends a run, the journal says what may have been begun and what was finished.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::vsphere::MoRef;

/// The name and version of the form.
pub const SCHEMA: &str = "vmglean.redeploy-journal/1";
/// A journal longer than this was not written by us.
const MAX_BYTES: u64 = 1 << 30;

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It is about to be taken.
    Begin,
    /// It was taken.
    Done,
    /// It was refused; nothing was made by it.
    Failed,
    /// What it made is removed again.
    Undone,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// The journal's first line.
    Open {
        /// [`SCHEMA`].
        schema: String,
        /// The server's address.
        server: String,
        /// A vCenter's own id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance: Option<String>,
        /// The user.
        user: String,
    },
    /// A switch without uplink.
    Switch {
        /// On which host.
        host: String,
        /// The host's network system.
        system: MoRef,
        /// Its name.
        name: String,
    },
    /// A port group.
    PortGroup {
        /// On which host.
        host: String,
        /// The host's network system.
        system: MoRef,
        /// On which switch.
        switch: String,
        /// Its name.
        name: String,
    },
    /// A machine is taken up: what it is in the plan, and the mark it will carry.
    Machine {
        /// What tells a changed plan.
        digest: String,
        /// The mark.
        token: String,
    },
    /// A folder on a datastore.
    Folder {
        /// `[datastore] folder`.
        path: String,
        /// Its datastore.
        datastore: MoRef,
        /// Its datacenter.
        datacenter: MoRef,
    },
    /// A file.
    File {
        /// `[datastore] folder/name`.
        path: String,
        /// Its datacenter.
        datacenter: MoRef,
        /// How many bytes.
        size_bytes: u64,
        /// What was sent; known when it is done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// The machine in the inventory: registered, created, or begun by an import.
    Made {
        /// Which; known when it is done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mo: Option<MoRef>,
        /// The lease of an import. Its id holds that of the session, which is a secret and is not
        /// written; a later session could not use it.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            serialize_with = "without_session"
        )]
        lease: Option<MoRef>,
    },
    /// A disk sent through a lease.
    Disk {
        /// Which of the plan's.
        index: usize,
        /// How many bytes.
        size_bytes: u64,
        /// What was sent; known when it is done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// The machine is whole and as planned.
    Whole {
        /// Which.
        mo: MoRef,
    },
    /// It was started.
    Power,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When, UTC.
    pub time: String,
    /// Which machine; none for networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// How far.
    pub phase: Phase,
    /// What.
    #[serde(flatten)]
    pub step: Step,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A journal that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system's.
    #[error("journal {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another vmglean works on it.
    #[error("journal {} is in use by another vmglean", .0.display())]
    InUse(PathBuf),
    /// Not ours.
    #[error("journal {} line {line}: {reason}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Why.
        reason: String,
    },
}

/// What the journal knows of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Of the plan it was begun with.
    pub digest: Option<String>,
    /// Its mark.
    pub token: Option<String>,
    /// Its folder, if we made one or began to.
    pub folder: Option<(Step, Phase)>,
    /// Files we sent or began to, by path.
    pub files: BTreeMap<String, (Step, Phase)>,
    /// The machine we made or began to.
    pub made: Option<(Step, Phase)>,
    /// Whether it is whole.
    pub whole: Option<MoRef>,
    /// Whether it was started.
    pub started: bool,
    /// Why the last try failed.
    pub reason: Option<String>,
}

/// How far a machine is, in a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State<'a> {
    /// Its name in the plan.
    pub machine: &'a str,
    /// `nothing made`, `begun`, `whole` or `started`.
    pub state: &'static str,
    /// Files sent or begun.
    pub files: usize,
    /// The server's id of it, where it is whole.
    pub object: Option<&'a str>,
    /// Why the last try failed.
    pub reason: Option<&'a str>,
}

impl Record {
    /// How far the machine is, which the plan calls `name`.
    #[must_use]
    pub fn state<'a>(&'a self, name: &'a str) -> State<'a> {
        let gone = |phase: Phase| matches!(phase, Phase::Undone | Phase::Failed);
        let made = self.made.as_ref().is_some_and(|(_, phase)| !gone(*phase));
        let folder = self.folder.as_ref().is_some_and(|(_, phase)| !gone(*phase));
        let state = match &self.whole {
            Some(_) if self.started => "started",
            Some(_) => "whole",
            None if made || folder => "begun",
            None => "nothing made",
        };
        State {
            machine: name,
            state,
            files: self.files.values().filter(|(_, phase)| !gone(*phase)).count(),
            object: self.whole.as_ref().map(|mo| mo.id.as_str()),
            reason: self.reason.as_deref().filter(|_| self.whole.is_none()),
        }
    }
}

/// All that a journal says, the last word on each thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The first line.
    pub open: Option<Step>,
    /// Switches and port groups, in order.
    pub networks: Vec<(Step, Phase)>,
    /// Machines by name.
    pub machines: BTreeMap<String, Record>,
}

impl Told {
    /// From lines.
    #[must_use]
    pub fn of(lines: &[Line]) -> Self {
        let mut told = Self::default();
        for line in lines {
            told.take(line);
        }
        told
    }

    fn take(&mut self, line: &Line) {
        let Some(machine) = &line.machine else {
            match &line.step {
                Step::Open { .. } => self.open = Some(line.step.clone()),
                step => match self.networks.iter_mut().find(|(known, _)| known == step) {
                    Some((_, phase)) => *phase = line.phase,
                    None => self.networks.push((step.clone(), line.phase)),
                },
            }
            return;
        };
        let record = self.machines.entry(machine.clone()).or_default();
        let now = Some((line.step.clone(), line.phase));
        match &line.step {
            Step::Machine { digest, token } => {
                record.digest = Some(digest.clone());
                record.token = Some(token.clone());
                if line.phase == Phase::Undone {
                    *record = Record::default();
                }
            }
            Step::Folder { .. } => record.folder = now,
            Step::File { path, .. } => {
                record.files.insert(path.clone(), (line.step.clone(), line.phase));
            }
            Step::Made { mo, lease } => {
                // A later line may know less; what is known stays known.
                let (old_mo, old_lease) = match &record.made {
                    Some((Step::Made { mo, lease }, phase)) if *phase != Phase::Undone => {
                        (mo.clone(), lease.clone())
                    }
                    _ => (None, None),
                };
                let mo = mo.clone().or(old_mo);
                let lease = lease.clone().or(old_lease);
                record.made = Some((Step::Made { mo, lease }, line.phase));
                if line.phase == Phase::Undone {
                    record.whole = None;
                }
            }
            Step::Whole { mo } => record.whole = Some(mo.clone()),
            Step::Power => record.started = line.phase == Phase::Done,
            Step::Disk { .. }
            | Step::Open { .. }
            | Step::Switch { .. }
            | Step::PortGroup { .. } => {}
        }
        record.reason.clone_from(&line.reason);
    }
}

/// A journal that is open for writing, by us alone.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<(File, Told)>,
}

impl Journal {
    /// Opens or begins a journal and locks it.
    ///
    /// # Errors
    /// [`JournalError`]. A last line that was cut by a crash is no error; it is taken away.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: path.to_path_buf(), source };
        let is_new = !path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| JournalError::InUse(path.to_path_buf()))?;
        let (lines, whole) = lines(path, &mut file)?;
        file.set_len(whole).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        if is_new {
            // The name itself must survive a crash too.
            let folder = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        let told = Told::of(&lines);
        Ok(Self { path: path.to_path_buf(), file: Mutex::new((file, told)) })
    }

    /// Reads a journal without touching it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn read(path: &Path) -> Result<Told, JournalError> {
        let io = |source| JournalError::Io { path: path.to_path_buf(), source };
        let mut file = File::open(path).map_err(io)?;
        lines(path, &mut file).map(|(lines, _)| Told::of(&lines))
    }

    /// All that it says so far.
    #[must_use]
    pub fn told(&self) -> Told {
        self.file.lock().map(|held| held.1.clone()).unwrap_or_default()
    }

    /// Writes a line and waits until the disk has it.
    ///
    /// # Errors
    /// The system's; nothing may be done then.
    pub fn note(
        &self,
        machine: Option<&str>,
        phase: Phase,
        step: &Step,
        reason: Option<String>,
    ) -> Result<(), JournalError> {
        let io = |source| JournalError::Io { path: self.path.clone(), source };
        let line = Line {
            time: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            machine: machine.map(str::to_owned),
            phase,
            step: step.clone(),
            reason,
        };
        let mut text = serde_json::to_vec(&line).map_err(|error| io(io::Error::other(error)))?;
        text.push(b'\n');
        let Ok(mut held) = self.file.lock() else {
            return Err(io(io::Error::other("another thread failed while writing")));
        };
        held.0.write_all(&text).and_then(|()| held.0.sync_data()).map_err(io)?;
        held.1.take(&line);
        Ok(())
    }
}

/// `session[id]lease` without the id.
fn without_session<S: serde::Serializer>(
    lease: &Option<MoRef>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let shown = lease.as_ref().map(|lease| {
        let id = lease.id.rsplit_once(']').map_or(lease.id.as_str(), |(_, own)| own);
        MoRef::new(&lease.kind, id)
    });
    shown.serialize(serializer)
}

/// The lines, and how many bytes of whole lines there are.
fn lines(path: &Path, file: &mut File) -> Result<(Vec<Line>, u64), JournalError> {
    let io = |source| JournalError::Io { path: path.to_path_buf(), source };
    let mut text = Vec::new();
    Read::by_ref(file).take(MAX_BYTES).read_to_end(&mut text).map_err(io)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut lines = Vec::new();
    let body = text.get(..whole).unwrap_or_default();
    for (i, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let read = serde_json::from_slice(line).map_err(|error| JournalError::Form {
            path: path.to_path_buf(),
            line: i + 1,
            reason: error.to_string(),
        })?;
        lines.push(read);
    }
    let form = |reason: &str| {
        let (path, reason) = (path.to_path_buf(), reason.to_owned());
        Err(JournalError::Form { path, line: 1, reason })
    };
    match lines.first() {
        Some(Line { step: Step::Open { schema, .. }, .. }) if schema == SCHEMA => {}
        None if text.is_empty() || whole == 0 && text.first() == Some(&b'{') => {}
        _ => return form("this is no redeploy journal"),
    }
    Ok((lines, u64::try_from(whole).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_line() -> Step {
        Step::Open {
            schema: SCHEMA.to_owned(),
            server: "https://h:443".to_owned(),
            instance: None,
            user: "root".to_owned(),
        }
    }

    #[test]
    fn a_line_cut_by_a_crash_is_taken_away_and_all_before_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let journal = Journal::open(&path).unwrap();
        journal.note(None, Phase::Done, &open_line(), None).unwrap();
        let mo = MoRef::new("VirtualMachine", "vm-1");
        journal.note(Some("a"), Phase::Done, &Step::Whole { mo: mo.clone() }, None).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::InUse(_))));
        drop(journal);
        let mut text = std::fs::read(&path).unwrap();
        let before = text.len();
        text.extend_from_slice(br#"{"time":"2026-0"#);
        std::fs::write(&path, &text).unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.told().machines["a"].whole, Some(mo));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), before as u64);
    }

    #[test]
    fn a_file_that_is_no_journal_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        for text in ["hello\n", "{\"a\":1}\n", "no line at all"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Journal::open(&path), Err(JournalError::Form { .. })), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
