//! Host state of ESXi.

use std::fmt::Write as _;

/// `vmInventory.xml` of these numbers and paths.
#[must_use]
pub fn inventory(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut out = String::from("<ConfigRoot>\n");
    for (n, (id, path)) in entries.iter().enumerate() {
        let path = path.replace('&', "&amp;");
        let _ = writeln!(
            out,
            "  <ConfigEntry id=\"{n:04}\">\n    <objID>{id}</objID>\n    <secDomain/>\n    \
             <vmxCfgPath>{path}</vmxCfgPath>\n  </ConfigEntry>"
        );
    }
    (out + "</ConfigRoot>").into_bytes()
}

/// `pools.xml` with one pool and one machine.
#[must_use]
pub fn pools() -> Vec<u8> {
    b"<ConfigRoot>\n  <resourcePool id=\"0000\">\n    <name>Resources</name>\n    \
      <objID>ha-root-pool</objID>\n    <path>host/user</path>\n  </resourcePool>\n  \
      <vm id=\"0000\">\n    <lastModified>2021-02-18T17:21:45.94159Z</lastModified>\n    \
      <objID>2</objID>\n    <resourcePool>ha-root-pool</resourcePool>\n  </vm>\n</ConfigRoot>"
        .to_vec()
}

/// An `esx.conf` with a network and an NFS datastore.
#[must_use]
pub fn esx_conf() -> Vec<u8> {
    b"/system/uuid = \"5fb27665-83f4-b1f5-3e9f-000c29801686\"\n\
      /system/inception = \"2020-11-16T12:54:35\"\n\
      /resourceGroups/version = \"6.7.0\"\n\
      /adv/Misc/HostName = \"esx01.example.net\"\n\
      /adv/Misc/HostIPAddr = \"10.0.0.5\"\n\
      /adv/Net/ManagementIface = \"vmk0\"\n\
      /nas/backup/host = \"10.0.0.9\"\n\
      /nas/backup/share = \"/export/backup\"\n\
      /net/vswitch/child[0000]/portgroup/child[0000]/name = \"VM Network\"\n\
      /net/vswitch/child[0000]/portgroup/child[0000]/vlanId = \"42\"\n"
        .to_vec()
}

/// `locker.conf`.
#[must_use]
pub fn locker_conf() -> Vec<u8> {
    b"/vmfs/volumes/5fb27750-e708e119-057b-000c29801686 0\n".to_vec()
}

/// `.backup.counter`.
#[must_use]
pub fn backup_counter() -> Vec<u8> {
    b"# This file is owned and updated by /sbin/backup.sh\n\
      # CREATED: Mon Nov 16 12:59:39 UTC 2020\n\
      # MODIFIED: Wed Aug 11 07:44:45 UTC 2021\n1455\n"
        .to_vec()
}
