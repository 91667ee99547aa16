//! `.nvram`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests count small numbers"
)]

use proptest::prelude::*;
use vmglean_forge::{
    corpus,
    vm::{hurt::every_hurt, nvram},
};

use super::*;
use crate::Fields;

fn texts(checked: &Checked<Nvram>) -> Vec<String> {
    checked.defects.iter().map(ToString::to_string).collect()
}

#[test]
fn a_bios_file_is_8684_bytes() {
    let file = nvram::bios();
    assert_eq!(file.len(), 8684);
    let found = Nvram::parse(&file);
    assert_eq!(texts(&found), Vec::<String>::new());
    assert_eq!((found.value.firmware, found.value.records.len()), (FirmwareKind::Bios, 7));
    assert_eq!(found.value.records[3].tag, "440");
}

#[test]
fn an_efi_file_tells_its_variables() {
    let file = nvram::efi(&[("BootOrder", &[0, 0]), ("PK", &[1; 40]), ("005056AABBCC", &[1])]);
    assert_eq!(file.len(), 270_840 - 12 + 12 - (270_840 - file.len()));
    let found = Nvram::parse(&file);
    assert_eq!(texts(&found), Vec::<String>::new());
    let efi = found.value.efi.as_ref().unwrap();
    assert_eq!(found.value.firmware, FirmwareKind::Efi);
    assert_eq!(efi.secure_boot, SecureBoot::KeysEnrolled);
    assert_eq!(efi.mac_addresses, ["00:50:56:aa:bb:cc"]);
    assert_eq!(efi.variables[0].guid, "8be4df61-93ca-11d2-aa0d-00e098032b8c");
    assert_eq!((efi.variables[1].length.0, efi.variables[1].attributes), (40, 7));
    assert!(found.value.fields().iter().any(|note| note.field == "BootOrder"));
}

#[test]
fn each_bad_file_is_named() {
    let mut long = nvram::bios();
    long[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut version = nvram::bios();
    version[4] = 9;
    let mut name = nvram::bios();
    name[8] = 0xff;
    for (file, defect) in [
        (b"MRV".to_vec(), "Nvram.header at 0x0: needs 8 bytes, 3 are there"),
        (b"KDMV\x01\0\0\0".to_vec(), "Nvram.magic at 0x0: magic is 0x564d444b, not 0x4e56524d"),
        (version, "Nvram.version at 0x4: unknown value 0x9"),
        (long, "Nvram.record.length at 0x8: needs 4294967295 bytes, 8664 are there"),
        (name, "Nvram.record.section at 0x8: bytes are no valid record name"),
        (
            nvram::bios()[..8].to_vec(),
            "Nvram.records at 0x8: a record that tells the firmware is missing",
        ),
    ] {
        assert_eq!(texts(&Nvram::parse(&file)).first().map(String::as_str), Some(defect));
    }
}

#[test]
fn every_hurt_leaves_the_structure_or_a_defect() {
    for whole in [nvram::bios(), nvram::efi(&[("BootOrder", &[0; 700]), ("PK", &[1; 900])])] {
        let right = Nvram::parse(&whole).value;
        for (how, hurt) in every_hurt(&whole) {
            let found = Nvram::parse(&hurt);
            assert!(found.value == right || !found.defects.is_empty(), "{how}");
        }
    }
}

#[test]
fn the_corpus_reads_as_its_sources_say() {
    for path in ["vmx/vm-folder-a/Ubuntu_64-bit.nvram", "vmx/vm-folder-b/other.nvram"] {
        let Some(file) = corpus::file(path) else {
            println!("left out: VMGLEAN_CORPUS names no folder");
            return;
        };
        let found = Nvram::parse(&file);
        assert_eq!(texts(&found), Vec::<String>::new(), "{path}");
        assert_eq!((found.value.firmware, found.value.records.len()), (FirmwareKind::Bios, 7));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Nvram::parse(&[b"MRVN\x01\0\0\0", bytes.as_slice()].concat());
        let head = b"MRVN\x01\0\0\0EFI_NV\0\0\xff\0\0\0VMWNVRAM\0\0\0\0\xf0\0\0\0";
        let _ = Nvram::parse(&[head.as_slice(), &bytes].concat());
    }
}
