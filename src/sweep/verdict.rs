//! One disk: what its links and extents were judged, put together.

use vmglean_formats::{Defect, DefectKind};

use super::{
    judge::{DiskFileJudgement, Judged, Judgements, holds_disk_data},
    lines,
};
use crate::{
    catalog::{CatalogFile, ChainLink, Content, FileId, Index, LOOKALIKE, LinkExtent, MachineDisk},
    finding::{Evidence, EvidenceKind, Finding, Weight},
    report::record::{DiskVerdict, Fraction, Method},
    triage::quick::{DiskState, Method as QuickMethod, SmallState},
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
const PERHAPS_ELSEWHERE: [&str; 5] = [
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

struct Parts<'a> {
    index: &'a Index<'a>,
    judgements: &'a Judgements,
    evidence: Vec<Evidence>,
    findings: Vec<Finding>,
    reasons: Vec<(LinkState, String)>,
    measured: Vec<&'a DiskFileJudgement>,
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

/// `part` of `bytes`, to whole bytes.
fn share_of(bytes: u64, part: f64) -> u64 {
    // Shares come from samples; their own error is far above that of this product.
    (bytes as f64 * part.clamp(0.0, 1.0)) as u64
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

/// Encrypted share of everything the disk's files hold, each weighed by its size.
fn fraction(measured: &[&DiskFileJudgement]) -> Option<(Fraction, Fraction, Fraction)> {
    let mut sums = (0.0, 0.0, 0.0, 0.0);
    for judged in measured {
        let weight = judged.content.original_size_bytes as f64;
        let share = judged.content.encrypted?;
        sums.0 += weight;
        sums.1 += weight * share.estimate;
        sums.2 += weight * share.low;
        sums.3 += weight * share.high;
    }
    (sums.0 > 0.0).then(|| {
        let part = |sum: f64| Fraction::new(sum / sums.0);
        (part(sums.1), part(sums.2), part(sums.3))
    })
}

fn zero_share(measured: &[&DiskFileJudgement]) -> Option<Fraction> {
    let all: f64 = measured.iter().map(|m| m.content.original_size_bytes as f64).sum();
    let zero: f64 =
        measured.iter().map(|m| m.content.original_size_bytes as f64 * m.content.zero_share).sum();
    (all > 0.0).then(|| Fraction::new(zero / all))
}

fn method(measured: &[&DiskFileJudgement]) -> Method {
    if measured.is_empty() {
        Method::None
    } else if measured.iter().all(|m| m.content.method == QuickMethod::Full) {
        Method::Full
    } else {
        Method::Sampled
    }
}

/// The name alone: a reason stands beside its machine, whose folder is told there.
pub(super) fn own_name(file: &CatalogFile) -> String {
    file.path.file_name().to_string_lossy().into_owned()
}

impl<'a> Parts<'a> {
    fn note(&mut self, state: LinkState, why: String) -> LinkState {
        self.reasons.push((state, why));
        state
    }

    fn link(&mut self, link: &ChainLink) -> LinkState {
        let mut worst = match link.file {
            Some(id) if !link.described => self.lost_descriptor(id),
            Some(id) => self.torn_descriptor(id),
            None => LinkState::Whole,
        };
        let mut hit = (0_usize, 0_usize);
        for extent in &link.extents {
            let state = self.extent(extent, link);
            worst = worst.max(state);
            match state {
                LinkState::Encrypted => hit.0 += 1,
                LinkState::Missing | LinkState::Unreadable => {}
                _ if self.holds_something(extent) => hit.1 += 1,
                _ => {}
            }
        }
        // What one extent lost, its neighbours still hold.
        if worst == LinkState::Encrypted && hit.1 > 0 {
            let first = self.reasons.iter().find(|(of, _)| *of == LinkState::Encrypted);
            let why = first.map_or_else(String::new, |(_, why)| format!(": {why}"));
            let all = link.extents.len();
            worst = self.note(
                LinkState::Partly,
                format!("{} of its {all} extents are encrypted{why}", hit.0),
            );
        }
        let lines = lines::contradictions(link, self.index, self.judgements);
        if let Some(first) = lines.first() {
            worst = worst.max(self.note(LinkState::Undetermined, first.what.clone()));
        }
        self.findings.extend(lines);
        if link.extents.is_empty() && !link.described {
            let why = "its descriptor is lost and no extent is named after it".to_owned();
            worst = worst.max(self.note(LinkState::Missing, why));
        }
        worst
    }

    /// Whether a file stands behind an extent and has anything of the disk in it.
    fn holds_something(&self, extent: &LinkExtent) -> bool {
        let Some(id) = extent.file.filter(|_| extent.needs_file()) else { return false };
        self.judgements.disk(id).is_none_or(|judged| match &judged.tables {
            Some(tables) => tables.stored_bytes > 0 || !tables.complete,
            None => judged.content.zero_share < 1.0,
        })
    }

    /// A descriptor that can be read, though not all of it is sound.
    fn torn_descriptor(&mut self, id: FileId) -> LinkState {
        let file = self.index.file(id);
        let Some(facts) = file.descriptor() else { return LinkState::Whole };
        let is_torn = |defect: &&Defect| !matches!(defect.kind, DefectKind::Duplicate { .. });
        match facts.defects.iter().find(is_torn) {
            // The file's own finding says it already.
            Some(defect) => {
                let why = format!("descriptor {} is damaged: {defect}", own_name(file));
                self.note(LinkState::DescriptorLost, why)
            }
            None => LinkState::Whole,
        }
    }

    fn lost_descriptor(&mut self, id: FileId) -> LinkState {
        let file = self.index.file(id);
        if let Some(finding) = file.findings.iter().find(|f| f.weight == Weight::Unreadable) {
            let why = format!("descriptor {}: {}", own_name(file), finding.what);
            return self.note(LinkState::Unreadable, why);
        }
        if holds_disk_data(file) {
            let why = format!("{} has no descriptor", own_name(file));
            return self.note(LinkState::DescriptorLost, why);
        }
        let shown = file.shown.display().to_string();
        let own = own_name(file);
        let judged = self.judgements.files.get(&id);
        let why = match judged {
            Some(Judged::Small(small)) => {
                self.evidence.push(Evidence {
                    kind: EvidenceKind::Statistic,
                    offset_bytes: 0,
                    length_bytes: small.length_bytes,
                    detail: format!(
                        "{shown}: {} (entropy {:.3} bits a byte, chi-square {:.0})",
                        small.reason, small.entropy_bits, small.chi_square
                    ),
                });
                match small.state {
                    SmallState::Encrypted => format!("descriptor {own} is encrypted"),
                    _ => format!("descriptor {own}: {}", small.reason),
                }
            }
            Some(Judged::Gone(why)) => format!("descriptor {own}: {why}"),
            _ if file.size_bytes == 0 => format!("descriptor {own} is empty"),
            _ => format!("descriptor {own} is not readable"),
        };
        self.findings.push(Finding {
            code: "disk.descriptor-lost".to_owned(),
            weight: Weight::Damage,
            path: shown,
            offset_bytes: None,
            what: why.clone(),
            next: Some("write it anew from the extents' lengths".to_owned()),
        });
        self.note(LinkState::DescriptorLost, why)
    }

    fn extent(&mut self, extent: &LinkExtent, link: &ChainLink) -> LinkState {
        if !extent.needs_file() {
            return LinkState::Whole;
        }
        let Some(id) = extent.file else {
            return self.note(LinkState::Missing, format!("extent {:?} is not there", extent.name));
        };
        let file = self.index.file(id);
        let shown = file.shown.display().to_string();
        let own = own_name(file);
        if let Some(finding) = file.findings.iter().find(|f| f.weight == Weight::Unreadable) {
            return self.note(LinkState::Unreadable, format!("{own}: {}", finding.what));
        }
        match self.judgements.files.get(&id) {
            Some(Judged::Disk(judged)) => {
                self.measured.push(judged);
                let judged: &'a DiskFileJudgement = judged;
                self.measured_extent(judged, [&shown, &own], extent, link)
            }
            Some(Judged::Small(small)) => {
                let (state, why) = match small.state {
                    SmallState::Encrypted => (LinkState::Encrypted, "is encrypted".to_owned()),
                    _ => (LinkState::Undetermined, small.reason.clone()),
                };
                self.note(state, format!("{own}: {why}"))
            }
            Some(Judged::Gone(why)) => {
                self.findings.push(Finding {
                    code: "file.unreadable".to_owned(),
                    weight: Weight::Unreadable,
                    path: shown.clone(),
                    offset_bytes: None,
                    what: why.clone(),
                    next: None,
                });
                self.note(LinkState::Unreadable, format!("{own}: {why}"))
            }
            None if matches!(file.content, Content::Refused) => {
                let what = file.findings.first().map(|f| f.what.clone()).unwrap_or_default();
                self.findings.push(Finding {
                    code: "chain.extent-refused".to_owned(),
                    weight: Weight::Damage,
                    path: shown,
                    offset_bytes: None,
                    what: format!(
                        "a descriptor names it as an extent, and it is {}",
                        what.trim_start_matches("not opened: ")
                    ),
                    next: Some("put the file itself in its place in a copy".to_owned()),
                });
                self.note(LinkState::Missing, format!("extent {own}: {what}"))
            }
            None if file.size_bytes == 0 => {
                self.note(LinkState::Missing, format!("extent {own} is empty"))
            }
            None if file.findings.iter().any(|f| f.weight == Weight::Damage) => {
                let what = file.findings.first().map(|f| f.what.clone()).unwrap_or_default();
                self.note(LinkState::Missing, format!("{own}: {what}"))
            }
            None => self.note(LinkState::Undetermined, format!("{own} was not measured")),
        }
    }

    fn measured_extent(
        &mut self,
        judged: &DiskFileJudgement,
        [shown, own]: [&str; 2],
        extent: &LinkExtent,
        link: &ChainLink,
    ) -> LinkState {
        let content = &judged.content;
        for evidence in &content.evidence {
            self.evidence.push(Evidence {
                detail: format!("{shown}: {}", evidence.detail),
                ..evidence.clone()
            });
        }
        for (offset, length, why) in &content.unreadable {
            self.findings.push(Finding {
                code: "file.unreadable-range".to_owned(),
                weight: Weight::Unreadable,
                path: shown.to_owned(),
                offset_bytes: Some(*offset),
                what: format!("{length} bytes could not be read: {why}"),
                next: Some("image the disk it lies on with ddrescue first".to_owned()),
            });
        }
        let mut state = match content.state {
            DiskState::Encrypted => LinkState::Encrypted,
            DiskState::PartlyEncrypted => LinkState::Partly,
            DiskState::Damaged => LinkState::Damaged,
            DiskState::Undetermined if link.vmware_encrypted => LinkState::GuestEncrypted,
            DiskState::Undetermined => LinkState::Undetermined,
            DiskState::Untouched => LinkState::Whole,
        };
        self.note(state, format!("{own}: {}", content.reason));
        if let Some(why) = self.unwalked(judged, extent) {
            state = state.max(self.note(LinkState::Undetermined, format!("{own}: {why}")));
        }
        if let Some(defect) = extent.file.and_then(|id| self.header_defect(id)) {
            state = state.max(self.note(LinkState::Damaged, format!("{own}: {defect}")));
        }
        if let Some(tables) =
            judged.tables.as_ref().filter(|t| t.lost_bytes > 0 || t.defect_count > 0)
        {
            let first = tables.defects.first().map_or(String::new(), |d| format!(": {d}"));
            let from = tables.first_lost_bytes.map_or_else(
                || ", nothing tells which,".to_owned(),
                |first| format!(" from {first:#x} on"),
            );
            let what = format!(
                "{} bytes of the disk{from} cannot be reached, its tables or grains are broken or \
                 cut off{first}",
                tables.lost_bytes,
            );
            self.findings.push(Finding {
                code: "extent.tables-broken".to_owned(),
                weight: Weight::Damage,
                path: shown.to_owned(),
                offset_bytes: None,
                what: what.clone(),
                next: Some("vmglean inspect lists every defect".to_owned()),
            });
            state = state.max(self.note(LinkState::Damaged, format!("{own}: {what}")));
        }
        if extent.kind.is_some()
            && let Some(line) = extent.end_bytes().or(extent.length_bytes)
            && extent.is_flat()
            && content.original_size_bytes < line
        {
            let from = match extent.offset_bytes {
                Some(0) => String::new(),
                Some(at) => format!(", from byte {at} on"),
                None => ", from beyond 2^64 on".to_owned(),
            };
            let what = format!(
                "the file holds {} bytes, its extent line ends at {line}{from}: the end is missing",
                content.original_size_bytes
            );
            self.findings.push(Finding {
                code: "chain.extent-short".to_owned(),
                weight: Weight::Damage,
                path: shown.to_owned(),
                offset_bytes: Some(content.original_size_bytes),
                what: what.clone(),
                next: None,
            });
            // Not all of it is gone: what there is can still be had.
            state = state.max(self.note(LinkState::Damaged, format!("{own}: {what}")));
        }
        state
    }

    /// Why a sparse extent's tables do not speak for it.
    fn unwalked(&self, judged: &DiskFileJudgement, extent: &LinkExtent) -> Option<&'static str> {
        let is_sparse = extent
            .file
            .is_some_and(|id| matches!(self.index.file(id).content, Content::Sparse { .. }));
        match &judged.tables {
            Some(tables) if !tables.complete => Some("its tables were not walked to their end"),
            None if is_sparse => Some("its tables could not be opened"),
            _ => None,
        }
    }

    /// What is wrong with a sparse extent's header, besides the descriptor inside.
    fn header_defect(&self, id: FileId) -> Option<String> {
        let file = self.index.file(id);
        let Content::Sparse { embedded, .. } = &file.content else { return None };
        let inside = embedded.iter().flat_map(|facts| &facts.defects);
        let of_descriptor: Vec<String> = inside.map(ToString::to_string).collect();
        let damage = |finding: &&Finding| {
            finding.weight == Weight::Damage && !of_descriptor.contains(&finding.what)
        };
        file.findings.iter().find(damage).map(|finding| finding.what.clone())
    }
}
