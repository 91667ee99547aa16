//! A small file judged whole.

use serde::{Deserialize, Serialize};
use vmglean_formats::ReadAt;

use crate::{
    families::{NameKind, Suffix},
    finding::Evidence,
};

/// What is known of a small file beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallContext {
    /// What its name says it is.
    pub kind: NameKind,
    /// What was appended to its name.
    pub suffixes: Vec<Suffix>,
    /// Whether a ransom note lies in its folder.
    pub note_in_folder: bool,
}

/// What a small file's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmallState {
    /// Text or binary of the kind its name says.
    Intact,
    /// The right kind, but parts of it are not.
    Damaged,
    /// Random-like from end to end, where its kind never is.
    Encrypted,
    /// Random-like, and its kind may be.
    RandomLike,
    /// VMware's own encryption.
    LegitEncrypted,
    /// A known compressed container.
    Compressed,
    /// Nothing but zeros.
    Zero,
    /// No bytes at all.
    Empty,
    /// Readable, but not of a kind that can be checked.
    Unchecked,
    /// Could not be read.
    Unreadable,
}

/// A small file judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmallJudgement {
    /// The verdict.
    pub state: SmallState,
    /// Why, in one sentence.
    pub reason: String,
    /// Shannon entropy of the whole file in bits a byte.
    pub entropy_bits: f64,
    /// Chi-square of the whole file against uniform bytes; 255 ± 23 for random ones.
    pub chi_square: f64,
    /// How many bytes were read.
    pub length_bytes: u64,
    /// What was seen.
    pub evidence: Vec<Evidence>,
}

/// Judges a file read whole; past 16 MiB only its first 16 MiB.
#[must_use]
pub fn judge_small(source: &dyn ReadAt, context: &SmallContext) -> SmallJudgement {
    let _ = context;
    SmallJudgement {
        state: SmallState::Unchecked,
        reason: "nothing was read".to_owned(),
        entropy_bits: 0.0,
        chi_square: 0.0,
        length_bytes: source.len_bytes(),
        evidence: Vec::new(),
    }
}
