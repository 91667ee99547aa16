//! Partition tables: MBR by custom, GPT after UEFI 2.10 section 5.3. A GPT copy stands for
//! itself: its checksums decide, wherever it lies. Its numbers count sectors of the disk: of 512
//! bytes, or of 4096 where the disk has no smaller ones.

use serde::Serialize;

use crate::{
    ByteOffset, Defect, DefectKind,
    ntfs::{array, u16_at, u32_at, u64_at},
};

const SECTOR: u64 = 512;
/// Sectors that tables are counted in, the usual one first.
pub const SECTORS: [u64; 2] = [512, 4096];
/// A partition array longer than this is not believed.
pub const MAX_ENTRIES_BYTES: u64 = 512 * 1024;

/// A GPT header whose own checksum holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GptHeader {
    /// Sector it says to lie in.
    pub my_lba: u64,
    /// Sector of the other copy.
    pub alternate_lba: u64,
    /// First sector that partitions may use.
    pub first_usable_lba: u64,
    /// Last sector that partitions may use.
    pub last_usable_lba: u64,
    /// Identity of the disk.
    pub disk_guid: [u8; 16],
    /// First sector of the partition array.
    pub entries_lba: u64,
    /// Entries in the array.
    pub entries: u32,
    /// Bytes an entry.
    pub entry_bytes: u32,
    /// CRC-32 of the array.
    pub entries_crc: u32,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// First byte on the disk.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
    /// Type GUID as stored, or the MBR's type in the first byte.
    pub kind: [u8; 16],
    /// Name in WTF-8; empty in an MBR.
    pub name: Vec<u8>,
}

impl GptHeader {
    /// Reads the header that `bytes` begin with; `at` is where they lie.
    ///
    /// # Errors
    /// A [`Defect`] where it is none, or its checksum does not hold.
    pub fn parse(bytes: &[u8], at: ByteOffset) -> Result<Self, Defect> {
        let defect = |field, offset: u64, kind| {
            Defect::new(
                "EFI_PARTITION_TABLE_HEADER",
                field,
                at.checked_add(offset).unwrap_or(at),
                kind,
            )
        };
        let found = u64_at(bytes, 0).unwrap_or(0);
        let expected = u64::from_le_bytes(*b"EFI PART");
        if found != expected {
            return Err(defect("Signature", 0, DefectKind::Magic { expected, found }));
        }
        let length = u32_at(bytes, 12).unwrap_or(0);
        if !(92..=512).contains(&length) {
            let value = u64::from(length);
            return Err(defect(
                "HeaderSize",
                12,
                DefectKind::OutOfRange { value, min: 92, max: 512 },
            ));
        }
        let have = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let truncated =
            || defect("header", 0, DefectKind::Truncated { need: u64::from(length), have });
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut header = bytes.get(..length).ok_or_else(truncated)?.to_vec();
        if let Some(crc) = header.get_mut(16..20) {
            crc.fill(0);
        }
        let (stored, made) = (u32_at(bytes, 16).unwrap_or(0), crc32fast::hash(&header));
        if stored != made {
            let kind = DefectKind::Mismatch {
                expected: format!("{made:#010x}"),
                found: format!("{stored:#010x}"),
            };
            return Err(defect("HeaderCRC32", 16, kind));
        }
        let word = |at| u64_at(bytes, at).unwrap_or(0);
        let half = |at| u32_at(bytes, at).unwrap_or(0);
        let this = Self {
            my_lba: word(24),
            alternate_lba: word(32),
            first_usable_lba: word(40),
            last_usable_lba: word(48),
            disk_guid: array(bytes, 56).unwrap_or_default(),
            entries_lba: word(72),
            entries: half(80),
            entry_bytes: half(84),
            entries_crc: half(88),
        };
        let limit = MAX_ENTRIES_BYTES;
        if this.entry_bytes < 128 || this.array_bytes() > limit {
            let value = this.array_bytes();
            return Err(defect("NumberOfPartitionEntries", 80, DefectKind::Limit { value, limit }));
        }
        Ok(this)
    }

    /// Bytes a sector, by the header's own number where it lies at byte `at`; `None` where it is no
    /// table of the disk that `at` counts in, as a copy inside a file of the guest.
    #[must_use]
    pub fn sector_bytes(&self, at: u64) -> Option<u64> {
        SECTORS.into_iter().find(|sector| self.my_lba.checked_mul(*sector) == Some(at))
    }

    /// Bytes of the partition array.
    #[must_use]
    pub fn array_bytes(&self) -> u64 {
        u64::from(self.entries).saturating_mul(u64::from(self.entry_bytes))
    }

    /// Partitions of the array, if its checksum holds, counted in sectors of `sector_bytes`.
    #[must_use]
    pub fn partitions(&self, array_bytes: &[u8], sector_bytes: u64) -> Option<Vec<Partition>> {
        if crc32fast::hash(array_bytes) != self.entries_crc {
            return None;
        }
        let size = usize::try_from(self.entry_bytes).ok()?;
        let partitions = array_bytes.chunks_exact(size).filter_map(|entry| {
            let kind: [u8; 16] = array(entry, 0)?;
            let start = u64_at(entry, 32)?.checked_mul(sector_bytes)?;
            let end = u64_at(entry, 40)?.checked_add(1)?.checked_mul(sector_bytes)?;
            let name = entry.get(56..128)?;
            let (units, _) = name.as_chunks::<2>();
            let units = units.iter().take_while(|unit| **unit != [0, 0]).count();
            let name = crate::ntfs::wtf8(name.get(..units.checked_mul(2)?)?);
            (kind != [0; 16] && start < end).then_some(Partition { start, end, kind, name })
        });
        Some(partitions.collect())
    }
}

/// Partitions of an MBR, counted in sectors of 512 bytes; `None` where it is none. A protective entry is left out.
#[must_use]
pub fn mbr(sector: &[u8], disk_bytes: u64) -> Option<Vec<Partition>> {
    if u16_at(sector, 510)? != 0xAA55 {
        return None;
    }
    let mut partitions = Vec::new();
    for entry in sector.get(446..510)?.chunks_exact(16) {
        let [status] = array(entry, 0)?;
        let [kind] = array(entry, 4)?;
        let start = u64::from(u32_at(entry, 8)?).checked_mul(SECTOR)?;
        let length = u64::from(u32_at(entry, 12)?).checked_mul(SECTOR)?;
        if kind == 0 {
            continue;
        }
        if status & 0x7F != 0 || start == 0 || length == 0 {
            return None;
        }
        if kind == 0xEE {
            continue;
        }
        let end = start.checked_add(length)?;
        if end > disk_bytes {
            return None;
        }
        let mut word = [0; 16];
        if let Some(first) = word.first_mut() {
            *first = kind;
        }
        partitions.push(Partition { start, end, kind: word, name: Vec::new() });
    }
    Some(partitions)
}
