//! A run that is killed, or finds its disk full, goes on and ends with the same bytes; and no
//! source is ever written to.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::make::{Case, mixed, tool};

/// Compiles the library that makes writes fail.
fn shim(case: &Case) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/disks/faults.c");
    let out = case.root().join("faults.so");
    let out_text = out.to_str().unwrap();
    tool(case.root(), "cc", &["-shared", "-fPIC", "-O1", "-o", out_text, source, "-ldl"]);
    out
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// A chain of 9 MiB with something of everything.
fn chain(case: &Case) {
    let raw = case.root().join("base.raw");
    fs::write(&raw, mixed(9 << 20, 11)).unwrap();
    let raw = raw.to_str().unwrap();
    case.qemu("qemu-img", &["convert", "-f", "raw", "-O", "vmdk", raw, "base.vmdk"]);
    case.child("base.vmdk", "s1.vmdk", &["write -P 0x33 0 64k", "write -P 0x44 5M 300k"]);
}

fn run(case: &Case, kind: &str, fault: &[(&str, String)]) -> std::process::Output {
    let out = case.out().join(if kind == "raw" { "disk.raw" } else { "disk.vmdk" });
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmglean"));
    command
        .args([
            "consolidate",
            "s1.vmdk",
            "-q",
            "--samples",
            "0",
            "--checkpoint",
            "1MiB",
            "--jobs",
            "2",
            "-O",
            kind,
        ])
        .arg("-o")
        .arg(&out)
        .current_dir(case.ds());
    for (name, value) in fault {
        command.env(name, value);
    }
    command.output().unwrap()
}

fn fresh(case: &Case) {
    fs::remove_dir_all(case.out()).unwrap();
    fs::create_dir(case.out()).unwrap();
}

fn reference(case: &Case, kind: &str, so: &Path) -> (BTreeMap<String, Vec<u8>>, u64) {
    fresh(case);
    let preload = ("LD_PRELOAD", so.to_str().unwrap().to_owned());
    let done = run(case, kind, std::slice::from_ref(&preload));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let whole = contents(&case.out());
    assert!(whole.keys().all(|name| !name.ends_with(".part") && !name.ends_with(".record")));
    // How many calls a run makes: the first number at which it is not killed any more.
    let (mut low, mut high) = (1_u64, 4096_u64);
    while low < high {
        let middle = low.midpoint(high);
        fresh(case);
        let kill = ("FAULT_KILL_AT_CALL", middle.to_string());
        if run(case, kind, &[preload.clone(), kill]).status.success() {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    (whole, low)
}

#[test]
fn a_run_killed_at_any_of_two_hundred_moments_ends_with_the_same_bytes() {
    let case = Case::new();
    chain(&case);
    let sources = contents(&case.ds());
    let so = shim(&case);
    let preload = ("LD_PRELOAD", so.to_str().unwrap().to_owned());
    let mut seed = 0x9e37_79b9_u64;
    let mut kills = 0;
    for kind in ["raw", "flat", "sparse", "stream"] {
        let (whole, calls) = reference(&case, kind, &so);
        for _ in 0..50 {
            fresh(&case);
            // Killed up to three times in a row, at any write, sync or rename.
            loop {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = 1 + (seed >> 33) % calls;
                let kill = ("FAULT_KILL_AT_CALL", at.to_string());
                let ended = run(&case, kind, &[preload.clone(), kill]).status.success();
                kills += usize::from(!ended);
                if ended || seed >> 62 == 0 {
                    break;
                }
            }
            let done = run(&case, kind, &[]);
            // Killed after the last rename, everything is there: only that is refused.
            let there = contents(&case.out());
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success() || said.contains("is there already"), "{kind}: {said}");
            assert!(there == whole, "{kind}: {:?}", there.keys());
        }
    }
    assert!(kills >= 190, "{kills}");
    assert!(contents(&case.ds()) == sources);
}

#[test]
fn a_run_that_finds_its_disk_full_at_any_of_fifty_places_goes_on_with_the_same_bytes() {
    let case = Case::new();
    chain(&case);
    let so = shim(&case);
    let preload = ("LD_PRELOAD", so.to_str().unwrap().to_owned());
    for kind in ["raw", "stream"] {
        fresh(&case);
        assert!(run(&case, kind, &[]).status.success());
        let whole = contents(&case.out());
        let bytes: usize = whole.values().map(Vec::len).sum();
        for n in 0..25 {
            fresh(&case);
            let room = ("FAULT_ROOM_BYTES", (bytes * n / 25).to_string());
            let full = run(&case, kind, &[preload.clone(), room]);
            let said = String::from_utf8_lossy(&full.stderr).into_owned();
            if !full.status.success() {
                assert_eq!(full.status.code(), Some(74), "{said}");
                assert!(said.contains("No space left on device"), "{said}");
            }
            let again = run(&case, kind, &[]);
            let said = String::from_utf8_lossy(&again.stderr).into_owned();
            assert!(again.status.success() || said.contains("is there already"), "{said}");
            assert!(contents(&case.out()) == whole, "{kind} {n}");
        }
    }
}

#[test]
fn no_source_is_opened_for_writing_and_none_changes() {
    let case = Case::new();
    chain(&case);
    let before = contents(&case.ds());
    let trace = case.root().join("trace");
    let out = case.out().join("disk.vmdk");
    tool(
        case.root(),
        "strace",
        &[
            "-f",
            "-y",
            "-e",
            "trace=open,openat,openat2,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,\
             truncate,fallocate,unlink,unlinkat,rename,renameat,renameat2,chmod,fchmod,utimensat",
            "-o",
            trace.to_str().unwrap(),
            env!("CARGO_BIN_EXE_vmglean"),
            "consolidate",
            "ds/s1.vmdk",
            "-q",
            "-O",
            "stream",
            "-o",
            out.to_str().unwrap(),
        ],
    );
    let text = fs::read_to_string(&trace).unwrap();
    let ds = case.ds().canonicalize().unwrap().to_str().unwrap().to_owned();
    let is_source = |path: &str| {
        path == "ds" || path.contains(&ds) || path.contains("base.vmdk") || path.contains("s1.vmdk")
    };
    let mut opened = 0;
    for line in text.lines() {
        let Some((call, rest)) = line.split_once('(') else { continue };
        if call.contains("open") {
            if rest.split('"').nth(1).is_some_and(is_source) {
                opened += 1;
                let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"];
                assert!(!writes.iter().any(|flag| line.contains(flag)), "{line}");
            }
            continue;
        }
        // What is written to: the path behind the descriptor, or the paths named. The text that is
        // written may name sources: the manifest does.
        let descriptor = rest.split(',').next().unwrap_or_default();
        let names_paths = ["unlink", "rename", "chmod", "truncate", "utimensat"];
        let named = names_paths.iter().any(|name| call.contains(name));
        let paths = rest.split('"').skip(1).step_by(2).filter(|_| named);
        for path in std::iter::once(descriptor).chain(paths) {
            assert!(!path.contains(&ds), "{line}");
        }
    }
    assert!(opened >= 2, "{text}");
    assert!(contents(&case.ds()) == before);
}

#[test]
fn a_record_of_changed_sources_is_not_gone_on_from() {
    let case = Case::new();
    chain(&case);
    let so = shim(&case);
    let preload = ("LD_PRELOAD", so.to_str().unwrap().to_owned());
    let room = ("FAULT_ROOM_BYTES", (4 << 20).to_string());
    assert!(!run(&case, "raw", &[preload, room]).status.success());
    case.write("s1.vmdk", &["write -P 0x55 3M 64k"]);
    let refused = run(&case, "raw", &[]);
    assert_eq!(refused.status.code(), Some(4));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("changed sources (s1.vmdk changed)"), "{said}");
}
