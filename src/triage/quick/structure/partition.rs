//! Partition tables at both ends of a raw disk (UEFI 2.10 section 5.3, MBR by custom).

use std::ops::Range;

use super::{LOOK_BYTES, Place, is_random, structure, u32_at, u64_at, volume};

const SECTOR: u64 = 512;
/// Sectors that a GPT may be counted in; the disk tells nothing of it.
const SECTORS: [u64; 2] = [SECTOR, 4096];
/// More partitions than this are not looked at.
const MAX_PARTITIONS: usize = 16;
/// A partition array longer than this is not believed.
const MAX_ENTRIES_BYTES: u64 = 512 * 1024;

/// A partition that a table promises.
struct Promise {
    at: Range<u64>,
    /// Whether a volume must begin there; boot loaders and dumps have none.
    is_volume: bool,
}

/// A GPT whose CRCs are right.
struct Gpt {
    /// Where it lies.
    at: u64,
    partitions: Vec<Promise>,
    /// Where it says that its copy lies.
    other_at: u64,
}

pub(super) fn look(place: &mut Place<'_>) {
    let Some(head) = place.read(0, 64 * 1024) else { return };
    place.found.head_is_random = is_random(&head);
    let primary = [(512..1024, SECTOR), (4096..4608, 4096)]
        .into_iter()
        .find_map(|(range, at)| gpt(place, head.get(range).unwrap_or_default(), at));
    let backup = backup(place, primary.as_ref());
    let mbr = mbr(place, &head);
    if let Some(table) = &primary {
        let detail = format!("GPT with {} partitions, CRCs right", table.partitions.len());
        place.found.intact(table.at, SECTOR, detail);
    }
    if let Some(table) = &mbr {
        place.found.intact(0, SECTOR, format!("MBR with {} partitions in range", table.len()));
    }
    place.found.head_is_intact = primary.is_some() || mbr.is_some();
    let is_protective = mbr.as_ref().is_some_and(Vec::is_empty);
    if primary.is_none() && backup.is_none() && is_protective {
        let detail = "the MBR announces a GPT, and none at either end has right CRCs";
        place.found.damaged.push(structure(SECTOR, 17 * 1024, detail));
    }
    if primary.is_none() && backup.is_some() {
        judge_lost_head(place, &head);
    }
    let has_table = primary.is_some() || backup.is_some();
    let table = primary.or(backup).map(|gpt| gpt.partitions).or(mbr).unwrap_or_default();
    if table.is_empty() && !has_table {
        let whole = 0..place.size;
        let intact_before = place.found.intact.len();
        volume::look(place, &whole, false);
        place.found.head_is_intact |=
            place.found.intact.len() > intact_before || !place.found.owner_encrypted.is_empty();
    }
    for partition in table.into_iter().take(MAX_PARTITIONS) {
        // One that begins behind this file's end lies in another extent of its disk.
        if partition.at.start < place.size {
            volume::look(place, &partition.at, partition.is_volume);
        }
    }
}

/// The copy where the primary says, or in the last sector where there is none.
fn backup(place: &mut Place<'_>, primary: Option<&Gpt>) -> Option<Gpt> {
    let last = |sector: u64| (place.size / sector).saturating_sub(1) * sector;
    let places = primary.map_or(SECTORS.map(last).to_vec(), |table| vec![table.other_at]);
    for at in places.into_iter().filter(|at| *at > SECTOR) {
        // A disk in several extents has its end in another file.
        let sector = place.read(at, 512)?;
        if let Some(table) = gpt(place, &sector, at) {
            let detail =
                format!("backup GPT with {} partitions, CRCs right", table.partitions.len());
            place.found.intact(at, SECTOR, detail);
            return Some(table);
        }
        if primary.is_some() {
            place.wreck(at, &sector, "the backup GPT must be");
        }
    }
    None
}

/// The backup table is there, the primary is not: what lies in its place?
fn judge_lost_head(place: &mut Place<'_>, head: &[u8]) {
    let first = head.get(..LOOK_BYTES).unwrap_or(head);
    if place.found.head_is_random {
        let detail = "random-like bytes where MBR and GPT must be, while the backup GPT holds";
        place.found.destroyed.push(structure(0, first.len() as u64, detail));
    } else if first.iter().all(|byte| *byte == 0) {
        let detail = "zeros where MBR and GPT must be, while the backup GPT holds";
        place.found.damaged.push(structure(0, first.len() as u64, detail));
    } else {
        let detail = "no valid GPT at the head, while the backup GPT holds";
        place.found.damaged.push(structure(0, first.len() as u64, detail));
    }
}

/// The GPT whose header is `sector`, lying at `at`, if both CRCs agree.
fn gpt(place: &mut Place<'_>, sector: &[u8], at: u64) -> Option<Gpt> {
    if !sector.starts_with(b"EFI PART") {
        return None;
    }
    let header_bytes = usize::try_from(u32_at(sector, 12)?).ok()?;
    if !(92..=512).contains(&header_bytes) {
        return None;
    }
    let mut header = sector.get(..header_bytes)?.to_vec();
    header.get_mut(16..20)?.fill(0);
    if crc32fast::hash(&header) != u32_at(sector, 16)? {
        return None;
    }
    let own = u64_at(sector, 24)?;
    let unit = SECTORS.into_iter().find(|unit| own.checked_mul(*unit) == Some(at))?;
    let entries_at = u64_at(sector, 72)?.checked_mul(unit)?;
    let (count, size) = (u64::from(u32_at(sector, 80)?), u64::from(u32_at(sector, 84)?));
    let length = count.checked_mul(size)?;
    if size < 128 || length > MAX_ENTRIES_BYTES || entries_at.checked_add(length)? > place.size {
        return None;
    }
    let entries = place.read(entries_at, usize::try_from(length).ok()?)?;
    if entries.len() as u64 != length || crc32fast::hash(&entries) != u32_at(sector, 88)? {
        return None;
    }
    let partitions = entries
        .chunks_exact(usize::try_from(size).ok()?)
        .filter(|entry| entry.iter().take(16).any(|byte| *byte != 0))
        .filter_map(|entry| {
            let start = u64_at(entry, 32)?.checked_mul(unit)?;
            let end = u64_at(entry, 40)?.checked_add(1)?.checked_mul(unit)?;
            let is_volume = !NO_VOLUME.iter().any(|kind| entry.starts_with(kind));
            (start < end).then_some(Promise { at: start..end, is_volume })
        })
        .collect();
    Some(Gpt { at, partitions, other_at: u64_at(sector, 32)?.checked_mul(unit)? })
}

/// Kinds of GPT partition that begin with no volume: BIOS boot, Microsoft reserved, PReP boot,
/// dynamic disk, VMware's core dump and reserve.
const NO_VOLUME: [[u8; 16]; 7] = [
    *b"Hah!IdontNeedEFI",
    guid(0xE3C9_E316_0B5C_4DB8, 0x817D_F92D_F002_15AE),
    guid(0x9E1A_2D38_C612_4316, 0xAA26_8B49_521E_5A8B),
    guid(0x5808_C8AA_7E8F_42E0, 0x85D2_E1E9_0434_CFB3),
    guid(0xAF9B_60A0_1431_4F62, 0xBC68_3311_714A_69AD),
    guid(0x9D27_5380_40AD_11DB, 0xBF97_000C_2911_D1B8),
    guid(0x9198_EFFC_31C0_11DB, 0x8F78_000C_2911_D1B8),
];

/// The bytes of a GUID whose digits, as written, are these two halves.
const fn guid(first: u64, second: u64) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h] = first.to_be_bytes();
    let [i, j, k, l, m, n, o, p] = second.to_be_bytes();
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

/// Kinds of MBR partition that begin with no volume: PReP boot, dynamic disk, VMware's core dump.
const MBR_NO_VOLUME: [u8; 3] = [0x41, 0x42, 0xFC];
/// Kinds of MBR partition that hold a chain of tables.
const MBR_EXTENDED: [u8; 3] = [0x05, 0x0F, 0x85];

/// Partitions of an MBR whose entries all lie on the disk; a protective one alone counts too.
fn mbr(place: &mut Place<'_>, head: &[u8]) -> Option<Vec<Promise>> {
    let entries = entries(head)?;
    let mut partitions = Vec::new();
    let mut extended = None;
    for (kind, at) in &entries {
        if *kind == 0xEE {
            continue;
        }
        if at.start == 0 || at.end > place.size {
            return None;
        }
        if MBR_EXTENDED.contains(kind) {
            extended = Some(at.clone());
        } else {
            let is_volume = !MBR_NO_VOLUME.contains(kind);
            partitions.push(Promise { at: at.clone(), is_volume });
        }
    }
    if entries.is_empty() {
        return None;
    }
    if let Some(at) = extended {
        logical(place, &at, &mut partitions);
    }
    Some(partitions)
}

/// Entries of a table sector that are used: kind and place, counted from the sector's own base.
fn entries(sector: &[u8]) -> Option<Vec<(u8, Range<u64>)>> {
    if sector.get(510..512) != Some(&[0x55, 0xAA]) {
        return None;
    }
    let mut found = Vec::new();
    for entry in sector.get(446..510)?.chunks_exact(16) {
        let (status, kind) = (*entry.first()?, *entry.get(4)?);
        if kind == 0 {
            continue;
        }
        let start = u64::from(u32_at(entry, 8)?) * SECTOR;
        let length = u64::from(u32_at(entry, 12)?) * SECTOR;
        if status & 0x7F != 0 || start == 0 || length == 0 {
            return None;
        }
        found.push((kind, start..start.checked_add(length)?));
    }
    Some(found)
}

/// Partitions in an extended one: a chain of tables, each naming a partition and the next table.
fn logical(place: &mut Place<'_>, at: &Range<u64>, partitions: &mut Vec<Promise>) {
    let mut table_at = at.start;
    for _ in 0..MAX_PARTITIONS {
        let Some(sector) = place.read(table_at, 512) else { return };
        let Some(entries) = entries(&sector) else {
            place.wreck(table_at, &sector, "the table of logical partitions must be");
            return;
        };
        let mut next = None;
        for (kind, part) in entries {
            if MBR_EXTENDED.contains(&kind) {
                next = at.start.checked_add(part.start);
            } else if let (Some(start), Some(end)) =
                (table_at.checked_add(part.start), table_at.checked_add(part.end))
            {
                let is_volume = !MBR_NO_VOLUME.contains(&kind);
                partitions.push(Promise { at: start..end, is_volume });
            }
        }
        match next {
            Some(next) if next > table_at && next < at.end => table_at = next,
            _ => return,
        }
    }
}
