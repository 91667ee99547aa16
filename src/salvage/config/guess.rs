//! A minimal configuration where nothing but disks is left, every line marked as a guess.

use vmglean_formats::{ByteOffset, ReadAt};

use super::{
    host::HostFacts,
    merge::{Confidence, Fact, Rebuilt},
};

const SECTOR: usize = 512;
/// Partition entries looked at.
const MAX_ENTRIES: usize = 128;
/// Table and entries in sectors of 4096 bytes.
const HEAD_BYTES: usize = 2 * 4096 + 128 * 128;

/// What the guest seems to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuestKind {
    /// A Windows.
    Windows,
    /// A Linux.
    Linux,
    /// Nothing tells.
    #[default]
    Unknown,
}

/// What the head of a disk tells of the machine that boots from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest {
    /// Boots by UEFI (`true`) or BIOS (`false`); `None` where nothing tells.
    pub efi: Option<bool>,
    /// The guest.
    pub kind: GuestKind,
    /// What was seen, in words.
    pub seen: Vec<String>,
}

/// Looks at the partition table of a disk, and at nothing else: whatever is not there is not
/// guessed from content that may be damaged.
#[must_use]
pub fn look_at_disk(disk: &dyn ReadAt) -> Guest {
    let mut guest = Guest::default();
    let Ok(head) = disk.read_up_to(ByteOffset(0), HEAD_BYTES) else { return guest };
    // The header lies in the second sector, the entries begin in the third.
    let is_gpt =
        |sector: &usize| head.get(*sector..).is_some_and(|rest| rest.starts_with(b"EFI PART"));
    if let Some(sector) = [SECTOR, 4096].iter().find(|sector| is_gpt(sector)) {
        gpt(head.get(2 * sector..).unwrap_or_default(), &mut guest);
    } else if head.get(510..512) == Some(&[0x55, 0xaa]) {
        mbr(&head, &mut guest);
    }
    guest
}

/// GUIDs as they lie on disk (UEFI 2.10 table 5.7; Microsoft; systemd's discoverable partitions).
const TYPES: [(&[u8; 16], &str, Kind); 8] = [
    (
        b"\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b",
        "an EFI system partition",
        Kind::Esp,
    ),
    (b"Hah!IdontNeedEFI", "a BIOS boot partition", Kind::BiosBoot),
    (
        b"\x16\xe3\xc9\xe3\x5c\x0b\xb8\x4d\x81\x7d\xf9\x2d\xf0\x02\x15\xae",
        "a Microsoft reserved partition",
        Kind::Windows,
    ),
    (
        b"\xa4\xbb\x94\xde\xd1\x06\x40\x4d\xa1\x6a\xbf\xd5\x01\x79\xd6\xac",
        "a Windows recovery partition",
        Kind::Windows,
    ),
    (
        b"\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4",
        "a Linux file system",
        Kind::Linux,
    ),
    (
        b"\x79\xd3\xd6\xe6\x07\xf5\xc2\x44\xa2\x3c\x23\x8f\x2a\x3d\xf9\x28",
        "a Linux LVM",
        Kind::Linux,
    ),
    (
        b"\x6d\xfd\x57\x06\xab\xa4\xc4\x43\x84\xe5\x09\x33\xc8\x4b\x4f\x4f",
        "a Linux swap",
        Kind::Linux,
    ),
    (
        b"\xe3\xbc\x68\x4f\xcd\xe8\xb1\x4d\x96\xe7\xfb\xca\xf9\x84\xb7\x09",
        "a Linux root",
        Kind::Linux,
    ),
];

#[derive(Clone, Copy)]
enum Kind {
    Esp,
    BiosBoot,
    Windows,
    Linux,
}

fn gpt(entries: &[u8], guest: &mut Guest) {
    let mut bios_boot = false;
    for entry in entries.chunks_exact(128).take(MAX_ENTRIES) {
        let Some((_, what, kind)) = TYPES.iter().find(|(guid, ..)| entry.starts_with(*guid)) else {
            continue;
        };
        if !guest.seen.iter().any(|seen| seen == what) {
            guest.seen.push((*what).to_owned());
        }
        match kind {
            Kind::Esp => guest.efi = Some(true),
            Kind::BiosBoot => bios_boot = true,
            Kind::Windows => guest.kind = GuestKind::Windows,
            Kind::Linux if guest.kind == GuestKind::Unknown => guest.kind = GuestKind::Linux,
            Kind::Linux => {}
        }
    }
    if bios_boot && guest.efi.is_none() {
        guest.efi = Some(false);
    }
}

fn mbr(head: &[u8], guest: &mut Guest) {
    let mut bootable = false;
    for entry in head.get(446..510).unwrap_or_default().chunks_exact(16) {
        bootable |= entry.first() == Some(&0x80);
        let what = match entry.get(4) {
            Some(0x07) => {
                guest.kind = GuestKind::Windows;
                "an NTFS partition"
            }
            Some(0x82 | 0x83 | 0x8e | 0xfd) => {
                if guest.kind == GuestKind::Unknown {
                    guest.kind = GuestKind::Linux;
                }
                "a Linux partition"
            }
            _ => continue,
        };
        if !guest.seen.iter().any(|seen| seen == what) {
            guest.seen.push(what.to_owned());
        }
    }
    if bootable || !guest.seen.is_empty() {
        guest.efi = Some(false);
        guest.seen.push("an MBR".to_owned());
    }
}

/// Fills what a machine needs to start and nothing tells. The network card is there but not
/// connected: a machine that was under attack starts alone.
///
/// What `hosts` tell comes first: names and networks of the host's own files.
pub fn guess(rebuilt: &mut Rebuilt, name: &str, guest: &Guest, hosts: &HostFacts<'_>) {
    hosts.add_to(rebuilt);
    let seen = match guest.seen.as_slice() {
        [] => "nothing on the disk tells; a common value".to_owned(),
        seen => format!("the disk has {}", seen.join(", ")),
    };
    let common = "a common value; nothing left tells the machine's own";
    let windows = guest.kind == GuestKind::Windows;
    let guest_os = match guest.kind {
        GuestKind::Windows => "windows9srv-64",
        GuestKind::Linux => "otherlinux-64",
        GuestKind::Unknown => "other-64",
    };
    let mut put = |key: &str, value: &str, why: &str| {
        rebuilt.add(Fact {
            key: key.to_owned(),
            value: value.to_owned(),
            confidence: Confidence::Guessed,
            place: None,
            why: why.to_owned(),
        });
    };
    put(".encoding", "UTF-8", "what this salvage writes");
    put("config.version", "8", "the only version VMware has written since 2004");
    put("virtualHW.version", "13", "every host since ESXi 6.5 takes it");
    put("displayName", name, "by the machine's files");
    put("guestOS", guest_os, &seen);
    if guest.efi == Some(true) {
        put("firmware", "efi", &seen);
    }
    put("memsize", "4096", common);
    put("numvcpus", "2", common);
    put("pciBridge0.present", "TRUE", "PCI slots for the controllers");
    for bridge in 4..8 {
        let why = "PCI Express slots, as VMware makes them";
        put(&format!("pciBridge{bridge}.present"), "TRUE", why);
        put(&format!("pciBridge{bridge}.virtualDev"), "pcieRootPort", why);
        put(&format!("pciBridge{bridge}.functions"), "8", why);
    }
    if !rebuilt.lines.iter().any(|line| line.key.to_lowercase().starts_with("ethernet")) {
        let mut put = |key: &str, value: &str| {
            rebuilt.add(Fact {
                key: key.to_owned(),
                value: value.to_owned(),
                confidence: Confidence::Guessed,
                place: None,
                why: "a card that is not connected: its network is not known".to_owned(),
            });
        };
        put("ethernet0.present", "TRUE");
        put("ethernet0.virtualDev", if windows { "e1000e" } else { "vmxnet3" });
        put("ethernet0.startConnected", "FALSE");
        put("ethernet0.addressType", "generated");
        hosts.add_to(rebuilt);
        rebuilt.add(Fact {
            key: "ethernet0.networkName".to_owned(),
            value: "VM Network".to_owned(),
            confidence: Confidence::Guessed,
            place: None,
            why: "a card that is not connected: its network is not known".to_owned(),
        });
    }
}
