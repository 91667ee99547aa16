//! What is lost is had back from places nobody looks in, or named with what could be it.

use std::fs;

use serde_json::Value;

use crate::{
    differing, machine,
    make::{Estate, keys},
    salvage, vmx,
};

/// Leaves of the machine's small files only those of these names.
fn keep_only(estate: &Estate, kept: &[&str]) {
    for entry in fs::read_dir(estate.file("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !kept.contains(&name.as_str()) && !name.ends_with("-flat.vmdk") {
            fs::remove_file(path).unwrap();
        }
    }
}

fn confidences(estate: &Estate) -> Vec<String> {
    let text = fs::read(estate.out().join("srv/vmx.provenance.json")).unwrap();
    let record: Value = serde_json::from_slice(&text).unwrap();
    let lines = record["lines"].as_array().unwrap();
    lines.iter().map(|line| line["confidence"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_copy_left_under_the_name_of_a_lock_gives_every_line_back() {
    let estate = Estate::new();
    let own = fs::read(estate.file("srv.vmx")).unwrap();
    let truth = keys(&own);
    estate.put("srv.vmx.lck", &own);
    estate.encrypt("srv.vmx");
    fs::remove_file(estate.file("vmware.log")).unwrap();
    fs::remove_file(estate.file("srv-Snapshot1.vmsn")).unwrap();
    let (_, record, _) = salvage(estate.path(), estate.out(), &[]);
    let srv = machine(&record, "srv");
    let base = srv["config"]["base"].as_str().unwrap();
    assert!(base.ends_with("srv.vmx.lck"), "{srv:#}");
    assert_eq!(differing(&truth, &vmx(&estate.out())), Vec::<String>::new());

    // A lock of a host's holds an owner, not a configuration.
    let estate = Estate::new();
    estate.put("srv.vmx.lck", b"");
    let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!(code, 0, "{record:#}");
}

#[test]
fn a_checkpoint_without_its_table_gives_every_line_back() {
    for head in [12_usize, 92, 120] {
        let estate = Estate::new();
        let truth = keys(&fs::read(estate.file("srv.vmx")).unwrap());
        let (nvram, vmxf) = (
            fs::read(estate.file("srv.nvram")).unwrap(),
            fs::read(estate.file("srv.vmxf")).unwrap(),
        );
        // Ciphertext over its head, up to the first tag of its group and into it.
        let mut bytes = fs::read(estate.file("srv-Snapshot1.vmsn")).unwrap();
        let at = bytes.windows(9).position(|part| part == b"?\x07cfgFile").unwrap();
        assert!(at >= 92, "{at}");
        for (n, byte) in bytes[..head.min(at)].iter_mut().enumerate() {
            *byte = (n as u8).wrapping_mul(73).wrapping_add(41);
        }
        estate.put("srv-Snapshot1.vmsn", &bytes);
        keep_only(&estate, &["srv-Snapshot1.vmsn", "srv.vmdk"]);
        let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
        assert_eq!(code, 1, "{head}: {record:#}");
        let srv = machine(&record, "srv");
        assert_eq!(srv["config"]["base_kind"], "carved-checkpoint", "{head}: {srv:#}");
        assert_eq!(differing(&truth, &vmx(&estate.out())), Vec::<String>::new(), "{head}");
        let out = estate.out().join("srv");
        assert_eq!(fs::read(out.join("srv.nvram")).unwrap(), nvram, "{head}");
        assert_eq!(fs::read(out.join("srv.vmxf")).unwrap(), vmxf, "{head}");
        // Carved lines are never called the machine's own.
        assert!(confidences(&estate).iter().all(|word| word != "current"), "{head}");
    }
}

#[test]
fn what_could_be_a_missing_extent_stands_on_the_page_and_is_not_taken() {
    for name in ["[pay@x.y]srv-flat.vmdk", "a8f7e6c5b4"] {
        let estate = Estate::new();
        fs::rename(estate.file("srv-flat.vmdk"), estate.file(name)).unwrap();
        let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
        assert_eq!(code, 1, "{record:#}");
        let disk = &machine(&record, "srv")["disks"][0];
        assert_eq!(disk["carried"], "left", "{disk:#}");
        let candidates = disk["candidates"].as_array().unwrap();
        assert_eq!(candidates.len(), 1, "{disk:#}");
        assert_eq!(candidates[0]["wanted"], "srv-flat.vmdk");
        assert!(candidates[0]["path"].as_str().unwrap().ends_with(name), "{disk:#}");
        let page = fs::read_to_string(estate.out().join("srv/README.txt")).unwrap();
        assert!(page.contains("could be its missing srv-flat.vmdk: "), "{page}");
        assert!(page.contains(&format!("srv/{name}\n")), "{page}");
        // With the name put right in a copy, the machine is whole.
        let copy = estate.path().with_file_name("copy");
        fs::create_dir(&copy).unwrap();
        for entry in fs::read_dir(estate.file("")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        fs::rename(copy.join(name), copy.join("srv-flat.vmdk")).unwrap();
        let (code, record, _) = salvage(&copy, estate.path().with_file_name("again"), &[]);
        assert_eq!(code, 0, "{record:#}");
        assert_eq!(machine(&record, "srv")["disks"][0]["carried"], "copied");
    }
}

#[test]
fn the_disk_of_a_raw_device_mapping_is_left_and_its_lun_named() {
    let estate = Estate::new();
    let text = fs::read_to_string(estate.file("srv.vmdk")).unwrap();
    let text = text.replace("VMFS \"srv-flat.vmdk\"", "VMFSRDM \"srv-rdm.vmdk\"");
    let text = text.replace("\"vmfs\"", "\"vmfsRawDeviceMap\"");
    estate.put("srv.vmdk", text.as_bytes());
    fs::rename(estate.file("srv-flat.vmdk"), estate.file("srv-rdm.vmdk")).unwrap();
    let (code, record, _) = salvage(estate.path(), estate.out(), &[]);
    assert_eq!(code, 1, "{record:#}");
    let srv = machine(&record, "srv");
    assert_eq!((&srv["verdict"], &srv["route"]), (&"undetermined".into(), &"examine".into()));
    let disk = &srv["disks"][0];
    assert_eq!(disk["carried"], "left", "{disk:#}");
    let reason = disk["reason"].as_str().unwrap();
    assert!(reason.contains("raw device mapping") && reason.contains("srv-rdm.vmdk"), "{reason}");
    let page = fs::read_to_string(estate.out().join("srv/README.txt")).unwrap();
    assert!(page.contains("next: image the LUN"), "{page}");
    assert!(!estate.out().join("srv/srv-rdm.vmdk").exists());
    assert_eq!(vmx(&estate.out())["scsi0:0.present"], "FALSE");
}

#[test]
fn an_address_that_no_copy_tells_follows_from_the_uuid_and_says_so() {
    let estate = Estate::new();
    let mut machine = vmglean_forge::vm::text::Machine::server("srv");
    machine.disks = vec![("scsi0:0".into(), "srv.vmdk".into())];
    let mut pairs = machine.pairs();
    pairs.retain(|(key, _)| key != "ethernet0.generatedAddress");
    for (key, value) in &mut pairs {
        if key == "ethernet0.addressType" {
            "generated".clone_into(value);
        }
    }
    pairs.push(("ethernet0.generatedAddressOffset".into(), "10".into()));
    let text = vmglean_forge::vm::text::dictionary(Some("UTF-8"), &pairs);
    keep_only(&estate, &["srv.vmdk"]);
    estate.put("srv.vmx~", &text);
    let (_, record, _) = salvage(estate.path(), estate.out(), &[]);
    // uuid.bios ends with 67 89 ab; the card's offset is added.
    assert_eq!(vmx(&estate.out())["ethernet0.generatedaddress"], "00:0c:29:67:89:b5", "{record:#}");
    let provenance = fs::read(estate.out().join("srv/vmx.provenance.json")).unwrap();
    let provenance: Value = serde_json::from_slice(&provenance).unwrap();
    let lines = provenance["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["key"] == "ethernet0.generatedAddress").unwrap();
    assert_eq!(line["confidence"], "derived", "{line:#}");
    assert!(line["why"].as_str().unwrap().contains("uuid.bios"), "{line:#}");
    let page = fs::read_to_string(estate.out().join("srv/README.txt")).unwrap();
    assert!(page.contains("derived: ethernet0.generatedAddress"), "{page}");
}

#[test]
fn a_lost_descriptor_has_the_cid_that_the_log_tells() {
    use vmglean_forge::vm::log::{Form, Log};
    let estate = Estate::new();
    let mut log = Log::new(Form::Bracket);
    let machine = vmglean_forge::vm::text::Machine::server("srv");
    log.start().power_on("/vmfs/volumes/ds/srv/srv.vmx", &machine.pairs(), true).line(
        "DISKLIB-DDB   : \"longContentID\" = \"00112233445566778899aabbcafe4711\" (was \"0\")",
    );
    estate.put("vmware.log", &log.bytes());
    fs::remove_file(estate.file("srv.vmdk")).unwrap();
    let (_, record, _) = salvage(estate.path(), estate.out(), &[]);
    let text = fs::read_to_string(estate.out().join("srv/srv.vmdk")).unwrap();
    assert!(text.contains("CID=cafe4711\n"), "{text}");
    assert!(text.contains("ddb.longContentID = \"00112233445566778899aabbcafe4711\""), "{text}");
    let files = machine_files(&record);
    assert!(files["srv.vmdk"].contains("CID by the log"), "{record:#}");
}

fn machine_files(record: &Value) -> std::collections::BTreeMap<String, String> {
    let files = machine(record, "srv")["files"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    files.iter().map(|file| (text(&file["name"]), text(&file["why"]))).collect()
}
