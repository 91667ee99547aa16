//! Containers found by their heads, and how far they are followed.

use std::{
    io::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use vmglean_forge::damage::Rng;
use vmglean_formats::{ByteOffset, MediumError, ReadAt};

use super::{
    BROKEN_OFF, Early, Most, Share, Strength, Walker, Walks, explain,
    heads::{Kind, heads},
};
use crate::triage::{
    judge::{Piece, Survey, Tone},
    pass::Aside,
};

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
    explain(&bytes.to_vec(), &survey(vec![random(0, size)], size), size, &Walks::default())
        .into_iter()
        .filter(|e| e.what != BROKEN_OFF)
        .map(|e| (e.range, e.strength))
        .collect()
}

/// What is doubted round the places where containers break off.
fn doubted(bytes: &[u8]) -> Vec<std::ops::Range<u64>> {
    let size = bytes.len() as u64;
    explain(&bytes.to_vec(), &survey(vec![random(0, size)], size), size, &Walks::default())
        .into_iter()
        .filter(|e| e.strength == Strength::Contradicted)
        .map(|e| e.range)
        .collect()
}

#[test]
fn what_breaks_off_is_doubted_round_that_place_also_where_it_is_too_near_the_start_to_lead_anywhere()
 {
    for hit in [20_000, 400_000_u64] {
        let mut disk = gzip(1, 900_000);
        let at = usize::try_from(hit).unwrap();
        // The lengths of the next stored blocks are lost.
        disk[at..at + 70_000].copy_from_slice(&noise(4, 70_000));
        let doubted = doubted(&disk);
        let [range] = doubted.as_slice() else { panic!("{doubted:?}") };
        assert!(range.start <= hit && range.end >= hit + 70_000, "{hit}: {range:?}");
    }
}

/// An entry of a ZIP file whose head states its length.
fn zip_entry(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    let packed = encoder.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let mut made = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0".to_vec();
    made.extend(crc.sum().to_le_bytes());
    made.extend((packed.len() as u32).to_le_bytes());
    made.extend((content.len() as u32).to_le_bytes());
    made.extend([1, 0, 0, 0, b'a']);
    made.extend(packed);
    made
}

#[test]
fn an_entry_that_another_follows_is_doubted_as_a_whole_where_anything_in_it_is_damaged() {
    let content: Vec<u8> = noise(1, 600_000).iter().map(|byte| byte & 0x3F).collect();
    let entry = zip_entry(&content);
    let length = entry.len() as u64;
    let disk = [entry.clone(), entry.clone(), noise(3, 50_000)].concat();
    let both = [(0..length, Strength::Proven), (length..2 * length, Strength::Proven)];
    assert_eq!(explained(&disk), both);
    for hit in [64, 4096, 100_000] {
        let mut disk = disk.clone();
        disk[200_000..200_000 + hit].copy_from_slice(&noise(4, hit));
        let found = explained(&disk);
        assert_eq!(found.first(), Some(&(0..length, Strength::Contradicted)), "{hit}");
    }
}

#[test]
fn a_chunk_of_a_picture_that_another_follows_is_doubted_where_its_crc_is_wrong() {
    let chunk = |kind: &[u8; 4], content: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(content);
        let length = (content.len() as u32).to_be_bytes();
        [&length[..], kind, content, &crc.sum().to_be_bytes()[..]].concat()
    };
    let first = [&b"\x89PNG\r\n\x1A\n"[..], &chunk(b"IHDR", &[1; 13])].concat();
    let start = first.len() as u64;
    let middle = chunk(b"IDAT", &noise(1, 100_000));
    let end = start + middle.len() as u64;
    let mut disk = [first, middle, chunk(b"IDAT", &noise(2, 9000)), chunk(b"IEND", &[])].concat();
    disk.extend(noise(5, 50_000));
    assert_eq!(doubted(&disk), []);
    disk[60_000..60_064].copy_from_slice(&noise(4, 64));
    assert_eq!(doubted(&disk), [start..end]);
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
fn a_gzip_member_that_is_whole_but_for_its_content_is_contradicted_as_a_whole() {
    let mut disk = gzip(1, 500_000);
    disk[200_000..204_096].copy_from_slice(&noise(4, 4096));
    let size = disk.len() as u64;
    disk.extend(noise(2, 100_000));
    assert_eq!(explained(&disk), [(0..size, Strength::Contradicted)]);
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
    let found = explain(&disk, &survey(pieces.collect(), size), size, &Walks::default());
    assert_eq!(found.len(), 1, "{:?}", found.get(..3));
    assert_eq!(found[0].range, 0..size - 8192);
}

#[test]
fn a_share_of_false_heads_ends_after_so_many_walks() {
    let disk = b"PK\x03\x04".repeat(1 << 16);
    let size = disk.len() as u64;
    let pieces: Vec<Piece> = (0..size).step_by(4096).map(|at| random(at, at + 4096)).collect();
    let walks = Walks::default();
    let mut walker = Walker::new(&disk, size, &[], &walks);
    let made = Share::walk(&mut walker, &pieces, 0, Most { walks: 100, bytes: u64::MAX });
    assert_eq!((made.walks, made.found), (100, Vec::new()));
}

/// Begins with these bytes and again after every `period` bytes, and counts what is read of it.
struct Repeated {
    head: Vec<u8>,
    period: u64,
    size: u64,
    read: AtomicU64,
}

impl ReadAt for Repeated {
    fn len_bytes(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        for (at, byte) in (at.0..).zip(buf) {
            let inside = usize::try_from(at % self.period).unwrap();
            *byte = self.head.get(inside).copied().unwrap_or(0);
        }
        Ok(())
    }
}

#[test]
fn pictures_and_stored_entries_that_state_gigabytes_are_not_followed_through_holes() {
    let jpeg = b"\xFF\xD8\xFF\xDA\0\x02".to_vec();
    let chunk = b"\x89PNG\r\n\x1A\n\x0F\xFF\xFF\xFFIDAT".to_vec();
    let entry = stored_entry(u32::MAX - 1);
    for head in [jpeg, chunk, entry] {
        let size = 1 << 45;
        let read = AtomicU64::new(0);
        let disk = Repeated { head, period: u64::MAX, size, read };
        let absent = Piece { tone: Tone::Absent, ..random(8192, size) };
        let found =
            explain(&disk, &survey(vec![random(0, 8192), absent], size), size, &Walks::default());
        assert_eq!(found, []);
        assert!(disk.read.into_inner() < 1 << 20);
    }
}

/// The head of a stored ZIP entry of this length, its checksum wrong.
fn stored_entry(length: u32) -> Vec<u8> {
    let mut head = b"PK\x03\x04".to_vec();
    head.resize(18, 0);
    head.extend(length.to_le_bytes());
    head.extend(length.to_le_bytes());
    head.extend([0; 4]);
    head
}

#[test]
fn walks_that_lead_nowhere_end_after_so_many_bytes() {
    let (size, most) = (1 << 30, 4 << 20);
    let disk =
        Repeated { head: stored_entry(900 << 20), period: 4096, size, read: AtomicU64::new(0) };
    let pieces: Vec<Piece> = (0..256).map(|n| random(n * 4096, (n + 1) * 4096)).collect();
    let walks = Walks::default();
    let mut walker = Walker::new(&disk, size, &[], &walks);
    let made = Share::walk(&mut walker, &pieces, 0, Most { walks: 512, bytes: most });
    assert!(made.is_cut && made.found.is_empty());
    assert!(disk.read.into_inner() < 2 * most);
}

#[test]
fn what_was_followed_early_is_not_followed_again_and_says_the_same() {
    // One whole, one that breaks off, one damaged inside: and noise between them.
    let mut damaged = gzip(3, 3 << 20);
    damaged[200_000..204_096].copy_from_slice(&noise(4, 4096));
    let mut cut = gzip(2, 3 << 20);
    cut.truncate(2 << 20);
    let mut bytes = Vec::new();
    let mut starts = Vec::new();
    for member in [gzip(1, 3 << 20), cut, damaged] {
        bytes.extend(noise(bytes.len() as u64, 100_000));
        starts.push(bytes.len() as u64);
        bytes.extend(member);
    }
    bytes.extend(noise(5, 100_000));
    let size = bytes.len() as u64;
    let disk = Repeated { head: bytes, period: u64::MAX, size, read: AtomicU64::new(0) };
    let ends = starts.iter().skip(1).copied().chain([size]);
    let pieces = starts.iter().zip(ends).map(|(start, end)| random(*start, end));
    let survey = survey(pieces.collect(), size);
    let alone = explain(&disk, &survey, size, &Walks::default());
    let walks = Walks::default();
    Early::new(&disk, size, &walks).run(starts, &Aside::default());
    disk.read.store(0, Ordering::Relaxed);
    assert_eq!(explain(&disk, &survey, size, &walks), alone);
    let led = alone.iter().filter(|one| one.what != BROKEN_OFF);
    assert_eq!(led.count(), 3, "{alone:?}");
    assert!(disk.read.into_inner() < 4 << 20, "the middles of what nothing explains");
}

#[test]
fn what_breaks_off_in_a_hole_is_not_followed_again_and_says_the_same() {
    let text: Vec<u8> = noise(6, 3 << 20).into_iter().map(|byte| byte & 0x3F).collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&text).unwrap();
    let packed = encoder.finish().unwrap();
    for (whole, length) in [
        (&packed, 2 << 20),
        (&packed, (1 << 20) + 77),
        (&packed, 1_100_001),
        (&gzip(7, 3 << 20), 2_000_000),
        (&gzip(7, 3 << 20), 100),
    ] {
        let mut bytes = whole[..length].to_vec();
        bytes.resize(length.next_multiple_of(4096), 0);
        let (hole, size) = (bytes.len() as u64, bytes.len() as u64 + (9 << 20));
        let disk = Repeated { head: bytes, period: u64::MAX, size, read: AtomicU64::new(0) };
        let zero = Piece { tone: Tone::Zero, ..random(hole, size) };
        let survey = survey(vec![random(0, hole), zero], size);
        let alone = explain(&disk, &survey, size, &Walks::default());
        assert_eq!(alone.is_empty(), length == 100, "{alone:?}");
        let walks = Walks::default();
        Early::new(&disk, size, &walks).run([0], &Aside::default());
        disk.read.store(0, Ordering::Relaxed);
        assert_eq!(explain(&disk, &survey, size, &walks), alone);
        assert!(disk.read.into_inner() < 1 << 20, "only what lies round the place it breaks off");
    }
}

/// A zlib stream of noise, stored, as a PDF holds it.
fn pdf_stream(length: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(b"stream\n".to_vec(), Compression::none());
    encoder.write_all(&noise(1, length)).unwrap();
    let mut all = encoder.finish().unwrap();
    // Its first bytes say the level.
    assert_eq!(all[7], 0x78);
    all.extend(b"\nendstream");
    all
}

#[test]
fn a_zlib_stream_is_proven_by_its_adler_32_and_doubted_before_its_end_mark_where_that_is_wrong() {
    let stream = pdf_stream(500_000);
    let length = stream.len() as u64 - 10;
    let mut disk = [stream, noise(2, 100_000)].concat();
    assert_eq!(explained(&disk), [(0..length, Strength::Proven)]);
    disk[200_000..204_096].copy_from_slice(&noise(4, 4096));
    assert_eq!(explained(&disk), [(0..length, Strength::Contradicted)]);
    // Without the mark it could go on elsewhere.
    let mark = usize::try_from(length).unwrap();
    disk[mark..mark + 10].copy_from_slice(&noise(5, 10));
    assert_eq!(explained(&disk), []);
}

#[test]
fn a_zstd_frame_is_proven_by_its_checksum_contradicted_by_a_wrong_one_and_named_without_it() {
    let content: Vec<u8> = noise(1, 600_000).iter().map(|byte| byte & 0x7F).collect();
    for content in [content, noise(2, 600_000)] {
        let frame = compress_to_vec(content.as_slice(), CompressionLevel::Fastest);
        let length = frame.len() as u64;
        let mut disk = [frame, noise(3, 100_000)].concat();
        assert_eq!(disk[4] & 4, 4, "has a checksum");
        assert_eq!(explained(&disk), [(0..length, Strength::Proven)]);
        let intact = disk.clone();
        disk[300_000..304_096].copy_from_slice(&noise(4, 4096));
        let found = explained(&disk);
        let doubts = [Strength::Named, Strength::Contradicted];
        assert!(found.iter().all(|(_, strength)| doubts.contains(strength)), "{found:?}");
        // Without the flag the last four bytes are no part of it.
        let mut disk = intact;
        disk[4] &= !4;
        assert_eq!(explained(&disk), [(0..length - 4, Strength::Named)]);
    }
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

/// A JPEG's scan of `length` bytes, in which 0xFF never stands alone.
fn scan(seed: u64, length: usize) -> Vec<u8> {
    let bytes = noise(seed, length).into_iter();
    bytes.flat_map(|byte| if byte == 0xFF { vec![0xFF, 0] } else { vec![byte] }).collect()
}

#[test]
fn markers_that_ciphertext_shows_by_chance_neither_end_a_jpeg_nor_lead_on() {
    let head = b"\xFF\xD8\xFF\xDA\0\x02".to_vec();
    let start = [head, scan(1, 200_000)].concat();
    let at = start.len() as u64;
    // An end marker, tables, a scan, an interval; and ciphertext behind each.
    for marker in [[0xFF, 0xD9], [0xFF, 0xC4], [0xFF, 0xDB], [0xFF, 0xDA], [0xFF, 0xDD]] {
        let disk = [start.clone(), marker.to_vec(), noise(7, 100_000)].concat();
        let told = explained(&disk);
        let (walked, strength) = &told[0];
        assert_eq!((walked.start, *strength), (0, Strength::Walked), "{marker:?} {told:?}");
        assert!(walked.end + 8000 < at, "{marker:?} {told:?}");
        let covers = |range: &std::ops::Range<u64>| range.start < at && at + 60_000 < range.end;
        assert!(doubted(&disk).iter().any(covers), "{marker:?} {told:?}");
    }
    // Well-formed tables and another scan.
    let tables = [b"\xFF\xC4\0\x14\x01\x01".to_vec(), vec![0; 15], vec![5]].concat();
    let next = b"\xFF\xDA\0\x08\x01\x01\x00\x00\x3F\x00".to_vec();
    let end = [b"\xFF\xD9".to_vec(), vec![0; 5000]].concat();
    let whole = [start, tables, next, scan(2, 50_000), end].concat();
    let length = whole.len() as u64 - 5000;
    assert_eq!(explained(&whole), [(0..length, Strength::Proven)]);
}

#[test]
fn what_a_long_segment_of_a_jpeg_holds_is_not_said_to_be_whole() {
    let segment = [b"\xFF\xE1\x60\0".to_vec(), noise(3, 0x5FFE)].concat();
    let held = 2..2 + segment.len() as u64;
    let head = [b"\xFF\xD8".to_vec(), segment, b"\xFF\xDA\0\x02".to_vec()].concat();
    let whole = [head, scan(4, 100_000), b"\xFF\xD9".to_vec(), vec![0; 3000]].concat();
    let length = whole.len() as u64 - 3000;
    let told = explained(&whole);
    assert_eq!(told, [(0..2, Strength::Proven), (held.end..length, Strength::Proven)]);
}

#[test]
fn a_zip_breaks_off_where_ciphertext_stands_in_the_place_of_its_next_part() {
    let mut entry = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0".to_vec();
    let content = noise(5, 40_000);
    let mut sum = flate2::Crc::new();
    sum.update(&content);
    entry.extend(sum.sum().to_le_bytes());
    entry.extend([40_000_u32.to_le_bytes(), 40_000_u32.to_le_bytes()].concat());
    entry.extend(b"\x01\0\0\0a");
    entry.extend(content);
    let end = entry.len() as u64;
    let lost = [entry.clone(), noise(6, 300_000)].concat();
    assert_eq!(explained(&lost), [(0..end, Strength::Proven)]);
    assert_eq!(doubted(&lost), std::slice::from_ref(&(end..end + 128 * 1024)));
    for behind in [b"PK\x01\x02".to_vec(), vec![0; 600], b"slack ".repeat(100)] {
        let whole = [entry.clone(), behind].concat();
        assert_eq!(explained(&whole), [(0..end, Strength::Proven)]);
        assert_eq!(doubted(&whole), []);
    }
}

#[test]
fn a_short_entry_of_a_zip_that_breaks_off_is_doubted_there() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&b"some lines of a short file, and more of them\n".repeat(40)).unwrap();
    let packed = encoder.finish().unwrap();
    let mut entry = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\x01\x02\x03\x04".to_vec();
    entry.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
    entry.extend(1800_u32.to_le_bytes());
    entry.extend(b"\x01\0\0\0a");
    entry.extend(&packed[..20]);
    let disk = [entry, noise(8, 300_000)].concat();
    let doubted = doubted(&disk);
    assert!(doubted.iter().any(|range| range.start == 0 && range.end > 100_000), "{doubted:?}");
}
