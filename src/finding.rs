//! Something observed, with where and why: what verdicts are made of.

use std::{error::Error, iter};

use serde::{Deserialize, Serialize};

/// On what kind of observation a conclusion rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceKind {
    /// Bytes appended to the file.
    Footer,
    /// Damage placed by a rule.
    Pattern,
    /// A measured number.
    Statistic,
    /// A magic or header.
    Header,
    /// A structure that holds together, or does not.
    Structure,
    /// Another file that belongs to this one.
    Companion,
    /// A ransom note.
    Note,
    /// The file's name.
    Name,
}

/// One observation. Offsets are file offsets, so that a hex viewer can show the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Kind of observation.
    pub kind: EvidenceKind,
    /// First byte observed.
    pub offset_bytes: u64,
    /// How many bytes were observed.
    pub length_bytes: u64,
    /// What was seen, in words and numbers.
    pub detail: String,
}

/// How much a finding weighs for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Worth knowing, nothing is wrong.
    Note,
    /// Something is damaged, missing or lying.
    Damage,
    /// Something could not be read.
    Unreadable,
}

/// Something a person must know: what, where, why, what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable machine code, such as `chain.parent-missing`.
    pub code: String,
    /// How much it weighs.
    pub weight: Weight,
    /// The file concerned, as named in the report.
    pub path: String,
    /// Where in that file, if a place can be named.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset_bytes: Option<u64>,
    /// What is the matter, in one sentence.
    pub what: String,
    /// What to do next, where there is something.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// An error and those of its causes that say what is not yet said, in one line.
#[must_use]
pub fn said_once(error: &dyn Error) -> String {
    let mut words = vec![error.to_string()];
    for cause in iter::successors(error.source(), |&cause| cause.source()) {
        let word = cause.to_string();
        if !words.iter().any(|known| known.contains(&word)) {
            words.push(word);
        }
    }
    words.join(": ")
}

/// An error and its causes in one line.
#[must_use]
pub fn in_one_line(error: &dyn Error) -> String {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
