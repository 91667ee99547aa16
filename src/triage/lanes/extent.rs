//! From where to where a lattice holds: empty space that shows none ends it, and between the
//! last sight of it and that the bytes on and off the lattice are weighed against each other.

use std::ops::Range;

use vmglean_formats::{ByteOffset, ReadAt};

use crate::triage::{
    judge::{Lattice, Survey, Tone},
    measure::ByteHistogram,
};

/// Cuts so many bits less likely than the best are still possible.
const DOUBT_BITS: f64 = 30.0;
/// Plaintext of more bits a byte cannot be told from ciphertext here.
const TELLS_NOTHING: f64 = 7.9;
/// Of few bytes the entropy comes out smaller, by so many bits over their number.
const OF_FEW: f64 = 184.0;
/// Bytes on either side of a run that tell the law of its plaintext.
const NEAR_BYTES: usize = 2048;
/// Weight of "any byte" in a model of plaintext.
const STRAY: f64 = 0.03;
/// Bytes weighed at most between the last sight and the first denial.
const MOST_WEIGHED: u64 = 1 << 28;

/// Where the lattice surely holds, and where it could; `None` where empty space denies it
/// between the places it is seen at.
pub(super) fn extent(
    source: &dyn ReadAt,
    survey: &Survey,
    lattice: &Lattice,
    seen: &[u64],
    size: u64,
) -> Option<(Range<u64>, Range<u64>)> {
    let (first, last) = (*seen.first()?, *seen.last()? + lattice.run);
    let need = lattice.period + 2 * lattice.run;
    let denials: Vec<Range<u64>> = survey
        .pieces
        .iter()
        .filter(|p| matches!(p.tone, Tone::Zero | Tone::Absent) && p.end - p.start >= need)
        .map(|p| p.start + lattice.run..p.end - lattice.run)
        .collect();
    let before = denials.iter().rev().find(|d| d.end <= first).map_or(0, |d| d.end);
    let after = denials.iter().find(|d| d.start >= last).map_or(size, |d| d.start);
    // Written over by the machine while it went on: seldom. Many denials: no lattice at all.
    let inside: u64 =
        denials.iter().filter(|d| d.start > first && d.end < last).map(|d| d.end - d.start).sum();
    if inside * 10 > last - first {
        return None;
    }
    let begin = if before == 0 { (0, 0) } else { cut(source, lattice, before..first, true) };
    let end = if after >= size { (size, size) } else { cut(source, lattice, last..after, false) };
    Some((begin.1..end.0, begin.0..end.1))
}

/// The change point inside `zone`: the lowest and the highest place that are possible.
pub(super) fn cut(
    source: &dyn ReadAt,
    lattice: &Lattice,
    zone: Range<u64>,
    is_begin: bool,
) -> (u64, u64) {
    if zone.end - zone.start > MOST_WEIGHED {
        return (zone.start, zone.end);
    }
    let mut sums: Vec<(u64, f64)> = vec![(zone.start, 0.0)];
    let mut sum = 0.0;
    let mut at = zone.start;
    while at < zone.end {
        let take = (zone.end - at).min(16_384.max(2 * lattice.period));
        let Ok(bytes) = source.read_up_to(ByteOffset(at), take as usize) else { break };
        if bytes.is_empty() {
            break;
        }
        for (place, bits) in weigh(lattice, at, &bytes) {
            sum += bits;
            sums.push((place, sum));
        }
        at += bytes.len() as u64;
    }
    // Plaintext bits add up where no lattice is: before a begin, after an end.
    let value = |s: f64| if is_begin { s } else { -s };
    let most = sums.iter().map(|(_, s)| value(*s)).fold(f64::MIN, f64::max);
    let possible = |s: f64| value(s) >= most - DOUBT_BITS;
    let low = sums.iter().find(|(_, s)| possible(*s)).map_or(zone.start, |(p, _)| *p);
    let high = sums.iter().rev().find(|(_, s)| possible(*s)).map_or(zone.end, |(p, _)| *p);
    (low.saturating_sub(lattice.run).max(zone.start), (high + lattice.period).min(zone.end))
}

/// Bits a byte of the values counted.
fn entropy(counts: &[u64; 256], total: f64) -> f64 {
    let share = counts.iter().filter(|n| **n > 0).map(|&n| n as f64 / total);
    share.map(|p| -p * p.log2()).sum()
}

/// For each whole small run in `bytes`, by how many bits it is likelier as plaintext.
pub(super) fn weigh(lattice: &Lattice, at: u64, bytes: &[u8]) -> Vec<(u64, f64)> {
    let phase = lattice.origin % lattice.period;
    let mut off = ByteHistogram::default();
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut here = 0;
    while here < bytes.len() {
        let into = (at + here as u64 + lattice.period - phase) % lattice.period;
        let (on, length) = if into < lattice.run {
            (true, lattice.run - into)
        } else {
            (false, lattice.period - into)
        };
        let end = (here + length as usize).min(bytes.len());
        if on {
            runs.push(here..end);
        } else {
            off.add(bytes.get(here..end).unwrap_or_default());
        }
        here = end;
    }
    // Content changes from place to place, so the nearest bytes tell the law where they suffice.
    let is_wide = lattice.period - lattice.run.min(lattice.period) >= NEAR_BYTES as u64;
    let around = |run: &Range<usize>| {
        let mut near = ByteHistogram::default();
        let after = run.end..(run.end + NEAR_BYTES).min(bytes.len());
        near.add(bytes.get(run.start.saturating_sub(NEAR_BYTES)..run.start).unwrap_or_default());
        near.add(bytes.get(after).unwrap_or_default());
        near
    };
    let all = Law::of(&off);
    runs.into_iter()
        .map(|run| {
            let part = bytes.get(run.clone()).unwrap_or_default();
            let bits = if is_wide { Law::of(&around(&run)).bits(part) } else { all.bits(part) };
            (at + run.end as u64, bits)
        })
        .collect()
}

/// How many bits likelier each byte is as plaintext like that around than as ciphertext.
pub(super) struct Law([f64; 256]);

impl Law {
    pub(super) fn of(near: &ByteHistogram) -> Self {
        let (total, counts) = (near.total() as f64 + 1.0, near.counts());
        // Where the bytes off the lattice look random, those on it say nothing.
        if entropy(counts, total) > TELLS_NOTHING - OF_FEW / total {
            return Self([0.0; 256]);
        }
        Self(std::array::from_fn(|byte| {
            let seen = (counts[byte] as f64 + 1.0 / 256.0) / total;
            let zero = if byte == 0 { 0.05 } else { 0.0 };
            ((0.92 * seen + zero + STRAY / 256.0) * 256.0).log2()
        }))
    }

    pub(super) fn bits(&self, run: &[u8]) -> f64 {
        run.iter().map(|&byte| self.0[usize::from(byte)]).sum()
    }
}
