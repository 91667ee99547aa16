//! Outputs against the tools they are made for, and sameness of bytes.

use std::{fs, os::unix::fs::FileExt};

use vmglean_forge::damage::Geometry;

use crate::make::{Case, runs, tool};

const MIB: u64 = 1 << 20;

fn comb() -> Geometry {
    Geometry::Periodic { start: 0, run: 256 << 10, period: MIB, stop: None }
}

#[test]
fn ddrescuelog_reads_the_mapfile_and_counts_the_same_bytes() {
    let case = Case::new();
    let truth = case.flat("d-flat.vmdk", 8, comb());
    let output = case.run(&["map", "ds/d-flat.vmdk", "--mapfile", "d.map", "--quiet"]);
    assert_eq!(output.status.code(), Some(1));
    // Blocks of one sector that are marked bad.
    let listed = tool(case.root(), "ddrescuelog", &["-b", "512", "-l-", "d.map"]);
    assert_eq!(listed.lines().count() as u64, truth.encrypted_bytes() / 512);
    let said = tool(case.root(), "ddrescuelog", &["-t", "d.map"]);
    assert!(said.contains("bad-sector"), "{said}");
}

#[test]
fn hashdeep_agrees_with_the_list_of_hashes() {
    let case = Case::new();
    case.flat("d-flat.vmdk", 3, comb());
    let args = ["map", "ds/d-flat.vmdk", "--hash", "md5,sha1,sha256,blake3", "--hash-list", "list"];
    assert_eq!(case.run(&args).status.code(), Some(1));
    let disk = case.disk("d-flat.vmdk").canonicalize().unwrap();
    let disk = disk.to_str().unwrap();
    let said = tool(case.root(), "hashdeep", &["-a", "-v", "-k", "list", disk]);
    assert!(said.contains("Audit passed") && said.contains("Files matched: 1"), "{said}");
}

#[test]
fn the_same_bytes_come_out_for_any_jobs_and_from_a_state() {
    let case = Case::new();
    case.flat("d-flat.vmdk", 24, comb());
    let map = |args: &[&str]| {
        let all: Vec<&str> = ["map", "ds/d-flat.vmdk", "--json", "--reproducible"]
            .iter()
            .chain(args)
            .copied()
            .collect();
        case.run(&all)
    };
    let one = map(&["--jobs", "1"]);
    assert_eq!(one.status.code(), Some(1));
    for jobs in ["2", "5"] {
        assert!(map(&["--jobs", jobs]).stdout == one.stdout, "{jobs} jobs");
    }
    let kept = ["--state", "state", "--hash", "sha256"];
    let whole = map(&kept);
    assert!(whole.stdout == map(&["--hash", "sha256"]).stdout, "with a state");
    assert!(whole.stdout == map(&kept).stdout, "from the state alone");
}

#[test]
fn a_killed_run_goes_on_and_ends_with_the_same_bytes() {
    let case = Case::new();
    let file = fs::File::create(case.disk("d-flat.vmdk")).unwrap();
    let truth = case.flat("part", 8, comb());
    let part = fs::read(case.disk("part")).unwrap();
    for nth in 0..12 {
        file.write_all_at(&part, nth * truth.size_bytes).unwrap();
    }
    let args = ["map", "ds/d-flat.vmdk", "--json", "--reproducible", "--jobs", "1"];
    let want = case.run(&args);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_vmglean"))
        .args(args)
        .args(["--state", "state"])
        .current_dir(case.root())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(60));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut again = args.to_vec();
    again.extend(["--state", "state"]);
    assert!(case.run(&again).stdout == want.stdout);
}

#[test]
fn a_comparison_tells_what_changed_between_two_copies_and_two_maps() {
    let case = Case::new();
    case.flat("before-flat.vmdk", 8, Geometry::None);
    let truth = case.flat("after-flat.vmdk", 8, comb());
    for (name, map) in [("before-flat.vmdk", "a.json"), ("after-flat.vmdk", "b.json")] {
        let output = case.run(&["map", &format!("ds/{name}"), "--json"]);
        fs::write(case.root().join(map), output.stdout).unwrap();
    }
    let compare = |a: &str, b: &str| {
        let output = case.run(&["map", "--compare", a, b, "--json"]);
        (output.status.code(), serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap())
    };
    let (code, maps) = compare("a.json", "b.json");
    assert_eq!(code, Some(1));
    assert_eq!(maps["changed_bytes"], truth.encrypted_bytes());
    assert!(maps["runs"].as_array().unwrap().iter().all(|run| run["b"] == "encrypted"));
    let (_, disks) = compare("ds/before-flat.vmdk", "ds/after-flat.vmdk");
    assert_eq!(disks["runs"], maps["runs"]);
    let (code, same) = compare("a.json", "ds/before-flat.vmdk");
    assert_eq!((code, same["runs"].as_array().unwrap().len()), (Some(0), 0));
}

#[test]
fn pictures_are_written_and_show_the_damage_in_its_colour() {
    let case = Case::new();
    case.flat("d-flat.vmdk", 8, Geometry::Head { bytes: 4 * MIB });
    case.run(&["map", "ds/d-flat.vmdk", "--png", "d.png", "--svg", "d.svg"]);
    let png = fs::read(case.root().join("d.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    let svg = fs::read_to_string(case.root().join("d.svg")).unwrap();
    assert!(svg.contains("#b2182b") && svg.contains("encrypted"));
}

#[test]
fn lines_are_complete_and_hold_every_run() {
    let case = Case::new();
    case.flat("d-flat.vmdk", 8, comb());
    let (_, record) = case.map(&["ds/d-flat.vmdk"]);
    let output = case.run(&["map", "ds/d-flat.vmdk", "--jsonl", "--reproducible"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["record"], "map");
    let told = lines.iter().filter(|line| line["record"] == "run").count();
    assert_eq!(told, runs(&record).len());
    let last = lines.last().unwrap();
    assert_eq!(last["record"], "complete");
    assert_eq!(last["lines"], lines.len() as u64 - 1);
}
