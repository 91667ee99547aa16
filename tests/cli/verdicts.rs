//! A healthy machine with one thing done to it: what it is called, and the way back.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use vmglean_forge::{
    damage::{Cipher, KeyStream},
    vm::checkpoint,
};

use crate::run::{Done, folder, machine, sample_machine, unprivileged, vmglean};

/// What is done to the folder of `hr01`: base, one seSparse delta, its snapshot, all small files.
struct Case {
    name: &'static str,
    act: fn(&Path),
    verdict: &'static str,
    route: &'static str,
    says: &'static str,
}

const fn case(
    name: &'static str,
    act: fn(&Path),
    [verdict, route]: [&'static str; 2],
    says: &'static str,
) -> Case {
    Case { name, act, verdict, route, says }
}

const LOST: [&str; 2] = ["config-lost", "rebuild-config"];
const REMADE: [&str; 2] = ["config-lost", "redeploy"];
const WHOLE: [&str; 2] = ["untouched", "redeploy"];
const GAP: [&str; 2] = ["incomplete", "examine"];
const BACK: [&str; 2] = ["incomplete", "rollback-snapshot"];
const OPEN: [&str; 2] = ["undetermined", "examine"];
const BESIDE: [&str; 2] = ["incomplete", "redeploy"];

const CASES: [Case; 49] = [
    case("nothing", |_| {}, WHOLE, "no sign of damage"),
    case("cd image missing", |at| add(at, CD), WHOLE, "no sign of damage"),
    case("locks and a backup of the configuration", locks, WHOLE, "no sign of damage"),
    case("suspended", suspend, WHOLE, "no sign of damage"),
    case("empty snapshot list", |at| write(at, "hr01.vmsd", b""), WHOLE, "no sign of damage"),
    case("another snapshot branch, whole", branch, WHOLE, "no sign of damage"),
    case("three links, whole", third_link, WHOLE, "no sign of damage"),
    case("configuration encrypted", |at| encrypt(at, "hr01.vmx"), LOST, "hr01.vmx is encrypted"),
    case("configuration gone", |at| remove(at, "hr01.vmx"), LOST, "its .vmx is gone"),
    case("configuration empty", |at| write(at, "hr01.vmx", b""), LOST, "hr01.vmx is empty"),
    case("configuration torn", |at| tear(at, "hr01.vmx"), LOST, "hr01.vmx"),
    case("nvram encrypted", |at| encrypt(at, "hr01.nvram"), REMADE, "hr01.nvram is encrypted"),
    case("nvram empty", |at| write(at, "hr01.nvram", b""), REMADE, "hr01.nvram is empty"),
    case("nvram torn", |at| tear(at, "hr01.nvram"), REMADE, "hr01.nvram is damaged"),
    case("vmxf encrypted", |at| encrypt(at, "hr01.vmxf"), REMADE, "hr01.vmxf is encrypted"),
    case("log encrypted", |at| encrypt(at, "vmware.log"), REMADE, "vmware.log is encrypted"),
    case("snapshot list encrypted", |at| encrypt(at, "hr01.vmsd"), LOST, "hr01.vmsd is encrypted"),
    case("snapshot state encrypted", |at| encrypt(at, STATE), LOST, "is encrypted"),
    case("snapshot state gone", |at| remove(at, STATE), LOST, "of snapshot \"before patch day\""),
    case("snapshot state cut", |at| cut(at, STATE, 9000), LOST, "is damaged"),
    case("suspended, state gone", suspended_state_gone, LOST, "suspended state"),
    case("suspended, state encrypted", suspended_state_encrypted, LOST, "hr01-5.vmss is encrypted"),
    case(
        "suspended, memory encrypted",
        suspended_memory_encrypted,
        LOST,
        "vmem.akira is encrypted",
    ),
    case("base's descriptor gone", |at| remove(at, "hr01.vmdk"), GAP, "hr01.vmdk"),
    case("base's descriptor encrypted", |at| encrypt(at, "hr01.vmdk"), LOST, "hr01.vmdk"),
    case("base's descriptor torn", |at| tear(at, "hr01.vmdk"), LOST, "hr01.vmdk is damaged"),
    case("leaf's descriptor encrypted", |at| encrypt(at, LEAF), OPEN, "its descriptor is lost"),
    case("leaf gone, extent there", |at| remove(at, LEAF), OPEN, "its descriptor is lost"),
    case("leaf lost", leaf_lost, GAP, "snapshot disk hr01.vmdk shows no damage"),
    case("leaf encrypted", |at| encrypt(at, EXTENT), ["partly-encrypted", "rollback-snapshot"], ""),
    case("leaf's extent gone", |at| remove(at, EXTENT), BACK, "is not there"),
    case("leaf's extent empty", |at| write(at, EXTENT, b""), BACK, "is empty"),
    case("leaf's extent cut", |at| cut(at, EXTENT, 5_300_000), OPEN, "cannot be reached"),
    case("leaf's directory wiped", |at| wipe(at, EXTENT, 2, 3), OPEN, "cannot be reached"),
    case("leaf's tables and maps wiped", |at| wipe(at, EXTENT, 2, 6), OPEN, "cannot be reached"),
    case("leaf's grains wiped", |at| wipe_from(at, EXTENT, 6 << 20), OPEN, "are zeros"),
    case("middle link lost", middle_lost, GAP, "is not there"),
    case("middle extent lost", middle_extent_lost, BACK, "is not there"),
    case("middle encrypted", middle_encrypted, ["partly-encrypted", "rollback-snapshot"], ""),
    case("base gone", base_gone, ["incomplete", "examine"], "is not there"),
    case("base cut", |at| cut(at, "hr01-flat.vmdk", 524_288), GAP, "524288"),
    case("base wiped", |at| write(at, "hr01-flat.vmdk", &[0; 1 << 20]), OPEN, "zeros"),
    case("bytes behind the base", |at| append(at, "hr01-flat.vmdk", &[b'x'; 38]), OPEN, "38 bytes"),
    case("parent written later", parent_written, OPEN, "CID"),
    case("other branch encrypted", branch_encrypted, BESIDE, "snapshot disk hr01-000002.vmdk"),
    case("other branch gone", branch_gone, BESIDE, "\"hr01-000002.vmdk\""),
    case("disk lines lost", disk_lines_lost, OPEN, "names no disk"),
    case("disk without name", |at| add(at, NAMELESS), GAP, "names no disk"),
    case("all names with a suffix", suffix_all, ["untouched", "rebuild-config"], "foreign suffix"),
];

const STATE: &str = "hr01-Snapshot1.vmsn";
const LEAF: &str = "hr01-000001.vmdk";
const EXTENT: &str = "hr01-000001-sesparse.vmdk";
const CD: &str = "ide1:0.present = \"TRUE\"\nide1:0.deviceType = \"cdrom-image\"\n\
                  ide1:0.fileName = \"/vmfs/volumes/gone/setup.iso\"\n";
const NAMELESS: &str = "scsi0:1.present = \"TRUE\"\nscsi0:1.deviceType = \"scsi-hardDisk\"\n";

fn read(at: &Path, name: &str) -> Vec<u8> {
    fs::read(at.join(name)).unwrap()
}

fn write(at: &Path, name: &str, bytes: &[u8]) {
    fs::write(at.join(name), bytes).unwrap();
}

fn remove(at: &Path, name: &str) {
    fs::remove_file(at.join(name)).unwrap();
}

fn append(at: &Path, name: &str, bytes: &[u8]) {
    let mut file = File::options().append(true).open(at.join(name)).unwrap();
    file.write_all(bytes).unwrap();
}

fn add(at: &Path, lines: &str) {
    append(at, "hr01.vmx", lines.as_bytes());
}

fn cut(at: &Path, name: &str, length: u64) {
    File::options().write(true).open(at.join(name)).unwrap().set_len(length).unwrap();
}

/// Zeros from one MiB to another.
fn wipe(at: &Path, name: &str, from: usize, to: usize) {
    let mut bytes = read(at, name);
    bytes[from << 20..to << 20].fill(0);
    write(at, name, &bytes);
}

fn wipe_from(at: &Path, name: &str, from: usize) {
    let mut bytes = read(at, name);
    bytes[from..].fill(0);
    write(at, name, &bytes);
}

fn encrypt(at: &Path, name: &str) {
    let mut bytes = read(at, name);
    KeyStream::new(77, Cipher::Stream).encrypt(&mut bytes, 0, 0);
    write(at, name, &bytes);
}

/// Ciphertext from the middle on.
fn tear(at: &Path, name: &str) {
    let mut bytes = read(at, name);
    let half = bytes.len() / 2;
    KeyStream::new(78, Cipher::Stream).encrypt(&mut bytes[half..], half as u64, 0);
    write(at, name, &bytes);
}

fn replace(at: &Path, name: &str, pairs: &[(&str, &str)]) {
    let mut text = String::from_utf8(read(at, name)).unwrap();
    for (old, new) in pairs {
        assert!(text.contains(old), "{name}: {old}");
        text = text.replace(old, new);
    }
    write(at, name, text.as_bytes());
}

fn locks(at: &Path) {
    write(at, ".lck-1a2b3c4d", b"");
    write(at, "hr01.vmx.lck", b"");
    write(at, "hr01.vmx~", &read(at, "hr01.vmx"));
}

fn suspend(at: &Path) {
    add(at, "checkpoint.vmState = \"hr01-5.vmss\"\n");
    let spare = [read(at, "hr01.vmx"), read(at, "hr01.nvram"), read(at, "hr01.vmxf")];
    let state = checkpoint::suspended(0xBED2_BED2, [&spare[0], &spare[1], &spare[2]], 64, false);
    write(at, "hr01-5.vmss", &state);
    write(at, "hr01-5.vmem", &b"guest memory, page after page.\n".repeat(40_000)[..1 << 20]);
}

fn suspended_state_gone(at: &Path) {
    suspend(at);
    remove(at, "hr01-5.vmss");
}

fn suspended_state_encrypted(at: &Path) {
    suspend(at);
    encrypt(at, "hr01-5.vmss");
}

fn suspended_memory_encrypted(at: &Path) {
    suspend(at);
    encrypt(at, "hr01-5.vmem");
    fs::rename(at.join("hr01-5.vmem"), at.join("hr01-5.vmem.akira")).unwrap();
}

fn leaf_lost(at: &Path) {
    remove(at, LEAF);
    remove(at, EXTENT);
}

/// A second delta like the first, standing on `parent`.
fn delta(at: &Path, parent: &str, parent_cid: &str) {
    write(at, "hr01-000002-sesparse.vmdk", &read(at, EXTENT));
    write(at, "hr01-000002.vmdk", &read(at, LEAF));
    let names = [
        ("hr01-000001-sesparse", "hr01-000002-sesparse"),
        ("parentFileNameHint=\"hr01.vmdk\"", &format!("parentFileNameHint=\"{parent}\"")),
        ("\nCID=6b200c01", "\nCID=6b200c02"),
        ("parentCID=6b200c00", &format!("parentCID={parent_cid}")),
    ];
    replace(at, "hr01-000002.vmdk", &names);
}

fn third_link(at: &Path) {
    delta(at, LEAF, "6b200c01");
    replace(at, "hr01.vmx", &[("hr01-000001.vmdk", "hr01-000002.vmdk")]);
}

fn middle_lost(at: &Path) {
    third_link(at);
    leaf_lost(at);
}

fn middle_extent_lost(at: &Path) {
    third_link(at);
    remove(at, EXTENT);
}

fn middle_encrypted(at: &Path) {
    third_link(at);
    encrypt(at, EXTENT);
}

fn base_gone(at: &Path) {
    remove(at, "hr01.vmdk");
    remove(at, "hr01-flat.vmdk");
}

fn parent_written(at: &Path) {
    replace(at, "hr01.vmdk", &[("\nCID=6b200c00", "\nCID=0badc0de")]);
}

/// A snapshot that the current state does not stand on.
fn branch(at: &Path) {
    delta(at, "hr01.vmdk", "6b200c00");
    write(at, "hr01-Snapshot2.vmsn", &read(at, STATE));
    let lines = "snapshot1.uid = \"2\"\nsnapshot1.parent = \"1\"\n\
                 snapshot1.filename = \"hr01-Snapshot2.vmsn\"\nsnapshot1.displayName = \"other way\"\nsnapshot1.type = \"0\"\n\
                 snapshot1.createTimeHigh = \"391920\"\nsnapshot1.createTimeLow = \"5\"\n\
                 snapshot1.numDisks = \"1\"\nsnapshot1.disk0.fileName = \"hr01-000002.vmdk\"\n\
                 snapshot1.disk0.node = \"scsi0:0\"\nsnapshot.numSnapshots = \"2\"\n";
    replace(
        at,
        "hr01.vmsd",
        &[("snapshot.numSnapshots = \"1\"\n", lines), ("lastUID = \"1\"", "lastUID = \"2\"")],
    );
}

fn branch_encrypted(at: &Path) {
    branch(at);
    encrypt(at, "hr01-000002-sesparse.vmdk");
}

fn branch_gone(at: &Path) {
    branch(at);
    remove(at, "hr01-000002.vmdk");
    remove(at, "hr01-000002-sesparse.vmdk");
}

/// The configuration ends at a line's end before its disks.
fn disk_lines_lost(at: &Path) {
    let text = String::from_utf8(read(at, "hr01.vmx")).unwrap();
    let end = text.find("scsi0:0.present").unwrap();
    write(at, "hr01.vmx", &text.as_bytes()[..end]);
}

fn suffix_all(at: &Path) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        fs::rename(&path, at.join(format!("{name}.akira"))).unwrap();
    }
}

fn sweep(root: &Path) -> Done {
    vmglean(root, &["sweep", "--json", "--reproducible", "hr01"])
}

#[test]
fn each_loss_has_its_verdict_its_way_back_and_its_reason() {
    let mut wrong = Vec::new();
    for case in CASES {
        let root = folder();
        sample_machine(root.path(), "hr01");
        (case.act)(&root.path().join("hr01"));
        let done = sweep(root.path());
        let record = done.json();
        let found = machine(&record, "hr01");
        let words = |key: &str| found[key].as_str().unwrap().to_owned();
        let (verdict, route, reason) = (words("verdict"), words("route"), words("reason"));
        let code = i32::from(case.verdict != "untouched" || case.route != "redeploy");
        let fits = verdict == case.verdict
            && route == case.route
            && reason.contains(case.says)
            && done.code == Some(code);
        if !fits {
            wrong.push(format!("{}: {verdict}, {route}, {reason:?}, {:?}", case.name, done.code));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_cannot_be_read_leaves_the_machine_undetermined_and_ends_with_3() {
    for name in
        ["hr01-flat.vmdk", "hr01.nvram", "hr01.vmsd", "hr01.vmdk", LEAF, EXTENT, STATE, "hr01.vmx"]
    {
        let root = folder();
        sample_machine(root.path(), "hr01");
        let path = root.path().join("hr01").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        let done = unprivileged(root.path(), &["sweep", "--json", "hr01"]);
        assert_eq!(done.code, Some(3), "{name}: {}", done.err);
        let record = done.json();
        let found = machine(&record, "hr01");
        assert_ne!(found["verdict"], "untouched", "{name}: {found:#}");
        assert_eq!(found["route"], "examine", "{name}: {}", found["reason"]);
    }
}

#[test]
fn one_encrypted_disk_of_two_makes_the_machine_partly_encrypted() {
    let root = folder();
    sample_machine(root.path(), "hr01");
    sample_machine(root.path(), "web01");
    let at = root.path().join("hr01");
    for name in ["web01.vmdk", "web01-flat.vmdk"] {
        fs::copy(root.path().join("web01").join(name), at.join(name)).unwrap();
    }
    add(&at, &format!("{NAMELESS}scsi0:1.fileName = \"web01.vmdk\"\n"));
    let done = sweep(root.path());
    assert_eq!(done.code, Some(0), "{}", done.text());
    encrypt(&at, "web01-flat.vmdk");
    fs::rename(at.join("web01-flat.vmdk"), at.join("web01-flat.vmdk.akira")).unwrap();
    let record = sweep(root.path()).json();
    let found = machine(&record, "hr01");
    assert_eq!(found["verdict"], "partly-encrypted", "{found:#}");
    assert_eq!(found["route"], "salvage-disk", "{found:#}");
}
