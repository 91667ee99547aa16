//! One disk: what its links and extents were judged, put together.

mod extent;
mod figures;
mod link;

use figures::{fraction, method, share_of, zero_share};
use link::Parts;
pub(super) use link::own_name;

use super::judge::Judgements;
use crate::{
    catalog::{Index, LOOKALIKE, MachineDisk},
    finding::{Evidence, Finding, Weight},
    report::record::{DiskVerdict, Fraction, Method},
};

/// State of one link of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LinkState {
    /// Nothing against it.
    Whole,
    /// Its data shows no damage, its descriptor is lost.
    DescriptorLost,
    /// Encrypted by its guest or by VMware.
    GuestEncrypted,
    /// Cannot be said.
    Undetermined,
    /// Structure is broken.
    Damaged,
    /// A file of it could not be read.
    Unreadable,
    /// A file of it is not there.
    Missing,
    /// Encrypted in part.
    Partly,
    /// Encrypted.
    Encrypted,
}

/// A disk judged.
#[derive(Debug)]
pub(super) struct DiskJudged {
    pub(super) verdict: DiskVerdict,
    pub(super) reason: String,
    /// States of its links, leaf first.
    pub(super) links: Vec<LinkState>,
    /// Position of the topmost link from which everything down to the base is whole, where links
    /// above it are not.
    pub(super) rollback: Option<usize>,
    pub(super) fraction: Option<(Fraction, Fraction, Fraction)>,
    pub(super) zero: Option<Fraction>,
    pub(super) method: Method,
    pub(super) samples: u64,
    pub(super) allocated_bytes: Option<u64>,
    pub(super) families: Vec<String>,
    pub(super) evidence: Vec<Evidence>,
    pub(super) findings: Vec<Finding>,
    /// Whether files of it only carry a foreign suffix.
    pub(super) renamed: bool,
}

/// Findings that make a chain as a whole unfit to be trusted, though its bytes may be whole.
const DOUBTS: [&str; 12] = [
    "chain.cid-unread",
    "chain.cid-mismatch",
    "chain.capacity-differs",
    "chain.capacity-impossible",
    "chain.parent-by-cid",
    "chain.parent-guessed",
    "chain.raw-device",
    "chain.copy-taken",
    "chain.delta-without-parent",
    "chain.extent-access",
    "chain.extent-long",
    "chain.extent-overlap",
];

/// Findings that mean that a part is not there.
const GAPS: [&str; 10] = [
    "chain.cycle",
    "chain.too-long",
    "chain.no-extent",
    "chain.extent-missing",
    "chain.extent-is-descriptor",
    "chain.parent-missing",
    "disk.missing",
    "disk.unnamed",
    "name.outside",
    "chain.extent-short",
];

/// Findings by which a part may lie somewhere that was not followed, so that it is not yet lost.
const PERHAPS_ELSEWHERE: [&str; 6] = [
    "chain.raw-device",
    "disk.unnamed",
    "name.outside",
    "chain.extent-is-descriptor",
    "chain.extent-refused",
    LOOKALIKE,
];

impl DiskJudged {
    /// Whether its links do not fit together, or one is not there.
    pub(super) fn is_chain_broken(&self) -> bool {
        self.findings.iter().any(|finding| {
            finding.weight != Weight::Note
                && ["chain.", "name."].iter().any(|kind| finding.code.starts_with(kind))
        })
    }

    /// Whether what it misses was not looked for everywhere.
    pub(super) fn is_perhaps_elsewhere(&self) -> bool {
        self.findings.iter().any(|f| PERHAPS_ELSEWHERE.contains(&f.code.as_str()))
    }
}

pub(super) fn judge_disk(
    disk: &MachineDisk,
    index: &Index<'_>,
    judgements: &Judgements,
) -> DiskJudged {
    let mut parts = Parts {
        index,
        judgements,
        evidence: Vec::new(),
        findings: Vec::new(),
        reasons: Vec::new(),
        measured: Vec::new(),
    };
    let links: Vec<LinkState> = disk.chain.iter().map(|link| parts.link(link)).collect();
    parts.findings.extend(disk.findings.iter().cloned());
    let Parts { evidence, findings, reasons, measured, .. } = parts;

    let codes = |list: &[&str]| {
        findings.iter().find(|f| list.contains(&f.code.as_str()) && f.weight != Weight::Note)
    };
    let gap = codes(&GAPS);
    let doubt = codes(&DOUBTS);
    let worst = links.iter().copied().max();
    let data: Vec<LinkState> = links.clone();
    let (verdict, state) = match worst {
        Some(LinkState::Encrypted) if data.iter().all(|s| *s == LinkState::Encrypted) => {
            (DiskVerdict::Encrypted, LinkState::Encrypted)
        }
        Some(state @ (LinkState::Encrypted | LinkState::Partly)) => {
            (DiskVerdict::PartlyEncrypted, state)
        }
        None => (DiskVerdict::Incomplete, LinkState::Missing),
        Some(_) if gap.is_some() => (DiskVerdict::Incomplete, LinkState::Missing),
        Some(state @ LinkState::Missing) => (DiskVerdict::Incomplete, state),
        Some(state @ LinkState::Unreadable) => (DiskVerdict::Unreadable, state),
        Some(state @ LinkState::Damaged) => (DiskVerdict::Damaged, state),
        Some(_) if doubt.is_some() => (DiskVerdict::Undetermined, LinkState::Undetermined),
        Some(state @ LinkState::Undetermined) => (DiskVerdict::Undetermined, state),
        Some(state @ LinkState::GuestEncrypted) => (DiskVerdict::GuestEncrypted, state),
        Some(LinkState::DescriptorLost | LinkState::Whole) if !disk.reaches_base() => {
            (DiskVerdict::Incomplete, LinkState::Missing)
        }
        Some(state @ LinkState::DescriptorLost) => (DiskVerdict::DescriptorLost, state),
        Some(state @ LinkState::Whole) => (DiskVerdict::Untouched, state),
    };
    let told = reasons.iter().find(|(of, _)| *of == state).map(|(_, why)| why.clone());
    let reason = match (verdict, gap.or(doubt)) {
        (DiskVerdict::Incomplete | DiskVerdict::Undetermined, Some(finding)) => {
            match findings.iter().find(|f| f.code == LOOKALIKE) {
                Some(like) => format!("{}; {}", finding.what, like.what),
                None => finding.what.clone(),
            }
        }
        _ => told.unwrap_or_else(|| match verdict {
            DiskVerdict::Incomplete => {
                let lost = reasons.iter().find(|(of, _)| *of == LinkState::DescriptorLost);
                match lost {
                    Some((_, why)) => format!("{why}, so what it stands on is not known"),
                    None => "a link or an extent is missing".to_owned(),
                }
            }
            DiskVerdict::Untouched => "no sign of damage in what was examined".to_owned(),
            _ => "see its evidence".to_owned(),
        }),
    };
    let rollback = rollback_point(disk, &links, &findings, index);
    let mut families: Vec<String> =
        measured.iter().filter_map(|m| Some(m.content.family.as_ref()?.name.clone())).collect();
    families.sort();
    families.dedup();
    let renamed = disk.files().iter().any(|id| index.file(*id).name.is_renamed());
    let allocated: u64 = measured
        .iter()
        .map(|m| share_of(m.content.original_size_bytes, 1.0 - m.content.zero_share))
        .sum();
    DiskJudged {
        verdict,
        reason,
        rollback,
        fraction: fraction(&measured),
        zero: zero_share(&measured),
        method: method(&measured),
        samples: measured.iter().map(|m| u64::from(m.content.samples)).sum(),
        allocated_bytes: (!measured.is_empty()).then_some(allocated),
        families,
        evidence,
        findings,
        renamed,
        links,
    }
}

/// The first link below the hit ones from which all is whole down to a base. What is missing
/// above it does not matter; a chain whose links do not fit together offers no such point.
fn rollback_point(
    disk: &MachineDisk,
    links: &[LinkState],
    findings: &[Finding],
    index: &Index<'_>,
) -> Option<usize> {
    let heavy = |list: &[&str], finding: &Finding| {
        finding.weight != Weight::Note && list.contains(&finding.code.as_str())
    };
    if !disk.reaches_base() || findings.iter().any(|finding| heavy(&DOUBTS, finding)) {
        return None;
    }
    let fit = |state: &LinkState| matches!(state, LinkState::Whole | LinkState::DescriptorLost);
    let from = links.iter().rposition(|state| !fit(state))? + 1;
    let below: Vec<String> = disk
        .chain
        .get(from..)?
        .iter()
        .filter_map(|link| Some(index.file(link.file?).shown.to_string_lossy().into_owned()))
        .collect();
    let gap = findings.iter().any(|finding| heavy(&GAPS, finding) && below.contains(&finding.path));
    (from < links.len() && !gap).then_some(from)
}
