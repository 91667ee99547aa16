//! Footers of every family with a known layout, written byte by byte from its description.

use super::*;
use crate::families::{Families, Geometry};

const SIZE: u64 = 1 << 20;

fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 11) as u8
        })
        .collect()
}

fn flat() -> FooterQuestion {
    FooterQuestion { whole_sectors: true, ..FooterQuestion::default() }
}

fn named(family: &str) -> FooterQuestion {
    FooterQuestion { named: vec![family.to_owned()], ..flat() }
}

/// What a flat extent of [`SIZE`] text bytes with this footer behind it says.
fn read(footer: &[u8], question: &FooterQuestion) -> FooterReading {
    let mut tail = b"plain guest data, line after line\n".repeat(500)[..16_384].to_vec();
    tail.extend_from_slice(footer);
    read_tail(SIZE + footer.len() as u64, &tail, question, &Families::built_in().unwrap())
}

fn sized(mode: u8, percent: u8, size: u64) -> Vec<u8> {
    [noise(524, 3), vec![mode, percent], size.to_le_bytes().to_vec()].concat()
}

fn akira(mode: u8, percent: u8) -> Vec<u8> {
    sized(mode, percent, SIZE)
}

fn qilin(seed: u32) -> Vec<u8> {
    [noise(520, seed), b"-----END CIPHERTEXT BLOCK-----".to_vec()].concat()
}

fn play() -> Vec<u8> {
    let marker = b"0123456789abcdef";
    let mut footer = marker.to_vec();
    for field in [0u16, 3, 0, 1] {
        footer.extend(field.to_le_bytes());
    }
    footer.extend(0x1_0000u32.to_le_bytes());
    footer.extend(0xC2C4_5B69u32.to_le_bytes());
    footer.extend(16u64.to_le_bytes());
    footer.extend(noise(1024, 5));
    footer
}

fn money_message() -> Vec<u8> {
    let mut footer = 0x48u32.to_le_bytes().to_vec();
    footer.extend(noise(164, 6));
    let crc = crc32fast::hash(&footer);
    footer.extend(crc.to_le_bytes());
    footer
}

fn black_basta(progress: u64) -> Vec<u8> {
    let mut footer = noise(512 - 23, 8);
    footer.push(6);
    footer.extend(progress.to_le_bytes());
    footer.extend([0, 1]);
    footer.extend(b"\x91\x02\xfe\x77\x10\x9a\x33\x44\x55\x66\x77\x88");
    // 512 bytes would hide in whole sectors; the real one has a key length that does not.
    [noise(66, 9), footer].concat()
}

fn black_cat() -> Vec<u8> {
    let mut footer = noise(256 + 512, 12);
    footer.extend(1u16.to_le_bytes());
    footer.extend(noise(32, 13));
    footer
}

#[test]
fn every_known_layout_is_read_with_its_family_length_and_original_size() {
    let conti = sized(0x25, 20, SIZE);
    let royal = [noise(512, 4), SIZE.to_le_bytes().to_vec(), 50u64.to_le_bytes().to_vec()].concat();
    let megazord = [vec![0; 8], noise(32, 2)].concat();
    let nas = [noise(32, 7), vec![0xAB, 0xBC, 0xCD, 0xDE, 0xEF, 0xF0]].concat();
    let monti = [b"MONTI".to_vec(), noise(256, 10)].concat();
    let inc = [noise(32, 11), b"INC".to_vec()].concat();
    let nevada = [b"NVDA".to_vec(), noise(34, 14)].concat();
    let table: Vec<(&str, Vec<u8>, FooterProof)> = vec![
        ("Qilin", qilin(1), FooterProof::Magic),
        ("Akira (C++)", akira(2, 50), FooterProof::Checked),
        ("Akira (C++)", akira(0, 0), FooterProof::Checked),
        ("Conti ESXi", conti, FooterProof::Checked),
        ("Royal", royal, FooterProof::Checked),
        ("Play", play(), FooterProof::Checked),
        ("Money Message", money_message(), FooterProof::Checked),
        ("Megazord", megazord, FooterProof::Magic),
        ("Babuk NAS (Go)", nas, FooterProof::Magic),
        ("Monti", monti, FooterProof::Magic),
        ("INC", inc, FooterProof::Magic),
        ("Nevada", nevada, FooterProof::Magic),
        ("BlackCat", black_cat(), FooterProof::Length),
        ("RansomHub", noise(113, 15), FooterProof::Length),
        ("Babuk ESXi", noise(32, 16), FooterProof::Length),
        ("Hive v6", noise(658, 17), FooterProof::Length),
        ("Hunters International", noise(661, 18), FooterProof::Length),
        ("Hunters International", noise(640, 19), FooterProof::Length),
        ("DarkBit", noise(256, 20), FooterProof::Length),
        ("VECT 2.0", noise(12, 21), FooterProof::Length),
    ];
    for (family, footer, proof) in table {
        let reading = read(&footer, &flat());
        let layer = reading.layers.first().unwrap_or_else(|| panic!("{family}: {reading:?}"));
        assert_eq!(layer.proof, proof, "{family}");
        assert_eq!(layer.length_bytes, footer.len() as u64, "{family}");
        assert!(layer.families.iter().any(|hint| hint.family == family), "{family}: {layer:?}");
        assert_eq!(reading.original_size_bytes, SIZE, "{family}");
        assert!(!reading.evidence.is_empty());
        let reading = read(&footer, &named(family));
        assert!(reading.is_proven(), "{family} named by its suffix");
        assert_eq!(reading.original_size_bytes, SIZE, "{family}");
    }
}

#[test]
fn stated_geometry_gives_the_damaged_ranges() {
    let reading = read(&akira(2, 50), &flat());
    let layer = &reading.layers[0];
    let stated = layer.stated.as_ref().unwrap();
    assert_eq!((stated.form, stated.percent), (Geometry::Akira2023, Some(50)));
    assert_eq!(stated.size_bytes, Some(SIZE));
    let ranges = layer.prediction.as_ref().unwrap().ranges(9);
    // Files of at most 2,000,000 bytes lose their first half instead of four tenths.
    assert_eq!(ranges, [0..SIZE / 2]);
    let reading = read(&play(), &flat());
    let ranges = reading.layers[0].prediction.as_ref().unwrap().ranges(99);
    assert_eq!(ranges[1], 0x3_0000..0x4_0000);
    let reading = read(&money_message(), &flat());
    assert_eq!(reading.layers[0].prediction.as_ref().unwrap().encrypted_bytes(), SIZE);
}

#[test]
fn a_progress_counter_below_the_size_is_an_interrupted_run() {
    let reading = read(&black_basta(300_000), &named("Black Basta ELF"));
    let layer = &reading.layers[0];
    assert_eq!(layer.families[0].family, "Black Basta ELF");
    assert_eq!(layer.stated.as_ref().unwrap().progress_bytes, Some(300_000));
    assert!(reading.evidence.iter().any(|one| one.detail.contains("run was interrupted")));
    let prediction = layer.prediction.as_ref().unwrap();
    assert!(prediction.contains(192) && !prediction.contains(64));
    assert!(!prediction.contains(300_096));
}

#[test]
fn stacked_footers_are_taken_off_one_by_one() {
    let three = [qilin(1), qilin(2), qilin(3)].concat();
    let reading = read(&three, &flat());
    assert_eq!(reading.layers.len(), 3);
    assert_eq!(reading.original_size_bytes, SIZE);
    assert!(reading.original_size_is_proven);
    let inner = akira(2, 50);
    let outer = sized(2, 50, SIZE + 534);
    let reading = read(&[inner, outer].concat(), &flat());
    assert_eq!(reading.layers.len(), 2);
    let endless = qilin(4).repeat(20);
    assert_eq!(read(&endless, &flat()).layers.len(), 8);
}

#[test]
fn lies_in_a_footer_are_not_believed() {
    for (what, footer) in [
        ("size that is not the file's", sized(2, 50, SIZE + 1)),
        ("mode out of range", sized(9, 50, SIZE)),
        ("percent out of range", sized(2, 101, SIZE)),
        ("wrapped key of text", [vec![b'k'; 524], sized(2, 50, SIZE)[524..].to_vec()].concat()),
    ] {
        let reading = read(&footer, &flat());
        assert!(!reading.is_proven(), "{what}: {reading:?}");
    }
    let mut torn = money_message();
    torn[50] ^= 1;
    assert!(!read(&torn, &flat()).is_proven());
    let mut torn = play();
    torn[3] ^= 1;
    assert!(!read(&torn, &flat()).is_proven());
}

#[test]
fn a_healthy_file_has_no_footer() {
    let reading = read(&[], &flat());
    assert_eq!((reading.layers.len(), reading.evidence.len()), (0, 0));
    assert_eq!(reading.original_size_bytes, SIZE);
    let zeros = read_tail(SIZE, &[0; 16_384], &flat(), &Families::built_in().unwrap());
    assert!(zeros.layers.is_empty());
    let noise = read_tail(SIZE, &noise(16_384, 99), &flat(), &Families::built_in().unwrap());
    assert!(noise.layers.is_empty());
    // A log may end anywhere.
    let log = FooterQuestion::default();
    assert!(read(b"last line\n", &log).evidence.is_empty());
}

#[test]
fn bytes_behind_the_descriptors_length_are_a_footer_of_whoever_fits() {
    let question = FooterQuestion { expected_bytes: Some(SIZE), ..flat() };
    let reading = read(&noise(512, 30), &question);
    assert_eq!(reading.original_size_bytes, SIZE);
    assert!(reading.original_size_is_proven);
    let names: Vec<_> = reading.candidates.iter().map(|hint| hint.family.as_str()).collect();
    assert_eq!(names, ["Akira (C++)", "Conti ESXi", "RansomEXX Linux"]);
}

#[test]
fn an_odd_length_nobody_is_known_for_is_told_by_its_remainder() {
    let reading = read(&noise(77, 31), &flat());
    assert!(reading.layers.is_empty() && reading.candidates.is_empty());
    assert_eq!(reading.original_size_bytes, SIZE);
    assert!(!reading.original_size_is_proven);
    assert_eq!(
        reading.evidence[0].detail,
        "length is 77 modulo 512; an extent is whole sectors, so bytes were appended or the end \
         was cut off"
    );
}

proptest::proptest! {
    #[test]
    fn no_tail_panics_and_the_original_never_exceeds_the_file(
        file_bytes in proptest::prop_oneof![0u64..40_000, proptest::num::u64::ANY],
        tail in proptest::collection::vec(proptest::num::u8::ANY, 0..3000),
        whole in proptest::bool::ANY,
        expected in proptest::option::of(proptest::num::u64::ANY),
    ) {
        let question = FooterQuestion {
            whole_sectors: whole,
            expected_bytes: expected,
            named: vec!["Black Basta ELF".to_owned(), "INC".to_owned()],
        };
        let reading = read_tail(file_bytes, &tail, &question, &Families::built_in().unwrap());
        proptest::prop_assert!(reading.original_size_bytes <= file_bytes);
    }
}
