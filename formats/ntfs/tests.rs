//! Each structure alone: forged bytes in, values and named defects out.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests count small numbers"
)]

use proptest::prelude::*;

use super::*;
use crate::{ByteOffset, partition};

const AT: ByteOffset = ByteOffset(0x10000);

/// Swaps the ends of all sectors for `number`, as a file system does before it writes.
fn guard(bytes: &mut [u8], array_at: usize, number: u16) {
    let sectors = bytes.len() / 512;
    bytes[4..6].copy_from_slice(&(array_at as u16).to_le_bytes());
    bytes[6..8].copy_from_slice(&(sectors as u16 + 1).to_le_bytes());
    bytes[array_at..array_at + 2].copy_from_slice(&number.to_le_bytes());
    for sector in 0..sectors {
        let end = (sector + 1) * 512 - 2;
        let saved = array_at + 2 + sector * 2;
        bytes.copy_within(end..end + 2, saved);
        bytes[end..end + 2].copy_from_slice(&number.to_le_bytes());
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn file_name(parent: u64, name: &str) -> Vec<u8> {
    let mut out = vec![0; 66];
    put(&mut out, 0, &parent.to_le_bytes());
    for at in [8, 16, 24, 32] {
        put(&mut out, at, &133_000_000_000_000_000_u64.to_le_bytes());
    }
    put(&mut out, 48, &4242_u64.to_le_bytes());
    out[64] = name.encode_utf16().count() as u8;
    out[65] = 1;
    out.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
    out
}

fn attribute(kind: u32, value: &[u8]) -> Vec<u8> {
    let length = (24 + value.len()).next_multiple_of(8);
    let mut out = vec![0; length];
    put(&mut out, 0, &kind.to_le_bytes());
    put(&mut out, 4, &(length as u32).to_le_bytes());
    put(&mut out, 16, &(value.len() as u32).to_le_bytes());
    put(&mut out, 20, &24_u16.to_le_bytes());
    put(&mut out, 24, value);
    out
}

fn in_clusters(runs: &[u8], clusters: u64, size: u64) -> Vec<u8> {
    let length = (64 + runs.len()).next_multiple_of(8);
    let mut out = vec![0; length];
    put(&mut out, 0, &kinds::DATA.to_le_bytes());
    put(&mut out, 4, &(length as u32).to_le_bytes());
    out[8] = 1;
    put(&mut out, 24, &(clusters - 1).to_le_bytes());
    put(&mut out, 32, &64_u16.to_le_bytes());
    put(&mut out, 40, &(clusters * 4096).to_le_bytes());
    put(&mut out, 48, &size.to_le_bytes());
    put(&mut out, 56, &size.to_le_bytes());
    put(&mut out, 64, runs);
    out
}

fn record(attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0; 1024];
    put(&mut out, 0, b"FILE");
    put(&mut out, 16, &7_u16.to_le_bytes());
    put(&mut out, 20, &56_u16.to_le_bytes());
    put(&mut out, 22, &1_u16.to_le_bytes());
    put(&mut out, 28, &1024_u32.to_le_bytes());
    put(&mut out, 44, &99_u32.to_le_bytes());
    let mut at = 56;
    for attribute in attributes {
        put(&mut out, at, attribute);
        at += attribute.len();
    }
    put(&mut out, at, &u32::MAX.to_le_bytes());
    put(&mut out, 24, &(at as u32 + 8).to_le_bytes());
    guard(&mut out, 48, 0x0301);
    out
}

#[test]
fn a_record_gives_its_number_names_and_places() {
    let runs = [0x21, 4, 0x10, 0x27, 0x01, 3, 0x11, 2, 0xF0, 0];
    let bytes = record(&[
        attribute(kinds::FILE_NAME, &file_name(5 | 5 << 48, "Bericht.docx")),
        in_clusters(&runs, 9, 30_000),
    ]);
    let checked = FileRecord::parse(bytes, AT).unwrap();
    assert_eq!(checked.defects, []);
    let record = checked.value;
    assert_eq!((record.head.number, record.head.sequence), (Some(99), 7));
    let name = record.of_kind(kinds::FILE_NAME).next().unwrap();
    let name = FileName::parse(record.value(name).unwrap()).unwrap();
    assert_eq!(name.name, b"Bericht.docx");
    assert_eq!(name.parent, Reference { number: 5, sequence: 5 });
    let data = record.of_kind(kinds::DATA).next().unwrap();
    assert_eq!(data.cluster_bytes(), Some(4096));
    let AttributeBody::NonResident { runs, size, .. } = &data.body else { panic!("{data:?}") };
    assert_eq!(*size, 30_000);
    assert_eq!(
        runs.as_slice(),
        [
            DataRun { vcn: 0, clusters: 4, lcn: Some(10_000) },
            DataRun { vcn: 4, clusters: 3, lcn: None },
            DataRun { vcn: 7, clusters: 2, lcn: Some(9984) }
        ]
    );
}

#[test]
fn a_sector_of_other_origin_is_seen_by_its_end() {
    let mut bytes = record(&[]);
    bytes[1022] ^= 1;
    let error = FileRecord::parse(bytes, AT).unwrap_err().to_string();
    assert_eq!(error, "MULTI_SECTOR_HEADER.fixup at 0x103fe: is 0x0300, expected 0x0301");
}

#[test]
fn an_attribute_that_leaves_its_record_ends_the_list_with_a_defect() {
    let mut long = attribute(kinds::DATA, b"content");
    put(&mut long, 4, &2000_u32.to_le_bytes());
    let checked = FileRecord::parse(record(&[long]), AT).unwrap();
    assert_eq!(checked.value.attributes, []);
    assert_eq!(checked.defects[0].field, "length");
}

#[test]
fn run_lists_that_break_or_leave_every_volume_end_there() {
    for (bytes, runs) in [
        (vec![0x11, 4], 0),
        (vec![0x11, 4, 8], 1),
        (vec![0x11, 0, 8, 0], 0),
        (vec![0x11, 0x80, 8, 0], 0),
        (vec![0x11, 4, 0xF0, 0], 0),
        (vec![0x99, 1, 1, 1], 0),
        ([&[0x88_u8][..], &[0x7F; 16], &[0]].concat(), 0),
    ] {
        let decoded = decode_runs(&bytes, 0, AT);
        assert_eq!(decoded.value.len(), runs, "{bytes:x?}");
        assert_eq!(decoded.defects.len(), 1, "{bytes:x?}");
    }
}

fn entry(record: u64, parent: u64, name: &str) -> Vec<u8> {
    let key = file_name(parent, name);
    let mut out = vec![0; (16 + key.len()).next_multiple_of(8)];
    let length = out.len() as u16;
    put(&mut out, 0, &record.to_le_bytes());
    put(&mut out, 8, &length.to_le_bytes());
    put(&mut out, 10, &(key.len() as u16).to_le_bytes());
    put(&mut out, 16, &key);
    out
}

#[test]
fn index_blocks_give_names_in_use_and_those_in_slack() {
    let mut bytes = vec![0; 4096];
    put(&mut bytes, 0, b"INDX");
    put(&mut bytes, 16, &3_u64.to_le_bytes());
    put(&mut bytes, 24, &40_u32.to_le_bytes());
    put(&mut bytes, 32, &4072_u32.to_le_bytes());
    let (own, old) =
        (entry(64 | 1 << 48, 5 | 5 << 48, "live.txt"), entry(65 | 2 << 48, 5 | 5 << 48, "old.txt"));
    put(&mut bytes, 64, &own);
    let end = 64 + own.len();
    put(&mut bytes, end + 8, &16_u16.to_le_bytes());
    put(&mut bytes, end + 12, &2_u16.to_le_bytes());
    put(&mut bytes, end + 24, &old);
    put(&mut bytes, 28, &((end + 16 - 24) as u32).to_le_bytes());
    guard(&mut bytes, 40, 9);
    let block = IndexBlock::parse(&mut bytes, AT).unwrap();
    assert_eq!((block.vcn, block.folder()), (3, Some(Reference { number: 5, sequence: 5 })));
    let names: Vec<_> = block
        .entries
        .iter()
        .map(|e| (e.name.name.as_slice(), e.record.number, e.is_slack))
        .collect();
    assert_eq!(names, [(b"live.txt".as_slice(), 64, false), (b"old.txt".as_slice(), 65, true)]);
}

#[test]
fn packed_chunks_unpack_and_broken_ones_are_named() {
    // The example of [MS-XCA] 3.2: a sentence that repeats itself.
    let packed = [
        0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2, 0x47,
        0x01, 0xa0, 0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0, 0x45, 0x20,
        0x05, 0x24, 0x13, 0x88, 0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef, 0x03, 0x58, 0x02, 0x8c, 0x09,
        0x16, 0x01, 0x48, 0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00, 0x04, 0x01, 0x18, 0x90, 0x00,
    ];
    let text = b"F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D\0";
    let out = decompress(&packed, 65_536, AT).unwrap();
    assert_eq!(out.len(), 65_536);
    assert_eq!(&out[..text.len()], text);
    let error = decompress(&[0x02, 0xB0, 0xFF, 0xFF, 0xFF], 65_536, AT).unwrap_err();
    assert!(error.to_string().starts_with("LZNT1.chunk at 0x10000: compressed data"), "{error}");
}

#[test]
fn names_keep_lone_surrogates() {
    assert_eq!(wtf8(&[0x41, 0, 0x00, 0xD8, 0xE4, 0]), b"A\xED\xA0\x80\xC3\xA4");
    assert_eq!(wtf8(&[0x3D, 0xD8, 0x00, 0xDE]), "😀".as_bytes());
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..5000), magic in 0..4_usize) {
        let magics = [&b"FILE"[..], b"INDX", b"EFI PART", b"\xEB\x52\x90NTFS    "];
        let magic = magics[magic];
        if bytes.len() > magic.len() {
            bytes[..magic.len()].copy_from_slice(magic);
        }
        let _ = FileRecord::parse(bytes.clone(), AT);
        let _ = BootSector::parse(&bytes, AT);
        let _ = IndexBlock::parse(&mut bytes.clone(), AT);
        let _ = index_root_entries(&bytes);
        let _ = attribute_list(&bytes);
        let _ = decode_runs(&bytes, u64::MAX, ByteOffset(u64::MAX));
        let _ = FileName::parse(&bytes);
        let _ = partition::GptHeader::parse(&bytes, AT);
        let _ = partition::mbr(&bytes, 1 << 40);
        if let Ok(out) = decompress(&bytes, 65_536, AT) {
            prop_assert_eq!(out.len(), 65_536);
        }
    }

    #[test]
    fn what_is_guarded_is_repaired(mut bytes in proptest::collection::vec(any::<u8>(), 4096), number in any::<u16>()) {
        bytes[..4].copy_from_slice(b"INDX");
        let mut guarded = bytes.clone();
        guard(&mut guarded, 40, number);
        repair(&mut guarded, AT).unwrap();
        prop_assert_eq!(&guarded[64..], &bytes[64..]);
    }
}
