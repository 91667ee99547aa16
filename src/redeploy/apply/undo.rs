//! Everything that the journal says we made, removed again, and nothing else.

use std::{collections::BTreeMap, sync::atomic::AtomicBool};

use super::{Journal, MoRef, Phase, Record, Server, Step, StepError};
use crate::redeploy::estate;

/// One thing to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A machine with its files.
    Machine {
        /// Its name in the plan.
        name: String,
        /// Which, if that is known.
        mo: Option<MoRef>,
        /// The mark by which it is known.
        token: String,
        /// The folder it was registered from.
        folder: Option<String>,
    },
    /// A file.
    File {
        /// The machine's name.
        name: String,
        /// `[datastore] folder/file`.
        path: String,
        /// Its datacenter.
        datacenter: MoRef,
    },
    /// A folder, when it is empty.
    Folder {
        /// The machine's name.
        name: String,
        /// `[datastore] folder`.
        path: String,
        /// Its datastore.
        datastore: MoRef,
        /// Its datacenter.
        datacenter: MoRef,
    },
    /// A port group or switch.
    Network(Step),
}

impl std::fmt::Display for Removal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Machine { name, .. } => write!(f, "machine {name} with its files"),
            Self::File { path, .. } => write!(f, "file {path}"),
            Self::Folder { path, .. } => write!(f, "folder {path}, if nothing else is in it"),
            Self::Network(Step::Switch { host, name, .. }) => write!(f, "switch {name} on {host}"),
            Self::Network(Step::PortGroup { host, name, .. }) => {
                write!(f, "network {name} on {host}")
            }
            Self::Network(_) => f.write_str("a network"),
        }
    }
}

/// What the journal says is there because of us, in the order in which it is removed.
#[must_use]
pub fn removals(journal: &Journal) -> Vec<Removal> {
    let told = journal.told();
    let mut list = Vec::new();
    for (name, record) in &told.machines {
        of_machine(name, record, &mut list);
    }
    let gone = |phase: Phase| matches!(phase, Phase::Undone | Phase::Failed);
    let networks = told.networks.iter().rev().filter(|(_, phase)| !gone(*phase));
    list.extend(networks.map(|(step, _)| Removal::Network(step.clone())));
    list
}

fn of_machine(name: &str, record: &Record, list: &mut Vec<Removal>) {
    let folder = match &record.folder {
        Some((Step::Folder { path, datastore, datacenter }, phase)) if *phase != Phase::Undone => {
            Some((path, datastore, datacenter))
        }
        _ => None,
    };
    let gone = |phase: Phase| matches!(phase, Phase::Undone | Phase::Failed);
    if let (Some((Step::Made { mo, .. }, phase)), Some(token)) = (&record.made, &record.token)
        && !gone(*phase)
    {
        list.push(Removal::Machine {
            name: name.to_owned(),
            mo: record.whole.clone().or_else(|| mo.clone()),
            token: token.clone(),
            folder: folder.map(|(path, _, _)| path.clone()),
        });
    }
    for (path, (step, phase)) in &record.files {
        if let Step::File { datacenter, .. } = step
            && *phase != Phase::Undone
        {
            list.push(Removal::File {
                name: name.to_owned(),
                path: path.clone(),
                datacenter: datacenter.clone(),
            });
        }
    }
    if let Some((path, datastore, datacenter)) = folder {
        list.push(Removal::Folder {
            name: name.to_owned(),
            path: path.clone(),
            datastore: datastore.clone(),
            datacenter: datacenter.clone(),
        });
    }
}

/// Removes what [`removals`] lists. Gives a line for each thing that had to stay.
///
/// # Errors
/// What stops everything: the journal, or a server that is gone.
pub fn undo(
    server: &Server,
    journal: &Journal,
    power_off: bool,
    stop: &AtomicBool,
    say: &dyn Fn(&str),
) -> Result<Vec<String>, StepError> {
    let mut stay = Vec::new();
    // A machine that stays keeps its files and folder.
    let mut kept: BTreeMap<String, ()> = BTreeMap::new();
    for removal in removals(journal) {
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(StepError::Server(super::Error::Stopped));
        }
        let owner = match &removal {
            Removal::Machine { name, .. }
            | Removal::File { name, .. }
            | Removal::Folder { name, .. } => Some(name.clone()),
            Removal::Network(_) => None,
        };
        if owner.as_ref().is_some_and(|owner| kept.contains_key(owner)) {
            continue;
        }
        if owner.is_none() && !kept.is_empty() {
            stay.push(format!("{removal} stays with the machines that are on it"));
            continue;
        }
        let step = step_of(journal, &removal);
        match remove(server, &removal, power_off, stop) {
            Ok(()) => {
                if let Some(step) = step {
                    journal.note(owner.as_deref(), Phase::Undone, &step, None)?;
                }
                say(&format!("removed: {removal}"));
            }
            Err(StepError::Refused(why)) => {
                if let (Removal::Machine { .. }, Some(owner)) = (&removal, &owner) {
                    kept.insert(owner.clone(), ());
                }
                stay.push(why);
            }
            Err(StepError::Server(error)) if !error.may_pass() => {
                stay.push(format!("{removal}: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    // A machine of which nothing is left may be made anew under another mark.
    for (name, record) in journal.told().machines {
        let mut left = Vec::new();
        of_machine(&name, &record, &mut left);
        if left.is_empty()
            && let (Some(digest), Some(token)) = (record.digest, record.token)
        {
            let step = Step::Machine { digest, token };
            journal.note(Some(&name), Phase::Undone, &step, None)?;
        }
    }
    Ok(stay)
}

fn step_of(journal: &Journal, removal: &Removal) -> Option<Step> {
    let told = journal.told();
    match removal {
        Removal::Machine { name, .. } => told.machines.get(name)?.made.clone().map(|(s, _)| s),
        Removal::File { name, path, .. } => {
            told.machines.get(name)?.files.get(path).map(|(step, _)| step.clone())
        }
        Removal::Folder { name, .. } => told.machines.get(name)?.folder.clone().map(|(s, _)| s),
        Removal::Network(step) => Some(step.clone()),
    }
}

fn remove(
    server: &Server,
    removal: &Removal,
    power_off: bool,
    stop: &AtomicBool,
) -> Result<(), StepError> {
    // What is gone already is as good as removed.
    let gone = |done: Result<(), super::Error>| match done {
        Err(error)
            if matches!(
                error.fault_kind(),
                Some("FileNotFound" | "NotFound" | "ManagedObjectNotFound")
            ) =>
        {
            Ok(())
        }
        other => other.map_err(StepError::from),
    };
    match removal {
        Removal::Machine { name, mo, token, folder } => {
            let ours = |found: &estate::Existing| {
                found.token.as_deref() == Some(token)
                    || folder.as_ref().is_some_and(|folder| {
                        found
                            .vmx_path
                            .as_ref()
                            .is_some_and(|p| p.starts_with(&format!("{folder}/")))
                    })
            };
            let found = match mo {
                Some(mo) => estate::machine(server, mo)?,
                None => estate::machines(server)?.into_iter().find(ours),
            };
            let Some(found) = found else { return Ok(()) };
            if !ours(&found) {
                return Err(StepError::Refused(format!(
                    "{name}: {} does not carry our mark any more and is left alone",
                    found.mo
                )));
            }
            if found.powered_on {
                if !power_off {
                    return Err(StepError::Refused(format!(
                        "{name} runs and is left alone; --power-off stops it first"
                    )));
                }
                server.power_off(&found.mo, stop)?;
            }
            gone(server.destroy(&found.mo, stop))
        }
        Removal::File { path, datacenter, .. } => {
            gone(server.delete_file(path, Some(datacenter), stop))
        }
        Removal::Folder { path, datastore, datacenter, .. } => {
            match server.folder(datastore, path, stop)? {
                None => Ok(()),
                Some(files) if files.is_empty() => {
                    gone(server.delete_file(path, Some(datacenter), stop))
                }
                Some(files) => Err(StepError::Refused(format!(
                    "{path} holds {} more files that are not ours, and stays",
                    files.len()
                ))),
            }
        }
        Removal::Network(Step::PortGroup { system, name, .. }) => {
            gone(server.remove_port_group(system, name))
        }
        Removal::Network(Step::Switch { system, name, .. }) => {
            gone(server.remove_switch(system, name))
        }
        Removal::Network(_) => Ok(()),
    }
}
