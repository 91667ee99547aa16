//! The end of the pass where everything arrives in order: sink, records, checkpoints.

use std::{collections::BTreeMap, time::Duration};

use super::{
    hash::{Digests, HashState},
    options::{PassError, PassOutcome},
    run::Sink,
    state::PassState,
    stretch::{Joiner, Stretch},
};
use crate::triage::measure::BlockClass;

/// Takes stretches in order and hands them on.
pub(super) struct Delivery<'a, 's> {
    sink: &'a mut Sink<'s>,
    state: Option<&'a mut PassState>,
    joiner: Joiner,
    /// Checkpoints announced, with the hash states that came so far.
    pending: BTreeMap<u64, Pending>,
    pub(super) outcome: PassOutcome,
}

#[derive(Default)]
struct Pending {
    states: Vec<HashState>,
    missing: usize,
    reached: bool,
}

impl<'a, 's> Delivery<'a, 's> {
    pub(super) fn new(sink: &'a mut Sink<'s>, state: Option<&'a mut PassState>) -> Self {
        Self {
            sink,
            state,
            joiner: Joiner::default(),
            pending: BTreeMap::new(),
            outcome: PassOutcome::default(),
        }
    }

    /// Hands on what an earlier run recorded.
    pub(super) fn replay(&mut self) -> Result<(), PassError> {
        let Some(state) = &self.state else { return Ok(()) };
        for stretch in state.records() {
            hand_on(self.sink, &mut self.joiner, &mut self.outcome, stretch?)?;
        }
        self.outcome.resumed_bytes = self.outcome.covered_bytes;
        Ok(())
    }

    /// Takes the stretch that begins where the last one ended.
    pub(super) fn stretch(&mut self, stretch: Stretch) -> Result<(), PassError> {
        if let Some(state) = &mut self.state {
            state.push(&stretch)?;
        }
        hand_on(self.sink, &mut self.joiner, &mut self.outcome, stretch)?;
        self.reach()
    }

    /// Whether a checkpoint is due.
    pub(super) fn is_due(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.is_due())
    }

    /// Time between two checkpoints, where any are kept.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.state.as_ref().map(|state| state.interval())
    }

    /// Keeps a checkpoint here, where all hashes stand as well.
    pub(super) fn checkpoint(
        &mut self,
        states: Vec<HashState>,
        digests: Option<Digests>,
    ) -> Result<(), PassError> {
        let at = self.outcome.covered_bytes;
        match &mut self.state {
            Some(state) => {
                state.mark(at)?;
                state.checkpoint(at, states, digests)
            }
            None => Ok(()),
        }
    }

    /// Promises a checkpoint at this place, for which `parts` lists of hash states will come.
    pub(super) fn announce(&mut self, at: u64, parts: usize) -> Result<(), PassError> {
        if self.state.is_some() {
            self.pending.insert(at, Pending { missing: parts, ..Pending::default() });
            self.reach()?;
        }
        Ok(())
    }

    /// Takes one list of hash states for a promised checkpoint.
    pub(super) fn states(&mut self, at: u64, states: Vec<HashState>) -> Result<(), PassError> {
        if let Some(pending) = self.pending.get_mut(&at) {
            pending.states.extend(states);
            pending.missing = pending.missing.saturating_sub(1);
        }
        self.reach()
    }

    /// Marks and keeps the promised checkpoints that are complete.
    fn reach(&mut self) -> Result<(), PassError> {
        let covered = self.outcome.covered_bytes;
        let Some(state) = &mut self.state else { return Ok(()) };
        if let Some(pending) = self.pending.get_mut(&covered)
            && !pending.reached
        {
            state.mark(covered)?;
            pending.reached = true;
        }
        while let Some(first) = self.pending.first_entry()
            && first.get().reached
            && first.get().missing == 0
        {
            let (at, mut pending) = first.remove_entry();
            pending.states.sort_by_key(|state| state.kind);
            state.checkpoint(at, pending.states, None)?;
        }
        Ok(())
    }

    /// Hands on what waited for a neighbour.
    pub(super) fn finish(mut self) -> Result<PassOutcome, PassError> {
        if let Some(last) = self.joiner.finish() {
            (self.sink)(&last).map_err(PassError::Sink)?;
        }
        Ok(self.outcome)
    }
}

/// Counts a stretch and hands it on once its end is known.
fn hand_on(
    sink: &mut Sink<'_>,
    joiner: &mut Joiner,
    outcome: &mut PassOutcome,
    stretch: Stretch,
) -> Result<(), PassError> {
    outcome.covered_bytes = stretch.end_bytes();
    match &stretch {
        Stretch::Absent { length_bytes, .. } => outcome.absent_bytes += length_bytes,
        Stretch::Unreadable { length_bytes, .. } => outcome.unreadable_bytes += length_bytes,
        Stretch::Zero { .. } => {}
        Stretch::Window(window) => {
            for (index, block) in window.blocks.iter().enumerate() {
                let bytes = window.block_bytes(index) as u64;
                match block.class() {
                    BlockClass::Absent => outcome.absent_bytes += bytes,
                    BlockClass::Unreadable => outcome.unreadable_bytes += bytes,
                    BlockClass::Zero
                    | BlockClass::Constant(_)
                    | BlockClass::Data
                    | BlockClass::Short => {}
                }
            }
        }
    }
    match joiner.push(stretch) {
        Some(ready) => sink(&ready).map_err(PassError::Sink),
        None => Ok(()),
    }
}
