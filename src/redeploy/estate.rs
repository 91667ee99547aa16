//! What the server has, as far as a plan needs it.

use std::collections::{BTreeMap, BTreeSet};

use super::vsphere::{Error, MoRef, Node, Object, Server};

/// Key in a machine's configuration by which we know our own again.
pub const TOKEN_KEY: &str = "vmglean.token";

/// A datacenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datacenter {
    /// Which.
    pub mo: MoRef,
    /// Its place in the inventory, without a leading slash.
    pub path: String,
    /// Where its machines are.
    pub vm_folder: MoRef,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Which.
    pub mo: MoRef,
    /// Its name.
    pub name: String,
    /// `7.0.3`.
    pub version: String,
    /// Reachable by its server.
    pub connected: bool,
    /// In maintenance mode.
    pub maintenance: bool,
    /// The vCenter in charge, as a bare host tells it.
    pub managed_by: Option<String>,
    /// Its root resource pool.
    pub pool: MoRef,
    /// Where networks are made.
    pub network_system: Option<MoRef>,
    /// Datastores it reaches.
    pub datastores: Vec<MoRef>,
    /// Networks it has.
    pub networks: Vec<MoRef>,
    /// Its datacenter.
    pub datacenter: MoRef,
}

/// A datastore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datastore {
    /// Which.
    pub mo: MoRef,
    /// Its name.
    pub name: String,
    /// `VMFS`, `NFS`, `vsan`.
    pub kind: String,
    /// Room left.
    pub free_bytes: u64,
    /// Can be reached.
    pub accessible: bool,
}

/// A machine that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Which.
    pub mo: MoRef,
    /// Its name.
    pub name: String,
    /// Its BIOS id.
    pub uuid: Option<String>,
    /// Its network addresses, in small letters.
    pub macs: Vec<String>,
    /// `[datastore] folder/name.vmx`.
    pub vmx_path: Option<String>,
    /// Whether it runs.
    pub powered_on: bool,
    /// The mark of the redeploy that made it.
    pub token: Option<String>,
}

/// The whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estate {
    /// By address.
    pub datacenters: BTreeMap<MoRef, Datacenter>,
    /// In the server's order.
    pub hosts: Vec<Host>,
    /// In the server's order.
    pub datastores: Vec<Datastore>,
    /// Names of networks.
    pub networks: BTreeMap<MoRef, String>,
    /// Machines.
    pub machines: Vec<Existing>,
}

impl Estate {
    /// Reads it.
    ///
    /// # Errors
    /// As the calls say.
    pub fn read(server: &Server) -> Result<Self, Error> {
        let mut parents: BTreeMap<MoRef, (String, Option<MoRef>)> = BTreeMap::new();
        let mut keep = |objects: &[Object]| {
            for object in objects {
                let name = name_of(object);
                parents.insert(object.mo.clone(), (name, object.properties.object("parent")));
            }
        };
        let datacenters = server.list("Datacenter", &["name", "parent", "vmFolder"])?;
        keep(&datacenters);
        keep(&server.list("Folder", &["name", "parent"])?);
        let compute = server.list("ComputeResource", &["name", "parent", "resourcePool"])?;
        keep(&compute);
        let pools: BTreeMap<&MoRef, MoRef> = compute
            .iter()
            .filter_map(|object| Some((&object.mo, object.properties.object("resourcePool")?)))
            .collect();
        let hosts = server.list(
            "HostSystem",
            &[
                "name",
                "parent",
                "summary.config.product.version",
                "runtime.connectionState",
                "runtime.inMaintenanceMode",
                "summary.managementServerIp",
                "configManager.networkSystem",
                "datastore",
                "network",
            ],
        )?;
        let datacenters: BTreeMap<MoRef, Datacenter> = datacenters
            .iter()
            .filter_map(|object| {
                let vm_folder = object.properties.object("vmFolder")?;
                let path = path_of(&object.mo, &parents);
                Some((object.mo.clone(), Datacenter { mo: object.mo.clone(), path, vm_folder }))
            })
            .collect();
        let hosts: Vec<Host> = hosts
            .iter()
            .filter_map(|object| {
                let p = &object.properties;
                let parent = p.object("parent")?;
                Some(Host {
                    mo: object.mo.clone(),
                    name: name_of(object),
                    version: p
                        .text("summary.config.product.version")
                        .unwrap_or_default()
                        .to_owned(),
                    connected: p.text("runtime.connectionState") == Some("connected"),
                    maintenance: p.is_true("runtime.inMaintenanceMode"),
                    managed_by: p.text("summary.managementServerIp").map(str::to_owned),
                    pool: pools.get(&parent)?.clone(),
                    network_system: p.object("configManager.networkSystem"),
                    datastores: p.objects("datastore"),
                    networks: p.objects("network"),
                    datacenter: above(&parent, &parents, "Datacenter")?,
                })
            })
            .collect();
        let networks = server.list("Network", &["name"])?;
        Ok(Self {
            datacenters,
            datastores: datastores(server, &hosts)?,
            hosts,
            networks: networks.iter().map(|object| (object.mo.clone(), name_of(object))).collect(),
            machines: machines(server)?,
        })
    }

    /// A host by name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// A datastore by name, among those that a host reaches.
    #[must_use]
    pub fn datastore(&self, host: &Host, name: &str) -> Option<&Datastore> {
        self.datastores.iter().find(|d| d.name == name && host.datastores.contains(&d.mo))
    }

    /// A network by name, among those that a host has.
    #[must_use]
    pub fn network<'a>(&self, host: &'a Host, name: &str) -> Option<&'a MoRef> {
        host.networks.iter().find(|mo| self.networks.get(mo).is_some_and(|known| known == name))
    }
}

/// The datastores that hosts reach, each asked by itself: one that is gone is left out instead of
/// failing the others.
fn datastores(server: &Server, hosts: &[Host]) -> Result<Vec<Datastore>, Error> {
    let wanted: BTreeSet<&MoRef> = hosts.iter().flat_map(|host| &host.datastores).collect();
    let paths = ["name", "summary.type", "summary.freeSpace", "summary.accessible"];
    let mut found = Vec::new();
    for mo in wanted {
        let properties = match server.properties(mo, &paths) {
            Ok(properties) => properties,
            Err(error) if error.fault_kind() == Some("ManagedObjectNotFound") => continue,
            Err(error) => return Err(error),
        };
        let object = Object { mo: mo.clone(), properties };
        let name = name_of(&object);
        if name.is_empty() {
            continue;
        }
        found.push(Datastore {
            name,
            kind: object.properties.text("summary.type").unwrap_or_default().to_owned(),
            free_bytes: object.properties.number("summary.freeSpace").unwrap_or_default(),
            accessible: object.properties.is_true("summary.accessible"),
            mo: object.mo,
        });
    }
    Ok(found)
}

/// The machines on the server.
///
/// # Errors
/// As the calls say.
pub fn machines(server: &Server) -> Result<Vec<Existing>, Error> {
    let paths = [
        "name",
        "config.uuid",
        "config.hardware.device",
        "config.extraConfig",
        "summary.config.vmPathName",
        "runtime.powerState",
    ];
    let found = server.list("VirtualMachine", &paths)?;
    Ok(found.iter().map(existing).collect())
}

/// One machine, if it is still there.
///
/// # Errors
/// As the call says.
pub fn machine(server: &Server, mo: &MoRef) -> Result<Option<Existing>, Error> {
    let paths = ["name", "config.extraConfig", "summary.config.vmPathName", "runtime.powerState"];
    match server.properties(mo, &paths) {
        Ok(properties) => Ok(Some(existing(&Object { mo: mo.clone(), properties }))),
        Err(error) if error.fault_kind() == Some("ManagedObjectNotFound") => Ok(None),
        Err(error) => Err(error),
    }
}

fn existing(object: &Object) -> Existing {
    let p = &object.properties;
    let list = |path| p.get(path).map(|node| node.children.as_slice()).unwrap_or_default();
    let token = list("config.extraConfig")
        .iter()
        .find(|option| option.text_at(&["key"]) == Some(TOKEN_KEY))
        .and_then(|option| option.text_at(&["value"]));
    let macs = list("config.hardware.device")
        .iter()
        .filter_map(|device: &Node| device.text_at(&["macAddress"]))
        .map(str::to_ascii_lowercase);
    Existing {
        mo: object.mo.clone(),
        name: name_of(object),
        uuid: p.text("config.uuid").map(str::to_owned),
        macs: macs.collect(),
        vmx_path: p.text("summary.config.vmPathName").map(str::to_owned),
        powered_on: p.text("runtime.powerState").is_some_and(|state| state != "poweredOff"),
        token: token.map(str::to_owned),
    }
}

/// The inventory keeps slashes and percent signs escaped.
pub(super) fn name_of(object: &Object) -> String {
    let name = object.properties.text("name").unwrap_or_default();
    name.replace("%2f", "/").replace("%5c", "\\").replace("%25", "%")
}

fn path_of(mo: &MoRef, parents: &BTreeMap<MoRef, (String, Option<MoRef>)>) -> String {
    let mut parts = Vec::new();
    let mut next = Some(mo.clone());
    // The root folder has no parent and no place in paths.
    while let Some((name, Some(parent))) = next.as_ref().and_then(|mo| parents.get(mo)) {
        parts.push(name.clone());
        next = Some(parent.clone());
        if parts.len() > 64 {
            break;
        }
    }
    parts.reverse();
    parts.join("/")
}

fn above(
    mo: &MoRef,
    parents: &BTreeMap<MoRef, (String, Option<MoRef>)>,
    kind: &str,
) -> Option<MoRef> {
    let mut next = mo.clone();
    for _ in 0..64 {
        if next.kind == kind {
            return Some(next);
        }
        next = parents.get(&next)?.1.clone()?;
    }
    None
}
