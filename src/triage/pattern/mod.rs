//! The rule that damage follows: free parameters fitted to the edges that are seen, scored
//! against "no rule" over the whole disk.

mod fit;
mod library;
pub mod nice;
mod score;
mod weigh;

use std::ops::Range;

pub use fit::{SeenRun, fit};
pub use library::{as_rule, library};
pub use score::Gain;
pub(in crate::triage) use score::LONGEST_HIDDEN;

/// What kind of rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// Everything.
    Whole,
    /// The start only.
    Head,
    /// Run, gap, run, gap.
    Periodic,
    /// Few runs, a fraction of the disk apart.
    Chunks,
    /// Runs smaller than a block.
    Lattice,
}

/// A rule with all its numbers, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Which kind.
    pub kind: RuleKind,
    /// First damaged byte of the head; 0 but for lockers that spare a few bytes.
    pub head_start: u64,
    /// First byte after the head; equal to `head_start` where there is none.
    pub head_end: u64,
    /// Start of the first run of the comb.
    pub start: u64,
    /// Length of each run; 0 where there is no comb.
    pub run: u64,
    /// From one run's start to the next one's.
    pub period: u64,
    /// No run reaches past this.
    pub stop: u64,
    /// First byte of a damaged block at the very end (Play); equal to the size where none.
    pub tail_start: u64,
    /// How much better than "no rule" it explains the disk, in nats.
    pub score: f64,
    /// Runs of the comb that were seen with at least one edge where the rule puts it.
    pub confirmed: u64,
}

impl Rule {
    /// A comb from `start` to `stop` and nothing else.
    #[must_use]
    pub fn comb(start: u64, run: u64, period: u64, stop: u64) -> Self {
        Self {
            kind: RuleKind::Periodic,
            head_start: 0,
            head_end: 0,
            start,
            run,
            period,
            stop,
            tail_start: u64::MAX,
            score: 0.0,
            confirmed: 0,
        }
    }

    /// Whether both place the same runs.
    #[must_use]
    pub fn has_same_comb(&self, other: &Self) -> bool {
        let numbers = |rule: &Self| (rule.start, rule.run, rule.period, rule.stop);
        numbers(self) == numbers(other)
    }

    /// Runs of the comb.
    #[must_use]
    pub fn comb_runs(&self) -> u64 {
        if self.run == 0 || self.stop <= self.start {
            return 0;
        }
        (self.stop - self.start).div_ceil(self.period.max(1))
    }

    /// Run number `nth` of the comb.
    #[must_use]
    pub fn comb_run(&self, nth: u64) -> Option<Range<u64>> {
        if self.run == 0 {
            return None;
        }
        let start = self.start.checked_add(self.period.checked_mul(nth)?)?;
        let end = start.saturating_add(self.run).min(self.stop);
        (start < end).then_some(start..end)
    }

    /// Damaged ranges that touch `within`, in order, joined where they meet.
    pub fn ranges(&self, within: Range<u64>, size: u64) -> impl Iterator<Item = Range<u64>> {
        let first = if self.run == 0 || within.start < self.start.saturating_add(self.run) {
            0
        } else {
            (within.start - self.start - self.run) / self.period.max(1)
        };
        let rule = *self;
        let head = (rule.head_start < rule.head_end).then_some(rule.head_start..rule.head_end);
        let tail = (rule.tail_start < size).then_some(rule.tail_start..size);
        let comb = (first..).map_while(move |nth| rule.comb_run(nth));
        Joined { inner: head.into_iter().chain(comb).chain(tail), open: None }
            .skip_while(move |r| r.end <= within.start)
            .take_while(move |r| r.start < within.end)
    }
}

/// Joins ranges that touch or overlap; starts must ascend.
struct Joined<I> {
    inner: I,
    open: Option<Range<u64>>,
}

impl<I: Iterator<Item = Range<u64>>> Iterator for Joined<I> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        loop {
            match (self.open.take(), self.inner.next()) {
                (None, None) => return None,
                (None, Some(next)) => self.open = Some(next),
                (Some(open), None) => return Some(open),
                (Some(open), Some(next)) => {
                    if next.start <= open.end {
                        self.open = Some(open.start..open.end.max(next.end));
                    } else {
                        self.open = Some(next);
                        return Some(open);
                    }
                }
            }
        }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.head_start < self.head_end {
            match self.head_start {
                0 => write!(f, "the first {} bytes", self.head_end)?,
                spared => write!(f, "the bytes from {spared} up to {}", self.head_end)?,
            }
            if self.run > 0 {
                f.write_str(", then ")?;
            }
        }
        if self.run > 0 {
            write!(
                f,
                "{} bytes of every {} from {:#x} to {:#x}, {} of {} runs confirmed by an edge",
                self.run,
                self.period,
                self.start,
                self.stop,
                self.confirmed,
                self.comb_runs()
            )?;
        }
        write!(f, "; {:.0} nats better than no rule", self.score)
    }
}
