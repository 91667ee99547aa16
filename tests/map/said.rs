//! What a map says: states, rules, places in files, exit codes, text.

use std::fs;

use vmglean_forge::{
    damage::{Damage, Geometry, Rng},
    vmdk::{
        self, Disk,
        descriptor::{DescriptorSpec, ExtentLine},
        sparse::SparseSpec,
    },
};

use crate::{
    lone::packed,
    make::{Case, content, runs},
};

const MIB: u64 = 1 << 20;

fn encrypted(record: &serde_json::Value) -> Vec<std::ops::Range<u64>> {
    let mut joined: Vec<std::ops::Range<u64>> = Vec::new();
    for (at, length, state) in runs(record) {
        if state == "encrypted" {
            match joined.last_mut() {
                Some(last) if last.end == at => last.end = at + length,
                _ => joined.push(at..at + length),
            }
        }
    }
    joined
}

#[test]
fn a_comb_is_mapped_to_the_byte_with_its_rule() {
    let case = Case::new();
    let comb = Geometry::Periodic { start: 0, run: 1_000_000, period: 3_000_000, stop: None };
    let truth = case.flat("d-flat.vmdk", 16, comb);
    let (code, record) = case.map(&["ds/d-flat.vmdk"]);
    assert_eq!(code, 1);
    assert_eq!(encrypted(&record), truth.encrypted);
    let pattern = &record["pattern"];
    assert_eq!(pattern["kind"], "periodic");
    assert_eq!(pattern["run_bytes"], 1_000_000);
    assert_eq!(pattern["period_bytes"], 3_000_000);
    assert_eq!(pattern["phase_bytes"], 0);
    // What an edge leaves of a block that is nearly all ciphertext.
    assert!(record["summary"]["undetermined_bytes"].as_u64().unwrap() < 4096);
}

#[test]
fn a_clean_disk_ends_with_zero_and_no_word_of_encryption() {
    let case = Case::new();
    case.flat("d-flat.vmdk", 8, Geometry::None);
    let (code, record) = case.map(&["ds/d-flat.vmdk"]);
    assert_eq!(code, 0);
    assert_eq!(record["pattern"]["kind"], "none");
    assert_eq!(record["summary"]["encrypted_bytes"], 0);
    assert_eq!(record["summary"]["undetermined_bytes"], 0);
    let (_, strict) = case.map(&["--strict", "ds/d-flat.vmdk"]);
    assert_eq!(strict["summary"]["intact_bytes"], 0, "nothing here is proven");
}

/// A gzip file of a MiB that packs to about nine tenths, and looks random.
fn archive(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let rich: Vec<u8> = (0..1 << 20).map(|_| rng.draw() as u8 & 0x7F).collect();
    packed(&rich)
}

#[test]
fn an_archive_that_is_not_unpacked_is_undetermined_whole_or_not() {
    let case = Case::new();
    let mut bytes = content(8 << 20);
    let archive = archive(5);
    let place = 2 << 20..(2 << 20) + archive.len();
    bytes[place.clone()].copy_from_slice(&archive);
    fs::write(case.disk("d-flat.vmdk"), &bytes).unwrap();
    let (code, whole) = case.map(&["ds/d-flat.vmdk"]);
    assert_eq!(code, 0);
    assert_eq!(whole["summary"]["undetermined_bytes"], 0);
    for damaged in [false, true] {
        if damaged {
            bytes[place.start + 500_000..][..64].fill(0x5A);
            fs::write(case.disk("d-flat.vmdk"), &bytes).unwrap();
        }
        let (code, record) = case.map(&["--no-unpack", "ds/d-flat.vmdk"]);
        assert_eq!(code, 1, "it may be encrypted");
        let inside = place.start as u64..place.end as u64;
        for (at, length, state) in runs(&record) {
            let is_outside = at >= inside.end || at + length <= inside.start;
            assert!(is_outside || state == "undetermined", "{at} {length} {state}");
        }
        let open = record["summary"]["undetermined_bytes"].as_u64().unwrap();
        assert!(open < archive.len() as u64 + 16_384, "{open}");
        let findings = record["findings"].as_array().unwrap();
        let codes: Vec<_> = findings.iter().map(|finding| &finding["code"]).collect();
        assert_eq!(codes, ["map.not-unpacked", "map.unexplained"]);
        let finding = &findings[0];
        assert!(finding["what"].as_str().unwrap().starts_with(&format!("{open} bytes")));
        assert_eq!(finding["path"], "d-flat.vmdk");
        let text = case.run(&["map", "--no-unpack", "ds/d-flat.vmdk"]);
        let text = String::from_utf8(text.stdout).unwrap().replace('\n', " ");
        assert!(text.contains("; map it again without --no-unpack"), "{text}");
    }
}

#[test]
fn the_hole_that_an_archive_breaks_off_in_stays_a_hole() {
    let case = Case::new();
    let mut bytes = [content(1 << 20), archive(6)].concat();
    let hole = 3 << 19;
    bytes.truncate(hole);
    let path = case.disk("d-flat.vmdk");
    fs::write(&path, &bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(8 << 20).unwrap();
    let (_, record) = case.map(&["ds/d-flat.vmdk"]);
    assert_eq!(record["summary"]["absent_bytes"], (8 << 20) - hole);
    assert!(record["summary"]["undetermined_bytes"].as_u64().unwrap() > 64 << 10);
}

#[test]
fn small_runs_are_told_as_a_lattice_and_counted_to_the_byte() {
    let case = Case::new();
    let lattice = Geometry::Periodic { start: 0, run: 64, period: 192, stop: None };
    let truth = case.flat("d-flat.vmdk", 8, lattice);
    let (code, record) = case.map(&["ds/d-flat.vmdk"]);
    assert_eq!(code, 1);
    assert_eq!(record["pattern"]["kind"], "lattice");
    let run = record["runs"].as_array().unwrap().iter().find(|r| r["lattice"].is_object()).unwrap();
    assert_eq!(run["state"], "encrypted");
    assert_eq!(run["lattice"]["run_bytes"], 64);
    assert_eq!(run["lattice"]["period_bytes"], 192);
    assert_eq!(run["lattice"]["between"], "intact");
    assert_eq!(record["summary"]["encrypted_bytes"], truth.encrypted_bytes());
}

#[test]
fn a_second_attack_under_a_lattice_is_told_too() {
    let case = Case::new();
    let mut bytes = content(16 << 20);
    let comb = Geometry::Periodic { start: 0, run: 262_144, period: 1_500_000, stop: None };
    let blocks = Damage::plain(comb, 7).apply(&mut bytes);
    let lattice = Geometry::Periodic { start: 0, run: 64, period: 6400, stop: None };
    let small = Damage::plain(lattice, 8).apply(&mut bytes);
    fs::write(case.disk("d-flat.vmdk"), bytes).unwrap();
    let (code, record) = case.map(&["ds/d-flat.vmdk"]);
    assert_eq!(code, 1);
    assert_eq!(record["pattern"]["kind"], "lattice");
    assert_eq!(record["pattern"]["run_bytes"], 64);
    assert_eq!(record["pattern"]["period_bytes"], 6400);
    let mut told = 0;
    for run in record["runs"].as_array().unwrap() {
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        let (at, length) = (number(&run["offset_bytes"]), number(&run["length_bytes"]));
        let within = |ranges: &[std::ops::Range<u64>]| -> u64 {
            ranges.iter().map(|t| t.end.min(at + length).saturating_sub(t.start.max(at))).sum()
        };
        let good = |state: &serde_json::Value| {
            ["intact", "zero", "absent"].contains(&state.as_str().unwrap())
        };
        let between = &run["lattice"]["between"];
        if good(&run["state"]) || between.is_string() && good(between) {
            assert_eq!(within(&blocks.encrypted), 0, "{run}");
        }
        if good(&run["state"]) {
            assert_eq!(within(&small.encrypted), 0, "{run}");
        }
        if run["state"] == "encrypted" && !between.is_string() {
            told += within(&blocks.encrypted);
            assert!(length - within(&blocks.encrypted) < 200, "{run}");
        }
    }
    assert!(told * 100 > blocks.encrypted_bytes() * 99, "{told} bytes of the comb");
}

#[test]
fn a_chain_is_mapped_in_virtual_addresses_with_file_and_offset() {
    let case = Case::new();
    let base = content(4 << 20);
    let mut hurt = base.clone();
    Damage::plain(Geometry::Head { bytes: MIB }, 3).apply(&mut hurt);
    fs::write(case.disk("base-flat.vmdk"), &hurt).unwrap();
    let sectors = (4 * MIB) / 512;
    let descriptor =
        DescriptorSpec::new("vmfs", ExtentLine::new(sectors, "VMFS", "base-flat.vmdk"));
    let cid = descriptor.cid;
    fs::write(case.disk("base.vmdk"), descriptor.text()).unwrap();
    let line = ExtentLine::new(sectors, "SPARSE", "leaf.vmdk");
    let text = DescriptorSpec::new("monolithicSparse", line).child_of(cid, "base.vmdk").text();
    let disk = Disk::new(sectors).write(0, content(128 << 10)).write(3 * MIB, vec![7; 64 << 10]);
    let spec = SparseSpec { descriptor: Some(text), ..SparseSpec::default() };
    vmdk::sparse::write(&disk, &spec).image.write_to(&case.disk("leaf.vmdk")).unwrap();

    let (code, record) = case.map(&["ds/leaf.vmdk"]);
    assert_eq!(code, 1, "{record:#}");
    assert_eq!(record["size_bytes"], 4 * MIB);
    // What the leaf holds hides the damage below it.
    assert_eq!(encrypted(&record), vec![128 << 10..MIB]);
    let files: Vec<Vec<u8>> = record["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| fs::read(case.disk(name.as_str().unwrap())).unwrap())
        .collect();
    let mut whole = hurt;
    whole[..128 << 10].copy_from_slice(&content(128 << 10));
    whole[3 << 20..(3 << 20) + (64 << 10)].fill(7);
    for run in record["runs"].as_array().unwrap() {
        let number = |name: &str| run[name].as_u64().map(|n| n as usize);
        let (at, length) = (number("offset_bytes").unwrap(), number("length_bytes").unwrap());
        if let (Some(file), Some(from)) = (number("file"), number("file_offset_bytes")) {
            assert!(files[file][from..from + length] == whole[at..at + length], "{run}");
        }
    }
}

#[test]
fn text_stands_in_a_hundred_columns() {
    let case = Case::new();
    case.flat("d-flat.vmdk", 16, Geometry::Head { bytes: 4 * MIB });
    let output = case.run(&["map", "ds/d-flat.vmdk"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(text.contains("encrypted"), "{text}");
    assert!(text.contains("4 MiB") || text.contains("4.0 MiB"), "{text}");
    assert!(text.contains("█") && text.contains("░"), "{text}");
}

#[test]
fn what_cannot_or_must_not_be_done_has_its_exit_code() {
    let case = Case::new();
    case.flat("d-flat.vmdk", 1, Geometry::None);
    let code = |args: &[&str]| case.run(args).status.code().unwrap();
    assert_eq!(code(&["map"]), 2);
    assert_eq!(code(&["map", "ds/not-there.vmdk"]), 74);
    assert_eq!(code(&["map", "ds/d-flat.vmdk", "--png", "ds/p.png"]), 4);
    assert_eq!(code(&["map", "ds/d-flat.vmdk", "--state", "ds/state"]), 4);
    fs::write(case.root().join("there"), b"x").unwrap();
    assert_eq!(code(&["map", "ds/d-flat.vmdk", "--mapfile", "there"]), 4);
    assert_eq!(code(&["map", "ds/d-flat.vmdk", "--mapfile", "there", "--overwrite"]), 0);
}

#[test]
fn random_bytes_on_a_disk_that_nothing_proves_sound_end_with_1_and_without_a_word_of_no_damage() {
    let case = Case::new();
    case.flat("d-flat.vmdk", 8, Geometry::None);
    let mut bytes = std::fs::read(case.disk("d-flat.vmdk")).unwrap();
    let from = 3 << 20;
    let mut piece = bytes[from..from + 8192].to_vec();
    Damage::plain(Geometry::Head { bytes: 8192 }, 5).apply(&mut piece);
    bytes[from..from + 8192].copy_from_slice(&piece);
    std::fs::write(case.disk("d-flat.vmdk"), bytes).unwrap();
    let (code, record) = case.map(&["ds/d-flat.vmdk"]);
    assert_eq!(code, 1, "{record:#}");
    let output = case.run(&["map", "ds/d-flat.vmdk"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("No damage"), "{text}");

    let mut whole = vec![0; 8 << 20];
    Damage::plain(Geometry::Whole { start: 0 }, 5).apply(&mut whole);
    std::fs::write(case.disk("e-flat.vmdk"), whole).unwrap();
    let (code, record) = case.map(&["ds/e-flat.vmdk"]);
    assert_eq!(code, 1, "{record:#}");
}
