//! What a host's own files add: names, places and networks of machines that lost theirs.

use std::{fs, path::PathBuf};

use serde_json::Value;
use vmglean_forge::vm::host::{esx_conf, inventory};

use crate::{
    machine,
    make::{Estate, keys, tree},
    salvage,
};

const LISTED: &str = "/vmfs/volumes/5fb27751-02685a39-c989-000c29801686/srv/Server One.vmx";

/// Puts the host's files as a backup of its state has them.
fn host(estate: &Estate, entries: &[(&str, &str)]) -> PathBuf {
    let etc = estate.path().join("state/etc/vmware");
    fs::create_dir_all(etc.join("hostd")).unwrap();
    fs::write(etc.join("hostd/vmInventory.xml"), inventory(entries)).unwrap();
    fs::write(etc.join("esx.conf"), esx_conf()).unwrap();
    etc
}

/// Removes all files of the machine but those that end so.
fn keep(estate: &Estate, end: &str) {
    for entry in fs::read_dir(estate.file("")).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_str().unwrap().ends_with(end) {
            fs::remove_file(path).unwrap();
        }
    }
}

fn codes(findings: &Value) -> Vec<&str> {
    findings.as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect()
}

fn finding<'a>(findings: &'a Value, code: &str) -> &'a Value {
    let mut all = findings.as_array().unwrap().iter();
    all.find(|f| f["code"] == code).unwrap_or_else(|| panic!("no {code}: {findings:#}"))
}

#[test]
fn a_bare_extent_gets_its_name_and_network_from_the_hosts_files_with_their_place() {
    let estate = Estate::new();
    keep(&estate, "-flat.vmdk");
    let etc = host(&estate, &[("7", LISTED)]);
    let before = tree(&estate.path());
    let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!(code, 1);
    assert_eq!(tree(&estate.path()), before, "evidence changed");
    let srv = machine(&record, "srv");
    assert_eq!(srv["config"]["file"], "Server One.vmx");
    let made = keys(&fs::read(estate.out().join("srv/Server One.vmx")).unwrap());
    assert_eq!(made["displayname"], "Server One");
    assert_eq!(made["ethernet0.networkname"], "VM Network");
    assert_eq!(made["ethernet0.startconnected"], "FALSE");
    let provenance = fs::read(estate.out().join("srv/vmx.provenance.json")).unwrap();
    let provenance: Value = serde_json::from_slice(&provenance).unwrap();
    let line = |key: &str| {
        let mut lines = provenance["lines"].as_array().unwrap().iter();
        lines.find(|line| line["key"] == key).unwrap().clone()
    };
    for (key, file, at) in [
        ("displayName", etc.join("hostd/vmInventory.xml"), "<ConfigEntry"),
        ("ethernet0.networkName", etc.join("esx.conf"), "/net/vswitch/"),
    ] {
        let line = line(key);
        assert_eq!(line["confidence"], "guessed", "{line}");
        assert_eq!(line["place"]["path"].as_str().unwrap(), file.to_str().unwrap());
        let offset = line["place"]["offset_bytes"].as_u64().unwrap() as usize;
        let text = String::from_utf8(fs::read(file).unwrap()).unwrap();
        assert!(text[offset..].starts_with(at), "{line}");
    }
    let told = &srv["findings"];
    let what = finding(told, "host.registered")["what"].as_str().unwrap();
    assert_eq!(what, format!("host esx01.example.net lists it as number 7 at {LISTED}"));
    let what = finding(told, "host.network")["what"].as_str().unwrap();
    assert_eq!(
        what,
        "its network \"VM Network\" is a port group with VLAN 42 on esx01.example.net"
    );
}

#[test]
fn a_whole_configuration_is_not_changed_by_what_a_host_says() {
    let estate = Estate::new();
    host(&estate, &[("7", "/vmfs/volumes/ds/srv/srv.vmx")]);
    let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!(code, 0, "{record:#}");
    let made = fs::read(estate.out().join("srv/srv.vmx")).unwrap();
    assert_eq!(made, fs::read(estate.file("srv.vmx")).unwrap());
    let told = finding(&machine(&record, "srv")["findings"], "host.registered");
    assert_eq!(told["weight"], "note");
}

#[test]
fn of_two_machines_in_a_folder_of_that_name_neither_is_taken_unless_something_tells_them_apart() {
    for (second, expected) in [
        // Another file name in another datastore: both could be meant.
        ("/vmfs/volumes/other/srv/mail.vmx", None),
        // The datastore is the source's own folder.
        ("/vmfs/volumes/ds/srv/srv.vmx", Some("srv")),
    ] {
        let estate = Estate::new();
        keep(&estate, "-flat.vmdk");
        host(&estate, &[("7", LISTED), ("8", second)]);
        let (_, record, _) = salvage(estate.path(), estate.out(), &[]);
        let srv = machine(&record, "srv");
        assert_eq!(codes(&srv["findings"]).contains(&"host.registered"), expected.is_some());
        assert_eq!(srv["config"]["file"], "srv.vmx", "{record:#}");
    }
}

#[test]
fn a_listed_machine_of_which_nothing_is_left_is_told() {
    let estate = Estate::new();
    let gone = "/vmfs/volumes/ds/Payroll & Co/Payroll.vmx";
    host(&estate, &[("7", "/vmfs/volumes/ds/srv/srv.vmx"), ("8", gone)]);
    let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!(code, 0, "{record:#}");
    assert_eq!(codes(&record["findings"]), ["host.machine-missing"]);
    let told = record["findings"][0]["what"].as_str().unwrap();
    assert!(told.contains(gone) && told.contains("no source has a file"), "{told}");
    // Asked for one machine, others are no matter.
    let (_, record, _) = salvage(estate.path(), estate.out(), &["--machine", "srv"]);
    assert_eq!(record["findings"], serde_json::json!([]));
}

#[test]
fn damaged_and_hostile_host_files_are_told_and_give_no_name() {
    let torn = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let cases: [(&str, Vec<u8>); 5] = [
        ("encrypted", (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
        ("torn", torn(inventory(&[("7", LISTED)]))),
        ("a path that leads elsewhere", inventory(&[("7", "../../etc/srv/Server One.vmx")])),
        ("no configuration", inventory(&[("7", "/vmfs/volumes/ds/srv/passwd")])),
        ("a control character", inventory(&[("7", "/vmfs/volumes/ds/srv/a\u{1b}[2Jb.vmx")])),
    ];
    for (how, bytes) in cases {
        let estate = Estate::new();
        keep(&estate, "-flat.vmdk");
        let etc = host(&estate, &[]);
        fs::write(etc.join("hostd/vmInventory.xml"), bytes).unwrap();
        fs::write(etc.join("esx.conf"), [0xa5_u8; 700]).unwrap();
        let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
        assert_eq!(code, 1, "{how}: {record:#}");
        assert!(codes(&record["findings"]).contains(&"host.file-damaged"), "{how}");
        let srv = machine(&record, "srv");
        assert!(!codes(&srv["findings"]).contains(&"host.registered"), "{how}");
        let made = keys(&fs::read(estate.out().join("srv/srv.vmx")).unwrap());
        assert_eq!(made["displayname"], "srv", "{how}");
        assert_eq!(made["ethernet0.networkname"], "VM Network", "{how}");
    }
}
