//! One link of a chain: its descriptor and its extents together.

use vmglean_formats::{Defect, DefectKind};

use super::LinkState;
use crate::{
    catalog::{CatalogFile, ChainLink, FileId, Index, LinkExtent},
    finding::{Evidence, EvidenceKind, Finding, Weight},
    sweep::{
        judge::{DiskFileJudgement, Judged, Judgements, holds_disk_data},
        lines,
    },
    triage::quick::SmallState,
};

/// What is gathered of one disk, link by link.
pub(super) struct Parts<'a> {
    pub(super) index: &'a Index<'a>,
    pub(super) judgements: &'a Judgements,
    pub(super) evidence: Vec<Evidence>,
    pub(super) findings: Vec<Finding>,
    pub(super) reasons: Vec<(LinkState, String)>,
    pub(super) measured: Vec<&'a DiskFileJudgement>,
}

/// The name alone: a reason stands beside its machine, whose folder is told there.
pub(in crate::sweep) fn own_name(file: &CatalogFile) -> String {
    file.path.file_name().to_string_lossy().into_owned()
}

impl<'a> Parts<'a> {
    pub(super) fn note(&mut self, state: LinkState, why: String) -> LinkState {
        self.reasons.push((state, why));
        state
    }

    pub(super) fn link(&mut self, link: &ChainLink) -> LinkState {
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
}
