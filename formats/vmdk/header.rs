//! The header of hosted sparse and streamOptimized extents.
//!
//! VMware, "Virtual Disk Format 5.0", "Hosted Sparse Extent Header"; bounds on values are those
//! of the writers and readers seen.

use std::io::Cursor;

use binrw::{BinRead, BinReaderExt};
use bitflags::bitflags;

use super::{Descriptor, descriptor::DESCRIPTOR_LIMIT};
use crate::{
    defect::{Checked, Defect, DefectKind, FormatError},
    field::{FieldNote, Fields},
    read::ReadAt,
    units::{ByteOffset, Bytes, SECTOR_BYTES, Sectors},
};

pub(crate) const STRUCTURE: &str = "SparseExtentHeader";
/// "KDMV" as a little-endian number.
pub(crate) const MAGIC: u32 = 0x564d_444b;
/// gdOffset of a stream whose grain directory place stands in the footer.
pub(crate) const GD_AT_END: u64 = u64::MAX;
const NEWLINE_CHECK: [u8; 4] = [0x0a, 0x20, 0x0d, 0x0a];

bitflags! {
    /// Flags of the header.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SparseFlags: u32 {
        /// The newline check bytes are valid.
        const NEWLINE_CHECK = 0x1;
        /// The redundant grain directory is in use.
        const REDUNDANT_GD = 0x2;
        /// A grain table entry of 1 is a grain of zeros.
        const ZEROED_GRAIN = 0x4;
        /// Grains are compressed.
        const COMPRESSED = 0x1_0000;
        /// Grains and tables carry markers.
        const MARKERS = 0x2_0000;
        const _ = !0;
    }
}

/// The header as it lies on disk: every field, nothing checked.
#[derive(BinRead, Clone, Debug, PartialEq, Eq)]
#[br(little)]
pub struct RawSparseHeader {
    pub(crate) magic: u32,
    pub(crate) version: u32,
    pub(crate) flags: u32,
    pub(crate) capacity: u64,
    pub(crate) grain_size: u64,
    pub(crate) descriptor_offset: u64,
    pub(crate) descriptor_size: u64,
    pub(crate) num_gtes_per_gt: u32,
    pub(crate) rgd_offset: u64,
    pub(crate) gd_offset: u64,
    pub(crate) over_head: u64,
    pub(crate) unclean_shutdown: u8,
    pub(crate) newline_check: [u8; 4],
    pub(crate) compress_algorithm: u16,
    pub(crate) pad: [u8; 433],
}

/// A header whose values can be computed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparseHeader {
    /// Where it lies.
    pub at: ByteOffset,
    /// 1, 2 or 3.
    pub version: u32,
    /// All flags, unknown compatible ones too.
    pub flags: SparseFlags,
    /// Virtual size; its bytes fit 64 bits.
    pub capacity: Sectors,
    /// A power of two, at most 2^21; at most 2^13 where grains are compressed.
    pub grain_size: Sectors,
    /// Where the descriptor lies inside, 0 for nowhere.
    pub descriptor_offset: Sectors,
    /// Room of the descriptor.
    pub descriptor_size: Sectors,
    /// A power of two in 128..=65536; 512 in every file seen.
    pub entries_per_table: u32,
    /// The redundant grain directory, where its flag is set.
    pub redundant_gd: Option<Sectors>,
    /// The grain directory; `None` where only the footer knows.
    pub gd: Option<Sectors>,
    /// First sector of the first grain, by the header's word.
    pub overhead: Sectors,
    /// The extent was open or its machine crashed.
    pub unclean_shutdown: bool,
    /// Values that were computed, not read: this header stood for a lost one.
    pub inferred: bool,
    raw: RawSparseHeader,
}

impl RawSparseHeader {
    fn parse(bytes: &[u8], at: ByteOffset) -> Result<Self, Defect> {
        let have = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let short = DefectKind::Truncated { need: SECTOR_BYTES, have };
        Cursor::new(bytes).read_le().map_err(|_| Defect::new(STRUCTURE, "header", at, short))
    }
}

impl SparseHeader {
    /// Reads and checks the header that `bytes` begin with; `at` is where they lie in their file.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] naming the first field that makes the extent unusable;
    /// [`FormatError::Unsupported`] for versions, flags and algorithms beyond this reader.
    pub fn parse(bytes: &[u8], at: ByteOffset) -> Result<Checked<Self>, FormatError> {
        let raw = RawSparseHeader::parse(bytes, at)?;
        let place = |offset: u64| ByteOffset(at.0.saturating_add(offset));
        let wrong = |field, offset, kind| Defect::new(STRUCTURE, field, place(offset), kind);
        let unsupported = |feature, offset| FormatError::Unsupported {
            structure: STRUCTURE,
            feature,
            at: place(offset),
        };
        if raw.magic != MAGIC {
            let (expected, found) = (u64::from(MAGIC), u64::from(raw.magic));
            return Err(wrong("magicNumber", 0, DefectKind::Magic { expected, found }).into());
        }
        if raw.version == 0 {
            let kind = DefectKind::OutOfRange { value: 0, min: 1, max: 3 };
            return Err(wrong("version", 4, kind).into());
        }
        if raw.version > 3 {
            return Err(unsupported("a version above 3", 4));
        }
        let flags = SparseFlags::from_bits_retain(raw.flags);
        if raw.flags & 0xfffc_0000 != 0 {
            return Err(unsupported("an incompatible flag nobody documented", 8));
        }
        let compressed = flags.contains(SparseFlags::COMPRESSED);
        if compressed && raw.compress_algorithm != 1 {
            return Err(unsupported("a compression other than deflate", 77));
        }
        if Sectors(raw.capacity).to_bytes().is_none() {
            let kind = DefectKind::OutOfRange {
                value: raw.capacity,
                min: 0,
                max: u64::MAX / SECTOR_BYTES,
            };
            return Err(wrong("capacity", 12, kind).into());
        }
        let max = if compressed { 1 << 13 } else { 1 << 21 };
        if !(1..=max).contains(&raw.grain_size) {
            let kind = DefectKind::OutOfRange { value: raw.grain_size, min: 1, max };
            return Err(wrong("grainSize", 20, kind).into());
        }
        if !raw.grain_size.is_power_of_two() {
            let kind = DefectKind::NotPowerOfTwo { value: raw.grain_size };
            return Err(wrong("grainSize", 20, kind).into());
        }
        if !(128..=65_536).contains(&raw.num_gtes_per_gt) {
            let value = u64::from(raw.num_gtes_per_gt);
            let kind = DefectKind::OutOfRange { value, min: 128, max: 65_536 };
            return Err(wrong("numGTEsPerGT", 44, kind).into());
        }
        if !raw.num_gtes_per_gt.is_power_of_two() {
            let kind = DefectKind::NotPowerOfTwo { value: u64::from(raw.num_gtes_per_gt) };
            return Err(wrong("numGTEsPerGT", 44, kind).into());
        }

        let mut defects = Vec::new();
        let mismatch = |expected: &str, found: String| DefectKind::Mismatch {
            expected: expected.to_owned(),
            found,
        };
        if raw.unclean_shutdown > 1 {
            let found = raw.unclean_shutdown.to_string();
            defects.push(wrong("uncleanShutdown", 72, mismatch("0 or 1", found)));
        }
        if flags.contains(SparseFlags::NEWLINE_CHECK) && raw.newline_check != NEWLINE_CHECK {
            let found = format!("{:02x?}", raw.newline_check);
            let expected = "[0a, 20, 0d, 0a]: the file went through a transfer in text mode";
            defects.push(wrong("newlineCheck", 73, mismatch(expected, found)));
        }
        if !compressed && raw.compress_algorithm != 0 {
            let found = raw.compress_algorithm.to_string();
            defects.push(wrong("compressAlgorithm", 77, mismatch("0", found)));
        }
        if flags.contains(SparseFlags::MARKERS) && !compressed {
            let found = format!("{:#x}", raw.flags);
            defects.push(wrong("flags", 8, mismatch("markers only with compression", found)));
        }
        if raw.pad.iter().any(|&byte| byte != 0) {
            defects.push(wrong("pad", 79, mismatch("zeros", "other bytes".to_owned())));
        }
        let value = Self {
            at,
            version: raw.version,
            flags,
            capacity: Sectors(raw.capacity),
            grain_size: Sectors(raw.grain_size),
            descriptor_offset: Sectors(raw.descriptor_offset),
            descriptor_size: Sectors(raw.descriptor_size),
            entries_per_table: raw.num_gtes_per_gt,
            redundant_gd: flags
                .contains(SparseFlags::REDUNDANT_GD)
                .then_some(Sectors(raw.rgd_offset)),
            gd: (raw.gd_offset != GD_AT_END).then_some(Sectors(raw.gd_offset)),
            overhead: Sectors(raw.over_head),
            unclean_shutdown: raw.unclean_shutdown != 0,
            inferred: false,
            raw,
        };
        Ok(Checked { value, defects })
    }

    /// A header for an extent whose own is lost, from its computed layout.
    #[must_use]
    pub fn from_layout(layout: &super::SparseLayout) -> Self {
        let flags = SparseFlags::NEWLINE_CHECK | SparseFlags::REDUNDANT_GD;
        let raw = RawSparseHeader {
            magic: MAGIC,
            version: 1,
            flags: flags.bits(),
            capacity: layout.capacity.0,
            grain_size: layout.grain_size.0,
            descriptor_offset: layout.descriptor_offset.0,
            descriptor_size: layout.descriptor_size.0,
            num_gtes_per_gt: 512,
            rgd_offset: layout.redundant_gd.0,
            gd_offset: layout.gd.0,
            over_head: layout.overhead.0,
            unclean_shutdown: 0,
            newline_check: NEWLINE_CHECK,
            compress_algorithm: 0,
            pad: [0; 433],
        };
        Self {
            at: ByteOffset(0),
            version: 1,
            flags,
            capacity: layout.capacity,
            grain_size: layout.grain_size,
            descriptor_offset: layout.descriptor_offset,
            descriptor_size: layout.descriptor_size,
            entries_per_table: 512,
            redundant_gd: Some(layout.redundant_gd),
            gd: Some(layout.gd),
            overhead: layout.overhead,
            unclean_shutdown: false,
            inferred: true,
            raw,
        }
    }

    /// A header for a stream whose own is lost: its grains are found by their markers.
    #[must_use]
    pub fn of_stream(capacity: Sectors, grain_size: Sectors) -> Self {
        let flags = SparseFlags::NEWLINE_CHECK | SparseFlags::COMPRESSED | SparseFlags::MARKERS;
        let raw = RawSparseHeader {
            magic: MAGIC,
            version: 3,
            flags: flags.bits(),
            capacity: capacity.0,
            grain_size: grain_size.0,
            descriptor_offset: 0,
            descriptor_size: 0,
            num_gtes_per_gt: 512,
            rgd_offset: 0,
            gd_offset: GD_AT_END,
            over_head: 0,
            unclean_shutdown: 0,
            newline_check: NEWLINE_CHECK,
            compress_algorithm: 1,
            pad: [0; 433],
        };
        Self {
            at: ByteOffset(0),
            version: 3,
            flags,
            capacity,
            grain_size,
            descriptor_offset: Sectors(0),
            descriptor_size: Sectors(0),
            entries_per_table: 512,
            redundant_gd: None,
            gd: None,
            overhead: Sectors(0),
            unclean_shutdown: false,
            inferred: true,
            raw,
        }
    }

    /// Bytes of one grain.
    #[must_use]
    pub fn grain_bytes(&self) -> u64 {
        self.grain_size.0.saturating_mul(SECTOR_BYTES)
    }

    /// Whether grains are compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.flags.contains(SparseFlags::COMPRESSED)
    }

    /// Sectors of one grain table.
    #[must_use]
    pub fn table_sectors(&self) -> u64 {
        u64::from(self.entries_per_table).saturating_mul(4).div_ceil(SECTOR_BYTES)
    }

    /// The descriptor that lies inside the extent, or `None` where the header names none.
    ///
    /// # Errors
    /// [`FormatError::Medium`] where it cannot be read; [`FormatError::Damaged`] where it would
    /// lie past the end of the file.
    pub fn embedded_descriptor(
        &self,
        file: &dyn ReadAt,
    ) -> Result<Option<Checked<Descriptor>>, FormatError> {
        if self.descriptor_offset.0 == 0 || self.descriptor_size.0 == 0 {
            return Ok(None);
        }
        let end = ByteOffset(file.len_bytes());
        let Some(at) = self.descriptor_offset.to_offset().filter(|at| *at < end) else {
            let to = ByteOffset(self.descriptor_offset.0.saturating_mul(SECTOR_BYTES));
            let kind = DefectKind::PastEnd { to, end };
            let place = ByteOffset(self.at.0.saturating_add(28));
            return Err(Defect::new(STRUCTURE, "descriptorOffset", place, kind).into());
        };
        let room = self.descriptor_size.0.saturating_mul(SECTOR_BYTES);
        let limit = DESCRIPTOR_LIMIT.saturating_add(1);
        let length = usize::try_from(room).map_or(limit, |room| room.min(limit));
        let bytes = file.read_up_to(at, length)?;
        Ok(Some(Descriptor::parse(&bytes, at)))
    }
}

impl Fields for SparseHeader {
    fn fields(&self) -> Vec<FieldNote> {
        let raw = &self.raw;
        let note = |field: &'static str, offset: u64, length: u64, value: String| {
            let at = ByteOffset(self.at.0.saturating_add(offset));
            let mut note = FieldNote::new(STRUCTURE, field, at, Bytes(length), value);
            if self.inferred {
                note.note = Some("computed: the header is lost".to_owned());
            }
            note
        };
        let named: Vec<_> = self.flags.iter_names().map(|(name, _)| name).collect();
        let gd = if raw.gd_offset == GD_AT_END {
            note("gdOffset", 56, 8, format!("{:#x}", raw.gd_offset))
                .noted("at the end: see the footer")
        } else {
            note("gdOffset", 56, 8, raw.gd_offset.to_string())
        };
        let unclean = note("uncleanShutdown", 72, 1, raw.unclean_shutdown.to_string());
        let unclean =
            if self.unclean_shutdown { unclean.noted("open or crashed") } else { unclean };
        vec![
            note("magicNumber", 0, 4, format!("{:#x}", raw.magic)),
            note("version", 4, 4, raw.version.to_string()),
            note("flags", 8, 4, format!("{:#x}", raw.flags)).noted(named.join(", ")),
            note("capacity", 12, 8, raw.capacity.to_string()).noted("sectors"),
            note("grainSize", 20, 8, raw.grain_size.to_string()).noted("sectors"),
            note("descriptorOffset", 28, 8, raw.descriptor_offset.to_string()).noted("sector"),
            note("descriptorSize", 36, 8, raw.descriptor_size.to_string()).noted("sectors"),
            note("numGTEsPerGT", 44, 4, raw.num_gtes_per_gt.to_string()),
            note("rgdOffset", 48, 8, raw.rgd_offset.to_string()),
            gd,
            note("overHead", 64, 8, raw.over_head.to_string()).noted("sectors"),
            unclean,
            note("newlineCheck", 73, 4, format!("{:02x?}", raw.newline_check)),
            note("compressAlgorithm", 77, 2, raw.compress_algorithm.to_string()),
        ]
    }
}
