//! Collecting defects without letting hostile tables fill the memory.

use std::ops::Range;

use crate::{
    defect::{Defect, DefectKind},
    units::ByteOffset,
};

/// Defects that one answer carries; more are counted.
pub(crate) const DEFECT_LIMIT: usize = 256;

/// Keeps the first [`DEFECT_LIMIT`] defects that concern the asked range and counts the rest.
pub(crate) struct DefectSink {
    asked: Range<u64>,
    kept: Vec<(Range<u64>, Defect)>,
    total: u64,
}

impl Default for DefectSink {
    fn default() -> Self {
        Self::for_range(0..u64::MAX)
    }
}

impl DefectSink {
    /// Takes only what concerns these bytes of the virtual extent.
    pub(crate) fn for_range(asked: Range<u64>) -> Self {
        Self { asked, kept: Vec::new(), total: 0 }
    }

    /// Whether these bytes of the virtual extent were asked about.
    pub(crate) fn concerns(&self, range: &Range<u64>) -> bool {
        range.start < self.asked.end && range.end > self.asked.start
    }

    /// A defect that concerns the whole extent.
    pub(crate) fn add(&mut self, defect: Defect) {
        self.add_for(0..u64::MAX, defect);
    }

    /// A defect that concerns these bytes of the virtual extent.
    pub(crate) fn add_for(&mut self, concerned: Range<u64>, defect: Defect) {
        if !self.concerns(&concerned) {
            return;
        }
        self.total = self.total.saturating_add(1);
        if self.kept.len() < DEFECT_LIMIT {
            self.kept.push((concerned, defect));
        }
    }

    /// The kept defects that concern anything before `end`, which is how far the answer reaches.
    pub(crate) fn finish_before(mut self, structure: &'static str, end: u64) -> Vec<Defect> {
        let before = self.kept.len();
        self.kept.retain(|(concerned, _)| concerned.start < end);
        if self.kept.len() < before {
            // The counted ones lie behind the answer too: tables are judged in order.
            self.total = u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        }
        self.finish(structure)
    }

    /// The kept defects and, where some were only counted, one that says so.
    pub(crate) fn finish(self, structure: &'static str) -> Vec<Defect> {
        let mut kept: Vec<_> = self.kept.into_iter().map(|(_, defect)| defect).collect();
        let limit = u64::try_from(DEFECT_LIMIT).unwrap_or(u64::MAX);
        if self.total > limit {
            let kind = DefectKind::Limit { value: self.total, limit };
            kept.push(Defect::new(structure, "defects", ByteOffset(0), kind));
        }
        kept
    }
}
