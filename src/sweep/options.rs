//! What a sweep may be told.

use std::{path::PathBuf, time::Duration};

use crate::{
    source::{Access, RemoteSource},
    triage::quick::QuickOptions,
};

/// How to sweep.
#[derive(Clone, Debug, Default)]
pub struct SweepOptions {
    /// Worker threads.
    pub threads: usize,
    /// How evidence is read.
    pub access: Access,
    /// How disks are sampled.
    pub quick: QuickOptions,
    /// Stop measuring after this time.
    pub budget: Option<Duration>,
    /// Where judgements are kept for a later run.
    pub state: Option<PathBuf>,
    /// Folders outside the sources that names in evidence may lead to.
    pub allow: Vec<PathBuf>,
    /// Sources, by the names they are given, whose bytes lie elsewhere.
    pub remote: Vec<RemoteSource>,
}
