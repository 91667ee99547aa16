//! What a salvaged machine's folder will hold, decided before a byte is written.

use serde::Serialize;
use vmglean_formats::{nvram::FirmwareKind, vmsn::MemoryImage};

use super::{
    condition::MachineCondition,
    config::{
        Gathered, Guest, Hosts, Opener, PieceKind, Rebuilt, SpareKind, derive, gather, guess,
        possible_stems, rebuild,
    },
    disks::{self, DiskPlan},
    memory::{self, MemoryPair},
    names::{Unique, safe_name},
    snapshots,
};
use crate::{
    catalog::{FileId, Machine},
    families::NameKind,
    finding::{Finding, Weight},
    source::{RecordPath, base_name},
};

/// What to carry over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SalvageOptions {
    /// Write the small files only; disks are listed.
    pub config_only: bool,
    /// Carry over disks that are damaged or encrypted in part, too.
    pub include_damaged: bool,
    /// Carry over memory images.
    pub memory: bool,
}

/// How a file of the folder comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Byte for byte from a source file.
    Copied,
    /// Byte for byte from inside a source file.
    Extracted,
    /// A source file with lines changed so that the folder fits together.
    Changed,
    /// Written anew from what other files tell.
    Rebuilt,
}

/// One file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its name, with `/` only where this salvage makes a folder.
    pub name: String,
    /// How it comes to be.
    pub origin: Origin,
    /// Why it is what it is, in one sentence.
    pub why: String,
    /// Where its bytes come from.
    pub content: PlannedContent,
}

/// Bytes of a planned file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedContent {
    /// Known now.
    Bytes {
        /// The bytes.
        bytes: Vec<u8>,
        /// The file and place they come from, where it is one.
        source: Option<(RecordPath, u64)>,
    },
    /// A stretch of a source file.
    Part {
        /// The file.
        file: FileId,
        /// First byte there.
        at: u64,
        /// How many.
        length: u64,
        /// The state word of what it holds, as far as it is known.
        state: &'static str,
    },
}

/// A machine's folder as it will be.
#[derive(Clone, Debug, Default)]
pub struct MachinePlan {
    /// Id in sweep records.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Folder below the output, safe to create.
    pub folder: String,
    /// What triage said.
    pub condition: MachineCondition,
    /// The configuration.
    pub config: Rebuilt,
    /// Its file's name.
    pub vmx_name: String,
    /// What the partition table told, where it was asked.
    pub guest: Option<Guest>,
    /// The files, small ones first.
    pub files: Vec<PlannedFile>,
    /// The disks.
    pub disks: Vec<DiskPlan>,
    /// Memory images.
    pub memory: Vec<MemoryPair>,
    /// What a person must know.
    pub findings: Vec<Finding>,
}

impl MachinePlan {
    pub(super) fn tell(&mut self, code: &str, weight: Weight, what: String, next: Option<&str>) {
        self.findings.push(Finding {
            code: code.to_owned(),
            weight,
            path: self.id.clone(),
            offset_bytes: None,
            what,
            next: next.map(str::to_owned),
        });
    }

    fn file(&mut self, name: String, origin: Origin, why: &str, content: PlannedContent) {
        self.files.push(PlannedFile { name, origin, why: why.to_owned(), content });
    }
}

/// Plans the folder of `machine`, with what its `hosts` tell of it. Reads small files and disk
/// heads; writes nothing.
#[must_use]
pub fn plan(
    opener: &Opener<'_>,
    hosts: &Hosts,
    machine: &Machine,
    condition: MachineCondition,
    folder: String,
    options: SalvageOptions,
) -> MachinePlan {
    let mut found = gather(opener, machine);
    let mut config = rebuild(std::mem::take(&mut found.pieces));
    derive(&mut config, &found, opener);
    let stems = possible_stems(opener, machine);
    let hosts = hosts.of(opener, machine, &stems);
    found.vmx_names.extend(hosts.vmx_names());
    let mut plan = MachinePlan {
        id: condition.id.clone(),
        name: machine.name.clone(),
        folder,
        condition,
        ..MachinePlan::default()
    };
    plan.findings.append(&mut found.findings);
    plan.findings.extend(plan.condition.findings.clone());
    let mut names = Unique::default();
    for taken in ["README.txt", "MANIFEST.jsonl", "vmx.provenance.json"] {
        names.take(taken);
    }
    let stem = stem(opener, machine, &found);
    plan.vmx_name = names.take(&format!("{stem}.vmx"));
    let sealed = sealed_config(opener, machine);
    // Encrypted inside: its keys cannot be seen, so none may be added or set.
    let own = config.verbatim.is_some() && config.line("encryption.data").is_some();
    let kept = (own && config.line("vmx.encryptionType").is_none()).then(|| config.clone());
    let starts = disks::align_to_snapshot(opener, machine, &found, &mut plan);
    let layout = disks::Layout { opener, machine, found: &found, starts: &starts, options };
    let disk_files = layout.plan(&mut config, &mut names, &mut plan);
    if !config.complete && sealed.is_none() {
        let guest = layout.guest();
        guess(&mut config, &machine.name, &guest, &hosts);
        plan.guest = Some(guest);
    }
    plan.findings.extend(hosts.tell(&config));
    companions(opener, &mut config, &found, &mut names, &stem, &mut plan);
    snapshot_list(opener, machine, &found, &layout, &mut names, &stem, &mut plan);
    suspended(&mut config, &mut plan);
    memory::plan(opener, &found, options, &mut plan);
    if let Some(own) = kept {
        config = own;
        let what = "its configuration is encrypted by VMware itself and kept as it is; the key or \
                    password is needed";
        plan.tell("config.vmware-encrypted", Weight::Note, what.to_owned(), None);
    }
    configuration(opener, config, sealed, &mut plan);
    plan.files.extend(disk_files);
    let readme = super::readme::write(&plan, options);
    plan.file(
        "README.txt".to_owned(),
        Origin::Rebuilt,
        "for the engineer",
        PlannedContent::Bytes { bytes: readme.into_bytes(), source: None },
    );
    plan
}

/// The machine's own `.vmx` where VMware sealed it whole in a container that only it reads.
fn sealed_config(opener: &Opener<'_>, machine: &Machine) -> Option<FileId> {
    use crate::catalog::Content;
    machine.config.own.filter(|id| matches!(opener.file(*id).content, Content::Known(_)))
}

/// The name its files share: by the `.vmx` and its copies, by those that name it, by its folder.
fn stem(opener: &Opener<'_>, machine: &Machine, found: &Gathered) -> String {
    let cut = |name: &str| {
        let base = String::from_utf8_lossy(base_name(name.as_bytes())).into_owned();
        let end = base.find(".vmx").or_else(|| base.find(".vmtx")).or_else(|| base.rfind('.'));
        base.get(..end.unwrap_or(base.len())).unwrap_or_default().to_owned()
    };
    let own = machine.config.own.map(|id| String::from_utf8_lossy(opener.file(id).stem()).into());
    let backup = machine.companions.iter().find_map(|id| {
        let file = opener.file(*id);
        (file.name.kind == NameKind::VmxBackup).then(|| String::from_utf8_lossy(file.stem()).into())
    });
    let named = found.vmx_names.first().map(|(_, name)| name.clone());
    let other = machine.companions.iter().find_map(|id| {
        let file = opener.file(*id);
        matches!(file.name.kind, NameKind::Vmsd | NameKind::Nvram | NameKind::Vmxf)
            .then(|| String::from_utf8_lossy(file.stem()).into())
    });
    let name: Option<String> = own.or(backup).or(named).or(other);
    let stem = name.map(|name| cut(&name)).filter(|stem| !stem.is_empty());
    safe_name(&stem.unwrap_or_else(|| machine.name.clone()))
}

/// `.nvram` and `.vmxf`: the machine's own, else the spare of the newest checkpoint.
fn companions(
    opener: &Opener<'_>,
    config: &mut Rebuilt,
    found: &Gathered,
    names: &mut Unique,
    stem: &str,
    plan: &mut MachinePlan,
) {
    for (own, kind, key, ending) in [
        (found.nvram, SpareKind::Nvram, "nvram", "nvram"),
        (found.vmxf, SpareKind::Vmxf, "extendedConfigFile", "vmxf"),
    ] {
        let spare = found.spares.iter().find(|spare| spare.kind == kind);
        let name = names.take(&format!("{stem}.{ending}"));
        match (own, spare) {
            (Some(id), _) => {
                let length = opener.file(id).size_bytes;
                let content = PlannedContent::Part { file: id, at: 0, length, state: "intact" };
                plan.file(name.clone(), Origin::Copied, "the machine's own, whole", content);
            }
            (None, Some(spare)) => {
                let source = Some((shown(opener, spare.file), spare.at));
                let content = PlannedContent::Bytes { bytes: spare.bytes.clone(), source };
                let why = if spare.carved {
                    "the copy inside a damaged checkpoint: as of that snapshot"
                } else {
                    "the copy inside a checkpoint: as of that snapshot"
                };
                plan.file(name.clone(), Origin::Extracted, why, content);
            }
            (None, None) => {
                let efi = config.value("firmware").is_some_and(|f| f.eq_ignore_ascii_case("efi"))
                    || matches!(found.firmware, Some((_, FirmwareKind::Efi)));
                if kind == SpareKind::Nvram && efi {
                    plan.tell(
                        "nvram.lost",
                        Weight::Damage,
                        "the .nvram of this EFI machine is lost: boot entries and Secure Boot keys \
                         start anew"
                            .to_owned(),
                        Some("if it does not boot, choose \\EFI\\BOOT\\BOOTX64.EFI by hand in its firmware; BitLocker may ask for its recovery key"),
                    );
                }
                continue;
            }
        }
        if config.value(key) != Some(name.as_str()) {
            config.change(key, &name, "the file lies in this folder under this name");
        }
    }
}

fn shown(opener: &Opener<'_>, id: FileId) -> RecordPath {
    RecordPath::from(opener.file(id).shown.clone())
}

/// The `.vmsd`, cleaned to the point the disks stand at.
fn snapshot_list(
    opener: &Opener<'_>,
    machine: &Machine,
    found: &Gathered,
    layout: &disks::Layout<'_>,
    names: &mut Unique,
    stem: &str,
    plan: &mut MachinePlan,
) {
    let deltas = machine.disks.iter().zip(layout.starts).any(|(d, at)| d.chain.len() > at + 1);
    let Some((id, vmsd)) = &found.vmsd else {
        if deltas {
            plan.tell(
                "snapshots.unlisted",
                Weight::Damage,
                "the snapshot list is lost, its delta disks are not: the machine runs, but shows no \
                 snapshots"
                    .to_owned(),
                Some("consolidate its disks before taking new snapshots"),
            );
        }
        return;
    };
    let cleaned = snapshots::clean(vmsd, &layout.frozen());
    let source = opener.file(*id);
    let name = names.take(&format!("{stem}.vmsd"));
    match cleaned.text {
        None => {
            let (file, length) = (*id, source.size_bytes);
            let content = PlannedContent::Part { file, at: 0, length, state: "intact" };
            plan.file(name, Origin::Copied, "every disk it names is in this folder", content);
        }
        Some(bytes) => {
            let dropped: Vec<String> = cleaned.dropped.iter().map(u64::to_string).collect();
            let why = format!(
                "snapshots {} were dropped: taken after the point the disks stand at, or of disks \
                 that are not here",
                dropped.join(", ")
            );
            let source = Some((RecordPath::from(source.shown.clone()), 0));
            let content = PlannedContent::Bytes { bytes, source };
            plan.file(name, Origin::Changed, &why, content);
        }
    }
    for state_file in &cleaned.state_files {
        let wanted = base_name(state_file.as_bytes());
        let file = found.checkpoints.iter().map(|(id, _)| *id);
        let mut file = file.filter(|id| opener.file(*id).stem().eq_ignore_ascii_case(wanted));
        let Some(id) = file.next() else { continue };
        let (length, name) = (opener.file(id).size_bytes, super::names::safe_bytes(wanted));
        let content = PlannedContent::Part { file: id, at: 0, length, state: "undetermined" };
        plan.file(names.take(&name), Origin::Copied, "state of a snapshot that is kept", content);
    }
}

/// A suspended machine starts from its disks, not from a memory image of the day of the attack.
fn suspended(config: &mut Rebuilt, plan: &mut MachinePlan) {
    let Some(state) = config.value("checkpoint.vmState").filter(|state| !state.is_empty()) else {
        return;
    };
    let what = format!(
        "it was suspended ({state}); this folder starts it from its disks, as after a power cut"
    );
    config.change("checkpoint.vmState", "", "the suspended state is not carried over");
    plan.tell("config.suspended", Weight::Note, what, None);
}

fn configuration(
    opener: &Opener<'_>,
    config: Rebuilt,
    sealed: Option<FileId>,
    plan: &mut MachinePlan,
) {
    let name = plan.vmx_name.clone();
    if let Some(id) = sealed {
        let length = opener.file(id).size_bytes;
        let content = PlannedContent::Part { file: id, at: 0, length, state: "intact" };
        plan.file(name, Origin::Copied, "sealed whole by VMware's own encryption", content);
        let what = "its configuration is encrypted by VMware itself; the key or password is needed";
        plan.tell("config.vmware-encrypted", Weight::Note, what.to_owned(), None);
        plan.config = config;
        return;
    }
    let own = config.verbatim.is_some();
    let (origin, why) = match (own, config.base_kind) {
        (true, _) => (Origin::Copied, "the machine's own, whole"),
        (false, Some(PieceKind::Vmx)) if config.complete => {
            (Origin::Changed, "the machine's own, with names that fit this folder")
        }
        (false, Some(_)) => (Origin::Rebuilt, "merged, line by line: see vmx.provenance.json"),
        (false, None) => (Origin::Rebuilt, "guessed from the disks: see vmx.provenance.json"),
    };
    let source = config.base.as_ref().filter(|_| own).map(|base| (base.path.clone(), 0));
    let content = PlannedContent::Bytes { bytes: config.to_vmx(), source };
    plan.file(name, origin, why, content);
    if config.base_kind.is_none() {
        plan.tell(
            "config.guessed",
            Weight::Damage,
            "no copy of its configuration is left: every line is derived or guessed".to_owned(),
            Some("compare memory, processors, network and guest type with your records before it starts"),
        );
    } else if !config.complete {
        plan.tell(
            "config.incomplete",
            Weight::Damage,
            "every copy of its configuration is torn: keys may be missing without a trace"
                .to_owned(),
            Some("read vmx.provenance.json and compare with your records"),
        );
    }
    for missing in &config.missing {
        plan.findings.push(Finding {
            code: "config.key-missing".to_owned(),
            weight: Weight::Damage,
            path: plan.id.clone(),
            offset_bytes: None,
            what: format!("{} is missing: {}", missing.key, missing.why),
            next: None,
        });
    }
    let provenance = serde_json::to_vec_pretty(&config).unwrap_or_default();
    plan.file(
        "vmx.provenance.json".to_owned(),
        Origin::Rebuilt,
        "where each line of the configuration comes from",
        PlannedContent::Bytes { bytes: [provenance, b"\n".to_vec()].concat(), source: None },
    );
    plan.config = config;
}

/// Whether a checkpoint holds or names memory.
pub(super) fn has_memory(image: &MemoryImage) -> bool {
    !matches!(image, MemoryImage::None)
}
