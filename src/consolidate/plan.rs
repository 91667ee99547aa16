//! The virtual disk cut into pieces of work: each byte with its source and state, in order.
//!
//! A unit is the same whatever came before it was asked for, so a run that goes on from a record
//! makes the same units as one that never stopped.

use std::collections::VecDeque;

use super::damage::{Damage, Doubt, Reason, is_good};
use crate::{
    disk::{ResolvedRun, RunState, VirtualDisk, Walk},
    triage::judge::{Lattice, State},
};

/// Virtual bytes of one unit: what a thread holds at a time.
pub(super) const UNIT: u64 = 4 << 20;
/// Pieces of a stretch without data before it is cut.
const MAX_PIECES: usize = 65_536;

/// Consecutive bytes of one source and one state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) run: ResolvedRun,
    pub(super) state: State,
    /// Why it may not be what it seems.
    pub(super) doubt: Option<Doubt>,
    /// Why a damage map does not call it good.
    pub(super) reason: Option<Reason>,
    /// Whether the fill stands there for that reason, although it may be good.
    pub(super) withheld: bool,
    /// Small encrypted runs in it, where the fill stands.
    pub(super) lattice: Option<Lattice>,
    /// Which of the sectors made anew stand there instead.
    pub(super) rewritten: Option<usize>,
}

impl Piece {
    /// Whether bytes of a source are copied.
    pub(super) fn is_copied(&self) -> bool {
        self.rewritten.is_none()
            && !self.withheld
            && matches!(self.state, State::Intact | State::Undetermined | State::Zero)
            && matches!(self.run.state, RunState::Data | RunState::Compressed)
    }

    /// Whether the bytes are not to be had, so that the fill stands in their place.
    pub(super) fn is_filled(&self) -> bool {
        let is_gone = matches!(self.state, State::Encrypted | State::Unreadable | State::Damaged);
        self.rewritten.is_none() && (is_gone || self.withheld)
    }

    /// Bytes of it that are not among its small encrypted runs.
    pub(super) fn open_bytes(&self) -> u64 {
        let range = self.run.offset..self.run.end();
        let inside = self.lattice.map_or(0, |lattice| lattice.encrypted_bytes(&range));
        self.run.length.saturating_sub(inside)
    }

    fn joins(&self, next: &Self) -> bool {
        self.state == next.state
            && self.doubt == next.doubt
            && self.reason == next.reason
            && self.withheld == next.withheld
            && self.lattice == next.lattice
            && self.rewritten == next.rewritten
            && self.run.joins(&next.run)
    }
}

/// A piece of work.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) index: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    /// In order, without gap or overlap.
    pub(super) pieces: Vec<Piece>,
    /// Whether nothing of it is written: all holes. Then it may be longer than [`UNIT`].
    pub(super) is_empty: bool,
}

/// Cuts a disk into units.
pub(super) struct Planner<'a> {
    disk: &'a VirtualDisk,
    damage: &'a Damage,
    /// Whether filled ranges are holes.
    fills_with_holes: bool,
    walk: Walk<'a>,
    runs: VecDeque<ResolvedRun>,
    pieces: VecDeque<Piece>,
    /// A unit that was looked at to end a stretch.
    ahead: Option<Unit>,
    at: u64,
    index: u64,
}

impl<'a> Planner<'a> {
    /// A planner from byte `from` on, which a unit begins at.
    pub(super) fn new(
        disk: &'a VirtualDisk,
        damage: &'a Damage,
        fills_with_holes: bool,
        from: u64,
    ) -> Self {
        Self {
            disk,
            damage,
            fills_with_holes,
            walk: disk.walk(from, disk.capacity_bytes()),
            runs: VecDeque::new(),
            pieces: VecDeque::new(),
            ahead: None,
            at: from,
            index: 0,
        }
    }

    fn is_empty(&self, piece: &Piece) -> bool {
        if piece.rewritten.is_some() {
            false
        } else if piece.is_filled() {
            self.fills_with_holes
        } else {
            !piece.is_copied()
        }
    }

    /// The next piece, not beyond `end`.
    fn pull(&mut self, end: u64) -> Option<Piece> {
        loop {
            if let Some(piece) = self.pieces.front_mut() {
                let whole = *piece;
                if whole.run.end() <= end {
                    self.pieces.pop_front();
                    return Some(whole);
                }
                piece.run = whole.run.clip(end, whole.run.end());
                return Some(Piece { run: whole.run.clip(whole.run.offset, end), ..whole });
            }
            let Some(run) = self.runs.pop_front() else {
                self.runs.extend(self.walk.next()?.runs);
                continue;
            };
            self.split(run);
        }
    }

    /// A run as pieces of one state each.
    fn split(&mut self, run: ResolvedRun) {
        let doubt = self.damage.doubt_of(&run);
        let state = match run.state {
            RunState::Lost => State::Damaged,
            RunState::Unreadable => State::Unreadable,
            // Its checksum decides when it is read.
            RunState::Compressed => State::Undetermined,
            RunState::Data | RunState::Zero | RunState::Absent => {
                let mut at = run.offset;
                while at < run.end() {
                    at += self.judged(&run, at, doubt).max(1);
                }
                return;
            }
        };
        self.keep(run, (state, None), doubt, None);
    }

    /// What the maps say of a run from `at` on; answers for how many bytes.
    fn judged(&mut self, run: &ResolvedRun, at: u64, doubt: Option<Doubt>) -> u64 {
        let has_data = run.state == RunState::Data;
        let place = run.file_offset.saturating_add(at - run.offset);
        let file = run.file.filter(|_| has_data).map(|file| (file, place));
        let known = self.damage.known(at, file);
        let length = known.length.clamp(1, run.end() - at);
        let (state, reason) = match run.state {
            RunState::Data if run.file.is_none() => (State::Damaged, None),
            // A hole of the file is told by the run itself.
            RunState::Data if known.state == State::Absent => (State::Zero, None),
            RunState::Data => (known.state, known.reason),
            told => {
                // Nothing is stored there: no map can speak of other bytes than these.
                let state = if told == RunState::Zero { State::Zero } else { State::Absent };
                match known.reason {
                    None if known.lattice.is_none() => (state, None),
                    None => (State::Undetermined, Some(Reason::Contradicted)),
                    Some(reason) if known.state == State::Undetermined => {
                        (State::Undetermined, Some(reason))
                    }
                    Some(_) => (State::Undetermined, Some(Reason::Contradicted)),
                }
            }
        };
        // The right parent, or the entry that is lost, may say other bytes.
        let (state, reason) = match doubt {
            Some(_) if is_good(state) => (State::Undetermined, None),
            _ => (state, reason),
        };
        let lattice = known.lattice.filter(|_| file.is_some());
        self.keep(run.clip(at, at + length), (state, lattice), doubt, reason);
        length
    }

    /// Cuts a run where sectors are made anew.
    fn keep(
        &mut self,
        run: ResolvedRun,
        (state, lattice): (State, Option<Lattice>),
        doubt: Option<Doubt>,
        reason: Option<Reason>,
    ) {
        let all = self.damage.rewritten();
        let is_open = state == State::Undetermined && reason.is_some();
        let withheld = self.damage.withholds() && is_open && run.state == RunState::Data;
        let lattice = lattice.filter(|_| !withheld);
        let mut at = run.offset;
        let mut next = all.partition_point(|one| one.end() <= at);
        while at < run.end() {
            let (end, rewritten) = match all.get(next) {
                Some(one) if one.at <= at => (one.end().min(run.end()), Some(next)),
                Some(one) => (one.at.min(run.end()), None),
                None => (run.end(), None),
            };
            let run = run.clip(at, end);
            self.pieces.push_back(Piece {
                run,
                state,
                doubt,
                reason,
                withheld,
                lattice: lattice.filter(|_| rewritten.is_none()),
                rewritten,
            });
            next += usize::from(rewritten.is_some());
            at = end;
        }
    }

    fn one(&mut self, end: u64) -> Unit {
        let start = self.at;
        let mut pieces: Vec<Piece> = Vec::new();
        while self.at < end {
            let Some(piece) = self.pull(end) else { break };
            self.at = piece.run.end();
            push(&mut pieces, piece);
        }
        let is_empty = pieces.iter().all(|piece| self.is_empty(piece));
        Unit { index: 0, start, end: self.at, pieces, is_empty }
    }

    fn grow(&mut self) -> Option<Unit> {
        if let Some(unit) = self.ahead.take() {
            return Some(unit);
        }
        let capacity = self.disk.capacity_bytes();
        if self.at >= capacity {
            return None;
        }
        // A long hole is one step, whole units of it.
        let whole = self.pieces.front().filter(|piece| self.is_empty(piece));
        let reach = whole.map_or(0, |piece| piece.run.end() / UNIT * UNIT);
        let end = ((self.at / UNIT + 1) * UNIT).max(reach).min(capacity);
        let unit = self.one(end);
        (unit.end > unit.start).then_some(unit)
    }
}

fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match pieces.last_mut() {
        Some(last) if last.joins(&piece) => last.run.length += piece.run.length,
        _ => pieces.push(piece),
    }
}

impl Iterator for Planner<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        let mut unit = self.grow()?;
        while unit.is_empty && unit.pieces.len() < MAX_PIECES {
            let Some(next) = self.grow() else { break };
            if !next.is_empty {
                self.ahead = Some(next);
                break;
            }
            unit.end = next.end;
            for piece in next.pieces {
                push(&mut unit.pieces, piece);
            }
        }
        unit.index = self.index;
        self.index += 1;
        Some(unit)
    }
}
