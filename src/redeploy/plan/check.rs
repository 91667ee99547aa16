//! Whether a plan holds together: its values first, then its files.

use std::collections::{BTreeMap, BTreeSet};

use vmglean_formats::ReadAt as _;

use super::{Disk, Form, Machine, Plan, Route, disk::kind, stamp};
use crate::redeploy::vsphere::{Controller, Thumbprint};

const MAX_NAME: usize = 80;

/// Values that need no file and no server.
pub(super) fn values(plan: &Plan) -> Result<(), String> {
    if plan.machines.is_empty() {
        return Err("the plan has no machine".to_owned());
    }
    if plan.limits.machines == 0 || plan.limits.machines_per_host == 0 {
        return Err("limits: nothing at a time makes nothing".to_owned());
    }
    if let Some(text) = &plan.server.thumbprint {
        text.parse::<Thumbprint>().map_err(|error| format!("server.thumbprint: {error}"))?;
    }
    if plan.network.name.trim().is_empty() {
        return Err("network.name is empty".to_owned());
    }
    if plan.network.make_isolated && plan.network.switch.trim().is_empty() {
        return Err("network.switch is empty, so there is none to make".to_owned());
    }
    let mut names = BTreeSet::new();
    let mut places = BTreeSet::new();
    let mut macs: BTreeMap<String, &str> = BTreeMap::new();
    let mut uuids: BTreeMap<&str, &str> = BTreeMap::new();
    for machine in &plan.machines {
        let name = machine.name.as_str();
        one(machine).map_err(|why| format!("machine {name:?}: {why}"))?;
        if !names.insert(name) {
            return Err(format!("two machines are called {name:?}"));
        }
        if machine.route != Route::Import && !places.insert((&machine.datastore, machine.folder()))
        {
            return Err(format!(
                "two machines have the folder {:?} on {}",
                machine.folder(),
                machine.datastore
            ));
        }
        for mac in machine.nics.iter().filter_map(|nic| nic.mac.as_ref()) {
            if let Some(other) = macs.insert(mac.to_ascii_lowercase(), name) {
                return Err(format!("{other:?} and {name:?} have the same network address {mac}"));
            }
        }
        if let Some(uuid) = &machine.hardware.uuid
            && let Some(other) = uuids.insert(uuid, name)
        {
            return Err(format!("{other:?} and {name:?} have the same uuid {uuid}"));
        }
    }
    Ok(())
}

fn one(machine: &Machine) -> Result<(), String> {
    let name = &machine.name;
    if name.trim().is_empty() || name.chars().count() > MAX_NAME {
        return Err(format!("a name has 1 to {MAX_NAME} characters"));
    }
    if name.contains(['/', '\\', '%']) || name.chars().any(char::is_control) {
        return Err("a name holds no slash, backslash, percent or control character".to_owned());
    }
    for (what, value) in [("host", &machine.host), ("datastore", &machine.datastore)] {
        if value.trim().is_empty() {
            return Err(format!("{what} is empty"));
        }
    }
    let folder = machine.folder();
    if folder.contains(['/', '\\', '[', ']'])
        || matches!(folder.trim(), "" | "." | "..")
        || folder.chars().any(char::is_control)
    {
        return Err(format!("directory {folder:?} is no plain folder name"));
    }
    let hardware = &machine.hardware;
    if hardware.cpus == 0 || hardware.memory_mib < 4 {
        return Err("it needs at least 1 processor and 4 MiB of memory".to_owned());
    }
    if !matches!(hardware.firmware.as_str(), "bios" | "efi") {
        return Err(format!("firmware {:?} is neither bios nor efi", hardware.firmware));
    }
    if machine.disks.is_empty() {
        return Err("it has no disk".to_owned());
    }
    let mut units = BTreeSet::new();
    let mut files = BTreeSet::new();
    for disk in &machine.disks {
        let place = (disk.controller, disk.bus, disk.unit);
        let (buses, most) = match disk.controller {
            Controller::Ide => (2, 1),
            Controller::Sata => (4, 29),
            Controller::Nvme => (4, 14),
            _ => (4, 15),
        };
        let scsi =
            !matches!(disk.controller, Controller::Ide | Controller::Sata | Controller::Nvme);
        if disk.bus >= buses || disk.unit > most || (scsi && disk.unit == 7) {
            return Err(format!("a disk cannot be at bus {} unit {}", disk.bus, disk.unit));
        }
        if !units.insert(place) {
            return Err(format!("two disks are at bus {} unit {}", disk.bus, disk.unit));
        }
        if (machine.route == Route::Import) != disk.is_stream() {
            return Err(format!(
                "{} does not travel by this route: imports take streams, the others descriptor and flat file",
                disk.data.display()
            ));
        }
        if disk.form != Form::AsIs
            && (disk.descriptor.is_some() || disk.size_bytes % 512 != 0 || disk.offset_bytes != 0)
        {
            return Err(format!(
                "{} has a form, so it has no descriptor, no offset, and whole sectors",
                disk.data.display()
            ));
        }
        if let Some((descriptor, data)) = disk.names()
            && ![descriptor, data].into_iter().all(|name| files.insert(name))
        {
            return Err(format!("two files of it have the name of {}", disk.data.display()));
        }
        if let Some(sha256) = &disk.sha256
            && (sha256.len() != 64 || !sha256.chars().all(|c| c.is_ascii_hexdigit()))
        {
            return Err(format!("sha256 of {} is none", disk.data.display()));
        }
    }
    if machine.route == Route::Register && machine.vmx.is_none() {
        return Err("there is no vmx to register; route = \"create\" needs none".to_owned());
    }
    for nic in &machine.nics {
        if nic_kind(&nic.kind).is_none() {
            return Err(format!(
                "network card {:?} is none of vmxnet3, vmxnet2, e1000, e1000e, pcnet32",
                nic.kind
            ));
        }
        let parts = |mac: &str| {
            let parts: Vec<&str> = mac.split(':').collect();
            parts.len() == 6
                && parts.iter().all(|p| p.len() == 2 && p.chars().all(|c| c.is_ascii_hexdigit()))
        };
        if let Some(mac) = &nic.mac
            && !parts(mac)
        {
            return Err(format!("{mac:?} is no network address"));
        }
    }
    Ok(())
}

/// The schema's name of a network card.
pub(crate) fn nic_kind(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "vmxnet3" => "VirtualVmxnet3",
        "vmxnet" | "vmxnet2" => "VirtualVmxnet2",
        "e1000" => "VirtualE1000",
        "e1000e" => "VirtualE1000e",
        "pcnet32" | "vlance" => "VirtualPCNet32",
        _ => return None,
    })
}

fn changed(name: &str, disk: &Disk) -> String {
    let data = disk.data.display();
    format!("{name}: {data} changed since the plan was made; make the plan anew")
}

/// Whether the files are there and the same as when the plan was made; one line for each that is
/// not.
#[must_use]
pub fn check(plan: &Plan) -> Vec<String> {
    let mut wrong = Vec::new();
    for machine in &plan.machines {
        let name = &machine.name;
        let small = [machine.vmx.as_ref(), machine.nvram.as_ref()];
        let small = small.into_iter().flatten();
        for path in small.chain(machine.disks.iter().filter_map(|disk| disk.descriptor.as_ref())) {
            if let Err(error) = machine.open(path) {
                wrong.push(format!("{name}: {error}"));
            }
        }
        for disk in &machine.disks {
            match machine.open(&disk.data) {
                Err(error) => wrong.push(format!("{name}: {error}")),
                Ok(file) if disk.form == Form::Sparse => {
                    if stamp(&file) != disk.modified || disk.read(machine).is_err() {
                        wrong.push(changed(name, disk));
                    }
                }
                Ok(file) => {
                    let end = disk.offset_bytes.checked_add(disk.size_bytes);
                    let fits = if machine.route == Route::Import {
                        end.is_some_and(|end| end <= file.len_bytes())
                    } else {
                        end == Some(file.len_bytes())
                    };
                    if disk.form == Form::Raw && !matches!(kind(&file), Ok(None)) {
                        let data = disk.data.display();
                        wrong.push(format!("{name}: {data} is no raw disk by its first bytes"));
                    } else if !fits || stamp(&file) != disk.modified {
                        wrong.push(changed(name, disk));
                    }
                }
            }
        }
    }
    wrong
}
