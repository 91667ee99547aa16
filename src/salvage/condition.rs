//! What triage said of a machine, as far as salvage needs it.

use std::collections::HashMap;

use serde::Serialize;

use crate::{catalog::FileId, finding::Finding};

/// State of one of a machine's disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskCondition {
    /// The verdict's word in records.
    pub verdict: String,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether it may be carried over as it stands: nothing says that its bytes are not its own.
    /// An undetermined disk is one of these; that it is undetermined is told wherever it goes.
    pub fit: bool,
    /// Position of the link to start from: 0, or the topmost whole one below damaged links.
    pub start: usize,
}

/// State of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineCondition {
    /// Its id in sweep records.
    pub id: String,
    /// The verdict's word.
    pub verdict: String,
    /// The way back, in the record's word.
    pub route: String,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether anything at all is wrong with it.
    pub is_untouched: bool,
    /// Its disks, in the catalog's order.
    pub disks: Vec<DiskCondition>,
    /// Length of files without appended footers, where a footer was found, and what it is.
    pub original_bytes: HashMap<FileId, (u64, String)>,
    /// What triage has to tell of it.
    pub findings: Vec<Finding>,
}
