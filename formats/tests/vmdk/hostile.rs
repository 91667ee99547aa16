//! Files made to hurt: giant capacities, directories that point everywhere, bombs.

use vmglean_forge::vmdk::{
    Disk, Image,
    cowd::{self, CowdSpec},
    sesparse::{self, SeSparseSpec},
    sparse::{self, SparseSpec},
    stream::{self, StreamLayout, StreamSpec},
};
use vmglean_formats::{
    ByteOffset, Bytes, MediumError, ReadAt,
    vmdk::{RunKind, inflate_grain, open_extent},
};

use crate::reading::{State, all_runs, read_whole};

fn has(defects: &[vmglean_formats::Defect], word: &str) -> bool {
    defects.iter().any(|defect| defect.to_string().contains(word))
}

#[test]
fn the_largest_capacity_a_header_can_state_is_answered_at_once_and_lost_where_no_table_is() {
    let giant = (u64::MAX >> 9).to_le_bytes();
    let disk = Disk::new(8192).pattern(0, 65_536, 1);
    let sparse = sparse::write(&disk, &SparseSpec::default()).image.to_bytes();
    let front = StreamSpec { layout: StreamLayout::Front, ..StreamSpec::default() };
    let footer = stream::write(&disk, &StreamSpec::default()).image.to_bytes();
    let front = stream::write(&disk, &front).image.to_bytes();
    let sesparse = sesparse::write(&disk, &SeSparseSpec::default()).image.to_bytes();
    for (mut file, at) in [(sparse, 12usize), (footer, 12), (front, 12), (sesparse, 16)] {
        file[at..at + 8].copy_from_slice(&giant);
        let opened = open_extent(&file).unwrap();
        let (runs, defects) = all_runs(opened.value.map.as_ref(), &file, 10_000);
        assert!(!defects.is_empty() || !opened.defects.is_empty());
        assert!(runs.len() < 10_000);
    }
    let mut cowd = cowd::write(&disk, &CowdSpec::default()).image.to_bytes();
    cowd[12..16].fill(0xff);
    let opened = open_extent(&cowd).unwrap();
    let (runs, defects) = all_runs(opened.value.map.as_ref(), &cowd, 10_000);
    assert!(has(&defects, "past the end"), "{defects:?}");
    assert_eq!(runs.last().unwrap().kind, RunKind::Lost);
}

#[test]
fn grains_that_two_entries_claim_are_lost_and_the_count_of_defects_is_bounded() {
    let disk = Disk::new(600 * 128).pattern(0, 65_536, 1);
    let mut image =
        sparse::write(&disk, &SparseSpec { redundant: false, ..SparseSpec::default() }).image;
    image.length = image.length.max(1 << 20);
    let mut file = image.to_bytes();
    // Directory at sector 1, tables from sector 2: every entry names the first grain.
    for entry in file[1024..1024 + 2400].chunks_mut(4) {
        entry.copy_from_slice(&128u32.to_le_bytes());
    }
    let opened = open_extent(&file).unwrap();
    let runs = opened.value.map.runs(&file, ByteOffset(0), Bytes(u64::MAX), 100).unwrap();
    assert!(runs.value.iter().all(|run| run.kind == RunKind::Lost));
    assert!(has(
        &runs.defects,
        "GrainTable.entry at 0x400: claims 0x10000, which is taken already"
    ));
    assert_eq!(runs.defects.len(), 257);
    assert!(runs.defects.last().unwrap().to_string().contains("passes the limit of 256"));
}

#[test]
fn tables_that_several_directory_entries_claim_are_lost() {
    let disk = Disk::new(3 * 4096).pattern(0, 4096, 1).pattern(5000 * 512, 512, 2);
    let mut file = cowd::write(&disk, &CowdSpec::default()).image.to_bytes();
    let first: [u8; 4] = file[2048..2052].try_into().unwrap();
    file[2052..2056].copy_from_slice(&first);
    let opened = open_extent(&file).unwrap();
    let whole = read_whole(opened.value.map.as_ref(), &file, 100);
    assert!(whole.states[..8192].iter().all(|state| *state == State::Lost));
    assert!(has(&whole.defects, "GrainDirectory.entry at 0x800: claims"));
}

#[test]
fn a_zeroed_grain_without_its_flag_is_lost_not_zero() {
    let disk = Disk::new(8192).pattern(0, 65_536, 1).zero(65_536);
    let spec = SparseSpec { version: 2, zeroed: true, ..SparseSpec::default() };
    let mut file = sparse::write(&disk, &spec).image.to_bytes();
    file[8] = 3;
    let opened = open_extent(&file).unwrap();
    let whole = read_whole(opened.value.map.as_ref(), &file, 100);
    assert_eq!(whole.states[128], State::Lost);
    assert!(!whole.defects.is_empty());
}

#[test]
fn a_bomb_gives_one_grain_and_no_byte_more() {
    let zlib = stream::deflate(&vec![0; 50 << 20]);
    let mut out = vec![1; 65_536];
    let error = inflate_grain(&zlib, &mut out).unwrap_err();
    assert_eq!(error.to_string(), "compressed data is broken: it gives more than 65536 bytes");
    let zlib = stream::deflate(&[7; 65_536]);
    assert_eq!(inflate_grain(&zlib, &mut out).unwrap().produced, 65_536);
    let cut = inflate_grain(&zlib[..zlib.len() - 2], &mut out).unwrap_err();
    assert_eq!(cut.to_string(), "compressed data is broken: it ends before its checksum");
    let mut wrong = zlib.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert!(inflate_grain(&wrong, &mut out).is_err());
    assert!(inflate_grain(&[], &mut out).is_err());
}

#[test]
fn a_stream_without_its_footer_still_gives_every_grain() {
    let disk = Disk::new(70_000).pattern(0, 200_000, 1).pattern(33 << 20, 100_000, 2);
    let forged = stream::write(&disk, &StreamSpec { progress: true, ..StreamSpec::default() });
    let mut file = forged.image.to_bytes();
    let tail = file.len() - 1024;
    file[tail..].fill(0xa5);
    let opened = open_extent(&file).unwrap();
    assert!(has(&opened.defects, "the footer that the header points to is missing"));
    let whole = read_whole(opened.value.map.as_ref(), &file, 100);
    let truth = forged.truth();
    for (nth, state) in whole.states.iter().enumerate() {
        let range = nth * 512..(nth + 1) * 512;
        assert!(*state != State::Absent && *state != State::Zero, "nothing proves absence");
        if forged.grain_truth(nth as u64 / 128) == vmglean_forge::vmdk::GrainTruth::Data {
            assert_eq!(*state, State::Data);
            assert!(whole.bytes[range.clone()] == truth[range]);
        }
    }
}

#[test]
fn two_grains_of_one_address_are_lost_where_no_table_chooses() {
    let disk = Disk::new(70_000).pattern(0, 200_000, 1);
    let mut file = stream::write(&disk, &StreamSpec::default()).image.to_bytes();
    let tail = file.len() - 1024;
    file[tail..].fill(0xa5);
    // The second grain's marker is made to say that it is the first.
    let second = (512..tail).step_by(512).find(|at| file[*at..*at + 8] == 128u64.to_le_bytes());
    let second = second.unwrap();
    file[second..second + 8].fill(0);
    let opened = open_extent(&file).unwrap();
    let whole = read_whole(opened.value.map.as_ref(), &file, 100);
    assert_eq!(whole.states[0], State::Lost);
    assert_eq!(whole.states[256], State::Data);
    let word = format!("GrainMarker.lba at {:#x}: claims 0x0, which is taken already", second + 12);
    assert!(has(&whole.defects, &word), "{:?}", whole.defects);
}

#[test]
fn a_stream_of_a_petabyte_without_its_directory_is_one_run_of_what_is_lost() {
    let disk = Disk::new(70_000).pattern(0, 200_000, 1);
    let front = StreamSpec { layout: StreamLayout::Front, grain: 16, ..StreamSpec::default() };
    let mut file = stream::write(&disk, &front).image.to_bytes();
    file[12..20].copy_from_slice(&(1u64 << 41).to_le_bytes());
    let gd = usize::try_from(u64::from_le_bytes(file[56..64].try_into().unwrap())).unwrap() * 512;
    file[gd..gd + 512].fill(0xff);
    let opened = open_extent(&file).unwrap();
    let (runs, defects) = all_runs(opened.value.map.as_ref(), &file, 10_000);
    assert_eq!(runs.last().unwrap().kind, RunKind::Lost);
    assert!(runs.len() < 100 && !defects.is_empty(), "{}", runs.len());
}

/// A medium on which one stretch cannot be read.
struct BadMedium(Vec<u8>, std::ops::Range<u64>);

impl ReadAt for BadMedium {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let end = at.0 + buf.len() as u64;
        if at.0 < self.1.end && self.1.start < end {
            let (len, source) = (Bytes(buf.len() as u64), std::io::Error::other("bad sector"));
            return Err(MediumError::Io { at, len, source });
        }
        self.0.read_exact_at(buf, at)
    }
}

#[test]
fn an_unreadable_table_sector_costs_nothing_with_a_second_copy_and_is_told_without() {
    let disk = Disk::new(600 * 128).pattern(0, 200_000, 1);
    for (redundant, at) in [(true, 2u64), (false, 2)] {
        let forged = sparse::write(&disk, &SparseSpec { redundant, ..SparseSpec::default() });
        let medium = BadMedium(forged.image.to_bytes(), at * 512..at * 512 + 512);
        let opened = open_extent(&medium).unwrap();
        let runs = opened.value.map.runs(&medium, ByteOffset(0), Bytes(u64::MAX), 1000).unwrap();
        assert!(has(
            &runs.defects,
            "GrainTable.entries at 0x400: 512 bytes could not be read: bad sector"
        ));
        let lost = runs.value.iter().any(|run| run.kind == RunKind::Lost);
        assert_eq!(lost, !redundant);
    }
}

#[test]
fn nothing_but_zeros_or_noise_opens() {
    for file in [vec![0; 4096], vec![0xa5; 4096], Image::default().to_bytes()] {
        assert!(open_extent(&file).is_err());
    }
}
