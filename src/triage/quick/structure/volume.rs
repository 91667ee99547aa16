//! The first bytes of a guest volume, and their copies.

use std::ops::Range;

use super::{LOOK_BYTES, Place, is_random, structure, u16_at, u32_at, u64_at};

const SECTOR: u64 = 512;
/// ext2/3/4 superblocks lie this far into the volume.
const EXT_SUPERBLOCK: usize = 1024;

/// Looks at the start of the volume and at the copies its kind keeps.
pub(super) fn look(place: &mut Place<'_>, at: &Range<u64>) {
    let Some(head) = place.read(at.start, LOOK_BYTES) else { return };
    let start = at.start;
    let signature = |from: usize, text: &[u8]| head.get(from..from + text.len()) == Some(text);
    if signature(3, b"-FVE-FS-") {
        place.found.owner_encrypted.push((at.clone(), "BitLocker"));
        place.found.intact(start, SECTOR, "BitLocker volume header");
    } else if signature(0, b"LUKS\xba\xbe") {
        place.found.owner_encrypted.push((at.clone(), "LUKS"));
        let second = if u16::from_be_bytes([byte(&head, 6), byte(&head, 7)]) == 2 {
            " version 2"
        } else {
            ""
        };
        place.found.intact(start, LOOK_BYTES as u64, format!("LUKS header{second}"));
    } else if signature(3, b"NTFS    ") && signature(510, &[0x55, 0xAA]) {
        place.found.intact(start, SECTOR, "NTFS boot sector");
        ntfs_backup(place, at, Some(&head));
    } else if signature(3, b"EXFAT   ") && signature(510, &[0x55, 0xAA]) {
        place.found.intact(start, SECTOR, "exFAT boot sector");
    } else if signature(510, &[0x55, 0xAA]) && (signature(54, b"FAT") || signature(82, b"FAT32")) {
        place.found.intact(start, SECTOR, "FAT boot sector");
    } else if signature(0, b"XFSB") {
        place.found.intact(start, SECTOR, "XFS superblock");
    } else if ext_superblock(&head) {
        let detail = "ext superblock";
        place.found.intact(start + EXT_SUPERBLOCK as u64, 1024, detail);
        ext_backup(place, at, &head);
    } else if let Some(sector) = (0..4).find(|sector| signature(sector * 512, b"LABELONE")) {
        place.found.intact(start + sector as u64 * SECTOR, SECTOR, "LVM label");
    } else if signature(4086, b"SWAPSPACE2") {
        place.found.intact(start, LOOK_BYTES as u64, "swap header");
    } else if signature(3, b"ReFS") {
        place.found.intact(start, SECTOR, "ReFS boot sector");
    } else if is_random(&head) {
        lost(place, at, &head);
    } else {
        deeper(place, at);
    }
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The volume begins with random-like bytes.
fn lost(place: &mut Place<'_>, at: &Range<u64>, head: &[u8]) {
    let backup = ntfs_backup(place, at, None);
    if backup {
        let detail = "random-like bytes where the NTFS boot sector must be, while its copy holds";
        place.found.destroyed.push(structure(at.start, head.len() as u64, detail));
    } else if at.start > 0 {
        let detail = "random-like bytes at the start of a partition";
        place.found.suspicious.push(structure(at.start, head.len() as u64, detail));
    }
}

/// NTFS keeps a copy of its boot sector in the partition's last sector. Whether it is there.
fn ntfs_backup(place: &mut Place<'_>, at: &Range<u64>, boot: Option<&[u8]>) -> bool {
    let Some(last) = at.end.checked_sub(SECTOR).filter(|last| *last > at.start) else {
        return false;
    };
    let Some(copy) = place.read(last, 512) else { return false };
    let is_boot = copy.get(3..11) == Some(b"NTFS    ") && copy.get(510..512) == Some(&[0x55, 0xAA]);
    let same = boot.and_then(|boot| boot.get(..512)) == Some(copy.as_slice());
    if is_boot {
        let detail =
            if same { "backup NTFS boot sector, equal" } else { "backup NTFS boot sector" };
        place.found.intact(last, SECTOR, detail);
    } else if boot.is_some() && looks_random(&copy) {
        let detail = "random-like bytes where the backup NTFS boot sector must be";
        place.found.suspicious.push(structure(last, SECTOR, detail));
    }
    is_boot
}

/// Magic, block size, inode and block counts of an ext superblock.
fn ext_superblock(volume: &[u8]) -> bool {
    let Some(block) = volume.get(EXT_SUPERBLOCK..) else { return false };
    u16_at(block, 0x38) == Some(0xEF53)
        && u32_at(block, 0x18).is_some_and(|log| log <= 6)
        && u32_at(block, 0).is_some_and(|inodes| inodes > 0)
        && u32_at(block, 4).is_some_and(|blocks| blocks > 0)
}

/// Group 1 holds the first copy of an ext superblock wherever copies are kept.
fn ext_backup(place: &mut Place<'_>, at: &Range<u64>, volume: &[u8]) {
    let Some(block) = volume.get(EXT_SUPERBLOCK..) else { return };
    let copy_at = (|| {
        let block_bytes = 1024u64.checked_shl(u32_at(block, 0x18)?)?;
        let first = u64::from(u32_at(block, 0x14)?);
        let per_group = u64::from(u32_at(block, 0x20)?);
        let by = per_group.checked_add(first)?.checked_mul(block_bytes)?;
        at.start.checked_add(by).filter(|copy| *copy < at.end)
    })();
    let Some(copy_at) = copy_at else { return };
    let Some(copy) = place.read(copy_at, 1024) else { return };
    let same_uuid = copy.get(0x68..0x78) == block.get(0x68..0x78);
    if u16_at(&copy, 0x38) == Some(0xEF53) && same_uuid {
        place.found.intact(copy_at, 1024, "backup ext superblock of the same file system");
    } else if looks_random(&copy) {
        let detail = "random-like bytes where the backup ext superblock must be";
        place.found.suspicious.push(structure(copy_at, 1024, detail));
    }
}

/// Half a kilobyte and more is too short for the bounds of whole blocks; distinct values tell.
fn looks_random(bytes: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in bytes {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    // 512 random bytes show 221 ± 5 distinct values, 1,024 show 251.
    bytes.len() >= 512 && seen.iter().filter(|seen| **seen).count() >= 200
}

/// Signatures that lie deeper in the volume.
fn deeper(place: &mut Place<'_>, at: &Range<u64>) {
    let length = at.end - at.start;
    if length > 0x1_1000
        && let Some(block) = place.read(at.start + 0x1_0000, 512)
        && block.get(0x40..0x48) == Some(b"_BHRfS_M")
    {
        place.found.intact(at.start + 0x1_0000, LOOK_BYTES as u64, "Btrfs superblock");
    } else if length > 0x10_1000
        && let Some(block) = place.read(at.start + 0x10_0000, 512)
        && u32_at(&block, 0) == Some(0xC001_D00D)
        && u64_at(&block, 4).is_some()
    {
        place.found.intact(at.start + 0x10_0000, SECTOR, "VMFS volume header");
    }
}
