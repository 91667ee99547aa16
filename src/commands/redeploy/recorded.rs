//! Machines of a sweep's record: those that may come up as they are, and why the others may not.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::super::{datastore::is_remote, salvage::read_record};
use crate::{
    redeploy::plan::{Draft, draft},
    report::record::{ConfigState, MachineRecord, Route, SweepRecord},
};

/// A record that was read.
pub(super) struct Recorded(SweepRecord);

/// Whether a source is meant as a record: what it holds is looked at later.
pub(super) fn is_record(source: &Path) -> bool {
    let ending = source.extension().map(|end| end.to_ascii_lowercase());
    matches!(ending.as_deref().and_then(|end| end.to_str()), Some("json" | "jsonl"))
}

impl Recorded {
    /// Reads a record.
    ///
    /// # Errors
    /// The system's, or what is wrong with the record, with its path.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        Ok(Self(read_record(path)?))
    }

    /// What was swept; nothing may be written there.
    pub(super) fn sources(&self) -> Vec<PathBuf> {
        self.0.sources.iter().map(|source| source.path.0.clone()).collect()
    }

    /// The machines that may come up as they are. What the others need stands under `left_out`,
    /// and so do those whose disks were written to after the sweep looked at them.
    ///
    /// # Errors
    /// The system's, with the path that cannot be looked at.
    pub(super) fn draft(&self) -> Result<Draft, (PathBuf, io::Error)> {
        let begun = self.0.run.as_ref().and_then(|run| run.started.parse::<jiff::Timestamp>().ok());
        let begun = begun.map(jiff::Timestamp::as_nanosecond);
        let mut found = Draft::default();
        for machine in &self.0.machines {
            let configuration = match configuration(machine) {
                Ok(configuration) => configuration,
                Err(why) => {
                    found.left_out.push(format!("{}: {why}", machine.name));
                    continue;
                }
            };
            let mut one = draft(&[configuration])?;
            let before = one.machines.len();
            one.machines.retain(|machine| {
                let changed =
                    |at: &str| at.parse::<i128>().is_ok_and(|at| begun.is_some_and(|b| at > b));
                !machine.disks.iter().any(|disk| changed(&disk.modified))
            });
            if one.machines.len() < before {
                found.left_out.push(format!(
                    "{}: its disks were written to after the sweep looked at them; sweep again",
                    machine.name
                ));
            }
            found.join(one);
        }
        Ok(found)
    }
}

/// Where the configuration of a machine is that may come up as it is; `Err` says what it needs.
fn configuration(machine: &MachineRecord) -> Result<PathBuf, String> {
    if machine.route != Route::Redeploy {
        return Err(format!("{}; next: {}", machine.reason, machine.next_command));
    }
    if is_remote(&machine.folder.0) {
        return Err("its files lie on a server, where it can be registered as it is".to_owned());
    }
    let own =
        machine.config.source.as_ref().filter(|_| machine.config.state == ConfigState::Intact);
    let Some(own) = own.map(|path| path.0.clone()) else {
        return Err("its configuration is not its own; vmglean salvage writes it".to_owned());
    };
    if own.exists() {
        return Ok(own);
    }
    Err(format!(
        "{} is not there; paths of a record are as the sweep was given them",
        own.display()
    ))
}
