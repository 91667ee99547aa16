//! Machines: their specification in wire order, and what is done with whole machines.

use std::sync::atomic::AtomicBool;

use super::{
    error::Error,
    inventory::returned,
    server::Server,
    xml::{MoRef, Node, Xml},
};

/// A disk controller's kind, with its bus number.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    /// Paravirtual SCSI.
    Pvscsi,
    /// LSI Logic parallel.
    LsiLogic,
    /// LSI Logic SAS.
    LsiSas,
    /// BusLogic.
    BusLogic,
    /// AHCI.
    Sata,
    /// NVMe.
    Nvme,
    /// IDE; every machine has two.
    Ide,
}

impl Controller {
    /// The schema's name.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Pvscsi => "ParaVirtualSCSIController",
            Self::LsiLogic => "VirtualLsiLogicController",
            Self::LsiSas => "VirtualLsiLogicSASController",
            Self::BusLogic => "VirtualBusLogicController",
            Self::Sata => "VirtualAHCIController",
            Self::Nvme => "VirtualNVMEController",
            Self::Ide => "VirtualIDEController",
        }
    }

    fn is_scsi(self) -> bool {
        matches!(self, Self::Pvscsi | Self::LsiLogic | Self::LsiSas | Self::BusLogic)
    }
}

/// What stands behind a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A descriptor that is on the datastore.
    Existing(String),
    /// Made by the server on this datastore, `[name]`, and filled through a lease.
    New(String),
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSpec {
    /// On what.
    pub controller: Controller,
    /// Which of its kind.
    pub bus: u32,
    /// Which place on it.
    pub unit: u32,
    /// Where its data is.
    pub backing: Backing,
    /// Its size.
    pub capacity_bytes: u64,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicSpec {
    /// The schema's name: `VirtualVmxnet3`, …
    pub kind: String,
    /// The network's name.
    pub network: String,
    /// The network itself.
    pub network_mo: MoRef,
    /// A fixed address; without, the server makes one.
    pub mac: Option<String>,
    /// Plugged in when the machine starts.
    pub connected: bool,
}

/// A machine as it is to be made. Unset members are the server's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineSpec {
    /// Its name.
    pub name: Option<String>,
    /// `vmx-13`.
    pub version: Option<String>,
    /// Its BIOS id.
    pub uuid: Option<String>,
    /// `windows9Server64Guest`.
    pub guest_id: Option<String>,
    /// The note people see.
    pub annotation: Option<String>,
    /// `[datastore]` or `[datastore] folder/name.vmx`.
    pub vmx_path: Option<String>,
    /// Processors.
    pub cpus: Option<u32>,
    /// Cores of each.
    pub cores_per_socket: Option<u32>,
    /// Memory.
    pub memory_mib: Option<u64>,
    /// Disks; their controllers are made with them.
    pub disks: Vec<DiskSpec>,
    /// Network cards.
    pub nics: Vec<NicSpec>,
    /// Further keys of the configuration.
    pub extra: Vec<(String, String)>,
    /// `efi` or `bios`.
    pub firmware: Option<String>,
    /// With secure boot.
    pub secure_boot: Option<bool>,
}

impl MachineSpec {
    /// The members of a `VirtualMachineConfigSpec`.
    pub(super) fn write(&self, xml: &mut Xml) {
        xml.maybe("name", self.name.as_deref());
        xml.maybe("version", self.version.as_deref());
        xml.maybe("uuid", self.uuid.as_deref());
        xml.maybe("guestId", self.guest_id.as_deref());
        xml.maybe("annotation", self.annotation.as_deref());
        if let Some(path) = &self.vmx_path {
            xml.element("files", |xml| xml.text("vmPathName", path));
        }
        xml.maybe("numCPUs", self.cpus);
        xml.maybe("numCoresPerSocket", self.cores_per_socket);
        xml.maybe("memoryMB", self.memory_mib);
        self.write_devices(xml);
        for (key, value) in &self.extra {
            xml.element("extraConfig", |xml| {
                xml.text("key", key);
                xml.any_string("value", value);
            });
        }
        if let Some(secure) = self.secure_boot {
            xml.element("bootOptions", |xml| xml.text("efiSecureBootEnabled", secure));
        }
        xml.maybe("firmware", self.firmware.as_deref());
    }

    fn write_devices(&self, xml: &mut Xml) {
        let mut made: Vec<(Controller, u32)> = Vec::new();
        for disk in &self.disks {
            let place = (disk.controller, disk.bus);
            if disk.controller != Controller::Ide && !made.contains(&place) {
                made.push(place);
                let key = controller_key(&made, place);
                add(xml, None, disk.controller.kind(), |xml| {
                    xml.text("key", key);
                    xml.text("busNumber", disk.bus);
                    if disk.controller.is_scsi() {
                        xml.text("sharedBus", "noSharing");
                    }
                });
            }
        }
        for (i, disk) in self.disks.iter().enumerate() {
            let controller = controller_key(&made, (disk.controller, disk.bus));
            let (name, operation) = match &disk.backing {
                Backing::Existing(name) => (name, None),
                Backing::New(name) => (name, Some("create")),
            };
            add(xml, operation, "VirtualDisk", |xml| {
                xml.text("key", -2000 - i64::try_from(i).unwrap_or_default());
                xml.typed("backing", "VirtualDiskFlatVer2BackingInfo", |xml| {
                    xml.text("fileName", name);
                    xml.text("diskMode", "persistent");
                    if operation.is_some() {
                        xml.text("thinProvisioned", true);
                    }
                });
                xml.text("controllerKey", controller);
                xml.text("unitNumber", disk.unit);
                // A disk that is there keeps its own size.
                let size = if operation.is_some() { disk.capacity_bytes.div_ceil(1024) } else { 0 };
                xml.text("capacityInKB", size);
            });
        }
        for (i, nic) in self.nics.iter().enumerate() {
            add(xml, None, &nic.kind, |xml| {
                xml.text("key", -4000 - i64::try_from(i).unwrap_or_default());
                nic.write_backing(xml);
                nic.write_rest(xml);
            });
        }
    }
}

impl NicSpec {
    fn write_backing(&self, xml: &mut Xml) {
        xml.typed("backing", "VirtualEthernetCardNetworkBackingInfo", |xml| {
            xml.text("deviceName", &self.network);
            xml.object("network", &self.network_mo);
        });
        xml.element("connectable", |xml| {
            xml.text("startConnected", self.connected);
            xml.text("allowGuestControl", true);
            xml.text("connected", false);
        });
    }

    fn write_rest(&self, xml: &mut Xml) {
        match &self.mac {
            Some(mac) => {
                xml.text("addressType", "manual");
                xml.text("macAddress", mac);
            }
            None => xml.text("addressType", "generated"),
        }
    }
}

fn controller_key(made: &[(Controller, u32)], place: (Controller, u32)) -> i64 {
    if place.0 == Controller::Ide {
        return 200 + i64::from(place.1);
    }
    let index = made.iter().position(|known| *known == place).unwrap_or_default();
    -1000 - i64::try_from(index).unwrap_or_default()
}

fn add(xml: &mut Xml, file: Option<&str>, kind: &str, device: impl FnOnce(&mut Xml)) {
    xml.element("deviceChange", |xml| {
        xml.text("operation", "add");
        xml.maybe("fileOperation", file);
        xml.typed("device", kind, device);
    });
}

impl Server {
    /// Takes a configuration file that lies on a datastore into the inventory.
    ///
    /// # Errors
    /// Faults `AlreadyExists`, `NotFound`, and as the task says.
    pub fn register(
        &self,
        folder: &MoRef,
        (vmx, name): (&str, &str),
        pool: &MoRef,
        host: Option<&MoRef>,
        stop: &AtomicBool,
    ) -> Result<MoRef, Error> {
        let what = "RegisterVM_Task";
        let made = self.act(what, folder, |xml| {
            xml.text("path", vmx);
            xml.text("name", name);
            xml.text("asTemplate", false);
            xml.object("pool", pool);
            xml.maybe_object("host", host);
        })?;
        self.machine_of(what, &made, stop)
    }

    /// Makes a machine from a specification.
    ///
    /// # Errors
    /// As the task says.
    pub fn create(
        &self,
        folder: &MoRef,
        spec: &MachineSpec,
        pool: &MoRef,
        host: Option<&MoRef>,
        stop: &AtomicBool,
    ) -> Result<MoRef, Error> {
        let what = "CreateVM_Task";
        let made = self.act(what, folder, |xml| {
            xml.element("config", |xml| spec.write(xml));
            xml.object("pool", pool);
            xml.maybe_object("host", host);
        })?;
        self.machine_of(what, &made, stop)
    }

    fn machine_of(&self, what: &str, made: &Node, stop: &AtomicBool) -> Result<MoRef, Error> {
        let result = self.wait(what, &returned(what, made)?, stop)?;
        result.as_ref().and_then(Node::object).ok_or_else(|| Error::Unexpected {
            what: what.to_owned(),
            detail: "the task names no machine".to_owned(),
        })
    }

    /// Adds to or sets what a specification holds.
    ///
    /// # Errors
    /// As the task says.
    pub fn reconfigure(
        &self,
        machine: &MoRef,
        spec: &MachineSpec,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        self.task(
            "ReconfigVM_Task",
            machine,
            |xml| xml.element("spec", |xml| spec.write(xml)),
            stop,
        )
    }

    /// Puts a card that is there onto another network.
    ///
    /// # Errors
    /// As the task says.
    pub fn move_nic(
        &self,
        machine: &MoRef,
        key: i64,
        nic: &NicSpec,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let spec = |xml: &mut Xml| {
            xml.element("deviceChange", |xml| {
                xml.text("operation", "edit");
                xml.typed("device", &nic.kind, |xml| {
                    xml.text("key", key);
                    nic.write_backing(xml);
                });
            });
        };
        self.task("ReconfigVM_Task", machine, |xml| xml.element("spec", spec), stop)
    }

    /// Starts a machine.
    ///
    /// # Errors
    /// A fault `InvalidPowerState` when it runs already, and as the task says.
    pub fn power_on(&self, machine: &MoRef, stop: &AtomicBool) -> Result<(), Error> {
        self.task("PowerOnVM_Task", machine, |_| {}, stop)
    }

    /// Stops a machine as if its plug were pulled.
    ///
    /// # Errors
    /// As the task says.
    pub fn power_off(&self, machine: &MoRef, stop: &AtomicBool) -> Result<(), Error> {
        self.task("PowerOffVM_Task", machine, |_| {}, stop)
    }

    /// Removes a machine with its files. Ask [whether it is ours](super::MachineSpec) first.
    ///
    /// # Errors
    /// As the task says.
    pub fn destroy(&self, machine: &MoRef, stop: &AtomicBool) -> Result<(), Error> {
        self.task("Destroy_Task", machine, |_| {}, stop)
    }

    fn task(
        &self,
        what: &str,
        this: &MoRef,
        parameters: impl Fn(&mut Xml),
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let made = self.act(what, this, parameters)?;
        self.wait(what, &returned(what, &made)?, stop).map(|_| ())
    }
}
