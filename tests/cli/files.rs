//! `files get`: what it says it wrote is what stands there.

use std::{fs, path::Path};

use vmglean_forge::guest::{File, ext4};

use super::run::{shimmed, vmglean};

fn disk(folder: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str, line: &str| File {
        name: name.to_owned(),
        bytes: line.repeat(9000).into_bytes(),
        is_excused: false,
    };
    let files = [
        file("minutes.txt", "what was said on the fifth of November\n"),
        file("plan.txt", "what is to be done before the eighth of December\n"),
    ];
    let guest = ext4(16 << 20, &files, scratch.path()).unwrap();
    fs::create_dir(folder.join("evidence")).unwrap();
    fs::write(folder.join("evidence/disk.raw"), guest.bytes).unwrap();
}

#[test]
fn a_file_that_does_not_read_back_is_taken_away_and_the_run_ends_with_5() {
    let root = tempfile::tempdir().unwrap();
    disk(root.path());
    let args = |out| ["files", "evidence/disk.raw", "--json", "get", "--out", out];
    let fine = vmglean(root.path(), &args("fine"));
    assert_eq!(fine.code, Some(0), "{fine:?}");
    // The medium loses the file's end between the writing and the first byte read back.
    let done = shimmed(root.path(), &args("bad"), "minutes.txt", 1, "truncate 5000");
    assert_eq!(done.code, Some(5), "{done:?}");
    let record = done.json();
    let finding = &record["findings"][0];
    assert_eq!(finding["code"], "files.unverified", "{record:#}");
    assert_eq!(finding["path"], "minutes.txt", "{record:#}");
    assert!(!root.path().join("bad/volume1/minutes.txt").exists());
    let there = |out: &str| fs::read(root.path().join(out).join("volume1/plan.txt")).unwrap();
    assert_eq!(there("bad"), there("fine"));
    let manifest = fs::read_to_string(root.path().join("bad/MANIFEST.jsonl")).unwrap();
    assert!(manifest.contains("plan.txt") && !manifest.contains("minutes.txt"), "{manifest}");
}
