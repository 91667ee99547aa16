//! Host state.

use proptest::prelude::*;
use vmglean_forge::{
    corpus,
    vm::{archive, host, hurt::every_hurt},
};

use super::*;
use crate::Checked;

fn texts<T>(checked: &Checked<T>) -> Vec<String> {
    checked.defects.iter().map(ToString::to_string).collect()
}

#[test]
fn registered_machines_read_back() {
    let path = "/vmfs/volumes/5fb27751-02685a39-c989-000c29801686/A & B/srv.vmx";
    let found =
        VmInventory::parse(&host::inventory(&[("2", path), ("7", "/vmfs/volumes/x/y.vmx")]));
    assert_eq!(texts(&found), Vec::<String>::new());
    assert_eq!(found.value.entries[0].vmx_path.as_deref(), Some(path));
    assert_eq!(found.value.entries[1].object_id.as_deref(), Some("7"));
    let pools = ResourcePools::parse(&host::pools());
    assert_eq!(texts(&pools), Vec::<String>::new());
    assert_eq!(pools.value.machines[0].object_id.as_deref(), Some("2"));
}

#[test]
fn the_hosts_identity_network_and_datastores_read_back() {
    let found = EsxConf::parse(&host::esx_conf());
    assert_eq!(texts(&found), Vec::<String>::new());
    let conf = found.value;
    assert_eq!(conf.host_name.as_deref(), Some("esx01.example.net"));
    assert_eq!(conf.nas[0].share.as_deref(), Some("/export/backup"));
    assert_eq!(
        (conf.port_groups[0].name.as_str(), conf.port_groups[0].vlan_id),
        ("VM Network", Some(42))
    );
    let locker = LockerConf::parse(&host::locker_conf()).value;
    assert_eq!(locker.volume_uuid.as_deref(), Some("5fb27750-e708e119-057b-000c29801686"));
    let counter = BackupCounter::parse(&host::backup_counter()).value;
    assert_eq!(counter.count, Some(1455));
    assert_eq!(counter.modified.as_deref(), Some("Wed Aug 11 07:44:45 UTC 2021"));
}

#[test]
fn a_forged_vmtar_lists_its_members() {
    let file = archive::vmtar(&[("bin/a", &[1; 5000]), ("b", b""), ("c", &[2; 10])]);
    let found = Vmtar::read(&file);
    assert_eq!(texts(&found), Vec::<String>::new());
    let places: Vec<u64> = found.value.members.iter().map(|member| member.data_at.0).collect();
    assert_eq!(places, [4096, 0, 12_288]);
}

#[test]
fn each_bad_file_is_named() {
    assert_eq!(
        texts(&VmInventory::parse(b"<ConfigRoot><ConfigEntry/></ConfigRoot>")),
        ["vmInventory.ConfigEntry at 0xc: <vmxCfgPath> is missing"]
    );
    assert_eq!(texts(&EsxConf::parse(b"")), ["esx.conf.key at 0x0: /system/uuid is missing"]);
    assert_eq!(texts(&LockerConf::parse(b"")), ["locker.conf.path at 0x0: a path is missing"]);
    assert_eq!(
        texts(&BackupCounter::parse(b"many\n")),
        [
            ".backup.counter.line at 0x0: line 1 is not understood: \"many\"",
            ".backup.counter.count at 0x0: the counter is missing"
        ]
    );
    assert_eq!(
        texts(&Vmtar::read(&vec![0x41; 512])),
        ["Vmtar.header.magic at 0x101: magic is 0x41414141, not 0x7669736f"]
    );
}

#[test]
fn every_hurt_leaves_right_values_or_a_defect() {
    let inventory = host::inventory(&[("2", "/vmfs/volumes/a/b.vmx"); 20]);
    let right = VmInventory::parse(&inventory).value;
    for (how, hurt) in every_hurt(&inventory) {
        let found = VmInventory::parse(&hurt);
        assert!(found.value == right || !found.defects.is_empty(), "inventory {how}");
    }
    let vmtar = archive::vmtar(&[("a", &[1; 5000]), ("b", &[0; 5000]), ("c", &[2; 10])]);
    let right = Vmtar::read(&vmtar).value;
    for (how, hurt) in every_hurt(&vmtar) {
        let found = Vmtar::read(&hurt);
        assert!(found.value == right || !found.defects.is_empty(), "vmtar {how}");
    }
    for (how, hurt) in every_hurt(&host::esx_conf()) {
        assert!(!EsxConf::parse(&hurt).defects.is_empty(), "esx.conf {how}");
    }
    for (how, hurt) in every_hurt(&host::backup_counter()) {
        assert!(!BackupCounter::parse(&hurt).defects.is_empty(), "counter {how}");
    }
    for (how, hurt) in every_hurt(&host::locker_conf()) {
        assert!(!LockerConf::parse(&hurt).defects.is_empty(), "locker {how}");
    }
}

#[test]
fn the_corpus_reads_as_its_sources_say() {
    if corpus::folder().is_none() {
        println!("left out: VMGLEAN_CORPUS names no folder");
        return;
    }
    let file =
        |name: &str| corpus::file(&format!("esxi/from-local.tgz/etc/vmware/{name}")).unwrap();
    let inventory = VmInventory::parse(&file("hostd/vmInventory.xml"));
    assert_eq!(texts(&inventory), Vec::<String>::new());
    assert_eq!(
        inventory.value.entries[0].vmx_path.as_deref(),
        Some(
            "/vmfs/volumes/5fb27751-02685a39-c989-000c29801686/Fedora 33 Server/Fedora 33 Server.vmx"
        )
    );
    let pools = ResourcePools::parse(&file("hostd/pools.xml"));
    assert_eq!(texts(&pools), Vec::<String>::new());
    assert_eq!(pools.value.pools[0].name.as_deref(), Some("Resources"));
    let start = AutoStart::parse(&file("hostd/vmAutoStart.xml"));
    assert_eq!(texts(&start), Vec::<String>::new());
    assert_eq!((start.value.start_delay_s, start.value.entries.len()), (Some(120), 0));
    let conf = EsxConf::parse(&file("esx.conf"));
    assert_eq!(texts(&conf), Vec::<String>::new());
    assert_eq!(conf.value.version.as_deref(), Some("7.0.2"));
    assert_eq!(conf.value.host_name.as_deref(), Some("jemoeder.internet.vm"));
    assert_eq!(conf.value.management_interface.as_deref(), Some("vmk0"));
    let locker = LockerConf::parse(&file("locker.conf"));
    assert_eq!(texts(&locker), Vec::<String>::new());
    let counter = BackupCounter::parse(&file(".backup.counter"));
    assert_eq!((texts(&counter), counter.value.count), (Vec::new(), Some(1455)));
    let vmtar = Vmtar::read(&corpus::file("esxi/test.vgz").unwrap());
    assert_eq!(texts(&vmtar), Vec::<String>::new());
    let names: Vec<&str> = vmtar.value.members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(
        names,
        ["test/", "test/file3", "test/file2", "test/subdir/", "test/subdir/file4", "test/file1"]
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
        let _ = (VmInventory::parse(&bytes), ResourcePools::parse(&bytes), AutoStart::parse(&bytes));
        let _ = (EsxConf::parse(&bytes), LockerConf::parse(&bytes), BackupCounter::parse(&bytes));
        let _ = Vmtar::read(&bytes);
    }

    #[test]
    fn no_change_of_a_byte_panics(at in 0_usize..4096, byte in any::<u8>()) {
        let mut file = archive::vmtar(&[("a", &[1; 5000]), ("c", &[2; 10])]);
        file[at] = byte;
        let _ = Vmtar::read(&file);
    }
}
