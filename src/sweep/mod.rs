//! The main job: a datastore read, every machine judged, the way back named.

mod companions;
mod full;
mod gather;
mod judge;
mod lines;
mod options;
mod record;
mod route;
mod small;
mod spread;
mod state;
mod strip;
mod structure;
mod survey;
mod twins;
mod verdict;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

pub use gather::SourceError;
pub use options::SweepOptions;
pub use state::StateError;
pub use survey::{Survey, Surveyed, survey};

use crate::{
    catalog::{Index, assemble, orphans},
    families::Families,
    outcome::Outcome,
    report::record::SweepRecord,
    ui::Progress,
};

/// What stops a sweep before it has anything to tell.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A source cannot be opened at all.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The state file is not to be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// No worker threads could be had.
    #[error("cannot start worker threads: {0}")]
    Threads(String),
}

/// What a sweep found, and how it ended.
#[derive(Debug)]
pub struct Swept {
    /// The record, without `run`.
    pub record: SweepRecord,
    /// Bytes read from the sources.
    pub read_bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// What the parts of one sweep share.
pub(super) struct Job<'a> {
    pub(super) options: &'a SweepOptions,
    pub(super) families: &'a Families,
    pub(super) stop: &'a AtomicBool,
    pub(super) deadline: Option<Instant>,
    pub(super) read_bytes: AtomicU64,
}

impl<'a> Job<'a> {
    /// Does `work` on threads of its own.
    fn run<R: Send>(
        options: &'a SweepOptions,
        families: &'a Families,
        stop: &'a AtomicBool,
        work: impl FnOnce(&Self) -> Result<R, SweepError> + Send,
    ) -> Result<R, SweepError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.threads)
            .build()
            .map_err(|error| SweepError::Threads(error.to_string()))?;
        let deadline = options.budget.and_then(|budget| Instant::now().checked_add(budget));
        let job = Self { options, families, stop, deadline, read_bytes: AtomicU64::new(0) };
        pool.install(|| work(&job))
    }

    /// Bytes read so far.
    fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// Whether to start nothing more.
    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.deadline.is_some_and(|end| Instant::now() >= end)
    }
}

/// Sweeps `sources`.
///
/// # Errors
/// [`SweepError`] when there is nothing to tell; whatever else goes wrong is in the record.
pub fn sweep(
    sources: &[PathBuf],
    options: &SweepOptions,
    families: &Families,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<Swept, SweepError> {
    Job::run(options, families, stop, |job| {
        let gathered = gather::gather(sources, job, progress)?;
        let index = Index::new(&gathered.files);
        let (mut machines, claimed) = assemble(&index);
        let is_swept = |id| gathered.is_swept(index.file(id));
        machines.retain(|machine| machine.files().any(is_swept));
        let mut orphans = orphans(&index, &machines, &claimed);
        orphans.retain(|orphan| is_swept(orphan.file));
        let judged = judge::judge(&gathered, &index, &machines, &orphans, job, progress)?;
        let (record, outcome) = record::build(&gathered, &index, machines, &orphans, &judged, job);
        let read_bytes = job.read_bytes();
        Ok(Swept { record, read_bytes, outcome })
    })
}
