//! Compressed grains of a hosted sparse extent, and what their markers tell where tables are lost.

use super::{
    FoundGrain, RunKind, SparseFlags,
    defects::DefectSink,
    directory::Slot,
    grain::Judged,
    sparse::SparseExtent,
    stream,
    walk::{GrainEntry, TableEntries},
};
use crate::{
    defect::{Defect, DefectKind},
    read::ReadAt,
    units::{ByteOffset, SECTOR_BYTES},
};

const MARKER: &str = "GrainMarker";
/// Tables that are filled from markers where there is no directory: 32 TiB in usual grains.
pub(super) const WALKED_TABLES: u64 = 1 << 20;

impl SparseExtent {
    /// Grains that the markers of the whole file name; none where grains carry no markers.
    #[must_use]
    pub fn grains_by_marker(&self, file: &dyn ReadAt) -> u64 {
        if self.can_walk() { self.markers(file).grains() } else { 0 }
    }

    /// Whether markers with virtual addresses can stand in for lost tables.
    pub(super) fn can_walk(&self) -> bool {
        self.header().is_compressed() && self.header().flags.contains(SparseFlags::MARKERS)
    }

    /// Compressed grains: each entry must lead to a marker of its own address; where tables are
    /// lost the markers of the whole file are asked.
    pub(super) fn packed(
        &self,
        file: &dyn ReadAt,
        first: u64,
        slots: &[Slot],
        judged: Vec<Option<Vec<Judged>>>,
        sink: &mut DefectSink,
    ) -> Vec<TableEntries> {
        let shape = self.shape_of();
        let width = usize::try_from(shape.entries_per_table).unwrap_or(512);
        let mut answers = Vec::with_capacity(slots.len());
        for (index, (slot, table)) in (first..).zip(slots.iter().zip(judged)) {
            let table = match (slot, table) {
                (Slot::Lost, _) => {
                    answers.push(self.lost_table(file, index, width, sink));
                    continue;
                }
                (_, None) => {
                    answers.push(TableEntries::Uniform(RunKind::Absent));
                    continue;
                }
                (_, Some(table)) => table,
            };
            let mut entries = Vec::with_capacity(width);
            // Entries that said nothing that could be believed; others named a broken grain.
            let mut silent = Vec::new();
            for (nth, one) in table.into_iter().enumerate() {
                let range = shape.grain_range(index, nth);
                if range.start >= shape.capacity_bytes {
                    break;
                }
                entries.push(match one {
                    Judged::Absent => GrainEntry::Absent,
                    Judged::Zero => GrainEntry::Zero,
                    Judged::Lost => {
                        silent.push(nth);
                        GrainEntry::Lost
                    }
                    // Nobody asked: the walk leaves it out, so its marker need not be read.
                    Judged::Grain(_) if !sink.concerns(&range) => GrainEntry::Absent,
                    Judged::Grain(sector) => {
                        let lba = range.start / SECTOR_BYTES;
                        match stream::grain_at(file, self.header(), sector, lba) {
                            Ok((at, stored)) => GrainEntry::Packed { at, stored },
                            Err(defect) => {
                                sink.add_for(range, defect);
                                GrainEntry::Lost
                            }
                        }
                    }
                });
            }
            if self.can_walk() && entries.contains(&GrainEntry::Lost) {
                let found = self.marked(file, index, sink);
                self.fill_from_markers(file, index, &found, &mut entries, &silent, sink);
            }
            answers.push(TableEntries::Each(entries));
        }
        answers
    }

    /// A table of which nothing is left but the markers of its grains.
    pub(super) fn lost_table(
        &self,
        file: &dyn ReadAt,
        index: u64,
        width: usize,
        sink: &mut DefectSink,
    ) -> TableEntries {
        if !self.can_walk() {
            return TableEntries::Uniform(RunKind::Lost);
        }
        let found = self.marked(file, index, sink);
        if found.is_empty() {
            let whole = self.markers(file).is_whole();
            return TableEntries::Uniform(if whole { RunKind::Absent } else { RunKind::Lost });
        }
        let mut entries = vec![GrainEntry::Lost; width];
        let silent: Vec<usize> = (0..width).collect();
        self.fill_from_markers(file, index, &found, &mut entries, &silent, sink);
        TableEntries::Each(entries)
    }

    /// The grains whose markers name a place in this table.
    pub(super) fn marked(
        &self,
        file: &dyn ReadAt,
        table: u64,
        sink: &mut DefectSink,
    ) -> Vec<FoundGrain> {
        let range = self.shape_of().table_range(table);
        let markers = self.markers(file);
        if markers.is_tangled() {
            let feature = format!("{} grain markers without any order", markers.grains());
            let kind = DefectKind::Unsupported { feature };
            sink.add_for(range.clone(), Defect::new(MARKER, "lba", ByteOffset(0), kind));
        }
        markers.in_range(file, self.header(), range)
    }

    fn fill_from_markers(
        &self,
        file: &dyn ReadAt,
        table: u64,
        found: &[FoundGrain],
        entries: &mut [GrainEntry],
        silent: &[usize],
        sink: &mut DefectSink,
    ) {
        let shape = self.shape_of();
        let start = shape.table_range(table).start;
        let mut contested = Vec::new();
        for same in found.chunk_by(|one, two| one.lba == two.lba) {
            let Some(grain) = same.first() else { continue };
            let offset = grain.lba.saturating_mul(SECTOR_BYTES).saturating_sub(start);
            let nth = offset.checked_div(shape.grain_bytes).unwrap_or(0);
            let Ok(nth) = usize::try_from(nth) else { continue };
            let Some(entry) = entries.get_mut(nth).filter(|entry| **entry == GrainEntry::Lost)
            else {
                continue;
            };
            match same {
                [_] => *entry = GrainEntry::Packed { at: grain.at, stored: grain.stored },
                _ => {
                    // A writer gives every grain once: which of these came later, nothing tells.
                    contested.push(nth);
                    let to = ByteOffset(grain.lba.saturating_mul(SECTOR_BYTES));
                    let at = ByteOffset(same.last().map_or(0, |last| last.at));
                    let defect = Defect::new(MARKER, "lba", at, DefectKind::Overlap { to });
                    sink.add_for(shape.grain_range(table, nth), defect);
                }
            }
        }
        if self.markers(file).is_whole() {
            // Every byte up to the end of the stream was accounted for: a grain that no marker
            // names and no entry points to was never written.
            for nth in silent {
                if contested.binary_search(nth).is_ok() {
                    continue;
                }
                if let Some(entry @ GrainEntry::Lost) = entries.get_mut(*nth) {
                    *entry = GrainEntry::Absent;
                }
            }
        }
    }
}
