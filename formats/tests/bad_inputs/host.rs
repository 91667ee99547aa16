//! Files of an ESXi host.

use vmglean_forge::vm::host;
use vmglean_formats::esxi::{
    AutoStart, BackupCounter, EsxConf, LockerConf, ResourcePools, VmInventory,
};

use crate::table::{Table, exact, partial, told};

pub(crate) fn tables() -> Vec<Table> {
    let mut table = Table::new("esxi");
    let inventory = host::inventory(&[("2", "/vmfs/volumes/a/b.vmx"); 12]);
    let right = VmInventory::parse(&inventory).value;
    table.hurt("vmInventory.xml", &inventory, |bytes| exact(&VmInventory::parse(bytes), &right));
    let right = ResourcePools::parse(&host::pools()).value;
    table.hurt("pools.xml", &host::pools(), |bytes| exact(&ResourcePools::parse(bytes), &right));
    let right = EsxConf::parse(&host::esx_conf()).value;
    table.hurt("esx.conf", &host::esx_conf(), |bytes| {
        let found = EsxConf::parse(bytes);
        let all = right.dictionary.effective().count();
        let read = found.value.dictionary.effective();
        let kept =
            read.filter(|(key, entry)| right.dictionary.value(key) == Some(&entry.value)).count();
        partial(&found.defects, kept, all, kept < found.value.dictionary.effective().count())
    });
    let right = LockerConf::parse(&host::locker_conf()).value;
    table.hurt("locker.conf", &host::locker_conf(), |bytes| {
        exact(&LockerConf::parse(bytes), &right)
    });
    let right = BackupCounter::parse(&host::backup_counter()).value;
    table.hurt(".backup.counter", &host::backup_counter(), |bytes| {
        exact(&BackupCounter::parse(bytes), &right)
    });
    for (name, text) in [
        ("nothing", ""),
        ("another root", "<Config/>"),
        ("a root alone", "<ConfigRoot/>"),
        ("an entry alone", "<ConfigRoot><ConfigEntry/></ConfigRoot>"),
        (
            "an entry without a number",
            "<ConfigRoot><ConfigEntry><vmxCfgPath>/a</vmxCfgPath></ConfigEntry></ConfigRoot>",
        ),
        (
            "an entry without a path",
            "<ConfigRoot><ConfigEntry><objID>1</objID></ConfigEntry></ConfigRoot>",
        ),
        ("a root that does not close", "<ConfigRoot><ConfigEntry><vmxCfgPath>/a"),
        ("a document type", "<!DOCTYPE a><ConfigRoot/>"),
    ] {
        let found = VmInventory::parse(text.as_bytes());
        table.add(
            format!("vmInventory.xml: {name}"),
            told(&found.defects)
                .unwrap_or_else(|| format!("read: {} entries", found.value.entries.len())),
        );
        let found = ResourcePools::parse(text.as_bytes());
        table.add(
            format!("pools.xml: {name}"),
            told(&found.defects)
                .unwrap_or_else(|| format!("read: {} pools", found.value.pools.len())),
        );
        let found = AutoStart::parse(text.as_bytes());
        table.add(
            format!("vmAutoStart.xml: {name}"),
            told(&found.defects)
                .unwrap_or_else(|| format!("read: {} entries", found.value.entries.len())),
        );
    }
    for (name, text) in [
        ("nothing", ""),
        ("words", "many\n"),
        ("a negative number", "-1\n"),
        ("2^64", "18446744073709551616\n"),
        ("two numbers", "1\n2\n"),
        ("a NUL", "1\0\n"),
        ("comments alone", "# CREATED: now\n"),
    ] {
        let found = BackupCounter::parse(text.as_bytes());
        table.add(
            format!(".backup.counter: {name}"),
            told(&found.defects).unwrap_or_else(|| format!("read: {:?}", found.value.count)),
        );
    }
    for (name, text) in [
        ("nothing", ""),
        ("words", "nowhere\n"),
        ("a path that leads up", "/vmfs/volumes/../.. 0\n"),
        ("a NUL", "/vmfs\0 0\n"),
        ("blanks", "   \n"),
    ] {
        let found = LockerConf::parse(text.as_bytes());
        table.add(
            format!("locker.conf: {name}"),
            told(&found.defects).unwrap_or_else(|| format!("read: {:?}", found.value.volume_uuid)),
        );
    }
    for (name, text) in [
        ("nothing", ""),
        ("no uuid", "/adv/Misc/HostName = \"a\"\n"),
        ("a uuid twice", "/system/uuid = \"a\"\n/system/uuid = \"b\"\n"),
        (
            "a vlan of words",
            "/system/uuid = \"a\"\n/net/vswitch/child[0000]/portgroup/child[0000]/name = \"x\"\n/net/vswitch/child[0000]/portgroup/child[0000]/vlanId = \"red\"\n",
        ),
        ("a mount without a name", "/system/uuid = \"a\"\n/nas//host = \"x\"\n"),
    ] {
        let found = EsxConf::parse(text.as_bytes());
        table.add(
            format!("esx.conf: {name}"),
            told(&found.defects).unwrap_or_else(|| {
                format!(
                    "read: {} mounts, vlan {:?}",
                    found.value.nas.len(),
                    found.value.port_groups.first().map(|one| one.vlan_id)
                )
            }),
        );
    }
    vec![table]
}
