//! The two grain directories of a hosted sparse extent: where each grain table lies.
//!
//! Where the header follows the layout that the capacity gives, the place of every table is known
//! without reading the directories; they are then only compared with it.

use super::{
    SparseLayout,
    blocks::{Blocks, PIECE, u32s},
    claims,
    defects::DefectSink,
    header::SparseHeader,
    walk::Shape,
};
use crate::{
    defect::{Defect, DefectKind},
    read::ReadAt,
    units::{ByteOffset, SECTOR_BYTES},
};

const DIRECTORY: &str = "GrainDirectory";

/// Where the copies of one grain table lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// No table: nothing is allocated.
    Absent,
    /// A table was there, its place is lost.
    Lost,
    /// Byte offsets of its copies; at least one.
    Table {
        primary: Option<u64>,
        redundant: Option<u64>,
        /// Whether a directory named it, not the layout alone.
        named: bool,
    },
}

/// What is needed to judge directory entries.
pub(crate) struct Directory<'a> {
    pub(crate) header: &'a SparseHeader,
    pub(crate) layout: Option<SparseLayout>,
    pub(crate) shape: Shape,
}

/// One copy of a piece of directory: entries, `None` where they did not come.
fn read_copy(
    file: &dyn ReadAt,
    sector: u64,
    first: u64,
    count: usize,
    sink: &mut DefectSink,
) -> Vec<Option<u32>> {
    let place =
        sector.checked_mul(SECTOR_BYTES).and_then(|at| at.checked_add(first.checked_mul(4)?));
    let length = count.saturating_mul(4);
    let blocks = Blocks::read(file, &[place], length, DIRECTORY, sink);
    let good = blocks.good(0).iter().flat_map(|good| std::iter::repeat_n(*good, PIECE / 4));
    u32s(blocks.bytes()).zip(good).map(|(entry, good)| good.then_some(entry)).collect()
}

impl Directory<'_> {
    fn entry_at(&self, sector: u64, index: u64) -> ByteOffset {
        ByteOffset(sector.saturating_mul(SECTOR_BYTES).saturating_add(index.saturating_mul(4)))
    }

    /// A table's byte offset, where this entry can be one.
    fn believable(&self, entry: u32, file_end: u64) -> Option<u64> {
        let sector = u64::from(entry);
        let at = sector.checked_mul(SECTOR_BYTES)?;
        let length = self.header.table_sectors().saturating_mul(SECTOR_BYTES);
        let inside = at.checked_add(length)? <= file_end;
        let gd_bytes = self.shape.tables().saturating_mul(4);
        let in_directory =
            [self.header.gd, self.header.redundant_gd].into_iter().flatten().any(|gd| {
                let start = gd.0.saturating_mul(SECTOR_BYTES);
                let end = start.saturating_add(gd_bytes);
                at < end && start < at.saturating_add(length)
            });
        let descriptor = self.header.descriptor_offset.0;
        let in_descriptor = descriptor > 0
            && sector >= descriptor
            && sector < descriptor.saturating_add(self.header.descriptor_size.0);
        (sector > 0 && inside && !in_directory && !in_descriptor).then_some(at)
    }

    /// Judges `count` entries from `first` on.
    pub(crate) fn slots(
        &self,
        file: &dyn ReadAt,
        first: u64,
        count: usize,
        sink: &mut DefectSink,
    ) -> Vec<Slot> {
        let nothing = || vec![None; count];
        let primary = match self.header.gd {
            Some(gd) => read_copy(file, gd.0, first, count, sink),
            None => nothing(),
        };
        let redundant = match self.header.redundant_gd {
            Some(gd) => read_copy(file, gd.0, first, count, sink),
            None => nothing(),
        };
        if let Some(layout) = self.layout
            && self.follows(&layout, first, &primary, &redundant)
        {
            return self.by_layout(&layout, first, &primary, &redundant, sink);
        }
        self.by_entries(file.len_bytes(), first, &primary, &redundant, sink)
    }

    /// Whether the directories follow the layout: some entry does, or none says anything that
    /// can be believed.
    fn follows(
        &self,
        layout: &SparseLayout,
        first: u64,
        primary: &[Option<u32>],
        redundant: &[Option<u32>],
    ) -> bool {
        let mut other = 0u64;
        for (nth, (one, two)) in (first..).zip(primary.iter().zip(redundant)) {
            let hit = |entry: &Option<u32>, expected: Option<u64>| {
                entry.is_some_and(|entry| entry != 0 && Some(u64::from(entry)) == expected)
            };
            if hit(one, layout.table(nth)) || hit(two, layout.redundant_table(nth)) {
                return true;
            }
            if one.is_some_and(|entry| entry != 0) && *one == *two {
                // Both copies agree on a table elsewhere: another writer's layout.
                other = other.saturating_add(1);
            }
        }
        other == 0
    }

    fn by_layout(
        &self,
        layout: &SparseLayout,
        first: u64,
        primary: &[Option<u32>],
        redundant: &[Option<u32>],
        sink: &mut DefectSink,
    ) -> Vec<Slot> {
        let copies = [(layout.gd.0, primary, false), (layout.redundant_gd.0, redundant, true)];
        for (gd, entries, second) in copies {
            for (nth, entry) in (first..).zip(entries) {
                let expected = if second { layout.redundant_table(nth) } else { layout.table(nth) };
                if let (Some(entry), Some(expected)) = (*entry, expected)
                    && entry != 0
                    && u64::from(entry) != expected
                {
                    let kind = DefectKind::Mismatch {
                        expected: format!("{expected} by the layout, which is used"),
                        found: entry.to_string(),
                    };
                    let defect = Defect::new(DIRECTORY, "entry", self.entry_at(gd, nth), kind);
                    sink.add_for(self.shape.table_range(nth), defect);
                }
            }
        }
        (first..)
            .zip(primary.iter().zip(redundant))
            .map(|(nth, (one, two))| Slot::Table {
                primary: layout.table(nth).and_then(|sector| sector.checked_mul(SECTOR_BYTES)),
                redundant: layout
                    .redundant_table(nth)
                    .and_then(|sector| sector.checked_mul(SECTOR_BYTES)),
                named: [one, two].iter().any(|entry| entry.is_none_or(|entry| entry != 0)),
            })
            .collect()
    }

    /// One copy's entries judged alone: `Ok(None)` names no table, `Err` is lost.
    fn copy_places(
        &self,
        file_end: u64,
        gd: Option<u64>,
        first: u64,
        entries: &[Option<u32>],
        sink: &mut DefectSink,
    ) -> Vec<Result<Option<u64>, ()>> {
        let Some(gd) = gd else {
            return vec![Err(()); entries.len()];
        };
        let mut places: Vec<_> = (first..)
            .zip(entries)
            .map(|(nth, entry)| match entry {
                None => Err(()),
                Some(0) => Ok(None),
                Some(entry) => self.believable(*entry, file_end).map(Some).ok_or_else(|| {
                    let to = ByteOffset(u64::from(*entry).saturating_mul(SECTOR_BYTES));
                    let end = ByteOffset(file_end);
                    let kind = if to >= end {
                        DefectKind::PastEnd { to, end }
                    } else {
                        DefectKind::Overlap { to }
                    };
                    let defect = Defect::new(DIRECTORY, "entry", self.entry_at(gd, nth), kind);
                    sink.add_for(self.shape.table_range(nth), defect);
                }),
            })
            .collect();
        let claims: Vec<_> = places
            .iter()
            .enumerate()
            .filter_map(|(nth, place)| place.ok().flatten().map(|at| (at, nth)))
            .collect();
        for (at, nth) in claims::contested(&claims, self.shape.entries_per_table.saturating_mul(4))
        {
            let index = first.saturating_add(u64::try_from(nth).unwrap_or(0));
            let kind = DefectKind::Overlap { to: ByteOffset(at) };
            let defect = Defect::new(DIRECTORY, "entry", self.entry_at(gd, index), kind);
            sink.add_for(self.shape.table_range(index), defect);
            if let Some(place) = places.get_mut(nth) {
                *place = Err(());
            }
        }
        places
    }

    fn by_entries(
        &self,
        file_end: u64,
        first: u64,
        primary: &[Option<u32>],
        redundant: &[Option<u32>],
        sink: &mut DefectSink,
    ) -> Vec<Slot> {
        let gd = self.header.gd.map(|gd| gd.0);
        let rgd = self.header.redundant_gd.map(|gd| gd.0);
        let one = self.copy_places(file_end, gd, first, primary, sink);
        let two = self.copy_places(file_end, rgd, first, redundant, sink);
        let mut slots = Vec::with_capacity(one.len());
        for (nth, (one, two)) in (first..).zip(one.into_iter().zip(two)) {
            slots.push(match (one, two) {
                (Ok(None), Ok(None)) => Slot::Absent,
                (Ok(None), Err(())) if rgd.is_none() => Slot::Absent,
                // One copy says nothing and the other cannot be read: a table may be lost.
                (Ok(None) | Err(()), Err(())) | (Err(()), Ok(None)) => {
                    let at = gd.or(rgd).map_or(ByteOffset(0), |gd| self.entry_at(gd, nth));
                    let what = "the place of a grain table".to_owned();
                    let defect = Defect::new(DIRECTORY, "entry", at, DefectKind::Missing { what });
                    sink.add_for(self.shape.table_range(nth), defect);
                    Slot::Lost
                }
                (one, two) => {
                    let (primary, redundant) = (one.ok().flatten(), two.ok().flatten());
                    if let (Some(gd), Some(_), None, true) = (gd, redundant, primary, one.is_ok()) {
                        let kind = DefectKind::Mismatch {
                            expected: "a table, as the other copy says".to_owned(),
                            found: "0".to_owned(),
                        };
                        let defect = Defect::new(DIRECTORY, "entry", self.entry_at(gd, nth), kind);
                        sink.add_for(self.shape.table_range(nth), defect);
                    }
                    Slot::Table { primary, redundant, named: true }
                }
            });
        }
        slots
    }
}
