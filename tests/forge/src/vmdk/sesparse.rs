//! seSparse deltas with journal, bitmap and backmap.

use std::collections::{BTreeMap, BTreeSet};

use super::{Disk, Forged, GrainTruth, SECTOR, up};

/// What the backmap's owners are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The virtual grain.
    VirtualGrain,
    /// Table index times 4096, plus the entry.
    TableSlot,
}

/// What the journal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalSpec {
    /// No record.
    Empty,
    /// Records whose images equal the sectors on disk, as after a clean close.
    Clean,
    /// The newest records were not applied: tables on disk are older than their images.
    Dirty,
}

/// How to write an seSparse extent.
#[derive(Clone, Debug)]
pub struct SeSparseSpec {
    /// Tables are handed out from the last slot to the first, as a guest writing backwards does.
    pub reversed: bool,
    /// The backmap's owners.
    pub owner: Owner,
    /// The journal.
    pub journal: JournalSpec,
    /// Byte offsets of grains that were written and then unmapped by the guest.
    pub unmapped: BTreeSet<u64>,
    /// Sectors that areas are rounded up to: 2048 as on ESXi; less makes a small file of the same
    /// structure, at least 50.
    pub unit: u64,
}

impl Default for SeSparseSpec {
    fn default() -> Self {
        Self {
            reversed: false,
            owner: Owner::TableSlot,
            journal: JournalSpec::Clean,
            unmapped: BTreeSet::new(),
            unit: 2048,
        }
    }
}

/// Packs a type nibble and an index as the format does.
#[must_use]
pub fn pack(nibble: u64, index: u64) -> u64 {
    nibble << 60 | (index & 0xfff) << 48 | index >> 12
}

/// First sectors of grain directory, grain tables, bitmap, backmap and grains.
#[must_use]
pub fn places(capacity: u64) -> [u64; 5] {
    places_by(capacity, 2048)
}

fn places_by(capacity: u64, unit: u64) -> [u64; 5] {
    let grains = capacity.div_ceil(8);
    let tables = grains.div_ceil(4096);
    let gd = 2 * unit;
    let gt = gd + up((tables * 8).div_ceil(512), unit);
    let gt_size = up(tables * 64, unit);
    let bitmap = gt + gt_size;
    let backmap = bitmap + up(grains.div_ceil(8).div_ceil(512), unit);
    [gd, gt, bitmap, backmap, backmap + gt_size]
}

/// Writes the extent.
#[must_use]
pub fn write(disk: &Disk, spec: &SeSparseSpec) -> Forged {
    let mut forged = Forged::new(disk, 4096);
    for at in &spec.unmapped {
        forged.grains.insert(at / 4096, GrainTruth::Zero);
        forged.disk.writes.retain(|(offset, _)| offset / 4096 != at / 4096);
    }
    let [gd, gt, bitmap, backmap, data] = places_by(disk.capacity, spec.unit);
    let mut grains: BTreeMap<u64, Option<Vec<u8>>> = BTreeMap::new();
    for at in &disk.zeroed {
        grains.insert(at / 4096, None);
    }
    for (index, bytes) in disk.grains(4096) {
        grains.insert(index, Some(bytes));
    }
    let mut order: Vec<_> = grains.into_iter().collect();
    if spec.reversed {
        order.reverse();
    }
    let unmapped: BTreeSet<u64> = spec.unmapped.iter().map(|at| at / 4096).collect();
    // Metadata as sectors, so that the journal can hold whole ones.
    let mut sectors: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut poke = |byte: u64, bytes: &[u8], or: bool| {
        let sector = sectors.entry(byte / SECTOR).or_insert_with(|| vec![0; 512]);
        let at = usize::try_from(byte % SECTOR).unwrap_or(0);
        for (place, value) in sector[at..at + bytes.len()].iter_mut().zip(bytes) {
            *place = if or { *place | *value } else { *value };
        }
    };
    let mut tables: BTreeMap<u64, u64> = BTreeMap::new();
    let mut used = 0u64;
    let mut data_end = data;
    for (index, bytes) in order {
        let slot = index / 4096;
        let known = tables.len();
        let table = *tables.entry(slot).or_insert(u64::try_from(known).unwrap_or(0));
        poke(gd * SECTOR + slot * 8, &(1u64 << 60 | table).to_le_bytes(), false);
        let place = gt * SECTOR + table * 64 * SECTOR + (index % 4096) * 8;
        let Some(bytes) = bytes else {
            poke(place, &pack(2, 0).to_le_bytes(), false);
            continue;
        };
        let nibble = if unmapped.contains(&index) { 1 } else { 3 };
        poke(place, &pack(nibble, used).to_le_bytes(), false);
        let owner = match spec.owner {
            Owner::VirtualGrain => index,
            Owner::TableSlot => table * 4096 + index % 4096,
        };
        poke(backmap * SECTOR + used * 8, &pack(1, owner).to_le_bytes(), false);
        poke(bitmap * SECTOR + used / 8, &[1 << (used % 8)], true);
        forged.image.put((data + used * 8) * SECTOR, &bytes);
        used += 1;
        data_end = data + used * 8;
    }
    let in_use = u64::try_from(tables.len()).unwrap_or(0);
    write_headers(&mut forged, disk, spec, in_use);
    let journaled: Vec<_> = match spec.journal {
        JournalSpec::Empty => Vec::new(),
        JournalSpec::Clean | JournalSpec::Dirty => sectors
            .iter()
            .filter(|(sector, _)| **sector >= gt)
            .map(|(at, bytes)| (*at, bytes.clone()))
            .collect(),
    };
    write_journal(&mut forged, &journaled, spec.unit);
    for (sector, bytes) in &sectors {
        // A dirty extent's tables were not written yet.
        if spec.journal == JournalSpec::Dirty && *sector >= gt && *sector < bitmap {
            continue;
        }
        forged.image.put(sector * SECTOR, bytes);
    }
    for (at, end) in [(gd, gt), (gt, bitmap), (bitmap, backmap), (backmap, data)] {
        forged.meta(at * SECTOR, (end - at) * SECTOR);
    }
    // ESXi extends the file by one grain of FF.
    forged.image.put(data_end * SECTOR, &[0xff; 4096]);
    forged
}

fn write_headers(forged: &mut Forged, disk: &Disk, spec: &SeSparseSpec, in_use: u64) {
    let [gd, gt, bitmap, backmap, data] = places_by(disk.capacity, spec.unit);
    let fields = [
        0xcafe_babe,
        0x0000_0002_0000_0001,
        disk.capacity,
        8,
        64,
        0,
        0,
        0,
        0,
        0,
        1,
        1,
        2,
        2,
        spec.unit,
        spec.unit,
        gd,
        gt - gd,
        gt,
        bitmap - gt,
        bitmap,
        backmap - bitmap,
        backmap,
        data - backmap,
        data,
        disk.capacity,
    ];
    for (nth, value) in (0u64..).zip(fields) {
        forged.image.put_u64(nth * 8, value);
    }
    let dirty = u64::from(spec.journal == JournalSpec::Dirty);
    for (nth, value) in (0u64..).zip([0xcafe_cafe, in_use, 0, dirty]) {
        forged.image.put_u64(SECTOR + nth * 8, value);
    }
    forged.image.put_u64(2 * SECTOR, 0xdeaf_c0de);
    forged.meta(0, 4 * SECTOR);
    forged.meta(spec.unit * SECTOR, spec.unit * SECTOR);
}

/// Records of up to five sectors in slots of 25, sequence from 4 on, and the number of the next.
fn write_journal(forged: &mut Forged, sectors: &[(u64, Vec<u8>)], unit: u64) {
    let mut sequence = 4u64;
    for (slot, group) in (0..unit / 25).zip(sectors.chunks(5)) {
        let at = (unit + slot * 25) * SECTOR;
        let length = u64::try_from(group.len()).unwrap_or(0) + 1;
        let head =
            [0xc0ffee, 1, slot, length, 0x1122_3344_5566_7788, sequence, u64::MAX, 2000 * sequence];
        for (nth, value) in (0u64..).zip(head) {
            forged.image.put_u64(at + nth * 8, value);
        }
        for (nth, (sector, bytes)) in (0u64..).zip(group) {
            forged.image.put_u64(at + 128 + nth * 16, *sector);
            forged.image.put_u64(at + 136 + nth * 16, 1);
            forged.image.put(at + (nth + 1) * SECTOR, bytes);
        }
        sequence += 1;
    }
    forged.image.put_u64(SECTOR + 16, sequence);
    forged.image.put_u64(2 * SECTOR + 8, sequence);
    forged.image.put_u64(2 * SECTOR + 16, 1);
}
