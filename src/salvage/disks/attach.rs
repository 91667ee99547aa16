//! The configuration's lines that name disks, made to fit what the folder holds.

use std::collections::BTreeSet;

use vmglean_formats::vmx::{DeviceKind, Vmx};

use super::{Carried, Layout, disk_name};
use crate::{
    finding::Weight,
    salvage::{
        config::{Confidence, Fact, Rebuilt},
        plan::MachinePlan,
    },
    source::base_name,
};

/// Nodes of one controller; the seventh is the controller's own.
const UNITS: [u32; 15] = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15];

pub(super) fn attach(
    layout: &Layout<'_>,
    config: &mut Rebuilt,
    plan: &mut MachinePlan,
    facts: Vec<Fact>,
) {
    let read = Vmx::parse(&config.to_vmx()).value;
    let mut used: BTreeSet<usize> = BTreeSet::new();
    let mut nodes: BTreeSet<String> = BTreeSet::new();
    for device in &read.devices {
        nodes.insert(device.node.clone());
        let (DeviceKind::HardDisk, Some(name)) = (device.kind, &device.file_name) else { continue };
        match find(layout, &used, &device.node, name) {
            Some((number, depth)) => {
                used.insert(number);
                name_disk(layout, config, plan, &device.node, number, depth);
            }
            None if layout.options.config_only => {}
            None if device.present => {
                let key = format!("{}.present", device.node);
                config.change(
                    &key,
                    "FALSE",
                    "this disk was not found, or several disks grew from it",
                );
                let what = format!(
                    "{name} at {} was not found, or several disks grew from it",
                    device.node
                );
                let next = Some("look for it in other folders and datastores, or restore it");
                plan.tell("disk.missing", Weight::Damage, what, next);
            }
            None => {}
        }
    }
    for number in 0..plan.disks.len() {
        if used.contains(&number) {
            continue;
        }
        let Some(disk) = plan.disks.get(number) else { break };
        let Some(file) = disk.file.clone() else {
            if !config.complete && disk.carried == Carried::Left {
                let (name, reason) = (disk.name.clone(), disk.reason.clone());
                if let Some(node) = free_node(&nodes) {
                    guess_lines(config, &node, &name, "FALSE");
                    let what = format!("{name} is not in this folder: {reason}");
                    plan.tell("disk.left", Weight::Damage, what, None);
                    nodes.insert(node);
                }
            }
            continue;
        };
        if config.complete {
            let what =
                format!("{file} is in the folder, and no line of the configuration names it");
            plan.tell("disk.unattached", Weight::Note, what, None);
            continue;
        }
        let node = disk.node.clone().filter(|node| !nodes.contains(node));
        let Some(node) = node.or_else(|| free_node(&nodes)) else { continue };
        nodes.insert(node.clone());
        guess_lines(config, &node, &file, "TRUE");
        if let Some(disk) = plan.disks.get_mut(number) {
            disk.node = Some(node);
        }
    }
    if !config.complete {
        for fact in facts {
            config.add(fact);
        }
    }
}

/// The disk a line means, and how deep in its chain: by name at the top first, then as the disk
/// that another grew from.
fn find(
    layout: &Layout<'_>,
    used: &BTreeSet<usize>,
    node: &str,
    name: &str,
) -> Option<(usize, usize)> {
    let wanted = String::from_utf8_lossy(base_name(name.as_bytes())).to_lowercase();
    let disks = || layout.machine.disks.iter().enumerate().filter(|(n, _)| !used.contains(n));
    let same = disks().find(|(_, disk)| disk.node.as_deref() == Some(node) && disk.name == name);
    if let Some((number, _)) = same {
        return Some((number, 0));
    }
    let depth = |n: usize| {
        let disk = layout.machine.disks.get(n)?;
        (0..disk.chain.len())
            .find(|at| disk_name(layout.opener, disk, *at).is_some_and(|name| name == wanted))
    };
    let mut found: Vec<(usize, usize)> =
        disks().filter_map(|(n, _)| Some((depth(n)?, n))).collect();
    found.sort_unstable();
    let (depth, number) = *found.first()?;
    // Two disks that grew from one: nothing says which of them is meant.
    let rivals = found.iter().filter(|(other, _)| *other > 0).count();
    (depth == 0 || rivals == 1).then_some((number, depth))
}

fn name_disk(
    layout: &Layout<'_>,
    config: &mut Rebuilt,
    plan: &mut MachinePlan,
    node: &str,
    number: usize,
    depth: usize,
) {
    let Some(disk) = plan.disks.get_mut(number) else { return };
    disk.node.get_or_insert_with(|| node.to_owned());
    match &disk.file {
        Some(file) => {
            let why = if disk.links_left_out > 0 {
                "the snapshot point below the damaged disks"
            } else if depth > 0 {
                "the disk that grew from the one an older copy names"
            } else {
                "the file lies in this folder under this name"
            };
            config.change(&format!("{node}.fileName"), file, why);
            // Persistent or not, an undeclared disk is not there for VMware.
            if !config.is_true(&format!("{node}.present")) {
                let what = format!("{file} at {node} is switched off in the configuration");
                plan.tell("disk.not-present", Weight::Note, what, None);
            }
        }
        None if layout.options.config_only && disk.carried != Carried::Left => {}
        None => {
            let why = format!("this disk is not in this folder: {}", disk.reason);
            config.change(&format!("{node}.present"), "FALSE", &why);
        }
    }
}

fn free_node(taken: &BTreeSet<String>) -> Option<String> {
    (0..4)
        .flat_map(|controller| UNITS.map(|unit| format!("scsi{controller}:{unit}")))
        .find(|node| !taken.contains(node))
}

fn guess_lines(config: &mut Rebuilt, node: &str, file: &str, present: &str) {
    let controller = node.split(':').next().unwrap_or(node);
    let mut put = |key: String, value: &str, why: &str| {
        config.add(Fact {
            key,
            value: value.to_owned(),
            confidence: Confidence::Guessed,
            place: None,
            why: why.to_owned(),
        });
    };
    let why = "a disk of this folder that no copy of the configuration names";
    put(format!("{controller}.present"), "TRUE", why);
    put(format!("{node}.present"), present, why);
    put(format!("{node}.fileName"), file, why);
    let kind = if controller.starts_with("scsi") { "scsi-hardDisk" } else { "disk" };
    put(format!("{node}.deviceType"), kind, why);
}
