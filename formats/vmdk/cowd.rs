//! ESXi redo logs (`COWD`, createType vmfsSparse).
//!
//! VMware, "Virtual Disk Format 5.0", "ESX Server Sparse Extents". There is one copy of
//! everything: no redundancy, no value for zeros, no markers.

use std::io::Cursor;

use binrw::{BinRead, BinReaderExt};

use super::{
    CowdLayout, RunKind,
    blocks::{Blocks, PIECE, is_zero, u32s},
    claims,
    defects::DefectSink,
    single::{self, Entry, Table, torn_groups},
    walk::{GrainEntry, Shape, TableEntries, Tables},
};
use crate::{
    defect::{Checked, Defect, DefectKind, FormatError},
    field::{FieldNote, Fields},
    read::ReadAt,
    units::{ByteOffset, Bytes, SECTOR_BYTES, Sectors},
};

const STRUCTURE: &str = "COWDisk_Header";
const DIRECTORY: &str = "GrainDirectory";
const MAGIC: u32 = 0x4457_4f43;
/// Bytes of the header.
pub const COWD_HEADER_BYTES: usize = 2048;
const ENTRIES: u64 = 4096;
const TABLE_BYTES: usize = 16_384;

/// The header as it lies on disk: every field, nothing checked.
#[derive(BinRead, Clone, Debug, PartialEq, Eq)]
#[br(little)]
pub struct RawCowdHeader {
    pub(crate) magic: u32,
    pub(crate) version: u32,
    pub(crate) flags: u32,
    pub(crate) num_sectors: u32,
    pub(crate) grain_size: u32,
    pub(crate) gd_offset: u32,
    pub(crate) num_gd_entries: u32,
    pub(crate) free_sector: u32,
    pub(crate) parent: [u8; 1024],
    pub(crate) parent_generation: u32,
    pub(crate) generation: u32,
    pub(crate) name: [u8; 60],
    pub(crate) description: [u8; 512],
    pub(crate) saved_generation: u32,
    pub(crate) reserved: [u8; 8],
    pub(crate) unclean_shutdown: u32,
    pub(crate) padding: [u8; 396],
}

/// A header whose values can be computed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CowdHeader {
    /// Virtual size.
    pub capacity: Sectors,
    /// Sectors a grain: 1 by default, at most 2048.
    pub grain_size: Sectors,
    /// The grain directory.
    pub gd: Sectors,
    /// Entries that the capacity needs.
    pub gd_entries: u64,
    /// First sector not in use yet, by the header's word.
    pub free_sector: Sectors,
    /// The extent was open or its host crashed: its flag, or its two generations differ.
    pub unclean_shutdown: bool,
    /// Values that were computed, not read: this header stands for a lost one.
    pub inferred: bool,
    raw: Option<Box<RawCowdHeader>>,
}

fn text(bytes: &[u8]) -> String {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

impl CowdHeader {
    /// Reads and checks the header that a file begins with.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] naming the first field that makes the extent unusable;
    /// [`FormatError::Unsupported`] for other versions.
    pub fn parse(bytes: &[u8]) -> Result<Checked<Self>, FormatError> {
        let wrong = |field, offset, kind| Defect::new(STRUCTURE, field, ByteOffset(offset), kind);
        let have = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let short = DefectKind::Truncated { need: 2048, have };
        let raw: RawCowdHeader =
            Cursor::new(bytes).read_le().map_err(|_| wrong("header", 0, short))?;
        if raw.magic != MAGIC {
            let (expected, found) = (u64::from(MAGIC), u64::from(raw.magic));
            return Err(wrong("magicNumber", 0, DefectKind::Magic { expected, found }).into());
        }
        if raw.version != 1 {
            let at = ByteOffset(4);
            let feature = "a version other than 1";
            return Err(FormatError::Unsupported { structure: STRUCTURE, feature, at });
        }
        if !(1..=2048).contains(&raw.grain_size) {
            let value = u64::from(raw.grain_size);
            let kind = DefectKind::OutOfRange { value, min: 1, max: 2048 };
            return Err(wrong("grainSize", 16, kind).into());
        }
        if raw.gd_offset < 4 {
            let value = u64::from(raw.gd_offset);
            let kind = DefectKind::OutOfRange { value, min: 4, max: u64::from(u32::MAX) };
            return Err(wrong("gdOffset", 20, kind).into());
        }
        let capacity = Sectors(u64::from(raw.num_sectors));
        let grain_size = Sectors(u64::from(raw.grain_size));
        let gd_entries = capacity.0.div_ceil(grain_size.0.saturating_mul(ENTRIES).max(1));
        let mut defects = Vec::new();
        let mut differs = |field, offset, expected: String, found: u64| {
            let kind = DefectKind::Mismatch { expected, found: found.to_string() };
            defects.push(wrong(field, offset, kind));
        };
        if raw.flags != 3 {
            differs("flags", 8, "3".to_owned(), u64::from(raw.flags));
        }
        if raw.gd_offset != 4 {
            let expected = "4, behind the header".to_owned();
            differs("gdOffset", 20, expected, u64::from(raw.gd_offset));
        }
        if u64::from(raw.num_gd_entries) != gd_entries {
            let expected = format!("{gd_entries} as numSectors asks for, which is used");
            differs("numGDEntries", 24, expected, u64::from(raw.num_gd_entries));
        }
        if raw.padding.iter().any(|byte| *byte != 0) {
            let kind = DefectKind::Mismatch {
                expected: "zeros".to_owned(),
                found: "other bytes".to_owned(),
            };
            defects.push(wrong("padding", 1652, kind));
        }
        let value = Self {
            capacity,
            grain_size,
            gd: Sectors(u64::from(raw.gd_offset)),
            gd_entries,
            free_sector: Sectors(u64::from(raw.free_sector)),
            unclean_shutdown: raw.unclean_shutdown != 0,
            inferred: false,
            raw: Some(Box::new(raw)),
        };
        Ok(Checked { value, defects })
    }

    /// The name of the parent that very old writers put here; empty now.
    #[must_use]
    pub fn parent_file_name(&self) -> Option<String> {
        let raw = self.raw.as_ref()?;
        let name = text(&raw.parent);
        let printable = !name.is_empty() && !name.chars().any(char::is_control);
        printable.then_some(name)
    }
}

impl Fields for CowdHeader {
    fn fields(&self) -> Vec<FieldNote> {
        let note = |field: &'static str, offset: u64, length: u64, value: String| {
            FieldNote::new(STRUCTURE, field, ByteOffset(offset), Bytes(length), value)
        };
        let Some(raw) = &self.raw else {
            let computed = "computed: the header is lost";
            return vec![
                note("numSectors", 12, 4, self.capacity.0.to_string()).noted(computed),
                note("grainSize", 16, 4, self.grain_size.0.to_string()).noted(computed),
                note("gdOffset", 20, 4, self.gd.0.to_string()).noted(computed),
                note("numGDEntries", 24, 4, self.gd_entries.to_string()).noted(computed),
            ];
        };
        let unclean = note("uncleanShutdown", 1648, 4, raw.unclean_shutdown.to_string());
        vec![
            note("magicNumber", 0, 4, format!("{:#x}", raw.magic)),
            note("version", 4, 4, raw.version.to_string()),
            note("flags", 8, 4, raw.flags.to_string()),
            note("numSectors", 12, 4, raw.num_sectors.to_string()).noted("sectors"),
            note("grainSize", 16, 4, raw.grain_size.to_string()).noted("sectors"),
            note("gdOffset", 20, 4, raw.gd_offset.to_string()).noted("sector"),
            note("numGDEntries", 24, 4, raw.num_gd_entries.to_string()),
            note("freeSector", 28, 4, raw.free_sector.to_string()).noted("sector"),
            note("parentFileName", 32, 1024, self.parent_file_name().unwrap_or_default()),
            note("parentGeneration", 1056, 4, raw.parent_generation.to_string()),
            note("generation", 1060, 4, raw.generation.to_string()),
            note("name", 1064, 60, text(&raw.name)),
            note("description", 1124, 512, text(&raw.description)),
            note("savedGeneration", 1636, 4, raw.saved_generation.to_string()),
            if self.unclean_shutdown { unclean.noted("open or crashed") } else { unclean },
        ]
    }
}

/// An opened redo log.
pub struct CowdExtent {
    header: CowdHeader,
}

/// Where one grain table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Absent,
    Lost,
    Table(u64),
}

impl CowdExtent {
    /// Reads the header of a redo log.
    ///
    /// # Errors
    /// As [`CowdHeader::parse`], and [`FormatError::Medium`].
    pub fn open(file: &dyn ReadAt) -> Result<Checked<Self>, FormatError> {
        let bytes = file.read_up_to(ByteOffset(0), COWD_HEADER_BYTES)?;
        let Checked { value: header, mut defects } = CowdHeader::parse(&bytes)?;
        let end = ByteOffset(file.len_bytes());
        let to = header.gd.to_offset().unwrap_or_default();
        if to >= end && header.capacity.0 > 0 {
            let kind = DefectKind::PastEnd { to, end };
            defects.push(Defect::new(STRUCTURE, "gdOffset", ByteOffset(20), kind));
        }
        let free = header.free_sector.to_offset().unwrap_or_default();
        if free > end {
            let kind = DefectKind::PastEnd { to: free, end };
            defects.push(Defect::new(STRUCTURE, "freeSector", ByteOffset(28), kind));
        }
        Ok(Checked { value: Self { header }, defects })
    }

    /// A redo log whose header is lost, read through the layout that its capacity gives.
    #[must_use]
    pub fn from_layout(layout: &CowdLayout) -> Self {
        let header = CowdHeader {
            capacity: layout.capacity,
            grain_size: layout.grain_size,
            gd: layout.gd,
            gd_entries: layout.gd_entries,
            // Unknown: no entry is held against it.
            free_sector: Sectors(u64::from(u32::MAX)),
            unclean_shutdown: false,
            inferred: true,
            raw: None,
        };
        Self { header }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &CowdHeader {
        &self.header
    }

    fn first_free(&self) -> u64 {
        let gd_sectors = self.header.gd_entries.saturating_mul(4).div_ceil(SECTOR_BYTES);
        self.header.gd.0.saturating_add(gd_sectors)
    }

    fn entry_at(&self, index: u64) -> ByteOffset {
        let gd = self.header.gd.0.saturating_mul(SECTOR_BYTES);
        ByteOffset(gd.saturating_add(index.saturating_mul(4)))
    }
}

impl Tables for CowdExtent {
    type Slot = Slot;

    fn structure(&self) -> &'static str {
        STRUCTURE
    }

    fn shape(&self) -> Shape {
        Shape {
            capacity_bytes: self.header.capacity.to_bytes().unwrap_or_default().0,
            grain_bytes: self.header.grain_size.0.saturating_mul(SECTOR_BYTES),
            entries_per_table: ENTRIES,
        }
    }

    fn directory(&self, file: &dyn ReadAt) -> (u64, ByteOffset) {
        let at = self.entry_at(0);
        (file.len_bytes().saturating_sub(at.0) / 4, at)
    }

    fn slots(
        &self,
        file: &dyn ReadAt,
        first: u64,
        count: usize,
        sink: &mut DefectSink,
    ) -> Vec<Slot> {
        let shape = self.shape();
        let end = file.len_bytes();
        let place = self.entry_at(first).0;
        let blocks = Blocks::read(file, &[Some(place)], count.saturating_mul(4), DIRECTORY, sink);
        let good = blocks.good(0).iter().flat_map(|good| std::iter::repeat_n(*good, PIECE / 4));
        let low = self.first_free();
        let mut slots = Vec::with_capacity(count);
        let mut broken = Vec::new();
        for (index, (entry, good)) in (first..).zip(u32s(blocks.bytes()).zip(good)) {
            let sector = u64::from(entry);
            let to = ByteOffset(sector.saturating_mul(SECTOR_BYTES));
            let slot = if !good {
                Slot::Lost
            } else if entry == 0 {
                Slot::Absent
            } else if sector < low || to.0 >= end {
                // Past the file's end but before the first free sector: the file was cut.
                if sector < low || sector >= self.header.free_sector.0 {
                    broken.push(index);
                }
                let kind = if sector < low {
                    DefectKind::Overlap { to }
                } else {
                    DefectKind::PastEnd { to, end: ByteOffset(end) }
                };
                let defect = Defect::new(DIRECTORY, "entry", self.entry_at(index), kind);
                sink.add_for(shape.table_range(index), defect);
                Slot::Lost
            } else {
                Slot::Table(to.0)
            };
            slots.push(slot);
        }
        let used = |slot: &Slot| *slot != Slot::Absent;
        for torn in torn_groups(first, &slots, PIECE / 4, &broken, used) {
            let range = shape.table_range(torn.start).start..shape.table_range(torn.end).start;
            let kind = DefectKind::Mismatch {
                expected: "tables behind the directory".to_owned(),
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
        for (at, nth) in claims::contested(&claimed, ENTRIES.saturating_mul(4)) {
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
        let blocks = Blocks::read(file, &places, TABLE_BYTES, "GrainTable", sink);
        let mut metadata: Vec<u64> = places.iter().flatten().copied().collect();
        metadata.sort_unstable();
        let low = self.first_free();
        let mut tables = Vec::with_capacity(slots.len());
        for (nth, (index, place)) in (first..).zip(&places).enumerate() {
            let Some(at) = *place else {
                tables.push((index, 0, None));
                continue;
            };
            if blocks.is_whole(nth) && is_zero(blocks.block(nth)) {
                tables.push((index, at, None));
                continue;
            }
            let judge = |entry: u32| {
                let sector = u64::from(entry);
                let place = sector.saturating_mul(SECTOR_BYTES);
                let before = metadata.partition_point(|table| *table <= place);
                let table = before.checked_sub(1).and_then(|nth| metadata.get(nth));
                let in_table = table.is_some_and(|table| place.saturating_sub(*table) < 16_384);
                if entry == 0 {
                    Entry::Absent
                } else if sector < low || in_table {
                    Entry::Broken(sector)
                } else {
                    Entry::At(place)
                }
            };
            let entries: Vec<_> = u32s(blocks.block(nth)).map(judge).collect();
            let table = Table {
                shape,
                index,
                at,
                entry_bytes: 4,
                good: blocks.good(nth),
                file_end: file.len_bytes(),
            };
            tables.push((index, at, Some(table.judge(&entries, sink))));
        }
        single::settle(shape, 4, &mut tables, sink);
        finish(slots.iter().map(|slot| *slot == Slot::Lost), tables)
    }

    fn grains_held(&self, file: &dyn ReadAt) -> Option<u64> {
        let header = &self.header;
        if header.inferred {
            return None;
        }
        let mut tables = 0u64;
        let mut first = 0u64;
        while first < header.gd_entries {
            let count = header.gd_entries.saturating_sub(first).min(ENTRIES);
            let mut bytes = vec![0; usize::try_from(count.saturating_mul(4)).ok()?];
            file.read_exact_at(&mut bytes, self.entry_at(first)).ok()?;
            let used = u32s(&bytes).filter(|entry| *entry != 0).count();
            tables = tables.saturating_add(u64::try_from(used).ok()?);
            first = first.saturating_add(count);
        }
        // Everything before the first free sector is a table or a grain.
        let end = header.free_sector.0.min(file.len_bytes() / SECTOR_BYTES);
        let room = end.checked_sub(self.first_free())?.checked_sub(tables.saturating_mul(32))?;
        room.checked_div(header.grain_size.0)
    }
}

/// From judged tables to the walk's answers.
pub(crate) fn finish(
    lost: impl Iterator<Item = bool>,
    tables: Vec<(u64, u64, Option<Vec<GrainEntry>>)>,
) -> Vec<TableEntries> {
    lost.zip(tables)
        .map(|(lost, (_, _, table))| match table {
            _ if lost => TableEntries::Uniform(RunKind::Lost),
            None => TableEntries::Uniform(RunKind::Absent),
            Some(table) => TableEntries::Each(table),
        })
        .collect()
}
