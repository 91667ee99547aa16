//! `vmglean consolidate`: what it makes of healthy chains, and what it refuses.

use std::{fs, path::Path};

use sha2::{Digest, Sha256};

use crate::make::{Case, lines, mixed, said, tool, vmglean};

const KINDS: [&str; 4] = ["raw", "flat", "sparse", "stream"];

/// What qemu-img makes of a leaf.
fn truth(case: &Case, leaf: &str) -> Vec<u8> {
    let out = case.root().join("truth.raw");
    let _ = fs::remove_file(&out);
    case.qemu("qemu-img", &["convert", "-O", "raw", leaf, out.to_str().unwrap()]);
    fs::read(out).unwrap()
}

/// Consolidates into `out/<kind>/disk.*` and reads the result back with qemu-img.
fn made(case: &Case, leaf: &str, kind: &str, more: &[&str]) -> (i32, Vec<u8>) {
    let folder = case.out().join(kind);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    let name = if kind == "raw" { "disk.raw" } else { "disk.vmdk" };
    let out = folder.join(name);
    let mut args = vec!["consolidate", leaf, "-o", out.to_str().unwrap(), "-O", kind];
    args.extend(["--json", "--reproducible"]);
    args.extend(more);
    let (code, text, err) = said(&vmglean(&case.ds(), &args));
    assert!(code == 0 || code == 1, "{code} {text} {err}");
    assert!(!folder.join("disk.raw.part").exists() && !folder.join("disk.raw.record").exists());
    if kind == "raw" {
        return (code, fs::read(out).unwrap());
    }
    if kind != "flat" {
        tool(&folder, "qemu-img", &["check", "-q", "disk.vmdk"]);
    }
    tool(&folder, "qemu-img", &["convert", "-f", "vmdk", "-O", "raw", "disk.vmdk", "back.raw"]);
    (code, fs::read(folder.join("back.raw")).unwrap())
}

fn same(one: &[u8], two: &[u8], what: &str) {
    assert_eq!(one.len(), two.len(), "{what}");
    assert_eq!(Sha256::digest(one), Sha256::digest(two), "{what}");
}

#[test]
fn healthy_chains_of_every_hosted_kind_equal_qemu_img_in_all_formats() {
    for base in [
        "monolithicSparse",
        "monolithicFlat",
        "twoGbMaxExtentSparse",
        "twoGbMaxExtentFlat",
        "streamOptimized",
    ] {
        let case = Case::new();
        case.mixed_base(base);
        case.child("base.vmdk", "s1.vmdk", &["write -P 0x33 0 64k", "write -P 0x77 9M 100k"]);
        case.child("s1.vmdk", "s2.vmdk", &["write -P 0x44 20M 64k", "write -P 0 1M 128k"]);
        let truth = truth(&case, "s2.vmdk");
        for kind in KINDS {
            let (code, bytes) = made(&case, "s2.vmdk", kind, &[]);
            assert_eq!(code, 0);
            same(&bytes, &truth, &format!("{base} as {kind}"));
        }
    }
}

#[test]
fn a_chain_of_fifty_links_equals_qemu_img() {
    let case = Case::new();
    case.mixed_base("monolithicSparse");
    let mut parent = "base.vmdk".to_owned();
    for n in 1..50 {
        let name = format!("s{n}.vmdk");
        case.child(&parent, &name, &[&format!("write -P {n} {}k 70k", n * 300)]);
        parent = name;
    }
    let truth = truth(&case, &parent);
    for kind in KINDS {
        same(&made(&case, &parent, kind, &[]).1, &truth, kind);
    }
}

#[test]
fn any_point_in_time_is_had_by_name_uid_or_file() {
    let case = Case::new();
    case.three_links();
    let base = truth(&case, "base.vmdk");
    let first = truth(&case, "s1.vmdk");
    for (at, truth) in [
        ("before patch", &base),
        ("1", &base),
        ("base.vmdk", &base),
        ("after patch", &first),
        ("s1", &first),
    ] {
        same(&made(&case, "s2.vmdk", "raw", &["--at", at]).1, truth, at);
    }
    let out = case.out().join("x.raw");
    let args = ["consolidate", "s2.vmdk", "-o", out.to_str().unwrap(), "--at", "nothing"];
    let (code, _, err) = said(&vmglean(&case.ds(), &args));
    assert_eq!(code, 2);
    assert!(err.contains("is no link and no snapshot of this chain"), "{err}");
    assert!(err.contains("\"before patch\" (uid 1)"), "{err}");
}

#[test]
fn every_byte_stands_in_the_manifest_and_the_hashes_hold() {
    let case = Case::new();
    case.mixed_base("monolithicSparse");
    case.child("base.vmdk", "s1.vmdk", &["write -P 0x33 0 64k"]);
    let (_, bytes) = made(&case, "s1.vmdk", "raw", &[]);
    let folder = case.out().join("raw");
    let lines = lines(&fs::read_to_string(folder.join("MANIFEST.jsonl")).unwrap());
    assert_eq!(lines[0]["record"], "output");
    assert_eq!(lines[0]["schema"], "vmglean.manifest/1");
    let last = lines.last().unwrap();
    assert_eq!(
        (last["record"].as_str(), last["lines"].as_u64()),
        (Some("complete"), Some(lines.len() as u64 - 1))
    );
    let mut at = 0;
    for line in lines.iter().filter(|line| line["record"] == "range") {
        assert_eq!(line["offset_bytes"].as_u64().unwrap(), at);
        let length = line["length_bytes"].as_u64().unwrap();
        let part = &bytes[at as usize..(at + length) as usize];
        match line["sha256"].as_str() {
            None => assert!(part.iter().all(|byte| *byte == 0)),
            Some(hash) => {
                let own: String = Sha256::digest(part).iter().map(|b| format!("{b:02x}")).collect();
                assert_eq!(hash, own);
                // The same bytes stand in the file that is named.
                let file = fs::read(case.ds().join(line["file"].as_str().unwrap())).unwrap();
                let from = line["file_offset_bytes"].as_u64().unwrap() as usize;
                assert!(file[from..from + part.len()] == *part);
            }
        }
        at += length;
    }
    assert_eq!(at, bytes.len() as u64);
    tool(&folder, "hashdeep", &["-l", "-a", "-k", "MANIFEST.hashdeep", "disk.raw"]);
    let told = tool(&folder, "ddrescuelog", &["-t", "disk.raw.map"]);
    assert!(told.contains("rescued:"), "{told}");
}

#[test]
fn holes_stay_holes() {
    use std::os::unix::fs::MetadataExt as _;
    let case = Case::new();
    case.three_links();
    made(&case, "s2.vmdk", "raw", &[]);
    let meta = fs::metadata(case.out().join("raw/disk.raw")).unwrap();
    assert_eq!(meta.len(), 64 << 20);
    assert!(meta.blocks() * 512 < 4 << 20, "{}", meta.blocks() * 512);
}

#[test]
fn the_flat_pair_is_what_an_esxi_host_writes() {
    let case = Case::new();
    case.three_links();
    made(&case, "s2.vmdk", "flat", &[]);
    let text = fs::read_to_string(case.out().join("flat/disk.vmdk")).unwrap();
    for part in [
        "createType=\"vmfs\"",
        "parentCID=ffffffff",
        "RW 131072 VMFS \"disk-flat.vmdk\"",
        "ddb.adapterType = \"ide\"",
        "ddb.longContentID = ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains(&format!("CID={:0>8}", case.key("s2.vmdk", "CID"))), "{text}");
    assert_eq!(fs::metadata(case.out().join("flat/disk-flat.vmdk")).unwrap().len(), 64 << 20);
}

#[test]
fn the_same_input_gives_the_same_bytes_whatever_the_number_of_threads() {
    let case = Case::new();
    case.mixed_base("streamOptimized");
    case.child("base.vmdk", "s1.vmdk", &["write -P 0x33 0 64k"]);
    for kind in KINDS {
        let all: Vec<Vec<(String, Vec<u8>)>> = ["1", "2", "7"]
            .iter()
            .map(|jobs| {
                made(&case, "s1.vmdk", kind, &["--jobs", jobs]);
                contents(&case.out().join(kind))
            })
            .collect();
        assert!(all[0] == all[1] && all[1] == all[2], "{kind}");
    }
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect();
    all.sort();
    all
}

fn refused(case: &Case, args: &[&str]) -> (i32, String) {
    let (code, _, err) = said(&vmglean(&case.ds(), args));
    (code, err)
}

#[test]
fn outputs_that_a_rule_forbids_are_refused_by_name() {
    let case = Case::new();
    case.three_links();
    let (code, err) = refused(&case, &["consolidate", "s2.vmdk", "-o", "inside.raw"]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("lies inside the source"), "{err}");
    let there = case.out().join("there.raw");
    fs::write(&there, b"mine").unwrap();
    let out = there.to_str().unwrap();
    let (code, err) = refused(&case, &["consolidate", "s2.vmdk", "-o", out]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("is there already; --overwrite replaces it"), "{err}");
    assert_eq!(fs::read(&there).unwrap(), b"mine");
    let (code, err) = refused(&case, &["consolidate", "s2.vmdk", "-o", out, "--overwrite"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(fs::metadata(&there).unwrap().len(), 64 << 20);
    // A second output beside it needs its own manifest.
    let other = case.out().join("other.raw");
    let (code, err) = refused(&case, &["consolidate", "s2.vmdk", "-o", other.to_str().unwrap()]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("MANIFEST.jsonl is there already"), "{err}");
    assert!(!other.exists());
}

#[test]
fn chains_without_a_base_are_refused_unless_a_part_is_asked_for() {
    let case = Case::new();
    case.three_links();
    let whole = truth(&case, "s2.vmdk");
    fs::remove_file(case.ds().join("base.vmdk")).unwrap();
    let out = case.out().join("x.raw");
    let (code, err) = refused(&case, &["consolidate", "s2.vmdk", "-o", out.to_str().unwrap()]);
    assert_eq!(code, 4, "{err}");
    assert!(
        err.contains("the chain has no base: s1.vmdk: the parent \"base.vmdk\" is missing"),
        "{err}"
    );
    assert!(!out.exists());
    assert!(err.contains("and no disk below") && err.contains("--partial makes"), "{err}");
    let (code, bytes) = made(&case, "s2.vmdk", "raw", &["--partial", "--fill", "0xAA"]);
    assert_eq!(code, 1);
    let manifest = fs::read_to_string(case.out().join("raw/MANIFEST.jsonl")).unwrap();
    let mut lost = 0;
    for line in lines(&manifest).iter().filter(|line| line["record"] == "range") {
        let from = line["offset_bytes"].as_u64().unwrap() as usize;
        let part = from..from + line["length_bytes"].as_u64().unwrap() as usize;
        if line["filled"] == true {
            assert!(bytes[part.clone()].iter().all(|byte| *byte == 0xaa));
            assert!(line["why"].as_str().unwrap().contains("base.vmdk"), "{line}");
            lost += part.len();
        } else {
            assert!(bytes[part.clone()] == whole[part], "{line}");
        }
    }
    assert_eq!(lost, (64 << 20) - (128 << 10));
    let map = fs::read_to_string(case.out().join("raw/disk.raw.map")).unwrap();
    assert!(map.contains("0x00000000  0x00010000  +\n0x00010000  0x013F0000  -\n"), "{map}");
}

#[test]
fn extents_that_overlap_are_short_or_leave_gaps_are_refused_by_name() {
    let case = Case::new();
    fs::write(case.ds().join("d.bin"), mixed(2 << 20, 3)).unwrap();
    case.qemu("qemu-img", &["create", "-q", "-f", "vmdk", "half.vmdk", "2M"]);
    let head = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
                createType=\"custom\"\n";
    for (name, extents, said_so) in [
        (
            "overlap.vmdk",
            "RW 2048 FLAT \"d.bin\" 0\nRW 2048 FLAT \"d.bin\" 1024\n",
            "overlap in d.bin",
        ),
        ("short.vmdk", "RW 8192 FLAT \"d.bin\" 0\n", "d.bin holds 2097152 bytes from byte 0 on"),
        (
            "gap.vmdk",
            "RW 8192 SPARSE \"half.vmdk\"\nRW 4096 FLAT \"d.bin\" 0\n",
            "half.vmdk covers 2097152 bytes, its extent line says 4194304: a gap",
        ),
    ] {
        fs::write(case.ds().join(name), format!("{head}{extents}")).unwrap();
        let out = case.out().join("x.raw");
        let (code, err) = refused(&case, &["consolidate", name, "-o", out.to_str().unwrap()]);
        assert_eq!(code, 4, "{err}");
        assert!(err.contains(said_so), "{err}");
        assert!(!out.exists());
    }
    let (code, bytes) = made(&case, "short.vmdk", "raw", &["--partial"]);
    assert_eq!(code, 1);
    assert!(bytes[..2 << 20] == mixed(2 << 20, 3)[..]);
}

#[test]
fn null_reads_everything_and_writes_nothing() {
    let case = Case::new();
    case.three_links();
    let before = fs::read_dir(case.ds()).unwrap().count();
    let (code, out, err) =
        said(&vmglean(&case.ds(), &["consolidate", "s2.vmdk", "--null", "--json"]));
    assert_eq!(code, 0, "{err}");
    let record: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(record["output"], serde_json::Value::Null);
    let sums = &record["summary"];
    let all: u64 = sums.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(all, 64 << 20);
    assert_eq!(fs::read_dir(case.ds()).unwrap().count(), before);
}

#[test]
fn a_descriptor_that_contradicts_what_is_there_is_put_right_in_a_copy_with_its_undo() {
    let case = Case::new();
    let raw = mixed(4 << 20, 3);
    fs::write(case.ds().join("vm-flat.vmdk.locked"), &raw).unwrap();
    let text = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
                createType=\"vmfs\"\n\nRW 9000 VMFS \"vm-flat.vmdk\"\n\
                ddb.adapterType = \"lsilogic\"\n";
    fs::write(case.ds().join("vm.vmdk"), text).unwrap();
    let out = case.out();
    let args = ["consolidate", "vm.vmdk", "--patch", out.to_str().unwrap()];
    let (code, said_out, err) = said(&vmglean(&case.ds(), &args));
    assert_eq!(code, 1, "{err}");
    assert!(said_out.contains("+ RW 8192 VMFS \"vm-flat.vmdk.locked\""), "{said_out}");
    assert_eq!(fs::read_to_string(out.join("vm.vmdk.undo")).unwrap(), text);
    let fixed = fs::read_to_string(out.join("vm.vmdk")).unwrap();
    // Beside the same extent it opens, and holds the same bytes.
    let copy = case.root().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(out.join("vm.vmdk"), copy.join("vm.vmdk")).unwrap();
    fs::write(copy.join("vm-flat.vmdk.locked"), &raw).unwrap();
    let disk = case.root().join("disk.raw");
    let args_of = ["consolidate", "vm.vmdk", "-o", disk.to_str().unwrap()];
    let (code, _, err) = said(&vmglean(&copy, &args_of));
    assert_eq!(code, 0, "{err}");
    assert!(fs::read(&disk).unwrap() == raw);
    assert!(fixed.contains("CID=12345678"), "{fixed}");
    assert_eq!(fs::read_to_string(case.ds().join("vm.vmdk")).unwrap(), text);
    // The same again changes nothing; another file is not replaced, nor is evidence touched.
    let (code, _, err) = said(&vmglean(&case.ds(), &args));
    assert_eq!(code, 1, "{err}");
    fs::write(out.join("vm.vmdk"), b"mine").unwrap();
    let (code, _, err) = said(&vmglean(&case.ds(), &args));
    assert_eq!(code, 4, "{err}");
    assert_eq!(fs::read(out.join("vm.vmdk")).unwrap(), b"mine");
    let (code, _, err) = said(&vmglean(&case.ds(), &["consolidate", "vm.vmdk", "--patch", "."]));
    assert_eq!(code, 4, "{err}");
}

#[test]
fn a_refusal_for_a_missing_link_names_what_fits_and_what_speaks_against_it() {
    let case = Case::new();
    case.three_links();
    fs::rename(case.ds().join("s1.vmdk"), case.ds().join("disk7.vmdk")).unwrap();
    // Its CID was changed since, so that it is not taken by itself.
    let cid = case.key("disk7.vmdk", "CID");
    case.set_cid("disk7.vmdk", &cid, "77777777");
    let out = case.out().join("x.raw");
    let (code, err) = refused(&case, &["consolidate", "s2.vmdk", "-o", out.to_str().unwrap()]);
    assert_eq!(code, 4, "{err}");
    for part in [
        "s2.vmdk: the parent \"s1.vmdk\" is missing",
        "disk7.vmdk holds 67,108,864 bytes, as the child, but has CID 77777777, the child asks for",
        "--partial makes what there is",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert!(!out.exists());
}

#[test]
fn a_wrong_parent_cid_and_a_lost_parents_name_are_put_right_in_a_copy() {
    let case = Case::new();
    case.three_links();
    let whole = truth(&case, "s2.vmdk");
    let text = fs::read(case.ds().join("base.vmdk")).unwrap();
    // The parent lies there under another name, with the CID that its child asks for.
    fs::rename(case.ds().join("base.vmdk"), case.ds().join("old.vmdk")).unwrap();
    let patched = case.out();
    let args = ["consolidate", "s1.vmdk", "--patch", patched.to_str().unwrap()];
    let (code, said_out, err) = said(&vmglean(&case.ds(), &args));
    assert_eq!(code, 1, "{err}");
    assert!(said_out.contains("- parentFileNameHint=\"base.vmdk\""), "{said_out}");
    assert!(said_out.contains("+ parentFileNameHint=\"old.vmdk\""), "{said_out}");
    // An embedded descriptor is told with its place: the patch holds both texts.
    let patch = fs::read_to_string(patched.join("s1.vmdk.patch.json")).unwrap();
    let patch: serde_json::Value = serde_json::from_str(&patch).unwrap();
    let at = patch["offset_bytes"].as_u64().unwrap() as usize;
    let (old, new) = (patch["old_text"].as_str().unwrap(), patch["new_text"].as_str().unwrap());
    let mut copy = fs::read(case.ds().join("s1.vmdk")).unwrap();
    assert!(copy[at..].starts_with(old.as_bytes()));
    copy[at..at + old.len()].fill(0);
    copy[at..at + new.len()].copy_from_slice(new.as_bytes());
    fs::write(case.ds().join("s1.vmdk"), copy).unwrap();
    same(&truth(&case, "s2.vmdk"), &whole, "qemu-img follows the patched name");
    fs::remove_file(case.ds().join("old.vmdk")).unwrap();
    fs::write(case.ds().join("base.vmdk"), text).unwrap();

    let case = Case::new();
    case.three_links();
    let cid = case.key("s2.vmdk", "parentCID");
    case.patch(
        "s2.vmdk",
        &format!("parentCID={cid}"),
        &format!("parentCID={}", "5".repeat(cid.len())),
    );
    let patched = case.out();
    let args = ["consolidate", "s2.vmdk", "--patch", patched.to_str().unwrap()];
    let (code, said_out, err) = said(&vmglean(&case.ds(), &args));
    assert_eq!(code, 1, "{err}");
    let right = format!("+ parentCID={:0>8}  (s1.vmdk has this CID)", case.key("s1.vmdk", "CID"));
    assert!(said_out.contains(&right), "{right}: {said_out}");
}
