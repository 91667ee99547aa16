//! One machine: what its configuration and disks make of it, and the way back.

use std::{os::unix::ffi::OsStrExt as _, path::Path};

use super::{
    companions::{Companions, Loss},
    judge::Judgements,
    verdict::{DiskJudged, LinkState, own_name},
};
use crate::{
    catalog::{CatalogFile, Content, Index, Machine, VmwareEncryption},
    finding::{Finding, Weight},
    report::{
        record::{ConfigState, DiskVerdict, MachineVerdict, Route},
        shell,
    },
    triage::quick::SmallState,
};

/// A machine judged.
#[derive(Debug)]
pub(super) struct MachineJudged {
    pub(super) verdict: MachineVerdict,
    pub(super) route: Route,
    pub(super) reason: String,
    pub(super) next_command: String,
    pub(super) config: ConfigState,
    pub(super) config_reason: Option<String>,
}

impl MachineJudged {
    /// Whatever else was found, untouched means that nothing was.
    pub(super) fn doubt_for_findings(&mut self, findings: &[Finding]) {
        let found = findings.iter().find(|finding| finding.weight != Weight::Note);
        if let Some(finding) = found
            && self.verdict == MachineVerdict::Untouched
        {
            let name = Path::new(&finding.path).file_name().unwrap_or_default().to_string_lossy();
            self.verdict = MachineVerdict::Undetermined;
            self.route = Route::Examine;
            self.reason = format!("disks show no damage, but {name}: {}", finding.what);
        }
    }
}

/// State of a machine's own configuration, and why where it is not whole.
fn config_state(
    machine: &Machine,
    index: &Index<'_>,
    judgements: &Judgements,
) -> (ConfigState, Option<String>) {
    let Some(id) = machine.config.own else {
        return (ConfigState::Missing, Some("its .vmx is gone".to_owned()));
    };
    let file = index.file(id);
    let shown = own_name(file);
    match &file.content {
        Content::Vmx(facts) if facts.encryption == VmwareEncryption::Whole => {
            (ConfigState::VmwareEncrypted, None)
        }
        Content::Vmx(facts) if facts.encryption == VmwareEncryption::Unclear => (
            ConfigState::Undetermined,
            Some(format!("{shown} has a key safe and no data under it")),
        ),
        Content::Vmx(facts) if facts.whole => (ConfigState::Intact, None),
        Content::Vmx(_) => (ConfigState::Damaged, Some(format!("{shown} is torn"))),
        Content::Known(_) => (ConfigState::VmwareEncrypted, None),
        Content::Refused => {
            let why = file.findings.first().map(|f| f.what.clone()).unwrap_or_default();
            (ConfigState::Unreadable, Some(format!("{shown}: {why}")))
        }
        Content::Empty => (ConfigState::Damaged, Some(format!("{shown} is empty"))),
        _ => match judgements.small(id) {
            Some(small) => {
                let why = Some(format!("{shown}: {}", small.reason));
                match small.state {
                    SmallState::Encrypted => {
                        (ConfigState::Encrypted, Some(format!("{shown} is encrypted")))
                    }
                    SmallState::LegitEncrypted => (ConfigState::VmwareEncrypted, None),
                    SmallState::Unreadable => (ConfigState::Unreadable, why),
                    SmallState::RandomLike => (ConfigState::Undetermined, why),
                    _ => (ConfigState::Damaged, why),
                }
            }
            None => (ConfigState::Undetermined, Some(format!("{shown} was not judged"))),
        },
    }
}

pub(super) fn judge_machine(
    machine: &Machine,
    disks: &[DiskJudged],
    companions: &Companions,
    index: &Index<'_>,
    judgements: &Judgements,
) -> MachineJudged {
    let (config, config_reason) = config_state(machine, index, judgements);
    let verdict = verdict(config, disks, companions);
    let config_lost = config_reason.is_some()
        || disks.iter().any(|disk| disk.verdict == DiskVerdict::DescriptorLost);
    let rollback = rollback(disks);
    let renamed = disks.iter().any(|disk| disk.renamed)
        || machine.config.own.is_some_and(|id| index.file(id).name.is_renamed());
    let route = match verdict {
        MachineVerdict::Untouched if renamed => Route::RebuildConfig,
        MachineVerdict::Untouched => Route::Redeploy,
        // Only what VMware makes anew is lost, or what the machine as it stood does not need.
        MachineVerdict::ConfigLost
            if !config_lost && !renamed && companions.worst() == Some(Loss::Remade) =>
        {
            Route::Redeploy
        }
        MachineVerdict::ConfigLost => Route::RebuildConfig,
        MachineVerdict::Incomplete if is_as_it_stood(disks) => Route::Redeploy,
        MachineVerdict::PartlyEncrypted
        | MachineVerdict::Encrypted
        | MachineVerdict::Incomplete
            if rollback =>
        {
            Route::RollbackSnapshot
        }
        MachineVerdict::PartlyEncrypted => Route::SalvageDisk,
        MachineVerdict::Encrypted => Route::RestoreBackup,
        MachineVerdict::Incomplete if no_base_left(disks) && companions.whole.is_empty() => {
            Route::RestoreBackup
        }
        MachineVerdict::Incomplete | MachineVerdict::Undetermined => Route::Examine,
    };
    let reason = reason(verdict, route, disks, companions, config_reason.as_deref(), renamed);
    let next_command = match companions.whole.first() {
        Some((_, id)) if verdict == MachineVerdict::Incomplete && route == Route::Examine => {
            format!("vmglean chain {}", shell::quote(index.file(*id).shown.as_os_str()))
        }
        _ => next_command(route, config, machine, disks, index),
    };
    MachineJudged { verdict, route, reason, next_command, config, config_reason }
}

/// Whether no disk of the current state is hit, so that only snapshots are.
fn is_as_it_stood(disks: &[DiskJudged]) -> bool {
    disks.iter().all(|disk| disk.verdict == DiskVerdict::Untouched)
}

fn verdict(config: ConfigState, disks: &[DiskJudged], companions: &Companions) -> MachineVerdict {
    let any = |wanted: &[DiskVerdict]| disks.iter().any(|disk| wanted.contains(&disk.verdict));
    let config_gone = matches!(
        config,
        ConfigState::Encrypted
            | ConfigState::Damaged
            | ConfigState::Missing
            | ConfigState::Undetermined
    );
    if disks.is_empty() {
        // A configuration that names no disk has none; one that cannot be read tells nothing.
        return match config {
            ConfigState::Intact => match companions.worst() {
                None => MachineVerdict::Untouched,
                Some(Loss::Remade | Loss::State) => MachineVerdict::ConfigLost,
                Some(Loss::SnapshotDisk | Loss::Unread) => MachineVerdict::Undetermined,
            },
            _ => MachineVerdict::Undetermined,
        };
    }
    if disks.iter().all(|disk| disk.verdict == DiskVerdict::Encrypted) {
        MachineVerdict::Encrypted
    } else if any(&[DiskVerdict::Encrypted, DiskVerdict::PartlyEncrypted]) {
        MachineVerdict::PartlyEncrypted
    } else if any(&[DiskVerdict::Incomplete]) {
        MachineVerdict::Incomplete
    } else if any(&[
        DiskVerdict::Damaged,
        DiskVerdict::Unreadable,
        DiskVerdict::Undetermined,
        DiskVerdict::GuestEncrypted,
    ]) {
        MachineVerdict::Undetermined
    } else if config == ConfigState::Unreadable || companions.worst() == Some(Loss::Unread) {
        // What could not be opened is not lost.
        MachineVerdict::Undetermined
    } else if companions.worst() == Some(Loss::SnapshotDisk) {
        MachineVerdict::Incomplete
    } else if config_gone || any(&[DiskVerdict::DescriptorLost]) || companions.worst().is_some() {
        MachineVerdict::ConfigLost
    } else {
        MachineVerdict::Untouched
    }
}

/// Whether every disk that is hit can go back to a whole snapshot point.
fn rollback(disks: &[DiskJudged]) -> bool {
    let fit = |disk: &DiskJudged| {
        matches!(disk.verdict, DiskVerdict::Untouched | DiskVerdict::DescriptorLost)
    };
    disks.iter().any(|disk| disk.rollback.is_some())
        && disks.iter().all(|disk| fit(disk) || disk.rollback.is_some())
}

fn no_base_left(disks: &[DiskJudged]) -> bool {
    disks.iter().any(|disk| {
        disk.verdict == DiskVerdict::Incomplete
            && disk.links.last().is_none_or(|base| *base == LinkState::Missing)
            && !disk.is_perhaps_elsewhere()
    })
}

fn reason(
    verdict: MachineVerdict,
    route: Route,
    disks: &[DiskJudged],
    companions: &Companions,
    config_reason: Option<&str>,
    renamed: bool,
) -> String {
    let beside = companions.reason();
    let of = |wanted: &[DiskVerdict]| {
        disks
            .iter()
            .find(|disk| wanted.contains(&disk.verdict))
            .map(|disk| disk.reason.clone())
            .unwrap_or_default()
    };
    let because = match verdict {
        MachineVerdict::Untouched if disks.is_empty() => "it has no disks".to_owned(),
        MachineVerdict::Untouched if renamed => {
            "no sign of damage in what was examined; files carry a foreign suffix and need their \
             names back"
                .to_owned()
        }
        MachineVerdict::Untouched => "no sign of damage in what was examined".to_owned(),
        MachineVerdict::ConfigLost => {
            let descriptor = Some(of(&[DiskVerdict::DescriptorLost])).filter(|why| !why.is_empty());
            let why = config_reason.map(str::to_owned).or(descriptor).or(beside);
            format!("disks show no damage, but {}", why.unwrap_or_default())
        }
        MachineVerdict::Encrypted | MachineVerdict::PartlyEncrypted => {
            of(&[DiskVerdict::Encrypted, DiskVerdict::PartlyEncrypted])
        }
        MachineVerdict::Incomplete if is_as_it_stood(disks) => format!(
            "as it stood it shows no damage, but {}",
            beside.unwrap_or_else(|| "a snapshot is lost".to_owned())
        ),
        MachineVerdict::Incomplete => {
            let why = of(&[DiskVerdict::Incomplete]);
            match companions.whole.first() {
                Some((name, _)) => format!("{why}; snapshot disk {name} shows no damage"),
                None => why,
            }
        }
        MachineVerdict::Undetermined if disks.is_empty() => match (config_reason, beside) {
            (Some(why), _) => format!("{why}, and nothing tells its disks"),
            (None, Some(why)) => why,
            (None, None) => {
                "its configuration is encrypted by VMware itself, and its disks are named \
                     inside"
                    .to_owned()
            }
        },
        MachineVerdict::Undetermined => {
            let why = of(&[
                DiskVerdict::Damaged,
                DiskVerdict::Unreadable,
                DiskVerdict::Undetermined,
                DiskVerdict::GuestEncrypted,
            ]);
            match config_reason.map(str::to_owned).or(beside) {
                Some(beside) if why.is_empty() => format!("disks show no damage, but {beside}"),
                _ => why,
            }
        }
    };
    if route == Route::RollbackSnapshot {
        format!("{because}; below it the chain is whole down to its base")
    } else {
        because
    }
}

fn next_command(
    route: Route,
    config: ConfigState,
    machine: &Machine,
    disks: &[DiskJudged],
    index: &Index<'_>,
) -> String {
    let command =
        |words: &str, path: &Path| format!("vmglean {words} {}", shell::quote(path.as_os_str()));
    let shown = |id| index.file(id).shown.as_path();
    let folder = || {
        let anchor = machine.anchor().map(shown).and_then(Path::parent);
        anchor.filter(|p| !p.as_os_str().as_bytes().is_empty()).unwrap_or_else(|| Path::new("."))
    };
    let hit = machine.disks.iter().zip(disks).find(|(_, judged)| {
        !matches!(judged.verdict, DiskVerdict::Untouched | DiskVerdict::DescriptorLost)
    });
    let frozen = machine.findings.iter().find(|f| f.code == "snapshot.frozen-disk");
    let frozen = frozen.map(|finding| Path::new(&finding.path));
    let leaf = || {
        let disk = hit.map(|(disk, _)| disk).or_else(|| machine.disks.first())?;
        disk.leaf.or_else(|| disk.files().first().copied())
    };
    match route {
        Route::Redeploy => command("sweep --full", folder()),
        Route::RebuildConfig | Route::RollbackSnapshot => salvage(machine, index, folder()),
        Route::Examine if hit.is_none() && config == ConfigState::Unreadable => {
            command("inspect", machine.config.own.map_or_else(folder, shown))
        }
        Route::Examine if hit.is_none() && frozen.is_some() => {
            command("chain", frozen.unwrap_or_else(folder))
        }
        Route::SalvageDisk | Route::RestoreBackup | Route::Examine => match leaf() {
            // What is missing or does not fit, and what could take its place, is the chain's to say.
            Some(id) if hit.is_some_and(|(_, judged)| judged.is_chain_broken()) => {
                command("chain", shown(id))
            }
            Some(id) => command("map", shown(id)),
            None => command("inspect", machine.anchor().map_or_else(folder, shown)),
        },
    }
}

/// Salvages the machine's own folder; its source where disks of it lie elsewhere.
fn salvage(machine: &Machine, index: &Index<'_>, folder: &Path) -> String {
    let quoted = |path: &Path| shell::quote(path.as_os_str());
    let mut files = machine.disks.iter().flat_map(|disk| disk.files()).map(|id| index.file(id));
    let is_here = |file: &CatalogFile| file.root == machine.root && file.folder() == machine.folder;
    if files.all(is_here) {
        return format!("vmglean salvage {} --out salvaged", quoted(folder));
    }
    let depth = machine.folder.as_path().components().count();
    let source = folder.ancestors().nth(depth).unwrap_or(folder);
    let id = super::record::id_of(machine, index);
    let id = shell::quote(id.as_ref());
    format!("vmglean salvage {} --machine {id} --out salvaged", quoted(source))
}
