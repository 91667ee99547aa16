//! Damage maps that `vmglean map --json` recorded: read, checked, and held against the disk that
//! they are to be of.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::{Refusal, Usage};
use crate::{
    disk::{ExtentBody, VirtualDisk},
    families::{Families, split_suffix},
    report::record::{LatticeRecord, MAP_SCHEMA, MapRecord, MapRun, MapState},
    triage::judge::{DamageMap, Lattice, Run, State},
};

/// No record comes near; a map keeps a million runs at most with their places.
const MAX_RECORD_BYTES: u64 = 4 << 30;

/// A recorded map.
pub(super) struct Recorded {
    /// The record's file, as named.
    pub(super) path: PathBuf,
    /// Its SHA-256, in hex.
    pub(super) sha256: String,
    record: MapRecord,
}

impl Recorded {
    /// Reads and checks a record.
    ///
    /// # Errors
    /// When it cannot be read, or is no whole record of a map.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_RECORD_BYTES).read_to_end(&mut text))
            .with_context(|| path.display().to_string())?;
        let shown = path.display();
        let record: MapRecord = serde_json::from_slice(&text).map_err(|error| {
            Usage(format!("{shown} is no record of vmglean map --json: {error}"))
        })?;
        if record.schema != MAP_SCHEMA {
            let text = format!(
                "{shown} says schema {:?}; this vmglean reads {MAP_SCHEMA:?}",
                record.schema
            );
            return Err(Usage(text).into());
        }
        if let Some(what) = broken(&record) {
            return Err(Usage(format!("{shown} is no whole map: {what}")).into());
        }
        let sha256 = hex::encode(Sha256::digest(&text));
        Ok(Self { path: path.to_path_buf(), sha256, record })
    }

    /// Bytes that it covers.
    pub(super) fn size_bytes(&self) -> u64 {
        self.record.size_bytes
    }

    /// The file that it tells of byte by byte, by the file's own addresses; `None` where it is the
    /// map of a disk whose addresses are others.
    pub(super) fn only_file(&self) -> Option<String> {
        let [only] = self.record.files.as_slice() else { return None };
        let is_own = |run: &MapRun| {
            run.file.is_none()
                || run.file == Some(0) && run.file_offset_bytes == Some(run.offset_bytes)
        };
        self.record.runs.iter().all(is_own).then(|| last_part(&only.lossy()))
    }

    /// Refuses the map where it is not that of `disk`, read from its first link on.
    pub(super) fn check(&self, disk: &VirtualDisk, families: &Families) -> Result<(), Refusal> {
        let shown = self.path.display();
        let capacity = disk.capacity_bytes();
        // With what was appended, a plain file is longer than its disk.
        let is_longer = self.size_bytes() > capacity && self.only_file().is_some();
        if self.size_bytes() != capacity && !is_longer {
            return Err(Refusal::Rule(format!(
                "{shown} covers {} bytes, the disk has {capacity}: it is the map of another disk, or \
                 one made with --file",
                self.size_bytes(),
            )));
        }
        let clean = |name: &str| stem(name, families);
        let told: BTreeSet<String> =
            self.record.files.iter().map(|file| clean(&file.lossy())).collect();
        let (needed, others) = files_of(disk, families);
        let missing = needed.difference(&told).next().filter(|_| !told.is_empty());
        if let Some(name) = missing {
            return Err(Refusal::Rule(format!(
                "{shown} is the map of another disk: the bytes of this one lie in {name}, too, and \
                 the map was made from {}",
                listed(&told)
            )));
        }
        if let Some(name) =
            told.iter().find(|name| !needed.contains(*name) && !others.contains(*name))
        {
            return Err(Refusal::Rule(format!(
                "{shown} is the map of another disk, or of this one at another point in time: it was \
                 made from {name}, and this one's bytes lie in {}",
                listed(&needed)
            )));
        }
        Ok(())
    }

    /// What it says.
    pub(super) fn damage_map(self) -> DamageMap {
        let runs = self.record.runs.iter().map(run).collect();
        DamageMap {
            size_bytes: self.record.size_bytes,
            original_bytes: self.record.original_size_bytes.min(self.record.size_bytes),
            runs,
            evidence: self.record.evidence,
            findings: self.record.findings,
            ..DamageMap::default()
        }
    }
}

/// The last part of a path, as it was before anything was appended.
pub(super) fn stem(path: &str, families: &Families) -> String {
    let name = last_part(path);
    let parts = split_suffix(name.as_bytes(), families);
    String::from_utf8_lossy(&parts.stem).into_owned()
}

fn last_part(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn listed(names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

/// Files that hold the bytes of a disk, and further ones that were opened for it.
fn files_of(disk: &VirtualDisk, families: &Families) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut used = vec![false; disk.files().len()];
    let mut needed = BTreeSet::new();
    for (number, link) in disk.links().iter().enumerate() {
        for extent in &link.extents {
            let file = match extent.body {
                ExtentBody::Flat { file, .. } | ExtentBody::Mapped { file, .. } => file,
                ExtentBody::Zero | ExtentBody::Lost { .. } | ExtentBody::Unreadable { .. } => {
                    continue;
                }
            };
            if let Some(used) = used.get_mut(file.0 as usize) {
                *used = true;
            }
            if let Some(file) = disk.file(file).filter(|_| number >= disk.first_link()) {
                needed.insert(stem(&file.name, families));
            }
        }
    }
    let others = disk.files().iter().zip(used).filter(|(_, used)| !used);
    (needed, others.map(|(file, _)| stem(&file.name, families)).collect())
}

/// Why a record cannot be the whole of a map.
fn broken(record: &MapRecord) -> Option<String> {
    let mut at = 0;
    for run in &record.runs {
        if run.offset_bytes != at || run.length_bytes == 0 {
            return Some(format!("its runs leave a gap or overlap at byte {at}"));
        }
        let Some(end) = at.checked_add(run.length_bytes) else {
            return Some(format!("the run at byte {at} is too long"));
        };
        let is_odd = |lattice: LatticeRecord| {
            lattice.run_bytes == 0
                || lattice.period_bytes < lattice.run_bytes
                || lattice.period_bytes > record.size_bytes
        };
        if run.lattice.is_some_and(is_odd) {
            return Some(format!("the lattice of the run at byte {at} cannot be"));
        }
        at = end;
    }
    (at != record.size_bytes).then(|| format!("its runs end at byte {at} of {}", record.size_bytes))
}

fn run(run: &MapRun) -> Run {
    let end = run.offset_bytes.saturating_add(run.length_bytes);
    // Between the small runs of a lattice lies what the record says apart.
    let word = run.lattice.map_or(run.state, |lattice| lattice.between);
    let evidence = run.evidence.first().copied().unwrap_or(usize::MAX);
    let mut made = Run::new(run.offset_bytes..end, state(word), evidence);
    if let Some(edge) = run.edge {
        made.start_doubt = edge.start_bytes;
        made.end_doubt = edge.end_bytes;
    }
    made.lattice = run.lattice.map(|lattice| Lattice {
        origin: lattice.origin_bytes,
        run: lattice.run_bytes,
        period: lattice.period_bytes,
    });
    made
}

fn state(word: MapState) -> State {
    match word {
        MapState::Zero => State::Zero,
        MapState::Absent => State::Absent,
        MapState::Intact => State::Intact,
        MapState::Encrypted => State::Encrypted,
        MapState::Unreadable => State::Unreadable,
        MapState::Damaged => State::Damaged,
        MapState::Undetermined => State::Undetermined,
    }
}
