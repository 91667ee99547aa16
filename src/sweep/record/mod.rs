//! Puts everything into the record of the contract.

mod family;
mod loose;
mod machine;

use std::{collections::BTreeSet, os::unix::ffi::OsStrExt as _};

use family::family_hits;
use loose::{loose_findings, unreadable};
pub(super) use machine::machine_record;

use rayon::prelude::*;

use super::{
    Job,
    gather::{Gathered, OpenedSource},
    judge::Judgements,
};
use crate::{
    catalog::{CatalogFile, Content, Index, Machine, Orphan},
    finding::Weight,
    outcome::Outcome,
    report::record::{
        Candidate, MachineRecord, MachineVerdict, NoteRecord, OrphanRecord, RecordPath, Route,
        SourceRecord, SweepRecord,
    },
};

pub(super) fn build(
    gathered: &Gathered,
    index: &Index<'_>,
    machines: Vec<Machine>,
    orphans: &[Orphan],
    judgements: &Judgements,
    job: &Job<'_>,
) -> (SweepRecord, Outcome) {
    let mut record = SweepRecord::empty();
    record.sources = sources(gathered);
    record.findings = loose_findings(gathered, index, &machines, judgements, job);
    // A machine is let go as soon as its record is made.
    record.machines = machines
        .into_par_iter()
        .map(|machine| machine_record(&machine, id_of(&machine, index), index, judgements))
        .collect();
    record.orphans = orphans
        .iter()
        .map(|orphan| {
            let file = index.file(orphan.file);
            OrphanRecord {
                path: shown(file),
                kind: kind_word(file).to_owned(),
                size_bytes: file.size_bytes,
                candidates: orphan
                    .candidates
                    .iter()
                    .filter_map(|(number, why)| {
                        let machine = record.machines.get(*number)?.id.clone();
                        Some(Candidate { machine, why: why.clone() })
                    })
                    .collect(),
            }
        })
        .collect();
    record.notes = judgements
        .notes
        .iter()
        .map(|(id, note)| NoteRecord {
            path: shown(index.file(*id)),
            families: unique(note.families.iter().map(|hint| hint.family.clone())),
            victim_id: note.facts.victim_ids.first().cloned(),
            extension: note.facts.extensions.first().cloned(),
            quote: note.quote.join("\n"),
            rests_on: note.reasons.clone(),
        })
        .collect();
    record.families = family_hits(index, judgements);
    record.unreadable = unreadable(gathered, index, &record);
    record.sum(index.iter().filter(|(_, file)| gathered.is_swept(file)).count() as u64);
    let outcome = outcome(&record, judgements, job);
    (record, outcome)
}

fn unique(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    words.filter(|word| seen.insert(word.clone())).collect()
}

fn shown(file: &CatalogFile) -> RecordPath {
    RecordPath::from(file.shown.clone())
}

fn sources(gathered: &Gathered) -> Vec<SourceRecord> {
    let mut records: Vec<SourceRecord> = gathered
        .sources
        .iter()
        .map(|source| SourceRecord {
            path: RecordPath::from(source.given.clone()),
            kind: source.kind.to_owned(),
            files: 0,
            size_bytes: 0,
        })
        .collect();
    let counts = |source: &OpenedSource, file: &CatalogFile| {
        source.only.as_ref().is_none_or(|only| *only == file.path)
    };
    for file in &gathered.files {
        if !gathered.sources.get(file.root).is_some_and(|source| counts(source, file)) {
            continue;
        }
        if let Some(record) = records.get_mut(file.root) {
            record.files += 1;
            record.size_bytes = record.size_bytes.saturating_add(file.size_bytes);
        }
    }
    records
}

/// The path of what anchors the machine, so that it is the same at every run; names that are no
/// UTF-8 carry a hash of their bytes.
pub(super) fn id_of(machine: &Machine, index: &Index<'_>) -> String {
    let Some(anchor) = machine.anchor() else { return machine.name.clone() };
    let path = &index.file(anchor).shown;
    match path.to_str() {
        Some(text) => text.to_owned(),
        None => {
            let hash = blake3::hash(path.as_os_str().as_bytes()).to_hex();
            format!("{}#{}", path.to_string_lossy(), &hash[..8])
        }
    }
}

fn kind_word(file: &CatalogFile) -> &'static str {
    use crate::families::NameKind;
    use vmglean_formats::vmdk::ExtentFormat;
    match &file.content {
        Content::Descriptor(_) => "descriptor",
        Content::Sparse { format, .. } => match format {
            ExtentFormat::HostedSparse => "sparse",
            ExtentFormat::StreamOptimized => "stream",
            ExtentFormat::Cowd => "cowd",
            ExtentFormat::SeSparse => "sesparse",
        },
        _ => match file.name.kind {
            NameKind::Flat => "flat",
            NameKind::Delta => "cowd",
            NameKind::SeSparse => "sesparse",
            NameKind::SparseExtent => "sparse",
            NameKind::RawDeviceMap => "rdm",
            NameKind::VmxBackup => "vmx",
            NameKind::Vmsd => "vmsd",
            NameKind::Vmsn => "vmsn",
            NameKind::Vmss => "vmss",
            NameKind::Nvram => "nvram",
            NameKind::Vmem => "vmem",
            _ => "disk",
        },
    }
}

fn outcome(record: &SweepRecord, judgements: &Judgements, job: &Job<'_>) -> Outcome {
    let mut outcome = Outcome::Clean;
    // An untouched machine that cannot be started as it lies was renamed.
    let is_well =
        |m: &MachineRecord| m.verdict == MachineVerdict::Untouched && m.route == Route::Redeploy;
    let damaged = !record.machines.iter().all(is_well)
        || !record.notes.is_empty()
        || !record.orphans.is_empty()
        || record
            .machines
            .iter()
            .flat_map(|m| &m.findings)
            .chain(&record.findings)
            .any(|f| f.weight == Weight::Damage);
    if damaged {
        outcome = outcome.and(Outcome::Damage);
    }
    let unreadable = record
        .machines
        .iter()
        .flat_map(|m| &m.findings)
        .chain(&record.findings)
        .any(|f| f.weight == Weight::Unreadable);
    if unreadable || !record.unreadable.is_empty() {
        outcome = outcome.and(Outcome::Partial);
    }
    if judgements.left_out > 0 {
        let _ = job;
        outcome = outcome.and(Outcome::Stopped);
    }
    outcome
}
