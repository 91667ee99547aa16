//! Volumes made by their own tools, with one structure after the other written over.

use std::{
    fs::File,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::Path,
    process::{Command, Stdio},
};

use vmglean_formats::{ByteOffset, Bytes, MediumError, ReadAt};

use super::{Structures, look};
use crate::{source::Source, triage::quick::verdict::ExtentKind};

/// An image, and what was written over it.
struct Image {
    file: File,
    length: u64,
    hit: Option<(Range<u64>, bool)>,
}

impl ReadAt for Image {
    fn len_bytes(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let length = Bytes(buf.len() as u64);
        self.file.read_exact_at(buf, at.0).map_err(|source| MediumError::Io {
            at,
            len: length,
            source,
        })?;
        if let Some((hit, is_random)) = &self.hit {
            for (place, byte) in (at.0..).zip(buf) {
                if hit.contains(&place) {
                    let mixed = place.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
                    let mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 56;
                    *byte = if *is_random { mixed as u8 } else { 0 };
                }
            }
        }
        Ok(())
    }
}

impl Source for Image {}

fn made(folder: &Path, bytes: u64, tool: &str, arguments: &[&str]) -> Image {
    let path = folder.join(tool);
    File::create(&path).unwrap().set_len(bytes).unwrap();
    let search = std::env::var("PATH").unwrap_or_default() + ":/sbin:/usr/sbin";
    let status = Command::new(tool)
        .args(arguments)
        .arg(&path)
        .env("PATH", search)
        .stdout(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{tool} (see tests/run): {error}"));
    assert!(status.success(), "{tool}");
    Image { file: File::open(path).unwrap(), length: bytes, hit: None }
}

fn wrong(image: &Image) -> (Structures, Vec<String>) {
    let found = look(image, image.length, ExtentKind::Flat);
    let all = found.damaged.iter().chain(&found.destroyed).chain(&found.doubtful);
    let words = all.chain(&found.suspicious).map(|one| one.detail.clone()).collect();
    (found, words)
}

/// The volume is whole with these structures, and none of the places can be lost unseen.
fn check(mut image: Image, structures: &[&str], places: &[(&str, Range<u64>)]) {
    let (found, words) = wrong(&image);
    assert!(words.is_empty(), "{words:?}");
    for name in structures {
        assert!(found.intact.iter().any(|one| one.detail.contains(name)), "{name}: {found:#?}");
    }
    for (name, place) in places {
        for is_random in [false, true] {
            image.hit = Some((place.clone(), is_random));
            let (_, words) = wrong(&image);
            assert!(!words.is_empty(), "{name}, random: {is_random}");
        }
    }
}

#[test]
fn xfs_is_asked_for_its_groups_and_its_root() {
    let folder = tempfile::tempdir().unwrap();
    let image = made(folder.path(), 512 << 20, "mkfs.xfs", &["-q", "-f", "-d", "agcount=4"]);
    let group = 128 << 20;
    let places = [
        ("end of the superblock", 100..512),
        ("free space", 512..1024),
        ("inodes", 1024..1536),
        ("superblock of group 2", 2 * group..2 * group + 512),
        ("free space of group 3", 3 * group + 512..3 * group + 1024),
        ("inodes of group 1", group + 1024..group + 1536),
        ("half a sector", group + 700..group + 800),
    ];
    check(image, &["XFS superblock", "4 XFS allocation groups", "root folder of XFS"], &places);
}

#[test]
fn btrfs_is_asked_for_its_mirror_and_its_chunk_tree() {
    let folder = tempfile::tempdir().unwrap();
    let image = made(folder.path(), 300 << 20, "mkfs.btrfs", &["-q", "-f"]);
    let names = ["Btrfs superblock", "mirror of the Btrfs", "chunk tree"];
    let (found, _) = wrong(&image);
    let root = found.intact.iter().find(|one| one.detail.contains("chunk")).unwrap().offset_bytes;
    let places = [
        ("end of the superblock", 0x1_0800..0x1_1000),
        ("mirror", 0x400_0000..0x400_1000),
        ("chunk tree", root..root + 16_384),
        ("some of it", root + 200..root + 300),
    ];
    check(image, &names, &places);
}

#[test]
fn fat_is_asked_for_its_tables_its_copy_and_its_root() {
    let folder = tempfile::tempdir().unwrap();
    for (bits, bytes) in [("12", 4_u64 << 20), ("16", 16 << 20), ("32", 128 << 20)] {
        let image = made(folder.path(), bytes, "mkfs.fat", &["-F", bits, "-n", "BOOT"]);
        let mut head = [0; 64];
        image.file.read_exact_at(&mut head, 0).unwrap();
        let word = |at: usize| u64::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let table = word(14) * 512;
        let length = if bits == "32" { word(36) } else { word(22) } * 512;
        let root = table + 2 * length;
        let mut places = vec![
            ("geometry", 11..40),
            ("first table", table..table + 512),
            ("second table", table + length..table + length + 512),
        ];
        if bits == "32" {
            places.push(("copy of the boot sector", 6 * 512..7 * 512));
        }
        check(image, &["FAT boot sector", "allocation table", "root folder"], &places);
        let mut image = made(folder.path(), bytes, "mkfs.fat", &["-F", bits, "-n", "BOOT"]);
        image.hit = Some((root..root + 512, true));
        assert!(!wrong(&image).1.is_empty(), "root of FAT{bits}");
    }
}

#[test]
fn exfat_is_asked_for_its_checksums_its_table_and_its_root() {
    let folder = tempfile::tempdir().unwrap();
    let image = made(folder.path(), 64 << 20, "mkfs.exfat", &[]);
    let mut head = [0; 128];
    image.file.read_exact_at(&mut head, 0).unwrap();
    let word = |at: usize| u64::from(u32::from_le_bytes(head[at..at + 4].try_into().unwrap()));
    let table = word(80) * 512;
    let root = word(88) * 512 + ((word(96) - 2) << head[109]) * 512;
    // mkfs.exfat leaves most of the region zero: zeros can only be told from what is not.
    let places = [
        ("serial number", 100..104),
        ("marks of the next sectors", 512..3 * 512),
        ("sums", 11 * 512..12 * 512),
        ("copy", 12 * 512..24 * 512),
        ("table", table..table + 512),
        ("root", root..root + 512),
    ];
    let names = ["boot region of exFAT", "backup boot region", "table of exFAT", "root folder"];
    check(image, &names, &places);
    let mut image = made(folder.path(), 64 << 20, "mkfs.exfat", &[]);
    for (name, place) in [("boot code", 200..400), ("parameters", 9 * 512..10 * 512)] {
        image.hit = Some((place, true));
        assert!(!wrong(&image).1.is_empty(), "{name}");
    }
}

/// CRC-32 bit by bit, begun and ended as LVM2 does.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xF597_A6CF, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 }
        })
    })
}

#[test]
fn lvm_is_asked_for_its_text() {
    let text = b"vg0 {\nid = \"Gphn\"\nseqno = 1\n}\n# Generated by LVM2\n\0";
    let mut disk = vec![0; 4 << 20];
    let mut label = vec![0; 512];
    label[..8].copy_from_slice(b"LABELONE");
    label[8] = 1;
    label[20] = 32;
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].fill(b'x');
    label[64..72].copy_from_slice(&(4_u64 << 20).to_le_bytes());
    label[72..80].copy_from_slice(&(1_u64 << 20).to_le_bytes());
    label[104..112].copy_from_slice(&4096_u64.to_le_bytes());
    label[112..120].copy_from_slice(&65_536_u64.to_le_bytes());
    let sum = crc(&label[20..]);
    label[16..20].copy_from_slice(&sum.to_le_bytes());
    disk[512..1024].copy_from_slice(&label);
    let mut header = vec![0; 512];
    header[4..20].copy_from_slice(b"\x20LVM2\x20x[5A%r0N*>");
    header[20] = 1;
    header[24..32].copy_from_slice(&4096_u64.to_le_bytes());
    header[32..40].copy_from_slice(&65_536_u64.to_le_bytes());
    // The text begins ten bytes before the end of the area and goes on behind the header.
    let offset = 65_536 - 10_usize;
    header[40..48].copy_from_slice(&(offset as u64).to_le_bytes());
    header[48..56].copy_from_slice(&(text.len() as u64).to_le_bytes());
    header[56..60].copy_from_slice(&crc(text).to_le_bytes());
    let sum = crc(&header[4..]);
    header[..4].copy_from_slice(&sum.to_le_bytes());
    disk[4096..4608].copy_from_slice(&header);
    disk[4096 + offset..4096 + offset + 10].copy_from_slice(&text[..10]);
    disk[4608..4608 + text.len() - 10].copy_from_slice(&text[10..]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pv");
    std::fs::write(&path, &disk).unwrap();
    let image = Image { file: File::open(path).unwrap(), length: disk.len() as u64, hit: None };
    let places = [
        ("label", 512 + 32..1024),
        ("header", 4096..4608),
        ("text", 4608..4620),
        ("its begin", 4096 + offset as u64..4096 + 65_536),
    ];
    check(image, &["LVM label", "LVM metadata"], &places);
}
