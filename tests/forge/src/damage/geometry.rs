//! Where a locker encrypts, as parameters over the original size.

use std::{iter::once, ops::Range};

/// Where bytes are encrypted. Every number is in bytes of the original file.
#[derive(Clone, Debug, PartialEq)]
pub enum Geometry {
    /// Nothing at all.
    None,
    /// Everything from `start` on (Hive v6 leaves the first 0x50 bytes).
    Whole {
        /// First encrypted byte.
        start: u64,
    },
    /// The first `bytes`.
    Head {
        /// Length of the head.
        bytes: u64,
    },
    /// `run` bytes of every `period`, from `start`, runs beginning before `stop` only. The last
    /// run ends where the file does.
    Periodic {
        /// Start of the first run.
        start: u64,
        /// Length of each run.
        run: u64,
        /// Distance of the starts.
        period: u64,
        /// No encryption at or after this offset.
        stop: Option<u64>,
    },
    /// A head, then a comb (BlackCat, Hunters, Black Basta above 1 GiB).
    HeadThenPeriodic {
        /// Length of the head.
        head: u64,
        /// Start of the first run after it.
        start: u64,
        /// Length of each run.
        run: u64,
        /// Distance of the starts.
        period: u64,
        /// No encryption at or after this offset.
        stop: Option<u64>,
    },
    /// `count` runs, `step` apart, from 0 (Akira, Conti, VECT).
    Chunks {
        /// How many.
        count: u64,
        /// Length of each.
        run: u64,
        /// Distance of the starts.
        step: u64,
    },
    /// The file cut into `blocks` equal blocks, the first `percent` of each (BlackCat smart).
    PercentOfBlocks {
        /// How many blocks.
        blocks: u64,
        /// Part of each, 1..=100.
        percent: u64,
    },
    /// First and last block, then every `step`-th one (Play).
    PlayBlocks {
        /// Block length.
        block: u64,
        /// Every how many blocks.
        step: u64,
    },
    /// Several attacks over each other.
    Layers(Vec<Geometry>),
    /// An attack killed when it reached `at`.
    Interrupted {
        /// What was under way.
        inner: Box<Geometry>,
        /// Where it ended.
        at: u64,
    },
    /// Ranges by no rule.
    Irregular(Vec<Range<u64>>),
}

impl Geometry {
    /// The encrypted ranges over a file of `size` bytes: in order, merged, none empty.
    #[must_use]
    pub fn ranges(&self, size: u64) -> Vec<Range<u64>> {
        let mut all = self.raw(size);
        all.retain(|r| r.start < r.end);
        all.sort_by_key(|r| r.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(all.len());
        for run in all {
            match merged.last_mut() {
                Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
                _ => merged.push(run),
            }
        }
        merged
    }

    fn raw(&self, size: u64) -> Vec<Range<u64>> {
        match self {
            Self::None => Vec::new(),
            Self::Whole { start } => once(*start.min(&size)..size).collect(),
            Self::Head { bytes } => once(0..*bytes.min(&size)).collect(),
            Self::Periodic { start, run, period, stop } => comb(size, *start, *run, *period, *stop),
            Self::HeadThenPeriodic { head, start, run, period, stop } => {
                let mut all: Vec<_> = once(0..*head.min(&size)).collect();
                all.extend(comb(size, *start, *run, *period, *stop));
                all
            }
            Self::Chunks { count, run, step } => {
                (0..*count).map(|n| n * step).map(|at| at.min(size)..(at + run).min(size)).collect()
            }
            Self::PercentOfBlocks { blocks, percent } => {
                let block = size / blocks;
                let run = block * percent / 100;
                (0..*blocks).map(|n| n * block..n * block + run).collect()
            }
            Self::PlayBlocks { block, step } => {
                let mut all = comb(size, 0, *block, block * step, None);
                all.push(size.saturating_sub(*block)..size);
                all
            }
            Self::Layers(layers) => layers.iter().flat_map(|l| l.raw(size)).collect(),
            Self::Interrupted { inner, at } => {
                inner.ranges(size).into_iter().map(|r| r.start.min(*at)..r.end.min(*at)).collect()
            }
            Self::Irregular(ranges) => {
                ranges.iter().map(|r| r.start.min(size)..r.end.min(size)).collect()
            }
        }
    }
}

fn comb(size: u64, start: u64, run: u64, period: u64, stop: Option<u64>) -> Vec<Range<u64>> {
    let end = stop.unwrap_or(size).min(size);
    let mut all = Vec::new();
    let mut at = start;
    while at < end {
        all.push(at..(at + run).min(end));
        at += period.max(1);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::Geometry;

    #[test]
    fn touching_runs_become_one() {
        let layers = Geometry::Layers(vec![
            Geometry::Head { bytes: 100 },
            Geometry::Periodic { start: 100, run: 10, period: 50, stop: Some(160) },
        ]);
        assert_eq!(layers.ranges(1000), vec![0..110, 150..160]);
    }

    #[test]
    fn an_interrupted_attack_cuts_its_last_run() {
        let inner = Geometry::Periodic { start: 0, run: 10, period: 20, stop: None };
        let cut = Geometry::Interrupted { inner: Box::new(inner), at: 45 };
        assert_eq!(cut.ranges(1000), vec![0..10, 20..30, 40..45]);
    }
}
