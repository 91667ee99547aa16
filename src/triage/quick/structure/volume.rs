//! The first bytes of a guest volume, and their copies.

use std::ops::Range;

use super::{LOOK_BYTES, Place, btrfs, ext, fat, is_random, lvm, ntfs, start, xfs};

const SECTOR: u64 = 512;

/// Looks at the start of the volume and at the copies its kind keeps.
///
/// A partition table `promises` a volume; without one the disk may hold anything.
pub(super) fn look(place: &mut Place<'_>, at: &Range<u64>, is_promised: bool) {
    place.found.volumes.push(at.clone());
    let Some(head) = place.read(at.start, LOOK_BYTES) else { return };
    if !known(place, at, &head) && (is_random(&head) || !deeper(place, at)) {
        start::judge(place, at, &head, is_promised);
    }
}

/// Signatures in the first 4 KiB.
fn known(place: &mut Place<'_>, at: &Range<u64>, head: &[u8]) -> bool {
    let start = at.start;
    let signature = |from: usize, text: &[u8]| head.get(from..from + text.len()) == Some(text);
    if signature(3, b"-FVE-FS-") {
        place.found.owner_encrypted.push((at.clone(), "BitLocker"));
        place.found.intact(start, SECTOR, "BitLocker volume header");
    } else if signature(0, b"LUKS\xba\xbe") {
        place.found.owner_encrypted.push((at.clone(), "LUKS"));
        let second =
            if u16::from_be_bytes([byte(head, 6), byte(head, 7)]) == 2 { " version 2" } else { "" };
        place.found.intact(start, LOOK_BYTES as u64, format!("LUKS header{second}"));
    } else if ntfs::is_boot(head) {
        ntfs::look(place, at, head);
    } else if signature(3, b"EXFAT   ") && signature(510, &[0x55, 0xAA]) {
        fat::look_at_ex(place, at, head);
    } else if signature(510, &[0x55, 0xAA]) && (signature(54, b"FAT") || signature(82, b"FAT32")) {
        fat::look(place, at, head);
    } else if signature(0, b"XFSB") {
        xfs::look(place, at, head);
    } else if ext::is_superblock(head) {
        ext::look(place, at, head);
    } else if let Some(sector) = (0..4).find(|sector| signature(sector * 512, b"LABELONE")) {
        lvm::look(place, at, head, sector);
    } else if signature(4086, b"SWAPSPACE2") {
        place.found.intact(start, LOOK_BYTES as u64, "swap header");
    } else if signature(3, b"ReFS") {
        place.found.intact(start, SECTOR, "ReFS boot sector");
    } else if let Some((_, _, name)) = OTHERS.iter().find(|(from, text, _)| signature(*from, text))
    {
        place.found.intact(start, LOOK_BYTES as u64, *name);
    } else {
        return false;
    }
    true
}

/// Volumes known by a signature alone, by its place in the first 4 KiB.
const OTHERS: [(usize, &[u8], &str); 6] = [
    (4086, b"S1SUSPEND", "swap header of a suspended system"),
    (4086, b"SWAP-SPACE", "swap header"),
    (1024, &0xF2F5_2010_u32.to_le_bytes(), "F2FS superblock"),
    (1024, b"H+\0\x04", "HFS+ volume header"),
    (32, b"ORCLDISK", "Oracle ASM header"),
    (0, b"PRIVHEAD", "dynamic disk header"),
];

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Volumes known by a signature deeper in them.
const DEEPER: [(u64, usize, &[u8], &str); 7] = [
    (0x10_0000, 0, &0xC001_D00D_u32.to_le_bytes(), "VMFS volume header"),
    (0x1000, 0, &0xA92B_4EFC_u32.to_le_bytes(), "RAID superblock"),
    (0x8000, 0, b"JFS1", "JFS superblock"),
    (0x8000, 1, b"CD001", "ISO 9660 volume descriptor"),
    (0x1_0000, 0x34, b"ReIsEr", "ReiserFS superblock"),
    (0x1_0000, 1372, &0x1954_0119_u32.to_le_bytes(), "UFS2 superblock"),
    (0x2000, 1372, &0x0001_1954_u32.to_le_bytes(), "UFS1 superblock"),
];

/// Signatures that lie deeper in the volume.
fn deeper(place: &mut Place<'_>, at: &Range<u64>) -> bool {
    if btrfs::look(place, at) {
        return true;
    }
    for (from, within, text, name) in DEEPER {
        let Some(from) = at.start.checked_add(from).filter(|from| *from < at.end) else { continue };
        let Some(block) = place.read(from, 2048) else { continue };
        if block.get(within..within + text.len()) == Some(text) {
            place.found.intact(from, LOOK_BYTES as u64, name);
            return true;
        }
    }
    // ZFS: a ring of labels in the first 256 KiB, each with its magic at a multiple of 1 KiB.
    let ring = place.read(at.start.saturating_add(0x2_0000), 0x2_0000).unwrap_or_default();
    let zfs = 0x00BA_B10C_u64.to_le_bytes();
    if at.end - at.start > 1 << 20 && ring.chunks_exact(1024).any(|one| one.starts_with(&zfs)) {
        place.found.intact(at.start, 0x4_0000, "ZFS label");
        return true;
    }
    false
}
