//! Seeds for the fuzz targets of NTFS structures and partition tables: target, name, bytes.

use crate::vm::seeds::Seed;

const RECORD: usize = 1024;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Swaps the ends of all sectors for a shared number, as a file system does before it writes.
fn guard(bytes: &mut [u8], array_at: usize) {
    let sectors = bytes.len() / 512;
    put(bytes, 4, &(array_at as u16).to_le_bytes());
    put(bytes, 6, &(sectors as u16 + 1).to_le_bytes());
    put(bytes, array_at, &[7, 1]);
    for sector in 0..sectors {
        let end = (sector + 1) * 512 - 2;
        bytes.copy_within(end..end + 2, array_at + 2 + sector * 2);
        put(bytes, end, &[7, 1]);
    }
}

fn file_name(name: &str) -> Vec<u8> {
    let mut out = vec![0; 66];
    put(&mut out, 0, &(5_u64 | 5 << 48).to_le_bytes());
    for at in [8, 16, 24, 32] {
        put(&mut out, at, &133_000_000_000_000_000_u64.to_le_bytes());
    }
    out[64] = name.encode_utf16().count() as u8;
    out[65] = 1;
    out.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
    out
}

fn resident(kind: u32, value: &[u8]) -> Vec<u8> {
    let mut out = vec![0; (24 + value.len()).next_multiple_of(8)];
    let length = out.len() as u32;
    put(&mut out, 0, &kind.to_le_bytes());
    put(&mut out, 4, &length.to_le_bytes());
    put(&mut out, 16, &(value.len() as u32).to_le_bytes());
    put(&mut out, 20, &24_u16.to_le_bytes());
    put(&mut out, 24, value);
    out
}

fn in_clusters(kind: u32, runs: &[u8], clusters: u64, compressed: bool) -> Vec<u8> {
    let head = if compressed { 72 } else { 64 };
    let mut out = vec![0; (head + runs.len()).next_multiple_of(8)];
    let length = out.len() as u32;
    put(&mut out, 0, &kind.to_le_bytes());
    put(&mut out, 4, &length.to_le_bytes());
    out[8] = 1;
    if compressed {
        out[12] = 1;
        out[34] = 4;
    }
    put(&mut out, 24, &(clusters - 1).to_le_bytes());
    put(&mut out, 32, &(head as u16).to_le_bytes());
    for at in [40, 48, 56] {
        put(&mut out, at, &(clusters * 4096).to_le_bytes());
    }
    put(&mut out, head, runs);
    out
}

fn record(attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0; RECORD];
    put(&mut out, 0, b"FILE");
    put(&mut out, 16, &1_u16.to_le_bytes());
    put(&mut out, 20, &56_u16.to_le_bytes());
    put(&mut out, 22, &1_u16.to_le_bytes());
    put(&mut out, 28, &(RECORD as u32).to_le_bytes());
    put(&mut out, 44, &99_u32.to_le_bytes());
    let mut at = 56;
    for attribute in attributes {
        put(&mut out, at, attribute);
        at += attribute.len();
    }
    put(&mut out, at, &u32::MAX.to_le_bytes());
    put(&mut out, 24, &(at as u32 + 8).to_le_bytes());
    guard(&mut out, 48);
    out
}

fn entry(number: u64, name: &str) -> Vec<u8> {
    let key = file_name(name);
    let mut out = vec![0; (16 + key.len()).next_multiple_of(8)];
    let length = out.len() as u16;
    put(&mut out, 0, &(number | 1 << 48).to_le_bytes());
    put(&mut out, 8, &length.to_le_bytes());
    put(&mut out, 10, &(key.len() as u16).to_le_bytes());
    put(&mut out, 16, &key);
    out
}

fn entries(names: &[&str]) -> Vec<u8> {
    let mut out: Vec<u8> =
        (64..).zip(names).flat_map(|(number, name)| entry(number, name)).collect();
    let mut last = [0; 16];
    last[8] = 16;
    last[12] = 2;
    out.extend(last);
    out
}

fn index_block() -> Vec<u8> {
    let mut out = vec![0; 4096];
    let own = entries(&["live.txt", "Überblick.docx"]);
    put(&mut out, 0, b"INDX");
    put(&mut out, 24, &40_u32.to_le_bytes());
    put(&mut out, 28, &(40 + own.len() as u32).to_le_bytes());
    put(&mut out, 32, &4072_u32.to_le_bytes());
    put(&mut out, 64, &own);
    put(&mut out, 64 + own.len() + 8, &entry(77, "old.txt"));
    guard(&mut out, 40);
    out
}

fn index_root() -> Vec<u8> {
    let own = entries(&["a", "b.txt"]);
    let mut out = vec![0; 32];
    put(&mut out, 0, &0x30_u32.to_le_bytes());
    put(&mut out, 8, &4096_u32.to_le_bytes());
    put(&mut out, 16, &16_u32.to_le_bytes());
    put(&mut out, 20, &(16 + own.len() as u32).to_le_bytes());
    put(&mut out, 24, &(16 + own.len() as u32).to_le_bytes());
    out.extend(own);
    out
}

fn attribute_list() -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, vcn, record) in [(0x10_u32, 0_u64, 99_u64), (0x80, 0, 120), (0x80, 400, 121)] {
        let mut entry = vec![0; 32];
        put(&mut entry, 0, &kind.to_le_bytes());
        put(&mut entry, 4, &32_u16.to_le_bytes());
        entry[7] = 26;
        put(&mut entry, 8, &vcn.to_le_bytes());
        put(&mut entry, 16, &(record | 1 << 48).to_le_bytes());
        out.extend(entry);
    }
    out
}

fn boot() -> Vec<u8> {
    let mut out = vec![0; 512];
    put(&mut out, 0, b"\xEB\x52\x90NTFS    ");
    put(&mut out, 11, &512_u16.to_le_bytes());
    out[13] = 8;
    put(&mut out, 40, &204_799_u64.to_le_bytes());
    put(&mut out, 48, &4_u64.to_le_bytes());
    put(&mut out, 56, &12_800_u64.to_le_bytes());
    out[64] = 0xF6;
    out[68] = 1;
    put(&mut out, 510, &[0x55, 0xAA]);
    out
}

fn mbr() -> Vec<u8> {
    let mut out = vec![0; 512];
    for (n, (kind, first, sectors)) in
        [(7_u8, 2048_u32, 409_600_u32), (0x83, 411_648, 2048)].into_iter().enumerate()
    {
        let at = 446 + n * 16;
        out[at + 4] = kind;
        put(&mut out, at + 8, &first.to_le_bytes());
        put(&mut out, at + 12, &sectors.to_le_bytes());
    }
    put(&mut out, 510, &[0x55, 0xAA]);
    out
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Header and array, as in sectors 1 to 33.
fn gpt() -> Vec<u8> {
    let mut array = vec![0; 128 * 128];
    for (n, (first, last)) in [(2048_u64, 206_847_u64), (206_848, 409_599)].into_iter().enumerate()
    {
        let at = n * 128;
        put(&mut array, at, &[0xA2, 0xA0, 0xD0, 0xEB, 0xE5, 0xB9, 0x33, 0x44]);
        array[at + 16] = n as u8 + 1;
        put(&mut array, at + 32, &first.to_le_bytes());
        put(&mut array, at + 40, &last.to_le_bytes());
        let name: Vec<u8> = "Basic data".encode_utf16().flat_map(u16::to_le_bytes).collect();
        put(&mut array, at + 56, &name);
    }
    let mut out = vec![0; 512];
    put(&mut out, 0, b"EFI PART\0\0\x01\0");
    put(&mut out, 12, &92_u32.to_le_bytes());
    for (at, word) in [(24, 1_u64), (32, 411_647), (40, 34), (48, 411_614), (72, 2)] {
        put(&mut out, at, &word.to_le_bytes());
    }
    put(&mut out, 80, &128_u32.to_le_bytes());
    put(&mut out, 84, &128_u32.to_le_bytes());
    put(&mut out, 88, &crc(&array).to_le_bytes());
    let own = crc(&out[..92]);
    put(&mut out, 16, &own.to_le_bytes());
    out.extend(array);
    out
}

/// A superblock of ext4 with 8192 blocks of 1 KiB, then `rest`.
fn ext(rest: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 1024];
    for (at, word) in [(0, 2048_u32), (4, 8192), (0x14, 1), (0x20, 8192), (0x24, 8192)] {
        put(&mut out, at, &word.to_le_bytes());
    }
    for (at, word) in [(0x28, 2048_u32), (0x4C, 1), (0x54, 11), (0x60, 0x42), (0x64, 1)] {
        put(&mut out, at, &word.to_le_bytes());
    }
    put(&mut out, 0x38, &[0x53, 0xEF]);
    put(&mut out, 0x58, &256_u16.to_le_bytes());
    out.extend_from_slice(rest);
    out
}

/// An inode of a file with one extent.
fn ext_inode(flags: u32) -> Vec<u8> {
    let mut out = vec![0; 256];
    put(&mut out, 0, &[0xA4, 0x81]);
    put(&mut out, 4, &40_u32.to_le_bytes());
    put(&mut out, 0x1A, &[1, 0]);
    put(&mut out, 0x20, &flags.to_le_bytes());
    put(&mut out, 0x28, &[0x0A, 0xF3, 1, 0, 4, 0, 0, 0]);
    put(&mut out, 0x28 + 16, &[1, 0, 0, 0, 100, 0, 0, 0]);
    put(&mut out, 0x80, &[32, 0]);
    put(&mut out, 0xA0, &[0, 0, 2, 0xEA, 4, 7, 60, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
    put(&mut out, 0xB4, b"data");
    out
}

/// A folder's block.
fn ext_folder() -> Vec<u8> {
    let mut out = vec![12, 0, 0, 0, 12, 0, 1, 2, b'.', 0, 0, 0];
    out.extend_from_slice(&[2, 0, 0, 0, 12, 0, 2, 2, b'.', b'.', 0, 0]);
    out.extend_from_slice(&[13, 0, 0, 0, 16, 0, 5, 1, b'n', b'o', b't', b'e', b's', 0, 0, 0]);
    out
}

/// The text of a volume group.
const LVM: &[u8] = b"vg0 { id = \"njswqk-MM3j-FAxa-9H3R-fZzg-1d0j-hgZdAz\" seqno = 1
extent_size = 2048
physical_volumes { pv0 { id = \"Mfc6Gb-90YV-WWh9-vy2G-Z623-GHg1-ptbgHx\" pe_start = 2048 pe_count = 47 }
pv1 { id = \"52ar9Z-Oe6J-td1d-mHXU-O7Q6-UvoR-oTIG6G\" pe_start = 2048 pe_count = 47 } }
logical_volumes { root { status = [\"VISIBLE\"] segment_count = 2
segment1 { start_extent = 0 extent_count = 20 type = \"striped\" stripe_count = 1 stripes = [\"pv0\", 0] }
segment2 { start_extent = 20 extent_count = 16 type = \"striped\" stripe_count = 2 stripe_size = 128
stripes = [\"pv0\", 20, \"pv1\", 0] } } }
} # Generated by LVM2
contents = \"Text Format Volume Group\" version = 1 ";

/// Every seed.
#[must_use]
pub fn all() -> Vec<Seed> {
    const RUNS: &[u8] = &[0x21, 4, 0x10, 0x27, 0x01, 3, 0x11, 2, 0xF0, 0];
    const PACKED: &[u8] = &[0x05, 0xB0, 0x02, b'a', 0xFC, 0x0F, 0, 0, 0, 0];
    let name = resident(0x30, &file_name("Bericht.docx"));
    let files = [
        ("resident", vec![resident(0x10, &[1; 72]), name.clone(), resident(0x80, b"content")]),
        ("runs", vec![name.clone(), in_clusters(0x80, RUNS, 9, false)]),
        ("packed", vec![name.clone(), in_clusters(0x80, &[0x21, 5, 1, 1, 0x01, 11, 0], 16, true)]),
        ("list", vec![resident(0x20, &attribute_list()), name.clone()]),
        ("folder", vec![name, resident(0x90, &index_root())]),
        ("reparse", vec![resident(0xC0, &[0x13, 0, 0, 0x80, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])]),
    ];
    let mut seeds: Vec<Seed> = files
        .iter()
        .map(|(name, attributes)| ("ntfs_record", (*name).to_owned(), record(attributes)))
        .collect();
    for (target, name, bytes) in [
        ("ntfs_index", "block", index_block()),
        ("ntfs_index", "root", index_root()),
        ("ntfs_index", "list", attribute_list()),
        ("ntfs_boot", "boot", boot()),
        ("ntfs_runs", "runs", RUNS.to_vec()),
        ("ntfs_packed", "repeat", PACKED.to_vec()),
        ("ntfs_packed", "plain", [&[0xFF, 0x3F][..], &[b'x'; 4096]].concat()),
        ("ext", "extents", ext(&ext_inode(0x8_0000))),
        ("ext", "inline", ext(&ext_inode(0x1000_0000))),
        ("ext", "folder", ext(&ext_folder())),
        ("lvm", "text", LVM.to_vec()),
        ("partition", "mbr", mbr()),
        ("partition", "gpt", gpt()),
    ] {
        seeds.push((target, name.to_owned(), bytes));
    }
    seeds
        .extend(super::xfs::all().into_iter().map(|(name, bytes)| ("xfs", name.to_owned(), bytes)));
    seeds
}
