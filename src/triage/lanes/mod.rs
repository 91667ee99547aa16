//! Lattices: runs of ciphertext far smaller than a block, at equal distance.
//!
//! No block's sums show them. What does is empty space: where zeros were, each small run stands
//! alone as an island, and all islands lie a whole number of periods apart. The rule found there
//! is then held against all other bytes.

mod extent;
mod islands;
mod loose;
mod rich;

use std::{collections::HashMap, ops::Range};

use vmglean_formats::{ByteOffset, ReadAt};

use super::{
    judge::{Lattice, Survey},
    measure::{ByteHistogram, ChiSquare},
};
use islands::Island;
pub(in crate::triage) use islands::{is_varied, varied};
pub use loose::{Loose, loose};
pub use rich::{Testimony, testimony};

/// A lattice and where it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLattice {
    /// Its numbers.
    pub lattice: Lattice,
    /// It holds at least here.
    pub sure: Range<u64>,
    /// It holds nowhere outside this.
    pub possible: Range<u64>,
    /// Islands that lie on it, or stretches whose law its bytes break.
    pub islands: u64,
    /// Islands or stretches that were looked at.
    pub looked: u64,
    /// Whether islands in empty space show it, not the law of the bytes round it.
    pub in_empty_space: bool,
    /// Whether all its runs hold the same bytes: one key stream used over and over.
    pub same_bytes: bool,
    /// Where a head before it ends that shows the same bytes one after another.
    pub head_end: Option<u64>,
}

/// Fewest islands on a lattice.
const FEWEST: u64 = 12;
/// Longest and shortest run taken for one of a lattice.
const RUN_BYTES: std::ops::RangeInclusive<u64> = 8..=2048;
/// Longest period.
const LONGEST_PERIOD: u64 = 1 << 20;
/// Blocks read again at most.
const MOST_BLOCKS: usize = 2048;

/// Islands that were read again.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Of all kinds.
    all: Vec<Island>,
    /// As varied as ciphertext: few on a disk that nothing happened to.
    rich: Vec<Island>,
}

impl Seen {
    /// Reads them.
    #[must_use]
    pub fn read(source: &dyn ReadAt, survey: &Survey, size: u64) -> Self {
        Self {
            all: islands::read(source, survey, size, MOST_BLOCKS),
            rich: islands::rich(source, survey, size, MOST_BLOCKS),
        }
    }

    /// The same without the ragged ends of what may be long runs of ciphertext by this survey.
    #[must_use]
    pub fn outside_ciphertext(mut self, survey: &Survey) -> Self {
        let random = |at: Option<u64>| {
            at.and_then(|at| survey.tone_at(at)).is_some_and(|tone| tone.may_be_ciphertext())
        };
        let is_one = |i: &Island| !random(i.start.checked_sub(1)) && !random(Some(i.end));
        self.all.retain(is_one);
        self.rich.retain(is_one);
        self
    }
}

/// The lattice over `size` bytes, if islands show one.
#[must_use]
pub fn find(source: &dyn ReadAt, survey: &Survey, seen: &Seen, size: u64) -> Option<FoundLattice> {
    let mut best: Option<FoundLattice> = None;
    // Among many islands of plaintext, the distances of a few runs drown: the rich ones show them.
    for islands in [&seen.all, &seen.rich] {
        if (islands.len() as u64) < FEWEST {
            continue;
        }
        for period in periods(islands) {
            if let Some(found) = at_period(source, survey, islands, period, size)
                // A part of the period explains as much; only one that explains more is better.
                && best.as_ref().is_none_or(|b| found.islands * 10 > b.islands * 11)
            {
                best = Some(found);
            }
        }
    }
    best
}

/// The lattice of this period, if islands, empty space and the islands' bytes bear it out.
fn at_period(
    source: &dyn ReadAt,
    survey: &Survey,
    islands: &[Island],
    period: u64,
    size: u64,
) -> Option<FoundLattice> {
    let (phase, on) = mode(islands.iter().map(|i| i.start % period))?;
    let near = |island: &&Island| {
        let off = (island.start + period - phase) % period;
        off < 4
    };
    let run = mode(islands.iter().filter(near).map(|i| (i.end + period - phase) % period))
        .map(|(run, _)| run)?;
    if on < FEWEST || !RUN_BYTES.contains(&run) || run * 4 > period * 3 {
        return None;
    }
    let fits: Vec<&Island> = islands
        .iter()
        .filter(near)
        .filter(|i| {
            let length = i.end - i.start;
            (i.end + period - phase) % period <= run && length <= run && length + 4 > run
        })
        .collect();
    if (fits.len() as u64) < FEWEST {
        return None;
    }
    let same = are_same(&fits, phase, period, run);
    if same.is_none() && !are_random(&fits) {
        return None;
    }
    let lattice = Lattice { origin: phase, run, period };
    let seen: Vec<u64> = fits.iter().map(|i| i.start).collect();
    let (sure, possible) = extent::extent(source, survey, &lattice, &seen, size)?;
    let head_end = same.and_then(|value| repeated_head(source, value, &lattice, *seen.first()?));
    Some(FoundLattice {
        lattice,
        sure,
        possible,
        islands: fits.len() as u64,
        looked: islands.len() as u64,
        in_empty_space: true,
        same_bytes: same.is_some(),
        head_end,
    })
}

fn mode(values: impl Iterator<Item = u64>) -> Option<(u64, u64)> {
    let mut votes: HashMap<u64, u64> = HashMap::new();
    for value in values {
        *votes.entry(value).or_default() += 1;
    }
    votes.into_iter().max_by_key(|&(value, votes)| (votes, std::cmp::Reverse(value)))
}

/// Distances at which most neighbours lie, and their greatest common parts.
fn periods(islands: &[Island]) -> Vec<u64> {
    let mut votes: HashMap<u64, u64> = HashMap::new();
    for pair in islands.windows(2) {
        if let [a, b] = pair
            && b.start - a.start <= LONGEST_PERIOD
        {
            *votes.entry(b.start - a.start).or_default() += 1;
        }
    }
    let mut order: Vec<(u64, u64)> = votes.into_iter().collect();
    order.sort_by_key(|&(distance, votes)| (std::cmp::Reverse(votes), distance));
    let top: Vec<u64> = order.iter().take(12).map(|(distance, _)| *distance).collect();
    let mut all = top.clone();
    // Islands are thinned out and some periods skipped.
    for &a in &top {
        all.extend(top.iter().map(|&b| gcd(a, b)));
    }
    all.retain(|period| *period >= 24);
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.dedup();
    all
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Bytes before the first run in which a head is looked for.
const HEAD_BYTES: u64 = 64 * 1024;

/// Where a head ends whose key stream is `value` over and over, seen where its plaintext is zero:
/// at the place of the lattice's next run.
fn repeated_head(source: &dyn ReadAt, value: &[u8], lattice: &Lattice, first: u64) -> Option<u64> {
    let length = usize::try_from(first.min(HEAD_BYTES)).ok()?;
    let bytes = source.read_up_to(ByteOffset(0), length).ok()?;
    let seen = bytes.chunks_exact(value.len().max(1)).enumerate().filter(|(_, b)| *b == value);
    let seen: Vec<usize> = seen.map(|(nth, _)| (nth + 1) * value.len()).collect();
    let last = *seen.last()? as u64;
    let phase = lattice.origin % lattice.period;
    // The first run of the lattice may go on where the head ends.
    let past = last.saturating_sub(phase);
    let runs = match past % lattice.period {
        over if over <= lattice.run => past / lattice.period,
        _ => past / lattice.period + 1,
    };
    let end = phase + runs * lattice.period;
    // In the lattice itself the value stands once a period.
    (seen.len() >= 3 && end <= first && last > lattice.run * 3).then_some(end)
}

/// The value that nearly all islands hold, if it is one and a rich one.
fn are_same<'a>(fits: &[&'a Island], phase: u64, period: u64, run: u64) -> Option<&'a [u8]> {
    let mut votes: HashMap<&[u8], usize> = HashMap::new();
    for island in fits.iter().filter(|i| i.start % period == phase && i.end - i.start == run) {
        *votes.entry(island.bytes.as_slice()).or_default() += 1;
    }
    let is_rich = |(value, count): &(&[u8], usize)| {
        let mut distinct = [false; 256];
        for &byte in *value {
            distinct[usize::from(byte)] = true;
        }
        let distinct = distinct.iter().filter(|d| **d).count();
        count * 2 > fits.len() && distinct * 4 >= value.len().min(200) * 3
    };
    votes.into_iter().find(is_rich).map(|(value, _)| value)
}

/// Whether all islands together are as even as ciphertext.
fn are_random(fits: &[&Island]) -> bool {
    let mut sum = ByteHistogram::default();
    for island in fits {
        // Both ends are non-zero by the way islands are cut; the inside is not chosen.
        let inside = island.bytes.get(1..island.bytes.len().saturating_sub(1));
        sum.add(inside.unwrap_or_default());
    }
    let chi: ChiSquare = sum.chi_square();
    // A few plaintext islands on the lattice by chance must not spoil a large sum.
    let far = chi.value() / sum.total().max(1) as f64;
    sum.total() >= 300 && (chi.value() < 420.0 || far < 0.1)
}
