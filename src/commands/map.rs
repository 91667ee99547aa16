//! `vmglean map`: every byte of one disk, judged.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{Usage, check_output, known_families, run_info, write_whole};
use crate::{
    cli::{Format, Global, parse_duration},
    disk::{FolderCompanions, VirtualDisk, open_chain},
    families::Families,
    finding::Weight,
    interrupt::Interrupt,
    map::{DiskMap, FileMap, MapOptions, doubt, flat_length, map_source, named_after},
    outcome::Outcome,
    report::{
        self,
        json::write_document,
        record::{HashRecord, MAP_SCHEMA, MapRecord, RecordPath},
    },
    source::{Access, EvidenceRoot, RelPath},
    triage::{
        footer::FooterQuestion,
        judge::{JudgeOptions, State},
        pass::{Cancel, FileIdentity, HashKinds, PassOptions, PassState, Resume, SourceIdentity},
    },
    ui::Ui,
};

/// Arguments of `map`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The disk: a descriptor, a flat, sparse, delta or stream extent, or the leaf of a chain
    #[arg(value_name = "DISK", required_unless_present = "compare")]
    pub disk: Option<PathBuf>,
    /// Map the file's own bytes, not the disk that it is part of
    #[arg(long)]
    pub file: bool,
    /// In which form the map goes to stdout.
    #[command(flatten)]
    pub format: Format,
    /// List every run and every reason in full
    #[arg(long)]
    pub all: bool,
    /// Call intact only what a checksum or a structure proves; what merely does not look
    /// encrypted is undetermined
    #[arg(long)]
    pub strict: bool,
    /// Unpack nothing: up to twice as fast on disks with long archives, and what only their
    /// checksums tell is undetermined
    #[arg(long)]
    pub no_unpack: bool,
    /// Also write the map in the grammar of GNU ddrescue: + usable, ? undetermined, - encrypted,
    /// * unreadable, / damaged
    #[arg(long, value_name = "FILE")]
    pub mapfile: Option<PathBuf>,
    /// Also write a picture
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// Also write a picture with scale and legend
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Hash each file of the disk in the same pass: md5, sha1, sha256, blake3
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub hash: Vec<HashWord>,
    /// Write the hashes as a list that hashdeep reads (`hashdeep -a -k FILE …` checks it)
    #[arg(long, value_name = "FILE", requires = "hash")]
    pub hash_list: Option<PathBuf>,
    /// Keep what is measured in FILE and files beside it, and go on from there when run again
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Stop after this time (90s, 20m, 1h30m) and exit with 75; --state goes on later
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub budget: Option<Duration>,
    /// Tell which bytes changed state from A to B: recorded maps (--json), or disks
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["disk", "mapfile", "png", "svg", "hash", "state"])]
    pub compare: Option<Vec<PathBuf>>,
    /// Folder that names found in a disk may lead to [default: the disk's own folder]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// More families, or other facts for known ones, in the form of docs/guide/families.md
    #[arg(long, value_name = "FILE")]
    pub families: Option<PathBuf>,
    /// Leave times, version and arguments out of the record
    #[arg(long)]
    pub reproducible: bool,
    /// Replace outputs that are there
    #[arg(long)]
    pub overwrite: bool,
}

/// A hash by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum HashWord {
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// BLAKE3.
    Blake3,
}

/// Maps the disk and writes what was found.
///
/// # Errors
/// When the disk cannot be opened, or an output cannot or must not be written.
pub fn run(args: &Args, global: &Global, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    super::without_huge_pages();
    let families = known_families(args.families.as_deref())?;
    let cancel = Cancel::on(stop.flag(), args.budget.map(|budget| Instant::now() + budget));
    let job = Job { args, global, ui, families, cancel };
    if let Some([a, b]) = args.compare.as_deref() {
        return job.compare(a, b);
    }
    let Some(disk) = &args.disk else {
        return Err(Usage("name a disk, or two with --compare".to_owned()).into());
    };
    job.map(disk)
}

struct Job<'a> {
    args: &'a Args,
    global: &'a Global,
    ui: &'a Ui,
    families: Families,
    cancel: Cancel,
}

/// A disk that was mapped, or why it was not.
enum Made {
    Map(Box<MapRecord>, Box<DiskMap>),
    Stopped,
}

impl Job<'_> {
    fn map(&self, disk: &Path) -> anyhow::Result<Outcome> {
        let started = jiff::Timestamp::now();
        let args = self.args;
        let guarded: Vec<PathBuf> =
            [disk.to_path_buf()].into_iter().chain(args.root.clone()).collect();
        for output in [&args.mapfile, &args.png, &args.svg, &args.hash_list].into_iter().flatten() {
            check_output(output, &guarded, args.overwrite)?;
        }
        if let Some(state) = &args.state {
            // An older state of the same disk is what the flag is for.
            check_output(state, &guarded, true)?;
        }
        let (mut record, map) = match self.judged(disk, args.state.as_deref())? {
            Made::Map(record, map) => (*record, *map),
            Made::Stopped => {
                let next = if args.state.is_some() {
                    "run it again to go on"
                } else {
                    "nothing was kept; --state would keep it"
                };
                self.ui.warn(format!("stopped before the end of {}; {next}", disk.display()));
                return Ok(Outcome::Stopped);
            }
        };
        if !args.reproducible {
            let read: u64 = map
                .files
                .iter()
                .map(|f| f.mapped.pass.covered_bytes - f.mapped.pass.absent_bytes)
                .sum();
            record.run = Some(run_info(started, read));
        }
        self.outputs(&record)?;
        if args.format.json {
            write_document(&mut self.ui.data(), &record)?;
        } else if args.format.jsonl {
            report::map::write_lines(&mut self.ui.data(), &record)?;
        } else {
            let columns = self.ui.columns();
            report::map::write_map(&mut self.ui.stdout(), &record, columns, args.all)?;
        }
        Ok(outcome(&map))
    }

    fn outputs(&self, record: &MapRecord) -> anyhow::Result<()> {
        let args = self.args;
        let put = |output: &Option<PathBuf>,
                   write: &dyn Fn(&mut Vec<u8>) -> std::io::Result<()>|
         -> anyhow::Result<()> {
            if let Some(output) = output {
                let mut content = Vec::new();
                write(&mut content)?;
                write_whole(output, &content, args.overwrite)?;
                self.ui.message(format!("wrote {}", output.display()));
            }
            Ok(())
        };
        put(&args.mapfile, &|out| report::map::write_mapfile(out, record))?;
        put(&args.png, &|out| report::map::write_png(out, record))?;
        put(&args.svg, &|out| report::map::write_svg(out, record))?;
        put(&args.hash_list, &|out| report::map::write_hash_list(out, record))
    }

    fn compare(&self, a: &Path, b: &Path) -> anyhow::Result<Outcome> {
        let one = |path: &Path| -> anyhow::Result<Option<MapRecord>> {
            if let Some(record) = recorded(path)? {
                return Ok(Some(record));
            }
            match self.judged(path, None)? {
                Made::Map(record, _) => Ok(Some(*record)),
                Made::Stopped => Ok(None),
            }
        };
        let (Some(a), Some(b)) = (one(a)?, one(b)?) else {
            self.ui.warn("stopped before both were read");
            return Ok(Outcome::Stopped);
        };
        let compared = report::map::compare(&a, &b);
        if self.args.format.json || self.args.format.jsonl {
            write_document(&mut self.ui.data(), &compared)?;
        } else {
            report::map::write_compare(&mut self.ui.stdout(), &compared)?;
        }
        Ok(if compared.runs.is_empty() { Outcome::Clean } else { Outcome::Damage })
    }

    /// The map of one disk.
    fn judged(&self, path: &Path, state: Option<&Path>) -> anyhow::Result<Made> {
        let place = Place::of(path, self.args.root.as_deref(), self.global.io.into())?;
        let (disk, findings, doubt) = if self.args.file {
            let file =
                place.root.open_file(&place.rel).with_context(|| path.display().to_string())?;
            file.advise_sequential();
            let name = place.rel.as_path().to_string_lossy().into_owned();
            (VirtualDisk::raw(&name, Arc::new(file)), Vec::new(), None)
        } else {
            let folder: Arc<dyn crate::disk::Companions> =
                Arc::new(FolderCompanions::new(Arc::clone(&place.root)));
            let chain =
                open_chain(&folder, &place.rel).with_context(|| path.display().to_string())?;
            let findings = chain.findings.clone();
            let doubt = doubt(&chain);
            (chain.into_disk(), findings, doubt)
        };
        let total: u64 = disk.files().iter().map(|file| file.source.len_bytes()).sum();
        let progress = self.ui.progress("mapping", Some(total));
        let mut files = Vec::new();
        for (number, file) in disk.files().iter().enumerate() {
            progress.set_what(&file.name);
            let options = self.options(&disk, number, &file.name);
            let mut kept = match state {
                Some(state) => Some(self.state(state, number, &place, file, &options.pass)?),
                None => None,
            };
            let mapped = map_source(
                &file.source,
                &options,
                &self.families,
                kept.as_mut(),
                &self.cancel,
                &mut |bytes| progress.add(bytes),
            )?;
            if mapped.pass.stopped.is_some() {
                progress.finish();
                return Ok(Made::Stopped);
            }
            files.push(FileMap { name: file.name.clone(), mapped });
        }
        progress.finish();
        let mut map = match (self.args.file, files.pop()) {
            (true, Some(only)) => DiskMap::of_file(&only.name, only.mapped),
            (_, last) => {
                files.extend(last);
                DiskMap::over(&disk, files, doubt.as_ref())
            }
        };
        map.findings.splice(0..0, findings);
        let names = map.files.iter().map(|f| RecordPath(PathBuf::from(&f.name))).collect();
        let mut record = report::map::record(RecordPath(path.to_path_buf()), &map, names);
        record.hashes = hashes(&map, &place);
        Ok(Made::Map(Box::new(record), Box::new(map)))
    }

    fn options(&self, disk: &VirtualDisk, number: usize, name: &str) -> MapOptions {
        let kinds = |word| self.args.hash.contains(&word);
        MapOptions {
            name: name.to_owned(),
            pass: PassOptions {
                jobs: self.global.threads().try_into().unwrap_or(std::num::NonZeroUsize::MIN),
                hashes: HashKinds {
                    md5: kinds(HashWord::Md5),
                    sha1: kinds(HashWord::Sha1),
                    sha256: kinds(HashWord::Sha256),
                    blake3: kinds(HashWord::Blake3),
                },
                ..PassOptions::default()
            },
            judge: JudgeOptions { strict: self.args.strict, no_unpack: self.args.no_unpack },
            is_disk: !self.args.file || name.to_ascii_lowercase().contains("vmdk"),
            attacked: None,
            footer: FooterQuestion {
                whole_sectors: name.to_ascii_lowercase().contains("vmdk"),
                expected_bytes: if self.args.file { None } else { flat_length(disk, number) },
                named: named_after(name, &self.families),
            },
        }
    }

    fn state(
        &self,
        state: &Path,
        number: usize,
        place: &Place,
        file: &crate::disk::DiskFile,
        pass: &PassOptions,
    ) -> anyhow::Result<PassState> {
        let path = if number == 0 {
            state.to_path_buf()
        } else {
            let mut name = state.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let real = place.root.path().join(&file.name);
        let identities = fs::metadata(&real)
            .map(|meta| vec![FileIdentity::new(&file.name, &meta)])
            .unwrap_or_default();
        let identity = SourceIdentity::of(&file.source, identities);
        let kept = PassState::open(&path, identity, pass)?;
        match kept.resume() {
            Resume::Fresh => {}
            Resume::From { covered_bytes } => self.ui.message(format!(
                "{}: goes on after {covered_bytes} bytes that were measured before",
                file.name
            )),
            Resume::Discarded { why } => self.ui.warn(format!("begins anew: {why}")),
        }
        Ok(kept)
    }
}

/// A file and the folder that names found in it may lead to.
struct Place {
    root: Arc<EvidenceRoot>,
    rel: RelPath,
}

impl Place {
    fn of(path: &Path, root: Option<&Path>, access: Access) -> anyhow::Result<Self> {
        let name =
            path.file_name().ok_or_else(|| Usage(format!("{} is no file", path.display())))?;
        let own = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let (folder, rel) = match root {
            None => (own.to_path_buf(), PathBuf::from(name)),
            Some(root) => {
                let real = own.canonicalize().with_context(|| path.display().to_string())?;
                let top = root.canonicalize().with_context(|| root.display().to_string())?;
                let below = real.strip_prefix(&top).map_err(|_| {
                    Usage(format!("{} does not lie in {}", path.display(), root.display()))
                })?;
                (root.to_path_buf(), below.join(name))
            }
        };
        let opened =
            EvidenceRoot::open(&folder, access).with_context(|| folder.display().to_string())?;
        let rel =
            RelPath::new(&rel).ok_or_else(|| Usage(format!("{} is no file", path.display())))?;
        Ok(Self { root: Arc::new(opened), rel })
    }
}

fn hashes(map: &DiskMap, place: &Place) -> Vec<HashRecord> {
    let made = map.files.iter().enumerate().map(|(number, file)| {
        let digests = file.mapped.pass.digests;
        let path = place.root.path().join(&file.name);
        HashRecord {
            file: number,
            path: RecordPath(path.canonicalize().unwrap_or(path)),
            size_bytes: file.mapped.map.size_bytes,
            // What was not given counts as zeros: such a hash is nobody else's.
            is_whole: file.mapped.pass.unreadable_bytes == 0,
            md5: digests.md5.map(hex::encode),
            sha1: digests.sha1.map(hex::encode),
            sha256: digests.sha256.map(hex::encode),
            blake3: digests.blake3.map(hex::encode),
        }
    });
    made.filter(|h| h.md5.is_some() || h.sha1.is_some() || h.sha256.is_some() || h.blake3.is_some())
        .collect()
}

/// A recorded map, where the file is one.
fn recorded(path: &Path) -> anyhow::Result<Option<MapRecord>> {
    let mut head = [0; 64];
    let Ok(mut file) = fs::File::open(path) else { return Ok(None) };
    let count = std::io::Read::read(&mut file, &mut head).unwrap_or(0);
    let text = String::from_utf8_lossy(head.get(..count).unwrap_or_default()).into_owned();
    if !text.trim_start().starts_with('{') || !text.contains("vmglean.map/") {
        return Ok(None);
    }
    let content = fs::read(path).with_context(|| path.display().to_string())?;
    let record: MapRecord = serde_json::from_slice(&content)
        .with_context(|| format!("{} is no whole map record", path.display()))?;
    if record.schema != MAP_SCHEMA {
        return Err(Usage(format!(
            "{} says schema {:?}; this vmglean reads {MAP_SCHEMA:?}",
            path.display(),
            record.schema
        ))
        .into());
    }
    Ok(Some(record))
}

fn outcome(map: &DiskMap) -> Outcome {
    let mut outcome = Outcome::Clean;
    let hurt = map.bytes_in(State::Encrypted) + map.bytes_in(State::Damaged);
    let is_longer = map.original_bytes < map.size_bytes;
    if hurt > 0 || is_longer || map.findings.iter().any(|f| f.weight == Weight::Damage) {
        outcome = Outcome::Damage;
    }
    if map.bytes_in(State::Unreadable) > 0
        || map.findings.iter().any(|f| f.weight == Weight::Unreadable)
    {
        outcome = outcome.and(Outcome::Partial);
    }
    outcome
}
