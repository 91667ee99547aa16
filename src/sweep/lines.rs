//! What a descriptor's extent lines claim, held against the files behind them.

use std::collections::BTreeMap;

use vmglean_formats::vmdk::{Access, ExtentKind};

use super::judge::Judgements;
use crate::{
    catalog::{ChainLink, FileId, Index, LinkExtent},
    finding::{Finding, Weight},
    triage::{footer::FooterReading, quick::DiskState},
};

/// Why the lines of `link` cannot all be true.
pub(super) fn contradictions(
    link: &ChainLink,
    index: &Index<'_>,
    judgements: &Judgements,
) -> Vec<Finding> {
    let Some(described) = link.file.filter(|_| link.described) else { return Vec::new() };
    let said = |id: FileId, code: &str, what: String, next: &str| Finding {
        code: code.to_owned(),
        weight: Weight::Damage,
        path: index.file(id).shown.to_string_lossy().into_owned(),
        offset_bytes: None,
        what,
        next: Some(next.to_owned()),
    };
    let mut found = Vec::new();
    let with_file = || link.extents.iter().filter(|extent| extent.needs_file());
    let closed = |extent: &&LinkExtent| {
        matches!(extent.access, Access::NoAccess | Access::ReadOnly)
            && extent.kind != Some(ExtentKind::Zero)
    };
    if let Some(extent) = with_file().find(closed) {
        let (word, means) = match extent.access {
            Access::ReadOnly => ("RDONLY", "no guest can write to"),
            _ => ("NOACCESS", "a host reads zeros for"),
        };
        let what = format!(
            "its line for extent {:?} says {word}: {means} these {} bytes, whatever the file holds",
            extent.name,
            extent.length_bytes.unwrap_or(0)
        );
        let next = "disks have RW there: compare the descriptor with those of other machines";
        found.push(said(described, "chain.extent-access", what, next));
    }
    let mut used: BTreeMap<FileId, Vec<&LinkExtent>> = BTreeMap::new();
    for extent in with_file() {
        if let Some(id) = extent.file {
            used.entry(id).or_default().push(extent);
        }
    }
    for (id, mut extents) in used {
        extents.sort_by_key(|extent| extent.offset_bytes);
        let mut end = Some(0);
        let mut overlaps = false;
        for extent in &extents {
            // A sparse file is one extent, whatever its line's offset.
            overlaps |= !extent.is_flat() && extents.len() > 1;
            overlaps |= extent.offset_bytes < end && extent.length_bytes != Some(0);
            end = end.zip(extent.end_bytes()).map(|(end, next)| end.max(next));
        }
        if overlaps {
            let what = format!(
                "its lines lay {} stretches of the disk on the same bytes of {:?}",
                extents.len(),
                index.file(id).path.file_name().to_string_lossy()
            );
            let next = "one of the lines is wrong: compare with the files beside it, and with the \
                        partition table";
            found.push(said(described, "chain.extent-overlap", what, next));
        }
        let (Some(end), Some(judged)) = (end, judgements.disk(id)) else { continue };
        if !extents.iter().all(|extent| extent.is_flat()) {
            continue;
        }
        let content = &judged.content;
        // Bytes that an attack appended are told as its footer.
        let is_footer = content.footer.as_ref().is_some_and(FooterReading::is_proven)
            || content.state != DiskState::Untouched;
        let holds = if is_footer { content.original_size_bytes } else { index.file(id).size_bytes };
        if let Some(over) = holds.checked_sub(end).filter(|over| *over > 0) {
            let what = format!(
                "the file holds {holds} bytes, its extent lines end at {end}: {over} bytes of it \
                 are on no disk"
            );
            let next = "the descriptor may have been changed: the partition table tells the disk's \
                        true size";
            found.push(said(id, "chain.extent-long", what, next));
        }
    }
    found
}
