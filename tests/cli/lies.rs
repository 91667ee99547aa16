//! Names and descriptors that do not say what is there: never taken at their word.

use std::{fs, path::Path};

use vmglean_forge::damage::{Cipher, KeyStream};

use crate::run::{Done, folder, machine, sample_machine, vmglean};

fn sweep(root: &Path) -> Done {
    vmglean(root, &["sweep", "--json", "--reproducible", "."])
}

fn replace(at: &Path, name: &str, old: &str, new: &str) {
    let text = fs::read_to_string(at.join(name)).unwrap();
    assert!(text.contains(old), "{name}: {old}");
    fs::write(at.join(name), text.replace(old, new)).unwrap();
}

fn rename(at: &Path, from: &str, to: &str) {
    fs::rename(at.join(from), at.join(to)).unwrap();
}

fn encrypt(at: &Path, name: &str) {
    let mut bytes = fs::read(at.join(name)).unwrap();
    KeyStream::new(79, Cipher::Stream).encrypt(&mut bytes, 0, 0);
    fs::write(at.join(name), bytes).unwrap();
}

/// What `act` makes of the sample machine `name`: the sweep's record.
fn after(name: &str, act: impl Fn(&Path)) -> (Done, serde_json::Value) {
    let root = folder();
    sample_machine(root.path(), name);
    act(&root.path().join(name));
    let done = sweep(root.path());
    let record = done.json();
    (done, record)
}

/// The machine is undetermined, for a finding of this code.
fn is_in_doubt(name: &str, code: &str, act: impl Fn(&Path)) {
    let (done, record) = after(name, act);
    let found = machine(&record, name);
    assert_eq!(found["verdict"], "undetermined", "{code}: {found:#}");
    assert_eq!(found["route"], "examine", "{code}: {found:#}");
    let findings = found["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["code"] == code), "{code}: {found:#}");
    assert_eq!(done.code, Some(1), "{code}");
}

#[test]
fn a_copy_by_its_name_is_not_taken_for_the_disk() {
    for copy in ["old", "bak", "tmp", "1"] {
        is_in_doubt("hr01", "chain.copy-taken", |at| {
            rename(at, "hr01-flat.vmdk", &format!("hr01-flat.vmdk.{copy}"));
        });
    }
    // The disk itself lies there under a name of the attacker's, a stale copy beside it.
    is_in_doubt("hr01", "chain.copy-taken", |at| {
        fs::copy(at.join("hr01-flat.vmdk"), at.join("hr01-flat.vmdk.old")).unwrap();
        rename(at, "hr01-flat.vmdk", "q7x.bin");
    });
    is_in_doubt("hr01", "chain.copy-taken", |at| rename(at, "hr01.vmdk", "hr01.vmdk.bak"));
    // Something that a family appends goes before a copy.
    let (_, record) = after("hr01", |at| {
        fs::copy(at.join("hr01-flat.vmdk"), at.join("hr01-flat.vmdk.bak")).unwrap();
        rename(at, "hr01-flat.vmdk", "hr01-flat.vmdk.akira");
    });
    assert_eq!(machine(&record, "hr01")["route"], "rebuild-config", "{record:#}");
}

#[test]
fn a_machine_turned_back_to_a_disk_that_a_snapshot_froze_is_not_to_be_started() {
    let back = |at: &Path| replace(at, "hr01.vmx", "hr01-000001.vmdk", "hr01.vmdk");
    is_in_doubt("hr01", "snapshot.frozen-disk", back);
    // Without the list, the delta that stands on it tells.
    is_in_doubt("hr01", "snapshot.frozen-disk", |at| {
        back(at);
        fs::remove_file(at.join("hr01.vmsd")).unwrap();
    });
    let root = folder();
    sample_machine(root.path(), "hr01");
    let chain = vmglean(root.path(), &["chain", "hr01/hr01.vmdk"]).text();
    assert!(!chain.contains("the running disk, "), "{chain}");
    assert!(chain.contains("snapshot \"before patch day\", link 0"), "{chain}");
    let chain = vmglean(root.path(), &["chain", "hr01/hr01-000001.vmdk"]).text();
    assert!(chain.contains("the running disk, "), "{chain}");
}

#[test]
fn a_delta_that_denies_its_parent_is_not_untouched() {
    is_in_doubt("hr01", "chain.delta-without-parent", |at| {
        replace(at, "hr01-000001.vmdk", "parentCID=6b200c00", "parentCID=ffffffff");
    });
}

const LINE: &str = "RW 2048 VMFS \"hr01-flat.vmdk\"";

#[test]
fn extent_lines_are_held_against_the_file() {
    let with = |lines: &str| {
        let lines = lines.replace("VMFS", "VMFS \"hr01-flat.vmdk\"");
        move |at: &Path| replace(at, "hr01.vmdk", LINE, &lines)
    };
    is_in_doubt("hr01", "chain.extent-long", with("RW 1024 VMFS\nRW 1024 ZERO"));
    is_in_doubt("hr01", "chain.extent-access", with("NOACCESS 2048 VMFS"));
    is_in_doubt("hr01", "chain.extent-access", with("RDONLY 2048 VMFS"));
    is_in_doubt("hr01", "chain.extent-overlap", with("RW 1024 VMFS 0\nRW 1024 VMFS 0"));
    is_in_doubt("hr01", "chain.extent-overlap", with("RW 1024 VMFS 0\nRW 1024 VMFS 1000"));
    let (_, record) = after("hr01", with("RW 2048 VMFS 1024"));
    assert_eq!(machine(&record, "hr01")["verdict"], "incomplete", "{record:#}");
    let (done, record) = after("hr01", with("RW 1024 VMFS 0\nRW 1024 VMFS 1024"));
    assert_eq!(machine(&record, "hr01")["verdict"], "untouched", "{record:#}");
    assert_eq!(done.code, Some(0));
    // Half the disk is never the disk.
    let root = folder();
    sample_machine(root.path(), "hr01");
    let at = root.path().join("hr01");
    for lines in ["RW 1024 VMFS\nRW 1024 ZERO", "NOACCESS 2048 VMFS", "RW 1024 VMFS"] {
        let whole = fs::read(at.join("hr01.vmdk")).unwrap();
        with(lines)(&at);
        let done = vmglean(root.path(), &["consolidate", "hr01/hr01.vmdk", "--null"]);
        assert_eq!(done.code, Some(1), "{lines}: {}", done.err);
        fs::write(at.join("hr01.vmdk"), whole).unwrap();
    }
}

#[test]
fn one_encrypted_extent_of_three_leaves_two_to_salvage() {
    let extent = |number: u32| format!("Grafik 2-s{number:03}.vmdk");
    for number in 1..=3 {
        let (_, record) = after("Grafik 2", |at| encrypt(at, &extent(number)));
        let found = machine(&record, "Grafik 2");
        assert_eq!(found["verdict"], "partly-encrypted", "{number}: {found:#}");
        assert_eq!(found["route"], "salvage-disk", "{number}: {found:#}");
        assert_eq!(found["disks"][0]["verdict"], "partly-encrypted", "{number}: {found:#}");
        assert!(found["reason"].as_str().unwrap().starts_with("1 of its 3 extents"), "{found:#}");
    }
    let (_, record) = after("Grafik 2", |at| (1..=3).for_each(|n| encrypt(at, &extent(n))));
    assert_eq!(machine(&record, "Grafik 2")["verdict"], "encrypted", "{record:#}");
}

#[test]
fn a_copy_of_the_configuration_is_where_it_is_had_back_from_and_no_second_machine() {
    let copy = |at: &Path| fs::copy(at.join("hr01.vmx"), at.join("hr01.vmx.bak")).unwrap();
    let (done, record) = after("hr01", |at| {
        copy(at);
    });
    assert_eq!(machine(&record, "hr01")["verdict"], "untouched", "{record:#}");
    assert_eq!(done.code, Some(0));
    for what in ["encrypted", "gone"] {
        let root = folder();
        sample_machine(root.path(), "hr01");
        let at = root.path().join("hr01");
        copy(&at);
        if what == "gone" {
            fs::remove_file(at.join("hr01.vmx")).unwrap();
        } else {
            encrypt(&at, "hr01.vmx");
        }
        let record = sweep(root.path()).json();
        let found = machine(&record, "hr01");
        assert_eq!(found["verdict"], "config-lost", "{what}: {found:#}");
        assert!(found["config"]["source"].as_str().unwrap().ends_with(".vmx.bak"), "{found:#}");
        assert_eq!(record["machines"].as_array().unwrap().len(), 1, "{record:#}");
        let done = vmglean(root.path(), &["salvage", "hr01", "--out", "out"]);
        assert!(done.code <= Some(1), "{what}: {}", done.err);
        let made = fs::read_dir(root.path().join("out")).unwrap().flatten();
        let vmx = made.map(|e| e.path().join("hr01.vmx")).find(|path| path.is_file());
        let text = fs::read_to_string(vmx.unwrap()).unwrap();
        assert!(text.contains("hr01-000001.vmdk") || text.contains("hr01"), "{text}");
    }
}

#[test]
fn a_disk_changed_with_its_old_time_put_back_is_judged_anew() {
    let root = folder();
    sample_machine(root.path(), "web01");
    let args = ["sweep", "--json", "--reproducible", "--state", "state", "web01"];
    let first = vmglean(root.path(), &args).json();
    assert_eq!(machine(&first, "web01")["verdict"], "untouched", "{first:#}");
    let at = root.path().join("web01");
    let disk = at.join("web01-flat.vmdk");
    let time = fs::metadata(&disk).unwrap().modified().unwrap();
    encrypt(&at, "web01-flat.vmdk");
    fs::File::options().write(true).open(&disk).unwrap().set_modified(time).unwrap();
    let second = vmglean(root.path(), &args).json();
    assert_ne!(machine(&second, "web01")["verdict"], "untouched", "{second:#}");
}

#[test]
fn a_disk_under_a_name_that_tells_nothing_is_offered_and_no_reason_to_restore_a_backup() {
    for name in ["[pay@x.y]web01-flat.vmdk", "a8f7e6c5b4"] {
        let (done, record) = after("web01", |at| rename(at, "web01-flat.vmdk", name));
        let found = machine(&record, "web01");
        assert_eq!(found["verdict"], "incomplete", "{name}: {found:#}");
        assert_eq!(found["route"], "examine", "{name}: {found:#}");
        let findings = found["findings"].as_array().unwrap();
        let like = findings.iter().find(|f| f["code"] == "chain.extent-lookalike");
        let next = like.unwrap()["next"].as_str().unwrap();
        assert!(next.contains("web01-flat.vmdk"), "{next}");
        let orphan = &record["orphans"][0];
        assert!(orphan["path"].as_str().unwrap().ends_with(name), "{record:#}");
        let why = orphan["candidates"][0]["why"].as_str().unwrap();
        assert!(why.contains("misses extent"), "{why}");
        assert_eq!(done.code, Some(1));
    }
}

#[test]
fn a_pointer_to_a_lun_is_told_as_one_and_never_taken_for_the_disk() {
    for (word, pointer) in
        [("vmfsRawDeviceMap", "web01-rdm.vmdk"), ("vmfsPassthroughRawDeviceMap", "web01-rdmp.vmdk")]
    {
        // As long as the LUN, and whatever lies inside is not the disk's.
        let (_, record) = after("web01", |at| {
            rename(at, "web01-flat.vmdk", pointer);
            replace(
                at,
                "web01.vmdk",
                "VMFS \"web01-flat.vmdk\"",
                &format!("VMFSRDM \"{pointer}\""),
            );
            replace(at, "web01.vmdk", "\"vmfs\"", &format!("\"{word}\""));
        });
        let found = machine(&record, "web01");
        assert_eq!(found["verdict"], "undetermined", "{word}: {found:#}");
        assert_eq!(found["route"], "examine", "{word}: {found:#}");
        let disk = &found["disks"][0];
        assert_eq!(disk["method"], "none", "its pointer was measured: {disk:#}");
        let reason = disk["reason"].as_str().unwrap();
        assert!(reason.contains("raw device mapping") && reason.contains(pointer), "{reason}");
        let findings = found["findings"].as_array().unwrap();
        let told = findings.iter().find(|f| f["code"] == "chain.raw-device").unwrap();
        assert!(told["next"].as_str().unwrap().contains("image the LUN"), "{told:#}");
        assert_eq!(record["orphans"], serde_json::json!([]), "{record:#}");

        // Its descriptor lost, the pointer alone still says what it was.
        let (_, record) = after("web01", |at| {
            rename(at, "web01-flat.vmdk", pointer);
            fs::remove_file(at.join("web01.vmdk")).unwrap();
        });
        let found = machine(&record, "web01");
        assert_eq!(found["route"], "examine", "{word}: {found:#}");
        let reason = found["disks"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("raw device mapping"), "{word}: {reason}");
    }
}

#[test]
fn of_very_many_files_that_could_be_an_extent_some_are_offered_and_the_cut_is_told() {
    let (_, record) = after("web01", |at| {
        rename(at, "web01-flat.vmdk", "0web01-flat.vmdk");
        for n in 1..200 {
            fs::hard_link(at.join("0web01-flat.vmdk"), at.join(format!("{n}web01-flat.vmdk")))
                .unwrap();
        }
    });
    let found = machine(&record, "web01");
    let codes = crate::run::codes(found);
    let offered = codes.iter().filter(|code| *code == "chain.extent-lookalike").count();
    assert_eq!(offered, 64);
    let findings = found["findings"].as_array().unwrap();
    let cut = findings.iter().find(|f| f["code"] == "chain.extent-lookalikes-cut").unwrap();
    assert_eq!(cut["weight"], "note", "{cut:#}");
    assert_eq!(found["verdict"], "incomplete");
}
