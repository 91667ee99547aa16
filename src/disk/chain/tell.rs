//! Findings of a chain: what, where, why it matters, what to do next.

use crate::{
    finding::{Finding, Weight},
    source::RelPath,
};

/// More findings than this of one chain are counted, not kept.
const MAX_FINDINGS: usize = 1000;

/// Collects the findings of one chain.
#[derive(Default)]
pub(super) struct Told {
    findings: Vec<Finding>,
    dropped: usize,
}

impl Told {
    pub(super) fn note(&mut self, code: &str, path: &RelPath, what: String) {
        self.add(code, Weight::Note, path, None, what, "");
    }

    pub(super) fn damage(&mut self, code: &str, path: &RelPath, what: String, next: &str) {
        self.add(code, Weight::Damage, path, None, what, next);
    }

    pub(super) fn unreadable(&mut self, code: &str, path: &RelPath, what: String, next: &str) {
        self.add(code, Weight::Unreadable, path, None, what, next);
    }

    pub(super) fn defects(
        &mut self,
        code: &str,
        path: &RelPath,
        defects: &[vmglean_formats::Defect],
    ) {
        for defect in defects {
            self.add(code, Weight::Damage, path, Some(defect.at.0), defect.to_string(), "");
        }
    }

    fn add(
        &mut self,
        code: &str,
        weight: Weight,
        path: &RelPath,
        offset_bytes: Option<u64>,
        what: String,
        next: &str,
    ) {
        if self.findings.len() >= MAX_FINDINGS {
            self.dropped += 1;
            return;
        }
        self.findings.push(Finding {
            code: code.to_owned(),
            weight,
            path: name(path),
            offset_bytes,
            what,
            next: (!next.is_empty()).then(|| next.to_owned()),
        });
    }

    pub(super) fn into_findings(mut self, leaf: &RelPath) -> Vec<Finding> {
        if self.dropped > 0 {
            self.findings.push(Finding {
                code: "chain.more-findings".to_owned(),
                weight: Weight::Damage,
                path: name(leaf),
                offset_bytes: None,
                what: format!("{} more findings of this chain are not listed", self.dropped),
                next: None,
            });
        }
        self.findings
    }
}

/// A path as reports name it.
pub(super) fn name(path: &RelPath) -> String {
    path.as_path().display().to_string()
}
