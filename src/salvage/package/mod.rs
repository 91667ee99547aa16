//! A salvaged folder as an OVF package or an OVA: its disks streamOptimized, an envelope, a
//! manifest of hashes.
//!
//! It is made from the finished folder, so what the folder fits together fits here. Under another
//! name until it is whole; a killed run goes on.

mod envelope;
mod tar;

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use vmglean_formats::vmx::{Encryption, Vmx};

use self::envelope::{PackedDisk, envelope};
use super::{Carried, DiskPlan, MachinePlan};
use crate::{
    consolidate::{ConsolidateError, Damage, Format, JudgedBy, JudgedLine, Request, consolidate},
    disk::{Chain, Companions, FileId, FolderCompanions, open_chain},
    families::Families,
    map::map_file,
    source::{Access, EvidenceRoot, RelPath, read_exact},
    triage::pass::Cancel,
};

/// Marks an unfinished package as ours, and says of what it is made.
const MARK: &str = ".vmglean-package";

/// Which package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageKind {
    /// A folder with an envelope, its manifest and the disks.
    Ovf,
    /// The same in one tar archive.
    Ova,
}

impl PackageKind {
    fn word(self) -> &'static str {
        match self {
            Self::Ovf => "ovf",
            Self::Ova => "ova",
        }
    }
}

/// A package made, or found made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The `.ovf` or `.ova`.
    pub path: PathBuf,
    /// Whether an earlier run had made it.
    pub already: bool,
}

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// This machine cannot be one.
    #[error("no package: {0}")]
    Unfit(String),
    /// Something else stands there.
    #[error("{} is there already and is not this package; --overwrite replaces it", .0.display())]
    Exists(PathBuf),
    /// The system's word.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
    /// A disk was not made.
    #[error("disk {name}: {source}")]
    Disk {
        /// Which.
        name: String,
        /// Why.
        source: Box<ConsolidateError>,
    },
    /// Read back, it differs from what was written.
    #[error("{} does not read back as it was written: do not trust this medium", .0.display())]
    Unverified(PathBuf),
    /// Asked to stop.
    #[error("stopped; run again to go on")]
    Stopped,
}

fn fail(path: &Path) -> impl FnOnce(io::Error) -> PackageError {
    let path = path.to_path_buf();
    move |source| PackageError::Io { path, source }
}

/// Verdicts that rest on signs of an attack.
const ATTACKED: [&str; 2] = ["partly-encrypted", "encrypted"];

/// How to make it.
pub struct PackageRequest<'a> {
    /// Which.
    pub kind: PackageKind,
    /// Replace what is there.
    pub overwrite: bool,
    /// Threads.
    pub threads: usize,
    /// Known families: how lockers damage.
    pub families: &'a Families,
    /// Whether to stop at the next safe place.
    pub stop: &'a AtomicBool,
    /// The same, for the maps of damaged disks.
    pub cancel: Cancel,
    /// Told how many bytes were read.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// Makes a package of the finished folder of `plan`, beside it: `FOLDER-ovf/` or `FOLDER-ova/`.
///
/// Only disks that were copied into the folder are in it. Each has its own manifest of ranges
/// (`…​.vmdk.jsonl`, as `consolidate` writes it).
///
/// # Errors
/// [`PackageError`]; after a stop, a full disk or a kill a second run goes on.
pub fn package(
    plan: &MachinePlan,
    folder: &Path,
    request: &PackageRequest<'_>,
) -> Result<Package, PackageError> {
    let vmx = Vmx::parse(&plan.config.to_vmx()).value;
    if !matches!(vmx.encryption, Encryption::None) || plan.config.lines.is_empty() {
        return Err(PackageError::Unfit(
            "its configuration is encrypted by VMware itself, and an envelope cannot carry that"
                .to_owned(),
        ));
    }
    let stem = ascii_stem(plan);
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(format!("-{}", request.kind.word()));
    let target = folder.with_file_name(name);
    let main = format!("{stem}.{}", request.kind.word());
    let listed = folder.join("MANIFEST.jsonl");
    let made_of = hash_of(&listed, request.stop)?.0;
    if target.symlink_metadata().is_ok() {
        if is_made_of(&target.join(&main), &made_of) {
            // There only where a run was killed at its very end.
            let _gone = fs::remove_file(target.join(MARK));
            return Ok(Package { path: target.join(main), already: true });
        }
        if !request.overwrite {
            return Err(PackageError::Exists(target));
        }
    }
    let work = target.with_file_name(format!(
        "{}.unfinished",
        target.file_name().unwrap_or_default().to_string_lossy()
    ));
    open_work(&work, &made_of, request.overwrite)?;
    if request.kind == PackageKind::Ova && work.join(&main).symlink_metadata().is_ok() {
        // An earlier run was killed after its archive was whole.
        clear(&work, &stem)?;
        finish(&work, &target)?;
        return Ok(Package { path: target.join(main), already: false });
    }
    let mut files: Vec<(String, u64, String)> = Vec::new();
    let disks = disks(plan, folder, &work, &stem, request, &mut files)?;
    let nvram = nvram(&vmx, folder, &work, &stem, request, &mut files)?;
    let id: String = stem.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).to_owned();
    let id = if id.is_empty() { "machine".to_owned() } else { id };
    let text = envelope(&vmx, &plan.name, &id, &disks, nvram.as_ref(), &made_of);
    let first = format!("{stem}.ovf");
    write_small(&work.join(&first), text.as_bytes())?;
    let mut list = format!("SHA256({first})= {}\n", hex::encode(Sha256::digest(text.as_bytes())));
    for (name, _, hash) in &files {
        list += &format!("SHA256({name})= {hash}\n");
    }
    let second = format!("{stem}.mf");
    write_small(&work.join(&second), list.as_bytes())?;
    if request.kind == PackageKind::Ova {
        let mut members = vec![
            (first.clone(), text.len() as u64, hex::encode(Sha256::digest(text.as_bytes()))),
            (second.clone(), list.len() as u64, hex::encode(Sha256::digest(list.as_bytes()))),
        ];
        members.extend(files);
        archive(&work, &main, &members, request)?;
        clear(&work, &stem)?;
    }
    finish(&work, &target)?;
    Ok(Package { path: target.join(main), already: false })
}

/// Removes what an archive holds now.
fn clear(work: &Path, stem: &str) -> Result<(), PackageError> {
    for entry in fs::read_dir(work).map_err(fail(work))? {
        let name = entry.map_err(fail(work))?.file_name();
        let name = name.to_string_lossy();
        let ours = name.strip_prefix(stem).is_some_and(|tail| {
            matches!(tail, ".ovf" | ".mf" | ".nvram")
                || tail.starts_with("-disk") && tail.ends_with(".vmdk")
        });
        if ours {
            let path = work.join(name.as_ref());
            fs::remove_file(&path).map_err(fail(&path))?;
        }
    }
    Ok(())
}

/// A name that every reader of envelopes and archives takes as it is.
fn ascii_stem(plan: &MachinePlan) -> String {
    let stem = plan.vmx_name.trim_end_matches(".vmx");
    let fine = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    stem.chars().map(fine).take(60).collect()
}

/// Whether a finished package says at its head that it is made of this.
fn is_made_of(path: &Path, made_of: &str) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let mut head = Vec::new();
    if file.take(4096).read_to_end(&mut head).is_err() {
        return false;
    }
    let wanted = format!(", made of {made_of} -->");
    memchr::memmem::find(&head, wanted.as_bytes()).is_some()
}

fn open_work(work: &Path, made_of: &str, overwrite: bool) -> Result<(), PackageError> {
    let mark = work.join(MARK);
    if work.symlink_metadata().is_ok() {
        let empty = fs::read_dir(work).is_ok_and(|mut entries| entries.next().is_none());
        match fs::read_to_string(&mark) {
            Ok(found) if found == made_of => return Ok(()),
            Ok(_) => fs::remove_dir_all(work).map_err(fail(work))?,
            Err(_) if overwrite || empty => fs::remove_dir_all(work).map_err(fail(work))?,
            Err(_) => return Err(PackageError::Exists(work.to_path_buf())),
        }
    }
    fs::create_dir(work).map_err(fail(work))?;
    write_small(&mark, made_of.as_bytes())
}

/// Makes every disk that the folder holds, and tells where it hangs.
fn disks(
    plan: &MachinePlan,
    folder: &Path,
    work: &Path,
    stem: &str,
    request: &PackageRequest<'_>,
    files: &mut Vec<(String, u64, String)>,
) -> Result<Vec<PackedDisk>, PackageError> {
    let unfit = |why: String| PackageError::Unfit(why);
    let root = EvidenceRoot::open(folder, Access::Read)
        .map_err(|error| unfit(format!("{}: {error}", folder.display())))?;
    let root = Arc::new(root);
    let companions: Arc<dyn Companions> = Arc::new(FolderCompanions::new(Arc::clone(&root)));
    let mut made = Vec::new();
    for disk in plan.disks.iter().filter(|disk| disk.carried == Carried::Copied) {
        let (Some(leaf), Some(node)) = (&disk.file, &disk.node) else { continue };
        let number = made.len() + 1;
        let name = format!("{stem}-disk{number}.vmdk");
        let output = work.join(&name);
        let chain = open_chain(&companions, &RelPath::default().join(leaf.as_ref()))
            .map_err(|error| unfit(format!("{leaf}: {error}")))?;
        let capacity_bytes = chain.disk().capacity_bytes();
        let stop = || request.stop.load(Ordering::Relaxed);
        let unfinished = work.join(format!("{name}.record")).symlink_metadata().is_ok();
        if unfinished || output.symlink_metadata().is_err() {
            let how = Request {
                output: output.clone(),
                format: Format::Stream,
                fill: 0,
                partial: false,
                overwrite: false,
                level: 6,
                threads: request.threads,
                prove: true,
                file_hashes: false,
                manifest: Some(work.join(format!("{name}.jsonl"))),
                checkpoint_bytes: 128 << 20,
                stop: &stop,
                progress: request.progress,
            };
            let wrong =
                |source| PackageError::Disk { name: leaf.clone(), source: Box::new(source) };
            let mut damage = Damage::of(&chain, 0);
            if ATTACKED.contains(&disk.verdict.as_str()) {
                mapped(&root, &chain, disk, request, &mut damage)?;
            }
            let done = consolidate(&root, &chain, 0, &damage, &how).map_err(wrong)?;
            if done.stopped {
                return Err(PackageError::Stopped);
            }
        }
        let (hash, length_bytes) = hash_of(&output, request.stop)?;
        files.push((name.clone(), length_bytes, hash));
        let populated_bytes = populated(&work.join(format!("{name}.jsonl")))?;
        let node = node.clone();
        made.push(PackedDisk { node, file: name, length_bytes, capacity_bytes, populated_bytes });
    }
    Ok(made)
}

/// Maps each file of a disk that was attacked: what is encrypted there is not packed.
fn mapped(
    root: &EvidenceRoot,
    chain: &Chain,
    plan: &DiskPlan,
    request: &PackageRequest<'_>,
    damage: &mut Damage,
) -> Result<(), PackageError> {
    let disk = chain.disk();
    for (number, file) in (0..).zip(disk.files()) {
        let path = RelPath::new(Path::new(&file.name)).unwrap_or_default();
        // One that cannot be opened is told when it is read.
        let Ok(source) = root.open_file(&path) else { continue };
        let of = (disk, FileId(number));
        let (families, cancel) = (request.families, &request.cancel);
        let why = Some(plan.reason.clone());
        let mut told = |bytes| (request.progress)(bytes);
        let map = map_file(&source, of, families, request.threads, why, cancel, &mut told);
        let map = map.map_err(|error| PackageError::Unfit(format!("{}: {error}", file.name)))?;
        let Some(map) = map else { return Err(PackageError::Stopped) };
        let verdict = format!("{}: {}", plan.verdict, plan.reason);
        damage.judge(JudgedLine::new(Some(file.name.clone()), JudgedBy::Map, verdict));
        damage.add(FileId(number), map);
    }
    Ok(())
}

/// Bytes of the ranges that hold data, by the manifest of a made disk; zeros within them count.
fn populated(manifest: &Path) -> Result<u64, PackageError> {
    use io::BufRead as _;
    let file = File::open(manifest).map_err(fail(manifest))?;
    let mut sum = 0_u64;
    for line in BufReader::new(file).lines() {
        let line = line.map_err(fail(manifest))?;
        let range: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let holds = range.get("record").is_some_and(|word| word == "range")
            && range.get("sha256").is_some_and(|hash| !hash.is_null());
        let length = range.get("length_bytes").and_then(serde_json::Value::as_u64);
        sum = sum.saturating_add(length.filter(|_| holds).unwrap_or(0));
    }
    Ok(sum)
}

/// Copies the firmware's memory, which holds boot entries and Secure Boot keys.
fn nvram(
    vmx: &Vmx,
    folder: &Path,
    work: &Path,
    stem: &str,
    request: &PackageRequest<'_>,
    files: &mut Vec<(String, u64, String)>,
) -> Result<Option<(String, u64)>, PackageError> {
    let Some(own) = vmx.nvram.as_ref().filter(|own| !own.contains('/')) else { return Ok(None) };
    let from = folder.join(own);
    if !from.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(None);
    }
    let name = format!("{stem}.nvram");
    let to = work.join(&name);
    fs::copy(&from, &to).map_err(fail(&to))?;
    File::open(&to).and_then(|file| file.sync_all()).map_err(fail(&to))?;
    let (hash, length) = hash_of(&to, request.stop)?;
    files.push((name.clone(), length, hash));
    Ok(Some((name, length)))
}

/// Packs the members into one archive and reads it back.
fn archive(
    work: &Path,
    main: &str,
    members: &[(String, u64, String)],
    request: &PackageRequest<'_>,
) -> Result<(), PackageError> {
    let part = work.join(format!("{main}.part"));
    let pack = || -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&part)?);
        for (name, length, _) in members {
            tar::append(&mut out, name, *length, File::open(work.join(name))?)?;
        }
        tar::end(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    };
    pack().map_err(fail(&part))?;
    let file = File::open(&part).map_err(fail(&part))?;
    let mut at = 0_u64;
    for (_, length, wanted) in members {
        let found = hash_part(&file, at + 512, *length, request.stop).map_err(fail(&part))?;
        let Some(found) = found else { return Err(PackageError::Stopped) };
        if found != *wanted {
            return Err(PackageError::Unverified(part));
        }
        at += 512 + length.next_multiple_of(512);
    }
    fs::rename(&part, work.join(main)).map_err(fail(&part))
}

fn finish(work: &Path, target: &Path) -> Result<(), PackageError> {
    let end = || -> io::Result<()> {
        File::open(work)?.sync_all()?;
        if target.symlink_metadata().is_ok() {
            if target.is_dir() { fs::remove_dir_all(target)? } else { fs::remove_file(target)? }
        }
        fs::rename(work, target)?;
        // Only now: a run killed before this still knows the folder as its own.
        fs::remove_file(target.join(MARK))?;
        match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    };
    end().map_err(fail(target))
}

fn write_small(path: &Path, content: &[u8]) -> Result<(), PackageError> {
    let write = || -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(fail(path))
}

/// SHA-256 and length of a file.
fn hash_of(path: &Path, stop: &AtomicBool) -> Result<(String, u64), PackageError> {
    let file = File::open(path).map_err(fail(path))?;
    let length = file.metadata().map_err(fail(path))?.len();
    let hash = hash_part(&file, 0, length, stop).map_err(fail(path))?;
    Ok((hash.ok_or(PackageError::Stopped)?, length))
}

/// SHA-256 of a part of a file; `None` after a stop.
fn hash_part(
    file: &File,
    mut at: u64,
    length: u64,
    stop: &AtomicBool,
) -> io::Result<Option<String>> {
    let end = at.saturating_add(length);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    while at < end {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let step = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let place = buffer.get_mut(..step).unwrap_or_default();
        read_exact(file, place, at)?;
        hash.update(&*place);
        at += step as u64;
    }
    Ok(Some(hex::encode(hash.finalize())))
}
