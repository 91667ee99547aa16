//! Disk files of no machine, and whose they could be.

use std::collections::HashSet;

use super::{
    chain::snapshot_number,
    file::{CatalogFile, Content, FileId},
    index::Index,
    machine::Machine,
};
use crate::families::NameKind;

/// Machines offered for one orphan.
const MAX_CANDIDATES: usize = 5;

/// A file that no machine claims.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// The file.
    pub file: FileId,
    /// Positions of machines it could belong to, likeliest first, and why.
    pub candidates: Vec<(usize, String)>,
}

fn is_of_a_machine(file: &CatalogFile) -> bool {
    match file.name.kind {
        NameKind::Vmdk
        | NameKind::Flat
        | NameKind::SparseExtent
        | NameKind::Delta
        | NameKind::SeSparse
        | NameKind::RawDeviceMap
        | NameKind::VmxBackup
        | NameKind::Vmsd
        | NameKind::Vmsn
        | NameKind::Vmss
        | NameKind::Nvram
        | NameKind::Vmem => true,
        NameKind::Other => matches!(file.content, Content::Sparse { .. } | Content::Descriptor(_)),
        _ => false,
    }
}

/// The files that `claimed` leaves over.
#[must_use]
pub fn orphans(index: &Index<'_>, machines: &[Machine], claimed: &HashSet<FileId>) -> Vec<Orphan> {
    let wanted: HashSet<FileId> =
        machines.iter().flat_map(|m| m.lookalikes.iter().map(|like| like.file)).collect();
    index
        .iter()
        .filter(|(id, _)| !claimed.contains(id))
        .filter(|(id, file)| is_of_a_machine(file) || wanted.contains(id))
        .map(|(id, _)| Orphan { file: id, candidates: candidates(index, machines, id) })
        .collect()
}

fn candidates(index: &Index<'_>, machines: &[Machine], id: FileId) -> Vec<(usize, String)> {
    let mut offers: Vec<(u32, usize, String)> = machines
        .iter()
        .enumerate()
        .filter_map(|(number, machine)| {
            let reasons = reasons(index, machine, id);
            let points = reasons.iter().map(|(points, _)| points).sum();
            // The same folder alone is worth an offer, an equal capacity alone is chance.
            (points >= 2).then(|| {
                let why: Vec<_> = reasons.into_iter().map(|(_, why)| why).collect();
                (points, number, why.join("; "))
            })
        })
        .collect();
    offers.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    offers.into_iter().take(MAX_CANDIDATES).map(|(_, number, why)| (number, why)).collect()
}

fn reasons(index: &Index<'_>, machine: &Machine, id: FileId) -> Vec<(u32, String)> {
    let file = index.file(id);
    let mut reasons = Vec::new();
    let likeness = machine.lookalikes.iter().filter(|like| like.file == id);
    reasons.extend(likeness.map(|l| (6, format!("it misses extent {:?}: {}", l.wanted, l.why))));
    let extents = || machine.disks.iter().flat_map(|d| d.chain.iter().flat_map(|l| &l.extents));
    let wanted = extents().find(|extent| {
        extent.file.is_none()
            && crate::source::base_name(extent.name.as_bytes()).eq_ignore_ascii_case(file.stem())
    });
    if let Some(extent) = wanted {
        reasons.push((6, format!("it misses an extent of this name, {:?}", extent.name)));
        if extent.length_bytes == Some(file.size_bytes) {
            reasons.push((2, "with exactly this length".to_owned()));
        }
    }
    if let Some(facts) = file.descriptor() {
        let links = machine.disks.iter().flat_map(|d| &d.chain);
        for other in links.filter_map(|link| index.file(link.file?).descriptor()) {
            if facts.uuid.is_some() && facts.uuid == other.uuid {
                reasons.push((5, "a disk of it has the same uuid".to_owned()));
            }
            if facts.has_parent && facts.parent_cid.is_some() && facts.parent_cid == other.cid {
                reasons.push((5, "its parentCID is the CID of a disk there".to_owned()));
            }
            if other.has_parent && other.parent_cid.is_some() && other.parent_cid == facts.cid {
                reasons.push((5, "a disk there names its CID as parent".to_owned()));
            }
        }
        reasons.dedup();
    }
    let stem = file.stem().to_ascii_lowercase();
    let named_alike = machine.disks.iter().any(|disk| {
        let base = crate::source::base_name(disk.name.as_bytes()).to_ascii_lowercase();
        let base = base.strip_suffix(b".vmdk").unwrap_or(&base);
        let base = snapshot_number(base).map_or(base, |(base, _)| base);
        !base.is_empty() && stem.starts_with(base)
    }) || (machine.name.len() > 2
        && stem.starts_with(machine.name.to_ascii_lowercase().as_bytes()));
    if named_alike {
        reasons.push((2, "its name begins as theirs".to_owned()));
    }
    if machine.root == file.root && machine.folder == file.folder() {
        reasons.push((2, "it lies in the same folder".to_owned()));
    }
    if let Some(capacity) = file.capacity_bytes()
        && machine.disks.iter().any(|disk| disk.capacity_bytes() == Some(capacity))
    {
        reasons.push((1, "a disk of it has the same capacity".to_owned()));
    }
    reasons
}
