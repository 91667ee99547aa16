//! Every exit code that `sweep` and `inspect` can end with, and which one wins.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Stdio,
};

use crate::run::{Done, folder, program, sample_machine, samples, shimmed, unprivileged, vmglean};

fn ends(place: &Path, args: &[&str], code: i32, says: &str) -> Done {
    let done = vmglean(place, args);
    assert_eq!(done.code, Some(code), "{args:?}: {}", done.err);
    assert!(done.err.contains(says), "{args:?}: {}", done.err);
    done
}

#[test]
fn a_healthy_machine_ends_with_0() {
    let root = folder();
    for name in ["web01", "files01", "hr01", "Grafik 2", "tpl-ubuntu", "vdi-007"] {
        sample_machine(root.path(), name);
    }
    ends(root.path(), &["sweep", "."], 0, "");
    ends(root.path(), &["sweep", "--full", "."], 0, "");
    ends(root.path(), &["inspect", "web01/web01.vmx", "web01/web01.vmdk"], 0, "");
}

#[test]
fn damage_ends_with_1() {
    let estate = samples();
    ends(&estate, &["sweep", "."], 1, "");
    ends(&estate, &["sweep", "--full", "."], 1, "");
    ends(&estate, &["inspect", "ds-berlin/db01/db01.vmx.akira"], 1, "");
}

#[test]
fn what_a_family_leaves_beside_its_victims_ends_with_1() {
    let root = folder();
    sample_machine(root.path(), "web01");
    let left = root.path().join("web01/web01-flat.vmdk.args");
    fs::write(left, [0x5A; 512]).unwrap();
    let record = ends(root.path(), &["sweep", "--json", "."], 1, "").json();
    assert_eq!(record["machines"][0]["verdict"], "untouched", "{record:#}");
    let findings = record["findings"].as_array().unwrap();
    let told = findings.iter().find(|f| f["code"] == "attack.sidecar").unwrap();
    assert!(told["what"].as_str().unwrap().contains("ESXiArgs"), "{told}");
}

#[test]
fn a_machine_whose_files_are_renamed_ends_with_1() {
    let root = folder();
    sample_machine(root.path(), "app01");
    let place = root.path().join("app01");
    fs::remove_file(place.join("akira_readme.txt")).unwrap();
    for more in [&["."][..], &["--full", "."]] {
        let args = [&["sweep", "--json"][..], more].concat();
        let done = ends(root.path(), &args, 1, "");
        let record = done.json();
        assert_eq!(record["machines"][0]["verdict"], "untouched", "{record:#}");
        assert_eq!(record["machines"][0]["route"], "rebuild-config", "{record:#}");
    }
    // Under their own names they are a machine in which nothing is wrong.
    for file in fs::read_dir(&place).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "akira") {
            fs::rename(&path, path.with_extension("")).unwrap();
        }
    }
    ends(root.path(), &["sweep", "."], 0, "");
}

#[test]
fn words_that_do_not_fit_together_end_with_2() {
    let root = folder();
    let place = root.path();
    fs::write(place.join("bad.json"), "{").unwrap();
    ends(place, &["sweep"], 2, "<SOURCE>");
    ends(place, &["inspect"], 2, "<FILE>");
    ends(place, &["sweep", "--json", "--jsonl", "."], 2, "cannot be used with");
    ends(place, &["sweep", "--samples", "0", "."], 2, "--samples needs at least 1");
    ends(place, &["sweep", "--samples", "many", "."], 2, "invalid value 'many'");
    ends(place, &["sweep", "--budget", "soon", "."], 2, "write 90s, 20m or 1h30m");
    ends(place, &["sweep", "--jobs", "0", "."], 2, "--jobs");
    ends(
        place,
        &["sweep", "--families", "bad.json", "."],
        2,
        "bad.json: is no JSON: EOF while parsing an object at line 1 column 1",
    );
    ends(place, &["sweep", "--families", "none.json", "."], 2, "none.json");
    ends(place, &["sweep", "--no-such-flag", "."], 2, "--no-such-flag");
    ends(place, &["inspect", "--overwrite", "bad.json"], 2, "--extract");
    ends(place, &["swep", "."], 2, "sweep");
}

#[test]
fn what_could_not_be_read_ends_with_3_whatever_damage_there_is() {
    let root = folder();
    for name in ["web01", "db01", "files01"] {
        sample_machine(root.path(), name);
    }
    let vmx = root.path().join("web01/web01.vmx");
    fs::set_permissions(vmx, fs::Permissions::from_mode(0o0)).unwrap();
    let done = unprivileged(root.path(), &["sweep", "."]);
    assert_eq!(done.code, Some(3), "{}", done.err);
    let args = ["inspect", "web01/web01.vmx", "db01/db01.vmx.akira"];
    let done = unprivileged(root.path(), &args);
    assert_eq!(done.code, Some(3), "{}", done.text());
    let args = ["sweep", "--budget", "1s", "--jobs", "1", "."];
    // Stopped is graver than unread: the rest may hold anything.
    let done = shimmed(root.path(), &args, "-flat.vmdk", 1, "sleep 1200");
    assert_eq!(done.code, Some(75));
}

#[test]
fn what_a_safety_rule_forbids_ends_with_4() {
    let root = folder();
    sample_machine(root.path(), "hr01");
    fs::write(root.path().join("there"), "").unwrap();
    ends(root.path(), &["sweep", "--html", "there", "hr01"], 4, "is there already");
    ends(root.path(), &["sweep", "--html", "hr01/new", "hr01"], 4, "lies inside the source");
    ends(root.path(), &["sweep", "--state", "hr01/new", "hr01"], 4, "lies inside the source");
    let vmsn = "hr01/hr01-Snapshot1.vmsn";
    ends(root.path(), &["inspect", "--extract", "hr01/out", vmsn], 4, "lies inside the source");
    assert!(!root.path().join("hr01/out").exists());
    ends(root.path(), &["inspect", "--extract", "out", vmsn], 0, "wrote out/");
    ends(root.path(), &["inspect", "--extract", "out", vmsn], 4, "is there already");
    ends(root.path(), &["inspect", "--extract", "out", "--overwrite", vmsn], 0, "wrote out/");
}

#[test]
fn an_output_that_cannot_be_delivered_ends_with_74() {
    let root = folder();
    sample_machine(root.path(), "web01");
    let place = root.path();
    ends(place, &["sweep", "gone"], 74, "cannot open gone: No such file or directory");
    ends(place, &["sweep", "web01", "gone"], 74, "cannot open gone: No such file or directory");
    ends(place, &["sweep", "/dev/null"], 74, "/dev/null is neither a folder nor a regular file");
    ends(place, &["sweep", "--html", "no/page", "web01"], 74, "the folder of no/page");
    ends(place, &["sweep", "--state", "no/state", "web01"], 74, "the folder of no/state");
    ends(place, &["inspect", "gone"], 74, "");
    for form in [&["--json"][..], &["--jsonl"], &[]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let args = [&["sweep"], form, &["web01"]].concat();
        let output = program().current_dir(place).args(&args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(74), "{args:?}");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(err.contains("No space left on device"), "{args:?}: {err}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let estate = samples();
    let mut child = program()
        .current_dir(estate)
        .args(["sweep", "--json", "."])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
