//! Damage and traps: right bytes or named holes, never a wrong byte called good. The forge knows
//! what every byte was.

use std::{fs, path::Path};

use vmglean_forge::{
    damage::{Cipher, KeyStream},
    vmdk::{
        Disk, Image, cowd,
        descriptor::{DescriptorSpec, ExtentLine},
        sesparse, sparse, stream,
    },
};

use crate::make::{Case, letters, lines, mixed, said, vmglean};

const SIZE: u64 = 24 << 20;

/// What a run made, held against the truth.
#[derive(Debug)]
struct Held {
    code: i32,
    err: String,
    /// Bytes that are wrong although their state says intact, zero or absent.
    silent: usize,
    /// Bytes that are wrong and copied.
    wrong: usize,
    /// Bytes that the fill stands for.
    filled: usize,
}

fn hold(case: &Case, leaf: &str, truth: &[u8], more: &[&str]) -> Held {
    let _ = fs::remove_dir_all(case.out());
    fs::create_dir(case.out()).unwrap();
    let out = case.out().join("disk.raw");
    let mut args = vec!["consolidate", leaf, "--partial", "-o", out.to_str().unwrap()];
    args.extend(more);
    let (code, _, err) = said(&vmglean(&case.ds(), &args));
    let mut held = Held { code, err, silent: 0, wrong: 0, filled: 0 };
    let Ok(bytes) = fs::read(&out) else { return held };
    let manifest = fs::read_to_string(case.out().join("MANIFEST.jsonl")).unwrap();
    let mut at = 0;
    for line in lines(&manifest).iter().filter(|line| line["record"] == "range") {
        let length = line["length_bytes"].as_u64().unwrap() as usize;
        let part = at..at + length;
        at += length;
        if line["filled"] == true {
            held.filled += length;
            continue;
        }
        let right = part.clone().filter(|n| bytes.get(*n) == truth.get(*n)).count();
        held.wrong += length - right;
        if matches!(line["state"].as_str(), Some("intact" | "zero" | "absent")) {
            held.silent += length - right;
        }
    }
    assert_eq!(at, bytes.len(), "the manifest covers the output");
    held
}

/// The rule that holds for every trap.
fn rule(held: &Held, what: &str) {
    assert_eq!(held.silent, 0, "{what}: {held:?}");
    assert!(held.code != 0 || held.wrong + held.filled == 0, "{what}: {held:?} {}", held.err);
}

fn put(case: &Case, name: &str, image: &Image) {
    image.write_to(&case.ds().join(name)).unwrap();
}

fn spec(kind: &str, word: &str, extent: &str, cid: u32) -> DescriptorSpec {
    let mut spec = DescriptorSpec::new(kind, ExtentLine::new(SIZE / 512, word, extent));
    spec.cid = cid;
    spec.ddb.retain(|(name, _)| name != "longContentID");
    spec
}

fn describe(case: &Case, name: &str, spec: &DescriptorSpec) {
    fs::write(case.ds().join(name), spec.text()).unwrap();
}

fn lay(truth: &mut [u8], disk: &Disk) {
    for (at, bytes) in &disk.writes {
        truth[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
    }
}

/// An ESXi chain: a flat base, a redo log over it, an seSparse delta over that. Its truth.
fn esxi(case: &Case, journal: sesparse::JournalSpec) -> Vec<u8> {
    let mut truth = mixed(SIZE as usize, 5);
    truth[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(case.ds().join("vm-flat.vmdk"), &truth).unwrap();
    describe(case, "vm.vmdk", &spec("vmfs", "VMFS", "vm-flat.vmdk", 0x1111_1111));
    let one = Disk::new(SIZE / 512)
        .write(4096 * 7, letters(4096 * 3, 1))
        .write(5 << 20, letters(300_032, 2))
        .write((20 << 20) + 512, letters(1024, 3));
    let two = Disk::new(SIZE / 512)
        .write(4096 * 8, letters(8192, 4))
        .write(17 << 20, letters(409_600, 5))
        .zero(9 << 20);
    let first = spec("vmfsSparse", "VMFSSPARSE", "vm-000001-delta.vmdk", 0x2222_2222);
    describe(case, "vm-000001.vmdk", &first.child_of(0x1111_1111, "vm.vmdk"));
    put(case, "vm-000001-delta.vmdk", &cowd::write(&one, &cowd::CowdSpec::default()).image);
    let second = spec("seSparse", "SESPARSE", "vm-000002-sesparse.vmdk", 0x3333_3333);
    describe(case, "vm-000002.vmdk", &second.child_of(0x2222_2222, "vm-000001.vmdk"));
    let se = sesparse::SeSparseSpec { journal, ..sesparse::SeSparseSpec::default() };
    put(case, "vm-000002-sesparse.vmdk", &sesparse::write(&two, &se).image);
    lay(&mut truth, &one);
    lay(&mut truth, &two);
    truth[9 << 20..(9 << 20) + 4096].fill(0);
    truth
}

/// Overwrites a range with noise.
fn noise(path: &Path, from: u64, length: u64) {
    let mut bytes = fs::read(path).unwrap();
    let end = (from + length).min(bytes.len() as u64);
    KeyStream::new(99, Cipher::Stream).encrypt(&mut bytes[from as usize..end as usize], from, 0);
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_esxi_chain_is_made_one_as_the_forge_wrote_it() {
    for journal in
        [sesparse::JournalSpec::Clean, sesparse::JournalSpec::Dirty, sesparse::JournalSpec::Empty]
    {
        let case = Case::new();
        let truth = esxi(&case, journal);
        let held = hold(&case, "vm-000002.vmdk", &truth, &[]);
        rule(&held, "esxi");
        assert_eq!((held.wrong, held.filled), (0, 0), "{journal:?} {held:?}");
    }
}

#[test]
fn lost_headers_of_esxi_deltas_are_rebuilt_and_every_byte_is_right() {
    for (file, length) in [
        ("vm-000001-delta.vmdk", 512),
        ("vm-000001-delta.vmdk", 2048),
        ("vm-000002-sesparse.vmdk", 512),
        ("vm-000002-sesparse.vmdk", 64 << 10),
        ("vm-000002-sesparse.vmdk", 1 << 20),
    ] {
        let case = Case::new();
        let truth = esxi(&case, sesparse::JournalSpec::Empty);
        noise(&case.ds().join(file), 0, length);
        let held = hold(&case, "vm-000002.vmdk", &truth, &[]);
        rule(&held, file);
        assert_eq!((held.code, held.wrong, held.filled), (1, 0, 0), "{file} {length}: {held:?}");
    }
}

#[test]
fn damage_to_any_file_of_an_esxi_chain_never_makes_a_wrong_byte_good() {
    for (file, from, length) in [
        ("vm-000001-delta.vmdk", 0, 1 << 20),
        ("vm-000001-delta.vmdk", 2048, 512),
        ("vm-000001-delta.vmdk", 4096, 16_384),
        ("vm-000002-sesparse.vmdk", 0, 64 << 20),
        ("vm-000002-sesparse.vmdk", 2 << 20, 1 << 20),
        ("vm-000002-sesparse.vmdk", 3 << 20, 1 << 20),
        ("vm-000002-sesparse.vmdk", 3 << 20, 512),
        ("vm-flat.vmdk", 0, 64 << 20),
    ] {
        let case = Case::new();
        let truth = esxi(&case, sesparse::JournalSpec::Clean);
        noise(&case.ds().join(file), from, length);
        let held = hold(&case, "vm-000002.vmdk", &truth, &[]);
        rule(&held, &format!("{file} {from} {length}"));
    }
}

#[test]
fn the_base_under_an_encrypted_leaf_is_had_whole() {
    let case = Case::new();
    esxi(&case, sesparse::JournalSpec::Clean);
    let truth = fs::read(case.ds().join("vm-flat.vmdk")).unwrap();
    for file in ["vm-000002-sesparse.vmdk", "vm-000002.vmdk", "vm-000001-delta.vmdk"] {
        noise(&case.ds().join(file), 0, 64 << 20);
    }
    let held = hold(&case, "vm.vmdk", &truth, &[]);
    assert_eq!((held.code, held.wrong, held.filled), (0, 0, 0), "{held:?}");
}

/// A hosted sparse disk of `size` bytes with data in some places.
fn hosted(case: &Case, size: u64, more: &Disk) -> Vec<u8> {
    let mut disk = Disk::new(size / 512);
    disk.writes.clone_from(&more.writes);
    let mut line =
        DescriptorSpec::new("monolithicSparse", ExtentLine::new(size / 512, "SPARSE", "vm.vmdk"));
    line.cid = 0x1234_5678;
    line.ddb.retain(|(name, _)| name != "longContentID");
    let sparse = sparse::SparseSpec { descriptor: Some(line.text()), ..Default::default() };
    put(case, "vm.vmdk", &sparse::write(&disk, &sparse).image);
    let mut truth = vec![0; size as usize];
    lay(&mut truth, &disk);
    truth
}

#[test]
fn a_hosted_disk_without_its_first_sector_is_rebuilt_from_the_descriptor_behind_it() {
    let case = Case::new();
    let data = Disk::new(0).write(0, letters(200_000, 1)).write(40 << 20, letters(1 << 20, 2));
    let truth = hosted(&case, 64 << 20, &data);
    noise(&case.ds().join("vm.vmdk"), 0, 512);
    let held = hold(&case, "vm.vmdk", &truth, &[]);
    rule(&held, "first sector");
    assert_eq!((held.code, held.wrong, held.filled), (1, 0, 0), "{held:?}");
}

#[test]
fn either_grain_table_copy_may_be_lost() {
    // 64 MiB: redundant directory at sector 21, its 2 tables behind it; primary at sector 30.
    for (from, sectors) in [(21, 9), (30, 9), (22, 4), (31, 4), (30, 1), (21, 1)] {
        let case = Case::new();
        let data = Disk::new(0).write(0, letters(200_000, 1)).write(40 << 20, letters(1 << 20, 2));
        let truth = hosted(&case, 64 << 20, &data);
        noise(&case.ds().join("vm.vmdk"), from * 512, sectors * 512);
        let held = hold(&case, "vm.vmdk", &truth, &[]);
        rule(&held, "tables");
        assert_eq!((held.wrong, held.filled), (0, 0), "{from} {sectors}: {held:?}");
    }
}

#[test]
fn tables_of_zeros_are_no_proof_that_nothing_was_written() {
    let case = Case::new();
    let data = Disk::new(0).write(0, letters(200_000, 1)).write(40 << 20, letters(1 << 20, 2));
    let truth = hosted(&case, 64 << 20, &data);
    let path = case.ds().join("vm.vmdk");
    let mut bytes = fs::read(&path).unwrap();
    bytes[21 * 512..39 * 512].fill(0);
    fs::write(&path, bytes).unwrap();
    let held = hold(&case, "vm.vmdk", &truth, &[]);
    rule(&held, "zeroed tables");
    assert_eq!(held.code, 1, "{held:?}");
}

#[test]
fn a_sparse_parent_that_lost_its_first_mib_is_read_through_its_childs_size() {
    // 24 GiB: the primary directory lies beyond the first MiB.
    let case = Case::new();
    let size = 24_u64 << 30;
    let disk =
        Disk::new(size / 512).write(0, letters(200_000, 1)).write(15 << 30, letters(1 << 20, 2));
    let mut base =
        DescriptorSpec::new("monolithicSparse", ExtentLine::new(size / 512, "SPARSE", "vm.vmdk"));
    base.cid = 0x1234_5678;
    let sparse = sparse::SparseSpec { descriptor: Some(base.text()), ..Default::default() };
    put(&case, "vm.vmdk", &sparse::write(&disk, &sparse).image);
    case.child("vm.vmdk", "s1.vmdk", &["write -P 0x33 1G 64k"]);
    noise(&case.ds().join("vm.vmdk"), 0, 1 << 20);
    let out = case.out().join("disk.raw");
    let args = ["consolidate", "s1.vmdk", "--no-file-list", "-o", out.to_str().unwrap()];
    let (code, _, err) = said(&vmglean(&case.ds(), &args));
    assert_eq!(code, 1, "{err}");
    let read = |at: u64, length: usize| {
        use std::os::unix::fs::FileExt as _;
        let mut bytes = vec![0; length];
        fs::File::open(&out).unwrap().read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    assert!(read(0, 200_000) == disk.writes[0].1);
    assert!(read(15 << 30, 1 << 20) == disk.writes[1].1);
    assert!(read(1 << 30, 65_536).iter().all(|byte| *byte == 0x33));
    // The parent is known by its name alone: nothing of it is called good.
    let manifest = fs::read_to_string(case.out().join("MANIFEST.jsonl")).unwrap();
    for line in lines(&manifest).iter().filter(|l| l["record"] == "range" && l["link"] == 1) {
        assert_eq!(line["state"], "undetermined", "{line}");
    }
}

#[test]
fn streams_cut_or_without_their_head_keep_every_grain_that_is_there() {
    let size = 24_u64 << 20;
    for (layout, damage) in [
        (stream::StreamLayout::Footer, "cut"),
        (stream::StreamLayout::Front, "cut"),
        (stream::StreamLayout::Qemu, "cut"),
        (stream::StreamLayout::Footer, "head"),
        (stream::StreamLayout::Front, "head"),
    ] {
        let case = Case::new();
        let disk =
            Disk::new(size / 512).write(0, letters(300_000, 1)).write(8 << 20, mixed(5 << 20, 9));
        let line = ExtentLine::new(size / 512, "SPARSE", "vm.vmdk");
        let text = DescriptorSpec::new("streamOptimized", line).text();
        let spec = stream::StreamSpec { layout, descriptor: Some(text), ..Default::default() };
        put(&case, "vm.vmdk", &stream::write(&disk, &spec).image);
        let mut truth = vec![0; size as usize];
        lay(&mut truth, &disk);
        let path = case.ds().join("vm.vmdk");
        if damage == "head" {
            noise(&path, 0, 512);
        } else {
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() * 3 / 5]).unwrap();
        }
        let held = hold(&case, "vm.vmdk", &truth, &[]);
        rule(&held, &format!("{layout:?} {damage}"));
        assert_eq!((held.code, held.wrong), (1, 0), "{layout:?} {damage}: {held:?}");
        if damage == "head" {
            // 85 grains hold data: all of them are there, and nothing else is claimed.
            assert_eq!(held.filled as u64, size - 85 * 65_536, "{layout:?}: {held:?}");
        }
    }
}

#[test]
fn names_suffixed_twice_and_footers_stacked_twice_are_seen_through() {
    let case = Case::new();
    let truth = esxi(&case, sesparse::JournalSpec::Clean);
    for file in ["vm-flat.vmdk", "vm-000001-delta.vmdk", "vm-000002-sesparse.vmdk"] {
        let mut bytes = fs::read(case.ds().join(file)).unwrap();
        bytes.extend(KeyStreamBytes::of(32));
        bytes.extend(KeyStreamBytes::of(32));
        fs::remove_file(case.ds().join(file)).unwrap();
        fs::write(case.ds().join(format!("{file}.babyk.babyk")), bytes).unwrap();
    }
    for file in ["vm.vmdk", "vm-000001.vmdk"] {
        fs::rename(case.ds().join(file), case.ds().join(format!("{file}.babyk.babyk"))).unwrap();
    }
    let held = hold(&case, "vm-000002.vmdk", &truth, &[]);
    rule(&held, "suffixes");
    assert_eq!((held.wrong, held.filled), (0, 0), "{held:?}");
}

struct KeyStreamBytes;

impl KeyStreamBytes {
    fn of(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        KeyStream::new(3, Cipher::Stream).encrypt(&mut bytes, 0, 0);
        bytes
    }
}

#[test]
fn a_file_cut_beside_its_whole_sibling_is_not_exchanged_for_it() {
    let case = Case::new();
    let data = Disk::new(0).write(0, letters(200_000, 1)).write(40 << 20, letters(1 << 20, 2));
    let truth = hosted(&case, 64 << 20, &data);
    let bytes = fs::read(case.ds().join("vm.vmdk")).unwrap();
    fs::write(case.ds().join("cut.vmdk"), &bytes[..900_000]).unwrap();
    let held = hold(&case, "cut.vmdk", &truth, &[]);
    rule(&held, "cut");
    assert!(held.code == 1 && held.wrong == 0 && held.filled > 0, "{held:?}");
}

#[test]
fn headers_of_noise_are_refused_or_told_and_never_copied_as_good() {
    for length in [512, 64 << 10] {
        let case = Case::new();
        let data = Disk::new(0).write(0, letters(200_000, 1));
        hosted(&case, 64 << 20, &data);
        noise(&case.ds().join("vm.vmdk"), 0, length);
        let out = case.out().join("x.raw");
        let args = ["consolidate", "vm.vmdk", "-o", out.to_str().unwrap()];
        let (code, _, err) = said(&vmglean(&case.ds(), &args));
        if length == 512 {
            assert_eq!(code, 1, "{err}");
        } else {
            assert_eq!(code, 4, "{err}");
            assert!(err.contains("begins with no VMDK header"), "{err}");
            assert!(!out.exists());
        }
    }
}

#[test]
fn a_capacity_of_512_tib_and_a_cycle_end_quickly_and_by_name() {
    let case = Case::new();
    let data = Disk::new(0).write(0, letters(200_000, 1));
    hosted(&case, 64 << 20, &data);
    let path = case.ds().join("vm.vmdk");
    let mut bytes = fs::read(&path).unwrap();
    bytes[12..20].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let out = case.out().join("x.raw");
    let (code, _, err) =
        said(&vmglean(&case.ds(), &["consolidate", "vm.vmdk", "-o", out.to_str().unwrap()]));
    assert!(code == 1 || code == 4, "{code} {err}");
    case.base("subformat=monolithicSparse");
    case.child("base.vmdk", "c.vmdk", &["write -P 0x33 0 64k"]);
    case.patch("c.vmdk", "parentFileNameHint=\"base.vmdk\"", "parentFileNameHint=\"c.vmdk\"   ");
    let (code, _, err) =
        said(&vmglean(&case.ds(), &["consolidate", "c.vmdk", "-o", out.to_str().unwrap()]));
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("is its own ancestor"), "{err}");
}

#[test]
fn a_base_encrypted_in_stripes_is_never_called_whole() {
    let case = Case::new();
    let truth = esxi(&case, sesparse::JournalSpec::Clean);
    for at in (0..SIZE).step_by(4 << 20) {
        noise(&case.ds().join("vm-flat.vmdk"), at, 1 << 20);
    }
    let held = hold(&case, "vm-000002.vmdk", &truth, &[]);
    rule(&held, "stripes");
    assert_eq!(held.code, 1, "{held:?}");
}
