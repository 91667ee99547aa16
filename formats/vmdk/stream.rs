//! Markers of streamOptimized extents: every grain names its own virtual address, so the data
//! survives any loss of directories and tables.
//!
//! VMware, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents". Grains hold
//! zlib data (RFC 1950) in every file seen, where the document says RFC 1951.

use serde::Serialize;

use super::header::{SparseFlags, SparseHeader};
use crate::{
    defect::{Defect, DefectKind, FormatError},
    read::{MediumError, ReadAt},
    units::{ByteOffset, Bytes, SECTOR_BYTES},
};

const STRUCTURE: &str = "GrainMarker";
/// Bytes behind the regular place that are searched for a footer.
const FOOTER_SEARCH: u64 = 1 << 20;

/// What begins at one sector of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "marker")]
pub enum Marker {
    /// A compressed grain.
    Grain {
        /// Virtual sector it belongs to.
        lba: u64,
        /// First byte of its zlib data.
        at: u64,
        /// Bytes of zlib data.
        stored: u64,
    },
    /// End of stream.
    EndOfStream,
    /// A grain table follows.
    GrainTable {
        /// Its length.
        sectors: u64,
    },
    /// A grain directory follows.
    GrainDirectory {
        /// Its length.
        sectors: u64,
    },
    /// The footer follows.
    Footer,
    /// Progress information of newer writers follows; nothing in it is needed.
    Progress {
        /// Its length.
        sectors: u64,
    },
    /// No marker.
    Garbage,
}

/// One grain found by its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundGrain {
    /// Virtual sector.
    pub lba: u64,
    /// First byte of the zlib data.
    pub at: u64,
    /// Bytes of zlib data.
    pub stored: u64,
}

fn number<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..from.checked_add(N)?)?.try_into().ok()
}

/// Bytes of a grain's own header: address and length, or the length alone.
fn marker_bytes(header: &SparseHeader) -> u64 {
    if header.flags.contains(SparseFlags::MARKERS) { 12 } else { 4 }
}

fn is_zlib_header(bytes: &[u8]) -> bool {
    match number::<2>(bytes, 0) {
        Some([method, flags]) => {
            method & 0x0f == 8
                && method >> 4 <= 7
                && u16::from_be_bytes([method, flags]).is_multiple_of(31)
                && flags & 0x20 == 0
        }
        None => false,
    }
}

/// Longest zlib data that is believed: stored blocks grow, and writers leave some room.
fn stored_limit(header: &SparseHeader) -> u64 {
    header.grain_bytes().saturating_mul(2).saturating_add(64)
}

impl Marker {
    /// Reads the marker in `sector`, which lies at `at` of a file that ends at `end`.
    #[must_use]
    pub fn parse(sector: &[u8], at: u64, end: u64, header: &SparseHeader) -> Self {
        let (Some(value), Some(size)) = (
            number::<8>(sector, 0).map(u64::from_le_bytes),
            number::<4>(sector, 8).map(u32::from_le_bytes),
        ) else {
            return Self::Garbage;
        };
        if size != 0 {
            let stored = u64::from(size);
            let data = at.saturating_add(12);
            let fits = data.saturating_add(stored) <= end && stored <= stored_limit(header);
            let lba = value.is_multiple_of(header.grain_size.0) && value < header.capacity.0;
            let zlib = is_zlib_header(sector.get(12..).unwrap_or_default());
            return if fits && lba && zlib {
                Self::Grain { lba: value, at: data, stored }
            } else {
                Self::Garbage
            };
        }
        let Some(kind) = number::<4>(sector, 12).map(u32::from_le_bytes) else {
            return Self::Garbage;
        };
        let quiet = sector.get(16..).is_some_and(|pad| pad.iter().all(|byte| *byte == 0));
        let follows = value.saturating_add(1).saturating_mul(SECTOR_BYTES);
        if !quiet || at.saturating_add(follows) > end {
            return Self::Garbage;
        }
        match kind {
            0 if value == 0 => Self::EndOfStream,
            1 => Self::GrainTable { sectors: value },
            2 => Self::GrainDirectory { sectors: value },
            3 if value == 1 => Self::Footer,
            4 => Self::Progress { sectors: value },
            _ => Self::Garbage,
        }
    }

    /// Bytes from this marker to the next.
    pub(crate) fn advance(self) -> u64 {
        let sectors = match self {
            Self::Grain { stored, .. } => {
                return stored.saturating_add(12).next_multiple_of(SECTOR_BYTES);
            }
            Self::GrainTable { sectors }
            | Self::GrainDirectory { sectors }
            | Self::Progress { sectors } => sectors,
            Self::Footer => 1,
            Self::EndOfStream | Self::Garbage => 0,
        };
        sectors.saturating_add(1).saturating_mul(SECTOR_BYTES)
    }
}

/// Reads the grain whose marker should lie at `sector` and belong to virtual sector `lba`: where
/// its zlib data lies and how long it is. Reads nothing of the data but its first two bytes.
pub(crate) fn grain_at(
    file: &dyn ReadAt,
    header: &SparseHeader,
    sector: u64,
    lba: u64,
) -> Result<(u64, u64), Defect> {
    let at = ByteOffset(sector.saturating_mul(SECTOR_BYTES));
    let end = ByteOffset(file.len_bytes());
    let wrong = |field, kind| Defect::new(STRUCTURE, field, at, kind);
    let head = marker_bytes(header);
    let mut bytes = [0u8; 14];
    let (bytes, _) = bytes.split_at_mut(if head == 12 { 14 } else { 6 });
    file.read_exact_at(bytes, at).map_err(|error| match error {
        MediumError::End { .. } => wrong("marker", DefectKind::PastEnd { to: at, end }),
        MediumError::Io { len, source, .. } => {
            wrong("marker", DefectKind::Unreadable { length: len, why: source.to_string() })
        }
    })?;
    let size = if head == 12 {
        let found = number::<8>(bytes, 0).map_or(0, u64::from_le_bytes);
        if found != lba {
            let (expected, found) = (lba.to_string(), found.to_string());
            return Err(wrong("lba", DefectKind::Mismatch { expected, found }));
        }
        number::<4>(bytes, 8)
    } else {
        number::<4>(bytes, 0)
    };
    let stored = u64::from(size.map_or(0, u32::from_le_bytes));
    let max = stored_limit(header);
    if stored == 0 || stored > max {
        return Err(wrong("size", DefectKind::OutOfRange { value: stored, min: 1, max }));
    }
    let data = at.0.saturating_add(head);
    if data.saturating_add(stored) > end.0 {
        let to = ByteOffset(data.saturating_add(stored));
        return Err(wrong("size", DefectKind::PastEnd { to, end }));
    }
    let skip = usize::try_from(head).unwrap_or(12);
    if !is_zlib_header(bytes.get(skip..).unwrap_or_default()) {
        let found = format!("{:02x?}", bytes.get(skip..).unwrap_or_default());
        let expected = "a zlib header".to_owned();
        return Err(wrong("data", DefectKind::Mismatch { expected, found }));
    }
    Ok((data, stored))
}

/// Finds the footer of a stream whose header has its directory "at the end". `None`, with a
/// defect, where there is none.
pub(crate) fn find_footer(
    file: &dyn ReadAt,
    header: &SparseHeader,
    defects: &mut Vec<Defect>,
) -> Result<Option<SparseHeader>, FormatError> {
    let end = file.len_bytes();
    let whole = end.saturating_sub(end.checked_rem(SECTOR_BYTES).unwrap_or(0));
    let from = whole.saturating_sub(FOOTER_SEARCH);
    let length = usize::try_from(whole.saturating_sub(from)).unwrap_or(0);
    let tail = file.read_up_to(ByteOffset(from), length)?;
    let sectors = tail.as_chunks::<512>().0;
    let mut found = None;
    for (nth, sector) in sectors.iter().enumerate().rev() {
        let at = from.saturating_add(u64::try_from(nth).unwrap_or(0).saturating_mul(SECTOR_BYTES));
        // Sector 0 is the header itself.
        if at == 0 || !sector.starts_with(b"KDMV") {
            continue;
        }
        if let Ok(footer) = SparseHeader::parse(sector, ByteOffset(at))
            && footer.value.gd.is_some()
        {
            let marked =
                nth.checked_sub(1).and_then(|before| sectors.get(before)).is_some_and(|before| {
                    Marker::parse(before, at.saturating_sub(SECTOR_BYTES), end, header)
                        == Marker::Footer
                });
            found = Some((at, footer, marked));
            break;
        }
    }
    let Some((at, footer, marked)) = found else {
        let what = "the footer that the header points to".to_owned();
        let place = ByteOffset(header.at.0.saturating_add(56));
        defects.push(Defect::new(
            super::header::STRUCTURE,
            "gdOffset",
            place,
            DefectKind::Missing { what },
        ));
        return Ok(None);
    };
    defects.extend(footer.defects);
    let mut wrong = |field, expected: String, found: String| {
        let kind = DefectKind::Mismatch { expected, found };
        defects.push(Defect::new("SparseExtentFooter", field, ByteOffset(at), kind));
    };
    if at.saturating_add(1024) != end {
        let after = end.saturating_sub(at.saturating_add(1024));
        wrong("position", "1024 bytes before the end".to_owned(), format!("{after} bytes more"));
    }
    if !marked {
        wrong("marker", "a footer marker in the sector before".to_owned(), "none".to_owned());
    }
    let footer = footer.value;
    for (field, one, two) in [
        ("capacity", header.capacity.0, footer.capacity.0),
        ("grainSize", header.grain_size.0, footer.grain_size.0),
    ] {
        if one != two {
            wrong(field, format!("{one} as in the header; the footer is used"), two.to_string());
        }
    }
    Ok(Some(footer))
}

/// Bytes that a grain at `lba` must inflate to: one grain, or what is left of the capacity.
#[must_use]
pub fn grain_length(header: &SparseHeader, lba: u64) -> Bytes {
    let left = header.capacity.0.saturating_sub(lba).saturating_mul(SECTOR_BYTES);
    Bytes(left.min(header.grain_bytes()))
}
