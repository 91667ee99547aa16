//! Snapshot trees: links, times, damage.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests count small numbers"
)]

use proptest::prelude::*;
use vmglean_forge::{
    corpus,
    vm::{
        hurt::every_hurt,
        text::{Snapshot, three_snapshots, vmsd},
    },
};

use super::*;

fn texts(checked: &Checked<Vmsd>) -> Vec<String> {
    checked.defects.iter().map(ToString::to_string).collect()
}

#[test]
fn a_forged_tree_reads_back() {
    let found = Vmsd::parse(&vmsd(&three_snapshots(), 3, true));
    assert_eq!(texts(&found), Vec::<String>::new());
    let tree = found.value;
    assert!(tree.need_consolidate);
    let uids: Vec<Option<u64>> = tree.ancestry(3).iter().map(|node| node.uid).collect();
    assert_eq!(uids, [Some(3), Some(2), Some(1)]);
    let node = tree.by_uid(2).unwrap();
    assert_eq!(node.create_time_us, Some(1_600_172_800_000_000));
    assert_eq!(node.disks[0].file_name.as_deref(), Some("server-000001.vmdk"));
    assert_eq!(node.disks[0].node.as_deref(), Some("scsi0:0"));
}

#[test]
fn a_low_half_printed_signed_is_one_time() {
    let text = b"snapshot0.uid = \"1\"\nsnapshot0.filename = \"a.vmsn\"\n\
        snapshot0.createTimeHigh = \"310596\"\nsnapshot0.createTimeLow = \"938781285\"\n\
        snapshot.numSnapshots = \"1\"\n";
    let found = Vmsd::parse(text);
    assert_eq!(texts(&found), Vec::<String>::new());
    assert_eq!(found.value.snapshots[0].create_time_us, Some(1_334_000_601_049_701));
}

#[test]
fn nothing_at_all_is_an_empty_tree() {
    let found = Vmsd::parse(b"");
    assert_eq!((found.value.snapshots.len(), found.defects.len()), (0, 0));
    if let Some(file) = corpus::file("vmx/vm-folder-a/Ubuntu_64-bit.vmsd") {
        assert_eq!(Vmsd::parse(&file), found);
    } else {
        println!("left out: VMGLEAN_CORPUS names no folder");
    }
}

#[test]
fn broken_links_are_named() {
    let mut nodes = three_snapshots();
    nodes[0].parent = Some(3);
    let circle = Vmsd::parse(&vmsd(&nodes, 3, false));
    assert_eq!(
        texts(&circle),
        ["vmsd.snapshotN.parent at 0x42: is a circle through uid 1, expected a tree"]
    );
    assert_eq!(circle.value.ancestry(3).len(), 3);

    let mut nodes = three_snapshots();
    nodes[1].parent = Some(77);
    nodes[2].uid = 1;
    let found = texts(&Vmsd::parse(&vmsd(&nodes, 9, false)));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].ends_with("the current snapshot, uid 9, is missing"), "{found:?}");
    assert!(found[1].contains("is 1, which another snapshot has, expected a uid of its own"));
    assert!(found[2].ends_with("the parent of snapshot1, uid 77, is missing"));
}

#[test]
fn a_count_that_lies_is_named_and_bounded() {
    let text = "snapshot0.uid = \"1\"\nsnapshot0.filename = \"a\"\nsnapshot0.createTimeHigh = \"0\"\n\
        snapshot0.createTimeLow = \"0\"\nsnapshot.numSnapshots = \"5\"\nsnapshot0.numDisks = \
        \"99999999999\"\n";
    let found = texts(&Vmsd::parse(text.as_bytes()));
    assert_eq!(found[0], "vmsd.snapshotN.numDisks at 0x9c: 99999999999 passes the limit of 256");
    assert!(found.last().unwrap().contains("passes the limit of 256"));
    let many = "snapshot0.disk999999.node = \"x\"\n".to_owned()
        + &(0..6000).map(|n| format!("snapshot{n}.uid = \"{n}\"\n")).collect::<String>();
    assert_eq!(Vmsd::parse(many.as_bytes()).value.snapshots.len(), MAX_SNAPSHOTS);
}

#[test]
fn every_hurt_leaves_right_values_or_a_defect() {
    let whole = vmsd(&three_snapshots(), 3, true);
    let right = Vmsd::parse(&whole).value;
    for (how, hurt) in every_hurt(&whole) {
        let found = Vmsd::parse(&hurt);
        let same = found.value.snapshots == right.snapshots;
        assert!(same || hurt.is_empty() || !found.defects.is_empty(), "{how}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(text in "(snapshot|[0-9]|\\.uid|\\.parent|\\.disk|\\.node|numDisks| = |\"|\n|-){0,80}") {
        let _ = Vmsd::parse(text.as_bytes());
    }

    #[test]
    fn any_forged_tree_reads_back(parents in proptest::collection::vec(any::<prop::sample::Index>(), 0..24), created in any::<u64>()) {
        let nodes: Vec<Snapshot> = parents.iter().enumerate().map(|(n, parent)| {
            let mut node = three_snapshots().remove(0);
            node.uid = n as u64 + 1;
            node.parent = (n > 0).then(|| parent.index(n) as u64 + 1);
            node.created_us = created;
            node
        }).collect();
        let found = Vmsd::parse(&vmsd(&nodes, 0, false));
        prop_assert_eq!(found.defects.len(), 0);
        for node in &nodes {
            let read = found.value.by_uid(node.uid).unwrap();
            prop_assert_eq!(read.parent, node.parent);
            prop_assert_eq!(read.create_time_us, Some(created));
        }
    }
}
