//! From measurements to verdicts: every byte of a disk in one state, each with its reason.
//!
//! Layers, from certain to inferred: what the medium gave, bytes far from uniform, structures
//! that prove themselves, the rule that damage follows, edges to the byte. What nothing explains
//! is [`State::Undetermined`], never intact.

mod assemble;
mod ecb;
mod edge;
mod explained;
mod leftover;
mod loose;
mod packed;
mod placed;
mod rule;
mod runs;
mod second;
mod segments;
mod shorter;
mod survey;

pub use assemble::{judge, judge_after};
pub use runs::{Lattice, Run, State, overlay};
pub use survey::{Piece, PlacedIsland, Survey, Tone};

use super::pattern::Rule;
use crate::finding::{Evidence, Finding};

/// What is known of a disk besides its bytes.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Name for findings.
    pub path: String,
    /// Bytes of the disk without anything appended; `None`: all of it.
    pub original_bytes: Option<u64>,
    /// Whether a footer, a suffix or a note says that a locker was at work here.
    pub attacked: Option<String>,
    /// For evidence: what the footer said.
    pub footer: Vec<Evidence>,
    /// Rules of known families over this size.
    pub library: Vec<Rule>,
    /// The same over sizes that a footer of whole sectors would leave, which arithmetic does not
    /// show.
    pub shorter: Vec<(u64, Vec<Rule>)>,
    /// Whether it is a whole disk, which does not begin with random-like bytes by nature; any
    /// other file may.
    pub is_disk: bool,
}

/// How to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JudgeOptions {
    /// For examiners: only what is proven is intact; bytes that merely do not look encrypted
    /// are undetermined.
    pub strict: bool,
    /// No stream is decoded to hold it against its checksum: what only that would tell is
    /// undetermined.
    pub no_unpack: bool,
}

/// The damage map of one disk.
#[derive(Clone, Debug, Default)]
pub struct DamageMap {
    /// Bytes covered by `runs`.
    pub size_bytes: u64,
    /// Bytes of the disk without anything appended.
    pub original_bytes: u64,
    /// Every byte, in order, without gap or overlap.
    pub runs: Vec<Run>,
    /// The rule that the damage follows, if one was found.
    pub rule: Option<Rule>,
    /// What the runs rest on.
    pub evidence: Vec<Evidence>,
    /// Which of that says: random-like, and nothing explains it.
    pub unexplained: Option<usize>,
    /// What a person must know besides.
    pub findings: Vec<Finding>,
}

impl DamageMap {
    /// Bytes in `state`; small runs of a lattice count as encrypted.
    #[must_use]
    pub fn bytes_in(&self, state: State) -> u64 {
        self.runs.iter().map(|run| run.bytes_in(state)).sum()
    }
}
