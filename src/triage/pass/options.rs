//! What a pass is asked for, and how it ended.

use std::{
    io,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{
    aside::Aside,
    hash::{Digests, HashKinds},
};

/// What a pass is asked for. The answer never depends on `jobs`.
#[derive(Clone, Debug)]
pub struct PassOptions {
    /// Threads that work.
    pub jobs: NonZeroUsize,
    /// Hashes of the whole source, computed on the way.
    pub hashes: HashKinds,
    /// Whether to measure lanes ([`crate::triage::measure::LaneRecord`]).
    pub lanes: bool,
    /// Those of the threads that work at something else meanwhile; where hashes are computed, they
    /// come on top.
    pub aside: Aside,
}

impl Default for PassOptions {
    fn default() -> Self {
        Self {
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            hashes: HashKinds::default(),
            lanes: false,
            aside: Aside::default(),
        }
    }
}

/// Asks a running pass to stop soon; all clones are one switch.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Cancel {
    /// A switch that also stops by itself at this moment.
    #[must_use]
    pub fn at(deadline: Instant) -> Self {
        Self { flag: Arc::default(), deadline: Some(deadline) }
    }

    /// A switch over a flag that someone else sets, such as a signal handler.
    #[must_use]
    pub fn on(flag: Arc<AtomicBool>, deadline: Option<Instant>) -> Self {
        Self { flag, deadline }
    }

    /// Asks to stop.
    pub fn stop(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    /// Why to stop, if so.
    #[must_use]
    pub fn asked(&self) -> Option<Stop> {
        if self.flag.load(Ordering::Relaxed) {
            Some(Stop::Asked)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Some(Stop::Deadline)
        } else {
            None
        }
    }
}

/// Why a pass stopped before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Someone asked for it: an interrupt.
    Asked,
    /// Its time was over.
    Deadline,
}

/// How a pass ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassOutcome {
    /// Why it stopped early; `None` when the whole source was covered.
    pub stopped: Option<Stop>,
    /// Bytes covered from the start, without gap.
    pub covered_bytes: u64,
    /// Of these, taken over from a state file instead of being read again.
    pub resumed_bytes: u64,
    /// Of these, in holes.
    pub absent_bytes: u64,
    /// Of these, not given by the medium. Hashes take them as zeros.
    pub unreadable_bytes: u64,
    /// Hashes of the whole source; none when it stopped early.
    pub digests: Digests,
}

/// Why a pass could not be done. A source that fails is never one of these: that is recorded
/// and the pass goes on.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// Records could not be kept.
    #[error("cannot write pass records to {}", path.display())]
    Records {
        /// The file, or the folder for temporary files.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Records that were kept cannot be read back.
    #[error("cannot read pass records in {}: {what}", path.display())]
    Stored {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Whoever takes the stretches refused.
    #[error("the pass was given up")]
    Sink(#[source] io::Error),
}
