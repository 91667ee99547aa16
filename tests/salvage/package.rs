//! `vmglean salvage --ovf` and `--ova`: packages that qemu-img, tar and our own readers take.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};
use vmglean_formats::ovf::{Envelope, Manifest};

use crate::{
    machine,
    make::{Estate, noise, tree},
    salvage, vmglean,
};

pub(crate) fn tool(folder: &Path, name: &str, args: &[&str]) -> String {
    let done = Command::new(name).args(args).current_dir(folder).output();
    let done = done.unwrap_or_else(|error| panic!("{name} (see tests/run): {error}"));
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// What stands in a package holds together, and its disk is the machine's.
fn holds(folder: &Path, own: &Path) {
    let text = fs::read(folder.join("srv.ovf")).unwrap();
    let read = Envelope::parse(&text);
    assert_eq!(read.defects, [], "{}", String::from_utf8_lossy(&text));
    let envelope = read.value;
    let names: Vec<&str> = envelope.files.iter().map(|file| file.href.as_str()).collect();
    assert_eq!(names, ["srv-disk1.vmdk", "srv.nvram"]);
    // As vCenter's own exports name it.
    let nvram = "<vmw:ExtraConfig ovf:required=\"false\" vmw:key=\"nvram\" \
                 vmw:value=\"ovf:/file/file2\"/>";
    assert!(String::from_utf8_lossy(&text).contains(nvram));
    assert_eq!(envelope.files[1].id, "file2");
    for file in &envelope.files {
        let length = fs::metadata(folder.join(&file.href)).unwrap().len();
        assert_eq!(file.size.unwrap().0, length, "{}", file.href);
    }
    assert_eq!(envelope.disks[0].capacity.unwrap().0, 2 << 20);
    let populated = envelope.disks[0].populated.unwrap().0;
    assert!(populated > 1 << 20 && populated <= 2 << 20, "{populated}");
    let system = &envelope.systems[0];
    assert_eq!(system.name.as_deref(), Some("srv"));
    let items: Vec<(u64, Option<&str>)> = system
        .items
        .iter()
        .map(|item| (item.resource_type.unwrap(), item.resource_sub_type.as_deref()))
        .collect();
    assert!(items.contains(&(6, Some("VirtualSCSI"))), "{items:?}");
    let disk = system.items.iter().find(|item| item.resource_type == Some(17)).unwrap();
    let controller = system.items.iter().find(|item| item.instance_id == disk.parent).unwrap();
    assert_eq!((controller.resource_type, controller.address.as_deref()), (Some(6), Some("0")));
    assert_eq!(disk.address_on_parent.as_deref(), Some("0"));
    let manifest = Manifest::parse(&fs::read(folder.join("srv.mf")).unwrap());
    assert_eq!(manifest.defects, []);
    let listed = fs::read_to_string(folder.join("srv.mf")).unwrap();
    for name in ["srv.ovf", "srv-disk1.vmdk", "srv.nvram"] {
        let hash: String = Sha256::digest(fs::read(folder.join(name)).unwrap())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(listed.contains(&format!("SHA256({name})= {hash}\n")), "{name}: {listed}");
    }
    let packed = folder.join("srv-disk1.vmdk");
    tool(folder, "qemu-img", &["check", "-q", "srv-disk1.vmdk"]);
    let (own, packed) = (own.to_str().unwrap(), packed.to_str().unwrap());
    tool(folder, "qemu-img", &["compare", "-q", own, packed]);
    let head = fs::read(packed).unwrap();
    assert_eq!(head[4], 3, "streamOptimized of header version 3, as an import wants it");
}

#[test]
fn an_ovf_package_is_what_other_readers_take() {
    let estate = Estate::with_delta();
    let before = tree(&estate.path());
    let (code, record, stderr) = salvage(estate.path(), estate.out(), &["--ovf"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{record:#}");
    let srv = machine(&record, "srv");
    let package = PathBuf::from(srv["package"].as_str().unwrap());
    assert_eq!(package, estate.out().join("srv-ovf/srv.ovf"));
    holds(&estate.out().join("srv-ovf"), &estate.out().join("srv/srv-000001.vmdk"));
    assert!(estate.out().join("srv-ovf/srv-disk1.vmdk.jsonl").exists());
    assert_eq!(tree(&estate.path()), before, "evidence changed");
    let made = tree(&estate.out());
    let (code, again, _) = salvage(estate.path(), estate.out(), &["--ovf"]);
    assert_eq!((code, &machine(&again, "srv")["package"]), (0, &srv["package"]));
    assert_eq!(tree(&estate.out()), made);
}

#[test]
fn an_ova_is_one_archive_with_the_envelope_first() {
    let estate = Estate::with_delta();
    let (code, record, _) = salvage(estate.path(), estate.out(), &["--ova"]);
    assert_eq!(code, 0, "{record:#}");
    let folder = estate.out().join("srv-ova");
    let names = tool(&folder, "tar", &["-tf", "srv.ova"]);
    let names: Vec<&str> = names.lines().collect();
    assert_eq!(names, ["srv.ovf", "srv.mf", "srv-disk1.vmdk", "srv.nvram"]);
    assert!(!folder.join("srv-disk1.vmdk").exists());
    let unpacked = estate.out().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let to = unpacked.to_str().unwrap();
    tool(&folder, "tar", &["-xf", "srv.ova", "-C", to]);
    holds(&unpacked, &estate.out().join("srv/srv-000001.vmdk"));
    // Our own reader finds nothing wrong with it either.
    let done = vmglean(&["inspect", folder.join("srv.ova").to_str().unwrap()]).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
}

#[test]
fn a_package_killed_at_any_moment_ends_with_the_same_bytes() {
    let estate = Estate::with_delta();
    let (code, ..) = salvage(estate.path(), estate.out(), &["--ova"]);
    assert_eq!(code, 0);
    let whole = tree(&estate.out());
    let (source, out) = (estate.path(), estate.path().with_file_name("killed"));
    let args =
        ["salvage", source.to_str().unwrap(), "--out", out.to_str().unwrap(), "--json", "--ova"];
    for wait in 0..40_u64 {
        let mut child = vmglean(&args).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait * 5));
        child.kill().unwrap();
        child.wait().unwrap();
        if wait % 4 == 3 {
            let done = vmglean(&args).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
            assert_eq!(tree(&out), whole);
            fs::remove_dir_all(&out).unwrap();
        }
    }
}

#[test]
fn a_run_killed_at_each_rename_sync_and_removal_ends_with_the_same_bytes() {
    const CALLS: [&str; 6] = ["mkdir", "rename", "renameat2", "unlink", "fsync", "fdatasync"];
    let estate = Estate::with_delta();
    let (code, ..) = salvage(estate.path(), estate.out(), &["--ova"]);
    assert_eq!(code, 0);
    let whole = tree(&estate.out());
    let (source, out) = (estate.path(), estate.path().with_file_name("killed"));
    let args =
        ["salvage", source.to_str().unwrap(), "--out", out.to_str().unwrap(), "--json", "--ova"];
    let binary = vmglean(&[]).get_program().to_owned();
    let (mut kills, mut ended) = (0, None);
    for (call, at) in CALLS.iter().flat_map(|call| (1..100).map(move |at| (call, at))) {
        if ended == Some(call) {
            continue;
        }
        let inject = format!("inject={call}:signal=KILL:when={at}");
        let done = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
            .arg(&binary)
            .args(args)
            .output()
            .unwrap();
        if done.status.success() {
            // There are no more calls of this kind.
            ended = Some(call);
        }
        kills += usize::from(!done.status.success());
        let done = vmglean(&args).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "killed at {call} {at}: {said}");
        assert_eq!(tree(&out), whole, "killed at {call} {at}");
        fs::remove_dir_all(&out).unwrap();
    }
    assert!(kills > 30, "{kills}");
}

#[test]
fn what_cannot_or_may_not_be_packed_is_refused_by_name() {
    let estate = Estate::new();
    fs::create_dir_all(estate.out().join("srv-ovf")).unwrap();
    fs::write(estate.out().join("srv-ovf/mine"), b"x").unwrap();
    let (code, record, _) = salvage(estate.path(), estate.out(), &["--ovf"]);
    assert_eq!(code, 4, "{record:#}");
    let srv = machine(&record, "srv");
    assert!(srv["error"].as_str().unwrap().contains("is there already"), "{srv:#}");
    assert_eq!(srv["result"], "written");
    assert_eq!(fs::read(estate.out().join("srv-ovf/mine")).unwrap(), b"x");
    for more in [["--ovf", "--ova"], ["--ovf", "--config-only"], ["--ova", "--config-only"]] {
        assert_eq!(salvage(estate.path(), estate.out(), &more).0, 2);
    }
}

#[test]
fn a_disk_that_stays_where_it_is_is_not_in_the_package() {
    let estate = Estate::new();
    estate.encrypt("srv-flat.vmdk");
    estate.append_footer("srv-flat.vmdk");
    let (code, record, _) = salvage(estate.path(), estate.out(), &["--ovf"]);
    assert_eq!(code, 1, "{record:#}");
    let text = fs::read(estate.out().join("srv-ovf/srv.ovf")).unwrap();
    let read = Envelope::parse(&text);
    assert_eq!((read.value.disks.len(), read.defects.len()), (0, 0));
}

#[test]
fn what_is_encrypted_on_a_damaged_disk_is_not_packed() {
    let estate = Estate::new();
    let (at, length) = (0, 1 << 20);
    let mut bytes = estate.content.clone();
    bytes[at..at + length].copy_from_slice(&noise(length, 3));
    estate.put("srv-flat.vmdk", &bytes);
    fs::rename(estate.file("srv-flat.vmdk"), estate.file("srv-flat.vmdk.babyk")).unwrap();
    let options = ["--include-damaged", "--ovf"];
    let (code, record, _) = salvage(estate.path(), estate.out(), &options);
    assert_eq!(code, 1, "{record:#}");
    let folder = estate.out().join("srv-ovf");
    tool(&folder, "qemu-img", &["convert", "-O", "raw", "srv-disk1.vmdk", "back.raw"]);
    let packed = fs::read(folder.join("back.raw")).unwrap();
    let manifest = fs::read_to_string(folder.join("srv-disk1.vmdk.jsonl")).unwrap();
    let (mut filled, mut end) = (0, 0);
    for line in manifest.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line["record"] == "judged" {
            assert_eq!(line["by"], "map", "{line}");
        }
        if line["record"] != "range" {
            continue;
        }
        let from = line["offset_bytes"].as_u64().unwrap() as usize;
        end = from + line["length_bytes"].as_u64().unwrap() as usize;
        let is_filled = line["filled"] == true;
        let is_good = line["state"] != "undetermined" && !is_filled;
        assert!(!is_good || from >= at + length, "{line}");
        filled += if is_filled { end - from } else { 0 };
        let source = if is_filled { vec![0; end - from] } else { bytes[from..end].to_vec() };
        assert!(packed[from..end] == source[..], "{line}");
    }
    assert_eq!(end, packed.len());
    assert!((length / 2..=length).contains(&filled), "{filled}");
}
