//! What a disk needs to be seen and mounted, written anew from its surviving copies: both GPTs,
//! the boot sectors of NTFS and the mirror of its first file records. Into the output alone.

use vmglean_formats::{
    ByteOffset, ReadAt as _,
    ntfs::{BootSector, FileRecord},
    partition::{GptHeader, MAX_ENTRIES_BYTES, Partition, SECTORS, mbr},
};

use super::{
    damage::Damage,
    plan::{Planner, UNIT},
};
use crate::disk::VirtualDisk;

/// The MBR, and as much of a boot sector as is read.
const SECTOR: u64 = 512;
/// Partitions whose volumes are looked at.
const MOST_PARTITIONS: usize = 128;
/// File records that the mirror holds at least.
const MIRRORED: u64 = 4;

/// Sectors written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// First byte on the virtual disk.
    pub at: u64,
    /// Whole sectors.
    pub bytes: Vec<u8>,
    /// What they are and what they were made from.
    pub what: String,
}

impl Rewritten {
    /// The byte after the last.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.at.saturating_add(self.bytes.len() as u64)
    }
}

/// Finds out what can be written anew on the disk as it will be made. What a copy does not prove
/// stays as it is, and so does what is whole.
#[must_use]
pub fn rewritten(disk: &VirtualDisk, damage: &Damage) -> Vec<Rewritten> {
    let mut work = Work { disk, damage, made: Vec::new() };
    let partitions = work.tables();
    for partition in partitions.iter().take(MOST_PARTITIONS) {
        work.ntfs(partition);
    }
    let mut made = work.made;
    made.sort_by_key(|one| one.at);
    // Nothing is written twice: what comes first stays.
    let mut end = 0;
    made.retain(|one| {
        let is_free = one.at >= end && one.end() <= disk.capacity_bytes();
        if is_free {
            end = one.end();
        }
        is_free
    });
    made
}

struct Work<'a> {
    disk: &'a VirtualDisk,
    damage: &'a Damage,
    made: Vec<Rewritten>,
}

/// A table that proves itself.
struct Copy {
    header: GptHeader,
    /// Its sector, as long as the disk has them.
    sector: Vec<u8>,
    entries: Vec<u8>,
}

impl Work<'_> {
    /// The bytes of the output there, or `None` where some of them will be fill.
    fn read(&self, at: u64, length: u64) -> Option<Vec<u8>> {
        let end = at.checked_add(length).filter(|end| *end <= self.disk.capacity_bytes())?;
        if let Some(made) = self.made.iter().find(|one| one.at <= at && one.end() >= end) {
            let from = usize::try_from(at - made.at).ok()?;
            return made
                .bytes
                .get(from..from.checked_add(usize::try_from(length).ok()?)?)
                .map(Vec::from);
        }
        let from = at / UNIT * UNIT;
        for unit in Planner::new(self.disk, self.damage, false, from) {
            let inside =
                |piece: &&super::plan::Piece| piece.run.offset < end && piece.run.end() > at;
            if unit
                .pieces
                .iter()
                .filter(inside)
                .any(|piece| piece.is_filled() || piece.lattice.is_some())
            {
                return None;
            }
            if unit.end >= end {
                break;
            }
        }
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        self.disk.read_exact_at(&mut bytes, ByteOffset(at)).ok()?;
        Some(bytes)
    }

    fn write(&mut self, at: u64, bytes: Vec<u8>, what: String) {
        self.made.push(Rewritten { at, bytes, what });
    }

    /// A GPT in this sector, of `bytes` each, whose header and entries prove themselves.
    fn copy(&self, lba: u64, bytes: u64) -> Option<Copy> {
        let at = lba.checked_mul(bytes)?;
        let sector = self.read(at, bytes)?;
        let header = GptHeader::parse(&sector, ByteOffset(at)).ok()?;
        // One inside a file of the guest names another place as its own.
        if header.my_lba != lba {
            return None;
        }
        let length = header.array_bytes().min(MAX_ENTRIES_BYTES);
        let entries = self.read(header.entries_lba.checked_mul(bytes)?, length)?;
        header.partitions(&entries, bytes)?;
        Some(Copy { header, sector, entries })
    }

    /// Mends the tables; the partitions of the one that proves itself.
    fn tables(&mut self) -> Vec<Partition> {
        let size = self.disk.capacity_bytes();
        let last = |bytes: u64| (size / bytes).saturating_sub(1);
        // No table tells how long the disk's sectors are: the one that is found does.
        let primary = SECTORS.iter().find_map(|bytes| Some((self.copy(1, *bytes)?, *bytes)));
        let (primary, backup, bytes) = match primary {
            Some((primary, bytes)) => {
                // A disk that was grown has its second table where the first one says.
                let backup = self.copy(primary.header.alternate_lba, bytes);
                (Some(primary), backup, bytes)
            }
            None => {
                let backup = SECTORS
                    .iter()
                    .find_map(|bytes| Some((self.copy(last(*bytes), *bytes)?, *bytes)));
                match backup {
                    Some((backup, bytes)) => (None, Some(backup), bytes),
                    None => (None, None, SECTOR),
                }
            }
        };
        let (good, lba, what) = match (primary, backup) {
            (Some(primary), Some(_)) => (primary, None, ""),
            (Some(primary), None) => {
                let second = primary.header.alternate_lba;
                (primary, Some(second), "backup GPT, from the primary one")
            }
            (None, Some(backup)) => (backup, Some(1), "primary GPT, from the backup"),
            (None, None) => {
                let sector = self.read(0, SECTOR).unwrap_or_default();
                return mbr(&sector, size).unwrap_or_default();
            }
        };
        if let Some(lba) = lba {
            self.table(&good, (lba, bytes), what);
        }
        // Without it nothing looks for a GPT.
        if self.read(0, SECTOR).and_then(|sector| mbr(&sector, size)).is_none() {
            let from = good.header.my_lba.saturating_mul(bytes);
            let what = format!("protective MBR, for the GPT at {from:#x}; its boot code is lost");
            self.write(0, protective(last(bytes)), what);
        }
        good.header.partitions(&good.entries, bytes).unwrap_or_default()
    }

    /// Writes the other copy of a table, at sector `lba` of `bytes` each.
    fn table(&mut self, good: &Copy, (lba, bytes): (u64, u64), what: &str) {
        let sectors = (good.entries.len() as u64).div_ceil(bytes);
        let entries_lba = if lba == 1 { Some(2) } else { lba.checked_sub(sectors) };
        // Entries lie outside of what partitions use.
        let fits = entries_lba.filter(|first| {
            let end = first.saturating_add(sectors);
            end <= good.header.first_usable_lba || *first > good.header.last_usable_lba
        });
        let Some(entries_lba) = fits.filter(|_| good.header.alternate_lba == lba) else { return };
        let mut header = good.sector.clone();
        let mut put = |at: usize, field: &[u8]| {
            if let Some(place) = header.get_mut(at..at.saturating_add(field.len())) {
                place.copy_from_slice(field);
            }
        };
        put(16, &[0; 4]);
        put(24, &lba.to_le_bytes());
        put(32, &good.header.my_lba.to_le_bytes());
        put(72, &entries_lba.to_le_bytes());
        let length = header.get(12..16).and_then(|word| <[u8; 4]>::try_from(word).ok());
        let length = length.map_or(0, u32::from_le_bytes);
        let summed = usize::try_from(length).ok().and_then(|length| header.get(..length));
        let Some(sum) = summed.map(crc32fast::hash) else { return };
        if let Some(place) = header.get_mut(16..20) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
        let mut entries = good.entries.clone();
        entries.resize(usize::try_from(sectors.saturating_mul(bytes)).unwrap_or(0), 0);
        let (header_at, entries_at) =
            (lba.saturating_mul(bytes), entries_lba.saturating_mul(bytes));
        let from = good.header.my_lba.saturating_mul(bytes);
        self.write(header_at, header, format!("header of the {what} at {from:#x}"));
        self.write(entries_at, entries, format!("entries of the {what} at {from:#x}"));
    }

    /// The boot sector that stands at `at`, if it is one of a volume of this partition; as long as
    /// the volume has sectors.
    fn boot(&self, at: u64, partition: &Partition) -> Option<(Vec<u8>, BootSector)> {
        let boot = BootSector::parse(&self.read(at, SECTOR)?, ByteOffset(at)).ok()?;
        let length = u64::from(boot.sector_bytes);
        let room = partition.end.checked_sub(partition.start)?;
        let fits = boot.volume_bytes().checked_add(length)? <= room;
        Some((self.read(at, length.max(SECTOR))?, boot)).filter(|_| fits)
    }

    /// Mends boot sectors and mirror of an NTFS volume.
    fn ntfs(&mut self, partition: &Partition) {
        let start = partition.start;
        let first = self.boot(start, partition);
        // It lies behind the volume's last sector, or in the partition's last one.
        let behind = first.as_ref().map(|(_, boot)| start.saturating_add(boot.volume_bytes()));
        let ends = SECTORS.map(|bytes| partition.end.saturating_sub(bytes));
        let places = behind.map_or(ends.to_vec(), |behind| vec![behind]);
        let second = places.into_iter().find_map(|at| Some((at, self.boot(at, partition)?)));
        let boot = match (first, second) {
            (Some((_, boot)), Some(_)) => boot,
            (Some((sector, boot)), None) => {
                let what = format!("NTFS backup boot sector, from the first one at {start:#x}");
                let last = start.saturating_add(boot.volume_bytes());
                self.write(last, sector, what);
                boot
            }
            (None, Some((last, (sector, boot)))) => {
                // A boot sector at the end of a partition that it does not fill is another's.
                let length = u64::from(boot.sector_bytes);
                if boot.volume_bytes().saturating_add(length) != partition.end - start {
                    return;
                }
                let what = format!("NTFS boot sector, from its backup at {last:#x}");
                self.write(start, sector, what);
                boot
            }
            (None, None) => return,
        };
        self.mirror(start, &boot);
    }

    /// Mends the first file records and their mirror from each other.
    fn mirror(&mut self, start: u64, boot: &BootSector) {
        let (record, cluster) = (u64::from(boot.record_bytes), u64::from(boot.cluster_bytes));
        let count = (cluster / record.max(1)).max(MIRRORED);
        let place = |lcn: u64| lcn.checked_mul(cluster).and_then(|at| start.checked_add(at));
        let (Some(table), Some(mirror)) = (place(boot.mft_lcn), place(boot.mirror_lcn)) else {
            return;
        };
        if table == mirror {
            return;
        }
        for number in 0..count {
            let offset = number.saturating_mul(record);
            let (one, other) = (table.saturating_add(offset), mirror.saturating_add(offset));
            let in_table = self.record(one, record, number);
            let in_mirror = self.record(other, record, number);
            match (in_table, in_mirror) {
                (Some(bytes), None) => {
                    let what = format!("record {number} of $MFTMirr, from $MFT at {one:#x}");
                    self.write(other, bytes, what);
                }
                (None, Some(bytes)) => {
                    let what = format!("record {number} of $MFT, from $MFTMirr at {other:#x}");
                    self.write(one, bytes, what);
                }
                _ => {}
            }
        }
    }

    /// A file record that holds together and calls itself by this number.
    fn record(&self, at: u64, length: u64, number: u64) -> Option<Vec<u8>> {
        let bytes = self.read(at, length)?;
        let record = FileRecord::parse(bytes.clone(), ByteOffset(at)).ok()?;
        let own = record.value.head.number.map(u64::from);
        (record.defects.is_empty() && own == Some(number)).then_some(bytes)
    }
}

/// A protective MBR for a disk whose last sector is `last`.
fn protective(last: u64) -> Vec<u8> {
    let mut sector = vec![0; 512];
    let length = u32::try_from(last).unwrap_or(u32::MAX);
    let mut entry = vec![0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0];
    entry.extend_from_slice(&length.to_le_bytes());
    if let Some(place) = sector.get_mut(446..462) {
        place.copy_from_slice(&entry);
    }
    if let Some(place) = sector.get_mut(510..512) {
        place.copy_from_slice(&[0x55, 0xAA]);
    }
    sector
}
