//! Space-efficient sparse deltas (seSparse): headers.
//!
//! VMware never published this format. Measured on one file of an ESXi host and on the layouts
//! printed in four host logs; rules for the entries come from guest tests by others.

use std::io::Cursor;

use binrw::{BinRead, BinReaderExt};
use serde::Serialize;

use super::layout::{Area, SeSparseLayout};
use crate::{
    defect::{Checked, Defect, DefectKind, FormatError},
    field::{FieldNote, Fields},
    units::{ByteOffset, Bytes, SECTOR_BYTES, Sectors},
};

pub(crate) const CONST_HEADER: &str = "SESparseConstHeader";
pub(crate) const VOLATILE_HEADER: &str = "SESparseVolatileHeader";
pub(crate) const CONST_MAGIC: u64 = 0xcafe_babe;
const VOLATILE_MAGIC: u64 = 0xcafe_cafe;
const VERSION: u64 = 0x0000_0002_0000_0001;

/// The const header as it lies on disk: every field, nothing checked.
#[derive(BinRead, Clone, Debug, PartialEq, Eq)]
#[br(little)]
pub struct RawConstHeader {
    pub(crate) magic: u64,
    pub(crate) version: u64,
    pub(crate) capacity: u64,
    pub(crate) grain_size: u64,
    pub(crate) grain_table_size: u64,
    pub(crate) flags: u64,
    pub(crate) reserved: [u64; 4],
    pub(crate) areas: [[u64; 2]; 8],
    pub(crate) pad: [u8; 304],
}

/// Names of the areas, in header order, each with an offset and a size field.
const AREAS: [(&str, &str); 8] = [
    ("volatileHeaderOffset", "volatileHeaderSize"),
    ("journalHeaderOffset", "journalHeaderSize"),
    ("journalOffset", "journalSize"),
    ("grainDirOffset", "grainDirSize"),
    ("grainTablesOffset", "grainTablesSize"),
    ("freeBitmapOffset", "freeBitmapSize"),
    ("backMapOffset", "backMapSize"),
    ("grainOffset", "grainSize"),
];

/// A const header whose values can be computed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstHeader {
    /// Virtual size; its bytes fit 64 bits.
    pub capacity: Sectors,
    /// Sectors a grain: 8 in every file seen; a power of two, at most 2048.
    pub grain_size: Sectors,
    /// Sectors a grain table: 64 in every file seen; a power of two, at most 4096.
    pub table_size: Sectors,
    /// The volatile header.
    pub volatile_header: Area,
    /// The header of the journal.
    pub journal_header: Area,
    /// The journal.
    pub journal: Area,
    /// The grain directory.
    pub gd: Area,
    /// The grain tables.
    pub tables: Area,
    /// The free bitmap; in spite of its name a set bit means "in use".
    pub bitmap: Area,
    /// The backmap.
    pub backmap: Area,
    /// The grains.
    pub grains: Area,
    /// Values that were computed, not read: this header stands for a lost one.
    pub inferred: bool,
    raw: Option<RawConstHeader>,
}

impl ConstHeader {
    /// Reads and checks the const header that a file begins with.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] naming the first field that makes the extent unusable;
    /// [`FormatError::Unsupported`] for other major versions.
    pub fn parse(bytes: &[u8]) -> Result<Checked<Self>, FormatError> {
        let wrong =
            |field, offset, kind| Defect::new(CONST_HEADER, field, ByteOffset(offset), kind);
        let have = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let short = DefectKind::Truncated { need: SECTOR_BYTES, have };
        let raw: RawConstHeader =
            Cursor::new(bytes).read_le().map_err(|_| wrong("header", 0, short))?;
        if raw.magic != CONST_MAGIC {
            let kind = DefectKind::Magic { expected: CONST_MAGIC, found: raw.magic };
            return Err(wrong("constMagic", 0, kind).into());
        }
        if raw.version >> 32 != VERSION >> 32 {
            return Err(FormatError::Unsupported {
                structure: CONST_HEADER,
                feature: "a major version other than 2",
                at: ByteOffset(8),
            });
        }
        if Sectors(raw.capacity).to_bytes().is_none() {
            let max = u64::MAX / SECTOR_BYTES;
            let kind = DefectKind::OutOfRange { value: raw.capacity, min: 0, max };
            return Err(wrong("capacity", 16, kind).into());
        }
        for (field, offset, value, max) in [
            ("grainSize", 24, raw.grain_size, 2048),
            ("grainTableSize", 32, raw.grain_table_size, 4096),
        ] {
            if !(1..=max).contains(&value) {
                return Err(
                    wrong(field, offset, DefectKind::OutOfRange { value, min: 1, max }).into()
                );
            }
            if !value.is_power_of_two() {
                return Err(wrong(field, offset, DefectKind::NotPowerOfTwo { value }).into());
            }
        }
        let mut defects = Vec::new();
        for (field, offset, value, usual) in [
            ("grainSize", 24, raw.grain_size, 8u64),
            ("grainTableSize", 32, raw.grain_table_size, 64),
        ] {
            if value != usual {
                let expected = format!("{usual} as in every file seen");
                let kind = DefectKind::Mismatch { expected, found: value.to_string() };
                defects.push(wrong(field, offset, kind));
            }
        }
        if raw.version != VERSION {
            defects.push(wrong("version", 8, DefectKind::Unknown { value: raw.version }));
        }
        if raw.flags != 0 {
            defects.push(wrong("flags", 40, DefectKind::Unknown { value: raw.flags }));
        }
        if raw.reserved != [0; 4] || raw.pad.iter().any(|byte| *byte != 0) {
            let (expected, found) = ("zeros".to_owned(), "other bytes".to_owned());
            defects.push(wrong("pad", 208, DefectKind::Mismatch { expected, found }));
        }
        let [volatile_header, journal_header, journal, gd, tables, bitmap, backmap, grains] =
            raw.areas.map(|[offset, size]| Area { offset: Sectors(offset), size: Sectors(size) });
        let value = Self {
            capacity: Sectors(raw.capacity),
            grain_size: Sectors(raw.grain_size),
            table_size: Sectors(raw.grain_table_size),
            volatile_header,
            journal_header,
            journal,
            gd,
            tables,
            bitmap,
            backmap,
            grains,
            inferred: false,
            raw: Some(raw),
        };
        value.check_areas(&mut defects);
        Ok(Checked { value, defects })
    }

    fn areas(&self) -> [Area; 8] {
        [
            self.volatile_header,
            self.journal_header,
            self.journal,
            self.gd,
            self.tables,
            self.bitmap,
            self.backmap,
            self.grains,
        ]
    }

    /// Areas must follow each other without overlap, in header order.
    fn check_areas(&self, defects: &mut Vec<Defect>) {
        let mut before = 1u64;
        for (nth, (area, names)) in self.areas().into_iter().zip(AREAS).enumerate() {
            let field = u64::try_from(nth).unwrap_or(0).saturating_mul(16).saturating_add(80);
            if area.offset.0 < before {
                let to = ByteOffset(area.offset.0.saturating_mul(SECTOR_BYTES));
                let kind = DefectKind::Overlap { to };
                defects.push(Defect::new(CONST_HEADER, names.0, ByteOffset(field), kind));
            }
            before = area.offset.0.saturating_add(area.size.0);
        }
    }

    /// A header for an extent whose own is lost, from its computed layout.
    #[must_use]
    pub fn from_layout(layout: &SeSparseLayout) -> Self {
        Self {
            capacity: layout.capacity,
            grain_size: Sectors(8),
            table_size: Sectors(64),
            volatile_header: Area { offset: Sectors(1), size: Sectors(1) },
            journal_header: layout.journal_header,
            journal: layout.journal,
            gd: layout.gd,
            tables: layout.tables,
            bitmap: layout.bitmap,
            backmap: layout.backmap,
            grains: layout.grains,
            inferred: true,
            raw: None,
        }
    }

    /// Bytes of one grain.
    #[must_use]
    pub fn grain_bytes(&self) -> u64 {
        self.grain_size.0.saturating_mul(SECTOR_BYTES)
    }

    /// Entries of one grain table.
    #[must_use]
    pub fn entries_per_table(&self) -> u64 {
        self.table_size.0.saturating_mul(SECTOR_BYTES / 8)
    }
}

impl Fields for ConstHeader {
    fn fields(&self) -> Vec<FieldNote> {
        let note = |field: &'static str, offset: u64, value: String| {
            let note = FieldNote::new(CONST_HEADER, field, ByteOffset(offset), Bytes(8), value);
            if self.inferred { note.noted("computed: the header is lost") } else { note }
        };
        let mut all = Vec::new();
        if let Some(raw) = &self.raw {
            all.push(note("constMagic", 0, format!("{:#x}", raw.magic)));
            all.push(note("version", 8, format!("{:#x}", raw.version)));
        }
        all.push(note("capacity", 16, self.capacity.0.to_string()));
        all.push(note("grainSize", 24, self.grain_size.0.to_string()));
        all.push(note("grainTableSize", 32, self.table_size.0.to_string()));
        if let Some(raw) = &self.raw {
            all.push(note("flags", 40, format!("{:#x}", raw.flags)));
        }
        for (nth, (area, names)) in self.areas().into_iter().zip(AREAS).enumerate() {
            let at = u64::try_from(nth).unwrap_or(0).saturating_mul(16).saturating_add(80);
            // The last area is called as the grain's own size is; the place tells them apart.
            let size = if names.1 == "grainSize" { "grainAreaSize" } else { names.1 };
            all.push(note(names.0, at, area.offset.0.to_string()));
            all.push(note(size, at.saturating_add(8), area.size.0.to_string()));
        }
        all
    }
}

/// The volatile header: what changes at every open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct VolatileHeader {
    /// Grain tables in use; the next one gets this index.
    pub free_gt_number: u64,
    /// Number the next transaction gets.
    pub next_sequence: u64,
    /// The journal must be replayed: the extent was open when its host stopped.
    pub replay_journal: bool,
    #[serde(rename = "offset_bytes")]
    at: ByteOffset,
}

impl VolatileHeader {
    /// Reads and checks the volatile header in `bytes`, which lie at `at` of the file.
    ///
    /// # Errors
    /// A [`Defect`] where its magic is another one or the bytes end too early.
    pub fn parse(bytes: &[u8], at: ByteOffset) -> Result<Checked<Self>, Defect> {
        let place = |offset: u64| ByteOffset(at.0.saturating_add(offset));
        let wrong = |field, offset, kind| Defect::new(VOLATILE_HEADER, field, place(offset), kind);
        let have = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let short = DefectKind::Truncated { need: SECTOR_BYTES, have };
        let [magic, free_gt_number, next_sequence, replay]: [u64; 4] =
            Cursor::new(bytes).read_le().map_err(|_| wrong("header", 0, short))?;
        if magic != VOLATILE_MAGIC {
            let kind = DefectKind::Magic { expected: VOLATILE_MAGIC, found: magic };
            return Err(wrong("volatileMagic", 0, kind));
        }
        let mut defects = Vec::new();
        if replay > 1 {
            let kind = DefectKind::OutOfRange { value: replay, min: 0, max: 1 };
            defects.push(wrong("replayJournal", 24, kind));
        }
        if bytes.get(32..).is_some_and(|pad| pad.iter().any(|byte| *byte != 0)) {
            let (expected, found) = ("zeros".to_owned(), "other bytes".to_owned());
            defects.push(wrong("pad", 32, DefectKind::Mismatch { expected, found }));
        }
        let value = Self { free_gt_number, next_sequence, replay_journal: replay != 0, at };
        Ok(Checked { value, defects })
    }
}

impl Fields for VolatileHeader {
    fn fields(&self) -> Vec<FieldNote> {
        let note = |field: &'static str, offset: u64, value: String| {
            let at = ByteOffset(self.at.0.saturating_add(offset));
            FieldNote::new(VOLATILE_HEADER, field, at, Bytes(8), value)
        };
        let replay = note("replayJournal", 24, u64::from(self.replay_journal).to_string());
        vec![
            note("volatileMagic", 0, format!("{VOLATILE_MAGIC:#x}")),
            note("freeGTNumber", 8, self.free_gt_number.to_string()),
            note("nextTxnSeqNumber", 16, self.next_sequence.to_string()),
            if self.replay_journal { replay.noted("the extent was open") } else { replay },
        ]
    }
}

/// One entry of a grain table, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "entry", content = "index")]
pub enum SeEntry {
    /// Not allocated: the parent's data.
    Absent,
    /// Unmapped by the guest, reads as zeros; the old grain's index is still there, and its data
    /// until the grain is used again.
    Unmapped(u64),
    /// A grain of zeros.
    Zero,
    /// The grain of this index.
    Grain(u64),
    /// No writer writes this.
    Unknown(u64),
}

impl SeEntry {
    /// Decodes an entry.
    #[must_use]
    pub fn decode(entry: u64) -> Self {
        let index = unpack(entry);
        match entry >> 60 {
            0 if entry == 0 => Self::Absent,
            1 => Self::Unmapped(index),
            2 => Self::Zero,
            3 => Self::Grain(index),
            _ => Self::Unknown(entry),
        }
    }
}

/// The index in a grain table or backmap entry: its low 12 bits stand above the rest.
#[must_use]
pub fn unpack(entry: u64) -> u64 {
    ((entry & 0x0fff_0000_0000_0000) >> 48) | ((entry & 0x0000_ffff_ffff_ffff) << 12)
}
