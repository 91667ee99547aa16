//! Machines imported through a lease. What a broken lease leaves is removed before the next try.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use super::{Host, Machine, MoRef, Phase, Run, Step, StepError};
use crate::redeploy::{
    estate,
    vsphere::{Backing, DeviceUrl, Lease, Watch},
};

impl Run<'_> {
    pub(super) fn import(
        &self,
        machine: &Machine,
        host: &Host,
        token: &str,
    ) -> Result<MoRef, StepError> {
        self.clear_half(machine, token)?;
        let (folder, _) = self.place(host)?;
        let own = machine.vmx.as_deref().map(|path| machine.read(path)).transpose()?;
        let store = format!("[{}]", machine.datastore);
        let disks = self.disk_specs(machine, |_| Backing::New(store.clone()));
        let spec = self.spec(machine, host, disks.clone(), own.as_deref(), token)?;
        let name = Some(machine.name.as_str());
        let begun = Step::Made { mo: None, lease: None };
        self.journal.note(name, Phase::Begin, &begun, None)?;
        let done = self.through_lease(machine, &spec, host, folder).and_then(|mo| {
            self.settle(machine, host, &mo, disks, token)?;
            Ok(mo)
        });
        if done.is_err() && !self.server_is_gone() {
            // Nothing half is left behind; where this fails too, the next run does it first.
            if let Err(error) = self.clear_half(machine, token) {
                (self.say)(&format!("{}: clearing up: {error}", machine.name));
            }
        }
        done
    }

    fn through_lease(
        &self,
        machine: &Machine,
        spec: &crate::redeploy::vsphere::MachineSpec,
        host: &Host,
        folder: &MoRef,
    ) -> Result<MoRef, StepError> {
        let name = Some(machine.name.as_str());
        let lease = self.server.import(spec, &host.pool, folder, Some(&host.mo))?;
        let step = |mo| Step::Made { mo, lease: Some(lease.clone()) };
        self.journal.note(name, Phase::Begin, &step(None), None)?;
        let ready = self.server.lease_ready(&lease, self.stop)?;
        self.journal.note(name, Phase::Begin, &step(Some(ready.machine.clone())), None)?;
        let devices = places(machine, &ready)?;
        let total = machine.bytes().max(1);
        let sent = AtomicU64::new(0);
        let (end, ended) = channel::<()>();
        let every = (ready.timeout / 3).min(Duration::from_secs(20));
        let all = thread::scope(|scope| {
            let (server, sent, lease) = (self.server, &sent, &lease);
            scope.spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(every) {
                    let percent = sent.load(Ordering::Relaxed).saturating_mul(100) / total;
                    // One that is lost is harmless; the next one tells the same.
                    let _ = server.lease_progress(lease, percent.min(99));
                }
            });
            let moved = |bytes: u64| {
                sent.fetch_add(bytes, Ordering::Relaxed);
                (self.moved)(bytes);
            };
            let watch = Watch { moved: &moved, ..self.watch() };
            let done = self.send_disks(machine, &devices, watch);
            drop(end);
            done
        });
        all?;
        self.server.lease_complete(&lease)?;
        self.journal.note(name, Phase::Done, &step(Some(ready.machine.clone())), None)?;
        Ok(ready.machine)
    }

    fn send_disks(
        &self,
        machine: &Machine,
        devices: &[DeviceUrl],
        watch: Watch<'_>,
    ) -> Result<(), StepError> {
        let name = Some(machine.name.as_str());
        for (index, (disk, device)) in machine.disks.iter().zip(devices).enumerate() {
            let step = |sha256| Step::Disk { index, size_bytes: disk.size_bytes, sha256 };
            self.journal.note(name, Phase::Begin, &step(None), None)?;
            let source = Box::new(disk.read(machine)?);
            let sent = self.server.send_disk(device, source, disk.size_bytes, watch)?;
            if let Some(wanted) = &disk.sha256
                && !wanted.eq_ignore_ascii_case(&sent.sha256)
            {
                return Err(StepError::Unverified(format!(
                    "{}: sent {}, the plan says {wanted}; the source changed",
                    disk.data.display(),
                    sent.sha256
                )));
            }
            self.journal.note(name, Phase::Done, &step(Some(sent.sha256)), None)?;
        }
        Ok(())
    }

    /// Removes what an import that did not end left: only a machine that carries our mark.
    fn clear_half(&self, machine: &Machine, token: &str) -> Result<(), StepError> {
        let Some((Step::Made { lease, .. }, phase)) = self.record(machine).made else {
            return Ok(());
        };
        if phase == Phase::Undone {
            return Ok(());
        }
        if let Some(lease) = &lease {
            // Gone already, or done: what matters is what is left of the machine.
            let _ = self.server.lease_abort(lease);
        }
        let left = estate::machines(self.server)?
            .into_iter()
            .find(|found| found.token.as_deref() == Some(token));
        if let Some(left) = left {
            if left.powered_on {
                return Err(StepError::Refused(format!(
                    "{} was begun by us but runs already; it is left alone",
                    left.name
                )));
            }
            match self.server.destroy(&left.mo, self.stop) {
                Err(error) if error.fault_kind() != Some("ManagedObjectNotFound") => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        let step = Step::Made { mo: None, lease: None };
        self.journal.note(Some(&machine.name), Phase::Undone, &step, None)?;
        Ok(())
    }

    fn server_is_gone(&self) -> bool {
        let instance = MoRef::new("ServiceInstance", "ServiceInstance");
        self.server.act("CurrentTime", &instance, |_| {}).is_err()
    }
}

/// Which address takes which disk: by the controller and place in its key, else by order.
fn places(machine: &Machine, lease: &Lease) -> Result<Vec<DeviceUrl>, StepError> {
    let disks: Vec<&DeviceUrl> = lease.devices.iter().filter(|device| device.is_disk).collect();
    if disks.len() != machine.disks.len() {
        return Err(StepError::Unverified(format!(
            "the lease takes {} disks, the plan has {}",
            disks.len(),
            machine.disks.len()
        )));
    }
    let named: Vec<DeviceUrl> = machine
        .disks
        .iter()
        .filter_map(|disk| {
            let end = format!("{}{}:{}", disk.controller.kind(), disk.bus, disk.unit);
            let mut found = disks
                .iter()
                .filter(|d| d.import_key.as_deref().is_some_and(|key| key.ends_with(&end)));
            found.next().filter(|_| found.next().is_none()).map(|device| (*device).clone())
        })
        .collect();
    if named.len() == disks.len() {
        return Ok(named);
    }
    Ok(disks.into_iter().cloned().collect())
}
