//! Values that follow from others by a rule of VMware's, or that the disk's own files tell.

use vmglean_formats::{
    log::VmwareLog, nvram::FirmwareKind, vmdk::Descriptor, vmx::derive_generated_address,
};

use super::{
    gather::{Gathered, Opener},
    merge::{Confidence, Fact, Rebuilt},
    piece::Place,
};
use crate::source::RecordPath;

fn derived(key: &str, value: String, place: Option<Place>, why: &str) -> Fact {
    let (key, why) = (key.to_owned(), why.to_owned());
    Fact { key, value, confidence: Confidence::Derived, place, why }
}

fn of_file(path: &RecordPath) -> Place {
    Place { path: path.clone(), inside: None, offset_bytes: 0, line: None }
}

/// Adds what follows from the values found and from the other small files.
pub fn derive(rebuilt: &mut Rebuilt, found: &Gathered, opener: &Opener<'_>) {
    identity(rebuilt, found, opener);
    if !rebuilt.complete {
        firmware(rebuilt, found);
        memory(rebuilt, found);
    }
    addresses(rebuilt);
}

/// Uuids that the log prints outside of its configuration, and those of checkpoints.
fn identity(rebuilt: &mut Rebuilt, found: &Gathered, opener: &Opener<'_>) {
    let shown = |id| of_file(&RecordPath::from(opener.file(id).shown.clone()));
    let log = |pick: fn(&VmwareLog) -> Option<&String>| {
        found.logs.iter().find_map(|(id, log)| Some((*id, pick(log)?.clone())))
    };
    for (key, told) in [
        ("uuid.bios", log(|log| log.uuid_bios.as_ref())),
        ("uuid.location", log(|log| log.uuid_location.as_ref())),
    ] {
        if let Some((id, uuid)) = told {
            let why = "the log prints it when the machine starts";
            rebuilt.add(derived(key, uuid, Some(shown(id)), why));
        }
    }
    if let Some((id, checkpoint)) = found.checkpoints.iter().find(|(_, c)| c.bios_uuid.is_some())
        && let Some(uuid) = &checkpoint.bios_uuid
    {
        let why = "a checkpoint holds it in binary";
        rebuilt.add(derived("uuid.bios", uuid.clone(), Some(shown(*id)), why));
    }
}

/// The kind of the `.nvram` is that of the firmware.
fn firmware(rebuilt: &mut Rebuilt, found: &Gathered) {
    if let Some((path, FirmwareKind::Efi)) = &found.firmware {
        let why = "the .nvram holds an EFI variable store";
        rebuilt.add(derived("firmware", "efi".to_owned(), Some(of_file(path)), why));
    }
}

fn memory(rebuilt: &mut Rebuilt, found: &Gathered) {
    if let Some(mib) = found.checkpoints.iter().find_map(|(_, c)| c.memory_mib) {
        let why = "a checkpoint states the size of its memory";
        rebuilt.add(derived("memsize", mib.to_string(), None, why));
    }
}

/// Addresses VMware generates from `uuid.bios`.
fn addresses(rebuilt: &mut Rebuilt) {
    let Some(uuid) = rebuilt.value("uuid.bios").map(str::to_owned) else { return };
    for card in 0..10_u32 {
        let key = |field: &str| format!("ethernet{card}.{field}");
        let is_generated = rebuilt
            .value(&key("addressType"))
            .is_none_or(|kind| kind.eq_ignore_ascii_case("generated"));
        if !rebuilt.is_true(&key("present")) || !is_generated {
            continue;
        }
        let offset = rebuilt.value(&key("generatedAddressOffset")).and_then(|n| n.parse().ok());
        let confidence = if offset.is_some() { Confidence::Derived } else { Confidence::Guessed };
        let why = match offset {
            Some(offset) => format!("00:0c:29 and the end of uuid.bios plus {offset}"),
            None => format!("00:0c:29 and the end of uuid.bios plus {}, by custom", card * 10),
        };
        let offset = offset.unwrap_or(card * 10);
        if let Some(value) = derive_generated_address(&uuid, offset) {
            rebuilt.add(Fact { key: key("generatedAddress"), value, confidence, place: None, why });
        }
    }
}

/// What a disk's descriptor says of the machine: the version of its virtual hardware, the
/// adapter it hung at.
#[must_use]
pub fn from_descriptor(
    path: &RecordPath,
    descriptor: &Descriptor,
    node: Option<&str>,
) -> Vec<Fact> {
    let place = |name: &str| {
        descriptor.entry(name).map(|entry| Place {
            path: path.clone(),
            inside: None,
            offset_bytes: entry.at.0,
            line: Some(entry.line),
        })
    };
    let mut facts = Vec::new();
    let version = descriptor.get("ddb.virtualHWVersion").map(str::trim);
    if let Some(version) = version.filter(|v| v.parse::<u16>().is_ok_and(|v| (3..=64).contains(&v)))
    {
        let why = "the descriptor's own, from when the disk was made or last upgraded";
        let at = place("ddb.virtualHWVersion");
        facts.push(derived("virtualHW.version", version.to_owned(), at, why));
    }
    if let Some(controller) = node.and_then(|node| node.split(':').next())
        && controller.starts_with("scsi")
    {
        let adapter = descriptor.adapter_type().unwrap_or_default().to_ascii_lowercase();
        let device = if adapter == "buslogic" { "buslogic" } else { "lsilogic" };
        let at = place("ddb.adapterType");
        let why = "by the descriptor's ddb.adapterType, which says lsilogic for pvscsi too";
        facts.push(Fact {
            confidence: Confidence::Guessed,
            ..derived(&format!("{controller}.virtualDev"), device.to_owned(), at, why)
        });
    }
    facts
}
