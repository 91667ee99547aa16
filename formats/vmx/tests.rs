//! Configurations: typed view, devices, VMware's own encryption.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests count small numbers"
)]

use proptest::prelude::*;
use vmglean_forge::{
    corpus,
    vm::{sealed, text::Machine},
};

use super::*;

fn texts(checked: &Checked<Vmx>) -> Vec<String> {
    checked.defects.iter().map(ToString::to_string).collect()
}

fn summary(vmx: &Vmx) -> String {
    let disks: Vec<String> = vmx
        .devices
        .iter()
        .map(|d| format!("{} {:?} {}", d.node, d.kind, d.file_name.as_deref().unwrap_or("-")))
        .collect();
    format!(
        "{:?} {:?} {:?} MiB, hw {:?}, {:?}, nics {}, [{}]",
        vmx.display_name.as_deref().unwrap_or("-"),
        vmx.guest_os.as_deref().unwrap_or("-"),
        vmx.memory_mib.unwrap_or(0),
        vmx.hardware_version.unwrap_or(0),
        vmx.firmware,
        vmx.nics.len(),
        disks.join(", ")
    )
}

#[test]
fn a_forged_machine_reads_back() {
    let mut machine = Machine::server("srv");
    machine.disks.push(("nvme0:1".into(), "../other/data.vmdk".into()));
    let found = Vmx::parse(&machine.vmx());
    assert_eq!(texts(&found), Vec::<String>::new());
    let vmx = found.value;
    insta::assert_snapshot!(summary(&vmx), @r#""srv" "windows2019srv-64" 4096 MiB, hw 19, Efi, nics 1, [nvme0:1 HardDisk ../other/data.vmdk, scsi0:0 HardDisk srv.vmdk]"#);
    assert_eq!(vmx.annotation.as_deref(), Some("first line\nsecond \"quoted\" | piped"));
    assert_eq!(vmx.disks().count(), 2);
    assert_eq!(vmx.nics[0].generated_address.as_deref(), Some("00:50:56:aa:bb:cc"));
    assert_eq!(vmx.nics[0].network.as_deref(), Some("VM Network"));
    assert_eq!(vmx.encryption, Encryption::None);
}

#[test]
fn the_generated_address_follows_from_the_uuid() {
    let uuid = "56 4d f5 9d 95 59 ed 81-35 96 6b 45 10 ca d9 95";
    assert_eq!(derive_generated_address(uuid, 0).as_deref(), Some("00:0c:29:ca:d9:95"));
    assert_eq!(derive_generated_address(uuid, 10).as_deref(), Some("00:0c:29:ca:d9:9f"));
    assert_eq!(derive_generated_address("56 4d", 0), None);
}

#[test]
fn a_passphrase_and_a_key_server_are_told_apart() {
    let phrase = Vmx::parse(&sealed::passphrase_vmx("Sealed"));
    assert_eq!(texts(&phrase), Vec::<String>::new());
    let Encryption::Whole { key_safe, data_length_bytes } = phrase.value.encryption else {
        panic!("not whole")
    };
    assert_eq!(data_length_bytes, 24);
    let cipher = Some("AES-256".to_owned());
    assert_eq!(key_safe.locators, [KeyLocator::Phrase { cipher, rounds: Some(10_000) }]);

    let server = Vmx::parse(&sealed::key_server_vmx("Sealed"));
    assert_eq!(texts(&server), Vec::<String>::new());
    let locators = &server.value.encryption.key_safe().unwrap().locators;
    let (server_id, key_id) = ("HyTrust One".to_owned(), "1234-key".to_owned());
    assert_eq!(*locators, [KeyLocator::KeyServer { server_id, key_id }]);
}

#[test]
fn a_machine_with_a_vtpm_alone_has_clear_disks() {
    let found = Vmx::parse(&sealed::partial_vmx());
    assert_eq!(texts(&found), Vec::<String>::new());
    assert!(matches!(found.value.encryption, Encryption::Partial { vtpm: true, .. }));
    assert_eq!(found.value.disks().count(), 1);
}

#[test]
fn secrets_stay_inside() {
    for file in
        [sealed::passphrase_vmx("Sealed"), sealed::key_server_vmx("Sealed"), sealed::partial_vmx()]
    {
        for end in [file.len(), file.len() - 3, file.len() / 2] {
            let found = Vmx::parse(&file[..end]);
            let shown = format!("{found:?}")
                + &serde_json::to_string(&found).unwrap()
                + &serde_json::to_string(&found.value.fields()).unwrap();
            assert!(!shown.contains(&sealed::SECRET[..16]), "{shown}");
        }
    }
}

#[test]
fn each_bad_configuration_is_named() {
    let base = "config.version = \"8\"\nvirtualHW.version = \"19\"\n";
    for (more, defect) in [
        ("memsize = \"lots\"\n", "vmx.memsize at 0x39: is \"lots\", expected a decimal number"),
        ("encryption.data = \"QUJD\"\n", "vmx.key at 0x0: encryption.keySafe is missing"),
        (
            "encryption.keySafe = \"vmware:key/null\"\n",
            "vmx.key at 0x0: encryption.data is missing",
        ),
        (
            "encryption.keySafe = \"vmware:key/null\"\nencryption.data = \"abc\"\n",
            "vmx.encryption.data at 0x68: is 3 characters that are not, expected base64",
        ),
        (
            "encryption.keySafe = \"vmware:key/list/(pair/(null,\"\nencryption.data = \"QUJD\"\n",
            "vmx.encryption.keySafe at 0x44: is 28 characters that break it, expected a key list by \
             the grammar vmware:key/list/(pair/(…))",
        ),
    ] {
        assert_eq!(texts(&Vmx::parse(format!("{base}{more}").as_bytes())), [defect], "{more}");
    }
    assert_eq!(
        texts(&Vmx::parse(b"")),
        [
            "vmx.key at 0x0: config.version is missing",
            "vmx.key at 0x0: virtualHW.version is missing"
        ]
    );
}

#[test]
fn a_deep_key_safe_ends() {
    let deep = format!("vmware:key/{}", "list/(".repeat(5000));
    let text = format!("encryption.keySafe = \"{deep}\"\nencryption.data = \"QUJD\"\n");
    assert_eq!(Vmx::parse(text.as_bytes()).defects.len(), 1);
}

#[test]
fn the_corpus_reads_as_its_sources_say() {
    if corpus::folder().is_none() {
        println!("left out: VMGLEAN_CORPUS names no folder");
        return;
    }
    let mut all = String::new();
    let esxi = (1..=7).map(|n| format!("vmx/virt-v2v/test-i-vmx-{n}.vmx"));
    let hosted = ["vmx/vm-folder-a/Ubuntu_64-bit.vmx", "vmx/vm-folder-b/other.vmx"];
    for path in esxi.chain(hosted.map(str::to_owned)) {
        let found = Vmx::parse(&corpus::file(&path).unwrap());
        let vmx = &found.value;
        all += &format!(
            "{} / {} / {} MiB / hw {} / {:?} / {} nics / {} disks of {} devices / {} defects\n",
            vmx.display_name.as_deref().unwrap_or("-"),
            vmx.guest_os.as_deref().unwrap_or("-"),
            vmx.memory_mib.unwrap_or(0),
            vmx.hardware_version.unwrap_or(0),
            vmx.firmware,
            vmx.nics.len(),
            vmx.disks().count(),
            vmx.devices.len(),
            found.defects.len()
        );
    }
    insta::assert_snapshot!(all, @r"
    BZ1308535_21disks / rhel6-64 / 2048 MiB / hw 8 / Bios / 1 nics / 21 disks of 23 devices / 0 defects
    Fedora 20 / rhel7-64 / 2048 MiB / hw 10 / Bios / 1 nics / 1 disks of 3 devices / 0 defects
    RHEL 7.1 UEFI / rhel6-64 / 2048 MiB / hw 8 / Efi / 1 nics / 1 disks of 3 devices / 0 defects
    Windows 7 x64 / windows7-64 / 2048 MiB / hw 8 / Bios / 1 nics / 1 disks of 3 devices / 0 defects
    MSEdge - Win10_preview / windows9-64 / 2048 MiB / hw 11 / Bios / 1 nics / 1 disks of 1 devices / 0 defects
    esx6.7-rhel8.6-nvme-disk / rhel8-64 / 2048 MiB / hw 14 / Bios / 1 nics / 1 disks of 3 devices / 0 defects
    win2019 / windows2019srv-64 / 4096 MiB / hw 17 / Efi / 1 nics / 2 disks of 4 devices / 0 defects
    Ubuntu 64-bit / ubuntu-64 / 4096 MiB / hw 21 / Bios / 1 nics / 1 disks of 4 devices / 0 defects
    Minix-SSEMvmw6 / other / 0 MiB / hw 4 / Bios / 0 nics / 1 disks of 4 devices / 0 defects
    ");
    let sealed = Vmx::parse(&corpus::file("vmx/encrypted.vmx").unwrap());
    assert_eq!(texts(&sealed), Vec::<String>::new());
    assert_eq!(sealed.value.display_name.as_deref(), Some("Encrypted VM"));
    let Encryption::Whole { key_safe, .. } = &sealed.value.encryption else { panic!("not whole") };
    let cipher = Some("AES-256".to_owned());
    assert_eq!(key_safe.locators, [KeyLocator::Phrase { cipher, rounds: Some(10_000) }]);
}

proptest! {
    #[test]
    fn no_bytes_panic(text in "(scsi0:0\\.|ethernet0\\.|encryption\\.keySafe|[a-z.]|=|\"|\n|vmware:key/|list/|\\(|\\)|,|%|/){0,80}") {
        let _ = Vmx::parse(text.as_bytes()).value.fields();
    }
}
