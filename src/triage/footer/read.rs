//! Footers one after another from the end of a file.

use serde::{Deserialize, Serialize};
use vmglean_formats::{ByteOffset, ReadAt};

use super::geometry::Stated;
use crate::{
    families::{Families, FamilyHint, Prediction},
    finding::Evidence,
};

/// How much of a file's end is looked at.
pub const TAIL_BYTES: usize = 16 * 1024;

/// What is known of the file beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FooterQuestion {
    /// Whether such a file must be a whole number of 512-byte sectors (flat and sparse extents).
    pub whole_sectors: bool,
    /// Its length by another witness, such as the descriptor's extent line.
    pub expected_bytes: Option<u64>,
    /// Families that the file's suffix or the folder's note speak for.
    pub named: Vec<String>,
}

/// On what a footer layer rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FooterProof {
    /// Its length fits, nothing more.
    Length,
    /// Its magic stands at its place.
    Magic,
    /// It checks itself: a size that agrees, a hash, a checksum.
    Checked,
}

/// One appended footer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FooterLayer {
    /// First byte of the footer.
    pub offset_bytes: u64,
    /// Its length.
    pub length_bytes: u64,
    /// On what it rests.
    pub proof: FooterProof,
    /// Families that append it.
    pub families: Vec<FamilyHint>,
    /// What it states in clear text.
    pub stated: Option<Stated>,
    /// Where it says the damage lies.
    pub prediction: Option<Prediction>,
}

/// What the end of a file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FooterReading {
    /// The file's length now.
    pub file_bytes: u64,
    /// Its length before the attack, by the best witness.
    pub original_size_bytes: u64,
    /// Whether that length is stated or proven; else it is what whole sectors leave at most.
    pub original_size_is_proven: bool,
    /// Footers from the outermost in; empty where none was found.
    pub layers: Vec<FooterLayer>,
    /// Families whose footer would fit by length alone.
    pub candidates: Vec<FamilyHint>,
    /// What was seen.
    pub evidence: Vec<Evidence>,
}

impl FooterReading {
    /// Bytes appended to the original file.
    #[must_use]
    pub fn appended_bytes(&self) -> u64 {
        self.file_bytes.saturating_sub(self.original_size_bytes)
    }

    /// Whether a footer stands there by more than its length.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.layers.iter().any(|layer| layer.proof > FooterProof::Length)
    }
}

/// Reads the end of `source`.
///
/// # Errors
/// The medium's error; nothing can then be said.
pub fn read_footer(
    source: &dyn ReadAt,
    question: &FooterQuestion,
    families: &Families,
) -> Result<FooterReading, vmglean_formats::MediumError> {
    let file_bytes = source.len_bytes();
    let from = file_bytes.saturating_sub(u64::try_from(TAIL_BYTES).unwrap_or(0));
    let tail = source.read_up_to(ByteOffset(from), TAIL_BYTES)?;
    Ok(read_tail(file_bytes, &tail, question, families))
}

/// The same for a tail already in memory: the last bytes of a file of `file_bytes`.
#[must_use]
pub fn read_tail(
    file_bytes: u64,
    tail: &[u8],
    question: &FooterQuestion,
    families: &Families,
) -> FooterReading {
    let _ = (tail, question, families);
    FooterReading {
        file_bytes,
        original_size_bytes: file_bytes,
        original_size_is_proven: false,
        layers: Vec::new(),
        candidates: Vec::new(),
        evidence: Vec::new(),
    }
}
