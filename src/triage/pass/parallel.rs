//! Statistics alone, on several threads: each takes the next window, reads and measures it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crossbeam_channel::bounded;

use super::{
    deliver::Delivery,
    options::{Cancel, PassError, PassOptions},
    plan::{Plan, Step},
    read::Reader,
    stretch::Stretch,
    work::Worker,
};

/// Windows a thread may be ahead of the slowest one.
const AHEAD: usize = 4;

struct Queue<'a> {
    plan: Plan<'a>,
    next: u64,
}

/// Runs the plan to its end, or until asked to stop.
pub(super) fn run(
    reader: &Reader<'_>,
    options: &PassOptions,
    plan: Plan<'_>,
    delivery: &mut Delivery<'_, '_>,
    cancel: &Cancel,
) -> Result<(), PassError> {
    let jobs = options.jobs.get();
    let ahead = jobs.saturating_mul(AHEAD);
    let queue = Mutex::new(Queue { plan, next: 0 });
    let ended = AtomicBool::new(false);
    // A token is the right to take one step; it comes back when that step was handed on in
    // order, so that nobody runs ahead of memory.
    let (give_token, take_token) = bounded::<()>(ahead);
    let (give, take) = bounded::<(u64, Stretch)>(ahead);
    for _ in 0..ahead {
        // There is room for all.
        let _sent = give_token.try_send(());
    }
    thread::scope(|scope| {
        for thread in 0..jobs {
            let (queue, ended) = (&queue, &ended);
            let (take_token, give) = (take_token.clone(), give.clone());
            scope.spawn(move || {
                let mut worker = Worker::new(reader, options.lanes);
                let is_over = || cancel.asked().is_some() || ended.load(Ordering::Relaxed);
                loop {
                    options.aside.wait(thread, jobs, is_over);
                    if take_token.recv().is_err() || cancel.asked().is_some() {
                        return;
                    }
                    let (number, step) = {
                        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                        let Some(step) = queue.plan.next() else {
                            ended.store(true, Ordering::Relaxed);
                            return;
                        };
                        queue.next += 1;
                        (queue.next - 1, step)
                    };
                    let stretch = match step {
                        Step::Hole { offset, length } => {
                            Stretch::Absent { offset_bytes: offset, length_bytes: length }
                        }
                        Step::Window(plan) => worker.window(&plan, &mut []),
                    };
                    if give.send((number, stretch)).is_err() {
                        return;
                    }
                }
            });
        }
        drop((give, take_token));
        // Dropping both ends on any way out lets every thread end.
        let (take, give_token) = (take, give_token);
        let mut early = BTreeMap::new();
        let mut next = 0;
        for (number, stretch) in &take {
            early.insert(number, stretch);
            while let Some(stretch) = early.remove(&next) {
                next += 1;
                delivery.stretch(stretch)?;
                if delivery.is_due() {
                    delivery.checkpoint(Vec::new(), None)?;
                }
                let _sent = give_token.try_send(());
            }
        }
        Ok(())
    })?;
    let plan = queue.into_inner().unwrap_or_else(PoisonError::into_inner).plan;
    if !plan.is_done() {
        delivery.outcome.stopped = cancel.asked();
        delivery.checkpoint(Vec::new(), None)?;
    }
    Ok(())
}
