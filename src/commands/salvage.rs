//! `vmglean salvage`: machines put together again.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{
    Refusal, Usage, check_output, datastore::is_remote, known_families, redeploy::Login, run_info,
    server::configurations,
};
use crate::{
    catalog::Machine,
    cli::{Format, Global},
    consolidate::ConsolidateError,
    families::Families,
    finding::{Finding, Weight, said_once},
    interrupt::Interrupt,
    outcome::Outcome,
    report::{
        json,
        record::{RecordPath, SweepRecord},
        salvage::{
            SALVAGE_SCHEMA, SalvageRecord, SalvageResult, SalvagedMachine, write_lines, write_text,
        },
    },
    salvage::{
        MachinePlan, SalvageOptions,
        config::{Hosts, Opener},
        names::{Unique, safe_name},
        package::{PackageError, PackageKind, PackageRequest, package},
        plan,
        write::{WriteError, needed_bytes, shares_blocks, write},
    },
    sweep::{Survey, SweepOptions, survey},
    triage::{pass::Cancel, quick::QuickOptions},
    ui::{Progress, Ui},
};

/// Arguments of `salvage`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Folders that hold datastores or machines, or single files; vsphere://host writes the
    /// configurations that a live server shows
    #[arg(required_unless_present = "from", value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// Folder to make the machines' folders in, outside of every source; made where it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// In which form the record goes to stdout.
    #[command(flatten)]
    pub format: Format,
    /// Only the machine of this name, id or folder; may be repeated
    #[arg(long, value_name = "NAME")]
    pub machine: Vec<String>,
    /// Take sources and machines from a record that sweep wrote with --json or --jsonl
    #[arg(long, value_name = "FILE", conflicts_with = "sources")]
    pub from: Option<PathBuf>,
    /// Write configurations, descriptors and other small files; list the disks
    #[arg(long)]
    pub config_only: bool,
    /// Copy disks that are damaged, encrypted or incomplete, too; without it they are left where
    /// they are and switched off in the configuration
    #[arg(long)]
    pub include_damaged: bool,
    /// Carry over memory images and their state files for forensics
    #[arg(long)]
    pub memory: bool,
    /// Make an OVF package of each machine, too: streamOptimized disks, an envelope, a manifest
    #[arg(long, conflicts_with_all = ["ova", "config_only"])]
    pub ovf: bool,
    /// The same as one archive
    #[arg(long, conflicts_with = "config_only")]
    pub ova: bool,
    /// Tell what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Windows measured in each disk; 688 find an encrypted share of 1 % with 99.9 % probability
    #[arg(long, value_name = "N", default_value_t = 688)]
    pub samples: u32,
    /// Judge disks by every byte instead of samples
    #[arg(long)]
    pub full: bool,
    /// More families, or other facts for known ones, in the form of docs/guide/families.md
    #[arg(long, value_name = "FILE")]
    pub families: Option<PathBuf>,
    /// A folder outside the sources that names found in evidence may lead to; may be repeated
    #[arg(long, value_name = "DIR")]
    pub allow: Vec<PathBuf>,
    /// Leave times, version and arguments out of the record
    #[arg(long)]
    pub reproducible: bool,
    /// Replace machines' folders that are there
    #[arg(long)]
    pub overwrite: bool,
    /// How to reach the server.
    #[command(flatten)]
    pub login: Login,
}

/// What is done with the machines chosen.
struct Run<'a> {
    args: &'a Args,
    stop: &'a Interrupt,
    progress: &'a Progress,
    options: SalvageOptions,
    families: &'a Families,
    threads: usize,
}

/// Salvages and writes the record.
///
/// # Errors
/// When nothing can be delivered, or a safety rule forbids it.
pub fn run(args: &Args, global: &Global, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    if args.sources.iter().any(|source| is_remote(source)) {
        return configurations(args, ui, stop);
    }
    let started = jiff::Timestamp::now();
    let recorded = args.from.as_deref().map(read_record).transpose()?;
    let (sources, allow) = match &recorded {
        Some(record) => sources_of(record, args),
        None => (args.sources.clone(), args.allow.clone()),
    };
    let guarded: Vec<PathBuf> = sources.iter().chain(&allow).cloned().collect();
    check_folder(&args.out, &guarded)?;
    let families = known_families(args.families.as_deref())?;
    let options = SweepOptions {
        threads: global.threads(),
        access: global.io.into(),
        quick: QuickOptions { samples: args.samples, full: args.full, ..QuickOptions::default() },
        allow,
        ..SweepOptions::default()
    };
    let progress = ui.progress("looking", None);
    let choose = |id: &str, machine: &Machine| {
        let recorded = recorded.as_ref().is_none_or(|r| r.machines.iter().any(|m| m.id == id));
        recorded
            && (args.machine.is_empty() || args.machine.iter().any(|n| is_meant(n, id, machine)))
    };
    let run = Run {
        args,
        stop,
        progress: &progress,
        options: SalvageOptions {
            config_only: args.config_only,
            include_damaged: args.include_damaged,
            memory: args.memory,
        },
        families: &families,
        threads: global.threads(),
    };
    let flag = stop.flag();
    let salvaged = survey(&sources, &options, &families, &flag, &progress, &choose, |survey| {
        run.salvage(survey, recorded.as_ref())
    });
    progress.finish();
    let (mut record, read_bytes, outcome) = salvaged??;
    if !args.reproducible {
        record.run = Some(run_info(started, read_bytes));
    }
    if args.format.json {
        json::write_document(&mut ui.data(), &record)?;
    } else if args.format.jsonl {
        write_lines(&mut ui.data(), &record)?;
    } else {
        write_text(&mut ui.stdout(), &record, ui.columns())?;
    }
    Ok(outcome)
}

pub(super) fn read_record(path: &Path) -> anyhow::Result<SweepRecord> {
    let read = || anyhow::Ok(json::read(BufReader::new(File::open(path)?))?);
    read().with_context(|| path.display().to_string())
}

/// Sources and allowed folders of a recorded sweep.
fn sources_of(record: &SweepRecord, args: &Args) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let of = |allowed: bool| {
        let wanted = record.sources.iter().filter(move |s| (s.kind == "allowed") == allowed);
        wanted.map(|source| source.path.0.clone())
    };
    (of(false).collect(), of(true).chain(args.allow.iter().cloned()).collect())
}

fn is_meant(name: &str, id: &str, machine: &Machine) -> bool {
    let folder = machine.folder.file_name().to_string_lossy();
    id == name || machine.name.eq_ignore_ascii_case(name) || folder.eq_ignore_ascii_case(name)
}

/// The output folder lies outside of every source and no source lies in it.
fn check_folder(out: &Path, sources: &[PathBuf]) -> anyhow::Result<()> {
    check_output(out, sources, true)?;
    match out.metadata() {
        Ok(meta) if !meta.is_dir() => {
            return Err(Usage(format!("{} is no folder", out.display())).into());
        }
        _ => {}
    }
    let Ok(real) = out.canonicalize() else { return Ok(()) };
    for source in sources {
        if source.canonicalize().is_ok_and(|source| source.starts_with(&real)) {
            let (output, evidence) = (out.to_path_buf(), source.clone());
            return Err(Refusal::AroundSource { output, evidence }.into());
        }
    }
    Ok(())
}

impl Run<'_> {
    fn salvage(
        &self,
        survey: Survey<'_>,
        recorded: Option<&SweepRecord>,
    ) -> anyhow::Result<(SalvageRecord, u64, Outcome)> {
        self.check_names(&survey)?;
        let opener = Opener { roots: &survey.roots, index: survey.index };
        // Names are given over all machines, so that a machine's folder does not depend on which
        // others are salvaged with it.
        let mut unique = Unique::default();
        let folders: Vec<String> =
            survey.all.iter().map(|(_, name)| unique.take(&safe_name(name))).collect();
        let mut record = SalvageRecord {
            schema: SALVAGE_SCHEMA.to_owned(),
            out: RecordPath::from(self.args.out.clone()),
            machines: Vec::new(),
            findings: Vec::new(),
            run: None,
        };
        let mut outcome = Outcome::Clean;
        for (path, why) in &survey.refused {
            record.findings.push(unreadable(path.to_string_lossy().into_owned(), why.clone()));
        }
        for machine in recorded.iter().flat_map(|record| &record.machines) {
            if !survey.all.iter().any(|(id, _)| *id == machine.id) {
                let what = format!("{} of the record is not there any more", machine.name);
                record.findings.push(unreadable(machine.id.clone(), what));
            }
        }
        self.progress.set_what("planning");
        let hosts = Hosts::gather(&opener);
        record.findings.extend(hosts.findings.iter().cloned());
        if self.args.machine.is_empty() && recorded.is_none() {
            record.findings.extend(hosts.without_files(&opener));
        }
        let mut plans = Vec::new();
        for (position, surveyed) in survey.chosen {
            if self.stop.asked() {
                break;
            }
            let folder = folders.get(position).cloned().unwrap_or_default();
            let (machine, condition) = (surveyed.machine, surveyed.condition);
            plans.push(plan(&opener, &hosts, machine, condition, folder, self.options));
        }
        if survey.stopped || self.stop.asked() {
            // Half a judgement is none: nothing was written on its word.
            return Ok((record, survey.read_bytes, Outcome::Stopped));
        }
        if !self.args.dry_run {
            self.check_space(&opener, &plans)?;
        }
        let mut go_on = true;
        for plan in &plans {
            let (machine, one) = self.one(&opener, plan, &mut go_on);
            outcome = outcome.and(one);
            record.machines.push(machine);
        }
        if record.findings.iter().any(|f| f.weight == Weight::Unreadable) {
            outcome = outcome.and(Outcome::Partial);
        }
        if record.findings.iter().any(|f| f.weight == Weight::Damage) {
            outcome = outcome.and(Outcome::Damage);
        }
        Ok((record, survey.read_bytes, outcome))
    }

    /// A name that no machine has is a mistake of the command line.
    fn check_names(&self, survey: &Survey<'_>) -> anyhow::Result<()> {
        for name in &self.args.machine {
            let taken = survey.chosen.iter().any(|(position, surveyed)| {
                survey
                    .all
                    .get(*position)
                    .is_some_and(|(id, _)| is_meant(name, id, surveyed.machine))
            });
            if !taken {
                let mut known: Vec<String> =
                    survey.all.iter().take(10).map(|(_, name)| format!("{name:?}")).collect();
                if survey.all.len() > known.len() {
                    known.push("…".to_owned());
                }
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(
                    Usage(format!("no machine is called {name:?}; there are {known}")).into()
                );
            }
        }
        Ok(())
    }

    fn check_space(&self, opener: &Opener<'_>, plans: &[MachinePlan]) -> anyhow::Result<()> {
        let out = &self.args.out;
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let missing = plans.iter().filter(|plan| !out.join(&plan.folder).exists());
        let mut needed = 0_u64;
        for plan in missing {
            if !shares_blocks(opener, plan, out) {
                needed = needed.saturating_add(needed_bytes(opener, plan));
            }
        }
        let Ok(room) = rustix::fs::statvfs(out) else { return Ok(()) };
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        if needed > free {
            let output = out.clone();
            return Err(Refusal::TooSmall { output, needed, free }.into());
        }
        Ok(())
    }

    /// One machine; `go_on` becomes false where no further one can succeed.
    fn one(
        &self,
        opener: &Opener<'_>,
        plan: &MachinePlan,
        go_on: &mut bool,
    ) -> (SalvagedMachine, Outcome) {
        let folder = RecordPath::from(self.args.out.join(&plan.folder));
        let found = |weight| plan.findings.iter().any(|f| f.weight == weight);
        let mut outcome = Outcome::Clean;
        if !plan.condition.is_untouched || found(Weight::Damage) {
            outcome = outcome.and(Outcome::Damage);
        }
        if found(Weight::Unreadable) {
            outcome = outcome.and(Outcome::Partial);
        }
        if self.args.dry_run {
            return (SalvagedMachine::new(plan, folder, SalvageResult::Planned, &[]), outcome);
        }
        if !*go_on || self.stop.asked() {
            let machine = SalvagedMachine::new(plan, folder, SalvageResult::Stopped, &[]);
            return (machine, outcome.and(Outcome::Stopped));
        }
        self.progress.set_what(&plan.name);
        let (out, overwrite) = (&self.args.out, self.args.overwrite);
        let mut advance = |bytes: u64| self.progress.add(bytes);
        match write(opener, plan, out, overwrite, &self.stop.flag(), &mut advance) {
            Ok(written) => {
                let result =
                    if written.already { SalvageResult::Already } else { SalvageResult::Written };
                let mut machine = SalvagedMachine::new(plan, folder, result, &written.files);
                for file in written.files.iter().filter(|file| file.unreadable_bytes > 0) {
                    let what = format!(
                        "{} bytes of it could not be read and are zeros; MANIFEST.jsonl says which",
                        file.unreadable_bytes
                    );
                    machine.findings.push(unreadable(file.name.clone(), what));
                    outcome = outcome.and(Outcome::Partial);
                }
                outcome = outcome.and(self.package(plan, &mut machine, go_on));
                (machine, outcome)
            }
            Err(error) => {
                let (result, one) = match &error {
                    WriteError::Stopped => (SalvageResult::Stopped, Outcome::Stopped),
                    WriteError::Exists(_) => (SalvageResult::Refused, Outcome::Refused),
                    WriteError::Unverified(_) => (SalvageResult::Failed, Outcome::Unverified),
                    WriteError::Source { .. } => (SalvageResult::Failed, Outcome::Partial),
                    WriteError::Io { .. } => {
                        *go_on = false;
                        (SalvageResult::Failed, Outcome::Io)
                    }
                };
                let mut machine = SalvagedMachine::new(plan, folder, result, &[]);
                machine.error = Some(said_once(&error));
                (machine, outcome.and(one))
            }
        }
    }
}

impl Run<'_> {
    /// The package of a finished folder, where one is asked for.
    fn package(
        &self,
        plan: &MachinePlan,
        machine: &mut SalvagedMachine,
        go_on: &mut bool,
    ) -> Outcome {
        let kind = match (self.args.ovf, self.args.ova) {
            (true, _) => PackageKind::Ovf,
            (_, true) => PackageKind::Ova,
            (false, false) => return Outcome::Clean,
        };
        let stop = self.stop.flag();
        let request = PackageRequest {
            kind,
            overwrite: self.args.overwrite,
            threads: self.threads,
            families: self.families,
            stop: &stop,
            cancel: Cancel::on(self.stop.flag(), None),
            progress: &|bytes| self.progress.add(bytes),
        };
        match package(plan, &self.args.out.join(&plan.folder), &request) {
            Ok(made) => {
                machine.package = Some(RecordPath::from(made.path));
                Outcome::Clean
            }
            Err(error) => {
                let outcome = match &error {
                    PackageError::Unfit(_) => Outcome::Partial,
                    PackageError::Exists(_) => Outcome::Refused,
                    PackageError::Stopped => Outcome::Stopped,
                    PackageError::Unverified(_) => Outcome::Unverified,
                    PackageError::Disk { source, .. } => match **source {
                        ConsolidateError::Refused(_) | ConsolidateError::Record(_) => {
                            Outcome::Refused
                        }
                        ConsolidateError::Unproven(_) => Outcome::Unverified,
                        ConsolidateError::Write { .. } => Outcome::Io,
                    },
                    PackageError::Io { .. } => Outcome::Io,
                };
                *go_on = *go_on && outcome != Outcome::Io;
                machine.error = Some(said_once(&error));
                outcome
            }
        }
    }
}

fn unreadable(path: String, what: String) -> Finding {
    let code = "salvage.incomplete".to_owned();
    Finding { code, weight: Weight::Unreadable, path, offset_bytes: None, what, next: None }
}
