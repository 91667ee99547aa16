//! `vmglean.sweep/1`: a datastore, every machine and disk judged.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Fraction, RecordPath, Totals};
use crate::{
    finding::{Evidence, Finding, Weight},
    outcome::Outcome,
};

/// What `schema` says in a sweep record.
pub const SWEEP_SCHEMA: &str = "vmglean.sweep/1";

/// The answer of one sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// Always [`SWEEP_SCHEMA`].
    pub schema: String,
    /// What was swept, in the order named on the command line.
    pub sources: Vec<SourceRecord>,
    /// Machines, by folder, then name.
    pub machines: Vec<MachineRecord>,
    /// VMware files that belong to no machine found, by path.
    pub orphans: Vec<OrphanRecord>,
    /// Ransom notes, by path.
    pub notes: Vec<NoteRecord>,
    /// Families the traces point to.
    pub families: Vec<FamilyHit>,
    /// What could not be read, by path, then offset.
    pub unreadable: Vec<UnreadableRecord>,
    /// Findings about the datastore as a whole or files of no machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Sums.
    pub totals: Totals,
    /// Time, version and arguments; left out with `--reproducible`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunInfo>,
}

impl SweepRecord {
    /// A record of nothing yet.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            schema: SWEEP_SCHEMA.to_owned(),
            sources: Vec::new(),
            machines: Vec::new(),
            orphans: Vec::new(),
            notes: Vec::new(),
            families: Vec::new(),
            unreadable: Vec::new(),
            findings: Vec::new(),
            totals: Totals::of(&[]),
            run: None,
        }
    }

    /// How the run that made this record ends: anything but an untouched machine, a note, or a
    /// finding of weight is damage; anything unreadable makes it partial.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let of_machines = self.machines.iter().flat_map(|m| &m.findings);
        let grave = self.findings.iter().chain(of_machines).map(|f| f.weight).max();
        let damage = grave == Some(Weight::Damage)
            || self.machines.iter().any(|m| m.verdict != MachineVerdict::Untouched)
            || !self.notes.is_empty()
            || !self.families.is_empty();
        let partial = grave == Some(Weight::Unreadable) || !self.unreadable.is_empty();
        let damage = if damage { Outcome::Damage } else { Outcome::Clean };
        damage.and(if partial { Outcome::Partial } else { Outcome::Clean })
    }

    /// Computes `totals` from the rest; `files` is how many files were looked at.
    pub fn sum(&mut self, files: u64) {
        self.totals = Totals {
            orphans: self.orphans.len() as u64,
            notes: self.notes.len() as u64,
            unreadable: self.unreadable.len() as u64,
            files,
            ..Totals::of(&self.machines)
        };
    }
}

/// One source of the sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// As named on the command line.
    pub path: RecordPath,
    /// `folder` or `file`; later kinds name themselves.
    pub kind: String,
    /// Files looked at.
    pub files: u64,
    /// Sum of their sizes.
    pub size_bytes: u64,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineRecord {
    /// Unique in the record and the same at every run over the same input.
    pub id: String,
    /// Display name, or the best stand-in.
    pub name: String,
    /// Folder that holds its configuration or first disk.
    pub folder: RecordPath,
    /// What state it is in.
    pub verdict: MachineVerdict,
    /// The way back.
    pub route: Route,
    /// Why, in one sentence.
    pub reason: String,
    /// The command to type next.
    pub next_command: String,
    /// Where its configuration stands.
    pub config: ConfigRecord,
    /// Its disks, in the configuration's order, else by path.
    pub disks: Vec<DiskRecord>,
    /// What a person must know.
    pub findings: Vec<Finding>,
}

/// Where a machine's configuration stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRecord {
    /// The file the configuration comes from: `.vmx`, `.vmsn`, `vmware.log`…; `null` if none.
    pub source: Option<RecordPath>,
    /// State of the machine's own `.vmx`.
    pub state: ConfigState,
}

/// State of a machine's `.vmx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigState {
    /// Whole and readable.
    Intact,
    /// Encrypted by VMware itself (virtual TPM or encrypted machine).
    VmwareEncrypted,
    /// Encrypted by the attack.
    Encrypted,
    /// There, but torn.
    Damaged,
    /// Not there.
    Missing,
    /// The medium failed.
    Unreadable,
    /// Cannot be said.
    Undetermined,
}

/// State of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineVerdict {
    /// No sign of damage in what was examined.
    Untouched,
    /// Disks show no damage, small files are lost.
    ConfigLost,
    /// A disk is encrypted in part.
    PartlyEncrypted,
    /// Disks are encrypted, nothing of use between.
    Encrypted,
    /// A link, an extent or a disk is missing.
    Incomplete,
    /// Cannot be said, with the reason.
    Undetermined,
}

impl MachineVerdict {
    /// All, in the order of the contract.
    pub const ALL: [Self; 6] = [
        Self::Untouched,
        Self::ConfigLost,
        Self::PartlyEncrypted,
        Self::Encrypted,
        Self::Incomplete,
        Self::Undetermined,
    ];

    /// The word in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::ConfigLost => "config-lost",
            Self::PartlyEncrypted => "partly-encrypted",
            Self::Encrypted => "encrypted",
            Self::Incomplete => "incomplete",
            Self::Undetermined => "undetermined",
        }
    }
}

impl fmt::Display for MachineVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The way back for a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// Register and start as it is.
    Redeploy,
    /// Write its configuration anew, then redeploy.
    RebuildConfig,
    /// Leave the damaged deltas, start from a whole snapshot point.
    RollbackSnapshot,
    /// Take what is left of the disk.
    SalvageDisk,
    /// Only a backup helps.
    RestoreBackup,
    /// A person must look first.
    Examine,
}

impl Route {
    /// All, in the order of the contract.
    pub const ALL: [Self; 6] = [
        Self::Redeploy,
        Self::RebuildConfig,
        Self::RollbackSnapshot,
        Self::SalvageDisk,
        Self::RestoreBackup,
        Self::Examine,
    ];

    /// The word in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Redeploy => "redeploy",
            Self::RebuildConfig => "rebuild-config",
            Self::RollbackSnapshot => "rollback-snapshot",
            Self::SalvageDisk => "salvage-disk",
            Self::RestoreBackup => "restore-backup",
            Self::Examine => "examine",
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One virtual disk of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRecord {
    /// The file the machine names: descriptor, or extent where the descriptor is gone.
    pub leaf: RecordPath,
    /// Leaf to base, one entry a link, extents after their descriptor.
    pub chain: Vec<RecordPath>,
    /// Virtual size; `null` where nothing tells it.
    pub capacity_bytes: Option<u64>,
    /// Bytes that the files behind it allocate; `null` where unknown.
    pub allocated_bytes: Option<u64>,
    /// State of the disk.
    pub verdict: DiskVerdict,
    /// Encrypted share of the allocated bytes, best estimate; `null` where not judged.
    pub encrypted_fraction: Option<Fraction>,
    /// Lower end of its confidence interval.
    pub encrypted_fraction_low: Option<Fraction>,
    /// Upper end of its confidence interval.
    pub encrypted_fraction_high: Option<Fraction>,
    /// Share of zeros and unallocated bytes of the capacity; `null` where unknown.
    pub zero_fraction: Option<Fraction>,
    /// How it was judged.
    pub method: Method,
    /// Windows measured.
    pub samples: u64,
    /// Family that the disk's own traces point to.
    pub family: Option<String>,
    /// Why this verdict, in one sentence.
    pub reason: String,
    /// Equal slices of the disk from its start, one letter each: `.` zero or absent, `i` no sign
    /// of damage, `e` encrypted, `u` unreadable, `d` damaged, `?` not known. Left out if empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub strip: String,
    /// What the verdict rests on; offsets are of the file named in `detail`, else of `leaf`.
    pub evidence: Vec<Evidence>,
}

/// State of a virtual disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskVerdict {
    /// No sign of damage in what was examined.
    Untouched,
    /// Encrypted by its own guest or by VMware (BitLocker, LUKS, encrypted VM): not the attack.
    GuestEncrypted,
    /// Data shows no damage, but its descriptor or header is lost.
    DescriptorLost,
    /// Encrypted in part.
    PartlyEncrypted,
    /// Encrypted wholly.
    Encrypted,
    /// A link or an extent is missing.
    Incomplete,
    /// The structure that leads to the data is damaged, not by encryption.
    Damaged,
    /// The medium failed.
    Unreadable,
    /// Cannot be said, with the reason.
    Undetermined,
}

impl DiskVerdict {
    /// The word in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::GuestEncrypted => "guest-encrypted",
            Self::DescriptorLost => "descriptor-lost",
            Self::PartlyEncrypted => "partly-encrypted",
            Self::Encrypted => "encrypted",
            Self::Incomplete => "incomplete",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
            Self::Undetermined => "undetermined",
        }
    }
}

impl fmt::Display for DiskVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How a disk was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// From samples; the share has an interval.
    Sampled,
    /// Every byte was read.
    Full,
    /// From sizes, names and headers alone: no content was measured.
    None,
}

/// A file of no machine found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanRecord {
    /// The file.
    pub path: RecordPath,
    /// What it is: `flat`, `sparse`, `cowd`, `sesparse`, `descriptor`, `vmx`, `vmsn`…
    pub kind: String,
    /// Its size.
    pub size_bytes: u64,
    /// Machines it could belong to, likeliest first.
    pub candidates: Vec<Candidate>,
}

/// A machine that an orphan could belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The machine's `id`.
    pub machine: String,
    /// Why it is offered.
    pub why: String,
}

/// A ransom note. Its text is evidence: it is quoted, never followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRecord {
    /// The file.
    pub path: RecordPath,
    /// Families whose notes look like it, likeliest first.
    pub families: Vec<String>,
    /// Victim id that the note states.
    pub victim_id: Option<String>,
    /// Extension that the note states.
    pub extension: Option<String>,
    /// The first lines, bounded.
    pub quote: String,
    /// What makes it a note.
    pub rests_on: Vec<String>,
}

/// How sure a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// A hint.
    Low,
    /// Likely.
    Medium,
    /// Shown by something only this family writes.
    High,
}

/// What a family's name rests on mainly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// A footer of its making.
    Footer,
    /// A note's content.
    Note,
    /// A header of its making.
    Header,
    /// A placing rule of its making.
    Pattern,
    /// Names alone: the weakest.
    Name,
}

/// A family the traces point to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyHit {
    /// Its name.
    pub name: String,
    /// How sure.
    pub confidence: Confidence,
    /// The strongest kind of trace.
    pub basis: Basis,
    /// Each trace in words.
    pub rests_on: Vec<String>,
    /// How many files carry a trace.
    pub files: u64,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableRecord {
    /// The file or folder.
    pub path: RecordPath,
    /// First byte, where a range failed; `null` where the whole failed.
    pub offset_bytes: Option<u64>,
    /// How many bytes.
    pub length_bytes: Option<u64>,
    /// What the system said.
    pub error: String,
    /// What to do next.
    pub next: String,
}

/// The only place in a record with times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// vmglean's version.
    pub version: String,
    /// Arguments as given.
    pub arguments: Vec<RecordPath>,
    /// Start, UTC, ISO 8601.
    pub started: String,
    /// End, UTC, ISO 8601.
    pub finished: String,
    /// Bytes read from the sources.
    pub read_bytes: u64,
    /// SHA-256 of inputs, where asked: path and lower-case hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_sha256: Vec<(RecordPath, String)>,
}
