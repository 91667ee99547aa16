//! NTFS: the boot sector, its copy, the file table where the boot sector puts it, its mirror.

mod bitmap;

use std::ops::Range;

pub(super) use bitmap::is_unused;
use vmglean_formats::{
    ByteOffset,
    ntfs::{Attribute, AttributeBody, BootSector, DataRun, FileRecord, kinds},
};

use super::{Place, Wreck, files::Files, structure};

const SECTOR: u64 = 512;
/// Bytes of the file table's begin that are read.
const TABLE_BYTES: usize = 64 * 1024;
/// Records that every volume has, by their number: all before this one.
const SYSTEM_RECORDS: u64 = 8;
/// Files begin here; the records before are the system's own and spare ones.
const FIRST_FILE: u64 = 24;
/// Records of the mirror.
const MIRRORED: u64 = 4;
/// Places of the rest of the file table that are looked at, a block each.
const PROBES: u64 = 16;
const PROBE_BYTES: u64 = 4096;
/// Records whose folders and files are looked at.
const MOST_RECORDS: usize = 128;

/// Whether these bytes begin as a boot sector does, sane or not.
pub(super) fn is_boot(sector: &[u8]) -> bool {
    sector.get(3..11) == Some(b"NTFS    ") && sector.get(510..512) == Some(&[0x55, 0xAA])
}

/// Looks at a volume whose first sector is a boot sector.
pub(super) fn look(place: &mut Place<'_>, at: &Range<u64>, head: &[u8]) {
    let boot = BootSector::parse(head, ByteOffset(at.start));
    match &boot {
        Ok(_) => place.found.intact(at.start, SECTOR, "NTFS boot sector"),
        Err(defect) => {
            let detail = format!("no possible {} in the NTFS boot sector", defect.field);
            place.found.damaged.push(structure(at.start, SECTOR, detail));
        }
    }
    let boot = boot.ok();
    let copy = copy(place, at, boot.as_ref(), head);
    if let Some(boot) = boot.or(copy) {
        table(place, at, &boot);
    }
}

/// Looks at a volume without a boot sector. Whether the copy in its last sector is one.
pub(super) fn look_by_copy(place: &mut Place<'_>, at: &Range<u64>) -> bool {
    let Some(last) = at.end.checked_sub(SECTOR).filter(|last| *last > at.start) else {
        return false;
    };
    let Some(copy) = place.read(last, 512).filter(|copy| is_boot(copy)) else { return false };
    place.found.intact(last, SECTOR, "backup NTFS boot sector");
    if let Ok(boot) = BootSector::parse(&copy, ByteOffset(last)) {
        table(place, at, &boot);
    }
    true
}

/// The copy behind the volume's last sector, or in the partition's last one.
fn copy(
    place: &mut Place<'_>,
    at: &Range<u64>,
    boot: Option<&BootSector>,
    head: &[u8],
) -> Option<BootSector> {
    let stated = boot.and_then(|boot| at.start.checked_add(boot.volume_bytes()));
    let last = at.end.checked_sub(SECTOR).filter(|last| *last > at.start);
    let mut seen = None;
    for at in [stated, last].into_iter().flatten() {
        let Some(copy) = place.read(at, 512) else { continue };
        if is_boot(&copy) {
            let same = head.get(..512) == Some(copy.as_slice());
            let detail =
                if same { "backup NTFS boot sector, equal" } else { "backup NTFS boot sector" };
            place.found.intact(at, SECTOR, detail);
            return BootSector::parse(&copy, ByteOffset(at)).ok();
        }
        seen.get_or_insert((at, copy));
    }
    if let Some((at, copy)) = seen {
        place.wreck(at, &copy, "the backup NTFS boot sector must be");
    }
    None
}

/// Where the table is: pairs of its first byte and the bytes that lie there together.
struct Table {
    /// Bytes of the table, and where they lie.
    runs: Vec<(Range<u64>, u64)>,
    /// Bytes of it that were ever written.
    valid: u64,
    record_bytes: u64,
}

/// The first records, more of them all over the table, and the mirror.
fn table(place: &mut Place<'_>, at: &Range<u64>, boot: &BootSector) {
    let cluster = u64::from(boot.cluster_bytes);
    let record = u64::from(boot.record_bytes);
    let begin = |lcn: u64| lcn.checked_mul(cluster).and_then(|by| at.start.checked_add(by));
    let (Some(table_at), Some(mirror_at)) = (begin(boot.mft_lcn), begin(boot.mirror_lcn)) else {
        return;
    };
    // Behind the end of this file lies another extent of the same disk.
    let Some(bytes) = place.read(table_at, TABLE_BYTES) else { return };
    let layout = layout(&bytes, at, boot);
    let (known, reach) = match &layout {
        Some(table) => (
            table.valid.checked_div(record).unwrap_or(0),
            table.runs.first().map_or(0, |(part, _)| part.end),
        ),
        None => (SYSTEM_RECORDS, u64::MAX),
    };
    let mut count = Count::default();
    let mut first = (0, Vec::new());
    let numbered = bytes.chunks_exact(usize::try_from(record).unwrap_or(TABLE_BYTES));
    for (number, bytes) in (0u64..).zip(numbered) {
        if number >= known.max(SYSTEM_RECORDS) || number.saturating_mul(record) >= reach {
            break;
        }
        let place = table_at.saturating_add(number.saturating_mul(record));
        count.take(bytes, number, place, number < SYSTEM_RECORDS, &mut first);
    }
    if let Some(table) = &layout {
        probe(place, table, &mut count, &mut first);
    }
    if count.lost > 0 {
        let Count { lost, looked, .. } = &count;
        let what = format!("file records of NTFS must be ({lost} of {looked} looked at)");
        place.wreck(first.0, &first.1, &what);
    } else if count.blank > 8 && count.blank * 2 > count.looked {
        let Count { blank, looked, .. } = &count;
        let detail =
            format!("zeros where file records of NTFS must be ({blank} of {looked} looked at)");
        place.found.damaged.push(structure(table_at, TABLE_BYTES as u64, detail));
    } else {
        let detail = format!("{} file records of NTFS", count.looked);
        place.found.intact(table_at, bytes.len() as u64, detail);
    }
    contents(place, at, boot, &count.records);
    mirror(place, mirror_at, record);
}

/// The first records once more, in the mirror.
fn mirror(place: &mut Place<'_>, at: u64, record: u64) {
    let Ok(length) = usize::try_from(record.saturating_mul(MIRRORED)) else { return };
    let Some(bytes) = place.read(at, length) else { return };
    let mut count = Count::default();
    let mut first = (0, Vec::new());
    let numbered = bytes.chunks_exact(usize::try_from(record).unwrap_or(length));
    for (number, bytes) in (0u64..).zip(numbered) {
        let place = at.saturating_add(number.saturating_mul(record));
        count.take(bytes, number, place, true, &mut first);
    }
    if count.lost > 0 {
        place.wreck(first.0, &first.1, "the mirror of the first NTFS file records must be");
    } else {
        place.found.intact(at, bytes.len() as u64, "mirror of the first NTFS file records");
    }
}

/// Records looked at.
#[derive(Default)]
struct Count {
    looked: u64,
    /// Neither a whole record nor zeros where none was made yet.
    lost: u64,
    /// Zeros.
    blank: u64,
    /// Whole ones that are in use.
    records: Vec<FileRecord>,
}

impl Count {
    fn take(
        &mut self,
        bytes: &[u8],
        number: u64,
        at: u64,
        must_be: bool,
        first: &mut (u64, Vec<u8>),
    ) {
        self.looked += 1;
        if bytes.iter().all(|byte| *byte == 0) && !must_be {
            // Spare records are made with the first file by some.
            self.blank += u64::from(number >= FIRST_FILE);
        } else if let Some(record) = record(bytes, number) {
            if record.head.is_in_use && self.records.len() < MOST_RECORDS {
                self.records.push(record);
            }
        } else {
            if self.lost == 0 || Wreck::of(&first.1) != Wreck::Random {
                *first = (at, bytes.to_vec());
            }
            self.lost += 1;
        }
    }
}

/// The whole record of that number: each of its sectors carries its mark.
fn record(bytes: &[u8], number: u64) -> Option<FileRecord> {
    let record = FileRecord::parse(bytes.to_vec(), ByteOffset(0)).ok()?.value;
    // Spare records carry no number yet.
    let is_own = record.head.number.is_none_or(|own| u64::from(own) == number);
    (is_own || !record.head.is_in_use).then_some(record)
}

/// Where the records say that folders and files begin.
fn contents(place: &mut Place<'_>, at: &Range<u64>, boot: &BootSector, records: &[FileRecord]) {
    let mut files = Files::default();
    let cluster = u64::from(boot.cluster_bytes);
    for record in records.iter().filter(|record| record.head.base.is_none()) {
        for attribute in &record.attributes {
            let AttributeBody::NonResident { first_vcn: 0, valid, runs, .. } = &attribute.body
            else {
                continue;
            };
            let is_index = attribute.kind == kinds::INDEX_ALLOCATION && files.wants_folders();
            // Compressed, encrypted and sparse files begin with something else.
            let is_file = attribute.kind == kinds::DATA
                && is_plain_file(record, attribute)
                && *valid >= 512
                && files.wants_files();
            if attribute.kind == kinds::DATA && is_plain_file(record, attribute) {
                holds(&mut files, at, cluster, *valid, runs);
            }
            let begin = runs
                .first()
                .and_then(|run| run.lcn?.checked_mul(cluster)?.checked_add(at.start))
                .filter(|_| is_index || is_file);
            let Some(begin) = begin else { continue };
            let length =
                if is_file { usize::try_from(*valid).unwrap_or(4096).min(4096) } else { 512 };
            let Some(bytes) = place.read(begin, length) else { continue };
            if is_file {
                files.file(begin, bytes);
            } else {
                let is_whole = bytes.starts_with(b"INDX");
                files.folder(begin, bytes, is_whole);
            }
        }
    }
    files.note(place, "NTFS", 4);
}

/// Whether the bytes of a file stand as they are in its clusters.
fn is_plain_file(record: &FileRecord, attribute: &Attribute) -> bool {
    attribute.name.is_empty()
        && attribute.flags == 0
        && record.head.number.is_none_or(|number| u64::from(number) >= FIRST_FILE)
}

/// Notes where the `valid` bytes of a file lie; what is behind them was never written.
fn holds(files: &mut Files, at: &Range<u64>, cluster: u64, valid: u64, runs: &[DataRun]) {
    for run in runs {
        let Some(from) = run.vcn.checked_mul(cluster) else { return };
        let length = run.clusters.saturating_mul(cluster).min(valid.saturating_sub(from));
        let begin = run.lcn.and_then(|lcn| lcn.checked_mul(cluster)?.checked_add(at.start));
        if let Some(begin) = begin.filter(|_| length >= 512) {
            files.holds(begin, length, valid);
        }
    }
}

/// The table's own record, the first one, says where its parts lie.
fn layout(bytes: &[u8], at: &Range<u64>, boot: &BootSector) -> Option<Table> {
    let record = usize::try_from(boot.record_bytes).ok()?;
    let parsed = FileRecord::parse(bytes.get(..record)?.to_vec(), ByteOffset(0)).ok()?.value;
    let data = parsed.of_kind(kinds::DATA).find(|one| one.name.is_empty())?;
    let AttributeBody::NonResident { valid, runs, .. } = &data.body else { return None };
    let cluster = u64::from(boot.cluster_bytes);
    let mut parts = Vec::new();
    for DataRun { vcn, clusters, lcn } in runs {
        let from = vcn.checked_mul(cluster)?;
        let to = clusters.checked_mul(cluster).and_then(|by| from.checked_add(by))?;
        parts.push((from..to, lcn.as_ref()?.checked_mul(cluster)?.checked_add(at.start)?));
    }
    Some(Table { runs: parts, valid: *valid, record_bytes: u64::from(boot.record_bytes) })
}

/// Blocks at equal distances over the whole table.
fn probe(place: &mut Place<'_>, table: &Table, count: &mut Count, first: &mut (u64, Vec<u8>)) {
    let record = table.record_bytes.max(1);
    let unit = record.max(PROBE_BYTES);
    let units = table.valid.checked_div(unit).unwrap_or(0);
    for nth in 0..PROBES.min(units) {
        let number = u128::from(nth) * u128::from(units) / u128::from(PROBES.min(units));
        let from = u64::try_from(number).unwrap_or(0).saturating_mul(unit);
        if from < TABLE_BYTES as u64 {
            continue;
        }
        let Some((part, at)) = table.runs.iter().find(|(part, _)| part.contains(&from)) else {
            continue;
        };
        let length = unit.min(part.end - from);
        let Some(at) = at.checked_add(from - part.start) else { continue };
        let Some(bytes) = place.read(at, usize::try_from(length).unwrap_or(0)) else { continue };
        let numbered = bytes.chunks_exact(usize::try_from(record).unwrap_or(usize::MAX));
        for (nth, bytes) in (0u64..).zip(numbered) {
            let at = at.saturating_add(nth.saturating_mul(record));
            count.take(bytes, from / record + nth, at, false, first);
        }
    }
}
