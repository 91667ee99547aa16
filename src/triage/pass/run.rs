//! The pass itself: one thread, or the choice of how to split it over more.

use std::io;

use super::{
    deliver::Delivery,
    hash::Hasher,
    hashing,
    options::{Cancel, PassError, PassOptions, PassOutcome},
    parallel,
    plan::{Plan, Step},
    read::Reader,
    state::PassState,
    stretch::Stretch,
    work::Worker,
};
use crate::{source::Source, triage::measure::WINDOW_BYTES};

/// Takes stretches as they come, in order, each as long as it can be.
pub type Sink<'a> = dyn FnMut(&Stretch) -> io::Result<()> + 'a;

/// Longest piece of a hole that is hashed without looking up.
const HASHED_HOLE_BYTES: u64 = 64 * WINDOW_BYTES as u64;

/// Reads `source` once and hands its stretches to `sink`, from the first byte to the last.
///
/// # Errors
/// [`PassError`] when the sink refuses. A source that fails is recorded as unreadable instead.
pub fn run_pass(
    source: &dyn Source,
    options: &PassOptions,
    sink: &mut Sink<'_>,
    cancel: &Cancel,
) -> Result<PassOutcome, PassError> {
    run(source, options, Delivery::new(sink, None), Hasher::all(options.hashes), cancel)
}

/// As [`run_pass`], keeping its state on disk every few seconds and when it is stopped. What
/// earlier runs measured is handed to `sink` first, so that it always sees the whole source.
///
/// # Errors
/// [`PassError`] when the sink refuses or the state cannot be kept or read back.
pub fn run_resumable(
    source: &dyn Source,
    options: &PassOptions,
    state: &mut PassState,
    sink: &mut Sink<'_>,
    cancel: &Cancel,
) -> Result<PassOutcome, PassError> {
    let resumed = state.records().covered_bytes() > 0;
    let restored = if resumed { state.hashers() } else { None };
    let hashers = restored.unwrap_or_else(|| Hasher::all(options.hashes));
    let done = state.digests();
    let mut delivery = Delivery::new(sink, Some(state));
    delivery.replay()?;
    if let Some(digests) = done {
        delivery.outcome.digests = digests;
        return delivery.finish();
    }
    run(source, options, delivery, hashers, cancel)
}

fn run(
    source: &dyn Source,
    options: &PassOptions,
    mut delivery: Delivery<'_, '_>,
    hashers: Vec<Hasher>,
    cancel: &Cancel,
) -> Result<PassOutcome, PassError> {
    let reader = Reader::new(source);
    let hashed_hole = if hashers.is_empty() { u64::MAX } else { HASHED_HOLE_BYTES };
    let plan = Plan::new(source, delivery.outcome.covered_bytes, hashed_hole);
    let small = source.len_bytes() <= WINDOW_BYTES as u64;
    if options.jobs.get() == 1 || small {
        alone(&reader, options, plan, hashers, &mut delivery, cancel)?;
    } else if hashers.is_empty() {
        parallel::run(&reader, options, plan, &mut delivery, cancel)?;
    } else {
        hashing::run(&reader, options, plan, hashers, &mut delivery, cancel)?;
    }
    if delivery.outcome.stopped.is_none() {
        let digests = delivery.outcome.digests;
        delivery.checkpoint(Vec::new(), Some(digests))?;
    }
    delivery.finish()
}

/// All in this thread.
fn alone(
    reader: &Reader<'_>,
    options: &PassOptions,
    mut plan: Plan<'_>,
    mut hashers: Vec<Hasher>,
    delivery: &mut Delivery<'_, '_>,
    cancel: &Cancel,
) -> Result<(), PassError> {
    let mut worker = Worker::new(reader, options.lanes);
    loop {
        delivery.outcome.stopped = cancel.asked().filter(|_| !plan.is_done());
        if delivery.outcome.stopped.is_some() || (delivery.is_due() && !plan.is_done()) {
            delivery.checkpoint(hashers.iter_mut().map(Hasher::state).collect(), None)?;
        }
        if delivery.outcome.stopped.is_some() {
            return Ok(());
        }
        let stretch = match plan.next() {
            None => break,
            Some(Step::Hole { offset, length }) => {
                for hasher in &mut hashers {
                    hasher.update_zeros(length);
                }
                Stretch::Absent { offset_bytes: offset, length_bytes: length }
            }
            Some(Step::Window(plan)) => worker.window(&plan, &mut hashers),
        };
        delivery.stretch(stretch)?;
    }
    for hasher in hashers {
        delivery.outcome.digests.merge(hasher.finish());
    }
    Ok(())
}
