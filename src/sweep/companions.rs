//! What a machine has besides its configuration and its disks: whether any of it is lost, and
//! what that means for the way back.

use super::{
    judge::{Judged, Judgements},
    verdict::{DiskJudged, judge_disk, own_name},
};
use crate::{
    catalog::{CatalogFile, Content, FileId, Index, Machine},
    families::NameKind,
    finding::{Finding, Weight},
    report::record::DiskVerdict,
    triage::quick::{DiskState, SmallJudgement, SmallState},
};

/// How much the loss of a file weighs. Ordered by gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    /// VMware makes the file anew: logs, firmware settings, change tracking.
    Remade,
    /// A state or a list that is gone with it; the machine starts without.
    State,
    /// A disk of a snapshot that the machine as it stood does not need.
    SnapshotDisk,
    /// It could not be read, or nothing tells what is lost.
    Unread,
}

/// What is lost besides configuration and disks, the gravest first.
#[derive(Debug, Default)]
pub(super) struct Companions {
    pub(super) lost: Vec<(Loss, String)>,
    pub(super) findings: Vec<Finding>,
    /// Disks of snapshots that show no damage down to their base.
    pub(super) whole: Vec<(String, FileId)>,
}

impl Companions {
    /// The gravest loss.
    pub(super) fn worst(&self) -> Option<Loss> {
        self.lost.first().map(|(loss, _)| *loss)
    }

    /// Why, for the gravest loss, and how many others there are.
    pub(super) fn reason(&self) -> Option<String> {
        let (_, why) = self.lost.first()?;
        Some(match self.lost.len() {
            1 => why.clone(),
            n => format!("{why}, and {} more", n - 1),
        })
    }
}

pub(super) fn judge_companions(
    machine: &Machine,
    index: &Index<'_>,
    judgements: &Judgements,
) -> Companions {
    let mut found = Companions::default();
    for id in &machine.companions {
        let file = index.file(*id);
        let Some((is_unread, why)) = lost(*id, file, judgements, &mut found.findings) else {
            continue;
        };
        let loss = if is_unread { Loss::Unread } else { weight(file.name.kind) };
        found.lost.push((loss, format!("{} {why}", own_name(file))));
    }
    for finding in machine.findings.iter().filter(|f| f.weight == Weight::Damage) {
        let loss = match finding.code.as_str() {
            "snapshot.disk-missing" => Loss::SnapshotDisk,
            "machine.disks-unnamed" | "snapshot.frozen-disk" => Loss::Unread,
            _ => Loss::State,
        };
        found.lost.push((loss, finding.what.clone()));
    }
    for disk in &machine.branches {
        let judged: DiskJudged = judge_disk(disk, index, judgements);
        found.findings.extend(judged.findings.iter().cloned());
        if let (DiskVerdict::Untouched, Some(leaf)) = (judged.verdict, disk.leaf) {
            found.whole.push((disk.name.clone(), leaf));
        }
        let loss = match judged.verdict {
            DiskVerdict::Untouched | DiskVerdict::DescriptorLost | DiskVerdict::GuestEncrypted => {
                continue;
            }
            DiskVerdict::Unreadable => Loss::Unread,
            _ => Loss::SnapshotDisk,
        };
        found.lost.push((loss, format!("snapshot disk {}: {}", disk.name, judged.reason)));
    }
    found.lost.sort_by_key(|(loss, _)| std::cmp::Reverse(*loss));
    found
}

/// What the loss of a file of this kind means.
fn weight(kind: NameKind) -> Loss {
    match kind {
        NameKind::Vmsd | NameKind::Vmsn | NameKind::Vmss | NameKind::Vmem => Loss::State,
        _ => Loss::Remade,
    }
}

/// Whether a companion is lost: whether that is only unread, and why.
fn lost(
    id: FileId,
    file: &CatalogFile,
    judgements: &Judgements,
    findings: &mut Vec<Finding>,
) -> Option<(bool, String)> {
    let said = |weight: Weight| file.findings.iter().find(|finding| finding.weight == weight);
    if let Some(finding) = said(Weight::Unreadable) {
        return Some((true, format!("could not be read: {}", finding.what)));
    }
    if let Some(Judged::Gone(why)) = judgements.files.get(&id) {
        findings.push(of_file(file, "file.unreadable", Weight::Unreadable, why.clone()));
        return Some((true, format!("could not be read: {why}")));
    }
    if let Some(judged) = judgements.disk(id) {
        let content = &judged.content;
        let what = match content.state {
            DiskState::Encrypted | DiskState::PartlyEncrypted => "is encrypted",
            DiskState::Damaged => "is damaged",
            // Memory has no structure that could prove it whole.
            DiskState::Undetermined | DiskState::Untouched => return None,
        };
        findings.push(of_file(file, "file.unfit", Weight::Damage, content.reason.clone()));
        return Some((false, what.to_owned()));
    }
    match &file.content {
        Content::Unfit { why, .. } => {
            let small = judgements.small(id);
            let why = match small {
                Some(small) if small.state == SmallState::Encrypted => "is encrypted".to_owned(),
                Some(small) => small.reason.clone(),
                None => format!("is damaged: {why}"),
            };
            Some((small.is_some_and(|small| small.state == SmallState::Unreadable), why))
        }
        Content::Known(_) | Content::Log | Content::Checkpoint(_) => {
            let is_bad = |small: &&SmallJudgement| {
                matches!(small.state, SmallState::Damaged | SmallState::Encrypted)
            };
            let Some(small) = judgements.small(id).filter(is_bad) else {
                return said(Weight::Damage).map(|f| (false, format!("is damaged: {}", f.what)));
            };
            findings.push(of_file(file, "file.unfit", Weight::Damage, small.reason.clone()));
            Some((false, format!("is damaged: {}", small.reason)))
        }
        Content::Empty if is_never_empty(file.name.kind) => {
            findings.push(of_file(file, "file.empty", Weight::Damage, "is empty".to_owned()));
            Some((false, "is empty".to_owned()))
        }
        _ => said(Weight::Damage).map(|finding| (false, format!("is damaged: {}", finding.what))),
    }
}

/// Kinds that VMware never leaves without bytes; snapshot lists, logs and locks it does.
fn is_never_empty(kind: NameKind) -> bool {
    matches!(kind, NameKind::Nvram | NameKind::Vmxf | NameKind::Vmsn | NameKind::Vmss)
}

fn of_file(file: &CatalogFile, code: &str, weight: Weight, what: String) -> Finding {
    Finding {
        code: code.to_owned(),
        weight,
        path: file.shown.to_string_lossy().into_owned(),
        offset_bytes: None,
        what,
        next: None,
    }
}
