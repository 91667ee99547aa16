//! FAT12, FAT16, FAT32 and exFAT: boot sectors and their copies, the tables, the root folder.
//!
//! After Microsoft's FAT specification 1.03 and its exFAT specification.

use std::ops::Range;

use super::{Place, Wreck, structure, u16_at, u32_at, u64_at};

const SECTOR: u64 = 512;
/// Bytes of each table that are held against each other.
const TABLE_BYTES: usize = 16 * 1024;
/// So much of them may differ: what was being written when the guest was stopped.
const MOST_DIFFERENT: usize = 8;

/// Looks at a FAT volume whose first sector is a boot sector by its marks.
pub(super) fn look(place: &mut Place<'_>, at: &Range<u64>, head: &[u8]) {
    if fat(place, at, head).is_none() {
        let detail = "the FAT boot sector states a geometry that cannot be";
        place.found.damaged.push(structure(at.start, SECTOR, detail));
    }
}

fn fat(place: &mut Place<'_>, at: &Range<u64>, head: &[u8]) -> Option<()> {
    let sector = u64::from(u16_at(head, 11)?);
    let cluster = u64::from(*head.get(13)?);
    let reserved = u64::from(u16_at(head, 14)?);
    let tables = u64::from(*head.get(16)?);
    let entries = u64::from(u16_at(head, 17)?);
    let media = *head.get(21)?;
    let is_32 = u16_at(head, 22)? == 0;
    let length = if is_32 { u64::from(u32_at(head, 36)?) } else { u64::from(u16_at(head, 22)?) };
    // FAT32 may be told to keep one of its tables only.
    let is_mirrored = !is_32 || u16_at(head, 40)? & 0x80 == 0;
    let is_sane = matches!(sector, 512 | 1024 | 2048 | 4096)
        && cluster.is_power_of_two()
        && reserved > 0
        && (1..=4).contains(&tables)
        && media >= 0xF0
        && length > 0
        && (is_32 || entries > 0);
    is_sane.then_some(())?;
    place.found.intact(at.start, SECTOR, "FAT boot sector");
    let by = |sectors: u64| at.start.saturating_add(sectors.saturating_mul(sector));
    let mut first: Option<Vec<u8>> = None;
    for nth in 0..tables {
        let from = by(reserved + nth * length);
        let take = usize::try_from(length.saturating_mul(sector)).unwrap_or(TABLE_BYTES);
        let Some(bytes) = place.read(from, take.min(TABLE_BYTES)) else { continue };
        // The first entry repeats the kind of medium.
        if bytes.first() != Some(&media) || bytes.get(1).is_none_or(|byte| *byte != 0xFF) {
            place.wreck(from, &bytes, "a file allocation table must be");
            return Some(());
        }
        let different = |first: &Vec<u8>| {
            first.chunks(512).zip(bytes.chunks(512)).filter(|(one, other)| one != other).count()
        };
        let sectors = first.as_ref().filter(|_| is_mirrored).map_or(0, different);
        if sectors > MOST_DIFFERENT {
            let detail = "the two file allocation tables differ";
            place.found.doubtful.push(structure(from, bytes.len() as u64, detail));
        }
        first.get_or_insert(bytes);
    }
    if first.is_some() {
        place.found.intact(by(reserved), length.saturating_mul(sector), "file allocation table");
    }
    let data = reserved + tables * length;
    let root = if is_32 {
        copy(place, at, head, sector);
        u64::from(u32_at(head, 44)?.checked_sub(2)?).saturating_mul(cluster) + data
    } else {
        data
    };
    folder(place, by(root));
    Some(())
}

/// The copy of FAT32's boot sector.
fn copy(place: &mut Place<'_>, at: &Range<u64>, head: &[u8], sector: u64) -> Option<()> {
    let backup = u64::from(u16_at(head, 50)?);
    // Nothing says that there is one.
    (1..32).contains(&backup).then_some(())?;
    let from = at.start.checked_add(backup * sector)?;
    let bytes = place.read(from, 512)?;
    // Tools that move a partition write its place (28..32) into the first one alone.
    let is_same = |range: Range<usize>| bytes.get(range.clone()) == head.get(range);
    if bytes.get(510..512) == Some(&[0x55, 0xAA]) && is_same(11..28) && is_same(32..36) {
        place.found.intact(from, SECTOR, "backup FAT boot sector");
    } else {
        place.wreck(from, &bytes, "the backup FAT boot sector must be");
    }
    Some(())
}

/// The root folder: entries of 32 bytes until one that begins with zero.
fn folder(place: &mut Place<'_>, at: u64) -> Option<()> {
    let bytes = place.read(at, 512)?;
    let is_entry = |entry: &[u8]| {
        // Attributes have six bits; a name holds no control characters.
        let byte = |at: usize| entry.get(at).copied().unwrap_or(0xFF);
        byte(11) & 0xC0 == 0
            && (byte(11) == 0x0F || (byte(0) > 0x20 || byte(0) == 5) && byte(1) >= 0x20)
    };
    let used = bytes.chunks_exact(32).take_while(|entry| entry.first() != Some(&0));
    let is_whole = used.clone().all(is_entry);
    if !is_whole {
        place.wreck(at, &bytes, "the root folder of FAT must be");
    } else if used.count() > 0 {
        place.found.intact(at, bytes.len() as u64, "root folder of FAT");
    }
    Some(())
}

/// Sectors of exFAT's boot region; the last one repeats the checksum of those before.
const REGION_SECTORS: u64 = 12;

/// Looks at an exFAT volume whose first sector is a boot sector by its marks.
pub(super) fn look_at_ex(place: &mut Place<'_>, at: &Range<u64>, head: &[u8]) {
    if exfat(place, at, head).is_none() {
        let detail = "the exFAT boot sector states a geometry that cannot be";
        place.found.damaged.push(structure(at.start, SECTOR, detail));
    }
}

fn exfat(place: &mut Place<'_>, at: &Range<u64>, head: &[u8]) -> Option<()> {
    let log = u32::from(*head.get(108)?);
    let cluster_log = u32::from(*head.get(109)?);
    ((9..=12).contains(&log) && cluster_log <= 25).then_some(())?;
    let sector = 1_u64 << log;
    let length = usize::try_from(REGION_SECTORS * sector).ok()?;
    for (nth, name) in [(0, "boot region of exFAT"), (1, "backup boot region of exFAT")] {
        let from = at.start.checked_add(nth * REGION_SECTORS * sector)?;
        let Some(region) = place.read(from, length).filter(|r| r.len() == length) else { continue };
        if is_region(&region, sector) {
            place.found.intact(from, region.len() as u64, name);
        } else if nth == 0 {
            let detail = "the checksum of exFAT's boot region is wrong";
            place.found.damaged.push(structure(from, region.len() as u64, detail));
        } else {
            place.wreck(from, &region, &format!("the {name} must be"));
        }
    }
    let by = |sectors: u64| at.start.saturating_add(sectors.saturating_mul(sector));
    let table = by(u64::from(u32_at(head, 80)?));
    if let Some(bytes) = place.read(table, 512) {
        // Entry 0 is the medium, entry 1 all ones.
        if u64_at(&bytes, 0) == Some(0xFFFF_FFFF_FFFF_FFF8) {
            place.found.intact(table, 512, "file allocation table of exFAT");
        } else {
            place.wreck(table, &bytes, "exFAT's file allocation table must be");
        }
    }
    let heap = u64::from(u32_at(head, 88)?);
    let root = u64::from(u32_at(head, 96)?.checked_sub(2)?);
    let from = by(heap.checked_add(root.checked_shl(cluster_log)?)?);
    let bytes = place.read(from, 512)?;
    // Label, bitmap and case table stand first, in any order; the bitmap is always there.
    let kinds: Vec<u8> =
        bytes.chunks_exact(32).filter_map(|entry| entry.first().copied()).collect();
    if kinds.contains(&0x81) && Wreck::of(&bytes) != Wreck::Random {
        place.found.intact(from, 512, "root folder of exFAT");
    } else {
        place.wreck(from, &bytes, "the root folder of exFAT must be");
    }
    Some(())
}

/// Whether the last of twelve sectors repeats the checksum of the others.
fn is_region(region: &[u8], sector: u64) -> bool {
    let Ok(sector) = usize::try_from(sector) else { return false };
    let (Some(bytes), Some(sums)) = (region.get(..11 * sector), region.get(11 * sector..)) else {
        return false;
    };
    // Flags and the share in use change without it.
    let sum = bytes
        .iter()
        .enumerate()
        .filter(|(at, _)| !matches!(at, 106 | 107 | 112))
        .fold(0_u32, |sum, (_, byte)| sum.rotate_right(1).wrapping_add(u32::from(*byte)));
    bytes.get(3..11) == Some(b"EXFAT   ")
        && sums.chunks_exact(4).all(|one| one == sum.to_le_bytes())
}
