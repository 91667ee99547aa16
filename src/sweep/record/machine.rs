//! One machine and its disks.

use std::collections::BTreeSet;

use super::shown;
use crate::{
    catalog::{CatalogFile, Content, Index, Machine, MachineDisk},
    finding::{Finding, Weight},
    report::record::{ConfigRecord, ConfigState, DiskRecord, MachineRecord, RecordPath},
    sweep::{
        companions::judge_companions,
        judge::Judgements,
        route::judge_machine,
        strip,
        verdict::{DiskJudged, judge_disk},
    },
};

pub(in crate::sweep) fn machine_record(
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
pub(super) fn unfit(file: &CatalogFile, judged: Option<&str>) -> Option<Finding> {
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
