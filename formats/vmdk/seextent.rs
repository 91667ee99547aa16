//! An opened seSparse extent: directory, tables, backmap and bitmap.

use super::{
    RunKind,
    blocks::{Blocks, PIECE, is_zero, u64s},
    claims,
    cowd::finish,
    defects::DefectSink,
    grain::is_torn,
    journal::Journal,
    layout::SeSparseLayout,
    sesparse::{CONST_HEADER, ConstHeader, SeEntry, VOLATILE_HEADER, VolatileHeader},
    single::{self, Entry, Table, torn_groups},
    walk::{Shape, TableEntries, Tables},
    witnesses,
};
use crate::{
    defect::{Checked, Defect, DefectKind, FormatError},
    read::ReadAt,
    units::{ByteOffset, Bytes, SECTOR_BYTES},
};

const DIRECTORY: &str = "GrainDirectory";

/// An opened seSparse extent.
pub struct SeSparseExtent {
    header: ConstHeader,
    volatile: Option<VolatileHeader>,
    journal: Journal,
}

/// Where one grain table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Absent,
    Lost,
    Table(u64),
}

impl SeSparseExtent {
    /// Reads the headers and the journal of an extent.
    ///
    /// # Errors
    /// As [`ConstHeader::parse`], and [`FormatError::Medium`].
    pub fn open(file: &dyn ReadAt) -> Result<Checked<Self>, FormatError> {
        let bytes = file.read_up_to(ByteOffset(0), 512)?;
        let Checked { value: header, defects } = ConstHeader::parse(&bytes)?;
        let mut opened = Self::with_header(file, header);
        opened.defects.splice(0..0, defects);
        Ok(opened)
    }

    /// An extent whose const header is lost, read through the layout that its capacity gives.
    #[must_use]
    pub fn from_layout(file: &dyn ReadAt, layout: &SeSparseLayout) -> Checked<Self> {
        Self::with_header(file, ConstHeader::from_layout(layout))
    }

    fn with_header(file: &dyn ReadAt, header: ConstHeader) -> Checked<Self> {
        let mut sink = DefectSink::default();
        let end = ByteOffset(file.len_bytes());
        for (field, offset, area) in
            [("grainDirOffset", 128, header.gd), ("grainTablesOffset", 144, header.tables)]
        {
            let to = ByteOffset(area.offset.0.saturating_mul(SECTOR_BYTES));
            if to >= end && header.capacity.0 > 0 {
                let kind = DefectKind::PastEnd { to, end };
                sink.add(Defect::new(CONST_HEADER, field, ByteOffset(offset), kind));
            }
        }
        if header.grain_size.0 == 8
            && header.table_size.0 == 64
            && let Some(layout) = SeSparseLayout::from_capacity(header.capacity)
        {
            for (field, offset, area, computed) in [
                ("grainDirOffset", 128, header.gd, layout.gd),
                ("grainTablesOffset", 144, header.tables, layout.tables),
                ("freeBitmapOffset", 160, header.bitmap, layout.bitmap),
                ("backMapOffset", 176, header.backmap, layout.backmap),
                ("grainOffset", 192, header.grains, layout.grains),
            ] {
                if area.offset != computed.offset {
                    let kind = DefectKind::Mismatch {
                        expected: format!("{} by the layout", computed.offset.0),
                        found: area.offset.0.to_string(),
                    };
                    sink.add(Defect::new(CONST_HEADER, field, ByteOffset(offset), kind));
                }
            }
        }
        let at = header.volatile_header.offset.to_offset().unwrap_or_default();
        let volatile = match file.read_up_to(at, 512) {
            Ok(bytes) => match VolatileHeader::parse(&bytes, at) {
                Ok(parsed) => {
                    parsed.defects.into_iter().for_each(|defect| sink.add(defect));
                    Some(parsed.value)
                }
                Err(defect) => {
                    sink.add(defect);
                    None
                }
            },
            Err(error) => {
                let kind = DefectKind::Unreadable { length: Bytes(512), why: error.to_string() };
                sink.add(Defect::new(VOLATILE_HEADER, "header", at, kind));
                None
            }
        };
        let journal = Journal::read(file, &header, &mut sink);
        let opened = Self { header, volatile, journal };
        opened.check_sequence(&mut sink);
        Checked { value: opened, defects: sink.finish(CONST_HEADER) }
    }

    /// The newest record comes right before the next transaction, and a dirty extent says so.
    fn check_sequence(&self, sink: &mut DefectSink) {
        let Some(volatile) = &self.volatile else { return };
        let at = self.header.volatile_header.offset.to_offset().unwrap_or_default();
        let place = |offset: u64| ByteOffset(at.0.saturating_add(offset));
        if volatile.replay_journal {
            let images = self.journal.image_count();
            let kind = DefectKind::Mismatch {
                expected: "0".to_owned(),
                found: format!(
                    "1: the extent was open; {images} sectors of its journal are read in place \
                     of those on disk"
                ),
            };
            sink.add(Defect::new(VOLATILE_HEADER, "replayJournal", place(24), kind));
        }
        if let Some(last) = self.journal.records.last()
            && last.sequence.checked_add(1) != Some(volatile.next_sequence)
        {
            let expected = last.sequence.saturating_add(1).to_string();
            let found = volatile.next_sequence.to_string();
            let kind = DefectKind::Mismatch { expected, found };
            sink.add(Defect::new(VOLATILE_HEADER, "nextTxnSeqNumber", place(16), kind));
        }
    }

    /// The const header.
    #[must_use]
    pub fn header(&self) -> &ConstHeader {
        &self.header
    }

    /// The volatile header, where it is whole.
    #[must_use]
    pub fn volatile_header(&self) -> Option<&VolatileHeader> {
        self.volatile.as_ref()
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    fn is_dirty(&self) -> bool {
        self.volatile.is_some_and(|volatile| volatile.replay_journal)
    }

    /// Lays the journal's images over a block: all of them where the journal was to be replayed,
    /// else only those whose sector on disk did not come.
    fn lay_over(&self, blocks: &mut Blocks, nth: usize, at: u64) {
        let length = u64::try_from(blocks.block(nth).len()).unwrap_or(0);
        let first = at / SECTOR_BYTES;
        let last = at.saturating_add(length).div_ceil(SECTOR_BYTES);
        let dirty = self.is_dirty();
        let images: Vec<_> = self.journal.images_in(first..last).collect();
        for (sector, image) in images {
            let offset = sector.saturating_mul(SECTOR_BYTES).saturating_sub(at);
            let Ok(offset) = usize::try_from(offset) else { continue };
            let piece = offset / PIECE;
            if !dirty && blocks.good(nth).get(piece) == Some(&true) {
                continue;
            }
            let block = blocks.block_mut(nth);
            let stop = offset.saturating_add(PIECE).min(block.len());
            let Some(place) = block.get_mut(offset..stop) else { continue };
            let Some(image) = image.get(..place.len()) else { continue };
            place.copy_from_slice(image);
            blocks.set_good(nth, piece);
        }
    }

    fn entry_at(&self, index: u64) -> ByteOffset {
        let gd = self.header.gd.offset.0.saturating_mul(SECTOR_BYTES);
        ByteOffset(gd.saturating_add(index.saturating_mul(8)))
    }

    /// Physical grains there can be.
    pub(super) fn grain_count(&self) -> u64 {
        let grain = self.header.grain_size.0.max(1);
        self.header.grains.size.0.max(self.header.capacity.0).div_ceil(grain)
    }

    fn judge_entry(&self, value: u64) -> Entry {
        let grains = self.grain_count();
        let at = |index: u64| {
            let start = self.header.grains.offset.0.saturating_mul(SECTOR_BYTES);
            start.saturating_add(index.saturating_mul(self.header.grain_bytes()))
        };
        match SeEntry::decode(value) {
            SeEntry::Absent => Entry::Absent,
            SeEntry::Zero => Entry::Zero,
            SeEntry::Unmapped(index) if index < grains => Entry::Zero,
            SeEntry::Grain(index) if index < grains => Entry::At(at(index)),
            SeEntry::Unmapped(_) | SeEntry::Grain(_) | SeEntry::Unknown(_) => Entry::Broken(value),
        }
    }

    /// Whether a sector of a table that came from disk was overwritten.
    fn is_torn_sector(&self, shape: Shape, sector: &[u8], file_end: u64) -> bool {
        let entries: Vec<_> = u64s(sector).map(|value| self.judge_entry(value)).collect();
        let table = Table { shape, index: 0, at: 0, entry_bytes: 8, good: &[], file_end };
        let (used, broken) = table.count(&entries);
        is_torn(used, broken)
    }

    /// A torn sector of a table gets the journal's image of it, where there is one.
    fn mend(
        &self,
        file: &dyn ReadAt,
        blocks: &mut Blocks,
        nth: usize,
        at: u64,
        range: std::ops::Range<u64>,
        sink: &mut DefectSink,
    ) {
        let shape = self.shape();
        let first = at / SECTOR_BYTES;
        let length = u64::try_from(blocks.block(nth).len()).unwrap_or(0);
        let images: Vec<_> = self
            .journal
            .images_in(first..first.saturating_add(length / SECTOR_BYTES))
            .map(|(sector, image)| (sector, image.to_vec()))
            .collect();
        for (sector, image) in images {
            let place = sector.saturating_mul(SECTOR_BYTES);
            let Ok(offset) = usize::try_from(place.saturating_sub(at)) else { continue };
            let stop = offset.saturating_add(PIECE);
            let Some(bytes) = blocks.block_mut(nth).get_mut(offset..stop) else { continue };
            if self.is_torn_sector(shape, bytes, file.len_bytes())
                && !self.is_torn_sector(shape, &image, file.len_bytes())
                && let Some(image) = image.get(..bytes.len())
            {
                bytes.copy_from_slice(image);
                let kind = DefectKind::Mismatch {
                    expected: "entries a writer writes; the journal's image is used".to_owned(),
                    found: "other bytes".to_owned(),
                };
                let defect = Defect::new("GrainTable", "entries", ByteOffset(place), kind);
                sink.add_for(range.clone(), defect);
            }
        }
    }
}

impl Tables for SeSparseExtent {
    type Slot = Slot;

    fn structure(&self) -> &'static str {
        CONST_HEADER
    }

    fn shape(&self) -> Shape {
        Shape {
            capacity_bytes: self.header.capacity.to_bytes().unwrap_or_default().0,
            grain_bytes: self.header.grain_bytes(),
            entries_per_table: self.header.entries_per_table(),
        }
    }

    fn directory(&self, file: &dyn ReadAt) -> (u64, ByteOffset) {
        let at = self.entry_at(0);
        let area = self.header.gd.size.0.saturating_mul(SECTOR_BYTES);
        (file.len_bytes().saturating_sub(at.0).min(area) / 8, at)
    }

    fn slots(
        &self,
        file: &dyn ReadAt,
        first: u64,
        count: usize,
        sink: &mut DefectSink,
    ) -> Vec<Slot> {
        let shape = self.shape();
        let place = self.entry_at(first).0;
        let length = count.saturating_mul(8);
        let mut blocks = Blocks::read(file, &[Some(place)], length, DIRECTORY, sink);
        self.lay_over(&mut blocks, 0, place);
        let table_bytes = self.header.table_size.0.saturating_mul(SECTOR_BYTES).max(1);
        let area = self.header.tables.size.0.saturating_mul(SECTOR_BYTES);
        let tables = area.checked_div(table_bytes).unwrap_or(0);
        let start = self.header.tables.offset.0.saturating_mul(SECTOR_BYTES);
        let good = blocks.good(0).iter().flat_map(|good| std::iter::repeat_n(*good, PIECE / 8));
        let mut slots = Vec::with_capacity(count);
        let mut broken = Vec::new();
        for (index, (entry, good)) in (first..).zip(u64s(blocks.bytes()).zip(good)) {
            let number = entry & 0xffff_ffff;
            let at = start.saturating_add(number.saturating_mul(table_bytes));
            if !good {
                slots.push(Slot::Lost);
                continue;
            }
            if entry == 0 {
                slots.push(Slot::Absent);
                continue;
            }
            let known = entry >> 32 == 0x1000_0000;
            let kind = if !known {
                broken.push(index);
                Some(DefectKind::Unknown { value: entry })
            } else if number >= tables {
                broken.push(index);
                let max = tables.saturating_sub(1);
                Some(DefectKind::OutOfRange { value: number, min: 0, max })
            } else if at >= file.len_bytes() {
                let end = ByteOffset(file.len_bytes());
                Some(DefectKind::PastEnd { to: ByteOffset(at), end })
            } else {
                None
            };
            match kind {
                None => slots.push(Slot::Table(at)),
                Some(kind) => {
                    let defect = Defect::new(DIRECTORY, "entry", self.entry_at(index), kind);
                    sink.add_for(shape.table_range(index), defect);
                    slots.push(Slot::Lost);
                }
            }
        }
        let used = |slot: &Slot| *slot != Slot::Absent;
        for torn in torn_groups(first, &slots, PIECE / 8, &broken, used) {
            let range = shape.table_range(torn.start).start..shape.table_range(torn.end).start;
            let kind = DefectKind::Mismatch {
                expected: "entries a writer writes".to_owned(),
                found: "a sector of which more than a quarter cannot be".to_owned(),
            };
            sink.add_for(range, Defect::new(DIRECTORY, "entries", self.entry_at(torn.start), kind));
            for index in torn {
                let nth = usize::try_from(index.saturating_sub(first)).unwrap_or(usize::MAX);
                if let Some(slot) = slots.get_mut(nth) {
                    *slot = Slot::Lost;
                }
            }
        }
        let claimed: Vec<_> = slots
            .iter()
            .enumerate()
            .filter_map(|(nth, slot)| match slot {
                Slot::Table(at) => Some((*at, nth)),
                Slot::Absent | Slot::Lost => None,
            })
            .collect();
        for (at, nth) in claims::contested(&claimed, shape.entries_per_table.saturating_mul(8)) {
            let index = first.saturating_add(u64::try_from(nth).unwrap_or(0));
            let kind = DefectKind::Overlap { to: ByteOffset(at) };
            let defect = Defect::new(DIRECTORY, "entry", self.entry_at(index), kind);
            sink.add_for(shape.table_range(index), defect);
            if let Some(slot) = slots.get_mut(nth) {
                *slot = Slot::Lost;
            }
        }
        slots
    }

    fn plain(&self, slot: Slot) -> Option<RunKind> {
        match slot {
            Slot::Absent => Some(RunKind::Absent),
            Slot::Lost => Some(RunKind::Lost),
            Slot::Table(_) => None,
        }
    }

    fn entries(
        &self,
        file: &dyn ReadAt,
        first: u64,
        slots: &[Slot],
        sink: &mut DefectSink,
    ) -> Vec<TableEntries> {
        let shape = self.shape();
        let places: Vec<_> = slots
            .iter()
            .map(|slot| match slot {
                Slot::Table(at) => Some(*at),
                Slot::Absent | Slot::Lost => None,
            })
            .collect();
        let length = usize::try_from(self.header.table_size.0.saturating_mul(SECTOR_BYTES));
        let length = length.unwrap_or(32_768);
        let mut blocks = Blocks::read(file, &places, length, "GrainTable", sink);
        let mut tables = Vec::with_capacity(slots.len());
        for (nth, (index, place)) in (first..).zip(&places).enumerate() {
            let Some(at) = *place else {
                tables.push((index, 0, None));
                continue;
            };
            self.lay_over(&mut blocks, nth, at);
            self.mend(file, &mut blocks, nth, at, shape.table_range(index), sink);
            if blocks.is_whole(nth) && is_zero(blocks.block(nth)) {
                tables.push((index, at, None));
                continue;
            }
            let entries: Vec<_> =
                u64s(blocks.block(nth)).map(|value| self.judge_entry(value)).collect();
            let table = Table {
                shape,
                index,
                at,
                entry_bytes: 8,
                good: blocks.good(nth),
                file_end: file.len_bytes(),
            };
            tables.push((index, at, Some(table.judge(&entries, sink))));
        }
        single::settle(shape, 8, &mut tables, sink);
        finish(slots.iter().map(|slot| *slot == Slot::Lost), tables)
    }

    fn grains_held(&self, file: &dyn ReadAt) -> Option<u64> {
        witnesses::held_grains(self, file)
    }
}
