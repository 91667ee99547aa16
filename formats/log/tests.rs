//! vmware.log: prefixes, configuration, disks, endings, damage.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests count small numbers"
)]

use std::{fmt::Write as _, io};

use proptest::prelude::*;
use vmglean_forge::{
    corpus,
    vm::{
        hurt::every_hurt,
        log::{FORMS, Form, Log},
        sealed::SECRET,
        text::Machine,
    },
};

use super::*;
use crate::{Fields, MediumError, dict::Dictionary, vmx::Vmx};

fn texts(checked: &Checked<VmwareLog>) -> Vec<String> {
    checked.defects.iter().map(ToString::to_string).collect()
}

fn full(form: Form, quoted: bool) -> Log {
    let mut log = Log::new(form);
    log.start().power_on("/vmfs/volumes/ds/srv/srv.vmx", &Machine::server("srv").pairs(), quoted);
    log
}

#[test]
fn every_prefix_gives_the_whole_configuration() {
    let machine = Machine::server("srv");
    for form in FORMS {
        let log = full(form, form != Form::Old && form != Form::Seconds);
        let found = VmwareLog::parse(&log.bytes());
        assert_eq!(texts(&found), Vec::<String>::new(), "{form:?}");
        let log = found.value;
        assert_eq!((log.unprefixed_lines, log.power_ons), (0, 1), "{form:?}");
        assert_eq!(log.product.as_deref(), Some("VMware ESX"));
        assert_eq!(
            (log.version.as_deref(), log.build.as_deref()),
            (Some("7.0.3"), Some("19193900"))
        );
        assert_eq!(log.host_name.as_deref(), Some("esx01.example.net"));
        let config = log.config.unwrap();
        assert_eq!(config.path.as_deref(), Some("/vmfs/volumes/ds/srv/srv.vmx"));
        assert_eq!(config.values.len(), machine.pairs().len());
        for (key, value) in machine.pairs() {
            assert_eq!(config.value(&key), Some(value.as_str()), "{form:?} {key}");
        }
        let rebuilt = Vmx::parse(config.to_vmx_text().as_bytes());
        assert_eq!(rebuilt.defects, []);
        assert_eq!(rebuilt.value.display_name.as_deref(), Some("srv"));
    }
}

#[test]
fn later_changes_are_replayed_in_order() {
    let mut log = full(Form::Level, true);
    log.line("ConfigDB: Setting memsize = \"8192\"")
        .line("ConfigDB: Setting usb:0.present = \"TRUE\"")
        .line("ConfigDB: Setting usb:0.port = \"0\"")
        .line("ConfigDB: Setting usb:01.port = \"0\"")
        .line("ConfigDB: Unsetting all entries with prefix \"usb:0.\"")
        .line("ConfigDB: Unsetting \"annotation\"")
        .line("ConfigDB: Setting guestInfo.detailed.data = <not printed>");
    let found = VmwareLog::parse(&log.bytes());
    assert_eq!(texts(&found), Vec::<String>::new());
    let config = found.value.config.unwrap();
    assert_eq!(config.value("MemSize"), Some("8192"));
    assert_eq!(config.values.get("guestinfo.detailed.data").unwrap().value, None);
    assert_eq!(config.value("usb:01.port"), Some("0"));
    for gone in ["usb:0.present", "usb:0.port", "annotation"] {
        assert!(!config.values.contains_key(gone), "{gone}");
    }
    assert_eq!(config.changes, 7);
    assert!(!config.to_vmx_text().contains("detailed"));
}

#[test]
fn only_the_latest_power_on_counts() {
    let mut log = full(Form::Esxi8, true);
    let mut second = Machine::server("srv");
    second.memory_mib = 16_384;
    log.power_on("/vmfs/volumes/ds/srv/srv.vmx", &second.pairs(), true);
    let found = VmwareLog::parse(&log.bytes()).value;
    assert_eq!(found.power_ons, 2);
    assert_eq!(found.config.as_ref().unwrap().value("memsize"), Some("16384"));
    assert_eq!(found.previous_config, None);
    // Cut inside the second section: the first stays at hand.
    let bytes = log.bytes();
    let cut = bytes.len() * 3 / 4;
    let found = VmwareLog::parse(&bytes[..cut].to_vec());
    assert!(!found.value.config.as_ref().unwrap().complete);
    assert_eq!(found.value.previous_config.as_ref().unwrap().value("memsize"), Some("4096"));
    assert_eq!(found.value.end, LogEnd::CutMidLine);
    let last = texts(&found).pop().unwrap();
    assert!(last.ends_with("the end of the latest CONFIGURATION section is missing"), "{last}");
}

#[test]
fn the_disk_library_tells_the_chain() {
    let mut log = full(Form::OperationId, true);
    log.open_chain(
        "scsi0:0",
        &[
            ("/vmfs/volumes/ds/srv/srv-000001.vmdk", "srv-000001-delta.vmdk", 16_777_728),
            ("/vmfs/volumes/ds/srv/srv.vmdk", "srv-flat.vmdk", 17_179_869_184),
        ],
        33_554_432,
    );
    let found = VmwareLog::parse(&log.bytes());
    assert_eq!(texts(&found), Vec::<String>::new());
    let log = found.value;
    assert_eq!(log.chains.len(), 1);
    let links = &log.chains[0].links;
    assert_eq!(links.len(), 2);
    assert_eq!(links[1].path, "/vmfs/volumes/ds/srv/srv.vmdk");
    assert_eq!(links[1].create_type, "vmfs");
    assert_eq!(links[0].extents[0].length_bytes, Some(Bytes(16_777_728)));
    assert_eq!((links[0].extents[0].kind, links[1].extents[0].kind), (Some(8), Some(3)));
    let device = &log.devices[0];
    assert_eq!(device.capacity_sectors.unwrap().0, 33_554_432);
    assert_eq!(device.path.as_deref(), Some("/vmfs/volumes/ds/srv/srv-000001.vmdk"));
    let geometry = Geometry { cylinders: 1044, heads: 255, sectors: 63 };
    assert_eq!(log.disks[0].geometry, Some(geometry));
    let uuid = "60 00 c2 9a 00 11 22 33-44 55 66 77 88 99 aa bb";
    assert_eq!(log.disks[0].uuid.as_deref(), Some(uuid));
    let cid = &log.cid_changes[0];
    assert_eq!((cid.new.as_str(), cid.old.as_deref()), ("aabbccdd", Some("11223344")));
}

#[test]
fn each_ending_is_told() {
    for (lines, end) in [
        (
            &["Transitioned vmx/execState/val to poweredOff", "VMX exit (0)."][..],
            LogEnd::CleanExit { code: 0 },
        ),
        (&["VMX has left the building: 0."], LogEnd::CleanExit { code: 0 }),
        (&["Transitioned vmx/execState/val to suspended", "VMX exit (0)."], LogEnd::Suspended),
        (&["Transitioned vmx/execState/val to poweredOff"], LogEnd::PoweredOff),
        (&["Tools: heartbeat"], LogEnd::Open),
    ] {
        let mut log = full(Form::Level, true);
        for line in lines {
            log.line(line);
        }
        assert_eq!(VmwareLog::parse(&log.bytes()).value.end, end, "{lines:?}");
    }
    let mut log = full(Form::Bracket, true);
    log.line("PANIC: Unexpected signal: 11.");
    let end = VmwareLog::parse(&log.bytes()).value.end;
    assert!(matches!(end, LogEnd::Crashed { message, .. } if message.starts_with("PANIC")));
    assert_eq!(VmwareLog::parse(&Vec::new()).value.end, LogEnd::Empty);
}

#[test]
fn times_are_utc() {
    let log = full(Form::Level, true);
    let found = VmwareLog::parse(&log.bytes()).value;
    let first = found.first_time.unwrap();
    assert_eq!(first.text, "2023-05-06T10:00:00.250+05:30");
    assert_eq!(first.unix_ms, Some(1_683_347_400_250));
    let old = VmwareLog::parse(&full(Form::Old, false).bytes()).value;
    assert_eq!(old.first_time.unwrap().unix_ms, None);
    assert!(old.last_time.unwrap().text.starts_with("Apr 18 10:00:"));
}

#[test]
fn a_cut_value_is_not_believed() {
    let mut log = Log::new(Form::Old);
    log.start().line("DICT --- CONFIGURATION").line("DICT   memsize = 4096");
    let bytes = log.bytes();
    let found = VmwareLog::parse(&bytes[..bytes.len() - 3].to_vec()).value;
    assert_eq!(found.config.unwrap().value("memsize"), None);
}

#[test]
fn no_view_shows_a_secret() {
    let mut log = full(Form::Level, true);
    log.line(&format!("ConfigDB: Setting encryption.keySafe = \"vmware:key/{SECRET}\""))
        .line(&format!("ConfigDB: Setting some.password = \"{SECRET}"));
    let found = VmwareLog::parse(&log.bytes());
    let shown = format!("{found:?}")
        + &serde_json::to_string(&found).unwrap()
        + &serde_json::to_string(&found.value.fields()).unwrap();
    assert!(!shown.contains(&SECRET[..16]), "{shown}");
}

#[test]
fn each_bad_log_is_named() {
    let long = "x".repeat(MAX_LINE_BYTES + 10) + "\n";
    for (bytes, defect) in [
        (
            b"PNG\n\x01\n".to_vec(),
            "vmware.log.control character at 0x4: unknown value 0x1".to_owned(),
        ),
        (b"hello\n".to_vec(), "vmware.log.line at 0x0: any line of a known form is missing".into()),
        (b"hello".to_vec(), "vmware.log.last line at 0x0: needs 6 bytes, 5 are there".into()),
        (long.into_bytes(), "vmware.log.line at 0x0: 65546 passes the limit of 65536".into()),
    ] {
        let found = texts(&VmwareLog::parse(&bytes));
        assert_eq!(found.first(), Some(&defect));
    }
}

struct BadSector(Vec<u8>, u64);

impl ReadAt for BadSector {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        if at.0 < self.1 + 512 && at.0 + buf.len() as u64 > self.1 {
            let source = io::Error::other("bad sector");
            return Err(MediumError::Io { at, len: Bytes(buf.len() as u64), source });
        }
        self.0.read_exact_at(buf, at)
    }
}

#[test]
fn a_bad_sector_is_named_and_the_rest_is_read() {
    let mut log = full(Form::Level, true);
    for n in 0..2000 {
        log.line(&format!("Tools: line {n}"));
    }
    log.line("VMX exit (0).");
    let found = VmwareLog::parse(&BadSector(log.bytes(), 20_480));
    assert_eq!(found.value.end, LogEnd::CleanExit { code: 0 });
    assert_eq!(found.value.config.as_ref().unwrap().damaged_lines, 1);
    assert!(
        texts(&found)[0].starts_with("vmware.log.line at 0x5000: 4096 bytes could not be read")
    );
}

#[test]
fn every_hurt_leaves_right_values_or_a_defect() {
    let mut log = full(Form::Level, true);
    log.line("ConfigDB: Setting memsize = \"8192\"").line("VMX exit (0).");
    let whole = log.bytes();
    let right = VmwareLog::parse(&whole).value.config.unwrap();
    for (how, hurt) in every_hurt(&whole) {
        let found = VmwareLog::parse(&hurt);
        let kept = found.value.config.iter().flat_map(|config| config.values.values());
        let kept =
            kept.into_iter().all(|logged| right.value(&logged.key) == logged.value.as_deref());
        assert!(kept || !found.defects.is_empty(), "{how}");
        if !how.starts_with("cut") {
            assert!(!found.defects.is_empty(), "{how}");
        }
    }
}

#[test]
fn a_long_log_keeps_little_in_memory() {
    let mut log = full(Form::Bracket, true);
    for n in 0..30_000 {
        log.line(&format!("DISKLIB-DDB   : \"longContentID\" = \"{n:08x}\" (was \"0\")"));
        log.line(&format!("DISK: OPEN '/vmfs/{n}.vmdk' Geo (1/2/3) BIOS Geo (0/0/0)"));
    }
    let found = VmwareLog::parse(&log.bytes());
    assert_eq!((found.value.disks.len(), found.value.cid_changes.len()), (MAX_FACTS, MAX_FACTS));
    assert_eq!(found.value.cid_changes.last().unwrap().new, "0000752f");
    assert_eq!(found.defects.len(), 1);
}

#[test]
fn the_corpus_log_rebuilds_the_configuration_beside_it() {
    let (Some(log), Some(vmx)) =
        (corpus::file("vmx/vm-folder-b/vmware.log"), corpus::file("vmx/vm-folder-b/other.vmx"))
    else {
        println!("left out: VMGLEAN_CORPUS names no folder");
        return;
    };
    let found = VmwareLog::parse(&log);
    assert_eq!(texts(&found), Vec::<String>::new());
    let log = found.value;
    let config = log.config.as_ref().unwrap();
    let vmx = Dictionary::parse("vmx", &vmx).value;
    let exact = vmx.effective().filter(|(key, entry)| config.value(key) == Some(&entry.value));
    let mut facts = String::new();
    let _ = writeln!(facts, "{} of {} keys exact", exact.count(), vmx.effective().count());
    let _ = writeln!(facts, "{:?} {:?} {:?}", log.product, log.version, log.build);
    let _ = writeln!(facts, "{} power-ons, {:?}, {} lines", log.power_ons, log.end, log.lines);
    let link = &log.chains[0].links[0];
    let _ = writeln!(facts, "{} {:?}", link.create_type, link.capacity_sectors);
    insta::assert_snapshot!(facts, @r#"
    43 of 44 keys exact
    Some("VMware Player") Some("7.0.0") Some("2305329")
    3 power-ons, CleanExit { code: 0 }, 3570 lines
    twoGbMaxExtentSparse Some(Sectors(210672))
    "#);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = VmwareLog::parse(&bytes);
    }

    #[test]
    fn no_message_panics(form in 0_usize..7, message in "(DICT |--- CONFIGURATION|ConfigDB: |Setting |Unsetting |DISK: |OPEN |DISKLIB-LINK  : |DISKLIB-VMFS : |Opened |'|\"|\\[0\\]: |\\(|\\)|=| |size = |[0-9é|]){0,14}") {
        let mut log = full(FORMS[form], true);
        log.line(&message.replace('\n', ""));
        let _ = VmwareLog::parse(&log.bytes()).value.fields();
    }
}
