//! A target that is really too small: a file system of a few MiB, mounted for the test alone.

use std::{fs, process::Command};

use crate::make::{Case, letters};

/// Runs a script in a mount namespace of its own; `None` where that may not be had here.
fn alone(case: &Case, script: &str) -> Option<String> {
    let done = Command::new("unshare")
        .args([
            "-m",
            "sh",
            "-c",
            &format!("mount -t tmpfs -o size=8m none out || exit 99\n{script}"),
        ])
        .env("VMGLEAN", env!("CARGO_BIN_EXE_vmglean"))
        .current_dir(case.root())
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    if done.status.code() == Some(99) || said.contains("unshare failed") {
        println!("skipped: no file system may be mounted here");
        return None;
    }
    assert!(done.status.success(), "{said}");
    Some(said)
}

fn base(case: &Case) {
    let raw = case.root().join("base.raw");
    fs::write(&raw, letters(24 << 20, 3)).unwrap();
    let raw = raw.to_str().unwrap();
    case.qemu("qemu-img", &["convert", "-f", "raw", "-O", "vmdk", raw, "base.vmdk"]);
    case.child("base.vmdk", "s1.vmdk", &["write -P 0x33 0 64k"]);
}

#[test]
fn a_target_too_small_is_refused_before_the_first_byte() {
    let case = Case::new();
    base(&case);
    for kind in ["raw", "flat", "sparse"] {
        let said = alone(
            &case,
            &format!(
                "cd ds; \"$VMGLEAN\" consolidate s1.vmdk -q -O {kind} -o ../out/disk.vmdk\n\
                 echo \"code $?, files $(ls ../out | wc -l)\""
            ),
        );
        let Some(said) = said else { return };
        assert!(said.contains("code 4, files 0"), "{kind}: {said}");
        assert!(said.contains("bytes free, the output needs"), "{kind}: {said}");
    }
}

#[test]
fn a_stream_that_fills_its_file_system_goes_on_when_there_is_room() {
    let case = Case::new();
    base(&case);
    let said = alone(
        &case,
        "cd ds\n\
         run() { \"$VMGLEAN\" consolidate s1.vmdk -q -O stream --checkpoint 1MiB -o \"$1\"; }\n\
         run ../out/disk.vmdk; echo \"first $?\"\n\
         mount -o remount,size=100m ../out || exit 99\n\
         run ../out/disk.vmdk; echo \"second $?\"\n\
         mkdir ../whole; run ../whole/disk.vmdk; echo \"whole $?\"\n\
         diff -r ../out ../whole && echo equal",
    );
    let Some(said) = said else { return };
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.contains("goes on from byte"), "{said}");
    for part in ["first 74", "second 0", "whole 0", "equal"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
