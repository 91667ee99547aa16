//! What the server made held against the plan; what it left out is added.

use super::{Error, Host, Machine, MoRef, Route, Run, StepError};
use crate::redeploy::{
    config,
    estate::{self, TOKEN_KEY},
    plan::{Disk, nic_kind},
    vsphere::{Backing, DiskSpec, MachineSpec, NicSpec, Node},
};

impl Run<'_> {
    pub(super) fn disk_specs(
        &self,
        machine: &Machine,
        backing: impl Fn(&Disk) -> Backing,
    ) -> Vec<DiskSpec> {
        let spec = |disk: &Disk| DiskSpec {
            controller: disk.controller,
            bus: disk.bus,
            unit: disk.unit,
            backing: backing(disk),
            capacity_bytes: disk.capacity_bytes,
        };
        machine.disks.iter().map(spec).collect()
    }

    fn nic_specs(&self, machine: &Machine, host: &Host) -> Result<Vec<NicSpec>, StepError> {
        // Networks made a moment ago are not in the estate that was read before.
        let known = self.server.list("Network", &["name"])?;
        let now = self.server.properties(&host.mo, &["network"])?.objects("network");
        let mut specs = Vec::new();
        for nic in &machine.nics {
            let name = nic.network.as_deref().unwrap_or(&self.plan.network.name);
            let mut called =
                known.iter().filter(|object| object.properties.text("name") == Some(name));
            let on_host = called.clone().find(|object| now.contains(&object.mo));
            // A host tells a new network a moment late; where there is one of the name, it is it.
            let only = called.next().filter(|_| called.next().is_none());
            let network_mo = on_host.or(only).map(|object| object.mo.clone()).ok_or_else(|| {
                StepError::Refused(format!("{} has no network {name:?}", host.name))
            })?;
            specs.push(NicSpec {
                kind: nic_kind(&nic.kind).unwrap_or("VirtualE1000").to_owned(),
                network: name.to_owned(),
                network_mo,
                mac: nic.mac.clone(),
                connected: nic.connected,
            });
        }
        Ok(specs)
    }

    /// The whole specification of a machine.
    pub(super) fn spec(
        &self,
        machine: &Machine,
        host: &Host,
        disks: Vec<DiskSpec>,
        own: Option<&[u8]>,
        token: &str,
    ) -> Result<MachineSpec, StepError> {
        let hardware = &machine.hardware;
        let mut extra = config::extra(own, token);
        if let Some(nvram) = machine.nvram.as_ref().filter(|_| machine.route == Route::Create) {
            extra.push(("nvram".to_owned(), nvram.to_string_lossy().into_owned()));
        }
        Ok(MachineSpec {
            name: Some(machine.name.clone()),
            version: hardware.version.map(|version| format!("vmx-{version:02}")),
            uuid: hardware.uuid.clone(),
            guest_id: Some(hardware.guest_id.clone()),
            annotation: Some(config::annotation(self.plan, machine, None)),
            vmx_path: Some(format!("[{}]", machine.datastore)),
            cpus: Some(hardware.cpus),
            cores_per_socket: None,
            memory_mib: Some(hardware.memory_mib),
            disks,
            nics: self.nic_specs(machine, host)?,
            extra,
            firmware: Some(hardware.firmware.clone()),
            secure_boot: (hardware.firmware == "efi" && hardware.secure_boot).then_some(true),
        })
    }

    /// Adds what is missing, then looks whether all is as planned.
    pub(super) fn settle(
        &self,
        machine: &Machine,
        host: &Host,
        mo: &MoRef,
        disks: Vec<DiskSpec>,
        token: &str,
    ) -> Result<(), StepError> {
        let seen = self.seen(mo)?;
        let nics = self.nic_specs(machine, host)?;
        let mut missing = MachineSpec::default();
        if seen.disks == 0 {
            missing.disks = disks;
        }
        for (i, wanted) in nics.iter().enumerate() {
            match seen.nics.get(i) {
                None => missing.nics.push(wanted.clone()),
                Some(card) if card.network == wanted.network => {}
                Some(card) => {
                    let edit = NicSpec { kind: card.kind.clone(), ..wanted.clone() };
                    self.server.move_nic(mo, card.key, &edit, self.stop)?;
                }
            }
        }
        if !seen.annotation.contains("Redeployed by vmglean") {
            missing.annotation = Some(config::annotation(self.plan, machine, None));
        }
        if seen.firmware != machine.hardware.firmware {
            missing.firmware = Some(machine.hardware.firmware.clone());
        }
        let marked = estate::machine(self.server, mo)?.and_then(|found| found.token);
        if marked.as_deref() != Some(token) {
            missing.extra = vec![(TOKEN_KEY.to_owned(), token.to_owned())];
        }
        if missing != MachineSpec::default() {
            self.server.reconfigure(mo, &missing, self.stop)?;
        }
        self.as_planned(machine, mo)
    }

    /// Whether a machine has the disks and stands on the networks of the plan.
    pub(super) fn as_planned(&self, machine: &Machine, mo: &MoRef) -> Result<(), StepError> {
        let seen = self.seen(mo)?;
        if seen.disks != machine.disks.len() {
            return Err(StepError::Unverified(format!(
                "the server shows {} disks, the plan has {}",
                seen.disks,
                machine.disks.len()
            )));
        }
        for (i, card) in seen.nics.iter().enumerate() {
            let wanted = machine
                .nics
                .get(i)
                .map(|nic| nic.network.as_deref().unwrap_or(&self.plan.network.name));
            if wanted != Some(card.network.as_str()) {
                return Err(StepError::Unverified(format!(
                    "network card {} is on {:?}, the plan says {:?}",
                    i + 1,
                    card.network,
                    wanted.unwrap_or("none")
                )));
            }
        }
        Ok(())
    }

    fn seen(&self, mo: &MoRef) -> Result<Seen, Error> {
        let paths = ["config.hardware.device", "config.annotation", "config.firmware"];
        let found = self.server.properties(mo, &paths)?;
        let devices = found.get("config.hardware.device").map(|list| list.children.as_slice());
        let devices = devices.unwrap_or_default();
        let card = |device: &Node| {
            // Only network cards have this member.
            device.child("addressType")?;
            Some(Card {
                key: device.number_at(&["key"])?,
                kind: device.kind.clone()?,
                network: device.text_at(&["backing", "deviceName"]).unwrap_or_default().to_owned(),
            })
        };
        Ok(Seen {
            disks: devices.iter().filter(|d| d.kind.as_deref() == Some("VirtualDisk")).count(),
            nics: devices.iter().filter_map(card).collect(),
            annotation: found.text("config.annotation").unwrap_or_default().to_owned(),
            firmware: found.text("config.firmware").unwrap_or_default().to_owned(),
        })
    }
}

struct Card {
    key: i64,
    kind: String,
    network: String,
}

struct Seen {
    disks: usize,
    nics: Vec<Card>,
    annotation: String,
    firmware: String,
}
