//! Envelopes, manifests, archives.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests count small numbers"
)]

use proptest::prelude::*;
use vmglean_forge::{
    corpus,
    vm::{
        archive::{self, Disk},
        hurt::every_hurt,
    },
};

use super::*;
use crate::{Bytes, Checked, Fields};

fn texts<T>(checked: &Checked<T>) -> Vec<String> {
    checked.defects.iter().map(ToString::to_string).collect()
}

fn disks() -> Vec<Disk> {
    let disk = |id: &str, parent: Option<&str>| Disk {
        id: id.into(),
        file: Some((format!("{id}.vmdk"), 1000)),
        parent: parent.map(str::to_owned),
        gib: 7,
    };
    vec![disk("base", None), disk("delta", Some("base"))]
}

#[test]
fn a_forged_envelope_reads_back() {
    let found = Envelope::parse(&archive::ovf("srv", &disks()));
    assert_eq!(texts(&found), Vec::<String>::new());
    let envelope = found.value;
    assert_eq!(envelope.disks[1].capacity, Some(Bytes(7 << 30)));
    assert_eq!(envelope.disks[1].parent_ref.as_deref(), Some("base"));
    assert_eq!(envelope.file_of(&envelope.disks[1]).unwrap().href, "delta.vmdk");
    assert_eq!(envelope.networks, ["VM Network"]);
    assert_eq!(envelope.systems[0].items.len(), 2);
    assert_eq!(envelope.fields().len(), 4);
}

#[test]
fn units_of_capacity_are_multiplied_within_bounds() {
    for (number, units, bytes) in [
        ("7", Some("byte * 2^30"), Some(7 << 30)),
        ("7", Some("byte*2^20"), Some(7 << 20)),
        ("7", Some("GigaBytes"), Some(7 << 30)),
        ("512", None, Some(512)),
        ("7", Some("byte * 2^63"), None),
        ("7", Some("byte * 2^99"), None),
        ("7", Some("furlong"), None),
        ("-1", None, None),
    ] {
        assert_eq!(capacity_bytes(number, units), bytes.map(Bytes), "{number} {units:?}");
    }
}

#[test]
fn references_to_nothing_and_circles_are_named() {
    let mut bad = disks();
    bad[0].parent = Some("delta".into());
    let found = texts(&Envelope::parse(&archive::ovf("srv", &bad)));
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("is a circle through \"base\", expected a chain"), "{found:?}");
    bad[0].parent = Some("gone".into());
    bad[1].id = "base".into();
    let found = texts(&Envelope::parse(&archive::ovf("srv", &bad)));
    assert!(found[0].contains("is \"base\", which another Disk has"), "{found:?}");
    assert!(found[1].ends_with("Disk \"gone\" is missing"), "{found:?}");
    let lost = b"<Envelope><DiskSection><Disk diskId=\"d\" capacity=\"x\" fileRef=\"f\"/></DiskSection></Envelope>";
    assert_eq!(
        texts(&Envelope::parse(lost)),
        [
            "Envelope.Envelope at 0x0: <VirtualSystem> is missing",
            "Envelope.capacity at 0x17: is \"x\", expected a size",
            "Envelope.fileRef at 0x17: File \"f\" is missing"
        ]
    );
}

#[test]
fn a_property_that_is_a_password_is_withheld() {
    let text = b"<Envelope><VirtualSystem><ProductSection><Property key=\"root_pw\" password=\"true\" \
        value=\"hunter2\"/><Property key=\"ip\" value=\"10.0.0.1\"/></ProductSection></VirtualSystem></Envelope>";
    let found = Envelope::parse(text);
    assert!(!format!("{found:?}").contains("hunter2"));
    assert_eq!(found.value.systems[0].properties[1].value.as_deref(), Some("10.0.0.1"));
}

#[test]
fn manifest_lines_are_read_and_bad_ones_named() {
    let found = Manifest::parse(&archive::manifest(&[("a (1).ovf", b"x"), ("b.vmdk", b"y")]));
    assert_eq!(texts(&found), Vec::<String>::new());
    assert_eq!(found.value.digests[0].name, "a (1).ovf");
    assert_eq!(found.value.digests[1].kind, DigestKind::Sha256);
    assert_eq!(
        texts(&Manifest::parse(b"SHA1(a)= 12\nMD9(a)= ff\n\n")),
        [
            "Manifest.line at 0x0: line 1 is not understood: \"SHA1(a)= 12\"",
            "Manifest.line at 0xc: line 2 is not understood: \"MD9(a)= ff\""
        ]
    );
}

#[test]
fn a_forged_archive_lists_its_members() {
    let file = archive::tar(&[("srv.ovf", b"<x/>"), ("srv-disk1.vmdk", &[7; 3000])]);
    let found = TarList::read(&file);
    assert_eq!(texts(&found), Vec::<String>::new());
    let members = &found.value.members;
    assert_eq!((members.len(), found.value.ended), (2, true));
    assert_eq!((members[1].data_at.0, members[1].length.0), (1536, 3000));
}

#[test]
fn each_bad_archive_is_named() {
    let whole = archive::tar(&[("a", &[7; 600])]);
    let mut sum = whole.clone();
    sum[0] = b'b';
    let evil = archive::tar(&[("../../etc/passwd", b"x")]);
    for (file, defect) in [
        (sum, "Tar.header.chksum at 0x94: is \"007273\", expected 7274"),
        (
            evil,
            "Tar.header.name at 0x0: is \"../../etc/passwd\", expected a name inside the archive",
        ),
        (whole[..1000].to_vec(), "Tar.data at 0x200: needs 600 bytes, 488 are there"),
        (whole[..1536].to_vec(), "Tar.end at 0x600: needs 1024 bytes, 0 are there"),
        (whole[..700].to_vec(), "Tar.data at 0x200: needs 600 bytes, 188 are there"),
    ] {
        let found = texts(&TarList::read(&file));
        let right = found.first().is_some_and(|text| {
            text == defect || (defect.contains("chksum") && text.contains("header.chksum at 0x94"))
        });
        assert!(right, "{found:?}\n{defect}");
    }
}

#[test]
fn every_hurt_leaves_the_structure_or_a_defect() {
    let envelope = archive::ovf("srv", &disks());
    let right = Envelope::parse(&envelope).value;
    for (how, hurt) in every_hurt(&envelope) {
        let found = Envelope::parse(&hurt);
        assert!(found.value == right || !found.defects.is_empty(), "ovf {how}");
    }
    // Data with zeros inside: a lost header must not pass for the end.
    let tar = archive::tar(&[("a", &[0; 2000]), ("b", &[1; 600])]);
    let right = TarList::read(&tar).value;
    for (how, hurt) in every_hurt(&tar) {
        let found = TarList::read(&hurt);
        assert!(found.value == right || !found.defects.is_empty(), "tar {how}");
    }
    let manifest = archive::manifest(&[("a.ovf", &b"x"[..]); 20]);
    for (how, hurt) in every_hurt(&manifest) {
        let found = Manifest::parse(&hurt);
        assert!(hurt.is_empty() || !found.defects.is_empty(), "mf {how}");
    }
}

#[test]
fn the_corpus_reads_as_its_sources_say() {
    if corpus::folder().is_none() {
        println!("left out: VMGLEAN_CORPUS names no folder");
        return;
    }
    let read = |path: &str| Envelope::parse(&corpus::file(path).unwrap());
    let winxp = read("ovf/converter_winxp.ovf");
    assert_eq!(texts(&winxp), Vec::<String>::new());
    assert_eq!(winxp.value.disks[0].capacity, Some(Bytes(7 << 30)));
    assert_eq!(winxp.value.systems[0].os_type.as_deref(), Some("winXPProGuest"));
    assert_eq!(winxp.value.networks, ["dvportgroup-4574"]);
    let property = read("ovf/disk-capacity-property.ovf");
    assert_eq!(texts(&property), Vec::<String>::new());
    assert_eq!(property.value.disks[0].capacity, Some(Bytes(5 << 30)));
    let parent = read("ovf/parentDisk.ovf");
    assert_eq!(texts(&parent), Vec::<String>::new());
    assert_eq!(parent.value.disks[1].parent_ref.as_deref(), Some("basedisk1"));
    for name in [
        "",
        "-as-root",
        "-checksums",
        "-formats",
        "-gz",
        "-snapshots",
        "-subfolders",
        "-tar",
        "-two-disks",
    ] {
        let found = read(&format!("vmx/virt-v2v/test-i-ova{name}.ovf"));
        assert_eq!(texts(&found), Vec::<String>::new(), "{name}");
        let two = name == "-two-disks";
        assert_eq!(found.value.disks.len(), if two { 2 } else { 1 }, "{name}");
    }
    let manifest = Manifest::parse(&corpus::file("ovf/ttylinux-pc_i486-16.1.mf").unwrap());
    assert_eq!(texts(&manifest), Vec::<String>::new());
    assert_eq!(manifest.value.digests.len(), 2);
    let ova = TarList::read(&corpus::file("ovf/ttylinux-pc_i486-16.1.ova").unwrap());
    assert_eq!(texts(&ova), Vec::<String>::new());
    let members: Vec<(&str, u64)> =
        ova.value.members.iter().map(|member| (member.name.as_str(), member.length.0)).collect();
    assert_eq!(
        members,
        [
            ("ttylinux-pc_i486-16.1.ovf", 5005),
            ("ttylinux-pc_i486-16.1.mf", 159),
            ("ttylinux-pc_i486-16.1-disk1.vmdk", 1_048_576)
        ]
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
        let _ = Envelope::parse(&bytes);
        let _ = Manifest::parse(&bytes);
        let _ = TarList::read(&bytes);
    }

    #[test]
    fn no_change_of_a_byte_panics(at in 0_usize..3000, byte in any::<u8>()) {
        let mut file = archive::tar(&[("a", &[7; 600]), ("b", b"x")]);
        if let Some(place) = file.get_mut(at) { *place = byte; }
        let _ = TarList::read(&file);
        let mut file = archive::ovf("srv", &disks());
        if let Some(place) = file.get_mut(at) { *place = byte; }
        let _ = Envelope::parse(&file);
    }
}
