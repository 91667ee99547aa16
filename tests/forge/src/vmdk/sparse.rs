//! Hosted sparse extents (`KDMV`), versions 1 to 3, not compressed.

use super::{Disk, Forged, SECTOR, up};

/// How to write a hosted sparse extent.
#[derive(Clone, Debug)]
pub struct SparseSpec {
    /// 1, 2 or 3.
    pub version: u32,
    /// Sectors a grain.
    pub grain: u64,
    /// Whether there is a redundant grain directory with its own tables.
    pub redundant: bool,
    /// Whether grains of zeros are marked by a 1 (needs version 2 or 3 by the book).
    pub zeroed: bool,
    /// A descriptor inside.
    pub descriptor: Option<String>,
    /// Grains are placed in reverse order of their addresses.
    pub reversed: bool,
}

impl Default for SparseSpec {
    fn default() -> Self {
        Self {
            version: 1,
            grain: 128,
            redundant: true,
            zeroed: false,
            descriptor: None,
            reversed: false,
        }
    }
}

/// The 512 bytes of a header. `places`: rgd, gd, overHead.
pub(crate) fn header(
    version: u32,
    flags: u32,
    capacity: u64,
    grain: u64,
    descriptor: (u64, u64),
    places: (u64, u64, u64),
    compress: u16,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"KDMV");
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&flags.to_le_bytes());
    for value in [capacity, grain, descriptor.0, descriptor.1] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(&512u32.to_le_bytes());
    for value in [places.0, places.1, places.2] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.push(0);
    out.extend_from_slice(&[0x0a, 0x20, 0x0d, 0x0a]);
    out.extend_from_slice(&compress.to_le_bytes());
    out.resize(512, 0);
    out
}

/// Writes the extent.
#[must_use]
pub fn write(disk: &Disk, spec: &SparseSpec) -> Forged {
    let mut forged = Forged::new(disk, spec.grain * SECTOR);
    let tables = disk.capacity.div_ceil(spec.grain).div_ceil(512);
    let gd_sectors = (tables * 4).div_ceil(512);
    let copy = gd_sectors + 4 * tables;
    let descriptor = if spec.descriptor.is_some() { (1, 20) } else { (0, 0) };
    let rgd = if spec.descriptor.is_some() { 21 } else { 1 };
    let gd = if spec.redundant { rgd + copy } else { rgd };
    let overhead = up(gd + copy, spec.grain);
    let flags = 1 | if spec.redundant { 2 } else { 0 } | if spec.zeroed { 4 } else { 0 };
    let places = (if spec.redundant { rgd } else { 0 }, gd, overhead);
    let head = header(spec.version, flags, disk.capacity, spec.grain, descriptor, places, 0);
    forged.image.put(0, &head);
    forged.meta(0, SECTOR);
    if let Some(text) = &spec.descriptor {
        forged.image.put(SECTOR, text.as_bytes());
        forged.meta(SECTOR, 20 * SECTOR);
    }
    let copies: &[u64] = if spec.redundant { &[rgd, gd] } else { &[gd] };
    for start in copies {
        let mut directory = Vec::new();
        for table in 0..tables {
            let sector = u32::try_from(start + gd_sectors + 4 * table).unwrap_or(0);
            directory.extend_from_slice(&sector.to_le_bytes());
        }
        forged.image.put(start * SECTOR, &directory);
        forged.meta(start * SECTOR, copy * SECTOR);
    }
    forged.image.length = forged.image.length.max(overhead * SECTOR);
    let entry = |forged: &mut Forged, index: u64, value: u32| {
        for start in copies {
            let at = (start + gd_sectors) * SECTOR + index * 4;
            forged.image.put_u32(at, value);
        }
    };
    if spec.zeroed {
        for at in &disk.zeroed {
            entry(&mut forged, at / (spec.grain * SECTOR), 1);
        }
    }
    let mut grains: Vec<_> = disk.grains(spec.grain * SECTOR).into_iter().collect();
    if spec.reversed {
        grains.reverse();
    }
    let mut next = overhead;
    for (index, bytes) in grains {
        forged.image.put(next * SECTOR, &bytes);
        entry(&mut forged, index, u32::try_from(next).unwrap_or(0));
        next += spec.grain;
    }
    forged
}
