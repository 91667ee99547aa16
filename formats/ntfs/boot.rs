//! The boot sector: geometry of the volume. A copy lies in the sector after the volume's last.

use serde::Serialize;

use super::{MAX_CLUSTER_BYTES, MAX_RECORD_BYTES, array, u16_at, u32_at, u64_at};
use crate::{ByteOffset, Defect, DefectKind};

const STRUCTURE: &str = "BOOT_SECTOR";

/// Geometry of an NTFS volume as its boot sector states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct BootSector {
    /// Bytes a sector.
    pub sector_bytes: u32,
    /// Bytes a cluster.
    pub cluster_bytes: u32,
    /// Sectors of the volume, the backup boot sector not counted.
    pub total_sectors: u64,
    /// First cluster of `$MFT`.
    pub mft_lcn: u64,
    /// First cluster of `$MFTMirr`.
    pub mirror_lcn: u64,
    /// Bytes a file record.
    pub record_bytes: u32,
    /// Bytes an index block.
    pub index_bytes: u32,
    /// Serial number of the volume.
    pub serial: u64,
}

/// `n` clusters, or 2^-n bytes where `n` is negative.
fn size_of(n: u8, cluster_bytes: u32) -> Option<u32> {
    let signed = i8::from_le_bytes([n]);
    if signed > 0 {
        return u32::from(n).checked_mul(cluster_bytes);
    }
    1_u32.checked_shl(u32::from(signed.unsigned_abs())).filter(|_| signed < 0)
}

impl BootSector {
    /// Reads the sector that `bytes` begin with; `at` is where they lie.
    ///
    /// # Errors
    /// A [`Defect`] naming the first field that no NTFS volume can have.
    pub fn parse(bytes: &[u8], at: ByteOffset) -> Result<Self, Defect> {
        let defect = |field, offset: u64, kind| {
            Defect::new(STRUCTURE, field, at.checked_add(offset).unwrap_or(at), kind)
        };
        if bytes.len() < 512 {
            let have = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            return Err(defect("sector", 0, DefectKind::Truncated { need: 512, have }));
        }
        let magic = u64_at(bytes, 3).unwrap_or(0);
        let expected = u64::from_le_bytes(*b"NTFS    ");
        if magic != expected {
            return Err(defect("oem_id", 3, DefectKind::Magic { expected, found: magic }));
        }
        let end = u64::from(u16_at(bytes, 510).unwrap_or(0));
        if end != 0xAA55 {
            return Err(defect(
                "signature",
                510,
                DefectKind::Magic { expected: 0xAA55, found: end },
            ));
        }
        let sector_bytes = u32::from(u16_at(bytes, 11).unwrap_or(0));
        let range = |field, offset, value: u64, min, max| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(defect(field, offset, DefectKind::OutOfRange { value, min, max }))
            }
        };
        range("bytes_per_sector", 11, u64::from(sector_bytes), 256, 4096)?;
        if !sector_bytes.is_power_of_two() {
            let value = u64::from(sector_bytes);
            return Err(defect("bytes_per_sector", 11, DefectKind::NotPowerOfTwo { value }));
        }
        let [per_cluster] = array(bytes, 13).unwrap_or([0]);
        let sectors = match per_cluster {
            0..=128 => Some(u32::from(per_cluster)),
            // From Windows 10 on: 2^-n sectors.
            _ => 1_u32.checked_shl(u32::from(i8::from_le_bytes([per_cluster]).unsigned_abs())),
        };
        let cluster_bytes = sectors.and_then(|n| n.checked_mul(sector_bytes)).unwrap_or(0);
        if !cluster_bytes.is_power_of_two() || cluster_bytes > MAX_CLUSTER_BYTES {
            return Err(defect(
                "sectors_per_cluster",
                13,
                DefectKind::OutOfRange { value: u64::from(per_cluster), min: 1, max: 128 },
            ));
        }
        let total_sectors = u64_at(bytes, 40).unwrap_or(0);
        range("total_sectors", 40, total_sectors, 16, 1 << 55)?;
        let total = total_sectors.saturating_mul(u64::from(sector_bytes));
        let clusters = total.checked_div(u64::from(cluster_bytes)).unwrap_or(0);
        let mft_lcn = u64_at(bytes, 48).unwrap_or(0);
        range("mft_lcn", 48, mft_lcn, 1, clusters)?;
        let mirror_lcn = u64_at(bytes, 56).unwrap_or(0);
        range("mft_mirror_lcn", 56, mirror_lcn, 1, clusters)?;
        let [record] = array(bytes, 64).unwrap_or([0]);
        let [block] = array(bytes, 68).unwrap_or([0]);
        let sized = |field, offset, n| match size_of(n, cluster_bytes) {
            Some(size) if (512..=MAX_RECORD_BYTES).contains(&size) && size.is_power_of_two() => {
                Ok(size)
            }
            _ => Err(defect(
                field,
                offset,
                DefectKind::OutOfRange { value: u64::from(n), min: 1, max: 255 },
            )),
        };
        let record_bytes = sized("clusters_per_record", 64, record)?;
        let index_bytes = sized("clusters_per_index_block", 68, block)?;
        if u32_at(bytes, 32).unwrap_or(0) != 0 || u16_at(bytes, 22).unwrap_or(0) != 0 {
            let found = u64::from(u32_at(bytes, 32).unwrap_or(0));
            return Err(defect("unused", 22, DefectKind::Unknown { value: found }));
        }
        Ok(Self {
            sector_bytes,
            cluster_bytes,
            total_sectors,
            mft_lcn,
            mirror_lcn,
            record_bytes,
            index_bytes,
            serial: u64_at(bytes, 72).unwrap_or(0),
        })
    }

    /// Bytes of the volume, the backup boot sector not counted.
    #[must_use]
    pub fn volume_bytes(&self) -> u64 {
        self.total_sectors.saturating_mul(u64::from(self.sector_bytes))
    }
}
