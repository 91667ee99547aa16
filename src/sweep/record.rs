//! Puts everything into the record of the contract.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::ffi::OsStrExt as _,
};

use rayon::prelude::*;

use super::{
    Job,
    companions::judge_companions,
    gather::{Gathered, OpenedSource},
    judge::{Judged, Judgements},
    route::judge_machine,
    strip,
    verdict::{DiskJudged, judge_disk},
};
use crate::{
    catalog::{CatalogFile, Content, FileId, Index, Machine, MachineDisk, Orphan},
    families::{self, SuffixMeaning},
    finding::{Finding, Weight},
    outcome::Outcome,
    report::record::{
        Basis, Candidate, Confidence, ConfigRecord, ConfigState, DiskRecord, FamilyHit,
        MachineRecord, MachineVerdict, NoteRecord, OrphanRecord, RecordPath, SourceRecord,
        SweepRecord, UnreadableRecord,
    },
    triage::footer::{EndSample, FileEnd, campaign_markers},
    triage::quick::DiskState,
};

/// Lines that a family's entry quotes as what it rests on.
const MAX_RESTS_ON: usize = 8;

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

pub(super) fn machine_record(
    machine: &Machine,
    id: String,
    index: &Index<'_>,
    judgements: &Judgements,
) -> MachineRecord {
    let judged: Vec<DiskJudged> =
        machine.disks.iter().map(|disk| judge_disk(disk, index, judgements)).collect();
    let companions = judge_companions(machine, index, judgements);
    let mut answer = judge_machine(machine, &judged, &companions, index, judgements);
    let mut findings = machine.findings.clone();
    findings.extend(companions.findings);
    let mut seen = BTreeSet::new();
    for id in machine.files().filter(|id| seen.insert(*id)) {
        let file = index.file(id);
        findings.extend(file.findings.iter().cloned());
        findings.extend(unfit(file, judgements.small(id).map(|small| small.reason.as_str())));
    }
    let folder = machine
        .anchor()
        .and_then(|id| index.file(id).shown.parent().map(|p| RecordPath::from(p.to_path_buf())))
        .unwrap_or_else(|| RecordPath::from(machine.folder.as_path().to_path_buf()));
    // What could not be opened is told as that, and is not lost.
    let lost = answer.config_reason.iter().filter(|_| answer.config != ConfigState::Unreadable);
    findings.extend(lost.map(|why| Finding {
        code: "config.lost".to_owned(),
        weight: Weight::Damage,
        path: machine.config.own.map_or_else(
            || folder.lossy().into_owned(),
            |id| index.file(id).shown.to_string_lossy().into_owned(),
        ),
        offset_bytes: None,
        what: why.clone(),
        next: None,
    }));
    let mut disks = Vec::with_capacity(machine.disks.len());
    for (disk, judged) in machine.disks.iter().zip(judged) {
        let mut judged = judged;
        findings.append(&mut judged.findings);
        disks.push(disk_record(disk, judged, index, judgements));
    }
    let mut told = BTreeSet::new();
    findings
        .retain(|f| told.insert((f.code.clone(), f.path.clone(), f.offset_bytes, f.what.clone())));
    answer.doubt_for_findings(&findings);
    // Kept for every machine of the datastore: no room to grow.
    findings.shrink_to_fit();
    answer.reason.shrink_to_fit();
    answer.next_command.shrink_to_fit();
    let source = machine.config.sources.first().map(|source| shown(index.file(source.file())));
    MachineRecord {
        id,
        name: machine.name.clone(),
        folder,
        verdict: answer.verdict,
        route: answer.route,
        reason: answer.reason,
        next_command: answer.next_command,
        config: ConfigRecord { source, state: answer.config },
        disks,
        findings,
    }
}

/// The finding of a file that is not what its name promises.
fn unfit(file: &CatalogFile, judged: Option<&str>) -> Option<Finding> {
    let Content::Unfit { promised, why } = &file.content else { return None };
    let what = match judged {
        Some(judged) => format!("is not {promised}: {judged}"),
        None => format!("is not {promised}: {why}"),
    };
    Some(Finding {
        code: "file.unfit".to_owned(),
        weight: Weight::Damage,
        path: file.shown.to_string_lossy().into_owned(),
        offset_bytes: Some(0),
        what,
        next: None,
    })
}

/// The strip of a disk whose every byte was mapped where it lies: a single link of flat files.
fn strip_of(disk: &MachineDisk, judgements: &Judgements) -> String {
    let [link] = disk.chain.as_slice() else { return String::new() };
    let mut parts = Vec::new();
    for extent in &link.extents {
        let mapped = match extent.file {
            _ if !extent.needs_file() => Some(strip::EMPTY),
            Some(id) => judgements.disk(id).map(|file| file.strip.as_str()),
            None => None,
        };
        let begins = extent.offset_bytes.unwrap_or(0) == 0;
        let Some(mapped) = mapped.filter(|strip| !strip.is_empty() && begins) else {
            return String::new();
        };
        if link.extents.len() == 1 {
            return mapped.to_owned();
        }
        let Some(length) = extent.length_bytes else { return String::new() };
        parts.push((mapped, length));
    }
    strip::joined(&parts)
}

fn disk_record(
    disk: &MachineDisk,
    judged: DiskJudged,
    index: &Index<'_>,
    judgements: &Judgements,
) -> DiskRecord {
    let leaf = disk.leaf.map_or_else(
        || RecordPath::from(std::path::PathBuf::from(&disk.name)),
        |id| shown(index.file(id)),
    );
    DiskRecord {
        leaf,
        chain: disk.files().into_iter().map(|id| shown(index.file(id))).collect(),
        capacity_bytes: disk.capacity_bytes(),
        allocated_bytes: judged.allocated_bytes,
        verdict: judged.verdict,
        encrypted_fraction: judged.fraction.map(|f| f.0),
        encrypted_fraction_low: judged.fraction.map(|f| f.1),
        encrypted_fraction_high: judged.fraction.map(|f| f.2),
        zero_fraction: judged.zero,
        method: judged.method,
        samples: judged.samples,
        family: judged.families.first().cloned(),
        reason: judged.reason,
        strip: strip_of(disk, judgements),
        evidence: judged.evidence,
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

#[derive(Default)]
struct Traces {
    basis: Option<Basis>,
    confidence: Option<Confidence>,
    rests_on: Vec<String>,
    files: BTreeSet<u32>,
}

fn sure(confidence: families::Confidence) -> Confidence {
    match confidence {
        families::Confidence::Low => Confidence::Low,
        families::Confidence::Medium => Confidence::Medium,
        families::Confidence::High => Confidence::High,
    }
}

/// Families by what points to them: footers, notes, then names.
fn family_hits(index: &Index<'_>, judgements: &Judgements) -> Vec<FamilyHit> {
    let mut traces: BTreeMap<String, Traces> = BTreeMap::new();
    let mut add = |family: &str, basis: Basis, confidence: Confidence, why: String, file: u32| {
        let trace = traces.entry(family.to_owned()).or_default();
        trace.basis = Some(trace.basis.map_or(basis, |known| known.min(basis)));
        trace.confidence = Some(trace.confidence.map_or(confidence, |known| known.max(confidence)));
        trace.files.insert(file);
        if trace.rests_on.len() < MAX_RESTS_ON && !trace.rests_on.contains(&why) {
            trace.rests_on.push(why);
        }
    };
    for (id, file) in index.iter() {
        for suffix in file.name.suffixes.iter().filter(|s| s.meaning == SuffixMeaning::Known) {
            for family in &suffix.families {
                let why =
                    format!("suffix {}: {}", String::from_utf8_lossy(&suffix.text), family.why);
                // A suffix is chosen freely; a name alone is never sure.
                let confidence = sure(family.confidence).min(Confidence::Medium);
                add(&family.family, Basis::Name, confidence, why, id.0);
            }
        }
        if let Some(footer) = judgements.disk(id).and_then(|disk| disk.content.footer.as_ref()) {
            for layer in footer.layers.iter().filter(|_| footer.is_proven()) {
                for hint in &layer.families {
                    let why = format!("footer: {}", hint.rests_on);
                    add(&hint.family, Basis::Footer, sure(hint.confidence), why, id.0);
                }
            }
        }
    }
    for (id, note) in &judgements.notes {
        for hint in &note.families {
            // Where each note lies stands in the list of notes.
            add(&hint.family, Basis::Note, sure(hint.confidence), hint.rests_on.clone(), id.0);
        }
    }
    let mut hits: Vec<FamilyHit> = traces
        .into_iter()
        .map(|(name, trace)| FamilyHit {
            name,
            confidence: trace.confidence.unwrap_or(Confidence::Low),
            basis: trace.basis.unwrap_or(Basis::Name),
            rests_on: trace.rests_on,
            files: trace.files.len() as u64,
        })
        .collect();
    hits.sort_by(|a, b| {
        (a.basis, std::cmp::Reverse(a.confidence), std::cmp::Reverse(a.files), &a.name).cmp(&(
            b.basis,
            std::cmp::Reverse(b.confidence),
            std::cmp::Reverse(b.files),
            &b.name,
        ))
    });
    hits
}

fn unreadable(
    gathered: &Gathered,
    index: &Index<'_>,
    record: &SweepRecord,
) -> Vec<UnreadableRecord> {
    let mut found = Vec::new();
    for source in &gathered.sources {
        for refused in &source.refused {
            found.push(UnreadableRecord {
                path: RecordPath::from(source.root.display(&refused.path)),
                offset_bytes: None,
                length_bytes: None,
                error: refused.why.clone(),
                next: "run with the right to list it, or name it as a source of its own".to_owned(),
            });
        }
    }
    for (_, file) in index.iter() {
        for finding in file.findings.iter().filter(|f| f.weight == Weight::Unreadable) {
            found.push(UnreadableRecord {
                path: shown(file),
                offset_bytes: finding.offset_bytes,
                length_bytes: None,
                error: finding.what.clone(),
                next: finding.next.clone().unwrap_or_default(),
            });
        }
    }
    let ranges = record.machines.iter().flat_map(|machine| &machine.findings);
    for finding in ranges.filter(|f| f.weight == Weight::Unreadable && f.code != "file.unreadable")
    {
        found.push(UnreadableRecord {
            path: RecordPath::from(std::path::PathBuf::from(&finding.path)),
            offset_bytes: finding.offset_bytes,
            length_bytes: None,
            error: finding.what.clone(),
            next: finding.next.clone().unwrap_or_default(),
        });
    }
    found.sort_by(|a, b| {
        (&a.path, a.offset_bytes, &a.error).cmp(&(&b.path, b.offset_bytes, &b.error))
    });
    found.dedup();
    found
}

/// Findings of files that no machine has, and of the sweep as a whole.
fn loose_findings(
    gathered: &Gathered,
    index: &Index<'_>,
    machines: &[Machine],
    judgements: &Judgements,
    job: &Job<'_>,
) -> Vec<Finding> {
    let mut claimed = BTreeSet::new();
    for machine in machines {
        claimed.extend(machine.files());
    }
    let mut findings: Vec<Finding> = index
        .iter()
        .filter(|(id, file)| !claimed.contains(id) && gathered.is_swept(file))
        .flat_map(|(id, file)| {
            let unfit = unfit(file, judgements.small(id).map(|small| small.reason.as_str()));
            file.findings.iter().cloned().chain(unfit).chain(unread(id, file, judgements))
        })
        .collect();
    let overall = |code: &str, weight, what: String, next: &str| Finding {
        code: code.to_owned(),
        weight,
        path: gathered
            .sources
            .first()
            .map_or_else(String::new, |source| source.given.to_string_lossy().into_owned()),
        offset_bytes: None,
        what,
        next: Some(next.to_owned()),
    };
    if index.iter().next().is_none() {
        let next = "check the path and whether the datastore is mounted";
        findings.push(overall("sweep.empty", Weight::Damage, "no file lies there".into(), next));
    } else if machines.is_empty() {
        let what = "no virtual machine was found among the files there".to_owned();
        let next = "name the folder that holds the machines' folders";
        findings.push(overall("sweep.no-machine", Weight::Damage, what, next));
    }
    if judgements.left_out > 0 {
        let what = format!("{} disk files were not measured: time was up", judgements.left_out);
        let next = if job.options.state.is_some() {
            "run the same command again to go on"
        } else {
            "run again with --state FILE to go on, or with a larger --budget"
        };
        findings.push(overall("sweep.stopped", Weight::Note, what, next));
    }
    if let Some(error) = &judgements.state_error {
        let what = format!("the state file could not be written: {error}");
        findings.push(overall("sweep.state", Weight::Unreadable, what, "free space for it"));
    }
    findings.extend(markers(index, judgements).into_iter().map(|what| {
        let next = "compare with the last and first bytes of other suspect files";
        overall("campaign.marker", Weight::Damage, what, next)
    }));
    findings
}

/// What could not be read of a file that no machine has.
fn unread(id: FileId, file: &CatalogFile, judgements: &Judgements) -> Vec<Finding> {
    let said = |offset_bytes, what| Finding {
        code: "file.unreadable-range".to_owned(),
        weight: Weight::Unreadable,
        path: file.shown.to_string_lossy().into_owned(),
        offset_bytes,
        what,
        next: Some("image the disk it lies on with ddrescue first".to_owned()),
    };
    match judgements.files.get(&id) {
        Some(Judged::Disk(judged)) => judged
            .content
            .unreadable
            .iter()
            .map(|(offset, length, why)| {
                said(Some(*offset), format!("{length} bytes could not be read: {why}"))
            })
            .collect(),
        Some(Judged::Gone(why)) => vec![said(None, why.clone())],
        Some(Judged::Small(_)) | None => Vec::new(),
    }
}

/// Marks that all encrypted files share and no clean one has.
fn markers(index: &Index<'_>, judgements: &Judgements) -> Vec<String> {
    let mut suspects: Vec<EndSample> = Vec::new();
    let mut clean: Vec<EndSample> = Vec::new();
    for (id, _) in index.iter() {
        let Some(judged) = judgements.disk(id) else { continue };
        match judged.content.state {
            DiskState::Encrypted | DiskState::PartlyEncrypted => suspects.push(judged.ends()),
            DiskState::Untouched => clean.push(judged.ends()),
            DiskState::Damaged | DiskState::Undetermined => {}
        }
    }
    campaign_markers(&suspects, &clean)
        .into_iter()
        .map(|marker| {
            let bytes: String = marker.bytes.iter().map(|b| format!("{b:02x}")).collect();
            let place = match marker.end {
                FileEnd::Head => format!("{} bytes from the start", marker.offset_bytes),
                FileEnd::Tail => format!("{} bytes before the end", marker.offset_bytes),
            };
            format!("{} encrypted files carry the bytes {bytes} {place}", marker.suspects)
        })
        .collect()
}

fn outcome(record: &SweepRecord, judgements: &Judgements, job: &Job<'_>) -> Outcome {
    let mut outcome = Outcome::Clean;
    let damaged = record.machines.iter().any(|m| m.verdict != MachineVerdict::Untouched)
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
