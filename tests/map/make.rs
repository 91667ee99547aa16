//! Disks for tests, and the program run over them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use vmglean_forge::damage::{Damage, Geometry, Truth};

/// A folder with the evidence in `ds`, and room for outputs beside it.
pub(crate) struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("ds")).unwrap();
        Self { folder }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn disk(&self, name: &str) -> PathBuf {
        self.folder.path().join("ds").join(name)
    }

    /// A flat disk of text, tables and empty space, damaged as `geometry` says.
    pub(crate) fn flat(&self, name: &str, mib: usize, geometry: Geometry) -> Truth {
        let mut bytes = content(mib << 20);
        let truth = Damage::plain(geometry, 7).apply(&mut bytes);
        fs::write(self.disk(name), bytes).unwrap();
        truth
    }

    /// Runs the program in this folder.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_vmglean"))
            .args(args)
            .current_dir(self.root())
            .env("COLUMNS", "100")
            .output()
            .unwrap()
    }

    /// Exit code and record of `map --json --reproducible`.
    pub(crate) fn map(&self, args: &[&str]) -> (i32, Value) {
        let all: Vec<&str> =
            ["map", "--json", "--reproducible"].iter().chain(args).copied().collect();
        let output = self.run(&all);
        let code = output.status.code().unwrap();
        let record = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
        });
        covers(&record);
        (code, record)
    }
}

/// Text, a table and zeros, in turns of a quarter of a MiB; a boot sector at the start.
pub(crate) fn content(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    let mut line = 0_u32;
    while bytes.len() < length {
        line += 1;
        match bytes.len() >> 18 & 3 {
            0 | 2 => bytes
                .extend(format!("{line} started by the night job, status {}\n", line % 7).bytes()),
            1 => bytes
                .extend([line.to_le_bytes(), [0; 4], (line / 3).to_be_bytes(), [0; 4]].concat()),
            _ => bytes.extend([0; 64]),
        }
    }
    bytes.truncate(length);
    bytes[..512].fill(0);
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    bytes
}

/// Runs of a record: offset, length, state.
pub(crate) fn runs(record: &Value) -> Vec<(u64, u64, String)> {
    record["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| {
            (
                run["offset_bytes"].as_u64().unwrap(),
                run["length_bytes"].as_u64().unwrap(),
                run["state"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

/// Every byte once, in order, and sums that agree.
pub(crate) fn covers(record: &Value) {
    let mut at = 0;
    for (offset, length, state) in runs(record) {
        assert_eq!(offset, at, "gap or overlap before {state}");
        assert!(length > 0);
        at += length;
    }
    assert_eq!(Some(at), record["size_bytes"].as_u64(), "not to the end");
    let sums = record["summary"].as_object().unwrap().values();
    assert_eq!(sums.map(|v| v.as_u64().unwrap()).sum::<u64>(), at, "sums");
    let evidence = record["evidence"].as_array().unwrap().len();
    for run in record["runs"].as_array().unwrap() {
        let indices = run["evidence"].as_array().unwrap();
        assert!(!indices.is_empty(), "a run without a reason");
        assert!(indices.iter().all(|i| (i.as_u64().unwrap() as usize) < evidence));
    }
}

/// Runs a tool that must succeed.
pub(crate) fn tool(folder: &Path, name: &str, args: &[&str]) -> String {
    let output = Command::new(name).args(args).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{name} (see tests/run): {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
