//! `vmglean consolidate`: one disk out of a chain.

use std::{
    collections::HashSet,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{Refusal, Usage, check_output, given::given, known_families, run_info};
use crate::{
    chain::{Known, Opened, damage, missing, open, sample},
    cli::{Format as Form, Global, parse_size},
    consolidate::{
        ConsolidateError, Consolidated, Format, Paths, Refused, Request, VerifyError, consolidate,
        objections, open_bytes, patches, read_through, rewritten, select, write_patches,
    },
    disk::ChainEnd,
    families::Families,
    finding::{Finding, Weight},
    interrupt::Interrupt,
    outcome::Outcome,
    report::{
        consolidate::{ConsolidateRecord, RewrittenRange, write_lines, write_text},
        json::write_document,
        plain::plain,
        record::RecordPath,
    },
    source::RelPath,
    triage::pass::Cancel,
    ui::Ui,
};

/// Disks named in a refusal as what could be the missing parent; `chain` tells more.
const MAX_FITTING: usize = 3;

/// Arguments of `consolidate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The disk at the top of the chain
    #[arg(value_name = "LEAF")]
    pub leaf: PathBuf,
    /// The disk to make; MANIFEST.jsonl, its file list and a ddrescue map lie beside it
    #[arg(short, long, value_name = "OUT", required_unless_present_any = ["null", "patch"])]
    pub output: Option<PathBuf>,
    /// What to make
    #[arg(short = 'O', long, value_enum, default_value_t = Kind::Raw, value_name = "FORMAT")]
    pub kind: Kind,
    /// A point in time: a snapshot's name or uid, or a file of the chain [default: the leaf]
    #[arg(long, value_name = "NAME|UID|LINK")]
    pub at: Option<String>,
    /// Byte that stands in the place of what is lost, encrypted or unreadable (0xNN)
    #[arg(long, value_name = "BYTE", default_value = "0x00", value_parser = parse_byte)]
    pub fill: u8,
    /// Make what there is of a chain without base, or with extents that do not fit their lines
    #[arg(long)]
    pub partial: bool,
    /// Folder that names found in the disks may lead to [default: the leaf's own folder]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Windows measured in each file first; one that looks encrypted is then mapped whole. 0 leaves
    /// the content unjudged
    #[arg(long, value_name = "N", default_value_t = 688)]
    pub samples: u32,
    /// A damage map that `vmglean map LEAF --json` wrote, or `map --file` of a file of the chain:
    /// what it calls encrypted or damaged is filled. May be given for several files
    #[arg(long, value_name = "FILE", conflicts_with = "patch")]
    pub map: Vec<PathBuf>,
    /// Fill what a damage map leaves undetermined, too; without it that is copied, and listed
    #[arg(long, conflicts_with = "patch")]
    pub fill_undetermined: bool,
    /// How hard streams are deflated, 1 (fast) to 12
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..=12))]
    pub level: i32,
    /// Where the manifest goes [default: MANIFEST.jsonl beside OUT]
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Read everything and write nothing: tells how much of the disk can be had
    #[arg(long, conflicts_with_all = ["output", "manifest"])]
    pub null: bool,
    /// Instead of a disk, write descriptors that fit what is there (CID, parent, size, names) into
    /// DIR, each with what undoes it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "manifest", "null"])]
    pub patch: Option<PathBuf>,
    /// Make the partition table, NTFS boot sectors and the first file records anew in the output
    /// where a copy that proves itself survives; each change stands in the manifest
    #[arg(long, conflicts_with_all = ["null", "patch"])]
    pub repair_boot: bool,
    /// Do not read the output back before it gets its name
    #[arg(long)]
    pub no_verify: bool,
    /// Do not hash the output's files whole; their ranges are hashed all the same
    #[arg(long)]
    pub no_file_list: bool,
    /// Replace what is there
    #[arg(long)]
    pub overwrite: bool,
    /// In which form the record goes to stdout.
    #[command(flatten)]
    pub format: Form,
    /// More families, or other facts for known ones, in the form of docs/guide/families.md
    #[arg(long, value_name = "FILE")]
    pub families: Option<PathBuf>,
    /// Leave times, version and arguments of this run out of the record
    #[arg(long)]
    pub reproducible: bool,
    /// Bytes written between two places that a stopped run can go on from
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = parse_size, hide = true)]
    pub checkpoint: u64,
}

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The disk's bytes as they are
    Raw,
    /// A descriptor and a -flat.vmdk, as on an ESXi host
    Flat,
    /// A hosted sparse disk with its descriptor inside
    Sparse,
    /// streamOptimized, as an OVF import wants it
    Stream,
}

impl From<Kind> for Format {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Raw => Self::Raw,
            Kind::Flat => Self::Flat,
            Kind::Sparse => Self::Sparse,
            Kind::Stream => Self::Stream,
        }
    }
}

fn parse_byte(text: &str) -> Result<u8, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let parsed = match digits {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text:?} is no byte: 0x00 to 0xff"))
}

/// Makes the disk and writes what became of it.
///
/// # Errors
/// When nothing can be delivered, or a rule forbids the output.
pub fn run(args: &Args, global: &Global, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    let started = jiff::Timestamp::now();
    let families = known_families(args.families.as_deref())?;
    let access = global.io.into();
    let opened = open(&args.leaf, args.root.as_deref(), access, &families)
        .context("no chain can be told")?;
    let at = match &args.at {
        None => 0,
        Some(at) => select(&opened.chain.links, opened.tree.as_ref(), at).map_err(Usage)?.link,
    };
    if let Some(folder) = &args.patch {
        return patch(folder, &opened, at, ui);
    }
    let asked = || stop.asked();
    let (root, chain) = (&opened.root, &opened.chain);
    let mut record = ConsolidateRecord::new(&args.leaf, chain, at);
    let objections: Vec<Refused> = if args.partial { Vec::new() } else { objections(chain, at) };
    if let Some(refused) = objections.into_iter().next() {
        let refused = match refused {
            Refused::NoBase(why) => Refused::NoBase(with_what_fits(why, &opened, &families)),
            other => other,
        };
        return Err(refusal(refused).into());
    }
    let given = given(&args.map, &opened, at, &families)?;
    let progress = ui.progress("sampling", None);
    let known: HashSet<RelPath> = given.iter().filter_map(|map| map.file.clone()).collect();
    let is_mapped = given.iter().any(|map| map.file.is_none());
    let count = if is_mapped { 0 } else { args.samples };
    if count > 0 {
        // Files that samples speak against are mapped.
        super::without_huge_pages();
    }
    let sampled = sample(root, chain, at, &known, count, &families, (&asked, &progress));
    progress.finish();
    let progress = ui.progress("mapping what samples speak against", None);
    let cancel = Cancel::on(stop.flag(), None);
    let with = (&cancel, &progress);
    let known = damage(&opened, at, given, &sampled, &families, global.threads(), with)?;
    progress.finish();
    let Some(Known { mut damage, findings }) = known.filter(|_| !stop.asked()) else {
        return Ok(Outcome::Stopped);
    };
    record.findings.extend(findings);
    record.judged = damage.judged().to_vec();
    if args.fill_undetermined {
        damage.withhold();
        record.open_filled = true;
    }
    record.open_bytes = open_bytes(chain, at, &damage, &asked);
    if let (true, Some(disk)) = (args.repair_boot, chain.disk().at_link(at)) {
        let made = rewritten(&disk, &damage);
        record.rewritten = made
            .iter()
            .map(|one| RewrittenRange {
                offset_bytes: one.at,
                length_bytes: one.bytes.len() as u64,
                what: one.what.clone(),
            })
            .collect();
        damage.rewrite(made);
    }
    let unnamed = damage.unnamed().iter().map(|told| ("consolidate.unnamed-grains", told));
    let mended = damage.mended().iter().map(|told| ("consolidate.tables-mended", told));
    for (code, (link, what)) in unnamed.chain(mended) {
        let path = chain
            .links
            .get(*link)
            .map_or_else(String::new, |link| link.path.as_path().display().to_string());
        let (code, weight, what) = (code.to_owned(), Weight::Damage, what.clone());
        record.findings.push(Finding { code, weight, path, offset_bytes: None, what, next: None });
    }
    if args.null {
        let progress = ui.progress("reading", None);
        let told = |bytes| progress.add(bytes);
        let done = read_through(chain, at, &damage, global.threads(), &asked, &told);
        progress.finish();
        let (sums, whole) = done.unwrap_or_default();
        record.set_sums(&sums, !whole);
    } else {
        let output = args.output.clone().unwrap_or_default();
        let request = Request {
            output,
            format: args.kind.into(),
            fill: args.fill,
            partial: args.partial,
            overwrite: args.overwrite,
            level: args.level,
            threads: global.threads(),
            prove: !args.no_verify,
            file_hashes: !args.no_file_list,
            manifest: args.manifest.clone(),
            checkpoint_bytes: args.checkpoint,
            stop: &asked,
            progress: &|_| {},
        };
        guard(&request, root.path())?;
        let progress = ui.progress("consolidating", None);
        let told = |bytes| progress.add(bytes);
        let made = consolidate(root, chain, at, &damage, &Request { progress: &told, ..request });
        progress.finish();
        let made = made.map_err(worded)?;
        if let Some(from) = made.resumed_from {
            ui.message(format!("went on from byte {from} of the disk, where a run had stopped"));
        }
        if !args.no_file_list && !made.stopped && !made.paths.hashes.exists() {
            ui.message(
                "no file list was written: nearly all of the disk is holes, and hashing them takes \
                 hours; the manifest has a hash of every range that holds data",
            );
        }
        record.set_made(&made, args.kind.into());
        if made.stopped {
            ui.message("stopped; the same command goes on");
        }
    }
    let outcome = outcome(&record);
    if !args.reproducible {
        record.run = Some(run_info(started, 0));
    }
    if args.format.json {
        write_document(&mut ui.data(), &record)?;
    } else if args.format.jsonl {
        write_lines(&mut ui.data(), &record)?;
    } else {
        write_text(&mut ui.stdout(), &record, ui.columns())?;
    }
    Ok(outcome)
}

/// Writes repaired descriptors; exit code 1 says that there were some.
fn patch(folder: &Path, opened: &Opened, at: usize, ui: &Ui) -> anyhow::Result<Outcome> {
    let place = folder.join("any");
    check_output(&place, &[opened.root.path().to_path_buf()], false)?;
    let patches = patches(&opened.root, &opened.chain, at);
    let mut out = ui.stdout();
    for patch in &patches {
        writeln!(out, "{}", plain(&patch.file))?;
        for repair in &patch.repairs {
            writeln!(out, "  - {}", plain(&repair.old))?;
            writeln!(out, "  + {}  ({})", plain(&repair.new), plain(&repair.why))?;
        }
    }
    if patches.is_empty() {
        writeln!(out, "no descriptor contradicts what is there")?;
        return Ok(Outcome::Clean);
    }
    let made = write_patches(folder, &patches).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return anyhow::Error::new(Refusal::Rule(format!(
                "{} holds files of these names already; name an empty folder",
                folder.display()
            )));
        }
        anyhow::Error::new(error).context(format!("cannot write into {}", folder.display()))
    })?;
    ui.message(format!("wrote {} files into {}", made.len(), folder.display()));
    Ok(Outcome::Damage)
}

/// Nothing may be written inside the folder that the evidence lies in.
fn guard(request: &Request<'_>, root: &Path) -> anyhow::Result<()> {
    let paths = Paths::of(&request.output, request.format, request.manifest.as_deref());
    if request.output.file_name().is_none() {
        return Err(Usage(format!("{} is no file name", request.output.display())).into());
    }
    let sources = [root.to_path_buf()];
    for path in [&paths.output, &paths.manifest] {
        // Whether it is free is asked later: a run that goes on may have made it itself.
        check_output(path, &sources, true)?;
    }
    Ok(())
}

/// Why a chain has no base, with the disks below its root that could be the missing parent.
fn with_what_fits(why: String, opened: &Opened, families: &Families) -> String {
    let (ChainEnd::ParentMissing { .. } | ChainEnd::ParentBroken { .. }) = &opened.chain.end else {
        return why;
    };
    let Some(missing) = missing(&opened.root, &opened.chain, families) else { return why };
    let fits: Vec<String> = missing
        .candidates
        .iter()
        .take(MAX_FITTING)
        .map(|candidate| {
            let path = candidate.path.lossy();
            let against = candidate.against.first().map(|but| format!(", but {but}"));
            format!("{path} {}{}", candidate.reasons.join(" and "), against.unwrap_or_default())
        })
        .collect();
    if fits.is_empty() {
        return format!("{why}, and no disk below {} fits", opened.root.path().display());
    }
    format!("{why}; of the disks there, {}", fits.join("; "))
}

fn refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::Exists(path) => Refusal::Exists(path),
        other => Refusal::Rule(other.to_string()),
    }
}

fn worded(error: ConsolidateError) -> anyhow::Error {
    match error {
        ConsolidateError::Refused(refused) => refusal(refused).into(),
        ConsolidateError::Record(crate::consolidate::RecordError::Io { .. }) => error.into(),
        ConsolidateError::Record(other) => Refusal::Rule(other.to_string()).into(),
        other => other.into(),
    }
}

/// Whether the output could not be verified.
pub(super) fn is_unverified(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<ConsolidateError>(),
        Some(ConsolidateError::Unproven(VerifyError::Differs { .. } | VerifyError::Open(_)))
    )
}

fn outcome(record: &ConsolidateRecord) -> Outcome {
    let mut outcome = if record.stopped { Outcome::Stopped } else { Outcome::Clean };
    if record.filled_bytes > 0
        || record.open_bytes > 0
        || record.doubted
        || !record.rewritten.is_empty()
    {
        outcome = outcome.and(Outcome::Damage);
    }
    for finding in &record.findings {
        outcome = outcome.and(match finding.weight {
            Weight::Note => Outcome::Clean,
            Weight::Damage | Weight::Unreadable => Outcome::Damage,
        });
    }
    outcome
}

impl ConsolidateRecord {
    fn set_made(&mut self, made: &Consolidated, format: Format) {
        self.set_sums(&made.sums, made.stopped);
        self.output = Some(RecordPath(made.paths.output.clone()));
        self.format = Some(format.word().to_owned());
        self.proven = made.proven;
        self.ranges = made.ranges;
        self.resumed_from_bytes = made.resumed_from;
        if !made.stopped {
            self.manifest = Some(RecordPath(made.paths.manifest.clone()));
            self.map = Some(RecordPath(made.paths.map.clone()));
        }
    }
}
