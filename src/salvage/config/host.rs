//! What a host's own files tell of its machines: `vmInventory.xml` names each `.vmx`, `esx.conf`
//! the networks.
//!
//! Saved from a host or taken out of its `state.tgz`, they are found in any source by their names.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use vmglean_formats::esxi::{EsxConf, VmInventory};

use super::{
    gather::Opener,
    merge::{Confidence, Fact, Rebuilt},
    piece::Place,
};
use crate::{
    catalog::{FileId, Machine},
    families::NameKind,
    finding::{Finding, Weight},
    source::{RecordPath, base_name},
};

/// Most files of either kind that are read.
const MAX_FILES: usize = 256;
/// Longest path or name believed.
const MAX_TEXT_BYTES: usize = 1024;
/// Machines told one by one that a host lists and no source has.
const MAX_TOLD: usize = 100;

/// A machine that a host lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The `vmInventory.xml`, and where the entry begins in it.
    pub place: Place,
    /// The machine's number on that host.
    pub object_id: Option<String>,
    /// `/vmfs/volumes/<datastore>/<folder>/<name>.vmx`, as written.
    pub vmx_path: String,
    /// The host's name, where an `esx.conf` above the inventory tells it.
    pub host: Option<String>,
}

/// A port group that machines of a host can be on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNetwork {
    /// The `esx.conf`, and the line of the name.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Its VLAN.
    pub vlan_id: Option<u64>,
    /// The host's name.
    pub host: Option<String>,
}

/// What all hosts' files in the sources tell.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// By the name of the machine's folder, in lower case.
    registered: BTreeMap<String, Vec<Registration>>,
    networks: Vec<HostNetwork>,
    /// Files that are damaged or could not be read.
    pub findings: Vec<Finding>,
}

/// What the hosts tell of one machine.
#[derive(Clone, Debug, Default)]
pub struct HostFacts<'a> {
    /// Where hosts list it; more than one where several do, or where nothing tells them apart.
    pub registered: Vec<&'a Registration>,
    /// Networks that machines of its host can be on.
    pub networks: Vec<&'a HostNetwork>,
}

/// Text that a file of a host can hold here: damage leaves other bytes.
fn is_plausible(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_TEXT_BYTES
        && !text.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER)
}

/// Last component of a path of either host or desktop.
fn base(path: &str) -> String {
    String::from_utf8_lossy(base_name(path.as_bytes())).into_owned()
}

/// `srv` of `…/srv.vmx`.
fn vmx_stem(path: &str) -> Option<String> {
    let name = base(path);
    let cut = name.len().checked_sub(4).filter(|cut| name.is_char_boundary(*cut))?;
    let (stem, end) = name.split_at(cut);
    (end.eq_ignore_ascii_case(".vmx") && !stem.is_empty()).then(|| stem.to_owned())
}

/// Datastore and folder of a `.vmx` path, the latter in lower case.
fn datastore_and_folder(path: &str) -> Option<(&str, String)> {
    let (datastore, rest) = path.strip_prefix("/vmfs/volumes/")?.split_once('/')?;
    let (folder, _) = rest.rsplit_once('/')?;
    Some((datastore, base(folder).to_lowercase()))
}

fn folder_name(shown: &Path) -> String {
    let folder = shown.parent().and_then(Path::file_name);
    folder.map_or(String::new(), |name| name.to_string_lossy().to_lowercase())
}

impl Hosts {
    /// Reads every `vmInventory.xml` and `esx.conf` of the sources. Of a damaged one only lines are
    /// believed that read as what they should be.
    #[must_use]
    pub fn gather(opener: &Opener<'_>) -> Self {
        let mut hosts = Self::default();
        let named = |wanted: &'static str| {
            let files = opener.index.iter();
            let files = files.filter(move |(_, f)| {
                f.name.kind == NameKind::Other
                    && f.size_bytes > 0
                    && f.stem().eq_ignore_ascii_case(wanted.as_bytes())
            });
            files.map(|(id, _)| id).take(MAX_FILES)
        };
        let mut names = Vec::new();
        for id in named("esx.conf") {
            hosts.conf(opener, id, &mut names);
        }
        for id in named("vmInventory.xml") {
            hosts.inventory(opener, id, &names);
        }
        hosts
    }

    fn conf(&mut self, opener: &Opener<'_>, id: FileId, names: &mut Vec<(RecordPath, String)>) {
        let Some(bytes) = opener.text(id, &mut self.findings) else { return };
        let path = RecordPath::from(opener.file(id).shown.clone());
        let read = EsxConf::parse(&bytes);
        self.damaged(&path, read.defects.first().map(ToString::to_string));
        let conf = read.value;
        let host = conf.host_name.filter(|name| is_plausible(name));
        if let Some(folder) = path.as_path().parent()
            && let Some(host) = &host
        {
            names.push((RecordPath::from(folder), host.clone()));
        }
        let own = |name: &str| {
            name == "Management Network" || conf.host_port_groups.iter().any(|own| own == name)
        };
        for group in conf.port_groups {
            if is_plausible(&group.name) && !own(&group.name) {
                let (path, line) = (path.clone(), Some(group.line));
                self.networks.push(HostNetwork {
                    place: Place { path, inside: None, offset_bytes: group.at.0, line },
                    name: group.name,
                    vlan_id: group.vlan_id,
                    host: host.clone(),
                });
            }
        }
    }

    fn inventory(&mut self, opener: &Opener<'_>, id: FileId, names: &[(RecordPath, String)]) {
        let Some(bytes) = opener.text(id, &mut self.findings) else { return };
        let path = RecordPath::from(opener.file(id).shown.clone());
        let read = VmInventory::parse(&bytes);
        self.damaged(&path, read.defects.first().map(ToString::to_string));
        let above = names.iter().filter(|(of, _)| path.as_path().starts_with(of.as_path()));
        let host = above.max_by_key(|(of, _)| of.as_path().components().count());
        let host = host.map(|(_, name)| name.clone());
        for entry in read.value.entries {
            let Some(vmx_path) = entry.vmx_path.filter(|path| is_plausible(path)) else { continue };
            let Some((_, folder)) = datastore_and_folder(&vmx_path) else { continue };
            if vmx_stem(&vmx_path).is_none() {
                continue;
            }
            let (path, offset_bytes) = (path.clone(), entry.at.0);
            self.registered.entry(folder).or_default().push(Registration {
                place: Place { path, inside: None, offset_bytes, line: None },
                object_id: entry.object_id.filter(|id| is_plausible(id)),
                vmx_path,
                host: host.clone(),
            });
        }
    }

    fn damaged(&mut self, path: &RecordPath, defect: Option<String>) {
        if let Some(defect) = defect {
            self.findings.push(Finding {
                code: "host.file-damaged".to_owned(),
                weight: Weight::Damage,
                path: path.lossy().into_owned(),
                offset_bytes: None,
                what: format!("{defect}; only what still reads well in it is believed"),
                next: Some("look for the host's state.tgz, which holds another copy".to_owned()),
            });
        }
    }

    /// What they tell of `machine`. `stems` are names that its `.vmx` could have.
    #[must_use]
    pub fn of<'a>(
        &'a self,
        opener: &Opener<'_>,
        machine: &Machine,
        stems: &[String],
    ) -> HostFacts<'a> {
        let mut registered = self.registrations(opener, machine, stems);
        registered.dedup_by(|a, b| a.vmx_path == b.vmx_path && a.host == b.host);
        // Several hosts may list other networks: only those of its own host are offered.
        let files: HashSet<&RecordPath> = self.networks.iter().map(|n| &n.place.path).collect();
        let hosts: Vec<&Option<String>> = registered.iter().map(|r| &r.host).collect();
        let networks = self.networks.iter().filter(|network| match hosts.as_slice() {
            [] => files.len() == 1,
            hosts => {
                hosts.contains(&&network.host)
                    || (files.len() == 1 && hosts.iter().all(|host| host.is_none()))
            }
        });
        HostFacts { networks: networks.collect(), registered }
    }

    fn registrations<'a>(
        &'a self,
        opener: &Opener<'_>,
        machine: &Machine,
        stems: &[String],
    ) -> Vec<&'a Registration> {
        let mut files = machine.files();
        let Some(shown) = files.next().map(|id| &opener.file(id).shown) else { return Vec::new() };
        let Some(listed) = self.registered.get(&folder_name(shown)) else { return Vec::new() };
        let by_name = |one: &&Registration| {
            let stem = vmx_stem(&one.vmx_path).unwrap_or_default().to_lowercase();
            stems.iter().any(|known| known.to_lowercase() == stem)
        };
        let mut found: Vec<&Registration> = listed.iter().filter(by_name).collect();
        if found.is_empty() && has_folder_alone(opener, machine) {
            found.extend(listed);
            let first = found.first().map(|one| one.vmx_path.as_str());
            if found.iter().any(|one| Some(one.vmx_path.as_str()) != first) {
                return Vec::new();
            }
        }
        let here = |one: &&Registration| {
            let store = datastore_and_folder(&one.vmx_path).map(|(store, _)| store);
            store.is_some_and(|store| shown.components().any(|c| c.as_os_str() == store))
        };
        if found.iter().any(here) {
            found.retain(here);
        }
        found
    }

    /// Machines that a host lists and of whose folder no source has a file.
    #[must_use]
    pub fn without_files(&self, opener: &Opener<'_>) -> Vec<Finding> {
        let there: HashSet<String> =
            opener.index.iter().map(|(_, file)| folder_name(&file.shown)).collect();
        let lost = self.registered.iter().filter(|(folder, _)| !there.contains(*folder));
        let lost: Vec<&Registration> = lost.flat_map(|(_, listed)| listed).collect();
        let finding = |at: &Place, what: String| Finding {
            code: "host.machine-missing".to_owned(),
            weight: Weight::Note,
            path: at.path.lossy().into_owned(),
            offset_bytes: Some(at.offset_bytes),
            what,
            next: Some("name the datastore it lies on as a source, or restore it".to_owned()),
        };
        let mut told: Vec<Finding> = lost
            .iter()
            .take(MAX_TOLD)
            .map(|one| {
                let what = format!("{}; no source has a file of that folder", one.words());
                finding(&one.place, what)
            })
            .collect();
        if let Some(next) = lost.get(MAX_TOLD) {
            let what = format!("{} more machines are listed by hosts", lost.len() - MAX_TOLD);
            told.push(finding(&next.place, what));
        }
        told
    }
}

/// Whether no other machine's disk or configuration lies in the folder of `machine`, and its own
/// configuration is lost.
fn has_folder_alone(opener: &Opener<'_>, machine: &Machine) -> bool {
    let own: HashSet<FileId> = machine.files().collect();
    opener.index.in_folder(machine.root, &machine.folder).iter().all(|id| {
        match opener.file(*id).name.kind {
            NameKind::Vmx | NameKind::Vmtx => false,
            NameKind::Vmdk
            | NameKind::Flat
            | NameKind::Delta
            | NameKind::SeSparse
            | NameKind::SparseExtent
            | NameKind::RawDeviceMap => own.contains(id),
            _ => true,
        }
    })
}

impl Registration {
    /// Who lists it and where, in words.
    fn words(&self) -> String {
        let host = self.host.as_ref().map_or("a host".to_owned(), |host| format!("host {host}"));
        let number = self.object_id.as_ref().map_or(String::new(), |id| format!(" as number {id}"));
        format!("{host} lists it{number} at {}", self.vmx_path)
    }
}

impl HostFacts<'_> {
    /// Names that hosts give the `.vmx`: who says so, and the path.
    pub fn vmx_names(&self) -> impl Iterator<Item = (RecordPath, String)> + '_ {
        self.registered.iter().map(|one| (one.place.path.clone(), one.vmx_path.clone()))
    }

    /// Adds what follows for a configuration of which no whole copy is left.
    pub fn add_to(&self, rebuilt: &mut Rebuilt) {
        let put = |rebuilt: &mut Rebuilt, key: &str, value: String, place: &Place, why: String| {
            let (key, place) = (key.to_owned(), Some(place.clone()));
            rebuilt.add(Fact { key, value, confidence: Confidence::Guessed, place, why });
        };
        if let Some(one) = self.registered.first()
            && let Some(stem) = vmx_stem(&one.vmx_path)
        {
            let why = format!("{}; VMware names the file as the machine was named", one.words());
            put(rebuilt, "displayName", stem, &one.place, why);
        }
        let usual = self.networks.iter().find(|network| network.name == "VM Network");
        let Some(network) = usual.or(self.networks.first()) else { return };
        let listed = match self.networks.len() {
            1 => "the only port group for machines".to_owned(),
            n => format!("one of {n} port groups for machines"),
        };
        let why = format!("{listed} in the host's esx.conf");
        for card in 0..10_u32 {
            let key = |field: &str| format!("ethernet{card}.{field}");
            let is_there = rebuilt.is_true(&key("present"));
            let is_distributed = rebuilt.value(&key("dvs.portgroupId")).is_some()
                || rebuilt.value(&key("opaqueNetwork.id")).is_some();
            if is_there && !is_distributed && rebuilt.value(&key("networkName")).is_none() {
                let why = why.clone();
                put(rebuilt, &key("networkName"), network.name.clone(), &network.place, why);
                let why = "its network is a guess: connect it by hand".to_owned();
                put(rebuilt, &key("startConnected"), "FALSE".to_owned(), &network.place, why);
            }
        }
    }

    /// What a person should know of it, as findings of `machine`.
    #[must_use]
    pub fn tell(&self, rebuilt: &Rebuilt) -> Vec<Finding> {
        let finding = |code: &str, place: &Place, what: String| Finding {
            code: code.to_owned(),
            weight: Weight::Note,
            path: place.path.lossy().into_owned(),
            offset_bytes: Some(place.offset_bytes),
            what,
            next: None,
        };
        let mut told: Vec<Finding> = self
            .registered
            .iter()
            .map(|one| finding("host.registered", &one.place, one.words()))
            .collect();
        let mut names = HashSet::new();
        for card in 0..10_u32 {
            let name = rebuilt.value(&format!("ethernet{card}.networkName"));
            let Some(name) = name.filter(|name| names.insert((*name).to_owned())) else { continue };
            for network in self.networks.iter().filter(|network| network.name == name) {
                let vlan = match network.vlan_id {
                    None | Some(0) => "without a VLAN".to_owned(),
                    Some(4095) => "with all VLANs".to_owned(),
                    Some(id) => format!("with VLAN {id}"),
                };
                let host = network.host.as_deref().unwrap_or("its host");
                let what = format!("its network {name:?} is a port group {vlan} on {host}");
                told.push(finding("host.network", &network.place, what));
            }
        }
        told
    }
}

/// Names that the `.vmx` of `machine` could have by its files.
#[must_use]
pub fn possible_stems(opener: &Opener<'_>, machine: &Machine) -> Vec<String> {
    let mut stems = vec![machine.name.clone()];
    for id in machine.files() {
        let file = opener.file(id);
        let named = matches!(
            file.name.kind,
            NameKind::Vmx
                | NameKind::Vmtx
                | NameKind::VmxBackup
                | NameKind::Vmsd
                | NameKind::Vmxf
                | NameKind::Nvram
                | NameKind::Vmdk
                | NameKind::Flat
        );
        if !named {
            continue;
        }
        let name = String::from_utf8_lossy(file.stem()).into_owned();
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        stems.push(stem.strip_suffix("-flat").unwrap_or(stem).to_owned());
    }
    stems
}
