//! What belongs to no machine: findings of loose files and of the sweep as a whole.

use std::collections::{BTreeMap, BTreeSet};

use super::{machine::unfit, shown};
use crate::{
    catalog::{CatalogFile, FileId, Index, Machine},
    families::SuffixMeaning,
    finding::{Finding, Weight},
    report::record::{RecordPath, SweepRecord, UnreadableRecord},
    sweep::{
        Job,
        gather::Gathered,
        judge::{Judged, Judgements},
    },
    triage::{
        footer::{EndSample, FileEnd, campaign_markers},
        quick::DiskState,
    },
};

pub(super) fn unreadable(
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
pub(super) fn loose_findings(
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
    findings.extend(sidecars(gathered, index).into_iter().map(|what| {
        let next = "whatever its machine shows, something ran here: sweep with --full";
        overall("attack.sidecar", Weight::Damage, what, next)
    }));
    findings.extend(markers(index, judgements).into_iter().map(|what| {
        let next = "compare with the last and first bytes of other suspect files";
        overall("campaign.marker", Weight::Damage, what, next)
    }));
    findings
}

/// Files that families leave beside what they encrypt, one line for each ending.
fn sidecars(gathered: &Gathered, index: &Index<'_>) -> Vec<String> {
    let mut found: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for (_, file) in index.iter().filter(|(_, file)| gathered.is_swept(file)) {
        let Some(suffix) = file.name.suffixes.iter().find(|s| s.meaning == SuffixMeaning::Sidecar)
        else {
            continue;
        };
        let families: Vec<&str> = suffix.families.iter().map(|f| f.family.as_str()).collect();
        let ending = String::from_utf8_lossy(&suffix.text);
        let what = format!("{ending}, as {} leaves beside what it encrypts", families.join(" or "));
        let first = || file.shown.to_string_lossy().into_owned();
        found.entry(what).or_insert_with(|| (0, first())).0 += 1;
    }
    let told = |(what, (count, first)): (String, (u64, String))| match count {
        1 => format!("a file ends in {what}: {first}"),
        _ => format!("{count} files end in {what}: {first} and others"),
    };
    found.into_iter().map(told).collect()
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
            let bytes = hex::encode(&marker.bytes);
            let place = match marker.end {
                FileEnd::Head => format!("{} bytes from the start", marker.offset_bytes),
                FileEnd::Tail => format!("{} bytes before the end", marker.offset_bytes),
            };
            format!("{} encrypted files carry the bytes {bytes} {place}", marker.suspects)
        })
        .collect()
}
