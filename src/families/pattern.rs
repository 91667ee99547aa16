//! Damage geometry as parameters: where a family's rule puts encrypted bytes in a file of a size.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One rule of a family, with the sizes it applies to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// The operator's or vendor's word for this mode, if there is one.
    pub name: Option<String>,
    /// Smallest original size this rule applies to.
    pub min_size_bytes: u64,
    /// Largest original size this rule applies to.
    pub max_size_bytes: u64,
    /// The rule.
    pub kind: PatternKind,
    /// Whether it was remembered or inferred rather than read.
    pub recalled: bool,
}

/// Where damage lies. All sizes in bytes, all fractions of the original size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatternKind {
    /// Everything from this byte on.
    Whole {
        /// First damaged byte.
        from_bytes: u64,
    },
    /// The first bytes only.
    Head {
        /// How many.
        bytes: u64,
    },
    /// The first share of the file only.
    HeadPercent {
        /// Share in percent.
        percent: u64,
    },
    /// A head, then runs at equal distance to the end.
    Periodic {
        /// Bytes damaged at the very start, before the runs.
        head_bytes: u64,
        /// Where the first run begins.
        start_bytes: u64,
        /// Length of a run.
        run_bytes: u64,
        /// Distance from one run's start to the next.
        step_bytes: u64,
        /// Only whole steps hold a run, a rest at the end holds none.
        whole_steps: bool,
    },
    /// Runs of known length whose distance is not known.
    PeriodicUnknownStep {
        /// Length of a run.
        run_bytes: u64,
    },
    /// Akira "spot": 2 chunks below 50 percent, 4 from there on.
    AkiraSpot {
        /// Percent of the file.
        percent: u64,
    },
    /// Akira from 2024: four tenths at equal gaps.
    AkiraTenths,
    /// Conti "part": 3 chunks of a percent table, 5 at 50 percent.
    ContiPart {
        /// Percent of the file.
        percent: u64,
    },
    /// ESXiArgs first wave: 1 MiB in each hundredth of the file.
    EsxiArgsHundredth,
    /// Chunks of one length at the start of equal parts of the file.
    EqualParts {
        /// How many parts.
        parts: u64,
        /// Length of each chunk.
        run_bytes: u64,
    },
    /// Hunters International, first build.
    HuntersFirst,
    /// Hunters International, second build: head and equal runs after it.
    HeadThenSpread {
        /// Head, in percent of the size.
        head_percent: u64,
        /// Longest head.
        head_max_bytes: u64,
        /// One run, in percent of the size; 0 where `run_bytes` says it.
        run_percent: u64,
        /// One run in bytes; 0 where `run_percent` says it.
        run_bytes: u64,
        /// How many runs at most.
        runs: u64,
        /// All runs together at most this percent of the size.
        total_percent: u64,
    },
    /// Royal: equal blocks alternating with gaps, from the percent given by the operator.
    RoyalPercent {
        /// Percent, 1 to 100.
        percent: u64,
    },
    /// Play: first, last and each `step`-th block.
    PlayBlocks {
        /// Block length.
        block_bytes: u64,
        /// Each how manieth block.
        step: u64,
    },
    /// A share of the file; where it lies is not known.
    Share {
        /// Shares the operator can choose, in percent.
        percents: Vec<u64>,
    },
    /// Not published in what was read.
    Unknown,
}

/// Equal runs at equal distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comb {
    /// First byte of the first run.
    pub start_bytes: u64,
    /// Length of each run; the last may be cut by the end of the file.
    pub run_bytes: u64,
    /// From the start of one run to the start of the next.
    pub step_bytes: u64,
    /// How many runs.
    pub count: u64,
}

/// Where a rule puts damage in a file of one size, without listing each run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// The file's size before the attack.
    pub size_bytes: u64,
    /// Combs in ascending order that do not overlap.
    pub combs: Vec<Comb>,
}

impl Comb {
    /// One run.
    #[must_use]
    pub fn one(start_bytes: u64, run_bytes: u64) -> Self {
        Self { start_bytes, run_bytes, step_bytes: run_bytes.max(1), count: 1 }
    }

    /// Run number `index`, cut at `size`; `None` past the last.
    fn run(&self, index: u64, size: u64) -> Option<Range<u64>> {
        if index >= self.count {
            return None;
        }
        let start = self.start_bytes.checked_add(self.step_bytes.checked_mul(index)?)?;
        let end = start.saturating_add(self.run_bytes).min(size);
        (start < end).then_some(start..end)
    }
}

impl Prediction {
    /// Combs laid over a file of `size_bytes`.
    #[must_use]
    pub fn new(size_bytes: u64, combs: Vec<Comb>) -> Self {
        Self { size_bytes, combs }
    }

    /// Whether the rule damages the byte at `at`.
    #[must_use]
    pub fn contains(&self, at: u64) -> bool {
        at < self.size_bytes
            && self.combs.iter().any(|comb| {
                at.checked_sub(comb.start_bytes).is_some_and(|by| {
                    let step = comb.step_bytes.max(1);
                    let index = (by / step).min(comb.count.saturating_sub(1));
                    comb.run(index, self.size_bytes).is_some_and(|run| run.contains(&at))
                })
            })
    }

    /// How many bytes the rule damages.
    #[must_use]
    pub fn encrypted_bytes(&self) -> u64 {
        let mut total = 0u64;
        for comb in &self.combs {
            let step = comb.step_bytes.max(1);
            let room = self.size_bytes.saturating_sub(comb.start_bytes);
            // Runs that lie wholly inside the file, then at most one that the end cuts.
            let whole = match room.checked_sub(comb.run_bytes) {
                Some(rest) => (rest / step).saturating_add(1).min(comb.count),
                None => 0,
            };
            total = total.saturating_add(whole.saturating_mul(comb.run_bytes));
            if let Some(cut) = comb.run(whole, self.size_bytes) {
                total = total.saturating_add(cut.end - cut.start);
            }
        }
        total.min(self.size_bytes)
    }

    /// The first `limit` damaged runs in order; neighbours that touch are joined.
    #[must_use]
    pub fn ranges(&self, limit: usize) -> Vec<Range<u64>> {
        let mut found: Vec<Range<u64>> = Vec::new();
        for comb in &self.combs {
            let mut index = 0;
            while let Some(run) = comb.run(index, self.size_bytes) {
                let full = found.len() >= limit;
                match found.last_mut() {
                    Some(last) if last.end >= run.start => last.end = last.end.max(run.end),
                    _ if full => return found,
                    _ => found.push(run),
                }
                index += 1;
                if comb.step_bytes <= comb.run_bytes && comb.count > 1 {
                    // Touching runs: one long range, no need to step through it.
                    let end = comb
                        .start_bytes
                        .saturating_add(comb.step_bytes.saturating_mul(comb.count - 1))
                        .saturating_add(comb.run_bytes)
                        .min(self.size_bytes);
                    if let Some(last) = found.last_mut() {
                        last.end = last.end.max(end);
                    }
                    break;
                }
            }
        }
        found
    }
}

impl Pattern {
    /// Whether the rule speaks of files of this original size.
    #[must_use]
    pub fn applies(&self, size_bytes: u64) -> bool {
        (self.min_size_bytes..=self.max_size_bytes).contains(&size_bytes)
    }

    /// Where the rule puts damage in a file of `size_bytes`; `None` where it does not apply or
    /// does not say.
    #[must_use]
    pub fn predict(&self, size_bytes: u64) -> Option<Prediction> {
        self.applies(size_bytes).then(|| self.kind.predict(size_bytes)).flatten()
    }
}

/// Conti's table: chunk in percent of the size, by the percent the operator chose.
const CONTI_CHUNK_PERCENT: [(u64, u64); 10] = [
    (10, 4),
    (15, 5),
    (20, 7),
    (25, 9),
    (30, 10),
    (35, 12),
    (40, 14),
    (60, 20),
    (70, 23),
    (80, 27),
];
const MIB: u64 = 1 << 20;

/// `size` × `part` / `of` without overflow.
fn share(size: u64, part: u64, of: u64) -> u64 {
    let wide = u128::from(size) * u128::from(part) / u128::from(of.max(1));
    u64::try_from(wide).unwrap_or(u64::MAX)
}

/// `count` runs of `run` bytes, `step` apart, from `start`; touching runs where `step` is short.
fn comb(start: u64, run: u64, step: u64, count: u64) -> Vec<Comb> {
    if run == 0 || count == 0 {
        return Vec::new();
    }
    vec![Comb { start_bytes: start, run_bytes: run, step_bytes: step.max(run), count }]
}

impl PatternKind {
    /// Where the rule puts damage in a file of `size`; `None` where it does not say.
    #[must_use]
    pub fn predict(&self, size: u64) -> Option<Prediction> {
        let combs = match *self {
            Self::Whole { from_bytes } => comb(from_bytes, size.saturating_sub(from_bytes), 1, 1),
            Self::Head { bytes } => comb(0, bytes.min(size), 1, 1),
            Self::HeadPercent { percent } => comb(0, share(size, percent, 100), 1, 1),
            Self::Periodic { head_bytes, start_bytes, run_bytes, step_bytes, whole_steps } => {
                let room = size.saturating_sub(start_bytes);
                let step = step_bytes.max(1);
                let count = if whole_steps { room / step } else { room.div_ceil(step) };
                let mut all = comb(0, head_bytes.min(size), 1, 1);
                all.extend(comb(start_bytes, run_bytes, step, count));
                all
            }
            Self::AkiraSpot { percent } => {
                // The program's own integer arithmetic; a byte off shifts every chunk.
                let (n, count) = if percent < 50 { (3, 2) } else { (5, 4) };
                let run = share(size, percent, 100) / n;
                comb(0, run, size.saturating_sub(run.saturating_mul(count)) / n, count)
            }
            Self::AkiraTenths => {
                let run = size / 10;
                comb(0, run, size.saturating_sub(run.saturating_mul(4)) / 5, 4)
            }
            Self::ContiPart { percent: 50 } => {
                let run = size / 100 * 10;
                comb(0, run, run.saturating_mul(2), 5)
            }
            Self::ContiPart { percent } => {
                let (_, part) = CONTI_CHUNK_PERCENT.iter().find(|(p, _)| *p == percent)?;
                let run = (size / 100).saturating_mul(*part);
                let gap = size.saturating_sub(run.saturating_mul(3)) / 2;
                comb(0, run, run.saturating_add(gap), 3)
            }
            Self::EsxiArgsHundredth => {
                let step = (size / MIB / 100).max(1).saturating_mul(MIB);
                comb(0, MIB, step, size.div_ceil(step))
            }
            Self::EqualParts { parts, run_bytes } => comb(0, run_bytes, size / parts.max(1), parts),
            Self::HuntersFirst => {
                let head = (size / 10).min(100 * MIB);
                let run = 512 * 1024;
                let count = (size / 20).min(100 * MIB) / run;
                spread(size, head, run, count)
            }
            Self::HeadThenSpread {
                head_percent,
                head_max_bytes,
                run_percent,
                run_bytes,
                runs,
                total_percent,
            } => {
                let head = share(size, head_percent, 100).min(head_max_bytes);
                let run = if run_bytes > 0 { run_bytes } else { share(size, run_percent, 100) };
                let most = share(size, total_percent, 100) / run.max(1);
                spread(size, head, run, runs.min(most))
            }
            Self::RoyalPercent { percent } => {
                let run = (size / 100).saturating_mul(percent) / 10 / 16 * 16;
                let run = run.min(1_024_000);
                let step = share(run, 100, percent.clamp(1, 100));
                comb(0, run, step, size.div_ceil(step.max(1)))
            }
            Self::PlayBlocks { block_bytes, step } => {
                let block = block_bytes.max(1);
                let distance = block.saturating_mul(step.max(1));
                let mut all = comb(0, block, distance, size.div_ceil(distance));
                let last = size.div_ceil(block).saturating_sub(1).saturating_mul(block);
                if last % distance != 0 && last < size {
                    all.push(Comb::one(last, block));
                }
                all
            }
            Self::PeriodicUnknownStep { .. } | Self::Share { .. } | Self::Unknown => return None,
        };
        Some(Prediction::new(size, combs))
    }
}

/// A head, then `count` runs at equal gaps in the rest.
fn spread(size: u64, head: u64, run: u64, count: u64) -> Vec<Comb> {
    let mut all = comb(0, head.min(size), 1, 1);
    if count > 0 && run > 0 {
        let rest = size.saturating_sub(head).saturating_sub(run.saturating_mul(count));
        let gap = rest / count;
        all.extend(comb(head.saturating_add(gap), run, run.saturating_add(gap), count));
    }
    all
}
