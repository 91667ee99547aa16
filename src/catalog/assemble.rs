//! Groups files to machines.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    os::unix::ffi::OsStrExt as _,
};

use super::{
    chain::{Linker, finding, snapshot_number},
    disk::{MachineDisk, may_be_leaf},
    facts::{VmwareEncryption, VmxFacts},
    file::{CatalogFile, Content, FileId},
    index::{Index, Lookup},
    lookalike::find_lookalikes,
    machine::{Config, ConfigSource, Machine},
};
use crate::{families::NameKind, finding::Finding, source::RelPath};

/// All machines, sorted by source, folder and name, and the files that belong to them.
#[must_use]
pub fn assemble(index: &Index<'_>) -> (Vec<Machine>, HashSet<FileId>) {
    let mut build =
        Build { index, linker: Linker::new(index), claimed: HashSet::new(), machines: Vec::new() };
    let configured: Vec<FileId> =
        index.iter().map(|(id, _)| id).filter(|id| build.is_configuration(*id)).collect();
    // A configuration inside VMware's own encryption names no disk that can be read.
    let readable = |id: &FileId| match &index.file(*id).content {
        // Neither does one whose disks are in the part that is torn off.
        Content::Vmx(facts) => {
            facts.encryption != VmwareEncryption::Whole && (facts.whole || !facts.disks.is_empty())
        }
        _ => false,
    };
    let (whole, broken): (Vec<_>, Vec<_>) = configured.into_iter().partition(readable);
    // Machines that can tell their disks go first, so that a neighbour that cannot takes only
    // what is left.
    for id in whole {
        build.add_configured(id);
    }
    for id in broken {
        build.add_unreadable(id);
    }
    build.add_leftovers();
    build.find_unnamed_disks();
    build.find_frozen_disks();
    let Build { mut machines, claimed, .. } = build;
    find_lookalikes(index, &claimed, &mut machines);
    machines.sort_by(|a, b| {
        let key = |m: &Machine| (m.root, m.folder.clone(), m.name.clone(), m.anchor());
        key(a).cmp(&key(b))
    });
    (machines, claimed)
}

struct Build<'a, 'i> {
    index: &'i Index<'a>,
    linker: Linker<'i>,
    claimed: HashSet<FileId>,
    machines: Vec<Machine>,
}

/// `vm` of `vm.vmx`, `vm.vmx~`, `vm-Snapshot3.vmsn`.
fn own_stem(file: &CatalogFile) -> Vec<u8> {
    let name = file.stem();
    let dot = name.iter().rposition(|byte| *byte == b'.').unwrap_or(name.len());
    name.get(..dot).unwrap_or(name).to_ascii_lowercase()
}

/// The stem that all disks of one machine share: `vm` of `vm-000002.vmdk`, `vm_1-flat.vmdk`.
fn machine_stem(file: &CatalogFile) -> Vec<u8> {
    let name = file.stem().to_ascii_lowercase();
    let mut stem = name.strip_suffix(b".vmdk").unwrap_or(&name);
    for end in [&b"-flat"[..], b"-delta", b"-sesparse"] {
        stem = stem.strip_suffix(end).unwrap_or(stem);
    }
    if let Some(cut) = stem.len().checked_sub(5)
        && let Some((head, [b'-', b's' | b'f', digits @ ..])) = stem.split_at_checked(cut)
        && digits.iter().all(u8::is_ascii_digit)
    {
        stem = head;
    }
    if let Some((base, _)) = snapshot_number(stem) {
        stem = base;
    }
    // The second disk of `vm` is `vm_1`.
    if let Some(at) = stem.iter().rposition(|byte| *byte == b'_')
        && let Some((head, digits)) = stem.split_at_checked(at)
        && (2..=3).contains(&digits.len())
        && digits.get(1..).is_some_and(|d| d.iter().all(u8::is_ascii_digit))
    {
        stem = head;
    }
    stem.to_vec()
}

impl<'a> Build<'a, '_> {
    /// Whether a file is a machine's configuration, and not what is left of a copy beside it.
    fn is_configuration(&self, id: FileId) -> bool {
        let file = self.index.file(id);
        let is_beside = || {
            let plain = self.index.beside(file.root, &file.folder(), file.stem());
            plain.is_some_and(|(id, _)| !self.index.file(id).name.is_copy())
        };
        matches!(file.name.kind, NameKind::Vmx | NameKind::Vmtx)
            && !(file.name.is_copy() && is_beside())
    }

    /// The disks that the configuration `config` names.
    fn configured(&mut self, config: FileId, facts: &VmxFacts) -> Vec<MachineDisk> {
        let config = self.index.file(config);
        let named = facts.disks.iter();
        named
            .map(|(node, name)| {
                MachineDisk::from_config(&mut self.linker, self.index, config, node, name)
            })
            .collect()
    }

    fn add_configured(&mut self, id: FileId) {
        let file = self.index.file(id);
        let Content::Vmx(facts) = &file.content else { return };
        let disks = self.configured(id, facts);
        let name = facts.display_name.clone().unwrap_or_else(|| stem_text(file));
        self.push(name, file.root, file.folder(), Some(id), disks);
    }

    fn add_unreadable(&mut self, id: FileId) {
        let file = self.index.file(id);
        let folder = file.folder();
        let stem = own_stem(file);
        let backup = self.backup(file.root, &folder, &stem);
        let mut name = match &file.content {
            Content::Vmx(facts) => facts.display_name.clone(),
            _ => None,
        }
        .unwrap_or_else(|| stem_text(file));
        let disks = match backup {
            Some((backup, facts)) => {
                name = facts.display_name.clone().unwrap_or(name);
                self.configured(backup, facts)
            }
            None => {
                // Nothing tells its disks: those of its name, or all of a folder it has alone.
                let alone = self.machines_in(file.root, &folder) == 1;
                let leaves = self.leaves(file.root, &folder);
                let ours = leaves
                    .into_iter()
                    .filter(|leaf| alone || machine_stem(self.index.file(*leaf)) == stem)
                    .collect::<Vec<_>>();
                self.disks(ours)
            }
        };
        self.push(name, file.root, folder, Some(id), disks);
    }

    /// Folders whose disks no configuration claims: a machine each, or one for each disk name.
    fn add_leftovers(&mut self) {
        for (root, folder) in self.index.folders() {
            if self.machines_in(root, &folder) > 0 {
                // Whatever is left beside a configuration that does not name it is an orphan.
                continue;
            }
            let mut groups: BTreeMap<Vec<u8>, Vec<FileId>> = BTreeMap::new();
            for leaf in self.leaves(root, &folder) {
                groups.entry(machine_stem(self.index.file(leaf))).or_default().push(leaf);
            }
            for (stem, leaves) in groups {
                let backup = self.backup(root, &folder, &stem);
                let spelled = leaves.first().map_or(&stem[..], |leaf| {
                    let name = self.index.file(*leaf).stem();
                    name.get(..stem.len()).unwrap_or(name)
                });
                let spelled = String::from_utf8_lossy(spelled).into_owned();
                let (name, disks) = match backup {
                    Some((id, facts)) => (facts.display_name.clone(), self.configured(id, facts)),
                    None => (None, self.disks(leaves)),
                };
                let name = name.unwrap_or(spelled);
                self.push(name, root, folder.clone(), None, disks);
            }
        }
    }

    fn disks(&mut self, leaves: Vec<FileId>) -> Vec<MachineDisk> {
        leaves
            .into_iter()
            .map(|leaf| MachineDisk::from_leaf(&mut self.linker, self.index, leaf))
            .collect()
    }

    /// A readable copy of the configuration of that stem.
    fn backup(&self, root: usize, folder: &RelPath, stem: &[u8]) -> Option<(FileId, &'a VmxFacts)> {
        self.index.in_folder(root, folder).iter().find_map(|id| {
            let file = self.index.file(*id);
            match &file.content {
                Content::Vmx(facts)
                    if file.name.kind == NameKind::VmxBackup
                        && (own_stem(file) == stem || file.stem().starts_with(stem)) =>
                {
                    Some((*id, &**facts))
                }
                _ => None,
            }
        })
    }

    /// Disk heads of a folder that nobody claims and that no other disk of it stands on.
    fn leaves(&mut self, root: usize, folder: &RelPath) -> Vec<FileId> {
        let heads: Vec<FileId> = self
            .index
            .in_folder(root, folder)
            .iter()
            .copied()
            .filter(|id| !self.claimed.contains(id) && may_be_leaf(self.index.file(*id)))
            .collect();
        let mut below = HashSet::new();
        let mut extents = HashSet::new();
        let mut by_disk = Vec::new();
        for head in heads {
            let disk = MachineDisk::from_leaf(&mut self.linker, self.index, head);
            let parts = disk.files();
            below.extend(parts.into_iter().filter(|part| *part != head));
            let own = disk.chain.iter().filter(|link| link.described);
            extents.extend(own.flat_map(|link| {
                link.extents.iter().filter_map(|e| e.file.filter(|file| Some(*file) != link.file))
            }));
            by_disk.push(head);
        }
        let leaves: Vec<FileId> =
            by_disk.iter().copied().filter(|head| !below.contains(head)).collect();
        // Disks that stand on each other in a circle have no leaf; all of them are shown.
        if leaves.is_empty() {
            by_disk.retain(|head| !extents.contains(head));
            return by_disk;
        }
        leaves
    }

    fn push(
        &mut self,
        name: String,
        root: usize,
        folder: RelPath,
        own: Option<FileId>,
        disks: Vec<MachineDisk>,
    ) {
        self.claimed.extend(disks.iter().flat_map(MachineDisk::files));
        self.claimed.extend(own);
        let anchor_stem = own
            .map(|id| own_stem(self.index.file(id)))
            .or_else(|| Some(machine_stem(self.index.file(disks.first()?.leaf?))))
            .unwrap_or_default();
        let alone = self.machines_in(root, &folder) <= 1;
        let mut sources = Vec::new();
        if let Some(id) = own
            && matches!(self.index.file(id).content, Content::Vmx(_))
        {
            sources.push(ConfigSource::Own(id));
        }
        let mut snapshots = None;
        let mut companions = Vec::new();
        for id in self.index.in_folder(root, &folder) {
            let file = self.index.file(*id);
            let ours = alone || own_stem(file).starts_with(&anchor_stem);
            match (&file.content, file.name.kind) {
                (_, NameKind::Other | NameKind::Vmx | NameKind::Vmtx) => continue,
                (Content::Vmx(facts), NameKind::VmxBackup) if ours && facts.whole => {
                    sources.push(ConfigSource::Backup(*id));
                }
                (Content::Checkpoint(facts), _) if ours && facts.has_configuration => {
                    sources.push(ConfigSource::Checkpoint(*id));
                }
                (Content::Log, _) if ours => sources.push(ConfigSource::Log(*id)),
                (_, NameKind::Vmsd) if ours && snapshots.is_none() => snapshots = Some(*id),
                (
                    _,
                    NameKind::Nvram
                    | NameKind::Vmxf
                    | NameKind::Log
                    | NameKind::Vmsn
                    | NameKind::Vmss
                    | NameKind::VmxBackup
                    | NameKind::Vmem
                    | NameKind::ChangeTracking
                    | NameKind::Vswp
                    | NameKind::Lock
                    | NameKind::OtherVmware
                    | NameKind::RawDeviceMap
                    | NameKind::Vmsd,
                ) if ours => {}
                _ => continue,
            }
            self.claimed.insert(*id);
            companions.push(*id);
        }
        sources.sort_by_key(|source| (source.rank(), self.age(source.file()), source.file()));
        let mut findings = Vec::new();
        self.state_file(own, &mut findings);
        let branches = self.branches(snapshots, &disks, &mut findings);
        self.claimed.extend(branches.iter().flat_map(MachineDisk::files));
        let config = Config { own, sources };
        self.machines.push(Machine {
            name,
            root,
            folder,
            config,
            disks,
            branches,
            snapshots,
            companions,
            lookalikes: Vec::new(),
            findings,
        });
    }

    /// A configuration that names no disk has lost lines where disks lie beside it.
    fn find_unnamed_disks(&mut self) {
        for machine in &mut self.machines {
            let Some(config) = machine.config.own.filter(|_| machine.disks.is_empty()) else {
                continue;
            };
            let config = self.index.file(config);
            if !matches!(config.content, Content::Vmx(_)) {
                continue;
            }
            let beside = self
                .index
                .in_folder(machine.root, &machine.folder)
                .iter()
                .find(|id| !self.claimed.contains(id) && may_be_leaf(self.index.file(**id)));
            if let Some(id) = beside {
                let name = self.index.file(*id).path.file_name().to_string_lossy().into_owned();
                let what = format!("the configuration names no disk, and {name:?} lies beside it");
                machine.findings.push(Finding {
                    next: Some("vmware.log tells which disks the machine had".to_owned()),
                    ..missing(config, "machine.disks-unnamed", what)
                });
            }
        }
    }

    /// A machine that runs on a disk which a snapshot froze, or on which a delta of no machine
    /// stands, was turned back: powered on as it is, it makes the delta worthless.
    fn find_frozen_disks(&mut self) {
        let running: HashSet<FileId> =
            self.machines.iter().flat_map(|m| m.disks.iter().filter_map(|d| d.leaf)).collect();
        let mut above: HashMap<FileId, FileId> = HashMap::new();
        for (id, file) in self.index.iter().filter(|(id, _)| !self.claimed.contains(id)) {
            let Some(facts) = file.descriptor().filter(|facts| facts.has_parent) else { continue };
            let Some(hint) = &facts.hint else { continue };
            if let Lookup::Found(parent, _) =
                self.index.lookup(file.root, &file.folder(), hint.as_bytes())
                && running.contains(&parent)
                && facts.parent_cid.is_some()
                && facts.parent_cid == self.index.file(parent).descriptor().and_then(|d| d.cid)
            {
                above.entry(parent).or_insert(id);
            }
        }
        for machine in &mut self.machines {
            let list = machine.snapshots.map(|id| self.index.file(id));
            for leaf in machine.disks.iter().filter_map(|disk| disk.leaf) {
                let file = self.index.file(leaf);
                let name = file.path.file_name().to_string_lossy();
                let frozen = list.and_then(|list| {
                    let Content::Snapshots(facts) = &list.content else { return None };
                    facts.points.iter().find(|point| {
                        point.disks.iter().any(|disk| {
                            let folder = list.folder();
                            let found = self.index.lookup(list.root, &folder, disk.as_bytes());
                            matches!(found, Lookup::Found(id, _) if id == leaf)
                        })
                    })
                });
                let delta = above.get(&leaf).map(|id| self.index.file(*id));
                let over = delta.map(|delta| delta.path.file_name().to_string_lossy());
                let what = match (frozen, &over) {
                    (Some(point), _) => format!(
                        "the machine runs on {name:?}, which snapshot {:?} froze{}",
                        point.display_name.as_deref().unwrap_or("without name"),
                        over.map_or_else(String::new, |over| format!("; {over:?} stands on it")),
                    ),
                    (None, Some(over)) => {
                        format!("the machine runs on {name:?}, and delta {over:?} stands on it")
                    }
                    (None, None) => continue,
                };
                machine.findings.push(Finding {
                    next: Some(
                        "do not power it on as it is: what was written since the snapshot lies in \
                         a delta, which that would make worthless"
                            .to_owned(),
                    ),
                    ..missing(file, "snapshot.frozen-disk", what)
                });
            }
        }
    }

    /// Whether the suspended state that the configuration names is there.
    fn state_file(&self, own: Option<FileId>, findings: &mut Vec<Finding>) {
        let Some(file) = own.map(|id| self.index.file(id)) else { return };
        let Content::Vmx(facts) = &file.content else { return };
        let Some(name) = &facts.vm_state else { return };
        if self.index.lookup(file.root, &file.folder(), name.as_bytes()) == Lookup::Missing {
            let what = format!("the suspended state {name:?} is not there");
            findings.push(missing(file, "machine.state-missing", what));
        }
    }

    /// Disks that the snapshot list names and no current disk stands on; what is not there is
    /// found.
    fn branches(
        &mut self,
        list: Option<FileId>,
        disks: &[MachineDisk],
        findings: &mut Vec<Finding>,
    ) -> Vec<MachineDisk> {
        let Some(file) = list.map(|id| self.index.file(id)) else { return Vec::new() };
        let Content::Snapshots(facts) = &file.content else { return Vec::new() };
        let mut known: HashSet<FileId> = disks.iter().flat_map(MachineDisk::files).collect();
        let mut told: HashSet<&str> = HashSet::new();
        let mut branches = Vec::new();
        for point in &facts.points {
            let of = point.display_name.as_deref().unwrap_or("without name");
            let named = point.disks.iter().map(|name| (name, true));
            for (name, is_disk) in named.chain(point.state_file.iter().map(|name| (name, false))) {
                if !told.insert(name) {
                    continue;
                }
                match self.index.lookup(file.root, &file.folder(), name.as_bytes()) {
                    Lookup::Found(id, _) if is_disk && !known.contains(&id) => {
                        let disk = MachineDisk::from_leaf(&mut self.linker, self.index, id);
                        known.extend(disk.files());
                        branches.push(disk);
                    }
                    Lookup::Missing if is_disk && !names_missing_disk(disks, name) => {
                        let what = format!("disk {name:?} of snapshot {of:?} is not there");
                        findings.push(missing(file, "snapshot.disk-missing", what));
                    }
                    Lookup::Missing if !is_disk => {
                        let what = format!("state {name:?} of snapshot {of:?} is not there");
                        findings.push(missing(file, "snapshot.state-missing", what));
                    }
                    Lookup::Found(..) | Lookup::Missing | Lookup::Outside(_) => {}
                }
            }
        }
        branches
    }

    /// Sorts numbered files of one machine by age, youngest first: `vmware.log` is written now,
    /// and a higher number is younger in `vmware-2.log` and `vm-Snapshot3.vmsn`.
    fn age(&self, id: FileId) -> u32 {
        let name = own_stem(self.index.file(id));
        let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let number = name.get(name.len() - digits..).and_then(|d| std::str::from_utf8(d).ok());
        let number = number.and_then(|digits| digits.parse().ok()).unwrap_or(0);
        if name == b"vmware" { 0 } else { u32::MAX - number }
    }

    /// How many configurations lie in a folder.
    fn machines_in(&self, root: usize, folder: &RelPath) -> usize {
        self.index.in_folder(root, folder).iter().filter(|id| self.is_configuration(**id)).count()
    }
}

fn missing(file: &CatalogFile, code: &str, what: String) -> Finding {
    finding(file, code, what, Some("look for it in other folders and datastores, or restore it"))
}

/// Whether a current disk misses a link of this name: it is then told there.
fn names_missing_disk(disks: &[MachineDisk], name: &str) -> bool {
    disks
        .iter()
        .any(|disk| disk.name == name || disk.findings.iter().any(|f| f.what.contains(name)))
}

fn stem_text(file: &CatalogFile) -> String {
    let stem = file.stem();
    let dot = stem.iter().rposition(|byte| *byte == b'.').unwrap_or(stem.len());
    let text = String::from_utf8_lossy(stem.get(..dot).unwrap_or(stem)).into_owned();
    if text.is_empty() {
        String::from_utf8_lossy(file.folder().file_name().as_bytes()).into_owned()
    } else {
        text
    }
}
