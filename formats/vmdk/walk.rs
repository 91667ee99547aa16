//! From two-level tables to runs, for every sparse kind alike.
//!
//! Tables are judged in windows that are aligned to the extent, not to the question, so the
//! answer for a byte never depends on what else was asked.

use std::ops::Range;

use super::{ExtentMap, Run, RunKind, defects::DefectSink};
use crate::{
    defect::{Checked, Defect, DefectKind, FormatError},
    read::ReadAt,
    units::{ByteOffset, Bytes, SECTOR_BYTES},
};

/// Directory entries read at once.
const CHUNK: u64 = 4096;
/// Table entries judged at once.
const WINDOW_ENTRIES: u64 = 32_768;

/// Tables that are looked at: 2 PiB in usual grains, 16 TiB in the smallest.
const TABLE_LIMIT: u64 = 1 << 26;

/// What one table entry says, after it was believed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrainEntry {
    Absent,
    Zero,
    /// Plain grain, first byte in the file. May reach past the end: the walk cuts it.
    At(u64),
    /// Compressed grain: first byte and length of its zlib data.
    Packed {
        at: u64,
        stored: u64,
    },
    Lost,
}

/// All entries of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TableEntries {
    /// Every entry says the same, and it is no place.
    Uniform(RunKind),
    Each(Vec<GrainEntry>),
}

/// The numbers the walk computes with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) capacity_bytes: u64,
    pub(crate) grain_bytes: u64,
    pub(crate) entries_per_table: u64,
}

impl Shape {
    /// Virtual bytes one table covers.
    pub(crate) fn span(self) -> u64 {
        self.grain_bytes.saturating_mul(self.entries_per_table).max(1)
    }

    /// Tables that the capacity needs.
    pub(crate) fn tables(self) -> u64 {
        self.capacity_bytes.div_ceil(self.span())
    }

    /// Virtual bytes of table `index`.
    pub(crate) fn table_range(self, index: u64) -> Range<u64> {
        let start = index.saturating_mul(self.span());
        start..start.saturating_add(self.span())
    }

    /// Virtual bytes of entry `entry` of table `index`.
    pub(crate) fn grain_range(self, index: u64, entry: usize) -> Range<u64> {
        let entry = u64::try_from(entry).unwrap_or(u64::MAX);
        let start =
            self.table_range(index).start.saturating_add(entry.saturating_mul(self.grain_bytes));
        start..start.saturating_add(self.grain_bytes)
    }

    /// Bytes that a grain at virtual `start` holds of the capacity.
    pub(crate) fn grain_need(self, start: u64) -> u64 {
        self.capacity_bytes.saturating_sub(start).min(self.grain_bytes)
    }
}

/// A two-level map: directory and tables.
pub(crate) trait Tables: Send + Sync {
    /// A place of one table, or what is known without one.
    type Slot: Copy;

    fn structure(&self) -> &'static str;
    fn shape(&self) -> Shape;
    /// Directory entries that lie inside the file, and where the directory begins.
    fn directory(&self, file: &dyn ReadAt) -> (u64, ByteOffset);
    /// Judges `count` directory entries from `first` on; gives exactly `count` slots.
    fn slots(
        &self,
        file: &dyn ReadAt,
        first: u64,
        count: usize,
        sink: &mut DefectSink,
    ) -> Vec<Self::Slot>;
    /// What a slot says where it names no table to read.
    fn plain(&self, slot: Self::Slot) -> Option<RunKind>;
    /// Judges the tables of these slots; gives one answer a slot.
    fn entries(
        &self,
        file: &dyn ReadAt,
        first: u64,
        slots: &[Self::Slot],
        sink: &mut DefectSink,
    ) -> Vec<TableEntries>;
    /// As [`ExtentMap::held_grains`].
    fn grains_held(&self, file: &dyn ReadAt) -> Option<u64>;
}

impl<T: Tables> ExtentMap for T {
    fn capacity(&self) -> Bytes {
        Bytes(self.shape().capacity_bytes)
    }

    fn runs(
        &self,
        file: &dyn ReadAt,
        from: ByteOffset,
        length: Bytes,
        max_runs: usize,
    ) -> Result<Checked<Vec<Run>>, FormatError> {
        runs(self, file, from, length, max_runs)
    }

    fn held_grains(&self, file: &dyn ReadAt) -> Option<u64> {
        self.grains_held(file)
    }
}

/// Runs of the asked range, merged, at most so many.
struct RunBuilder {
    asked: Range<u64>,
    max_runs: usize,
    runs: Vec<Run>,
    full: bool,
}

impl RunBuilder {
    fn push(&mut self, range: Range<u64>, kind: RunKind) {
        if self.full {
            return;
        }
        // A compressed grain is one thing: it is never cut.
        let whole = matches!(kind, RunKind::Compressed { .. });
        let start = if whole { range.start } else { range.start.max(self.asked.start) };
        let end = if whole { range.end } else { range.end.min(self.asked.end) };
        if start >= end || range.end <= self.asked.start || range.start >= self.asked.end {
            return;
        }
        let skipped = start.saturating_sub(range.start);
        let kind = match kind {
            RunKind::Stored { at } => {
                RunKind::Stored { at: ByteOffset(at.0.saturating_add(skipped)) }
            }
            RunKind::Compressed { .. } | RunKind::Zero | RunKind::Absent | RunKind::Lost => kind,
        };
        let length = Bytes(end.saturating_sub(start));
        if let Some(last) = self.runs.last_mut() {
            let goes_on = match (last.kind, kind) {
                (RunKind::Stored { at: before }, RunKind::Stored { at }) => {
                    before.0.checked_add(last.length.0) == Some(at.0)
                }
                (RunKind::Zero, RunKind::Zero)
                | (RunKind::Absent, RunKind::Absent)
                | (RunKind::Lost, RunKind::Lost) => true,
                _ => false,
            };
            if goes_on {
                last.length = Bytes(last.length.0.saturating_add(length.0));
                return;
            }
        }
        if self.runs.len() >= self.max_runs {
            self.full = true;
            return;
        }
        self.runs.push(Run { offset: ByteOffset(start), length, kind });
    }
}

/// Answers [`super::ExtentMap::runs`] for a two-level map.
pub(crate) fn runs<T: Tables>(
    tables: &T,
    file: &dyn ReadAt,
    from: ByteOffset,
    length: Bytes,
    max_runs: usize,
) -> Result<Checked<Vec<Run>>, FormatError> {
    let shape = tables.shape();
    if from.0 > shape.capacity_bytes {
        let kind = DefectKind::OutOfRange { value: from.0, min: 0, max: shape.capacity_bytes };
        return Err(Defect::new(tables.structure(), "capacity", from, kind).into());
    }
    let end = from.0.saturating_add(length.0).min(shape.capacity_bytes);
    let mut out =
        RunBuilder { asked: from.0..end, max_runs: max_runs.max(1), runs: Vec::new(), full: false };
    let mut sink = DefectSink::for_range(from.0..end);
    let total = shape.tables();
    let (readable, directory_at) = tables.directory(file);
    let readable = readable.min(total).min(TABLE_LIMIT);
    let mut table = from.0.checked_div(shape.span()).unwrap_or(0);
    while !out.full && table < total && shape.table_range(table).start < end {
        if table >= readable {
            let lost = shape.table_range(table).start..shape.capacity_bytes;
            let kind = DefectKind::PastEnd { to: directory_at, end: ByteOffset(file.len_bytes()) };
            let defect = Defect::new("GrainDirectory", "entries", directory_at, kind);
            sink.add_for(lost.clone(), defect);
            out.push(lost, RunKind::Lost);
            break;
        }
        let first = table.saturating_sub(table.checked_rem(CHUNK).unwrap_or(0));
        let count = CHUNK.min(readable.saturating_sub(first));
        let slots = tables.slots(file, first, usize::try_from(count).unwrap_or(0), &mut sink);
        chunk(tables, file, first, table, &slots, &mut out, &mut sink);
        table = first.saturating_add(count.max(1));
    }
    let reached = out.runs.last().map_or(end, |run| run.offset.0.saturating_add(run.length.0));
    let reached = if out.full { reached } else { end };
    Ok(Checked { value: out.runs, defects: sink.finish_before(tables.structure(), reached) })
}

/// Walks the slots of one directory chunk, from table `table` on.
fn chunk<T: Tables>(
    tables: &T,
    file: &dyn ReadAt,
    first: u64,
    table: u64,
    slots: &[T::Slot],
    out: &mut RunBuilder,
    sink: &mut DefectSink,
) {
    let shape = tables.shape();
    let window = WINDOW_ENTRIES.checked_div(shape.entries_per_table).unwrap_or(1).max(1);
    let width = usize::try_from(window).unwrap_or(1);
    let mut index = first;
    for slots in slots.chunks(width) {
        let past = index.saturating_add(window);
        let here = index;
        index = past;
        if past <= table {
            continue;
        }
        if out.full || shape.table_range(here).start >= out.asked.end {
            break;
        }
        let mut plain: Option<RunKind> = None;
        let same = slots.iter().all(|slot| match (tables.plain(*slot), plain) {
            (Some(kind), None) => {
                plain = Some(kind);
                true
            }
            (Some(kind), Some(before)) => kind == before,
            (None, _) => false,
        });
        if let (true, Some(kind)) = (same, plain) {
            let count = u64::try_from(slots.len()).unwrap_or(0);
            let last = here.saturating_add(count.saturating_sub(1));
            out.push(shape.table_range(here).start..shape.table_range(last).end, kind);
            continue;
        }
        let answers = tables.entries(file, here, slots, sink);
        for (nth, answer) in (here..).zip(answers) {
            match answer {
                TableEntries::Uniform(kind) => out.push(shape.table_range(nth), kind),
                TableEntries::Each(entries) => {
                    each(shape, file.len_bytes(), nth, &entries, out);
                }
            }
        }
    }
}

fn each(shape: Shape, file_end: u64, table: u64, entries: &[GrainEntry], out: &mut RunBuilder) {
    let mut start = shape.table_range(table).start;
    let mut rest = entries;
    while let Some((&entry, past)) = rest.split_first() {
        if out.full || start >= out.asked.end {
            return;
        }
        let more = followers(entry, past, shape.grain_bytes);
        rest = past.get(more..).unwrap_or_default();
        let grains = u64::try_from(more).unwrap_or(u64::MAX).saturating_add(1);
        let next = start.saturating_add(shape.grain_bytes.saturating_mul(grains));
        let end = next.min(shape.capacity_bytes);
        match entry {
            GrainEntry::Absent => out.push(start..end, RunKind::Absent),
            GrainEntry::Zero => out.push(start..end, RunKind::Zero),
            GrainEntry::Lost => out.push(start..end, RunKind::Lost),
            GrainEntry::Packed { at, stored } => {
                let kind = RunKind::Compressed { at: ByteOffset(at), stored: Bytes(stored) };
                out.push(start..end, kind);
            }
            GrainEntry::At(at) => {
                // Of a grain that the file's end cuts, the whole sectors before it are there.
                let there = file_end.saturating_sub(at) & !(SECTOR_BYTES.saturating_sub(1));
                let kept = start.saturating_add(there.min(end.saturating_sub(start)));
                out.push(start..kept, RunKind::Stored { at: ByteOffset(at) });
                out.push(kept..end, RunKind::Lost);
            }
        }
        start = next;
    }
}

/// How many of the next entries `entry` goes on in: the same without a place, or the next place.
fn followers(entry: GrainEntry, next: &[GrainEntry], grain_bytes: u64) -> usize {
    match entry {
        GrainEntry::Packed { .. } => 0,
        GrainEntry::At(at) => {
            let places = std::iter::successors(Some(at), |at| at.checked_add(grain_bytes)).skip(1);
            next.iter().zip(places).take_while(|(one, at)| **one == GrainEntry::At(*at)).count()
        }
        GrainEntry::Absent | GrainEntry::Zero | GrainEntry::Lost => {
            next.iter().take_while(|one| **one == entry).count()
        }
    }
}
