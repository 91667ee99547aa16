//! Zeros over a part of a file system in which nothing but files lies.

use std::{fs, ops::Range, path::Path};

use vmglean_forge::guest::{self, File, Guest};

use crate::run::{BASE, configure, descriptor, folder, tool, vmglean};

const DISK_BYTES: u64 = 36 << 20;
const FILES: usize = 90;

/// Texts of different lengths.
fn files() -> Vec<File> {
    (0..FILES)
        .map(|n| {
            let line = format!("order {n} of a customer who pays by the month, part ");
            let text: String = (0..2000 + n * 60).map(|part| format!("{line}{part}\n")).collect();
            File { name: format!("orders-{n}.txt"), bytes: text.into_bytes(), is_excused: false }
        })
        .collect()
}

fn guests(scratch: &Path) -> [Guest; 2] {
    let files = files();
    [
        guest::ext4(DISK_BYTES, &files, scratch).unwrap(),
        guest::ntfs(DISK_BYTES, &files, scratch).unwrap(),
    ]
}

/// Where 16 files lie side by side: too few for the rule about files that begin with zeros.
fn some_files(bytes: &[u8]) -> Range<usize> {
    let mut places: Vec<usize> = (0..FILES)
        .map(|nth| {
            let begin = format!("order {nth} of a customer who pays by the month, part 0\n");
            memchr::memmem::find(bytes, begin.as_bytes()).unwrap()
        })
        .collect();
    places.sort_unstable();
    places[40]..places[56]
}

fn verdict(place: &Path, more: &[&str]) -> (String, String) {
    let record = vmglean(place, &[&["sweep", "--json", "."][..], more].concat()).json();
    let disk = &record["machines"][0]["disks"][0];
    let word = |key: &str| disk[key].as_str().unwrap().to_owned();
    (word("verdict"), word("reason"))
}

#[test]
fn zeros_over_files_side_by_side_show() {
    let scratch = folder();
    for guest in guests(scratch.path()) {
        let root = folder();
        let place = root.path().join("vm");
        fs::create_dir(&place).unwrap();
        let text = descriptor(DISK_BYTES / 512, "disk-flat.vmdk", 1, BASE);
        fs::write(place.join("disk.vmdk"), text).unwrap();
        configure(&place, "disk.vmdk");
        let flat = place.join("disk-flat.vmdk");
        fs::write(&flat, &guest.bytes).unwrap();
        let (word, reason) = verdict(root.path(), &[]);
        assert_eq!(word, "untouched", "{}: {reason}", guest.name);
        let mut hit = guest.bytes.clone();
        hit[some_files(&guest.bytes)].fill(0);
        fs::write(&flat, &hit).unwrap();
        for more in [&[][..], &["--full"]] {
            let (word, reason) = verdict(root.path(), more);
            assert_eq!(word, "undetermined", "{}: {reason}", guest.name);
            assert!(reason.contains("lie side by side"), "{reason}");
        }
    }
}

#[test]
fn zeros_over_grains_of_a_sparse_disk_show() {
    let scratch = folder();
    for guest in guests(scratch.path()) {
        let root = folder();
        let place = root.path().join("vm");
        fs::create_dir(&place).unwrap();
        fs::write(scratch.path().join("raw"), &guest.bytes).unwrap();
        let raw = scratch.path().join("raw");
        let words = ["convert", "-f", "raw", "-O", "vmdk", raw.to_str().unwrap(), "disk.vmdk"];
        tool(&place, "qemu-img", &words);
        configure(&place, "disk.vmdk");
        let (word, reason) = verdict(root.path(), &[]);
        assert_eq!(word, "untouched", "{}: {reason}", guest.name);
        let path = place.join("disk.vmdk");
        let mut bytes = fs::read(&path).unwrap();
        let hit = some_files(&bytes);
        bytes[hit].fill(0);
        fs::write(&path, &bytes).unwrap();
        let (word, reason) = verdict(root.path(), &[]);
        assert_eq!(word, "undetermined", "{}: {reason}", guest.name);
        assert!(reason.contains("lie side by side"), "{reason}");
    }
}
