//! The estate in words: for the test that sweeps it, and for people.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Estate;

/// What a sweep must find, machines by folder and name.
///
/// # Panics
/// Never: everything in it can be written as JSON.
#[must_use]
pub fn expected_json(estate: &Estate) -> String {
    let mut machines: Vec<Value> = Vec::new();
    let mut sorted: Vec<_> = estate.machines.iter().collect();
    sorted.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
    for machine in sorted {
        machines.push(serde_json::to_value(machine).unwrap_or_default());
    }
    let pairs = |list: &[(String, String)], other: &str| -> Vec<Value> {
        let mut list = list.to_vec();
        list.sort();
        list.iter().map(|(path, what)| json!({"path": path, other: what})).collect()
    };
    let all = json!({
        "exit_code": 1,
        "machines": machines,
        "notes": pairs(&estate.notes, "family"),
        "orphans": pairs(&estate.orphans, "candidate"),
    });
    let mut text = serde_json::to_string_pretty(&all).unwrap_or_default();
    text.push('\n');
    text
}

/// How the estate was made.
#[must_use]
pub fn made_md(estate: &Estate) -> String {
    let bytes: usize = estate.files.values().map(Vec::len).sum();
    let mut out = format!(
        "# How samples/estate was made\n\n\
         `cargo run -p vmglean-forge --bin estate -- samples` writes `estate/`, `expected.json` \
         and this page, the same bytes each time (as long as the compressor in `Cargo.lock` stays \
         the same). A test compares them with what is committed, sweeps the estate and compares \
         the answer with `expected.json`.\n\n\
         - {} files, {bytes} bytes, SHA-256 over path, NUL, length (u64, little endian) and \
         content of each in order of their paths: `{}`\n\
         - Licence: that of the repository. Nothing in it comes from a real machine, attack or \
         victim; the notes are invented and their addresses end in `example.invalid`.\n\
         - Disks are small (1 to 3 MiB) and their first partition begins at 32 KiB instead of \
         1 MiB; all else is laid out as real ones are. Linux guests hold a whole ext2 that e2fsck \
         takes; Windows guests hold the bones of NTFS: boot sector and copy, file records, data, \
         but no indexes, so they do not mount. The BitLocker and VMware-encrypted disks hold \
         random bytes behind real headers: nothing can be decrypted.\n\
\n\
         `encrypted_share` in `expected.json` is the share of the disk's extents that the forge \
         encrypted, counted in bytes; `null` where no such count makes sense.\n\n",
        estate.files.len(),
        estate.digest(),
    );
    out.push_str("| machine | what it is and what was done | verdict | route | configuration |\n");
    out.push_str("|---|---|---|---|---|\n");
    for machine in &estate.machines {
        let source = machine.config_source.as_deref().unwrap_or("none");
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {}, from {source} |",
            machine.folder, machine.story, machine.verdict, machine.route, machine.config
        );
    }
    out.push_str("\nOrphans:\n\n");
    for (path, machine) in &estate.orphans {
        let _ = writeln!(out, "- `{path}`, to be offered to {machine}");
    }
    out.push_str("\nNotes:\n\n");
    for (path, family) in &estate.notes {
        let _ = writeln!(out, "- `{path}`, in the manner of {family}");
    }
    out
}
