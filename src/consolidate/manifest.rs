//! `MANIFEST.jsonl`: where every byte of an output comes from, and in what state it is.

use serde::{Deserialize, Serialize};

use crate::triage::judge::State;

/// What `schema` says in a manifest.
pub const MANIFEST_SCHEMA: &str = "vmglean.manifest/1";

/// One line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum ManifestLine {
    /// First: what was made.
    Output(OutputLine),
    /// How the content of one file was judged.
    Judged(JudgedLine),
    /// A range of the disk.
    Range(RangeLine),
    /// Sums.
    Totals(Sums),
    /// Last: nothing is missing before it.
    Complete {
        /// How many lines came before this one.
        lines: u64,
    },
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLine {
    /// Always [`MANIFEST_SCHEMA`].
    pub schema: String,
    /// The file, beside the manifest.
    pub output: String,
    /// `raw`, `flat`, `sparse` or `stream`.
    pub format: String,
    /// Virtual size.
    pub size_bytes: u64,
    /// The disk it was made from.
    pub leaf: String,
    /// The link it was read from.
    pub at: String,
    /// What stands in the place of bytes that are not to be had: two hex digits a byte.
    pub fill: String,
}

/// By what the content of a file was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgedBy {
    /// Nothing: its bytes are copied as they are.
    Nothing,
    /// Samples.
    Samples,
    /// Every byte that is no hole, as samples side by side: the file is small.
    EveryByte,
    /// A damage map made in this run.
    Map,
    /// A recorded damage map that was given.
    GivenMap,
}

/// How the content of a file was judged, and what that can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedLine {
    /// The file; all of the disk's where a map of the whole disk was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// By what.
    pub by: JudgedBy,
    /// The verdict in a sentence.
    pub verdict: String,
    /// What was sampled, and what it can miss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<SampledLine>,
    /// The map's record that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// SHA-256 of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_sha256: Option<String>,
}

impl JudgedLine {
    /// A verdict without samples or a map that was given.
    #[must_use]
    pub fn new(file: Option<String>, by: JudgedBy, verdict: String) -> Self {
        Self { file, by, verdict, samples: None, map: None, map_sha256: None }
    }
}

/// What samples of a file can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampledLine {
    /// How many were taken, one in each equal share of the data.
    pub count: u64,
    /// Bytes of each.
    pub sample_bytes: u64,
    /// Bytes of the file that are no holes.
    pub data_bytes: u64,
    /// A single encrypted run of this length or more meets a sample whole.
    pub sure_run_bytes: u64,
    /// Chance in percent that a single encrypted run of 1 MiB meets none.
    pub missed_1mib_percent: u8,
}

/// A range of the disk that an output holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeLine {
    /// First byte on the virtual disk.
    pub offset_bytes: u64,
    /// How many bytes.
    pub length_bytes: u64,
    /// In the contract's words.
    pub state: String,
    /// Whether the fill stands there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub filled: bool,
    /// The link that answered, 0 = leaf.
    pub link: u32,
    /// The file the bytes come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// First byte in that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_offset_bytes: Option<u64>,
    /// Compressed grain: bytes it takes in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
    /// Compressed grain: bytes of it that come before this range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_bytes: Option<u64>,
    /// SHA-256 of what stands in the output; left out where that is all zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Only small runs at equal distance are encrypted, and the fill stands there; the bytes
    /// between are the disk's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lattice: Option<LatticeLine>,
    /// Of sectors made anew: what they are, and from what they were made. The state is that of
    /// the bytes that stood there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<String>,
    /// Why, where the state needs a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Small encrypted runs at equal distance inside a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatticeLine {
    /// Less than the period: a small run begins there and whole periods away, by the addresses of
    /// the disk.
    pub phase_bytes: u64,
    /// Length of each.
    pub run_bytes: u64,
    /// Distance of their starts.
    pub period_bytes: u64,
    /// How many bytes of the range lie in them.
    pub encrypted_bytes: u64,
    /// State of the bytes between.
    pub between: String,
}

/// Bytes by state; they add up to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Stored zeros.
    pub zero_bytes: u64,
    /// Nothing allocated; reads as zero.
    pub absent_bytes: u64,
    /// Proven by a checksum or a damage map.
    pub intact_bytes: u64,
    /// Encrypted by the attack.
    pub encrypted_bytes: u64,
    /// The medium did not give them.
    pub unreadable_bytes: u64,
    /// The structure that leads to them is lost.
    pub damaged_bytes: u64,
    /// Copied as their tables say; nothing more is known.
    pub undetermined_bytes: u64,
}

impl Sums {
    /// Adds bytes of a state.
    pub fn add(&mut self, state: State, length: u64) {
        let sum = match state {
            State::Zero => &mut self.zero_bytes,
            State::Absent => &mut self.absent_bytes,
            State::Intact => &mut self.intact_bytes,
            State::Encrypted => &mut self.encrypted_bytes,
            State::Unreadable => &mut self.unreadable_bytes,
            State::Damaged => &mut self.damaged_bytes,
            State::Undetermined => &mut self.undetermined_bytes,
        };
        *sum = sum.saturating_add(length);
    }

    /// Adds other sums.
    pub fn add_all(&mut self, other: &Self) {
        self.zero_bytes += other.zero_bytes;
        self.absent_bytes += other.absent_bytes;
        self.intact_bytes += other.intact_bytes;
        self.encrypted_bytes += other.encrypted_bytes;
        self.unreadable_bytes += other.unreadable_bytes;
        self.damaged_bytes += other.damaged_bytes;
        self.undetermined_bytes += other.undetermined_bytes;
    }

    /// Bytes in whose place the fill stands.
    #[must_use]
    pub fn filled_bytes(&self) -> u64 {
        self.encrypted_bytes + self.unreadable_bytes + self.damaged_bytes
    }
}

/// The contract's word for a state.
#[must_use]
pub fn state_word(state: State) -> &'static str {
    match state {
        State::Zero => "zero",
        State::Absent => "absent",
        State::Intact => "intact",
        State::Encrypted => "encrypted",
        State::Unreadable => "unreadable",
        State::Damaged => "damaged",
        State::Undetermined => "undetermined",
    }
}
