//! A sector of a machine's small files written over: never untouched.

use std::{fs, path::Path};

use vmglean_forge::damage::{Cipher, KeyStream};

use crate::run::{folder, machine, sample_machine, vmglean};

const SECTOR: usize = 512;

fn verdict(root: &Path, name: &str) -> (String, String) {
    let record = vmglean(root, &["sweep", "--json", "."]).json();
    let found = machine(&record, name);
    let word = |key: &str| found[key].as_str().unwrap().to_owned();
    (word("verdict"), word("reason"))
}

/// Writes `with` over a sector of each file in turn, at its head, middle and tail; files that
/// this changes must not leave the machine untouched.
fn each_hit(name: &str, files: &[&str], with: impl Fn(&mut [u8])) {
    let root = folder();
    sample_machine(root.path(), name);
    assert_eq!(verdict(root.path(), name).0, "untouched");
    let mut wrong = Vec::new();
    for file in files {
        let path = root.path().join(name).join(file);
        let whole = fs::read(&path).unwrap();
        let (middle, last) = (whole.len() / 2, whole.len().saturating_sub(SECTOR));
        for at in [0, middle, last] {
            let mut bytes = whole.clone();
            let end = (at + SECTOR).min(bytes.len());
            with(&mut bytes[at..end]);
            fs::write(&path, &bytes).unwrap();
            let (verdict, reason) = verdict(root.path(), name);
            if verdict == "untouched" && bytes != whole {
                wrong.push(format!("{file} at {at:#x}: {reason}"));
            }
        }
        fs::write(&path, whole).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn random_bytes_in_a_small_file_show() {
    let files = [
        "files01.vmx",
        "files01.vmxf",
        "files01.vmsd",
        "files01.vmdk",
        "files01.nvram",
        "vmware.log",
        "vmware-1.log",
    ];
    each_hit("files01", &files, |bytes| KeyStream::new(512, Cipher::Stream).encrypt(bytes, 0, 0));
}

#[test]
fn zeros_in_a_text_show() {
    let files = ["files01.vmx", "files01.vmxf", "files01.vmsd", "files01.vmdk", "vmware.log"];
    each_hit("files01", &files, |bytes| bytes.fill(0));
}

#[test]
fn random_bytes_in_a_copy_inside_a_checkpoint_show() {
    each_hit("hr01", &["hr01-Snapshot1.vmsn"], |bytes| {
        KeyStream::new(513, Cipher::Stream).encrypt(bytes, 0, 0);
    });
}
