//! Headers nothing can be computed with, each with the exact words it is refused by.

use vmglean_forge::vmdk::{
    Disk,
    cowd::{self, CowdSpec},
    sesparse::{self, SeSparseSpec},
    sparse::{self, SparseSpec},
    stream::{self, StreamSpec},
};
use vmglean_formats::vmdk::open_extent;

fn sparse_file() -> Vec<u8> {
    sparse::write(&Disk::new(8192).pattern(0, 65_536, 1), &SparseSpec::default()).image.to_bytes()
}

fn refused(file: &[u8]) -> String {
    open_extent(&file.to_vec()).expect_err("is refused").to_string()
}

/// First defect of a file that opens.
fn told(file: &[u8]) -> String {
    open_extent(&file.to_vec()).expect("opens").defects[0].to_string()
}

fn with(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn unusable_sparse_headers_are_refused_by_field_and_offset() {
    let file = sparse_file();
    let u64s = |value: u64| value.to_le_bytes().to_vec();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "SparseExtent.header at 0x0: needs 512 bytes, 0 are there"),
        (b"KDMV".to_vec(), "SparseExtentHeader.header at 0x0: needs 512 bytes, 4 are there"),
        (file[..511].to_vec(), "SparseExtentHeader.header at 0x0: needs 512 bytes, 511 are there"),
        (
            with(&file, 0, b"XXXX"),
            "SparseExtent.magicNumber at 0x0: magic is 0x58585858, not 0x564d444b",
        ),
        (
            with(&file, 0, b"kdmv"),
            "SparseExtentHeader at 0x0 uses the header of an output that was never finished",
        ),
        (with(&file, 4, &[0]), "SparseExtentHeader.version at 0x4: 0 is outside 1..=3"),
        (with(&file, 4, &[4]), "SparseExtentHeader at 0x4 uses a version above 3"),
        (
            with(&file, 10, &[4]),
            "SparseExtentHeader at 0x8 uses an incompatible flag nobody documented",
        ),
        (with(&file, 10, &[1]), "SparseExtentHeader at 0x4d uses a compression other than deflate"),
        (
            with(&file, 12, &u64s(1 << 63)),
            "SparseExtentHeader.capacity at 0xc: 9223372036854775808 is outside 0..=36028797018963967",
        ),
        (
            with(&file, 20, &u64s(0)),
            "SparseExtentHeader.grainSize at 0x14: 0 is outside 1..=2097152",
        ),
        (
            with(&file, 20, &u64s(96)),
            "SparseExtentHeader.grainSize at 0x14: 96 is not a power of two",
        ),
        (
            with(&file, 20, &u64s(1 << 22)),
            "SparseExtentHeader.grainSize at 0x14: 4194304 is outside 1..=2097152",
        ),
        (
            with(&file, 44, &[0, 0]),
            "SparseExtentHeader.numGTEsPerGT at 0x2c: 0 is outside 128..=65536",
        ),
        (
            with(&file, 44, &[1, 2]),
            "SparseExtentHeader.numGTEsPerGT at 0x2c: 513 is not a power of two",
        ),
    ];
    for (bad, expected) in cases {
        assert_eq!(refused(&bad), expected);
    }
}

#[test]
fn odd_sparse_headers_open_and_say_what_is_odd() {
    let file = sparse_file();
    let u64s = |value: u64| value.to_le_bytes().to_vec();
    let end = file.len();
    let cases: Vec<(Vec<u8>, String)> = vec![
        (with(&file, 73, b"\n \n\n"), "SparseExtentHeader.newlineCheck at 0x49: is [0a, 20, 0a, 0a], expected [0a, 20, 0d, 0a]: the file went through a transfer in text mode".into()),
        (with(&file, 77, &[1]), "SparseExtentHeader.compressAlgorithm at 0x4d: is 1, expected 0".into()),
        (with(&file, 300, &[1]), "SparseExtentHeader.pad at 0x4f: is other bytes, expected zeros".into()),
        (with(&file, 72, &[7]), "SparseExtentHeader.uncleanShutdown at 0x48: is 7, expected 0 or 1".into()),
        (with(&file, 64, &u64s(4096)), "SparseExtentHeader.overHead at 0x40: is 4096, expected 128 by the layout, which is used".into()),
        (with(&file, 56, &u64s(1 << 30)), format!("SparseExtentHeader.gdOffset at 0x38: points to 0x8000000000, past the end at {end:#x}")),
        (with(&file, 56, &u64s(0)), "SparseExtentHeader.gdOffset at 0x38: the grain directory is missing".into()),
        (with(&file, 56, &u64s(u64::MAX)), "SparseExtentHeader.gdOffset at 0x38: the footer that the header points to is missing".into()),
        (with(&with(&file, 28, &u64s(1 << 40)), 36, &[20]), format!("SparseExtentHeader.descriptorOffset at 0x1c: points to 0x2000000000000, past the end at {end:#x}")),
    ];
    for (odd, expected) in cases {
        let last =
            open_extent(&odd).expect("opens").defects.into_iter().map(|defect| defect.to_string());
        assert!(
            last.clone().any(|defect| defect == expected),
            "{expected}\n{:?}",
            last.collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_stream_grain_larger_than_any_writer_makes_is_refused_before_anything_inflates() {
    let file = stream::write(&Disk::new(8192), &StreamSpec::default()).image.to_bytes();
    let bad = with(&file, 20, &(1u64 << 14).to_le_bytes());
    assert_eq!(refused(&bad), "SparseExtentHeader.grainSize at 0x14: 16384 is outside 1..=8192");
}

#[test]
fn unusable_redo_log_headers_are_refused_and_odd_ones_told() {
    let file =
        cowd::write(&Disk::new(9000).pattern(0, 4096, 1), &CowdSpec::default()).image.to_bytes();
    assert_eq!(
        refused(&file[..2047]),
        "COWDisk_Header.header at 0x0: needs 2048 bytes, 2047 are there"
    );
    assert_eq!(refused(&with(&file, 4, &[2])), "COWDisk_Header at 0x4 uses a version other than 1");
    assert_eq!(
        refused(&with(&file, 16, &[0])),
        "COWDisk_Header.grainSize at 0x10: 0 is outside 1..=2048"
    );
    assert_eq!(
        refused(&with(&file, 20, &[3])),
        "COWDisk_Header.gdOffset at 0x14: 3 is outside 4..=4294967295"
    );
    assert_eq!(told(&with(&file, 8, &[1])), "COWDisk_Header.flags at 0x8: is 1, expected 3");
    assert_eq!(
        told(&with(&file, 24, &[9])),
        "COWDisk_Header.numGDEntries at 0x18: is 9, expected 3 as numSectors asks for, which is used"
    );
    assert_eq!(
        told(&with(&file, 28, &[0, 0, 0, 1])),
        format!(
            "COWDisk_Header.freeSector at 0x1c: points to 0x200000000, past the end at {:#x}",
            file.len()
        )
    );
}

#[test]
fn unusable_sesparse_headers_are_refused_and_odd_ones_told() {
    let file = sesparse::write(&Disk::new(9000).pattern(0, 4096, 1), &SeSparseSpec::default())
        .image
        .to_bytes();
    let u64s = |value: u64| value.to_le_bytes().to_vec();
    assert_eq!(
        refused(&file[..100]),
        "SESparseConstHeader.header at 0x0: needs 512 bytes, 100 are there"
    );
    assert_eq!(
        refused(&with(&file, 12, &[3])),
        "SESparseConstHeader at 0x8 uses a major version other than 2"
    );
    assert_eq!(
        refused(&with(&file, 16, &u64s(u64::MAX))),
        "SESparseConstHeader.capacity at 0x10: 18446744073709551615 is outside 0..=36028797018963967"
    );
    assert_eq!(
        refused(&with(&file, 24, &u64s(9))),
        "SESparseConstHeader.grainSize at 0x18: 9 is not a power of two"
    );
    assert_eq!(
        refused(&with(&file, 32, &u64s(0))),
        "SESparseConstHeader.grainTableSize at 0x20: 0 is outside 1..=4096"
    );
    assert_eq!(
        told(&with(&file, 8, &[2])),
        "SESparseConstHeader.version at 0x8: unknown value 0x200000002"
    );
    assert_eq!(
        told(&with(&file, 144, &u64s(8192))),
        "SESparseConstHeader.freeBitmapOffset at 0xa0: claims 0x400000, which is taken already"
    );
    assert_eq!(
        told(&with(&file, 512, &u64s(1))),
        "SESparseVolatileHeader.volatileMagic at 0x200: magic is 0x1, not 0xcafecafe"
    );
    assert_eq!(
        told(&with(&file, 1024, &u64s(1))),
        "SESparseJournalHeader.magic at 0x400: magic is 0x1, not 0xdeafc0de"
    );
    assert_eq!(
        told(&with(&file, 1024 * 1024 + 24, &u64s(0))),
        "SESparseJournalRecord.length at 0x100018: 0 is outside 1..=2048"
    );
    assert_eq!(
        told(&with(&file, 1024 * 1024 + 128, &u64s(5))),
        "SESparseJournalRecord.sector at 0x100080: 5 is outside 4096..=12287"
    );
}
