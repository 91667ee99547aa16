//! Judges notes, small files and disks of a gathered datastore, on all threads.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use vmglean_formats::{ByteOffset, ReadAt as _, vmdk::ExtentFormat};

use super::{
    Job, StateError, full,
    gather::Gathered,
    small::{is_judged_whole, judge_one_small},
    spread::Spread,
    state::State,
    structure::{Inflate, Tables, walk_tables},
};
use crate::{
    catalog::{CatalogFile, Content, FileId, Index, Machine, Orphan, VmwareEncryption},
    families::{FamilyHint, NameKind},
    source::{RelPath, SourceFile},
    triage::{
        footer::EndSample,
        notes::{MAX_NOTE_BYTES, RansomNote, judge_note, may_be_note},
        quick::{
            DiskContext, DiskJudgement, ExtentKind, SmallJudgement, SmallState, judge_disk,
            judge_part,
        },
    },
    ui::Progress,
};

/// One file judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Judged {
    /// A disk's file, from samples or whole.
    Disk(Box<DiskFileJudgement>),
    /// A small file, whole.
    Small(SmallJudgement),
    /// It could not be opened any more.
    Gone(String),
}

/// A disk's file judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DiskFileJudgement {
    /// Content.
    pub(super) content: DiskJudgement,
    /// Tables of a sparse extent.
    pub(super) tables: Option<Tables>,
    /// Both ends, for marks that all victims share.
    pub(super) head: Vec<u8>,
    /// See `head`.
    pub(super) tail: Vec<u8>,
    /// Its map in letters, where all of it was read and it is plain disk content.
    #[serde(default)]
    pub(super) strip: String,
}

impl DiskFileJudgement {
    pub(super) fn ends(&self) -> EndSample {
        EndSample { head: self.head.clone(), tail: self.tail.clone() }
    }
}

/// Everything judged.
#[derive(Debug, Default)]
pub(super) struct Judgements {
    pub(super) files: HashMap<FileId, Judged>,
    pub(super) notes: Vec<(FileId, RansomNote)>,
    /// Disk files left out when time was up.
    pub(super) left_out: usize,
    /// Judgements that could not be kept in the state file.
    pub(super) state_error: Option<String>,
}

impl Judgements {
    pub(super) fn disk(&self, id: FileId) -> Option<&DiskFileJudgement> {
        match self.files.get(&id)? {
            Judged::Disk(judged) => Some(judged),
            Judged::Small(_) | Judged::Gone(_) => None,
        }
    }

    pub(super) fn small(&self, id: FileId) -> Option<&SmallJudgement> {
        match self.files.get(&id)? {
            Judged::Small(judged) => Some(judged),
            Judged::Disk(_) | Judged::Gone(_) => None,
        }
    }
}

/// Whether a file's bytes are a disk's, so that it is sampled.
pub(super) fn holds_disk_data(file: &CatalogFile) -> bool {
    match &file.content {
        Content::Flat => file.name.kind == NameKind::Flat,
        Content::Sparse { .. } => true,
        Content::Unfit { .. } => match file.name.kind {
            NameKind::Delta | NameKind::SeSparse | NameKind::SparseExtent | NameKind::Flat => true,
            NameKind::Vmdk => file.size_bytes > 64 << 10,
            _ => false,
        },
        _ => false,
    }
}

fn extent_kind(file: &CatalogFile) -> ExtentKind {
    match (&file.content, file.name.kind) {
        (Content::Sparse { format, .. }, _) => match format {
            ExtentFormat::HostedSparse => ExtentKind::Sparse,
            ExtentFormat::StreamOptimized => ExtentKind::Stream,
            ExtentFormat::Cowd => ExtentKind::Cowd,
            ExtentFormat::SeSparse => ExtentKind::SeSparse,
        },
        (_, NameKind::Flat) => ExtentKind::Flat,
        (Content::Raw, NameKind::Vmem) => ExtentKind::Memory,
        (_, NameKind::Delta) => ExtentKind::Cowd,
        (_, NameKind::SeSparse) => ExtentKind::SeSparse,
        (_, NameKind::SparseExtent | NameKind::Vmdk) => ExtentKind::Sparse,
        _ => ExtentKind::Other,
    }
}

/// Memory of a machine's snapshots and suspended state: without it they cannot be gone back to.
fn memory<'a>(machine: &'a Machine, index: &'a Index<'_>) -> impl Iterator<Item = FileId> + 'a {
    machine.companions.iter().copied().filter(|id| {
        let file = index.file(*id);
        matches!(file.content, Content::Raw) && file.name.kind == NameKind::Vmem
    })
}

/// What is known of files before they are judged.
struct Background {
    /// Families of the notes of each folder that holds one.
    notes: HashMap<(usize, RelPath), Vec<FamilyHint>>,
    /// Length by the descriptor's extent line.
    expected: HashMap<FileId, u64>,
    /// Files that a descriptor calls plain disk content, whatever their name.
    flat: HashSet<FileId>,
    /// Legitimate encryption announced for a file.
    announced: HashMap<FileId, String>,
    /// Small files of the same machine judged encrypted.
    siblings: HashMap<FileId, u32>,
    /// Disks that lie in several files.
    spread: Spread,
}

impl Background {
    /// Families of the nearest note at or above the file's folder.
    fn note_for(&self, file: &CatalogFile) -> Option<&Vec<FamilyHint>> {
        let mut folder = file.folder();
        loop {
            if let Some(families) = self.notes.get(&(file.root, folder.clone())) {
                return Some(families);
            }
            if folder == RelPath::default() {
                return None;
            }
            folder = folder.folder();
        }
    }
}

pub(super) fn judge(
    gathered: &Gathered,
    index: &Index<'_>,
    machines: &[Machine],
    orphans: &[Orphan],
    job: &Job<'_>,
    progress: &Progress,
) -> Result<Judgements, StateError> {
    let state = match &job.options.state {
        Some(path) => State::open(path, &made_by(job))?,
        None => State::none(),
    };
    let mut judged = Judgements { notes: notes(gathered, index, job), ..Judgements::default() };
    let mut background = Background {
        notes: HashMap::new(),
        expected: HashMap::new(),
        flat: HashSet::new(),
        announced: HashMap::new(),
        siblings: HashMap::new(),
        spread: Spread::of(machines, index),
    };
    for (id, note) in &judged.notes {
        let file = index.file(*id);
        let families = background.notes.entry((file.root, file.folder())).or_default();
        families.extend(note.families.iter().cloned());
    }
    announce(index, machines, &mut background);

    let small: Vec<FileId> =
        index.iter().filter(|(_, file)| is_judged_whole(file)).map(|(id, _)| id).collect();
    let small: Vec<(FileId, Judged)> = small
        .par_iter()
        .map(|id| {
            let file = index.file(*id);
            let note_in_folder = background.note_for(file).is_some();
            (*id, judge_one_small(gathered, file, note_in_folder, job))
        })
        .collect();
    let mut hit: HashMap<(usize, RelPath), u32> = HashMap::new();
    for (id, judgement) in &small {
        if matches!(judgement, Judged::Small(s) if s.state == SmallState::Encrypted) {
            let file = index.file(*id);
            *hit.entry((file.root, file.folder())).or_default() += 1;
        }
    }
    for machine in machines {
        let hit = hit.get(&(machine.root, machine.folder.clone())).copied().unwrap_or(0);
        for file in machine.all_disks().flat_map(|disk| disk.files()).chain(memory(machine, index))
        {
            background.siblings.insert(file, hit);
        }
    }
    judged.files.extend(small);

    let mut disks: Vec<FileId> = machines
        .iter()
        .flat_map(|machine| machine.all_disks().flat_map(|disk| disk.files()))
        .chain(orphans.iter().map(|orphan| orphan.file))
        .filter(|id| holds_disk_data(index.file(*id)) || background.flat.contains(id))
        .chain(machines.iter().flat_map(|machine| memory(machine, index)))
        .collect();
    disks.sort_unstable();
    disks.dedup();
    progress.set_what("measuring disks");
    let planned = |id: &FileId| planned_bytes(index.file(*id), job);
    progress.set_total(disks.iter().map(planned).sum());
    let state_error: Mutex<Option<io::Error>> = Mutex::new(None);
    let results: Vec<Option<(FileId, Judged)>> = disks
        .par_iter()
        .with_max_len(1)
        .map(|id| {
            let file = index.file(*id);
            let context = context(*id, file, &background);
            let key = key(file, &context);
            if let Some(known) = state.get(&key) {
                progress.add(planned(id));
                return Some((*id, known.clone()));
            }
            if job.is_over() {
                return None;
            }
            progress.set_what(&file.shown.to_string_lossy());
            let result = judge_one_disk(gathered, index, *id, &context, &background.spread, job)?;
            if let Err(error) = state.put(&key, &result) {
                *state_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            progress.add(planned(id));
            Some((*id, result))
        })
        .collect();
    judged.left_out = results.iter().filter(|result| result.is_none()).count();
    judged.files.extend(results.into_iter().flatten());
    let kept = state.sync();
    let failed = state_error.into_inner().unwrap_or_else(PoisonError::into_inner);
    judged.state_error = failed.or(kept.err()).map(|error| error.to_string());
    Ok(judged)
}

/// What must be equal for judgements of an earlier run to hold.
fn made_by(job: &Job<'_>) -> String {
    let quick = &job.options.quick;
    let families = blake3::hash(format!("{:?}", job.families.all()).as_bytes()).to_hex();
    format!(
        "vmglean {} with {} samples of {} bytes{}, families {}",
        env!("CARGO_PKG_VERSION"),
        quick.samples,
        quick.sample_bytes,
        if quick.full { ", mapped" } else { "" },
        &families[..16],
    )
}

fn key(file: &CatalogFile, context: &DiskContext) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(file.shown.as_os_str().as_encoded_bytes());
    // Times of content are set at will; those of the file itself are not.
    let CatalogFile { size_bytes, mtime_ns, ctime_ns, inode, .. } = file;
    let facts = format!("\0{size_bytes}\0{mtime_ns}\0{ctime_ns}\0{inode}\0{context:?}");
    hash.update(facts.as_bytes());
    hash.finalize().to_hex().to_string()
}

fn planned_bytes(file: &CatalogFile, job: &Job<'_>) -> u64 {
    let quick = &job.options.quick;
    if quick.full {
        return file.size_bytes;
    }
    file.size_bytes.min(u64::from(quick.samples).saturating_mul(u64::from(quick.sample_bytes)))
}

pub(super) fn open(gathered: &Gathered, file: &CatalogFile) -> Result<SourceFile, String> {
    let source = gathered.sources.get(file.root).ok_or("its source is not open")?;
    source.root.open_file(&file.path).map_err(|error| error.to_string())
}

fn notes(gathered: &Gathered, index: &Index<'_>, job: &Job<'_>) -> Vec<(FileId, RansomNote)> {
    let candidates: Vec<(FileId, &CatalogFile)> = index
        .iter()
        .filter(|(_, file)| {
            matches!(file.content, Content::Small)
                && file.size_bytes <= MAX_NOTE_BYTES
                && may_be_note(
                    file.path.file_name().as_encoded_bytes(),
                    file.size_bytes,
                    job.families,
                )
        })
        .collect();
    candidates
        .par_iter()
        .filter_map(|(id, file)| {
            let source = open(gathered, file).ok()?;
            let limit = usize::try_from(MAX_NOTE_BYTES).unwrap_or(usize::MAX);
            let bytes = source.read_up_to(ByteOffset(0), limit).ok()?;
            job.read_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let name = file.path.file_name().as_encoded_bytes();
            judge_note(name, &bytes, job.families).map(|note| (*id, note))
        })
        .collect()
}

fn announce(index: &Index<'_>, machines: &[Machine], background: &mut Background) {
    for machine in machines {
        let whole = machine.vmx(index).is_some_and(|vmx| vmx.encryption == VmwareEncryption::Whole);
        for disk in machine.all_disks() {
            for link in &disk.chain {
                background.flat.extend(link.extents.iter().filter_map(|extent| {
                    let id = extent.file.filter(|_| link.described && extent.is_flat())?;
                    let plain = !matches!(
                        index.file(id).content,
                        Content::Refused | Content::Empty | Content::Sparse { .. }
                    );
                    (plain && Some(id) != link.file).then_some(id)
                }));
                let extents = link.extents.iter();
                for (id, end) in extents.filter_map(|e| Some((e.file?, e.end_bytes()))) {
                    if (index.file(id).name.kind == NameKind::Flat || background.flat.contains(&id))
                        && let Some(end) = end
                        && link.described
                    {
                        let known = background.expected.entry(id).or_default();
                        *known = end.max(*known);
                    }
                    if link.vmware_encrypted || whole {
                        let by = if whole { "its configuration" } else { "its descriptor" };
                        background.announced.insert(id, format!("VMware encryption, by {by}"));
                    }
                }
            }
        }
    }
}

fn context(id: FileId, file: &CatalogFile, background: &Background) -> DiskContext {
    let note = background.note_for(file);
    DiskContext {
        path: file.shown.to_string_lossy().into_owned(),
        kind: if background.flat.contains(&id) { ExtentKind::Flat } else { extent_kind(file) },
        expected_bytes: background.expected.get(&id).copied(),
        suffixes: file.name.suffixes.clone(),
        note_families: note.cloned().unwrap_or_default(),
        note_in_folder: note.is_some(),
        legit_encryption: background.announced.get(&id).cloned(),
        siblings_hit: background.siblings.get(&id).copied().unwrap_or(0),
        part_of: background.spread.words(id),
    }
}

/// `None` when time ran out on the way.
fn judge_one_disk(
    gathered: &Gathered,
    index: &Index<'_>,
    id: FileId,
    context: &DiskContext,
    spread: &Spread,
    job: &Job<'_>,
) -> Option<Judged> {
    let file = index.file(id);
    let source = match open(gathered, file) {
        Ok(source) => source,
        Err(why) => return Some(Judged::Gone(why)),
    };
    let (quick, families) = (&job.options.quick, job.families);
    let mut content = match spread.part(id, gathered, index) {
        Some(part) => judge_part(&source, context, &part, quick, families),
        None => judge_disk(&source, context, quick, families),
    };
    let mut strip = String::new();
    if quick.full {
        (content, strip) = full::with_map(&source, context, content, spread.is_later(id), job)?;
    }
    job.read_bytes.fetch_add(content.read_bytes, Ordering::Relaxed);
    let grains = if quick.full { Inflate::All } else { Inflate::Some(quick.samples) };
    let tables = match file.content {
        Content::Sparse { .. } => walk_tables(&source, grains, &|| job.is_over()),
        _ => None,
    };
    if tables.as_ref().is_some_and(|tables| !tables.complete) && job.is_over() {
        return None;
    }
    let end = |at: u64, len: usize| source.read_up_to(ByteOffset(at), len).unwrap_or_default();
    let (head, tail) = (end(0, 256), end(file.size_bytes.saturating_sub(64), 64));
    Some(Judged::Disk(Box::new(DiskFileJudgement { content, tables, head, tail, strip })))
}
