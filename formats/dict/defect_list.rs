//! Collecting defects without letting a hostile file fill the memory with them.

use super::offset;
use crate::{
    defect::{Defect, DefectKind},
    units::ByteOffset,
};

/// Most defects kept of one file; one more tells how many there were.
const MAX_DEFECTS: usize = 256;

/// Defects of one structure, in the order found.
#[derive(Debug)]
pub(crate) struct DefectList {
    structure: &'static str,
    kept: Vec<Defect>,
    dropped: u64,
}

impl DefectList {
    pub(crate) fn new(structure: &'static str) -> Self {
        Self { structure, kept: Vec::new(), dropped: 0 }
    }

    pub(crate) fn add(&mut self, field: &'static str, at: usize, kind: DefectKind) {
        self.add_at(field, offset(at), kind);
    }

    pub(crate) fn add_at(&mut self, field: &'static str, at: ByteOffset, kind: DefectKind) {
        self.push(Defect::new(self.structure, field, at, kind));
    }

    /// Whether further defects are only counted: no need then to find words for them.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= MAX_DEFECTS
    }

    pub(crate) fn push(&mut self, defect: Defect) {
        if self.kept.len() < MAX_DEFECTS {
            self.kept.push(defect);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    pub(crate) fn extend(&mut self, defects: Vec<Defect>) {
        for defect in defects {
            self.push(defect);
        }
    }

    pub(crate) fn limit(&mut self, field: &'static str, at: usize, value: usize, limit: usize) {
        let value = u64::try_from(value).unwrap_or(u64::MAX);
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        self.add(field, at, DefectKind::Limit { value, limit });
    }

    /// The defects; where some were dropped, a last one counts them all.
    pub(crate) fn finish(mut self) -> Vec<Defect> {
        if self.dropped > 0 {
            let limit = u64::try_from(MAX_DEFECTS).unwrap_or(u64::MAX);
            let value = self.dropped.saturating_add(limit);
            let at = self.kept.last().map_or(ByteOffset(0), |last| last.at);
            let kind = DefectKind::Limit { value, limit };
            self.kept.push(Defect::new(self.structure, "defects", at, kind));
        }
        self.kept
    }
}
