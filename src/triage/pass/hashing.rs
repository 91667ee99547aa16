//! Statistics and hashes together: one thread reads, and everyone works on what it read.
//!
//! A hash takes the bytes in order, so each hash stays on one thread, its lane. The dearest one
//! runs on the reading thread, which has the bytes nearest; the statistics fill what is left.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvError, SendError, Sender, bounded, unbounded};

use super::{
    deliver::Delivery,
    hash::{Digests, HashState, Hasher},
    options::{Cancel, PassError, PassOptions, Stop},
    plan::{Plan, Step},
    read::Reader,
    stretch::Stretch,
    work::Loaded,
};
use crate::triage::measure::WindowBuilder;

/// Windows in memory beside one for each thread.
const SPARE_WINDOWS: usize = 6;
/// Time of the statistics for a byte, on the scale of the hashes.
const MEASURE_COST: u32 = 40;

/// What goes down a lane.
#[derive(Clone)]
enum Work {
    /// The window with this number among all steps.
    Window(u64, Arc<Lent>),
    /// A hole of so many bytes. It holds a buffer like a window, so that holes do not pile up.
    Hole(u64, Arc<Lent>),
    /// All before this place of the source has been sent: tell the hash states.
    Snapshot(u64),
}

/// What comes back.
enum Answer {
    Measured(u64, Stretch),
    Announce(u64),
    States(u64, Vec<HashState>),
    Done(Digests),
}

/// A window whose buffer goes back when the last one is done with it.
struct Lent {
    loaded: Loaded,
    back: Sender<Vec<u8>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Nobody reads any more: the buffer is simply freed.
        let _unneeded = self.back.send(std::mem::take(&mut self.loaded.bytes));
    }
}

/// Who does what.
struct Split {
    reader: Vec<Hasher>,
    lanes: Vec<Vec<Hasher>>,
    /// Lanes that measure; none means the reading thread does.
    measuring: Vec<usize>,
}

/// Spreads the hashes, dearest first, each to the thread with least to do; the statistics go to
/// all threads left idle, or like a hash where none is.
fn split(hashers: Vec<Hasher>, jobs: usize) -> Split {
    let mut threads: Vec<(u32, Vec<Hasher>)> =
        (0..jobs.clamp(2, 64)).map(|_| (0, vec![])).collect();
    let mut measured = None;
    let mut hashers = hashers;
    hashers.sort_by_key(|hasher| std::cmp::Reverse(hasher.kind().cost()));
    let least = |threads: &[(u32, Vec<Hasher>)]| {
        threads.iter().enumerate().min_by_key(|(_, (cost, _))| *cost).map_or(0, |(index, _)| index)
    };
    for hasher in hashers {
        if hasher.kind().cost() < MEASURE_COST && measured.is_none() {
            let index = least(&threads);
            threads[index].0 += MEASURE_COST;
            measured = Some(index);
        }
        let index = least(&threads);
        threads[index].0 += hasher.kind().cost();
        threads[index].1.push(hasher);
    }
    let measured = measured.unwrap_or_else(|| least(&threads));
    let mut threads = threads.into_iter().map(|(_, hashers)| hashers);
    let reader = threads.next().unwrap_or_default();
    let lanes: Vec<_> = threads.collect();
    let idle: Vec<usize> = (0..lanes.len()).filter(|&lane| lanes[lane].is_empty()).collect();
    let measuring = match measured.checked_sub(1) {
        _ if !idle.is_empty() => idle,
        Some(lane) => vec![lane],
        None => vec![],
    };
    Split { reader, lanes, measuring }
}

/// Runs the plan to its end, or until asked to stop.
pub(super) fn run(
    reader: &Reader<'_>,
    options: &PassOptions,
    plan: Plan<'_>,
    hashers: Vec<Hasher>,
    delivery: &mut Delivery<'_, '_>,
    cancel: &Cancel,
) -> Result<(), PassError> {
    let split = split(hashers, options.jobs.get());
    let parts = 1 + split.lanes.iter().filter(|lane| !lane.is_empty()).count();
    let (give_back, take_back) = unbounded();
    for _ in 0..split.lanes.len() + SPARE_WINDOWS {
        let _sent = give_back.send(Vec::new());
    }
    // Answers are small and as many as windows are lent, but for the holes.
    let (answer, answers) = bounded::<Answer>(1024);
    let (measure, measures) = unbounded::<Work>();
    let stopped = thread::scope(|scope| {
        // Dropped on any way out, so that every thread ends.
        let answers = answers;
        let mut lanes = Vec::new();
        for (index, hashers) in split.lanes.into_iter().enumerate() {
            let measuring = split.measuring.contains(&index);
            let answer = answer.clone();
            if hashers.is_empty() {
                if measuring {
                    let (measures, with_lanes) = (measures.clone(), options.lanes);
                    scope.spawn(move || measuring_lane(&measures, with_lanes, &answer));
                }
                continue;
            }
            let (give, take) = unbounded::<Work>();
            lanes.push((give, measuring));
            let builder = measuring.then(|| WindowBuilder::new(options.lanes));
            scope.spawn(move || hashing_lane(&take, hashers, builder, &answer));
        }
        drop(measures);
        let front = Front {
            reader,
            hashers: split.reader,
            builder: split.measuring.is_empty().then(|| WindowBuilder::new(options.lanes)),
            lanes,
            measure,
            give_back,
            take_back,
            answer,
            next: 0,
        };
        let interval = delivery.interval();
        let front = scope.spawn(move || front.run(plan, interval, cancel));
        let mut early = BTreeMap::new();
        let mut next = 0;
        for answer in &answers {
            match answer {
                Answer::Measured(number, stretch) => {
                    early.insert(number, stretch);
                    while let Some(stretch) = early.remove(&next) {
                        next += 1;
                        delivery.stretch(stretch)?;
                    }
                }
                Answer::Announce(at) => delivery.announce(at, parts)?,
                Answer::States(at, states) => delivery.states(at, states)?,
                Answer::Done(digests) => delivery.outcome.digests.merge(digests),
            }
        }
        match front.join() {
            Ok(stopped) => Ok(stopped),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    if stopped.is_some() {
        delivery.outcome.stopped = stopped;
        delivery.outcome.digests = Digests::default();
    }
    Ok(())
}

/// The reading thread.
struct Front<'a> {
    reader: &'a Reader<'a>,
    hashers: Vec<Hasher>,
    builder: Option<WindowBuilder>,
    /// Hashing lanes, and whether they measure as well.
    lanes: Vec<(Sender<Work>, bool)>,
    /// To the lanes that only measure.
    measure: Sender<Work>,
    give_back: Sender<Vec<u8>>,
    take_back: Receiver<Vec<u8>>,
    answer: Sender<Answer>,
    next: u64,
}

impl Front<'_> {
    /// Reads to the end, unless asked to stop or nobody listens any more.
    fn run(
        mut self,
        mut plan: Plan<'_>,
        interval: Option<Duration>,
        cancel: &Cancel,
    ) -> Option<Stop> {
        let mut last = Instant::now();
        while !plan.is_done() {
            let stop = cancel.asked();
            if stop.is_some() || interval.is_some_and(|interval| last.elapsed() >= interval) {
                self.snapshot(plan.at()).ok()?;
                last = Instant::now();
            }
            if stop.is_some() {
                return stop;
            }
            match plan.next() {
                Some(step) => self.step(step).ok()?,
                None => break,
            }
        }
        for hasher in self.hashers {
            let _told = self.answer.send(Answer::Done(hasher.finish()));
        }
        None
    }

    /// Sends one step round; fails when nobody listens any more.
    fn step(&mut self, step: Step) -> Result<(), Gone> {
        let buffer = self.take_back.recv()?;
        let number = self.next;
        self.next += 1;
        match step {
            Step::Hole { offset, length } => {
                let lent = Arc::new(Lent {
                    loaded: Loaded::nothing(buffer),
                    back: self.give_back.clone(),
                });
                for (lane, _) in &self.lanes {
                    lane.send(Work::Hole(length, Arc::clone(&lent)))?;
                }
                let stretch = Stretch::Absent { offset_bytes: offset, length_bytes: length };
                self.answer.send(Answer::Measured(number, stretch))?;
                for hasher in &mut self.hashers {
                    hasher.update_zeros(length);
                }
            }
            Step::Window(plan) => {
                let loaded = Loaded::read(self.reader, plan, buffer, &mut self.hashers);
                let lent = Arc::new(Lent { loaded, back: self.give_back.clone() });
                let mut taken = false;
                for (lane, measuring) in &self.lanes {
                    lane.send(Work::Window(number, Arc::clone(&lent)))?;
                    taken |= *measuring;
                }
                if let Some(builder) = &mut self.builder {
                    self.answer.send(Answer::Measured(number, lent.loaded.measure(builder)))?;
                } else if !taken {
                    self.measure.send(Work::Window(number, lent))?;
                }
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, at: u64) -> Result<(), Gone> {
        self.answer.send(Answer::Announce(at))?;
        for (lane, _) in &self.lanes {
            lane.send(Work::Snapshot(at))?;
        }
        let states = self.hashers.iter_mut().map(Hasher::state).collect();
        self.answer.send(Answer::States(at, states))?;
        Ok(())
    }
}

/// The other end of a channel is gone: the pass was given up.
struct Gone;

impl<T> From<SendError<T>> for Gone {
    fn from(_: SendError<T>) -> Self {
        Self
    }
}

impl From<RecvError> for Gone {
    fn from(_: RecvError) -> Self {
        Self
    }
}

/// Hashes in order, and measures where it has a builder; ends when the reading thread does.
fn hashing_lane(
    work: &Receiver<Work>,
    mut hashers: Vec<Hasher>,
    mut builder: Option<WindowBuilder>,
    answer: &Sender<Answer>,
) {
    for work in work {
        let sent = match work {
            Work::Window(number, lent) => {
                for hasher in &mut hashers {
                    hasher.update(&lent.loaded.bytes);
                }
                match &mut builder {
                    Some(builder) => {
                        answer.send(Answer::Measured(number, lent.loaded.measure(builder)))
                    }
                    None => Ok(()),
                }
            }
            Work::Hole(length, _lent) => {
                for hasher in &mut hashers {
                    hasher.update_zeros(length);
                }
                Ok(())
            }
            Work::Snapshot(at) => {
                let states = hashers.iter_mut().map(Hasher::state).collect();
                answer.send(Answer::States(at, states))
            }
        };
        if sent.is_err() {
            return;
        }
    }
    for hasher in hashers {
        let _told = answer.send(Answer::Done(hasher.finish()));
    }
}

/// Measures whatever window comes next, beside others who do the same.
fn measuring_lane(work: &Receiver<Work>, with_lanes: bool, answer: &Sender<Answer>) {
    let mut builder = WindowBuilder::new(with_lanes);
    for work in work {
        if let Work::Window(number, lent) = work
            && answer.send(Answer::Measured(number, lent.loaded.measure(&mut builder))).is_err()
        {
            return;
        }
    }
}
