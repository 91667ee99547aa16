//! Files that no empty space lies in: what shows small encrypted runs on a disk is not there.

use std::{fs, io::Write as _, ops::Range};

use flate2::{Compression, write::GzEncoder};
use vmglean_forge::damage::{Damage, Geometry};

use crate::make::{Case, runs};

/// Words in no order, as a table or a log holds them.
pub(crate) fn text(bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 12] = [
        "invoice",
        "paid",
        "2026-03-14",
        "Order",
        "customer",
        "1,204.50",
        "EUR;",
        "shipped",
        "to",
        "warehouse",
        "\n",
        "total",
    ];
    let mut made = Vec::with_capacity(bytes + 16);
    let mut state = 88_172_645_463_325_252_u64;
    while made.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        made.extend_from_slice(WORDS[(state % 12) as usize].as_bytes());
        made.extend_from_slice(format!(" {} ", state % 9973).as_bytes());
    }
    made.truncate(bytes);
    made
}

/// A gzip file of it.
pub(crate) fn packed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Bytes in `state`, and how many of `hit` lie in what is called intact or zero.
fn told(
    case: &Case,
    name: &str,
    bytes: &[u8],
    hit: &[Range<u64>],
) -> (u64, u64, serde_json::Value) {
    fs::write(case.disk(name), bytes).unwrap();
    let (_, record) = case.map(&["--file", &format!("ds/{name}")]);
    let (mut intact, mut missed) = (0, 0);
    for (at, length, state) in runs(&record) {
        if state == "intact" || state == "zero" {
            intact += length;
            let over =
                |range: &Range<u64>| range.end.min(at + length).saturating_sub(range.start.max(at));
            missed += hit.iter().map(over).sum::<u64>();
        }
    }
    (intact, missed, record)
}

const KNOWN: [(u64, u64); 3] = [(64, 192), (64, 6400), (16, 32)];

#[test]
fn small_runs_in_text_are_never_called_intact() {
    let case = Case::new();
    let clean = text(4 << 20);
    let (intact, _, record) = told(&case, "clean.sql", &clean, &[]);
    assert_eq!(intact, clean.len() as u64, "{}", record["summary"]);
    for (run, period) in KNOWN {
        for start in [0, 5000] {
            let mut bytes = clean.clone();
            let comb = Geometry::Periodic { start, run, period, stop: None };
            let truth = Damage::plain(comb, 3).apply(&mut bytes);
            let (_, missed, record) = told(&case, "table.sql", &bytes, &truth.encrypted);
            assert_eq!(missed, 0, "{run} in {period}");
            // Without any sign of an attack it could be a file of keys.
            assert_eq!(record["summary"]["encrypted_bytes"], 0);
            let findings = record["findings"].as_array().unwrap();
            assert!(findings.iter().any(|f| f["code"] == "map.lattice-suspected"), "{findings:?}");
        }
    }
}

#[test]
fn small_runs_in_text_are_placed_where_the_name_tells_of_an_attack() {
    for (run, period) in KNOWN {
        let case = Case::new();
        let mut bytes = text(4 << 20);
        let comb = Geometry::Periodic { start: 0, run, period, stop: None };
        let truth = Damage::plain(comb, 3).apply(&mut bytes);
        fs::write(case.disk("table.sql.basta"), &bytes).unwrap();
        let (code, record) = case.map(&["--file", "ds/table.sql.basta"]);
        assert_eq!(code, 1);
        let pattern = &record["pattern"];
        assert_eq!(pattern["kind"], "lattice", "{pattern}");
        assert_eq!(
            (pattern["run_bytes"].as_u64(), pattern["period_bytes"].as_u64()),
            (Some(run), Some(period))
        );
        let hit: u64 = truth.encrypted.iter().map(|range| range.end - range.start).sum();
        assert_eq!(record["summary"]["encrypted_bytes"], hit, "{run} in {period}");
    }
}

#[test]
fn of_a_compressed_file_only_what_its_checksum_proves_is_intact() {
    let case = Case::new();
    let whole = packed(&text(8 << 20));
    let size = whole.len() as u64;
    let (intact, _, record) = told(&case, "whole.gz", &whole, &[]);
    assert_eq!(intact, size, "{}", record["summary"]);

    // Cut, so that no checksum is reached: nothing shows that nothing is damaged.
    let (intact, ..) = told(&case, "cut.gz", &whole[..whole.len() / 2], &[]);
    assert_eq!(intact, 0);

    let every = |run, period| Geometry::Periodic { start: 20_000, run, period, stop: None };
    let attacks = [
        Geometry::Irregular(vec![300_000..300_064]),
        Geometry::Irregular(vec![300_000..300_004]),
        Geometry::Irregular(vec![300_000..304_096]),
        every(64, 192),
        every(64, 6400),
        every(16, 32),
        every(300, 50_000),
        every(4096, 1 << 18),
    ];
    for (n, geometry) in attacks.into_iter().enumerate() {
        let mut bytes = whole.clone();
        let truth = Damage::plain(geometry.clone(), n as u64).apply(&mut bytes);
        let (_, missed, _) = told(&case, "hit.gz", &bytes, &truth.encrypted);
        assert_eq!(missed, 0, "{geometry:?}");
        let cut = &bytes[..bytes.len() / 2];
        let (_, missed, _) = told(&case, "hit-and-cut.gz", cut, &truth.encrypted);
        assert_eq!(missed, 0, "{geometry:?}, cut");
    }
}

#[test]
fn on_a_disk_with_empty_space_a_damaged_member_is_named_and_the_rest_stays_intact() {
    let case = Case::new();
    let member = packed(&text(8 << 20));
    let mut disk = crate::make::content(8 << 20);
    let at = 4 << 20;
    disk[at..at + member.len()].copy_from_slice(&member);
    let hit = (at as u64 + 300_000)..(at as u64 + 300_064);
    let truth = Damage::plain(Geometry::Irregular(vec![hit]), 1).apply(&mut disk);
    let (intact, missed, record) = told(&case, "d-flat.vmdk", &disk, &truth.encrypted);
    assert_eq!(missed, 0);
    let doubted = record["summary"]["undetermined_bytes"].as_u64().unwrap();
    assert!((member.len() as u64..member.len() as u64 + 16_384).contains(&doubted), "{doubted}");
    assert!(intact > 2 << 20);
    let evidence = record["evidence"].to_string();
    assert!(evidence.contains("its CRC-32 is wrong"), "{evidence}");
}
