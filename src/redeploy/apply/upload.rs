//! Machines whose files lie on the datastore: folder, files, then the inventory.

use std::{
    io::{Cursor, Read},
    path::Path,
};

use super::{Host, Machine, MoRef, Phase, Record, Route, Run, Step, StepError};
use crate::redeploy::{
    config, estate,
    plan::Disk,
    vsphere::{Backing, Watch},
};

/// A file to send.
enum Content<'a> {
    Whole(Vec<u8>),
    Flat(&'a Disk),
}

impl Run<'_> {
    pub(super) fn uploaded(
        &self,
        machine: &Machine,
        host: &Host,
        token: &str,
    ) -> Result<MoRef, StepError> {
        let (folder, datacenter) = self.place(host)?;
        let datastore = self.estate.datastore(host, &machine.datastore).ok_or_else(|| {
            StepError::Refused(format!("{} does not reach {}", host.name, machine.datastore))
        })?;
        let root = format!("[{}] {}", machine.datastore, machine.folder());
        let record = self.record(machine);
        self.make_folder(machine, host, &datastore.mo, &root, &record)?;

        let own = machine.vmx.as_deref().map(|path| machine.read(path)).transpose()?;
        let vmx_name = format!("{}.vmx", machine.folder());
        let mut files: Vec<(String, Content)> = Vec::new();
        for disk in &machine.disks {
            let (descriptor, flat) = names(disk)?;
            let content = match &disk.descriptor {
                Some(own) => machine.read(own)?,
                None => disk.written_descriptor(&flat),
            };
            files.push((flat, Content::Flat(disk)));
            files.push((descriptor, Content::Whole(content)));
        }
        let nvram = match &machine.nvram {
            Some(path) => Some((file_name(path)?, Content::Whole(machine.read(path)?))),
            None => None,
        };
        // A host that makes a machine makes its .nvram too, and may not like to find one.
        let (before, after) = match machine.route {
            Route::Create => (None, nvram),
            Route::Register | Route::Import => (nvram, None),
        };
        files.extend(before);
        if machine.route == Route::Register {
            let text =
                config::vmx_text(self.plan, machine, own.as_deref().unwrap_or_default(), token);
            files.push((vmx_name.clone(), Content::Whole(text.into_bytes())));
        }
        for (name, content) in &files {
            self.send(machine, host, datacenter, (&root, name), content, &record)?;
        }

        let vmx_path = format!("{root}/{vmx_name}");
        let mo = self.enter_inventory(machine, host, (folder, &vmx_path), own.as_deref(), token)?;
        if let Some((name, content)) = &after {
            self.send(machine, host, datacenter, (&root, name), content, &record)?;
        }
        let disks = self.disk_specs(machine, |disk| sent(disk, &root));
        self.settle(machine, host, &mo, disks, token)?;
        Ok(mo)
    }

    fn make_folder(
        &self,
        machine: &Machine,
        host: &Host,
        datastore: &MoRef,
        root: &str,
        record: &Record,
    ) -> Result<(), StepError> {
        let step = Step::Folder {
            path: root.to_owned(),
            datastore: datastore.clone(),
            datacenter: host.datacenter.clone(),
        };
        let phase = record.folder.as_ref().filter(|(known, _)| *known == step).map(|(_, p)| *p);
        if phase == Some(Phase::Done) {
            return Ok(());
        }
        let name = Some(machine.name.as_str());
        match (self.server.folder(datastore, root, self.stop)?, phase) {
            // Begun by us, and nobody put anything there: ours.
            (Some(files), Some(Phase::Begin)) if files.is_empty() => {}
            (Some(_), _) => {
                return Err(StepError::Refused(format!(
                    "the folder {root} is there already and is left alone"
                )));
            }
            (None, _) => {
                self.journal.note(name, Phase::Begin, &step, None)?;
                self.server.make_folder(root, Some(&host.datacenter))?;
            }
        }
        self.journal.note(name, Phase::Done, &step, None)?;
        Ok(())
    }

    fn send(
        &self,
        machine: &Machine,
        host: &Host,
        datacenter: &str,
        (root, name): (&str, &str),
        content: &Content,
        record: &Record,
    ) -> Result<(), StepError> {
        let path = format!("{root}/{name}");
        let below = format!("{}/{name}", machine.folder());
        let place = (datacenter, machine.datastore.as_str(), below.as_str());
        let size_bytes = content.len();
        if let Some((Step::File { size_bytes: sent, .. }, Phase::Done)) = record.files.get(&path)
            && *sent == size_bytes
            && self.server.file_length(place)? == Some(size_bytes)
        {
            if matches!(content, Content::Flat(_)) {
                (self.moved)(size_bytes);
            }
            return Ok(());
        }
        let step = |sha256| Step::File {
            path: path.clone(),
            datacenter: host.datacenter.clone(),
            size_bytes,
            sha256,
        };
        let machine_name = Some(machine.name.as_str());
        self.journal.note(machine_name, Phase::Begin, &step(None), None)?;
        let source: Box<dyn Read + Send> = match content {
            Content::Whole(bytes) => Box::new(Cursor::new(bytes)),
            Content::Flat(disk) => Box::new(disk.read(machine)?),
        };
        // The total counts disks alone.
        let watch = match content {
            Content::Whole(_) => Watch { moved: &|_| {}, ..self.watch() },
            Content::Flat(_) => self.watch(),
        };
        let sent = self.server.put_file(place, source, size_bytes, watch)?;
        if let Content::Flat(disk) = content
            && let Some(wanted) = &disk.sha256
            && !wanted.eq_ignore_ascii_case(&sent.sha256)
        {
            let why =
                format!("{path}: sent {}, the plan says {wanted}; the source changed", sent.sha256);
            self.journal.note(machine_name, Phase::Failed, &step(None), Some(why.clone()))?;
            return Err(StepError::Unverified(why));
        }
        // Listings hide flat files and tell a descriptor's size as its disk's: the file is asked.
        let found = self.server.file_length(place)?;
        if found != Some(size_bytes) {
            return Err(StepError::Unverified(format!(
                "{path} has {found:?} bytes on the server, {size_bytes} were sent"
            )));
        }
        self.journal.note(machine_name, Phase::Done, &step(Some(sent.sha256)), None)?;
        Ok(())
    }

    fn enter_inventory(
        &self,
        machine: &Machine,
        host: &Host,
        (folder, vmx_path): (&MoRef, &str),
        own: Option<&[u8]>,
        token: &str,
    ) -> Result<MoRef, StepError> {
        let name = Some(machine.name.as_str());
        let step = |mo| Step::Made { mo, lease: None };
        match &self.record(machine).made {
            Some((Step::Made { mo: Some(mo), .. }, Phase::Done))
                if estate::machine(self.server, mo)?.is_some() =>
            {
                return Ok(mo.clone());
            }
            Some((_, Phase::Begin)) => {
                // It may have happened: a machine from our own folder, or with our mark, is ours.
                let found = estate::machines(self.server)?.into_iter().find(|machine| {
                    machine.token.as_deref() == Some(token)
                        || machine.vmx_path.as_deref() == Some(vmx_path)
                });
                if let Some(found) = found {
                    self.journal.note(name, Phase::Done, &step(Some(found.mo.clone())), None)?;
                    return Ok(found.mo);
                }
            }
            _ => {}
        }
        self.journal.note(name, Phase::Begin, &step(None), None)?;
        let made = match machine.route {
            Route::Create => {
                let root = vmx_path.rsplit_once('/').map_or(vmx_path, |(root, _)| root);
                let disks = self.disk_specs(machine, |disk| sent(disk, root));
                let mut spec = self.spec(machine, host, disks, own, token)?;
                spec.vmx_path = Some(vmx_path.to_owned());
                self.server.create(folder, &spec, &host.pool, Some(&host.mo), self.stop)
            }
            Route::Register | Route::Import => {
                let what = (vmx_path, machine.name.as_str());
                self.server.register(folder, what, &host.pool, Some(&host.mo), self.stop)
            }
        };
        match made {
            Ok(mo) => {
                self.journal.note(name, Phase::Done, &step(Some(mo.clone())), None)?;
                Ok(mo)
            }
            Err(error) => {
                if !error.may_pass() {
                    self.journal.note(name, Phase::Failed, &step(None), Some(error.to_string()))?;
                }
                Err(error.into())
            }
        }
    }
}

impl Content<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Flat(disk) => disk.size_bytes,
        }
    }
}

/// A disk's descriptor and flat file, as they are called on the datastore.
fn names(disk: &Disk) -> Result<(String, String), StepError> {
    disk.names().ok_or_else(|| {
        StepError::Refused(format!("{} has no name to send it by", disk.data.display()))
    })
}

/// A disk that was sent to the folder `root`.
fn sent(disk: &Disk, root: &str) -> Backing {
    let name = disk.names().map(|(descriptor, _)| descriptor).unwrap_or_default();
    Backing::Existing(format!("{root}/{name}"))
}

fn file_name(path: &Path) -> Result<String, StepError> {
    path.file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
        .ok_or_else(|| StepError::Refused(format!("{} has no name to send it by", path.display())))
}
