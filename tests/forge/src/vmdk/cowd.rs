//! ESXi redo logs (`COWD`).

use std::collections::BTreeMap;

use super::{Disk, Forged, SECTOR, up};

/// How to write a redo log.
#[derive(Clone, Debug)]
pub struct CowdSpec {
    /// Sectors a grain: 1 on ESXi.
    pub grain: u64,
    /// Grains are placed in reverse order of their addresses.
    pub reversed: bool,
    /// Length grows in steps of 16 MiB as on VMFS; else it ends with the last sector used.
    pub grown: bool,
}

impl Default for CowdSpec {
    fn default() -> Self {
        Self { grain: 1, reversed: false, grown: false }
    }
}

/// Writes the extent.
#[must_use]
pub fn write(disk: &Disk, spec: &CowdSpec) -> Forged {
    let grain_bytes = spec.grain * SECTOR;
    let mut forged = Forged::new(disk, grain_bytes);
    forged.grains.retain(|_, truth| *truth == super::GrainTruth::Data);
    let entries = disk.capacity.div_ceil(4096 * spec.grain);
    let gd_sectors = (entries * 4).div_ceil(512);
    let first = 4 + gd_sectors;
    let mut next = first;
    let mut tables: BTreeMap<u64, u64> = BTreeMap::new();
    let mut grains: Vec<_> = disk.grains(grain_bytes).into_iter().collect();
    if spec.reversed {
        grains.reverse();
    }
    forged.meta(4 * SECTOR, gd_sectors * SECTOR);
    for (index, bytes) in grains {
        let which = index / 4096;
        let table = match tables.get(&which) {
            Some(table) => *table,
            None => {
                tables.insert(which, next);
                forged.image.put_u32(4 * SECTOR + which * 4, u32::try_from(next).unwrap_or(0));
                forged.meta(next * SECTOR, 32 * SECTOR);
                next += 32;
                next - 32
            }
        };
        forged.image.put_u32(table * SECTOR + (index % 4096) * 4, u32::try_from(next).unwrap_or(0));
        forged.image.put(next * SECTOR, &bytes);
        next += spec.grain;
    }
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    for (at, value) in [
        (4, 1),
        (8, 3),
        (12, number(disk.capacity)),
        (16, number(spec.grain)),
        (20, 4),
        (24, number(entries)),
        (28, number(next)),
    ] {
        forged.image.put_u32(at, value);
    }
    forged.image.put(0, b"COWD");
    forged.meta(0, 2048);
    let created = up(2048 + 4 * entries, 4096);
    let end = next * SECTOR;
    forged.image.length = if spec.grown {
        created + up(end.saturating_sub(created), 16 << 20)
    } else {
        forged.image.length.max(end)
    };
    forged
}
