//! From numbered keys to nodes, and whether their links make a tree.

use std::collections::{BTreeMap, BTreeSet};

use super::{MAX_DISKS, MAX_SNAPSHOTS, SnapshotDisk, SnapshotNode};
use crate::{
    defect::DefectKind,
    dict::{DefectList, Dictionary, Entry, shorten},
    units::ByteOffset,
};

pub(super) fn number(
    dictionary: &Dictionary,
    key: &str,
    field: &'static str,
    defects: &mut DefectList,
) -> Option<u64> {
    decimal(dictionary.get(key)?, field, defects)
}

fn decimal(entry: &Entry, field: &'static str, defects: &mut DefectList) -> Option<u64> {
    let found = entry.value.trim().parse().ok();
    if found.is_none() {
        let expected = "a decimal number".to_owned();
        let found = format!("{:?}", shorten(&entry.value));
        defects.add_at(field, entry.value_at, DefectKind::Mismatch { expected, found });
    }
    found
}

pub(super) fn snapshots(dictionary: &Dictionary, defects: &mut DefectList) -> Vec<SnapshotNode> {
    let mut groups: BTreeMap<u32, BTreeMap<&str, &Entry>> = BTreeMap::new();
    for (key, entry) in dictionary.with_prefix("snapshot") {
        let Some((index, field)) = key.get("snapshot".len()..).and_then(|key| key.split_once('.'))
        else {
            continue;
        };
        let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        let Some(index) = digits.then(|| index.parse().ok()).flatten() else { continue };
        if groups.len() >= MAX_SNAPSHOTS && !groups.contains_key(&index) {
            let at = usize::try_from(entry.at.0).unwrap_or(usize::MAX);
            defects.limit("snapshots", at, groups.len().saturating_add(1), MAX_SNAPSHOTS);
            break;
        }
        groups.entry(index).or_default().insert(field, entry);
    }
    groups.into_iter().map(|(index, fields)| node(index, &fields, defects)).collect()
}

fn node(index: u32, fields: &BTreeMap<&str, &Entry>, defects: &mut DefectList) -> SnapshotNode {
    let at = fields.values().map(|entry| entry.at).min().unwrap_or_default();
    let text = |name: &str| fields.get(name).map(|entry| entry.value.clone());
    let count = |name: &str, field, defects: &mut DefectList| {
        fields.get(name).and_then(|entry| decimal(entry, field, defects))
    };
    for (key, name) in [("uid", "uid"), ("filename", "filename")] {
        if !fields.contains_key(key) {
            let what = format!("snapshot{index}.{name}");
            defects.add_at("key", at, DefectKind::Missing { what });
        }
    }
    SnapshotNode {
        index,
        uid: count("uid", "snapshotN.uid", defects),
        parent: count("parent", "snapshotN.parent", defects).filter(|uid| *uid != 0),
        file_name: text("filename"),
        display_name: text("displayname"),
        description: text("description"),
        kind: count("type", "snapshotN.type", defects),
        create_time_us: create_time(index, at, fields, defects),
        disks: disks(index, at, fields, defects),
        at,
    }
}

/// `(high << 32) | low`, the low half printed signed. Checked: 310596/938781285 is
/// 2012-04-09T19:43:21.05Z, when the host created that delta disk.
fn create_time(
    index: u32,
    at: ByteOffset,
    fields: &BTreeMap<&str, &Entry>,
    defects: &mut DefectList,
) -> Option<u64> {
    let mut half = |key: &str, name: &str| {
        let Some(entry) = fields.get(key) else {
            let what = format!("snapshot{index}.{name}");
            defects.add_at("key", at, DefectKind::Missing { what });
            return None;
        };
        let found = entry.value.trim().parse::<i64>().ok();
        let found = found.and_then(|value| {
            let signed = i32::try_from(value).map(i32::cast_unsigned);
            signed.or_else(|_| u32::try_from(value)).ok()
        });
        if found.is_none() {
            let expected = "a 32-bit number".to_owned();
            let found = format!("{:?}", shorten(&entry.value));
            let kind = DefectKind::Mismatch { expected, found };
            defects.add_at("snapshotN.createTime", entry.value_at, kind);
        }
        found
    };
    let high = half("createtimehigh", "createTimeHigh");
    let low = half("createtimelow", "createTimeLow");
    Some((u64::from(high?) << 32) | u64::from(low?))
}

fn disks(
    index: u32,
    at: ByteOffset,
    fields: &BTreeMap<&str, &Entry>,
    defects: &mut DefectList,
) -> Vec<SnapshotDisk> {
    let told = fields.get("numdisks").and_then(|entry| {
        let count = decimal(entry, "snapshotN.numDisks", defects)?;
        if count > MAX_DISKS {
            let kind = DefectKind::Limit { value: count, limit: MAX_DISKS };
            defects.add_at("snapshotN.numDisks", entry.value_at, kind);
        }
        Some(count.min(MAX_DISKS))
    });
    // The count may be lost while the disks are there, so the keys decide how far to look.
    let seen = fields
        .keys()
        .filter_map(|key| key.strip_prefix("disk")?.split_once('.')?.0.parse::<u64>().ok());
    let beyond = seen.filter(|number| *number < MAX_DISKS).max();
    let end = beyond.map_or(0, |number| number.saturating_add(1)).max(told.unwrap_or(0));
    if told.is_some_and(|told| told < end) || (told.is_none() && end > 0) {
        let expected = told.map_or("numDisks".to_owned(), |told| format!("{told} disks"));
        let kind = DefectKind::Mismatch { expected, found: format!("{end} disks") };
        defects.add_at("snapshotN.numDisks", at, kind);
    }
    let mut found = Vec::new();
    for number in 0..end {
        let mut text = |key: &str, name: &str| {
            let value = fields.get(format!("disk{number}.{key}").as_str());
            if value.is_none() {
                let what = format!("snapshot{index}.disk{number}.{name}");
                defects.add_at("key", at, DefectKind::Missing { what });
            }
            value.map(|entry| entry.value.clone())
        };
        found.push(SnapshotDisk {
            node: text("node", "node"),
            file_name: text("filename", "fileName"),
        });
    }
    found
}

pub(super) fn check_links(nodes: &[SnapshotNode], defects: &mut DefectList) {
    let mut by_uid: BTreeMap<u64, &SnapshotNode> = BTreeMap::new();
    for node in nodes {
        if let Some(uid) = node.uid
            && by_uid.insert(uid, node).is_some()
        {
            let expected = "a uid of its own".to_owned();
            let found = format!("{uid}, which another snapshot has");
            defects.add_at("snapshotN.uid", node.at, DefectKind::Mismatch { expected, found });
        }
    }
    let mut sound: BTreeSet<u64> = BTreeSet::new();
    for node in nodes {
        if let Some(parent) = node.parent.filter(|parent| !by_uid.contains_key(parent)) {
            let what = format!("the parent of snapshot{}, uid {parent},", node.index);
            defects.add_at("snapshotN.parent", node.at, DefectKind::Missing { what });
        }
        // Each node is walked over once: a walk stops at what an earlier one found sound.
        let mut path: BTreeSet<u64> = BTreeSet::new();
        let mut next = node.uid;
        while let Some(uid) = next.filter(|uid| !sound.contains(uid)) {
            if !path.insert(uid) {
                let expected = "a tree".to_owned();
                let found = format!("a circle through uid {uid}");
                defects.add_at(
                    "snapshotN.parent",
                    node.at,
                    DefectKind::Mismatch { expected, found },
                );
                break;
            }
            next = by_uid.get(&uid).and_then(|node| node.parent);
        }
        sound.append(&mut path);
    }
}
