//! Hosted sparse extents (`KDMV`), plain ones and streamOptimized ones.
//!
//! VMware, "Virtual Disk Format 5.0", "Hosted Sparse Extents".

use std::sync::OnceLock;

use super::{
    RunKind, SparseLayout,
    blocks::{Blocks, PIECE, is_zero},
    claims,
    defects::DefectSink,
    directory::{Directory, Slot},
    grain::{self, Copy, Judged, Place, Rule, TABLE},
    header::{self, SparseHeader},
    markers::MarkerIndex,
    packed::WALKED_TABLES,
    stream,
    walk::{GrainEntry, Shape, TableEntries, Tables},
};
use crate::{
    defect::{Checked, Defect, DefectKind, FormatError},
    read::ReadAt,
    units::{ByteOffset, SECTOR_BYTES, Sectors},
};

/// One copy of one table among the blocks read.
#[derive(Clone, Copy)]
struct CopyOf<'a> {
    blocks: &'a Blocks,
    nth: usize,
    at: Option<u64>,
}

impl<'a> CopyOf<'a> {
    /// Sector `piece` of the table, `None` where there is no such copy.
    fn piece(self, piece: usize) -> Option<Copy<'a>> {
        let skip = piece.saturating_mul(PIECE);
        let at = self.at?.saturating_add(u64::try_from(skip).unwrap_or(0));
        let bytes = self.blocks.block(self.nth).get(skip..skip.saturating_add(PIECE));
        let good = self.blocks.good(self.nth).get(piece) == Some(&true);
        Some(Copy { bytes: bytes.filter(|_| good), at: ByteOffset(at) })
    }
}

/// An opened hosted sparse extent.
pub struct SparseExtent {
    header: SparseHeader,
    /// The layout of the capacity, where the header follows it.
    layout: Option<SparseLayout>,
    markers: OnceLock<MarkerIndex>,
}

impl SparseExtent {
    /// Reads the header of an extent file, and the footer where the header points there.
    ///
    /// # Errors
    /// As [`SparseHeader::parse`], and [`FormatError::Medium`].
    pub fn open(file: &dyn ReadAt) -> Result<Checked<Self>, FormatError> {
        let head = file.read_up_to(ByteOffset(0), 512)?;
        let Checked { value: header, mut defects } = SparseHeader::parse(&head, ByteOffset(0))?;
        if header.gd.is_some() {
            let opened = Self::from_header(header);
            opened.check_against(file.len_bytes(), &mut defects);
            return Ok(Checked { value: opened, defects });
        }
        let found = stream::find_footer(file, &header, &mut defects)?;
        Ok(Checked { value: Self::from_header(found.unwrap_or(header)), defects })
    }

    /// An extent read through this header, wherever it came from.
    #[must_use]
    pub fn from_header(header: SparseHeader) -> Self {
        let descriptor = (header.descriptor_offset.0 > 0)
            .then_some((header.descriptor_offset, header.descriptor_size));
        let layout = SparseLayout::from_capacity(header.capacity, header.grain_size, descriptor)
            .filter(|layout| {
                !header.is_compressed()
                    && header.entries_per_table == 512
                    && header.gd == Some(layout.gd)
                    && header.redundant_gd == Some(layout.redundant_gd)
            });
        Self { header, layout, markers: OnceLock::new() }
    }

    /// An extent whose header is lost, read through the layout that its capacity gives. Nothing
    /// proves the layout but the tables that are then found there.
    #[must_use]
    pub fn from_layout(layout: &SparseLayout) -> Self {
        Self::from_header(SparseHeader::from_layout(layout))
    }

    /// The header, or the footer's copy where that one counts.
    #[must_use]
    pub fn header(&self) -> &SparseHeader {
        &self.header
    }

    /// The layout by the capacity, where the header follows it.
    #[must_use]
    pub fn layout(&self) -> Option<&SparseLayout> {
        self.layout.as_ref()
    }

    fn check_against(&self, file_end: u64, defects: &mut Vec<Defect>) {
        let header = &self.header;
        if header.capacity.0 == 0 {
            return;
        }
        let tables = [("gdOffset", 56, header.gd), ("rgdOffset", 48, header.redundant_gd)];
        for (field, offset, gd) in tables {
            let Some(gd) = gd else { continue };
            let at = ByteOffset(header.at.0.saturating_add(offset));
            let end = ByteOffset(file_end);
            let to = ByteOffset(gd.0.saturating_mul(SECTOR_BYTES));
            if gd.0 == 0 {
                let kind = DefectKind::Missing { what: "the grain directory".to_owned() };
                defects.push(Defect::new(header::STRUCTURE, field, at, kind));
            } else if to >= end {
                let kind = DefectKind::PastEnd { to, end };
                defects.push(Defect::new(header::STRUCTURE, field, at, kind));
            }
        }
        if let Some(layout) = self.layout
            && layout.overhead != header.overhead
        {
            let kind = DefectKind::Mismatch {
                expected: format!("{} by the layout, which is used", layout.overhead.0),
                found: header.overhead.0.to_string(),
            };
            let at = ByteOffset(header.at.0.saturating_add(64));
            defects.push(Defect::new(header::STRUCTURE, "overHead", at, kind));
        }
    }

    pub(super) fn shape_of(&self) -> Shape {
        Shape {
            capacity_bytes: self.header.capacity.to_bytes().unwrap_or_default().0,
            grain_bytes: self.header.grain_bytes(),
            entries_per_table: u64::from(self.header.entries_per_table),
        }
    }

    fn rule(&self) -> Rule {
        let header = &self.header;
        let zeroed = header.flags.contains(super::header::SparseFlags::ZEROED_GRAIN);
        if header.is_compressed() {
            return Rule { low: 1, align: 1, zeroed };
        }
        let gd_end = [header.gd, header.redundant_gd]
            .into_iter()
            .flatten()
            .map(|gd| gd.0)
            .filter(|gd| *gd < header.overhead.0)
            .max()
            .map_or(1, |gd| gd.saturating_add(1));
        let low = self.layout.map_or(gd_end, |layout| layout.overhead.0);
        // A writer that does not align its first grain does not align any.
        let aligned =
            header.overhead.0.is_multiple_of(header.grain_size.0) || self.layout.is_some();
        Rule { low, align: if aligned { header.grain_size.0 } else { 1 }, zeroed }
    }

    /// Both copies of the tables of a window, judged.
    fn judge_window(
        &self,
        file: &dyn ReadAt,
        first: u64,
        slots: &[Slot],
        sink: &mut DefectSink,
    ) -> Vec<Option<Vec<Judged>>> {
        let place = |pick: fn(&Slot) -> Option<u64>| slots.iter().map(pick).collect::<Vec<_>>();
        let length =
            usize::try_from(self.header.entries_per_table).unwrap_or(512).saturating_mul(4);
        let primary_at = place(|slot| match slot {
            Slot::Table { primary, .. } => *primary,
            Slot::Absent | Slot::Lost => None,
        });
        let redundant_at = place(|slot| match slot {
            Slot::Table { redundant, .. } => *redundant,
            Slot::Absent | Slot::Lost => None,
        });
        let primary = Blocks::read(file, &primary_at, length, TABLE, sink);
        let redundant = Blocks::read(file, &redundant_at, length, TABLE, sink);
        let whole = |blocks: &Blocks, nth: usize, at: &[Option<u64>]| {
            at.get(nth).copied().flatten().is_none() || blocks.is_whole(nth)
        };
        // A thin disk's tables: everything there, and everything zero.
        let quiet = is_zero(primary.bytes()) && is_zero(redundant.bytes());
        let rule = self.rule();
        let mut answers = Vec::with_capacity(slots.len());
        for (nth, slot) in slots.iter().enumerate() {
            let index = first.saturating_add(u64::try_from(nth).unwrap_or(0));
            let Slot::Table { named, .. } = slot else {
                answers.push(None);
                continue;
            };
            let zero = quiet || (is_zero(primary.block(nth)) && is_zero(redundant.block(nth)));
            if zero && whole(&primary, nth, &primary_at) && whole(&redundant, nth, &redundant_at) {
                answers.push(None);
                continue;
            }
            let one = CopyOf { blocks: &primary, nth, at: primary_at.get(nth).copied().flatten() };
            let two =
                CopyOf { blocks: &redundant, nth, at: redundant_at.get(nth).copied().flatten() };
            if !named {
                let kind =
                    DefectKind::Missing { what: "the entry of a table that is in use".to_owned() };
                let at = self.header.gd.and_then(Sectors::to_offset).unwrap_or_default();
                let at = ByteOffset(at.0.saturating_add(index.saturating_mul(4)));
                let defect = Defect::new("GrainDirectory", "entry", at, kind);
                sink.add_for(self.shape_of().table_range(index), defect);
            }
            answers.push(Some(self.judge_table(rule, index, one, two, sink, file.len_bytes())));
        }
        answers
    }

    fn judge_table(
        &self,
        rule: Rule,
        table: u64,
        primary: CopyOf<'_>,
        redundant: CopyOf<'_>,
        sink: &mut DefectSink,
        file_end: u64,
    ) -> Vec<Judged> {
        let shape = self.shape_of();
        let entries = usize::try_from(self.header.entries_per_table).unwrap_or(512);
        let mut judged = Vec::with_capacity(entries);
        for piece in 0..entries.saturating_mul(4).div_ceil(PIECE) {
            let first_entry = piece.saturating_mul(PIECE / 4);
            let (one, two) = (primary.piece(piece), redundant.piece(piece));
            let lies = one.or(two).map_or(0, |copy| copy.at.0);
            let came = [one, two].iter().flatten().any(|copy| copy.bytes.is_some());
            if !came && lies >= file_end {
                let kind = DefectKind::PastEnd { to: ByteOffset(lies), end: ByteOffset(file_end) };
                let range =
                    shape.grain_range(table, first_entry).start..shape.table_range(table).end;
                sink.add_for(range, Defect::new(TABLE, "entries", ByteOffset(lies), kind));
            }
            let place = Place { shape, table, first_entry };
            let nothing = Copy { bytes: None, at: ByteOffset(lies) };
            grain::judge_sector(rule, place, one.unwrap_or(nothing), two, &mut judged, sink);
        }
        judged
    }

    /// Removes grains that two entries claim, and tells those that pass the file's end.
    fn settle(
        &self,
        file_end: u64,
        first: u64,
        slots: &[Slot],
        judged: &mut [Option<Vec<Judged>>],
        sink: &mut DefectSink,
    ) {
        let shape = self.shape_of();
        let width = usize::try_from(shape.entries_per_table).unwrap_or(512);
        let entry_at = |owner: usize| {
            let (nth, entry) =
                (owner.checked_div(width).unwrap_or(0), owner.checked_rem(width).unwrap_or(0));
            let table = match slots.get(nth) {
                Some(Slot::Table { primary, redundant, .. }) => primary.or(*redundant).unwrap_or(0),
                _ => 0,
            };
            let offset = u64::try_from(entry).unwrap_or(0).saturating_mul(4);
            (nth, entry, ByteOffset(table.saturating_add(offset)))
        };
        let range_of = |nth: usize, entry: usize| {
            shape.grain_range(first.saturating_add(u64::try_from(nth).unwrap_or(0)), entry)
        };
        let mut claimed = Vec::new();
        for (nth, table) in judged.iter().enumerate() {
            let Some(table) = table else { continue };
            for (entry, one) in table.iter().enumerate() {
                let Judged::Grain(sector) = one else { continue };
                let start = range_of(nth, entry).start;
                if start >= shape.capacity_bytes {
                    // Entries past the capacity are junk by the document.
                    break;
                }
                let owner = nth.saturating_mul(width).saturating_add(entry);
                claimed.push((*sector, owner));
                let need = if self.header.is_compressed() { 1 } else { shape.grain_need(start) };
                let end = sector.saturating_mul(SECTOR_BYTES).saturating_add(need);
                if end > file_end {
                    let (_, _, at) = entry_at(owner);
                    sink.add_for(range_of(nth, entry), grain::past_end(at, *sector, file_end));
                }
            }
        }
        let sectors = if self.header.is_compressed() { 1 } else { self.header.grain_size.0 };
        for (sector, owner) in claims::contested(&claimed, sectors) {
            let (nth, entry, at) = entry_at(owner);
            let to = ByteOffset(sector.saturating_mul(SECTOR_BYTES));
            let defect = Defect::new(TABLE, "entry", at, DefectKind::Overlap { to });
            sink.add_for(range_of(nth, entry), defect);
            if let Some(Some(table)) = judged.get_mut(nth)
                && let Some(one) = table.get_mut(entry)
            {
                *one = Judged::Lost;
            }
        }
    }

    pub(super) fn markers(&self, file: &dyn ReadAt) -> &MarkerIndex {
        self.markers.get_or_init(|| MarkerIndex::build(file, &self.header))
    }
}

impl Tables for SparseExtent {
    type Slot = Slot;

    fn structure(&self) -> &'static str {
        header::STRUCTURE
    }

    fn shape(&self) -> Shape {
        self.shape_of()
    }

    fn directory(&self, file: &dyn ReadAt) -> (u64, ByteOffset) {
        let end = file.len_bytes();
        let inside = |gd: Option<Sectors>| {
            let at = gd.filter(|gd| gd.0 > 0)?.to_offset()?;
            Some((end.saturating_sub(at.0) / 4, at))
        };
        // Of two copies the one that reaches further counts.
        let most = [inside(self.header.gd), inside(self.header.redundant_gd)]
            .into_iter()
            .flatten()
            .max_by_key(|(entries, _)| *entries);
        let (entries, at) = most.unwrap_or_default();
        if entries == 0 && self.can_walk() {
            // No directory at all: the markers tell how far the disk was written.
            let last = self.markers(file).last_lba().map_or(0, |lba| lba.saturating_add(1));
            let bytes = last.saturating_mul(SECTOR_BYTES);
            return (bytes.div_ceil(self.shape_of().span()).min(WALKED_TABLES), at);
        }
        (entries, at)
    }

    fn slots(
        &self,
        file: &dyn ReadAt,
        first: u64,
        count: usize,
        sink: &mut DefectSink,
    ) -> Vec<Slot> {
        let directory =
            Directory { header: &self.header, layout: self.layout, shape: self.shape_of() };
        directory.slots(file, first, count, sink)
    }

    fn plain(&self, slot: Slot) -> Option<RunKind> {
        match slot {
            Slot::Absent => Some(RunKind::Absent),
            Slot::Lost if self.can_walk() => None,
            Slot::Lost => Some(RunKind::Lost),
            Slot::Table { .. } => None,
        }
    }

    fn entries(
        &self,
        file: &dyn ReadAt,
        first: u64,
        slots: &[Slot],
        sink: &mut DefectSink,
    ) -> Vec<TableEntries> {
        let mut judged = self.judge_window(file, first, slots, sink);
        self.settle(file.len_bytes(), first, slots, &mut judged, sink);
        if self.header.is_compressed() {
            return self.packed(file, first, slots, judged, sink);
        }
        slots
            .iter()
            .zip(judged)
            .map(|(slot, table)| match (slot, table) {
                (Slot::Lost, _) => TableEntries::Uniform(RunKind::Lost),
                (_, None) => TableEntries::Uniform(RunKind::Absent),
                (_, Some(table)) => TableEntries::Each(
                    table
                        .into_iter()
                        .map(|one| match one {
                            Judged::Absent => GrainEntry::Absent,
                            Judged::Zero => GrainEntry::Zero,
                            Judged::Lost => GrainEntry::Lost,
                            Judged::Grain(sector) => {
                                GrainEntry::At(sector.saturating_mul(SECTOR_BYTES))
                            }
                        })
                        .collect(),
                ),
            })
            .collect()
    }

    fn grains_held(&self, file: &dyn ReadAt) -> Option<u64> {
        let header = &self.header;
        if header.is_compressed() {
            return self.can_walk().then(|| self.markers(file).grains());
        }
        let overhead = self.layout.map_or(header.overhead, |layout| layout.overhead);
        if header.inferred {
            return None;
        }
        let before = |gd: Option<Sectors>| gd.is_none_or(|gd| gd < overhead);
        if overhead.0 == 0 || !before(header.gd) || !before(header.redundant_gd) {
            // Tables among the grains: nothing tells one from the other. What is more than all
            // tables there can be is grains.
            let shape = self.shape_of();
            let table = shape.entries_per_table.saturating_mul(4).saturating_add(SECTOR_BYTES);
            let copy = shape.tables().saturating_add(1).saturating_mul(table);
            let meta = overhead
                .to_bytes()?
                .0
                .saturating_add(header.descriptor_size.to_bytes()?.0)
                .saturating_add(copy.saturating_mul(2));
            let room = file.len_bytes().saturating_sub(meta.saturating_add(SECTOR_BYTES));
            return room.checked_div(header.grain_bytes());
        }
        let room = file.len_bytes().checked_sub(overhead.to_bytes()?.0)?;
        room.checked_div(header.grain_bytes())
    }
}
