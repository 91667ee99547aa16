//! The disks that a disk's file stands on: are they there, and do they fit?

use std::sync::Arc;

use super::Told;
use crate::{
    disk::{ChainEnd, ChainLink, open_chain},
    families::Families,
    finding::{Weight, in_one_line},
    report::{
        inspect::{FieldRecord, InspectedFile},
        units::bytes as size,
    },
    source::{EvidenceRoot, RelPath},
    triage::footer::footerless,
};

/// Links listed; a host allows 32 snapshots.
const MAX_LISTED: usize = 64;

pub(super) fn follow(
    root: &Arc<EvidenceRoot>,
    rel: &RelPath,
    families: &Families,
    file: &mut InspectedFile,
    told: &mut Told,
) {
    let companions = footerless(root, families);
    let chain = match open_chain(&companions, rel) {
        Ok(chain) => chain,
        Err(error) => {
            let what = in_one_line(&error);
            return told.push("chain.no-disk", Weight::Damage, None, what, "");
        }
    };
    for (number, link) in chain.links.iter().take(MAX_LISTED).enumerate() {
        let field = if number == 0 { "leaf".to_owned() } else { format!("parent {number}") };
        row(file, &field, in_words(link), broken(link));
    }
    if let Some(more) = chain.links.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        row(file, "…", format!("{more} more links are not listed"), None);
    }
    let end = match &chain.end {
        ChainEnd::Base => "whole: ends with a base disk".to_owned(),
        ChainEnd::ParentMissing { why } => format!("broken: the parent is missing: {why}"),
        ChainEnd::Cycle { path } => {
            format!("broken: {} is its own ancestor", path.as_path().display())
        }
        ChainEnd::ParentBroken { why } => format!("broken: the parent is no disk: {why}"),
        ChainEnd::TooLong => "broken: more links than are followed".to_owned(),
    };
    row(file, "end", end, None);
    told.findings.extend(chain.findings);
}

fn row(file: &mut InspectedFile, field: &str, value: String, note: Option<String>) {
    file.fields.push(FieldRecord {
        structure: "chain".to_owned(),
        field: field.to_owned(),
        offset_bytes: 0,
        length_bytes: 0,
        value,
        note,
    });
}

fn in_words(link: &ChainLink) -> String {
    let mut text = format!("{}, {}", link.path.as_path().display(), size(link.capacity));
    if let Some(cid) = link.cid {
        text.push_str(&format!(", CID {cid}"));
    }
    if let Some(parent) = link.parent_cid.filter(|_| link.has_parent) {
        text.push_str(&format!(", parentCID {parent}"));
    }
    text
}

fn broken(link: &ChainLink) -> Option<String> {
    let lost: Vec<String> = link
        .extents
        .iter()
        .filter_map(|extent| {
            let why = extent.broken.as_ref()?;
            let name = extent
                .name
                .clone()
                .or_else(|| extent.path.as_ref().map(|path| path.as_path().display().to_string()));
            Some(format!("extent {}: {why}", name.unwrap_or_else(|| "without a name".to_owned())))
        })
        .collect();
    (!lost.is_empty()).then(|| lost.join("; "))
}
