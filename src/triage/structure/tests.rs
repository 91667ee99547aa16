//! Containers found by their heads, and how far they are followed.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use vmglean_forge::damage::Rng;

use super::{Inflater, Kind, Share, Strength, explain, heads};
use crate::triage::judge::{Piece, Survey, Tone};

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..length).map(|_| rng.draw() as u8).collect()
}

/// A gzip file of noise, which is stored in it as it is.
fn gzip(seed: u64, length: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&noise(seed, length)).unwrap();
    encoder.finish().unwrap()
}

fn random(start: u64, end: u64) -> Piece {
    Piece { start, end, tone: Tone::Random, chi_sixteenths: 255 * 16 }
}

fn survey(pieces: Vec<Piece>, size: u64) -> Survey {
    let mut made = Survey::new();
    (made.pieces, made.size_bytes) = (pieces, size);
    made
}

fn explained(bytes: &[u8]) -> Vec<(std::ops::Range<u64>, Strength)> {
    let size = bytes.len() as u64;
    explain(&bytes.to_vec(), &survey(vec![random(0, size)], size), size)
        .into_iter()
        .map(|e| (e.range, e.strength))
        .collect()
}

#[test]
fn a_whole_gzip_member_is_proven_to_its_last_byte() {
    let member = gzip(1, 500_000);
    let length = member.len() as u64;
    let disk = [member, noise(2, 100_000)].concat();
    assert_eq!(explained(&disk), [(0..length, Strength::Proven)]);
}

#[test]
fn a_gzip_file_that_goes_on_elsewhere_is_followed_to_where_it_breaks_off() {
    let mut disk = gzip(1, 500_000);
    disk.truncate(400_000);
    // What follows passes for a last, empty block, and ends the stream too early.
    let block_bytes = 5 + 65_535;
    let cut = 10 + (disk.len() - 10) / block_bytes * block_bytes;
    disk.truncate(cut);
    disk.extend([0x01, 0x00, 0x00, 0xFF, 0xFF]);
    disk.extend(noise(3, 200_000));
    let found = explained(&disk);
    let [(range, Strength::Walked)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(range.start, 0);
    assert!(range.end <= cut as u64 && range.end + 140_000 > cut as u64, "{range:?} {cut}");
}

#[test]
fn a_gzip_member_that_is_whole_but_for_its_content_explains_nothing() {
    let mut disk = gzip(1, 500_000);
    disk[200_000..204_096].copy_from_slice(&noise(4, 4096));
    disk.extend(noise(2, 100_000));
    assert_eq!(explained(&disk), []);
}

#[test]
fn zeros_that_pass_for_codes_neither_hide_what_lies_before_them_nor_are_followed_for_long() {
    // Codes that a row of zero bits continues for ever: bytes that compress, cut in the middle.
    let content = b"The quick brown fox jumps over the lazy dog 0123456789. ".repeat(40_000);
    let mixed: Vec<u8> = content.iter().zip(noise(1, 4 << 20)).map(|(a, b)| a ^ (b & 7)).collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&mixed).unwrap();
    let member = encoder.finish().unwrap();
    for cut in [300_000, 350_001, 400_007] {
        for foreign in [0, 700] {
            let mut disk = member[..cut].to_vec();
            // A few bytes of something else, then nothing for long, then something else.
            disk.extend(noise(2, foreign));
            disk.resize(cut + (12 << 20), 0);
            disk.extend(noise(3, 300_000));
            for (range, strength) in explained(&disk) {
                assert_eq!(strength, Strength::Walked);
                assert!(range.end <= cut as u64, "{cut} {foreign}: {range:?}");
            }
        }
    }
}

#[test]
fn what_a_container_leads_over_begins_no_other_whichever_share_looks_first() {
    // The outer member holds small ones; each of many pieces is a share's own.
    let inner = gzip(5, 3000);
    let mut content = Vec::new();
    while content.len() < 4 << 20 {
        content.extend(&inner);
        content.extend(noise(6, 4096));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&content).unwrap();
    let disk = [encoder.finish().unwrap(), noise(7, 8192)].concat();
    let size = disk.len() as u64;
    let pieces = (0..size).step_by(8192).map(|at| random(at, (at + 4096).min(size)));
    let found = explain(&disk, &survey(pieces.collect(), size), size);
    assert_eq!(found.len(), 1, "{:?}", found.get(..3));
    assert_eq!(found[0].range, 0..size - 8192);
}

#[test]
fn a_share_of_false_heads_ends_after_so_many_walks() {
    let disk = b"PK\x03\x04".repeat(1 << 16);
    let size = disk.len() as u64;
    let pieces: Vec<Piece> = (0..size).step_by(4096).map(|at| random(at, at + 4096)).collect();
    let made = Share::walk(&disk, &pieces, 0, size, 100, &mut Inflater::new());
    assert_eq!((made.walks, made.found), (100, Vec::new()));
}

proptest! {
    #[test]
    fn heads_come_in_order_and_none_is_missed(
        places in proptest::collection::btree_map(0_usize..3000, 0_usize..9, 0..30), origin in 0_u64..2000,
    ) {
        let magics: [&[u8]; 9] = [
            b"PK\x03\x04", b"\x89PNG\r\n\x1A\n", b"\xFD7zXZ\0", b"stream\n\x78",
            b"stream\r\n\x78", b"\x1F\x8B\x08\0", b"\x28\xB5\x2F\xFD", b"\xFF\xD8\xFF",
            b"....ftyp",
        ];
        let kinds = [
            Kind::Zip, Kind::Png, Kind::Xz, Kind::Zlib(7), Kind::Zlib(8), Kind::Gzip, Kind::Zstd,
            Kind::Jpeg, Kind::Mp4,
        ];
        let mut bytes = vec![b'.'; 4096];
        let mut wanted = Vec::new();
        let mut free = 0;
        for (at, which) in places {
            if at < free {
                continue;
            }
            bytes[at..at + magics[which].len()].copy_from_slice(magics[which]);
            free = at + magics[which].len();
            let is_aligned = at == 0 || (origin + at as u64).is_multiple_of(512);
            if which < 7 || is_aligned {
                wanted.push((at, kinds[which]));
            }
        }
        let found: Vec<_> = heads(&bytes, origin).collect();
        // "ftyp" may also stand four bytes behind a sector's start by itself.
        let found: Vec<_> = found
            .into_iter()
            .filter(|(at, kind)| *kind != Kind::Mp4 || bytes[*at] == b'.')
            .collect();
        prop_assert_eq!(found, wanted);
    }
}
