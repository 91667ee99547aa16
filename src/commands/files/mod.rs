//! `vmglean files`: volumes and files inside a damaged disk, each with its verdict.

mod get;
mod maps;

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use super::{
    Refusal, check_output,
    chosen::{Chosen, Which},
    known_families, run_info,
};
use crate::{
    cli::{Format, Global},
    disk::VirtualDisk,
    finding::Finding,
    guest::{
        Files, Ground, GuestFile, Stream,
        lvm::{self, Layout, Logical, LogicalDisk, Searched},
        scan::{Hits, scan},
        volumes::{Volume, Volumes, volumes},
    },
    interrupt::Interrupt,
    outcome::Outcome,
    report::{
        files::{
            FILES_SCHEMA, FileLine, FilesRecord, FilesSummary, volume_record, write_files,
            write_summary, write_volumes,
        },
        json::write_document,
        record::RecordPath,
    },
    source::Source,
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
    /// A further disk that volumes of LVM2 lie on; may be given several times
    #[arg(long = "with", value_name = "DISK", global = true)]
    pub with: Vec<PathBuf>,
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
    evidence.extend(args.with.iter().chain(&args.root).cloned());
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
    let disks = maps::disks(args, &families, global)?;
    let Some(maps) = maps::maps(args, &disks, &families, global, ui, stop)? else {
        return Ok(Outcome::Stopped);
    };
    let grounds: Vec<Ground<'_>> =
        disks.iter().zip(&maps).map(|(disk, runs)| Ground::new(disk, runs)).collect();
    let search = |ground: &Ground<'_>| {
        let progress = ui.progress("searching for files", None);
        progress.set_total(ground.searchable().iter().map(|range| range.end - range.start).sum());
        let hits = scan(ground, global.threads(), &stop.flag(), &|bytes| progress.add(bytes));
        progress.finish();
        hits
    };
    let hits: Vec<Hits> = grounds.iter().map(search).collect();
    let mut found: Vec<Volumes> =
        grounds.iter().zip(&hits).map(|(ground, hits)| volumes(ground, hits)).collect();
    let members: Vec<lvm::Disk<'_>> = (grounds.iter().zip(&hits).zip(&found))
        .map(|((ground, hits), found)| lvm::Disk { ground, hits, table: &found.table })
        .collect();
    let groups = lvm::groups(&members);
    let logical = Logical::all(&groups, disks.iter().map(VirtualDisk::capacity_bytes).sum());
    let sources: Vec<&dyn Source> = disks.iter().map(|disk| disk as &dyn Source).collect();
    let joined: Vec<LogicalDisk<'_>> =
        logical.iter().map(|one| LogicalDisk::new(&one.layout, sources.clone())).collect();
    let all: Vec<&Ground<'_>> = grounds.iter().collect();
    let mut searched: Vec<Searched<'_>> = (joined.iter().zip(&logical))
        .map(|(disk, logical)| Searched::new(disk, logical, &all, &search))
        .collect();
    let mut parts: Vec<Part<'_>> = Vec::new();
    if let (Some(ground), Some(hits), Some(found)) =
        (grounds.first(), hits.first(), found.first_mut())
    {
        lvm::without_logical(&mut found.volumes, 0, &groups, &searched);
        let mut last = u32::try_from(found.volumes.len()).unwrap_or(u32::MAX);
        for one in &mut searched {
            last = one.count_on(last);
        }
        parts.push(Part { ground, hits, volumes: &found.volumes, layout: None });
    }
    parts.extend(searched.iter().zip(&logical).map(|(one, logical)| Part {
        ground: &one.ground,
        hits: &one.hits,
        volumes: &one.volumes,
        layout: Some(&logical.layout),
    }));
    let mut record = FilesRecord {
        schema: FILES_SCHEMA.to_owned(),
        disk: RecordPath(args.disk.clone()),
        with: args.with.iter().cloned().map(RecordPath).collect(),
        volumes: parts
            .iter()
            .flat_map(|part| part.volumes.iter().map(|one| volume_record(one, part.layout)))
            .collect(),
        files: Vec::new(),
        summary: FilesSummary::default(),
        findings: Vec::new(),
        run: None,
    };
    let job = Job { args, parts, chosen: &chosen, stop };
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
            record.run =
                Some(run_info(started, disks.iter().map(VirtualDisk::capacity_bytes).sum()));
        }
        write_document(&mut ui.data(), &record)?;
    }
    Ok(outcome)
}

/// The disk, or one of its logical volumes.
struct Part<'a> {
    ground: &'a Ground<'a>,
    hits: &'a Hits,
    volumes: &'a [Volume],
    /// Where the bytes of a logical volume lie.
    layout: Option<&'a Layout>,
}

/// What listing and writing share.
struct Job<'a> {
    args: &'a Args,
    parts: Vec<Part<'a>>,
    chosen: &'a Chosen,
    stop: &'a Interrupt,
}

/// Takes files with their streams and what these are read from.
type Sink<'s> = dyn FnMut(&Ground<'_>, GuestFile, Option<Stream>) -> io::Result<()> + 's;

impl Job<'_> {
    /// Hands all files of the wanted volumes to `sink`.
    fn each(&self, ui: &Ui, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let volumes =
            self.parts.iter().flat_map(|part| part.volumes.iter().map(move |v| (part, v)));
        for (part, volume) in volumes {
            let wanted = self.args.volume.map_or(volume.inside.is_none(), |n| n == volume.number);
            if !wanted {
                continue;
            }
            let Some(files) = Files::open(part.ground, part.hits, volume) else {
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
            let mut placed = |mut file: GuestFile, stream: Option<Stream>| {
                if let Some(layout) = part.layout {
                    layout.translate(&mut file);
                }
                sink(part.ground, file, stream)
            };
            files.each(!self.args.untested, &self.stop.flag(), &mut placed)?;
        }
        Ok(())
    }

    fn list(&self, format: Format, record: &mut FilesRecord, ui: &Ui) -> anyhow::Result<Outcome> {
        let mut data = ui.data();
        let mut text = ui.stdout();
        let FilesRecord { files, summary, findings, .. } = &mut *record;
        let mut sink = |_: &Ground<'_>, file: GuestFile, _: Option<Stream>| -> io::Result<()> {
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
