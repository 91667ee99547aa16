//! Tables that exist once: COWD and seSparse. Nothing stands beside an entry but its neighbours.

use super::{
    blocks::PIECE,
    claims,
    defects::DefectSink,
    grain::{TABLE, is_torn},
    walk::{GrainEntry, Shape},
};
use crate::{
    defect::{Defect, DefectKind},
    units::ByteOffset,
};

/// One entry judged alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Absent,
    Zero,
    /// First byte of the grain.
    At(u64),
    /// Holds what no writer writes; the number as it was read.
    Broken(u64),
}

/// A table of a single-copy extent, ready to be judged.
pub(crate) struct Table<'a> {
    pub(crate) shape: Shape,
    pub(crate) index: u64,
    pub(crate) at: u64,
    pub(crate) entry_bytes: usize,
    pub(crate) good: &'a [bool],
    pub(crate) file_end: u64,
}

impl Table<'_> {
    fn entry_at(&self, nth: usize) -> ByteOffset {
        let offset = nth.saturating_mul(self.entry_bytes);
        ByteOffset(self.at.saturating_add(u64::try_from(offset).unwrap_or(0)))
    }

    /// Judges the entries of the whole table, sector by sector: a sector that did not come, or of
    /// which more than a quarter of the used entries are broken, is lost as a whole.
    pub(crate) fn judge(&self, entries: &[Entry], sink: &mut DefectSink) -> Vec<GrainEntry> {
        let width = PIECE.checked_div(self.entry_bytes).unwrap_or(1).max(1);
        let mut out = Vec::with_capacity(entries.len());
        for (piece, group) in entries.chunks(width).enumerate() {
            let first = piece.saturating_mul(width);
            let start = self.shape.grain_range(self.index, first).start;
            if start >= self.shape.capacity_bytes {
                break;
            }
            let last = first.saturating_add(group.len().saturating_sub(1));
            let all = start..self.shape.grain_range(self.index, last).end;
            let at = self.entry_at(first);
            if self.good.get(piece) != Some(&true) {
                if at.0 >= self.file_end {
                    let end = ByteOffset(self.file_end);
                    let kind = DefectKind::PastEnd { to: at, end };
                    sink.add_for(all, Defect::new(TABLE, "entries", at, kind));
                }
                out.extend(group.iter().map(|_| GrainEntry::Lost));
                continue;
            }
            self.judge_group(first, group, all, &mut out, sink);
        }
        out
    }

    fn judge_group(
        &self,
        first: usize,
        group: &[Entry],
        all: std::ops::Range<u64>,
        out: &mut Vec<GrainEntry>,
        sink: &mut DefectSink,
    ) {
        if group.iter().all(|entry| *entry == Entry::Absent) {
            out.extend(group.iter().map(|_| GrainEntry::Absent));
            return;
        }
        let (used, broken) = self.count(group);
        if is_torn(used, broken) {
            let kind = DefectKind::Mismatch {
                expected: "entries a writer writes".to_owned(),
                found: format!("{broken} of {used} used entries that cannot be"),
            };
            sink.add_for(all, Defect::new(TABLE, "entries", self.entry_at(first), kind));
            out.extend(group.iter().map(|_| GrainEntry::Lost));
            return;
        }
        for (nth, entry) in (first..).zip(group) {
            let range = self.shape.grain_range(self.index, nth);
            if range.start >= self.shape.capacity_bytes {
                return;
            }
            out.push(match *entry {
                Entry::Absent => GrainEntry::Absent,
                Entry::Zero => GrainEntry::Zero,
                Entry::At(at) => {
                    let need = self.shape.grain_need(range.start);
                    if at.saturating_add(need) > self.file_end {
                        let end = ByteOffset(self.file_end);
                        let kind = DefectKind::PastEnd { to: ByteOffset(at), end };
                        sink.add_for(range, Defect::new(TABLE, "entry", self.entry_at(nth), kind));
                    }
                    GrainEntry::At(at)
                }
                Entry::Broken(value) => {
                    let kind = DefectKind::Unknown { value };
                    sink.add_for(range, Defect::new(TABLE, "entry", self.entry_at(nth), kind));
                    GrainEntry::Lost
                }
            });
        }
    }

    /// Used entries of a sector and how many of them cannot be. A grain past the file's end is
    /// one of those unless it follows its neighbour, as in a file that was cut.
    pub(crate) fn count(&self, group: &[Entry]) -> (usize, usize) {
        let (mut used, mut broken) = (0usize, 0usize);
        let mut follows = None;
        for entry in group {
            match *entry {
                Entry::Absent => {}
                Entry::Zero => used = used.saturating_add(1),
                Entry::Broken(_) => {
                    used = used.saturating_add(1);
                    broken = broken.saturating_add(1);
                }
                Entry::At(at) => {
                    used = used.saturating_add(1);
                    if at >= self.file_end && follows.is_some_and(|next| next != at) {
                        broken = broken.saturating_add(1);
                    }
                    follows = Some(at.saturating_add(self.shape.grain_bytes));
                }
            }
        }
        (used, broken)
    }
}

/// Makes lost whatever two entries of these tables claim.
pub(crate) fn settle(
    shape: Shape,
    entry_bytes: usize,
    tables: &mut [(u64, u64, Option<Vec<GrainEntry>>)],
    sink: &mut DefectSink,
) {
    let width = usize::try_from(shape.entries_per_table).unwrap_or(1).max(1);
    let mut claimed = Vec::new();
    for (nth, (_, _, table)) in tables.iter().enumerate() {
        for (entry, one) in table.iter().flatten().enumerate() {
            if let GrainEntry::At(at) = one {
                claimed.push((*at, nth.saturating_mul(width).saturating_add(entry)));
            }
        }
    }
    for (at, owner) in claims::contested(&claimed, shape.grain_bytes) {
        let nth = owner.checked_div(width).unwrap_or(0);
        let entry = owner.checked_rem(width).unwrap_or(0);
        let Some((index, table_at, Some(table))) = tables.get_mut(nth) else { continue };
        let offset = u64::try_from(entry.saturating_mul(entry_bytes)).unwrap_or(0);
        let place = ByteOffset(table_at.saturating_add(offset));
        let kind = DefectKind::Overlap { to: ByteOffset(at) };
        sink.add_for(shape.grain_range(*index, entry), Defect::new(TABLE, "entry", place, kind));
        if let Some(one) = table.get_mut(entry) {
            *one = GrainEntry::Lost;
        }
    }
}

/// Directory sectors, as ranges of entry numbers, that were overwritten: more than a quarter of
/// their used entries are in `broken`. `slots` begin at entry `first`, which begins a sector.
pub(crate) fn torn_groups<S>(
    first: u64,
    slots: &[S],
    width: usize,
    broken: &[u64],
    used: impl Fn(&S) -> bool,
) -> Vec<std::ops::Range<u64>> {
    if broken.is_empty() {
        return Vec::new();
    }
    let mut start = first;
    let mut torn = Vec::new();
    for group in slots.chunks(width.max(1)) {
        let end = start.saturating_add(u64::try_from(group.len()).unwrap_or(0));
        let from = broken.partition_point(|index| *index < start);
        let to = broken.partition_point(|index| *index < end);
        let bad = to.saturating_sub(from);
        if bad > 0 && is_torn(group.iter().filter(|slot| used(slot)).count(), bad) {
            torn.push(start..end);
        }
        start = end;
    }
    torn
}
