//! The label of a physical volume and the header of a metadata area.

use super::{HEADER_BYTES, MAX_TEXT_BYTES, u32_at, u64_at};

/// Areas that one label lists at most.
const MOST_AREAS: usize = 16;
/// Largest metadata area that is believed.
const MAX_AREA_BYTES: u64 = 1 << 32;
const AREA_MAGIC: &[u8; 16] = b"\x20LVM2\x20x[5A%r0N*>";

/// LVM2's checksum: CRC-32 from its own start, its end left as it is.
#[must_use]
pub fn lvm_crc(bytes: &[u8]) -> u32 {
    // The library begins and ends with all bits turned.
    let mut hasher = crc32fast::Hasher::new_with_initial(!0xf597_a6cf);
    hasher.update(bytes);
    !hasher.finalize()
}

/// A stretch of a physical volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First byte, counted from the volume's start.
    pub offset: u64,
    /// Bytes; 0: up to the volume's end.
    pub size: u64,
}

/// The label of a physical volume, its checksum right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Sector of the volume that it says to lie in: 0 to 3.
    pub sector: u64,
    /// Identity of the volume, without dashes.
    pub uuid: String,
    /// Bytes of the volume.
    pub device_bytes: u64,
    /// Where content lies.
    pub data: Vec<Area>,
    /// Where metadata lies.
    pub metadata: Vec<Area>,
}

impl Label {
    /// Reads the label that this sector holds.
    #[must_use]
    pub fn parse(sector: &[u8]) -> Option<Self> {
        let sector = sector.get(..HEADER_BYTES)?;
        let is_label = sector.starts_with(b"LABELONE") && sector.get(24..32)? == b"LVM2 001";
        if !is_label || lvm_crc(sector.get(20..)?) != u32_at(sector, 16)? {
            return None;
        }
        let number = u64_at(sector, 8)?;
        let at = usize::try_from(u32_at(sector, 20)?).ok()?;
        let header = sector.get(at..).filter(|_| number < 4)?;
        let uuid = header.get(..32)?;
        if !uuid.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let mut places = header.get(40..)?;
        Some(Self {
            sector: number,
            uuid: String::from_utf8_lossy(uuid).into_owned(),
            device_bytes: u64_at(header, 32)?,
            data: areas(&mut places)?,
            metadata: areas(&mut places)?,
        })
    }
}

/// A list of areas up to the empty one that ends it.
fn areas(places: &mut &[u8]) -> Option<Vec<Area>> {
    let mut all = Vec::new();
    loop {
        let (offset, size) = (u64_at(places, 0)?, u64_at(places, 8)?);
        *places = places.get(16..)?;
        if offset == 0 {
            return Some(all);
        }
        if all.len() >= MOST_AREAS {
            return None;
        }
        all.push(Area { offset, size });
    }
}

/// Where a text lies in its area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPlace {
    /// First byte, counted from the area's start.
    pub offset: u64,
    /// Bytes, up to and with the zero that ends it.
    pub size: u64,
    /// Their checksum.
    pub crc: u32,
}

/// The header of a metadata area, its checksum right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AreaHeader {
    /// Where it lies, counted from the physical volume's start.
    pub start: u64,
    /// Bytes of the area.
    pub size: u64,
    /// The text in force; `None`: there is none yet.
    pub text: Option<TextPlace>,
}

impl AreaHeader {
    /// Reads the header that `bytes` begin with.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let is_header = bytes.get(4..20)? == AREA_MAGIC && u32_at(bytes, 20)? == 1;
        if !is_header || lvm_crc(bytes.get(4..)?) != u32_at(bytes, 0)? {
            return None;
        }
        let (start, size) = (u64_at(bytes, 24)?, u64_at(bytes, 32)?);
        let header = u64::try_from(HEADER_BYTES).ok()?;
        if size <= header || size > MAX_AREA_BYTES || start.checked_add(size).is_none() {
            return None;
        }
        let place = TextPlace {
            offset: u64_at(bytes, 40)?,
            size: u64_at(bytes, 48)?,
            crc: u32_at(bytes, 56)?,
        };
        let is_text = place.offset >= header
            && place.offset < size
            && (1..=size.saturating_sub(header).min(MAX_TEXT_BYTES)).contains(&place.size)
            // The first flag: what stands here is not in force.
            && u32_at(bytes, 60)? & 1 == 0;
        Some(Self { start, size, text: is_text.then_some(place) })
    }

    /// The stretches of the area that hold the text, in order: it is a ring, and one may be cut.
    #[must_use]
    pub fn pieces(&self) -> Vec<Area> {
        let Some(text) = self.text else { return Vec::new() };
        let room = self.size.saturating_sub(text.offset);
        let first = text.size.min(room);
        let mut all = vec![Area { offset: text.offset, size: first }];
        if first < text.size {
            let offset = u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX);
            all.push(Area { offset, size: text.size.saturating_sub(first) });
        }
        all
    }

    /// Whether these are the bytes of the text in force.
    #[must_use]
    pub fn holds(&self, text: &[u8]) -> bool {
        self.text.is_some_and(|place| lvm_crc(text) == place.crc)
    }
}
