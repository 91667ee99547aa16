//! The words of a quick verdict.

use serde::{Deserialize, Serialize};

use crate::{
    families::{Confidence, FamilyHint, Suffix},
    finding::Evidence,
    triage::footer::FooterReading,
};

/// What kind of file holds the disk's bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum ExtentKind {
    /// Raw disk content: `-flat.vmdk`, `-f001.vmdk`.
    Flat,
    /// Hosted sparse, `KDMV`.
    Sparse,
    /// vmfsSparse, `COWD`.
    Cowd,
    /// seSparse.
    SeSparse,
    /// streamOptimized: compressed grains, random-looking by nature.
    Stream,
    /// Guest memory or swap.
    Memory,
    /// Anything else of some size.
    #[default]
    Other,
}

/// How to sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuickOptions {
    /// How many samples; 688 find an encrypted share of 1 % with 99.9 % probability.
    pub samples: u32,
    /// Length of one sample, a multiple of 4096.
    pub sample_bytes: u32,
    /// Read everything instead of samples.
    pub full: bool,
    /// Bytes that may be read besides, to tell containers from ciphertext: 1 MiB for each sample
    /// that looks random, until it is clear that some are no container.
    pub escalation_bytes: u64,
}

impl Default for QuickOptions {
    fn default() -> Self {
        Self { samples: 688, sample_bytes: 32 * 1024, full: false, escalation_bytes: 1 << 30 }
    }
}

/// What is known of a disk before its bytes are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskContext {
    /// Path as named in the report.
    pub path: String,
    /// What kind of extent its name or descriptor says it is.
    pub kind: ExtentKind,
    /// Its length by the descriptor's extent line.
    pub expected_bytes: Option<u64>,
    /// What was appended to its name.
    pub suffixes: Vec<Suffix>,
    /// Families of the ransom notes in its folder; empty and `note_in_folder` for a nameless one.
    pub note_families: Vec<FamilyHint>,
    /// Whether a ransom note lies in its folder.
    pub note_in_folder: bool,
    /// Legitimate encryption announced elsewhere: where it says so.
    pub legit_encryption: Option<String>,
    /// How many other files of this machine are judged encrypted.
    pub siblings_hit: u32,
    /// Of which disk it is a part, and which: its other files, too, carry the judgement.
    pub part_of: Option<String>,
}

/// A verdict on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskState {
    /// Positive evidence of intact data and nothing against it.
    Untouched,
    /// Nearly all data encrypted.
    Encrypted,
    /// Some encrypted, some intact.
    PartlyEncrypted,
    /// Structure lost by something other than encryption.
    Damaged,
    /// Neither can be said; the reason says why.
    Undetermined,
}

/// A share of the original size, with the bounds at 99.9 % confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Best estimate, 0 to 1.
    pub estimate: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// How much was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Samples.
    Sampled,
    /// Every byte that is not a hole.
    Full,
}

/// A family named, with what that rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyNaming {
    /// Its name.
    pub name: String,
    /// Everything seen that fits it.
    pub rests_on: Vec<String>,
    /// The best confidence among those facts.
    pub confidence: Confidence,
    /// Other families that fit some of it.
    pub others: Vec<String>,
}

/// What a disk was judged to be, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskJudgement {
    /// The verdict.
    pub state: DiskState,
    /// Why, in one sentence.
    pub reason: String,
    /// Encrypted share of the original size; `None` where nothing can be said.
    pub encrypted: Option<Share>,
    /// Share that is zero or a hole.
    pub zero_share: f64,
    /// Share that looks random, explained or not.
    pub random_like_share: f64,
    /// Whether its first bytes look random, where a disk's structures must stand.
    pub head_is_random: bool,
    /// Whether bytes finer than blocks look encrypted: small runs at equal distance.
    pub has_small_runs: bool,
    /// How much was read.
    pub method: Method,
    /// Samples judged, holes included.
    pub samples: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes that are no holes, which the samples were taken from.
    pub data_bytes: u64,
    /// The file's size before the attack.
    pub original_size_bytes: u64,
    /// What its end says.
    pub footer: Option<FooterReading>,
    /// The family, or none.
    pub family: Option<FamilyNaming>,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// Places that could not be read: offset, length, the system's word.
    pub unreadable: Vec<(u64, u64, String)>,
}
