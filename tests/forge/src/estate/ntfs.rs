//! The bones of an NTFS volume: boot sector and its copy, file records with names and data.
//!
//! No indexes, no journal, no `$UpCase`: enough for a reader of single structures, not for a
//! mount.

const SECTOR: usize = 512;
const CLUSTER: usize = 4096;
const RECORD: usize = 1024;
const MFT_CLUSTER: usize = 4;
/// 2023-05-06 10:00:00 UTC in steps of 100 ns since 1601.
const TIME: u64 = 133_278_408_000_000_000;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn boot_sector(sectors: u64, hidden: u32, serial: u64) -> Vec<u8> {
    let mut out = vec![0; SECTOR];
    put(&mut out, 0, b"\xeb\x52\x90NTFS    ");
    put(&mut out, 11, &(SECTOR as u16).to_le_bytes());
    out[13] = (CLUSTER / SECTOR) as u8;
    out[21] = 0xf8;
    put(&mut out, 24, &[63, 0, 255, 0]);
    put(&mut out, 28, &hidden.to_le_bytes());
    put(&mut out, 36, &[0x80, 0, 0x80, 0]);
    put(&mut out, 40, &(sectors - 1).to_le_bytes());
    put(&mut out, 48, &(MFT_CLUSTER as u64).to_le_bytes());
    put(&mut out, 56, &2_u64.to_le_bytes());
    // Record length as a power of two, index blocks of one cluster.
    out[64] = 0xf6;
    out[68] = 1;
    put(&mut out, 72, &serial.to_le_bytes());
    put(&mut out, 0x54, b"\xfa\x33\xc0\x8e\xd0\xbc\x00\x7c\xfb");
    put(&mut out, 0x180, b"\r\nA disk read error occurred\0\r\nBOOTMGR is compressed\0");
    put(&mut out, 510, &[0x55, 0xaa]);
    out
}

/// A resident attribute.
fn resident(kind: u32, id: u16, value: &[u8]) -> Vec<u8> {
    let length = (24 + value.len()).next_multiple_of(8);
    let mut out = vec![0; length];
    put(&mut out, 0, &kind.to_le_bytes());
    put(&mut out, 4, &(length as u32).to_le_bytes());
    put(&mut out, 10, &24_u16.to_le_bytes());
    put(&mut out, 14, &id.to_le_bytes());
    put(&mut out, 16, &(value.len() as u32).to_le_bytes());
    put(&mut out, 20, &24_u16.to_le_bytes());
    put(&mut out, 24, value);
    out
}

/// `$DATA` in one run of clusters.
fn run(id: u16, first: usize, bytes: usize) -> Vec<u8> {
    let clusters = bytes.div_ceil(CLUSTER);
    let mut out = vec![0; 72];
    put(&mut out, 0, &0x80_u32.to_le_bytes());
    put(&mut out, 4, &72_u32.to_le_bytes());
    out[8] = 1;
    put(&mut out, 10, &64_u16.to_le_bytes());
    put(&mut out, 14, &id.to_le_bytes());
    put(&mut out, 24, &(clusters as u64 - 1).to_le_bytes());
    put(&mut out, 32, &64_u16.to_le_bytes());
    put(&mut out, 40, &((clusters * CLUSTER) as u64).to_le_bytes());
    put(&mut out, 48, &(bytes as u64).to_le_bytes());
    put(&mut out, 56, &(bytes as u64).to_le_bytes());
    out[64] = 0x22;
    put(&mut out, 65, &(clusters as u16).to_le_bytes());
    put(&mut out, 67, &(first as u16).to_le_bytes());
    out
}

fn names(name: &str, bytes: usize) -> [Vec<u8>; 2] {
    let mut standard = vec![0; 48];
    let mut file_name = 5_u64.to_le_bytes().to_vec();
    file_name.extend((5_u64 << 48).to_le_bytes());
    file_name.truncate(8);
    for time in 0..4 {
        put(&mut standard, time * 8, &TIME.to_le_bytes());
        file_name.extend(TIME.to_le_bytes());
    }
    file_name.extend((bytes.next_multiple_of(CLUSTER) as u64).to_le_bytes());
    file_name.extend((bytes as u64).to_le_bytes());
    file_name.extend([0x20, 0, 0, 0, 0, 0, 0, 0]);
    let units: Vec<u16> = name.encode_utf16().collect();
    file_name.extend([units.len() as u8, 1]);
    file_name.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    [resident(0x10, 0, &standard), resident(0x30, 1, &file_name)]
}

/// A file record with its update sequence applied.
fn record(number: u32, folder: bool, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0; RECORD];
    put(&mut out, 0, b"FILE");
    put(&mut out, 4, &[48, 0, 3, 0]);
    put(&mut out, 16, &[1, 0, 1, 0, 56, 0, 1 | if folder { 2 } else { 0 }, 0]);
    put(&mut out, 28, &(RECORD as u32).to_le_bytes());
    put(&mut out, 40, &3_u16.to_le_bytes());
    put(&mut out, 44, &number.to_le_bytes());
    let mut at = 56;
    for attribute in attributes {
        put(&mut out, at, attribute);
        at += attribute.len();
    }
    put(&mut out, at, &u32::MAX.to_le_bytes());
    put(&mut out, 24, &(at as u32 + 8).to_le_bytes());
    put(&mut out, 48, &[1, 0]);
    for (n, end) in [510, 1022].into_iter().enumerate() {
        let kept = [out[end], out[end + 1]];
        put(&mut out, 50 + n * 2, &kept);
        put(&mut out, end, &[1, 0]);
    }
    out
}

/// A volume of `bytes`, beginning `hidden` sectors into its disk, with these files.
///
/// # Panics
/// When the files do not fit.
#[must_use]
pub(super) fn volume(bytes: usize, hidden: u32, serial: u64, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = vec![0; bytes];
    let sectors = (bytes / SECTOR) as u64;
    let boot = boot_sector(sectors, hidden, serial);
    put(&mut out, 0, &boot);
    put(&mut out, bytes - SECTOR, &boot);
    let records = 24 + files.len();
    let mut next = MFT_CLUSTER + (records * RECORD).div_ceil(CLUSTER);
    let mut table = Vec::new();
    let system = ["$MFT", "$MFTMirr", "$LogFile", "$Volume", "$AttrDef", ".", "$Bitmap", "$Boot"];
    for (number, name) in system.iter().enumerate() {
        let [standard, file_name] = names(name, 0);
        let data = match number {
            0 => run(2, MFT_CLUSTER, records * RECORD),
            1 => run(2, 2, CLUSTER),
            7 => run(2, 0, CLUSTER),
            _ => resident(0x80, 2, b""),
        };
        table.extend(record(number as u32, *name == ".", &[standard, file_name, data]));
    }
    for number in system.len()..24 {
        let mut spare = record(number as u32, false, &[]);
        spare[22] = 0;
        table.extend(spare);
    }
    for (number, (name, content)) in files.iter().enumerate() {
        let [standard, file_name] = names(name, content.len());
        let data = if content.len() <= 512 {
            resident(0x80, 2, content)
        } else {
            let first = next;
            put(&mut out, first * CLUSTER, content);
            next += content.len().div_ceil(CLUSTER);
            run(2, first, content.len())
        };
        table.extend(record(24 + number as u32, false, &[standard, file_name, data]));
    }
    assert!((next + 1) * CLUSTER <= bytes, "the files do not fit");
    put(&mut out, MFT_CLUSTER * CLUSTER, &table);
    put(&mut out, 2 * CLUSTER, &table[..4 * RECORD]);
    out
}
