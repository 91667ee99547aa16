//! `vmglean salvage` end to end, over forged machines that lose their small files one by one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test's helpers fail as the test does"
)]

mod faults;
mod host;
mod lost;
mod make;
mod package;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use assert_cmd::cargo::CommandCargoExt as _;
use make::{Estate, keys, tree};
use serde_json::Value;

fn vmglean(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("vmglean").unwrap();
    command.args(args).env("NO_COLOR", "1").env("COLUMNS", "100");
    command
}

/// Exit code, record and standard error of a salvage of `source` into `out`.
fn salvage(source: impl AsRef<Path>, out: impl AsRef<Path>, more: &[&str]) -> (i32, Value, String) {
    let (source, out) = (source.as_ref().to_str().unwrap(), out.as_ref().to_str().unwrap());
    let mut args = vec!["salvage", source, "--out", out, "--json", "--reproducible"];
    args.extend(more);
    let done = vmglean(&args).output().unwrap();
    let record = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
    (done.status.code().unwrap(), record, String::from_utf8_lossy(&done.stderr).into_owned())
}

fn machine<'a>(record: &'a Value, name: &str) -> &'a Value {
    record["machines"].as_array().unwrap().iter().find(|m| m["name"] == name).unwrap()
}

fn vmx(out: &Path) -> BTreeMap<String, String> {
    keys(&fs::read(out.join("srv/srv.vmx")).unwrap())
}

/// Every key of the truth that is neither equal nor named as missing.
fn differing(truth: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Vec<String> {
    truth
        .iter()
        .filter(|(key, value)| found.get(*key) != Some(value))
        .map(|(k, _)| k.clone())
        .collect()
}

/// What qemu-img reads of the disk a machine now starts from.
fn content(disk: &Path) -> Option<Vec<u8>> {
    let raw = disk.with_extension("raw");
    let done = Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(disk).arg(&raw).output();
    let Ok(done) = done else {
        println!("skipped: no qemu-img");
        return None;
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let bytes = fs::read(&raw).unwrap();
    fs::remove_file(raw).unwrap();
    Some(bytes)
}

#[test]
fn an_untouched_machine_comes_over_byte_for_byte() {
    let estate = Estate::new();
    let before = tree(&estate.path());
    let (code, record, stderr) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{record:#}");
    let srv = machine(&record, "srv");
    assert_eq!((&srv["result"], &srv["verdict"]), (&"written".into(), &"untouched".into()));
    for name in ["srv.vmx", "srv.nvram", "srv.vmxf", "srv.vmsd", "srv-flat.vmdk", "srv.vmdk"] {
        let copy = fs::read(estate.out().join("srv").join(name)).unwrap();
        assert_eq!(copy, fs::read(estate.file(name)).unwrap(), "{name}");
    }
    assert_eq!(tree(&estate.path()), before, "evidence changed");
    let mut names: Vec<String> = fs::read_dir(estate.out())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["srv", "srv.hashdeep"]);
    let page = fs::read_to_string(estate.out().join("srv/README.txt")).unwrap();
    assert!(page.contains("hashdeep -r -l -a -k '../srv.hashdeep' ."), "{page}");
    audit(&estate.out(), "srv");
}

/// hashdeep finds the folder as its list says.
fn audit(out: &Path, name: &str) {
    let list = format!("../{name}.hashdeep");
    let done = Command::new("hashdeep")
        .args(["-r", "-l", "-a", "-k", &list, "."])
        .current_dir(out.join(name))
        .output();
    let Ok(done) = done else {
        println!("skipped: no hashdeep");
        return;
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

#[test]
fn each_small_file_lost_or_encrypted_in_turn_comes_back() {
    for encrypted in [false, true] {
        for lost in [
            "srv.vmx",
            "srv.nvram",
            "srv.vmxf",
            "srv.vmsd",
            "srv.vmdk",
            "vmware.log",
            "srv-Snapshot1.vmsn",
        ] {
            let estate = Estate::new();
            let truth = keys(&fs::read(estate.file("srv.vmx")).unwrap());
            let nvram = fs::read(estate.file("srv.nvram")).unwrap();
            let vmxf = fs::read(estate.file("srv.vmxf")).unwrap();
            let disk = estate.content.clone();
            if encrypted {
                estate.encrypt(lost);
            } else {
                fs::remove_file(estate.file(lost)).unwrap();
            }
            let before = tree(&estate.path());
            let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
            let how = format!("{lost} {}", if encrypted { "encrypted" } else { "lost" });
            assert!(code == 0 || code == 1, "{how}: {code} {record:#}");
            let srv = machine(&record, "srv");
            assert_eq!(srv["result"], "written", "{how}");
            assert_eq!(tree(&estate.path()), before, "{how}: evidence changed");
            let out = estate.out().join("srv");
            assert_eq!(differing(&truth, &vmx(&estate.out())), Vec::<String>::new(), "{how}");
            assert_eq!(fs::read(out.join("srv.nvram")).unwrap(), nvram, "{how}");
            assert_eq!(fs::read(out.join("srv.vmxf")).unwrap(), vmxf, "{how}");
            if let Some(found) = content(&out.join("srv.vmdk")) {
                assert!(found == disk, "{how}: the disk's bytes differ");
            }
            audit(&estate.out(), "srv");
        }
    }
}

#[test]
fn with_every_small_file_lost_a_minimal_machine_is_guessed_and_says_so() {
    let estate = Estate::new();
    for name in fs::read_dir(estate.file("")).unwrap() {
        let path = name.unwrap().path();
        if !path.to_str().unwrap().ends_with("-flat.vmdk") {
            fs::remove_file(path).unwrap();
        }
    }
    let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!(code, 1);
    let srv = machine(&record, "srv");
    let codes: Vec<&str> =
        srv["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"config.guessed"), "{codes:?}");
    assert_eq!(srv["config"]["base"], Value::Null);
    let found = vmx(&estate.out());
    assert_eq!(found["scsi0:0.filename"], "srv.vmdk");
    assert_eq!(found["ethernet0.startconnected"], "FALSE");
    assert_eq!(found["guestos"], "otherlinux-64");
    let provenance = fs::read(estate.out().join("srv/vmx.provenance.json")).unwrap();
    let provenance: Value = serde_json::from_slice(&provenance).unwrap();
    for line in provenance["lines"].as_array().unwrap() {
        assert_eq!(line["confidence"], "guessed", "{line}");
        assert_ne!(line["why"], Value::Null, "{line}");
    }
    if let Some(found) = content(&estate.out().join("srv/srv.vmdk")) {
        assert!(found == estate.content);
    }
}

#[test]
fn a_bare_extent_with_a_footer_gets_the_size_it_had() {
    let estate = Estate::new();
    estate.encrypt("srv.vmdk");
    estate.append_footer("srv-flat.vmdk");
    let (_, record, _) = salvage(estate.path(), estate.out(), &["--include-damaged"]);
    let text = fs::read_to_string(estate.out().join("srv/srv.vmdk")).unwrap();
    let sectors = estate.content.len() / 512;
    assert!(text.contains(&format!("RW {sectors} VMFS \"srv-flat.vmdk\"")), "{text}\n{record:#}");
    let copy = fs::metadata(estate.out().join("srv/srv-flat.vmdk")).unwrap();
    assert_eq!(copy.len(), estate.content.len() as u64);
}

#[test]
fn an_encrypted_delta_leaves_the_snapshot_below_it() {
    let estate = Estate::with_delta();
    estate.encrypt("srv-000001-sesparse.vmdk");
    let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!(code, 1);
    let srv = machine(&record, "srv");
    assert_eq!(srv["route"], "rollback-snapshot", "{record:#}");
    assert_eq!(srv["disks"][0]["links_left_out"], 1);
    assert_eq!(vmx(&estate.out())["scsi0:0.filename"], "srv.vmdk");
    let list = fs::read(estate.out().join("srv/srv.vmsd")).unwrap();
    assert_eq!(keys(&list)["snapshot.numsnapshots"], "0");
    assert!(!estate.out().join("srv/srv-000001.vmdk").exists());
    if let Some(found) = content(&estate.out().join("srv/srv.vmdk")) {
        assert!(found == estate.content);
    }
}

#[test]
fn a_lost_descriptor_of_a_delta_is_written_with_its_parent() {
    let estate = Estate::with_delta();
    fs::remove_file(estate.file("srv-000001.vmdk")).unwrap();
    let (_, record, _) = salvage(estate.path(), estate.out(), &[]);
    let text = fs::read_to_string(estate.out().join("srv/srv-000001.vmdk")).unwrap();
    assert!(text.contains("parentCID=12345678\n"), "{text}\n{record:#}");
    assert!(text.contains("parentFileNameHint=\"srv.vmdk\""), "{text}");
    assert!(text.contains("createType=\"seSparse\""), "{text}");
    let done = Command::new("qemu-img")
        .args(["info", "--backing-chain"])
        .arg(estate.out().join("srv/srv-000001.vmdk"))
        .output();
    if let Ok(done) = done {
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(String::from_utf8_lossy(&done.stdout).contains("srv.vmdk"));
    }
}

#[test]
fn a_damaged_disk_stays_where_it_is_unless_asked_for() {
    let estate = Estate::new();
    estate.encrypt("srv-flat.vmdk");
    estate.append_footer("srv-flat.vmdk");
    let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!(code, 1);
    assert_eq!(machine(&record, "srv")["disks"][0]["carried"], "left");
    assert_eq!(vmx(&estate.out())["scsi0:0.present"], "FALSE");
    assert!(!estate.out().join("srv/srv-flat.vmdk").exists());
    let (_, record, _) =
        salvage(estate.path(), estate.out(), &["--include-damaged", "--overwrite"]);
    assert_eq!(machine(&record, "srv")["disks"][0]["carried"], "copied");
    assert_eq!(vmx(&estate.out())["scsi0:0.present"], "TRUE");
    let readme = fs::read_to_string(estate.out().join("srv/README.txt")).unwrap();
    assert!(readme.contains("encrypted"), "{readme}");
}

#[test]
fn config_only_writes_no_disk_and_keeps_its_names() {
    let estate = Estate::new();
    estate.encrypt("srv.vmdk");
    let (_, record, _) = salvage(estate.path(), estate.out(), &["--config-only"]);
    assert_eq!(machine(&record, "srv")["disks"][0]["carried"], "listed");
    assert!(!estate.out().join("srv/srv-flat.vmdk").exists());
    assert!(estate.out().join("srv/srv.vmdk").exists());
    assert_eq!(vmx(&estate.out())["scsi0:0.present"], "TRUE");
}

#[test]
fn a_second_run_does_nothing_and_a_broken_one_is_gone_on_with() {
    let estate = Estate::new();
    let (_, first, _) = salvage(estate.path(), estate.out(), &[]);
    let made = tree(&estate.out());
    let (code, again, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!((code, &machine(&again, "srv")["result"]), (0, &"already".into()));
    assert_eq!(machine(&first, "srv")["files"], machine(&again, "srv")["files"]);
    assert_eq!(tree(&estate.out()), made);

    // As a killed run leaves it: unfinished, one file done and journalled, one half written.
    let (folder, work) = (estate.out().join("srv"), estate.out().join("srv.unfinished"));
    let head = fs::read_to_string(folder.join("MANIFEST.jsonl")).unwrap();
    let head: Value = serde_json::from_str(head.lines().next().unwrap()).unwrap();
    fs::rename(&folder, &work).unwrap();
    fs::remove_file(work.join("MANIFEST.jsonl")).unwrap();
    fs::write(work.join(".vmglean-plan"), head["plan"].as_str().unwrap()).unwrap();
    let flat = fs::read(work.join("srv-flat.vmdk")).unwrap();
    fs::remove_file(work.join("srv-flat.vmdk")).unwrap();
    fs::write(work.join("srv-flat.vmdk.part"), &flat[..flat.len() / 3]).unwrap();
    fs::write(work.join(".vmglean-finished.jsonl"), "{\"name\":\"srv.nvr").unwrap();
    let (_, record, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!(machine(&record, "srv")["result"], "written");
    assert_eq!(tree(&estate.out()), made);
}

#[test]
fn a_run_killed_at_any_moment_ends_with_the_same_bytes() {
    let estate = Estate::with_delta();
    salvage(estate.path(), estate.out(), &[]);
    let whole = tree(&estate.out());
    let (source, out) = (estate.path(), estate.path().with_file_name("killed"));
    let args = ["salvage", source.to_str().unwrap(), "--out", out.to_str().unwrap(), "--json"];
    let mut finished = 0;
    for wait in 0..12_u64 {
        let mut child = vmglean(&args).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait * 9));
        child.kill().unwrap();
        child.wait().unwrap();
        if wait % 4 == 3 {
            let done = vmglean(&args).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            assert_eq!(tree(&out), whole);
            fs::remove_dir_all(&out).unwrap();
            finished += 1;
        }
    }
    assert_eq!(finished, 3);
}

#[test]
fn foreign_folders_and_places_inside_evidence_are_refused() {
    let estate = Estate::new();
    let inside = estate.path().join("out");
    let (code, _, stderr) = salvage(estate.path(), &inside, &[]);
    assert_eq!(code, 4);
    assert!(stderr.contains("lies inside the source"), "{stderr}");
    let around = estate.path().parent().unwrap().to_path_buf();
    let (code, _, stderr) = salvage(estate.path(), &around, &[]);
    assert_eq!(code, 4);
    assert!(stderr.contains("nothing is written round it"), "{stderr}");

    fs::create_dir_all(estate.out().join("srv")).unwrap();
    fs::write(estate.out().join("srv/mine"), b"x").unwrap();
    let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!((code, &machine(&record, "srv")["result"]), (4, &"refused".into()));
    assert_eq!(fs::read(estate.out().join("srv/mine")).unwrap(), b"x");
    let (code, _, _) = salvage(estate.path(), estate.out(), &["--overwrite"]);
    assert_eq!(code, 0);
    assert!(!estate.out().join("srv/mine").exists());

    let file = estate.path().with_file_name("file");
    fs::write(&file, b"").unwrap();
    assert_eq!(salvage(estate.path(), &file, &[]).0, 2);
    assert_eq!(salvage(Path::new("/nowhere/at-all"), estate.out(), &[]).0, 74);
    let (code, _, stderr) = salvage(estate.path(), estate.out(), &["--machine", "nobody"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("no machine is called \"nobody\"; there are \"srv\""), "{stderr}");
    assert_eq!(vmglean(&["salvage", "--out", "x"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn hostile_names_stay_in_the_output_and_twins_are_kept_apart() {
    let estate = Estate::new();
    for (n, name) in ["../../evil\nname", "srv", "SRV"].into_iter().enumerate() {
        estate.copy_as(&format!("twin{n}"), name);
    }
    let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!(code, 0, "{record:#}");
    let mut folders: Vec<PathBuf> = fs::read_dir(estate.out())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let names: Vec<&str> =
        folders.iter().map(|f| f.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["SRV-3", "_.._evil_name", "srv", "srv-2"]);
    // A machine's folder is the same whichever others come with it.
    let (_, alone, _) = salvage(estate.path(), estate.out(), &["--machine", "twin2"]);
    assert_eq!(alone["machines"].as_array().unwrap().len(), 1);
    assert_eq!(alone["machines"][0]["result"], "already");
}

#[test]
fn a_recorded_sweep_names_sources_and_machines() {
    let estate = Estate::new();
    estate.copy_as("other", "other");
    let record = estate.path().with_file_name("sweep.json");
    let done = vmglean(&["sweep", estate.path().to_str().unwrap(), "--json"]).output().unwrap();
    fs::write(&record, done.stdout).unwrap();
    fs::remove_dir_all(estate.path().join("other")).unwrap();
    let out = estate.out();
    let args =
        ["salvage", "--from", record.to_str().unwrap(), "--out", out.to_str().unwrap(), "--jsonl"];
    let done = vmglean(&args).output().unwrap();
    assert_eq!(done.status.code(), Some(3), "a machine of the record is gone");
    let lines: Vec<Value> = String::from_utf8(done.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["record"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["schema", "machine", "finding", "run", "complete"]);
    assert!(lines[2]["what"].as_str().unwrap().contains("is not there any more"));
    assert_eq!(lines[4]["lines"], 4);
}

#[test]
fn memory_is_found_and_named_as_volatility_wants_it() {
    let estate = Estate::new();
    estate.suspend("srv-Snapshot2.vmsn", false);
    estate.suspend("srv-abc.vmss", true);
    let (_, record, _) = salvage(estate.path(), estate.out(), &[]);
    let found = machine(&record, "srv")["memory"].as_array().unwrap();
    assert_eq!(found.len(), 2, "{record:#}");
    assert!(!estate.out().join("srv/memory").exists());
    let (_, record, _) = salvage(estate.path(), estate.out(), &["--memory", "--overwrite"]);
    let memory = estate.out().join("srv/memory");
    let image = fs::read(memory.join("srv-Snapshot2.vmem")).unwrap();
    assert_eq!(image, fs::read(estate.file("srv-Snapshot2.vmem")).unwrap(), "{record:#}");
    assert!(memory.join("srv-Snapshot2.vmsn").exists());
    // Under these names volatility3 finds the two together, and the memory's two regions by them.
    if let Some(segments) = volatility(&memory.join("srv-Snapshot2.vmem")) {
        assert_eq!(segments, "0 0 786432\n4294967296 786432 262144\n");
    }
    // Memory inside the state file is taken out, since volatility reads it only beside it.
    let inside = fs::read(memory.join("srv-abc.vmem")).unwrap();
    assert_eq!((inside.len(), inside[0], inside[4096]), (256 * 4096, 0, 1));
    let page = fs::read_to_string(estate.out().join("srv/README.txt")).unwrap();
    for part in [
        "vol -f memory/srv-Snapshot2.vmem",
        "volatility3 wants the memory as memory/srv-abc.vmem and its state file beside it",
        "does not skip the padding that may stand before it",
        "memory/srv-abc.vmem was taken out of it, from behind the padding.",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(page.matches("does not skip the padding").count(), 1, "{page}");
}

/// The segments that volatility3 reads a memory image in, by the state file it finds for it.
fn volatility(image: &Path) -> Option<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = here.join("target/volatility3");
    if !library.exists() {
        println!("skipped: no volatility3 in target/volatility3; tests/run puts it there");
        return None;
    }
    let done = Command::new("python3")
        .arg(here.join("tests/salvage/volatility_pair.py"))
        .arg(image)
        .env("PYTHONPATH", library)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(String::from_utf8(done.stdout).unwrap())
}

#[test]
fn no_call_writes_to_a_source() {
    let estate = Estate::new();
    estate.encrypt("srv.vmx");
    let trace = estate.path().with_file_name("trace");
    let binary = vmglean(&[]).get_program().to_owned();
    let done = Command::new("strace")
        .args(["-f", "-y", "-o"])
        .arg(&trace)
        .args(["-e", "trace=openat,openat2,open,creat,write,pwrite64,writev,pwritev,ftruncate,truncate,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,link,linkat,symlink,symlinkat,chmod,fchmod,fchmodat,chown,fchown,fchownat,utimensat,fallocate,ioctl,copy_file_range,setxattr,fsetxattr"])
        .arg(binary)
        .args(["salvage", estate.path().to_str().unwrap(), "--out", estate.out().to_str().unwrap()])
        .output();
    let Ok(done) = done else {
        println!("skipped: no strace");
        return;
    };
    if !String::from_utf8_lossy(&done.stderr).is_empty()
        && fs::read(&trace).map_or(0, |t| t.len()) == 0
    {
        println!("skipped: strace may not trace here");
        return;
    }
    let source = estate.path().to_str().unwrap().to_owned();
    let mut opened = 0;
    for line in String::from_utf8_lossy(&fs::read(&trace).unwrap()).lines() {
        // What a resumed call was asked stands in the line where it began.
        if !line.contains(&source) || line.contains(" resumed>") {
            continue;
        }
        let call = line.split('(').next().unwrap_or_default();
        let call = call.rsplit(' ').next().unwrap_or_default();
        match call {
            "openat" | "openat2" | "open" => {
                opened += 1;
                let reads = line.contains("O_RDONLY") || line.contains("O_PATH");
                assert!(reads && !line.contains("O_CREAT") && !line.contains("O_TRUNC"), "{line}");
            }
            // The source is the reflink's second argument; the first, the target, is ours.
            "ioctl" => assert!(line.contains("FICLONE") && line.contains("out/"), "{line}"),
            // Standard output and our own files may name a source in their text.
            "write" | "pwrite64" | "writev" => {
                let target = line.split('(').nth(1).unwrap_or_default();
                let target = target.split(',').next().unwrap_or_default();
                assert!(!target.contains(&source), "{line}");
            }
            other => panic!("{other}: {line}"),
        }
    }
    assert!(opened > 5, "nothing was traced");
}
