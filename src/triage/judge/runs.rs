//! Runs of one state and how they are laid over each other.

use std::ops::Range;

/// State of a byte range, in the contract's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Stored zeros.
    Zero,
    /// No data allocated; reads as zero.
    Absent,
    /// Original data.
    Intact,
    /// Encrypted by the attack.
    Encrypted,
    /// The medium failed.
    Unreadable,
    /// Structure lost, data may be there.
    Damaged,
    /// Nothing explains it.
    Undetermined,
}

/// Equal small runs at equal distance inside one [`Run`]: these bytes are encrypted, the others
/// have the run's own state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lattice {
    /// A place where a small run begins (others lie whole periods away).
    pub origin: u64,
    /// Length of each.
    pub run: u64,
    /// Distance of their starts.
    pub period: u64,
}

impl Lattice {
    /// How many bytes below `at` are encrypted, counted from a fixed place far below.
    fn below(&self, at: u64) -> u64 {
        let phase = self.origin % self.period;
        // Shift so that a small run begins at 0.
        let shifted = at + self.period - phase;
        shifted / self.period * self.run + (shifted % self.period).min(self.run)
    }

    /// The same lattice where byte `from` is called `to`.
    #[must_use]
    pub fn moved(self, from: u64, to: u64) -> Self {
        if self.period == 0 {
            return self;
        }
        let phase = (self.origin % self.period + self.period - from % self.period) % self.period;
        Self { origin: (to % self.period + phase) % self.period, ..self }
    }

    /// Its small runs that touch `range`, cut to it, in order.
    pub fn runs(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        let (run, period) = (self.run, self.period.max(1));
        // How far into a period the range begins; the run of that one may reach into it.
        let into = (range.start % period + period - self.origin % period) % period;
        let Range { start: from, end } = range;
        (0..)
            .map(move |n: u64| from.saturating_add(period.saturating_mul(n)))
            .map(move |at| at.saturating_sub(into)..at.saturating_add(run).saturating_sub(into))
            .take_while(move |found| found.start < end)
            .map(move |found| found.start.max(from)..found.end.min(end))
            .filter(|found| found.start < found.end)
    }

    /// Encrypted bytes within `range`.
    #[must_use]
    pub fn encrypted_bytes(&self, range: &Range<u64>) -> u64 {
        self.below(range.end) - self.below(range.start)
    }
}

/// Consecutive bytes of one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// First byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
    /// Their state.
    pub state: State,
    /// Index into the map's evidence.
    pub evidence: usize,
    /// By how much the first byte could lie elsewhere, either way.
    pub start_doubt: u64,
    /// By how much the end could.
    pub end_doubt: u64,
    /// Small encrypted runs inside it.
    pub lattice: Option<Lattice>,
}

impl Run {
    /// A run with exact edges.
    #[must_use]
    pub fn new(range: Range<u64>, state: State, evidence: usize) -> Self {
        Self {
            start: range.start,
            end: range.end,
            state,
            evidence,
            start_doubt: 0,
            end_doubt: 0,
            lattice: None,
        }
    }

    /// Bytes covered.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Bytes of it in `state`; the small runs of a lattice count as encrypted.
    #[must_use]
    pub fn bytes_in(&self, state: State) -> u64 {
        let inside = self.lattice.map_or(0, |l| l.encrypted_bytes(&(self.start..self.end)));
        match (state == State::Encrypted, self.state == state) {
            (true, true) => self.length(),
            (true, false) => inside,
            (false, true) => self.length() - inside,
            (false, false) => 0,
        }
    }

    fn cut(&self, start: u64, end: u64) -> Self {
        Self {
            start,
            end,
            start_doubt: if start == self.start { self.start_doubt } else { 0 },
            end_doubt: if end == self.end { self.end_doubt } else { 0 },
            ..self.clone()
        }
    }

    fn joins(&self, next: &Self) -> bool {
        self.end == next.start
            && self.state == next.state
            && self.evidence == next.evidence
            && self.lattice == next.lattice
    }
}

/// Lays `over` on `base`; both in order and free of overlap, `over` wins.
#[must_use]
pub fn overlay(base: Vec<Run>, over: Vec<Run>) -> Vec<Run> {
    if over.is_empty() {
        return base;
    }
    let mut out: Vec<Run> = Vec::with_capacity(base.len() + over.len());
    let mut over = over.into_iter().filter(|r| r.start < r.end).peekable();
    for run in base {
        let mut at = run.start;
        while at < run.end {
            while over.next_if(|o| o.end <= at).is_some() {}
            match over.peek() {
                Some(top) if top.start < run.end => {
                    if top.start > at {
                        push(&mut out, run.cut(at, top.start));
                    }
                    let end = top.end.min(run.end);
                    push(&mut out, top.cut(top.start.max(at), end));
                    at = end;
                }
                _ => {
                    push(&mut out, run.cut(at, run.end));
                    at = run.end;
                }
            }
        }
    }
    out
}

/// Appends, joining with the run before where nothing tells them apart.
pub(super) fn push(out: &mut Vec<Run>, run: Run) {
    if run.start >= run.end {
        return;
    }
    match out.last_mut() {
        Some(last) if last.joins(&run) => {
            last.end = run.end;
            last.end_doubt = run.end_doubt;
        }
        _ => out.push(run),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Lattice, Run, State, overlay};

    proptest! {
        #[test]
        fn an_overlay_keeps_the_cover_without_gap_or_overlap(
            cuts in proptest::collection::btree_set(1_u64..1000, 0..20),
            tops in proptest::collection::btree_set(0_u64..1000, 0..20),
        ) {
            let mut base = Vec::new();
            let mut at = 0;
            for (i, cut) in cuts.iter().chain([&1000]).enumerate() {
                base.push(Run::new(at..*cut, State::Intact, i));
                at = *cut;
            }
            let tops: Vec<u64> = tops.into_iter().collect();
            let over = tops.chunks_exact(2).map(|c| Run::new(c[0]..c[1], State::Encrypted, 99)).collect::<Vec<_>>();
            let made = overlay(base, over.clone());
            let mut at = 0;
            for run in &made {
                prop_assert_eq!(run.start, at);
                prop_assert!(run.end > run.start);
                at = run.end;
            }
            prop_assert_eq!(at, 1000);
            for byte in 0..1000 {
                let on_top = over.iter().any(|r| (r.start..r.end).contains(&byte));
                let run = made.iter().find(|r| (r.start..r.end).contains(&byte)).unwrap();
                prop_assert_eq!(run.state == State::Encrypted, on_top);
            }
        }

        #[test]
        fn lattice_bytes_are_counted_as_one_by_one(
            origin in 0_u64..500, run in 1_u64..20, gap in 1_u64..50, from in 0_u64..1000, length in 0_u64..500,
        ) {
            let lattice = Lattice { origin, run, period: run + gap };
            let slow = (from..from + length)
                .filter(|at| (at + lattice.period * 1000 - origin) % lattice.period < run)
                .count() as u64;
            prop_assert_eq!(lattice.encrypted_bytes(&(from..from + length)), slow);
        }
    }
}
