//! The sample estate: made the same to the byte, and judged as `samples/expected.json` says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use assert_cmd::Command;
use serde_json::Value;
use vmglean_forge::estate;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples");

fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| {
            let name = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// The README's first command, and what it answers with.
fn sweep(jobs: &str) -> (Option<i32>, Vec<u8>) {
    let done = Command::cargo_bin("vmglean")
        .unwrap()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["sweep", "--json", "--reproducible", "--jobs", jobs, "samples/estate"])
        .output()
        .unwrap();
    (done.status.code(), done.stdout)
}

#[test]
fn the_committed_samples_are_what_the_generator_makes() {
    let made = estate::make();
    let there = files_below(&Path::new(SAMPLES).join("estate"));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&there), names(&made.files));
    let differing: Vec<_> =
        there.iter().filter(|(path, bytes)| made.files[*path] != **bytes).map(|f| f.0).collect();
    let again = "cargo run -p vmglean-forge --bin estate -- samples";
    assert!(differing.is_empty(), "{differing:?} differ; {again} writes them anew");
    for (file, text) in
        [("expected.json", estate::expected_json(&made)), ("made.md", estate::made_md(&made))]
    {
        assert_eq!(fs::read_to_string(Path::new(SAMPLES).join(file)).unwrap(), text, "{again}");
    }
}

#[test]
fn every_machine_of_the_samples_is_judged_as_expected() {
    let text = fs::read(Path::new(SAMPLES).join("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&text).unwrap();
    let (code, record) = sweep("2");
    assert_eq!(code.map(i64::from), expected["exit_code"].as_i64());
    let record: Value = serde_json::from_slice(&record).unwrap();
    let machines = record["machines"].as_array().unwrap();
    let mut wanted = expected["machines"].as_array().unwrap().clone();
    assert_eq!(machines.len(), wanted.len());
    let mut ids = BTreeMap::new();
    for machine in machines {
        let folder = machine["folder"].as_str().unwrap().strip_prefix("samples/estate/").unwrap();
        let name = machine["name"].as_str().unwrap();
        let at = wanted.iter().position(|w| w["folder"] == folder && w["name"] == name);
        let wanted = wanted.remove(at.unwrap_or_else(|| panic!("{folder}: {name} not expected")));
        ids.insert(machine["id"].as_str().unwrap(), name);
        let source = machine["config"]["source"].as_str().map(|path| path.rsplit('/').next());
        let found = serde_json::json!({
            "folder": folder,
            "name": name,
            "verdict": machine["verdict"],
            "route": machine["route"],
            "config": machine["config"]["state"],
            "config_source": source,
            "disks": machine["disks"].as_array().unwrap().iter()
                .map(|disk| disk["verdict"].clone()).collect::<Vec<_>>(),
            "encrypted_share": wanted["encrypted_share"],
            "family": machine["disks"][0]["family"],
        });
        assert_eq!(found, wanted);
        if let Some(truth) = wanted["encrypted_share"].as_f64() {
            let disk = &machine["disks"][0];
            let share = |key: &str| disk[key].as_f64().unwrap();
            let (low, high) = (share("encrypted_fraction_low"), share("encrypted_fraction_high"));
            assert!((share("encrypted_fraction") - truth).abs() < 0.02, "{name}: {truth}, {disk}");
            assert!(low - 0.02 < truth && truth < high + 0.02, "{name}: {truth}, {disk}");
        }
    }
    let paths = |list: &Value| -> BTreeSet<String> {
        let all = list.as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap());
        all.map(|path| path.trim_start_matches("samples/estate/").to_owned()).collect()
    };
    assert_eq!(paths(&record["notes"]), paths(&expected["notes"]));
    for note in expected["notes"].as_array().unwrap() {
        let path = format!("samples/estate/{}", note["path"].as_str().unwrap());
        let found = record["notes"].as_array().unwrap().iter().find(|n| n["path"] == *path);
        assert!(found.unwrap()["families"].as_array().unwrap().contains(&note["family"]), "{path}");
    }
    assert_eq!(paths(&record["orphans"]), paths(&expected["orphans"]));
    for orphan in expected["orphans"].as_array().unwrap() {
        let path = format!("samples/estate/{}", orphan["path"].as_str().unwrap());
        let found = record["orphans"].as_array().unwrap().iter().find(|o| o["path"] == *path);
        let first = found.unwrap()["candidates"][0]["machine"].as_str().unwrap();
        assert_eq!(ids[first], orphan["candidate"], "{path}");
    }
    assert!(record["unreadable"].as_array().unwrap().is_empty());
}

#[test]
fn the_answer_is_the_same_however_many_threads_work() {
    let one = sweep("1");
    for jobs in ["2", "8"] {
        assert!(sweep(jobs) == one, "--jobs {jobs} answers otherwise than --jobs 1");
    }
}

/// A command that does not exist is the last thing to tell somebody on such a day.
#[test]
fn every_next_command_of_the_samples_can_be_typed() {
    let (_, record) = sweep("2");
    let record: Value = serde_json::from_slice(&record).unwrap();
    let mut typed = BTreeSet::new();
    // What these commands write must not land in the checkout.
    let desk = tempfile::tempdir().unwrap();
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    std::os::unix::fs::symlink(samples, desk.path().join("samples")).unwrap();
    for machine in record["machines"].as_array().unwrap() {
        let command = machine["next_command"].as_str().unwrap();
        if !typed.insert(command) {
            continue;
        }
        let program = env!("CARGO_BIN_EXE_vmglean");
        let line = format!("vmglean() {{ {program} \"$@\"; }}; {command}");
        let done =
            Command::new("bash").current_dir(desk.path()).args(["-c", &line]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(matches!(done.status.code(), Some(0 | 1)), "{command}: {said}");
        assert!(!done.stdout.is_empty(), "{command} says nothing");
    }
    assert!(typed.len() > 8, "{typed:?}");
}
