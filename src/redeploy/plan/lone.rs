//! A machine of which only a disk is left: its hardware is guessed, as salvage guesses it.

use std::path::Path;

use vmglean_formats::{ByteOffset, vmdk::Descriptor, vmx::Vmx};

use super::{
    Machine, Route,
    disk::{Found, chain, named, stem},
    source::{open, read_small},
    vmx::{of, place},
};
use crate::{
    salvage::config::{
        Confidence, Fact, Guest, HostFacts, Rebuilt, from_descriptor, guess, look_at_disk,
    },
    source::RecordPath,
};

const NODE: &str = "scsi0:0";
const MAX_DESCRIPTOR: u64 = 64 << 10;

/// Keys of the guessed configuration that a plan has, and what they are called there.
const SHOWN: [(&str, &str); 6] = [
    ("guestOS", "hardware.guest_id"),
    ("firmware", "hardware.firmware"),
    ("memsize", "hardware.memory_mib"),
    ("numvcpus", "hardware.cpus"),
    ("virtualHW.version", "hardware.version"),
    ("scsi0.virtualDev", "disk.controller"),
];

/// Makes a machine of the disk that is called `name`. `Err` says in one line why none can be.
pub(super) fn machine(folder: &Path, name: &Path) -> Result<Machine, String> {
    let shown = folder.join(name);
    // The flat file of a disk that has its descriptor beside it is that disk.
    let stem = stem(name).ok_or_else(|| format!("{}: its name is no text", shown.display()))?;
    let beside = Path::new(&stem).with_extension("vmdk");
    let is_flat = name.to_string_lossy().to_ascii_lowercase().ends_with("-flat.vmdk");
    let name = if is_flat && open(folder, &beside).is_ok() { &beside } else { name };
    let found = named(folder, name)?;
    let disk_name = found.descriptor.as_deref().unwrap_or(&found.data);
    let (guest, described) = seen(folder, disk_name, &found);
    let config = guessed(&stem, &guest, &shown, described.as_ref(), disk_name);
    let read = Vmx::parse(&config.to_vmx()).value;
    let (controller, bus, unit) =
        place(&read, NODE).ok_or_else(|| format!("{}: it has no place", shown.display()))?;
    let disk = found.at(controller, bus, unit);
    let route = if disk.is_stream() { Route::Import } else { Route::Create };
    let mut machine = of(&read, stem, folder, route, vec![disk]);
    for nic in &mut machine.nics {
        nic.connected = false;
        nic.was = None;
    }
    machine.guessed = reasons(&config);
    if guest.seen.is_empty() {
        machine.notes.push(
            "nothing at the disk's start looks like a partition table; sweep it before it is sent"
                .to_owned(),
        );
    }
    Ok(machine)
}

/// What the disk tells of its guest, and its descriptor, wherever that lies.
fn seen(folder: &Path, name: &Path, found: &Found) -> (Guest, Option<Descriptor>) {
    let guest = chain(folder, name).map(|chain| look_at_disk(chain.disk())).unwrap_or_default();
    let text = found
        .descriptor
        .as_ref()
        .and_then(|path| read_small(folder, path, MAX_DESCRIPTOR).ok())
        .map(|text| Descriptor::parse(&text, ByteOffset(0)).value);
    (guest, text)
}

/// The configuration that salvage would write for the disk.
fn guessed(
    name: &str,
    guest: &Guest,
    shown: &Path,
    described: Option<&Descriptor>,
    disk: &Path,
) -> Rebuilt {
    let mut config = Rebuilt::default();
    let why = "the only disk there is";
    for (key, value) in [
        ("scsi0.present".to_owned(), "TRUE".to_owned()),
        (format!("{NODE}.present"), "TRUE".to_owned()),
        (format!("{NODE}.fileName"), disk.to_string_lossy().into_owned()),
        (format!("{NODE}.deviceType"), "scsi-hardDisk".to_owned()),
    ] {
        let (place, why) = (None, why.to_owned());
        config.add(Fact { key, value, confidence: Confidence::Guessed, place, why });
    }
    if let Some(described) = described {
        let path = RecordPath::from(shown.to_path_buf());
        for fact in from_descriptor(&path, described, Some(NODE)) {
            config.add(fact);
        }
    }
    guess(&mut config, name, guest, &HostFacts::default());
    config
}

/// Why each value is what it is, under the name that it has in a plan.
fn reasons(config: &Rebuilt) -> Vec<String> {
    let mut reasons = Vec::new();
    for (key, shown) in SHOWN {
        let why = config.line(key).and_then(|line| line.why.clone());
        let why = match key {
            "firmware" => {
                why.unwrap_or_else(|| "bios: nothing on the disk asks for EFI".to_owned())
            }
            "scsi0.virtualDev" => why.unwrap_or_else(|| "every guest has its driver".to_owned()),
            _ => why.unwrap_or_else(|| "nothing tells".to_owned()),
        };
        reasons.push(format!("{shown}: {why}"));
    }
    reasons.push("nic: not connected; nothing tells its network or address".to_owned());
    reasons
}
