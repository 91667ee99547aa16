//! Whole guest disks: partition tables, volumes, and what people keep in them.

use std::io::Write as _;

use flate2::{Compression, Crc, write::DeflateEncoder, write::GzEncoder};

use super::{ext2, ntfs};
use crate::damage::{Cipher, KeyStream, Rng};

const SECTOR: usize = 512;
const MIB: usize = 1 << 20;
/// Where the first partition begins; real ones begin at 1 MiB.
const FIRST: usize = 64;
/// Sectors that GPT keeps at the end.
const GPT_END: usize = 33;

/// Type of a partition, as GPT stores it.
const LINUX: [u8; 16] = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];
const BASIC_DATA: [u8; 16] = [
    0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7,
];

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Master boot record with one partition of that type up to the disk's end.
fn mbr(disk: &mut [u8], kind: u8, first: usize) {
    let sectors = disk.len() / SECTOR;
    put(disk, 0, b"\x33\xc0\x8e\xd0\xbc\x00\x7c\x8e\xc0\x8e\xd8\xbe\x00\x7c\xbf\x00\x06");
    put(disk, 0x162, b"Invalid partition table\0Error loading operating system\0");
    put(disk, 440, &0x4f3c_91d2_u32.to_le_bytes());
    put(disk, 446, &[if kind == 0xee { 0 } else { 0x80 }, 0, 2, 0, kind, 0xff, 0xff, 0xff]);
    put(disk, 454, &(first as u32).to_le_bytes());
    put(disk, 458, &((sectors - first) as u32).to_le_bytes());
    put(disk, 510, &[0x55, 0xaa]);
}

/// GPT at both ends with one partition.
fn gpt(disk: &mut [u8], kind: &[u8; 16], name: &str, seed: u8) {
    let sectors = disk.len() / SECTOR;
    mbr(disk, 0xee, 1);
    let last = sectors - 1;
    let guid = |n: u8| -> Vec<u8> { (0..16).map(|i: u8| i.wrapping_mul(29) ^ seed ^ n).collect() };
    let mut entries = vec![0; 32 * SECTOR];
    put(&mut entries, 0, kind);
    put(&mut entries, 16, &guid(1));
    put(&mut entries, 32, &(FIRST as u64).to_le_bytes());
    put(&mut entries, 40, &((last - GPT_END) as u64).to_le_bytes());
    let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    put(&mut entries, 56, &units);
    for (own, other, table) in [(1, last, 2), (last, 1, last - 32)] {
        let mut header = vec![0; SECTOR];
        put(&mut header, 0, b"EFI PART\0\0\x01\0\x5c\0\0\0");
        for (at, value) in [(24, own), (32, other), (40, 34), (48, last - GPT_END), (72, table)] {
            put(&mut header, at, &(value as u64).to_le_bytes());
        }
        put(&mut header, 56, &guid(2));
        put(&mut header, 80, &128_u32.to_le_bytes());
        put(&mut header, 84, &128_u32.to_le_bytes());
        put(&mut header, 88, &crc(&entries).to_le_bytes());
        let sum = crc(&header[..92]);
        put(&mut header, 16, &sum.to_le_bytes());
        put(disk, own * SECTOR, &header);
        put(disk, table * SECTOR, &entries);
    }
}

/// Text of a few thousand made-up words, numbers and names: packs about as well as real prose.
#[must_use]
pub(super) fn prose(seed: u64, bytes: usize) -> Vec<u8> {
    const PARTS: [&str; 32] = [
        "an", "ber", "ch", "der", "el", "fi", "gen", "hal", "in", "jo", "ker", "le", "mo", "nu",
        "or", "pla", "qui", "re", "sta", "ti", "un", "ver", "wa", "xi", "ys", "zo", "ar", "con",
        "dis", "ment", "tion", "us",
    ];
    let mut rng = Rng::new(seed);
    let mut out = Vec::with_capacity(bytes + 32);
    while out.len() < bytes {
        // Squaring makes some words far more common than others.
        let draw = rng.within(0, 64);
        let mut word = Rng::new(draw * draw + rng.within(0, 24));
        for _ in 0..1 + word.within(0, 3) {
            out.extend_from_slice(word.pick(&PARTS).as_bytes());
        }
        match rng.within(0, 14) {
            0 => out.extend_from_slice(b",\n"),
            1 => out.extend_from_slice(format!(" {}.", rng.within(1, 99_999)).as_bytes()),
            _ => {}
        }
        out.push(b' ');
    }
    out.truncate(bytes);
    out
}

/// Rows as a database or an export keeps them.
#[must_use]
pub(super) fn rows(seed: u64, bytes: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut out = Vec::with_capacity(bytes + 80);
    let mut id = 10_000;
    while out.len() < bytes {
        id += 1 + rng.within(0, 3);
        let (day, month) = (1 + rng.within(0, 28), 1 + rng.within(0, 12));
        let (customer, cents) = (rng.within(100, 999), rng.within(100, 999_999));
        let line = format!("{id};2023-{month:02}-{day:02};C{customer};{cents};EUR;paid\n");
        out.extend_from_slice(line.as_bytes());
    }
    out.truncate(bytes);
    out
}

/// A gzip file of that text, without time or name.
#[must_use]
pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    // Writing into memory cannot fail.
    let _ = encoder.write_all(content);
    encoder.finish().unwrap_or_default()
}

/// A zip archive of these files.
#[must_use]
pub(super) fn zip(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut index) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
        let _ = encoder.write_all(content);
        let packed = encoder.finish().unwrap_or_default();
        let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0x50, 0xa6, 0x56];
        for number in [crc(content), packed.len() as u32, content.len() as u32] {
            common.extend(number.to_le_bytes());
        }
        common.extend([name.len() as u8, 0, 0, 0]);
        index.extend_from_slice(b"PK\x01\x02\x14\0");
        index.extend_from_slice(&common);
        index.extend([0; 10]);
        index.extend((out.len() as u32).to_le_bytes());
        index.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&common);
        out.extend_from_slice(name.as_bytes());
        out.extend(packed);
    }
    let (at, count) = (out.len() as u32, files.len() as u8);
    out.extend_from_slice(&index);
    out.extend_from_slice(&[b'P', b'K', 5, 6, 0, 0, 0, 0, count, 0, count, 0]);
    out.extend((index.len() as u32).to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// A Linux server: GPT, one ext2 volume, configuration, logs and a site.
#[must_use]
pub fn linux(bytes: usize, host: &str, seed: u64) -> Vec<u8> {
    let mut disk = vec![0; bytes];
    gpt(&mut disk, &LINUX, "root", seed as u8);
    let volume = ext_volume(bytes - (FIRST + GPT_END) * SECTOR, host, seed);
    put(&mut disk, FIRST * SECTOR, &volume);
    disk
}

/// The same behind a master boot record.
#[must_use]
pub fn linux_mbr(bytes: usize, host: &str, seed: u64) -> Vec<u8> {
    let mut disk = vec![0; bytes];
    mbr(&mut disk, 0x83, FIRST);
    let volume = ext_volume(bytes - FIRST * SECTOR, host, seed);
    put(&mut disk, FIRST * SECTOR, &volume);
    disk
}

fn ext_volume(bytes: usize, host: &str, seed: u64) -> Vec<u8> {
    let bytes = bytes / 1024 * 1024;
    let name = format!("{host}\n");
    // Two fifths of the volume hold data, in files that one level of pointers can reach.
    let count = bytes.div_ceil(MIB) * 4;
    let part = bytes * 2 / 5 / count;
    let data: Vec<(String, Vec<u8>)> = (0..count as u64)
        .map(|n| match n % 2 {
            0 => (format!("srv/orders-{n}.csv"), rows(seed ^ n << 8, part)),
            _ => (format!("home/letters-{n}.txt"), prose(seed ^ n << 8, part)),
        })
        .collect();
    let log: Vec<u8> = (0..400)
        .map(|n| {
            format!("May  6 10:{:02}:{:02} {host} sshd[{n}]: session opened\n", n / 60, n % 60)
        })
        .collect::<String>()
        .into_bytes();
    let mut files: Vec<(&str, &[u8])> = vec![
        ("etc/hostname", name.as_bytes()),
        ("etc/fstab", b"UUID=5a7f9c / ext2 defaults 0 1\n"),
        ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\n"),
        ("var/log/auth.log", &log),
        ("var/www/index.html", b"<html><body><h1>It works</h1></body></html>\n"),
    ];
    files.extend(data.iter().map(|(path, content)| (path.as_str(), content.as_slice())));
    ext2::volume(bytes, "root", seed as u8, &files)
}

/// A Windows machine: GPT, the bones of one NTFS volume, tables and documents.
#[must_use]
pub fn windows(bytes: usize, seed: u64, more: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut disk = vec![0; bytes];
    gpt(&mut disk, &BASIC_DATA, "Basic data partition", seed as u8);
    let room = bytes - (FIRST + GPT_END) * SECTOR;
    let used: usize = more.iter().map(|(_, content)| content.len() + 8192).sum();
    let part = (room - used) / 7;
    let (ledger, letters, table) = (rows(seed, part), prose(seed ^ 3, part), rows(seed ^ 4, part));
    let mut files: Vec<(&str, &[u8])> = vec![
        ("boot.ini", b"[boot loader]\r\ntimeout=30\r\n"),
        ("ledger.csv", &ledger),
        ("letters.txt", &letters),
        ("stock.mdf", &table),
    ];
    files.extend(more.iter().map(|(name, content)| (*name, content.as_slice())));
    let volume = ntfs::volume(room, FIRST as u32, 0x1c2e_8f00 + seed, &files);
    put(&mut disk, FIRST * SECTOR, &volume);
    disk
}

/// A disk whose owner encrypted it with BitLocker: boot sector and metadata in clear, all else
/// random.
#[must_use]
pub(super) fn bitlocker(bytes: usize, seed: u64) -> Vec<u8> {
    let mut disk = vec![0; bytes];
    mbr(&mut disk, 7, FIRST);
    let volume = FIRST * SECTOR;
    KeyStream::new(seed, Cipher::Stream).encrypt(&mut disk[volume..], 0, 0);
    let mut boot = vec![0; SECTOR];
    put(&mut boot, 0, b"\xeb\x58\x90-FVE-FS-\0\x02\x08");
    boot[21] = 0xf8;
    put(&mut boot, 160, b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01");
    let blocks = [bytes / 8, bytes / 4, bytes / 2].map(|at| at / 4096 * 4096);
    for (n, at) in blocks.iter().enumerate() {
        put(&mut boot, 176 + n * 8, &(*at as u64).to_le_bytes());
    }
    put(&mut boot, 510, &[0x55, 0xaa]);
    put(&mut disk, volume, &boot);
    for at in blocks {
        let mut metadata = vec![0; 4096];
        put(&mut metadata, 0, b"-FVE-FS-\x80\x03\x02\0");
        put(&mut metadata, 64, b"\x40\x03\0\0\x01\0\0\0\x30\0\0\0\x40\x03\0\0");
        put(&mut disk, volume + at, &metadata);
    }
    disk
}

/// Nothing but ciphertext, as below VMware's own encryption.
#[must_use]
pub(super) fn sealed(bytes: usize, seed: u64) -> Vec<u8> {
    let mut disk = vec![0; bytes];
    KeyStream::new(seed, Cipher::Stream).encrypt(&mut disk, 0, 0);
    disk
}
