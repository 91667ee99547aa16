//! One extent of a link: the file behind it.

use super::{
    LinkState,
    link::{Parts, own_name},
};
use crate::{
    catalog::{ChainLink, Content, FileId, LinkExtent},
    finding::{Evidence, Finding, Weight},
    sweep::judge::{DiskFileJudgement, Judged},
    triage::quick::{DiskState, SmallState},
};

impl<'a> Parts<'a> {
    pub(super) fn extent(&mut self, extent: &LinkExtent, link: &ChainLink) -> LinkState {
        if !extent.needs_file() {
            return LinkState::Whole;
        }
        if extent.is_device() {
            let why = format!("{:?} points to a LUN, which was not looked at", extent.name);
            return self.note(LinkState::Undetermined, why);
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
