//! `vmglean files`: volumes and files inside a damaged disk, each with its verdict.

mod get;

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context as _;

use super::{
    Refusal, Usage, check_output,
    chosen::{Chosen, Which},
    known_families, run_info,
};
use crate::{
    chain,
    cli::{Format, Global},
    disk::{Companions, FolderCompanions, VirtualDisk, open_chain},
    families::Families,
    finding::Finding,
    guest::{
        Files, Ground, GuestFile, Stream,
        scan::{Hits, scan},
        volumes::{Volumes, volumes},
    },
    interrupt::Interrupt,
    map::map_chain,
    outcome::Outcome,
    report::{
        files::{
            FILES_SCHEMA, FileLine, FilesRecord, FilesSummary, volume_record, write_files,
            write_summary, write_volumes,
        },
        json::write_document,
        record::{MapRecord, RecordPath},
    },
    triage::{
        judge::{JudgeOptions, Run, State},
        pass::{Cancel, PassOptions},
    },
    ui::Ui,
};

/// Written beside the files by `get`.
const LISTS: [&str; 4] = ["MANIFEST.jsonl", "hashdeep.txt", "bodyfile.txt", "SUMMARY.txt"];

/// Arguments of `files`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The disk: a descriptor, a sparse or flat extent, a chain's leaf, a raw image
    #[arg(value_name = "DISK")]
    pub disk: PathBuf,
    /// What to do; without it, as `ls`
    #[command(subcommand)]
    pub action: Option<Action>,
    /// The damage map that `vmglean map DISK --json` wrote; without it, one is made
    #[arg(long, value_name = "FILE", global = true)]
    pub map: Option<PathBuf>,
    /// Folder that names found in the disks may lead to [default: the disk's own folder]
    #[arg(long, value_name = "DIR", global = true)]
    pub root: Option<PathBuf>,
    /// Only volume N, as `volumes` counts them; also one that lies inside a file of another
    #[arg(long, value_name = "N", global = true)]
    pub volume: Option<u32>,
    /// Make the map for examiners: bytes that merely do not look encrypted are undetermined
    #[arg(long, global = true, conflicts_with = "map")]
    pub strict: bool,
    /// Do not test the content of files
    #[arg(long, global = true)]
    pub untested: bool,
    /// More families, or other facts for known ones, in the form of docs/guide/families.md
    #[arg(long, value_name = "FILE", global = true)]
    pub families: Option<PathBuf>,
    /// Leave times, version and arguments out of the record
    #[arg(long, global = true)]
    pub reproducible: bool,
    /// In which form the record goes to stdout.
    #[command(flatten)]
    pub format: Format,
}

/// What `files` does.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Action {
    /// List the volumes and what each rests on
    Volumes {
        /// In which form the record goes to stdout.
        #[command(flatten)]
        format: Format,
    },
    /// List files with their verdicts
    Ls {
        /// Which files.
        #[command(flatten)]
        which: Which,
        /// In which form the record goes to stdout.
        #[command(flatten)]
        format: Format,
    },
    /// Write files out: those that are whole, unless other verdicts are named; of damaged Windows
    /// event logs what holds, beside them
    Get {
        /// Folder for the files; made if needed, and empty
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Which files.
        #[command(flatten)]
        which: Which,
        /// Also write files of which a part is intact; the rest is zeros, listed in NAME.holes.json
        #[arg(long)]
        partial: bool,
        /// Write into a folder that is not empty; files there are never replaced
        #[arg(long)]
        overwrite: bool,
    },
}

/// Finds volumes and files, lists or writes them.
///
/// # Errors
/// When nothing can be delivered, or a rule forbids the output.
pub fn run(args: &Args, global: &Global, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    let started = jiff::Timestamp::now();
    let families = known_families(args.families.as_deref())?;
    let mut evidence = vec![args.disk.clone()];
    evidence.extend(args.root.clone());
    let format = match &args.action {
        Some(Action::Volumes { format } | Action::Ls { format, .. })
            if format.json || format.jsonl =>
        {
            *format
        }
        _ => args.format,
    };
    let nothing = Which::default();
    let chosen = match &args.action {
        Some(Action::Ls { which, .. } | Action::Get { which, .. }) => which.ready()?,
        None | Some(Action::Volumes { .. }) => nothing.ready()?,
    };
    if let Some(Action::Get { out, overwrite, .. }) = &args.action {
        check_output(out, &evidence, true)?;
        let is_empty = fs::read_dir(out).map_or(true, |mut entries| entries.next().is_none());
        if !is_empty && !overwrite {
            return Err(Refusal::Exists(out.clone()).into());
        }
        if let Some(list) = LISTS.iter().map(|name| out.join(name)).find(|list| list.exists()) {
            // What an earlier run wrote would lose its record.
            let text =
                format!("{} is there from an earlier run; name another folder", list.display());
            return Err(Refusal::Rule(text).into());
        }
    }
    let opened = chain::open(&args.disk, args.root.as_deref(), global.io.into(), &families)?;
    let disk = opened.chain.into_disk();
    let runs = match &args.map {
        Some(file) => recorded(file, &disk)?,
        None => match made(args, &families, global, ui, stop)? {
            Some(runs) => runs,
            None => return Ok(Outcome::Stopped),
        },
    };
    let ground = Ground::new(&disk, &runs);
    let progress = ui.progress("searching for files", None);
    progress.set_total(ground.searchable().iter().map(|range| range.end - range.start).sum());
    let hits = scan(&ground, global.threads(), &stop.flag(), &|bytes| progress.add(bytes));
    progress.finish();
    let found = volumes(&ground, &hits);
    let mut record = FilesRecord {
        schema: FILES_SCHEMA.to_owned(),
        disk: RecordPath(args.disk.clone()),
        volumes: found.volumes.iter().map(volume_record).collect(),
        files: Vec::new(),
        summary: FilesSummary::default(),
        findings: Vec::new(),
        run: None,
    };
    let job = Job { args, ground: &ground, hits: &hits, found: &found, chosen: &chosen, stop };
    let outcome = match &args.action {
        Some(Action::Volumes { .. }) => {
            if format.jsonl {
                for volume in &record.volumes {
                    ui.data().line(&serde_json::to_string(volume)?)?;
                }
            } else if !format.json {
                write_volumes(&mut ui.stdout(), &record.volumes)?;
            }
            Outcome::Clean
        }
        Some(Action::Get { out, partial, .. }) => {
            let outcome = job.get(out, *partial, &mut record, ui)?;
            if !format.json {
                write_summary(&mut ui.stdout(), &record.summary)?;
            }
            outcome
        }
        None | Some(Action::Ls { .. }) => job.list(format, &mut record, ui)?,
    };
    if format.json {
        if !args.reproducible {
            record.run = Some(run_info(started, disk.capacity_bytes()));
        }
        write_document(&mut ui.data(), &record)?;
    }
    Ok(outcome)
}

/// A map that was made before.
fn recorded(file: &PathBuf, disk: &VirtualDisk) -> anyhow::Result<Vec<Run>> {
    use crate::report::record::MapState;
    let text = fs::read(file).with_context(|| file.display().to_string())?;
    let map: MapRecord = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no record of vmglean map --json", file.display()))?;
    if map.size_bytes < disk.capacity_bytes() {
        let text = format!(
            "{} covers {} bytes, the disk has {}: it is the map of another disk, or one made with \
             --file",
            file.display(),
            map.size_bytes,
            disk.capacity_bytes()
        );
        return Err(Usage(text).into());
    }
    Ok(map
        .runs
        .iter()
        .map(|run| {
            let state = match run.state {
                MapState::Zero => State::Zero,
                MapState::Absent => State::Absent,
                MapState::Intact => State::Intact,
                MapState::Encrypted => State::Encrypted,
                MapState::Unreadable => State::Unreadable,
                MapState::Damaged => State::Damaged,
                MapState::Undetermined => State::Undetermined,
            };
            let end = run.offset_bytes.saturating_add(run.length_bytes);
            let mut made = Run::new(run.offset_bytes..end, state, 0);
            if let Some(edge) = run.edge {
                made.start_doubt = edge.start_bytes;
                made.end_doubt = edge.end_bytes;
            }
            made
        })
        .collect())
}

/// A map made now, as `map` makes it; `None` where it was stopped.
fn made(
    args: &Args,
    families: &Families,
    global: &Global,
    ui: &Ui,
    stop: &Interrupt,
) -> anyhow::Result<Option<Vec<Run>>> {
    let (root, rel) = chain::place(&args.disk, args.root.as_deref(), global.io.into())
        .map_err(anyhow::Error::msg)?;
    let folder: Arc<dyn Companions> = Arc::new(FolderCompanions::new(Arc::new(root)));
    let chain = open_chain(&folder, &rel).with_context(|| args.disk.display().to_string())?;
    let total = chain.disk().files().iter().map(|file| file.source.len_bytes()).sum();
    let progress = ui.progress("mapping the damage", Some(total));
    let jobs = std::num::NonZeroUsize::new(global.threads()).unwrap_or(std::num::NonZeroUsize::MIN);
    let pass = PassOptions { jobs, ..PassOptions::default() };
    let cancel = Cancel::on(stop.flag(), None);
    let strict = JudgeOptions { strict: args.strict };
    let map = map_chain(chain, families, &pass, strict, &cancel, &mut |bytes| progress.add(bytes))?;
    progress.finish();
    Ok(map.map(|map| map.runs.into_iter().map(|run| run.run).collect()))
}

/// What listing and writing share.
struct Job<'a> {
    args: &'a Args,
    ground: &'a Ground<'a>,
    hits: &'a Hits,
    found: &'a Volumes,
    chosen: &'a Chosen,
    stop: &'a Interrupt,
}

impl Job<'_> {
    /// Hands all files of the wanted volumes to `sink`.
    fn each(
        &self,
        ui: &Ui,
        sink: &mut dyn FnMut(GuestFile, Option<Stream>) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        for volume in &self.found.volumes {
            let wanted = self.args.volume.map_or(volume.inside.is_none(), |n| n == volume.number);
            if !wanted {
                continue;
            }
            let Some(files) = Files::open(self.ground, self.hits, volume) else {
                ui.warn(format!("volume {}: its files are not read", volume.number));
                continue;
            };
            ui.detail(
                1,
                format!(
                    "volume {}: {} records by {}; {} names without one",
                    volume.number,
                    files.records(),
                    files.rests_on(),
                    files.lost_names()
                ),
            );
            if let Some(why) = files.mistrust() {
                ui.warn(format!(
                    "volume {}: {why}; only files that prove themselves are called whole",
                    volume.number
                ));
            }
            files.each(!self.args.untested, &self.stop.flag(), &mut *sink)?;
        }
        Ok(())
    }

    fn list(&self, format: Format, record: &mut FilesRecord, ui: &Ui) -> anyhow::Result<Outcome> {
        let mut data = ui.data();
        let mut text = ui.stdout();
        let FilesRecord { files, summary, findings, .. } = &mut *record;
        let mut sink = |file: GuestFile, _: Option<Stream>| -> io::Result<()> {
            findings.extend(summary.count(&file));
            let line = FileLine::from(&file);
            if !self.chosen.takes(&file, &line) {
                return Ok(());
            }
            if format.jsonl {
                data.line(&serde_json::to_string(&line)?)?;
            } else if format.json {
                files.push(line);
            } else if !file.is_folder {
                write_files(&mut text, &[line])?;
            }
            Ok(())
        };
        self.each(ui, &mut sink)?;
        if !format.json && !format.jsonl {
            write_summary(&mut text, summary)?;
            text.flush()?;
        }
        for finding in findings.iter().filter(|_| !format.json) {
            ui.warn(format!("{}: {}", finding.path, finding.what));
        }
        Ok(outcome(summary, findings, self.stop))
    }
}

fn outcome(summary: &FilesSummary, findings: &[Finding], stop: &Interrupt) -> Outcome {
    let whole = summary.whole().files == summary.all() && findings.is_empty();
    let seen = if whole { Outcome::Clean } else { Outcome::Damage };
    if stop.asked() { seen.and(Outcome::Stopped) } else { seen }
}
