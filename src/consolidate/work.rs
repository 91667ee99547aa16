//! Units filled on all threads, placed in order, written, and recorded once they are safe.

use std::{
    collections::BTreeMap,
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{
    damage::Damage,
    fill::Filler,
    manifest::{RangeLine, Sums},
    out::{Buffer, Out},
    place::{Bytes, Layout, Packer, Placer, TooLarge},
    plan::{Planner, Unit},
    record::{Record, RecordError},
};
use crate::disk::VirtualDisk;

/// Units that may wait for the record.
const WAITING: usize = 64;

/// What a run works with.
pub(super) struct Work<'a> {
    pub(super) disk: &'a VirtualDisk,
    pub(super) damage: &'a Damage,
    pub(super) fill: u8,
    pub(super) threads: usize,
    pub(super) level: i32,
    /// Bytes written between two checkpoints.
    pub(super) checkpoint_bytes: u64,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
}

/// How the writing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Stopped,
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    #[error("cannot write the output")]
    Write(#[source] io::Error),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A unit that was written.
struct Placed {
    index: u64,
    end: u64,
    lines: Vec<RangeLine>,
    sums: Sums,
    written: u64,
    read: u64,
    next_sector: u64,
    open_table: Vec<u32>,
    new_tables: Vec<u32>,
}

/// Whose turn it is to be placed.
struct Turn {
    next: u64,
    placer: Placer,
    failed: Option<WorkError>,
}

/// A thread that panics must not leave the others waiting for its turn.
struct Alarm<'a> {
    turn: &'a Mutex<Turn>,
    changed: &'a Condvar,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lost =
                WorkError::Write(io::Error::other("a thread ended before its work was done"));
            lock(self.turn).failed.get_or_insert(lost);
            self.changed.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes what the planner gives, from its first unit on; `first` is its number.
pub(super) fn write(
    work: &Work<'_>,
    planner: Planner<'_>,
    placer: Placer,
    layout: &Layout,
    out: &Out,
    record: &mut Record,
) -> Result<End, WorkError> {
    // A thread that waits for the medium leaves a core idle, unless it packs most of the time.
    let spare = usize::from(work.threads > 1 && !matches!(layout, Layout::Stream));
    let writers = work.threads.max(1) + spare;
    let planner = Mutex::new(planner);
    let turn = Mutex::new(Turn { next: 0, placer, failed: None });
    let changed = Condvar::new();
    let (sender, receiver) = crossbeam_channel::bounded::<Placed>(WAITING);
    let committed = std::thread::scope(|scope| {
        for _ in 0..writers {
            let sender = sender.clone();
            let (planner, turn, changed) = (&planner, &turn, &changed);
            scope.spawn(move || {
                let _alarm = Alarm { turn, changed };
                let mut filler = Filler::new(work.disk, work.damage, work.fill, true);
                let mut packer = Packer::new(layout, work.level);
                let mut buffer = Buffer::default();
                while let Some(unit) = next(work, planner, turn) {
                    let used = std::mem::take(&mut buffer);
                    match one(&unit, used, &mut filler, &mut packer, (turn, changed), out) {
                        Ok(Some((placed, used))) => {
                            buffer = used;
                            if sender.send(placed).is_err() {
                                break;
                            }
                        }
                        Ok(None) => break,
                        Err(error) => {
                            lock(turn).failed.get_or_insert(error);
                            changed.notify_all();
                            break;
                        }
                    }
                }
            });
        }
        drop(sender);
        let committed = commit(work, &receiver, out, record);
        if committed.is_err() {
            // Nobody takes what the threads send any more: let them end.
            lock(&turn).failed.get_or_insert(WorkError::Write(io::ErrorKind::Interrupted.into()));
            changed.notify_all();
            drop(receiver);
        }
        committed
    });
    let turn = turn.into_inner().unwrap_or_else(PoisonError::into_inner);
    committed?;
    match turn.failed {
        Some(error) => Err(error),
        None if record.next_bytes() >= work.disk.capacity_bytes() => Ok(End::Done),
        None => Ok(End::Stopped),
    }
}

fn next(work: &Work<'_>, planner: &Mutex<Planner<'_>>, turn: &Mutex<Turn>) -> Option<Unit> {
    // Only before a unit is taken: one that was taken is always placed, or others would wait.
    if (work.stop)() || lock(turn).failed.is_some() {
        return None;
    }
    lock(planner).next()
}

type Outcome = Result<Option<(Placed, Buffer)>, WorkError>;

fn one(
    unit: &Unit,
    buffer: Buffer,
    filler: &mut Filler<'_>,
    packer: &mut Packer,
    (turn, changed): (&Mutex<Turn>, &Condvar),
    out: &Out,
) -> Outcome {
    let filled = filler.fill(unit, buffer);
    let mut ready = packer.pack(filled);
    let index = ready.filled.index;
    let (writes, next_sector, open_table, new_tables) = {
        let mut held = lock(turn);
        while held.next != index && held.failed.is_none() {
            held = changed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        if held.failed.is_some() {
            return Ok(None);
        }
        let known = held.placer.position.tables.len();
        let writes = held.placer.place(&mut ready)?;
        held.next += 1;
        let position = &held.placer.position;
        let new_tables = position.tables.get(known..).unwrap_or_default().to_vec();
        let found = (writes, position.next_sector, position.open_table.clone(), new_tables);
        changed.notify_all();
        found
    };
    let mut written = 0;
    for (at, bytes) in &writes {
        let bytes = match bytes {
            Bytes::Own(part) => ready.filled.bytes.get(part.clone()).unwrap_or_default(),
            Bytes::Made(bytes) => bytes,
        };
        out.write_all_at(bytes, *at).map_err(WorkError::Write)?;
        written += bytes.len() as u64;
    }
    let filled = ready.filled;
    let placed = Placed {
        index,
        end: filled.end,
        lines: filled.lines,
        sums: filled.sums,
        written,
        read: filled.read,
        next_sector,
        open_table,
        new_tables,
    };
    Ok(Some((placed, filled.bytes)))
}

/// Takes written units in order into the record; what a checkpoint names is on the medium.
fn commit(
    work: &Work<'_>,
    receiver: &crossbeam_channel::Receiver<Placed>,
    out: &Out,
    record: &mut Record,
) -> Result<(), WorkError> {
    let mut waiting: BTreeMap<u64, Placed> = BTreeMap::new();
    let mut next = 0;
    let mut unsafe_bytes = 0;
    let mut changed = false;
    for placed in receiver {
        (work.progress)(placed.read);
        waiting.insert(placed.index, placed);
        while let Some(placed) = waiting.remove(&next) {
            next += 1;
            changed = true;
            unsafe_bytes += placed.written;
            record.add(&placed.lines, &placed.sums, placed.end)?;
            let position = record.position();
            position.next_sector = placed.next_sector;
            position.open_table = placed.open_table;
            position.tables.extend(placed.new_tables);
            if unsafe_bytes >= work.checkpoint_bytes || record.is_full() {
                out.sync_data().map_err(WorkError::Write)?;
                record.checkpoint()?;
                unsafe_bytes = 0;
                changed = false;
            }
        }
    }
    if changed {
        out.sync_data().map_err(WorkError::Write)?;
        record.checkpoint()?;
    }
    Ok(())
}

/// Reads everything and writes nothing: what can be had, and how much of it.
pub(super) fn read_all(work: &Work<'_>, planner: Planner<'_>) -> (Sums, End) {
    let planner = Mutex::new(planner);
    let sums = Mutex::new(Sums::default());
    std::thread::scope(|scope| {
        for _ in 0..work.threads.max(1) {
            scope.spawn(|| {
                let mut filler = Filler::new(work.disk, work.damage, work.fill, false);
                let mut buffer = Vec::new();
                let mut own = Sums::default();
                while !(work.stop)() {
                    let Some(unit) = lock(&planner).next() else { break };
                    let (sums, read) = filler.read(&unit, &mut buffer);
                    own.add_all(&sums);
                    (work.progress)(read);
                }
                lock(&sums).add_all(&own);
            });
        }
    });
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let end = if (work.stop)() { End::Stopped } else { End::Done };
    (sums, end)
}
