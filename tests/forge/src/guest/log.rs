//! Windows event logs, written from the format's description.

use flate2::Crc;

const CHUNK: usize = 65_536;
/// Where a chunk's records begin.
const RECORDS: usize = 512;

fn crc(parts: &[&[u8]]) -> [u8; 4] {
    let mut crc = Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.sum().to_le_bytes()
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// A record in a chunk at `at`: one empty element, named at its own place.
fn record(id: u64, at: usize) -> Vec<u8> {
    let name: Vec<u8> = "Event".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let name_at = at + 24 + 4 + 11;
    // A fragment of version 1.1 with an element of no attributes.
    let mut xml = vec![0x0F, 1, 1, 0, 0x01, 0xFF, 0xFF];
    xml.extend_from_slice(&(4 + 8 + name.len() as u32 + 2 + 1).to_le_bytes());
    xml.extend_from_slice(&(name_at as u32).to_le_bytes());
    // Next name, hash, characters.
    xml.extend_from_slice(&[0, 0, 0, 0, 0xBA, 0x0C, 5, 0]);
    xml.extend_from_slice(&name);
    xml.extend_from_slice(&[0, 0, 0x03, 0x00]);
    let size = (24 + xml.len() + 4) as u32;
    let mut out = vec![0x2A, 0x2A, 0, 0];
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&(133_000_000_000_000_000 + id * 10_000_000).to_le_bytes());
    out.extend_from_slice(&xml);
    out.extend_from_slice(&size.to_le_bytes());
    out
}

/// One chunk with the records from `first` on.
#[must_use]
pub fn chunk(first: u64, records: u64) -> Vec<u8> {
    let mut out = vec![0; CHUNK];
    let (mut at, mut last_at) = (RECORDS, RECORDS);
    for id in first..first + records {
        let record = record(id, at);
        put(&mut out, at, &record);
        last_at = at;
        at += record.len();
    }
    // What older records left.
    out[at..].fill(0x55);
    put(&mut out, 0, b"ElfChnk\0");
    let last = first + records - 1;
    for (place, number) in [(8, first), (16, last), (24, first), (32, last)] {
        put(&mut out, place, &number.to_le_bytes());
    }
    for (place, number) in [(40, 128), (44, last_at), (48, at), (120, 1)] {
        put(&mut out, place, &(number as u32).to_le_bytes());
    }
    let sum = crc(&[&out[RECORDS..at]]);
    put(&mut out, 52, &sum);
    let sum = crc(&[&out[..120], &out[128..RECORDS]]);
    put(&mut out, 124, &sum);
    out
}

/// A log that was closed, of so many chunks with so many records each, numbered from `first` on.
#[must_use]
pub fn event_log(first: u64, chunks: u16, records: u64) -> Vec<u8> {
    let mut out = b"ElfFile\0".to_vec();
    out.resize(4096, 0);
    let next = first + u64::from(chunks) * records;
    put(&mut out, 16, &u64::from(chunks.saturating_sub(1)).to_le_bytes());
    put(&mut out, 24, &next.to_le_bytes());
    put(&mut out, 32, &128_u32.to_le_bytes());
    for (place, number) in [(36, 1), (38, 3), (40, 4096), (42, chunks)] {
        put(&mut out, place, &number.to_le_bytes());
    }
    let sum = crc(&[&out[..120]]);
    put(&mut out, 124, &sum);
    for n in 0..u64::from(chunks) {
        out.extend(chunk(first + n * records, records));
    }
    out
}
