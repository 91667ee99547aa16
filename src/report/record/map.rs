//! `vmglean.map/1`: every byte of one disk, judged.

use serde::{Deserialize, Serialize};

use super::{RecordPath, RunInfo, Score};
use crate::finding::{Evidence, Finding};

/// What `schema` says in a map record.
pub const MAP_SCHEMA: &str = "vmglean.map/1";

/// The damage map of one disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRecord {
    /// Always [`MAP_SCHEMA`].
    pub schema: String,
    /// The disk as named on the command line.
    pub disk: RecordPath,
    /// Bytes covered by `runs`: the virtual disk, or the raw file with `--file`.
    pub size_bytes: u64,
    /// Size without appended footers.
    pub original_size_bytes: u64,
    /// What was appended, if anything.
    pub footer: Option<FooterRecord>,
    /// Bytes by state; they add up to `size_bytes`.
    pub summary: MapSummary,
    /// The rule the damage follows, where one was found.
    pub pattern: Option<PatternRecord>,
    /// The files that hold the disk's bytes, leaf first; `runs` point into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<RecordPath>,
    /// Hashes of those files, where asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<HashRecord>,
    /// The whole disk in order, without gap or overlap.
    pub runs: Vec<MapRun>,
    /// What the runs point to.
    pub evidence: Vec<Evidence>,
    /// What a person must know beside the map.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Time, version and arguments; left out with `--reproducible`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunInfo>,
}

/// Hashes of one file, in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashRecord {
    /// Index into the record's `files`.
    pub file: usize,
    /// The file's absolute path.
    pub path: RecordPath,
    /// Its length.
    pub size_bytes: u64,
    /// Whether all of it could be read; what could not counts as zeros.
    pub is_whole: bool,
    /// MD5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// SHA-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha1: Option<String>,
    /// SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// BLAKE3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

/// Bytes appended to a file by an encryptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FooterRecord {
    /// Family whose footer it is, `null` where unknown.
    pub family: Option<String>,
    /// Bytes appended, all layers.
    pub length_bytes: u64,
    /// How many footers are stacked.
    pub layers: u32,
}

/// Bytes by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapSummary {
    /// Stored zeros.
    pub zero_bytes: u64,
    /// Nothing allocated; reads as zero.
    pub absent_bytes: u64,
    /// Proven or consistent original data.
    pub intact_bytes: u64,
    /// Encrypted by the attack.
    pub encrypted_bytes: u64,
    /// The medium did not give them.
    pub unreadable_bytes: u64,
    /// The structure that leads to them is lost.
    pub damaged_bytes: u64,
    /// Nothing explains them.
    pub undetermined_bytes: u64,
}

impl MapSummary {
    /// Adds `length_bytes` to the sum of `state`.
    pub fn add(&mut self, state: MapState, length_bytes: u64) {
        let sum = match state {
            MapState::Zero => &mut self.zero_bytes,
            MapState::Absent => &mut self.absent_bytes,
            MapState::Intact => &mut self.intact_bytes,
            MapState::Encrypted => &mut self.encrypted_bytes,
            MapState::Unreadable => &mut self.unreadable_bytes,
            MapState::Damaged => &mut self.damaged_bytes,
            MapState::Undetermined => &mut self.undetermined_bytes,
        };
        *sum = sum.saturating_add(length_bytes);
    }
}

/// State of a byte range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapState {
    /// Stored zeros.
    Zero,
    /// No data allocated; reads as zero.
    Absent,
    /// Original data.
    Intact,
    /// Encrypted by the attack.
    Encrypted,
    /// The medium failed.
    Unreadable,
    /// Structure lost, data may be there.
    Damaged,
    /// Nothing explains it.
    Undetermined,
}

/// Consecutive bytes of one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRun {
    /// First byte, from the start of the disk.
    pub offset_bytes: u64,
    /// How many bytes.
    pub length_bytes: u64,
    /// Their state.
    pub state: MapState,
    /// Indices into the record's `evidence`.
    pub evidence: Vec<usize>,
    /// Index into the record's `files`, where the bytes come from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<usize>,
    /// First byte in that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_offset_bytes: Option<u64>,
    /// How far the edges could lie elsewhere, where they are not exact to the byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeUncertainty>,
    /// Where only small runs at equal distance are encrypted: which, and what lies between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lattice: Option<LatticeRecord>,
}

/// Small encrypted runs at equal distance inside one [`MapRun`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatticeRecord {
    /// A place where a small run begins; others lie whole periods away.
    pub origin_bytes: u64,
    /// Length of each.
    pub run_bytes: u64,
    /// Distance of their starts.
    pub period_bytes: u64,
    /// State of the bytes between them.
    pub between: MapState,
}

/// By how many bytes, either way, the edges of a run could be off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeUncertainty {
    /// At its first byte.
    pub start_bytes: u64,
    /// At its end.
    pub end_bytes: u64,
}

/// The rule by which damage was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternRecord {
    /// Which rule.
    pub kind: PatternKind,
    /// Encrypted at the start, before any period.
    pub head_bytes: u64,
    /// Encrypted in each period.
    pub run_bytes: u64,
    /// From one run's start to the next one's.
    pub period_bytes: u64,
    /// Start of the first run.
    pub phase_bytes: u64,
    /// Where the rule ends.
    pub stop_bytes: u64,
    /// How much better than "no pattern" the rule explains the bytes.
    pub score: Score,
    /// The rule in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
}

/// Kinds of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatternKind {
    /// No damage.
    None,
    /// All of it.
    Whole,
    /// Only the start.
    Head,
    /// Run, gap, run, gap.
    Periodic,
    /// A few runs at fractions of the size.
    Chunks,
    /// Runs smaller than a block.
    Lattice,
    /// Damage without a rule.
    Irregular,
}
