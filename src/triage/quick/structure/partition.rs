//! Partition tables at both ends of a raw disk (UEFI 2.10 section 5.3, MBR by custom).

use std::ops::Range;

use super::{LOOK_BYTES, Place, is_random, structure, u32_at, u64_at, volume};

const SECTOR: u64 = 512;
/// More partitions than this are not looked at.
const MAX_PARTITIONS: usize = 16;
/// A partition array longer than this is not believed.
const MAX_ENTRIES_BYTES: u64 = 512 * 1024;

pub(super) fn look(place: &mut Place<'_>) {
    let Some(head) = place.read(0, 64 * 1024) else { return };
    place.found.head_is_random = is_random(&head);
    let last = place.size / SECTOR;
    let primary = gpt(place, head.get(512..1024).unwrap_or_default(), SECTOR);
    let backup_at = last.saturating_sub(1) * SECTOR;
    let backup = match place.read(backup_at, 512) {
        Some(sector) if backup_at > SECTOR => gpt(place, &sector, backup_at),
        _ => None,
    };
    let mbr = mbr(&head, place.size);
    if let Some(table) = &primary {
        place.found.intact(
            SECTOR,
            SECTOR,
            format!("GPT with {} partitions, CRCs right", table.len()),
        );
    }
    if let Some(table) = &backup {
        let detail = format!("backup GPT with {} partitions, CRCs right", table.len());
        place.found.intact(backup_at, SECTOR, detail);
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
    let table = primary.or(backup).or(mbr);
    let whole = 0..place.size;
    // A table that names the head of the disk as a volume would be judged twice.
    let partitions: Vec<Range<u64>> = table.unwrap_or_default();
    if partitions.is_empty() {
        let intact_before = place.found.intact.len();
        volume::look(place, &whole);
        place.found.head_is_intact |=
            place.found.intact.len() > intact_before || !place.found.owner_encrypted.is_empty();
    }
    for partition in partitions.into_iter().take(MAX_PARTITIONS) {
        volume::look(place, &partition);
    }
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

/// Partitions of the GPT whose header is `sector`, lying at `at`, if both CRCs agree.
fn gpt(place: &mut Place<'_>, sector: &[u8], at: u64) -> Option<Vec<Range<u64>>> {
    if !sector.starts_with(b"EFI PART") {
        return None;
    }
    let header_bytes = usize::try_from(u32_at(sector, 12)?).ok()?;
    if !(92..=512).contains(&header_bytes) {
        return None;
    }
    let mut header = sector.get(..header_bytes)?.to_vec();
    header.get_mut(16..20)?.fill(0);
    if crc32fast::hash(&header) != u32_at(sector, 16)?
        || u64_at(sector, 24)?.checked_mul(SECTOR)? != at
    {
        return None;
    }
    let entries_at = u64_at(sector, 72)?.checked_mul(SECTOR)?;
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
            let start = u64_at(entry, 32)?.checked_mul(SECTOR)?;
            let end = u64_at(entry, 40)?.checked_add(1)?.checked_mul(SECTOR)?;
            (start < end && end <= place.size).then_some(start..end)
        })
        .collect();
    Some(partitions)
}

/// Partitions of an MBR whose entries all lie on the disk; a protective one alone counts too.
fn mbr(head: &[u8], size: u64) -> Option<Vec<Range<u64>>> {
    if head.get(510..512) != Some(&[0x55, 0xAA]) {
        return None;
    }
    let mut partitions = Vec::new();
    for entry in head.get(446..510)?.chunks_exact(16) {
        let kind = *entry.get(4)?;
        if kind == 0 {
            continue;
        }
        let start = u64::from(u32_at(entry, 8)?).checked_mul(SECTOR)?;
        let length = u64::from(u32_at(entry, 12)?).checked_mul(SECTOR)?;
        let status = *entry.first()?;
        if status & 0x7F != 0 || start == 0 || length == 0 {
            return None;
        }
        if kind == 0xEE {
            continue;
        }
        let end = start.checked_add(length)?;
        if end > size {
            return None;
        }
        partitions.push(start..end);
    }
    let protective = head.get(446..510)?.chunks_exact(16).any(|entry| entry.get(4) == Some(&0xEE));
    (!partitions.is_empty() || protective).then_some(partitions)
}
