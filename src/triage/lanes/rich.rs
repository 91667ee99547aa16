//! Data without empty space: no island shows a lattice there, and none denies it.
//!
//! Where the bytes have a law of their own, those on a lattice break it. Whether they do is asked
//! for the lattices of known families, at every phase. Where bytes have no such law, as in a
//! compressed file, nothing tells, and that is the answer.

use std::ops::Range;

use vmglean_formats::{ByteOffset, ReadAt};

use super::{
    FoundLattice,
    extent::{Law, cut, weigh},
};
use crate::triage::{
    judge::{Lattice, Survey, Tone},
    measure::ByteHistogram,
};

/// Run and period of the lattices that families are known to make: Black Basta up to 1 GiB and
/// above it, LockFile.
const KNOWN: [(u64, u64); 3] = [(64, 192), (64, 6400), (16, 32)];
/// Empty space this long would show two runs of any of them.
const EMPTY_BYTES: u64 = 16 << 10;
/// Bytes looked at together.
const PART_BYTES: u64 = 64 << 10;
/// Parts looked at, spread evenly.
const MOST_PARTS: usize = 48;
/// Phases are tried in steps of so many bytes.
const STEP_BYTES: u64 = 4;
/// A lattice shows in one of so many parts at least, of those that say anything.
const FEWEST_SEEN: usize = 4;
/// By so many bits a part must speak for or against.
const TOLD_BITS: f64 = 40.0;

/// What bytes without islands say of small runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Testimony {
    /// Empty space, or the law of the bytes, shows that there are none.
    Denied,
    /// The bytes that a known lattice would hold look random, and others do not.
    Seen(FoundLattice),
    /// Such runs would not show here.
    Untold,
}

/// What the bytes below `size` say, where [`super::find`] found nothing.
#[must_use]
pub fn testimony(source: &dyn ReadAt, survey: &Survey, size: u64) -> Testimony {
    let is_empty = |tone| matches!(tone, Tone::Zero | Tone::Absent);
    let mut below = survey.pieces.iter().take_while(|piece| piece.start < size);
    if below.any(|p| is_empty(p.tone) && p.end.min(size) - p.start >= EMPTY_BYTES) {
        return Testimony::Denied;
    }
    let parts = parts(source, survey, size);
    let mut all = ByteHistogram::default();
    for part in &parts {
        all.add(&part.bytes);
    }
    let law = Law::of(&all);
    let steps: Vec<Steps> = parts.iter().map(|part| Steps::of(&law, part)).collect();
    let mut is_denied = !parts.is_empty();
    for (run, period) in KNOWN.into_iter().filter(|(_, period)| size >= 2 * period) {
        let lattice = Lattice { origin: phase(&steps, run, period), run, period };
        match weighed(source, &lattice, &parts, size) {
            Testimony::Denied => {}
            Testimony::Untold => is_denied = false,
            seen @ Testimony::Seen(_) => return seen,
        }
    }
    if is_denied { Testimony::Denied } else { Testimony::Untold }
}

/// Bytes that are not random-like, with their place.
struct Part {
    start: u64,
    bytes: Vec<u8>,
}

impl Part {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

fn parts(source: &dyn ReadAt, survey: &Survey, size: u64) -> Vec<Part> {
    let pieces = || survey.pieces.iter().filter(|p| p.tone == Tone::Plain && p.start < size);
    let count = |from: u64, to: u64| (to - from).div_ceil(PART_BYTES);
    let all: u64 = pieces().map(|p| count(p.start, p.end.min(size))).sum();
    let step = all.div_ceil(MOST_PARTS as u64).max(1);
    let starts = pieces().flat_map(|p| {
        let end = p.end.min(size);
        (p.start..end).step_by(PART_BYTES as usize).map(move |at| at..end.min(at + PART_BYTES))
    });
    starts
        .step_by(usize::try_from(step).unwrap_or(usize::MAX))
        .filter_map(|range: Range<u64>| {
            let length = usize::try_from(range.end - range.start).ok()?;
            let bytes = source.read_up_to(ByteOffset(range.start), length).ok()?;
            Some(Part { start: range.start, bytes })
        })
        .collect()
}

/// By how many bits each [`STEP_BYTES`] are likelier as bytes like the others.
struct Steps {
    /// Number of the first, counted from the start of the source.
    first: u64,
    bits: Vec<f32>,
}

impl Steps {
    fn of(law: &Law, part: &Part) -> Self {
        let first = part.start.div_ceil(STEP_BYTES);
        let skipped = usize::try_from(first * STEP_BYTES - part.start).unwrap_or(0);
        let steps = part.bytes.get(skipped..).unwrap_or_default().chunks(STEP_BYTES as usize);
        Self { first, bits: steps.map(|bytes| law.bits(bytes) as f32).collect() }
    }
}

/// Where in the period `run` bytes are least like the others.
fn phase(steps: &[Steps], run: u64, period: u64) -> u64 {
    let cells = usize::try_from(period / STEP_BYTES).unwrap_or(1);
    let width = usize::try_from(run / STEP_BYTES).unwrap_or(1);
    let mut folded = vec![(0.0, 0_u32); cells];
    for part in steps {
        let first = usize::try_from(part.first % cells as u64).unwrap_or(0);
        let (before, after) = part.bits.split_at(part.bits.len().min(cells - first));
        let rows = std::iter::once((first, before)).chain(after.chunks(cells).map(|row| (0, row)));
        for (from, row) in rows {
            for ((bits, seen), step) in folded.iter_mut().skip(from).zip(row) {
                *bits += f64::from(*step);
                *seen += 1;
            }
        }
    }
    let mean = |first: usize| {
        let on = folded.iter().cycle().skip(first).take(width);
        let (bits, seen) = on.fold((0.0, 0), |(b, s), (bits, seen)| (b + bits, s + seen));
        bits / f64::from(seen.max(1))
    };
    (0..cells).min_by(|a, b| mean(*a).total_cmp(&mean(*b))).unwrap_or(0) as u64 * STEP_BYTES
}

/// What the parts say of this lattice.
fn weighed(source: &dyn ReadAt, lattice: &Lattice, parts: &[Part], size: u64) -> Testimony {
    // By how many bits each part is likelier without the lattice.
    let bits = |part: &Part| -> f64 {
        weigh(lattice, part.start, &part.bytes).iter().map(|(_, bits)| bits).sum()
    };
    let told: Vec<(&Part, f64)> = parts
        .iter()
        .map(|part| (part, bits(part)))
        .filter(|(_, bits)| bits.abs() >= TOLD_BITS)
        .collect();
    let on = told.iter().filter(|(_, bits)| *bits < 0.0).count();
    // Few among many are tables whose columns look random.
    if on * FEWEST_SEEN < told.len() {
        return Testimony::Denied;
    }
    let mut seen = told.iter().filter(|(_, bits)| *bits < 0.0).map(|(part, _)| *part);
    let Some(first) = seen.next() else {
        return if told.is_empty() { Testimony::Untold } else { Testimony::Denied };
    };
    let last = seen.next_back().unwrap_or(first);
    let denied = || told.iter().filter(|(_, bits)| *bits > 0.0).map(|(part, _)| *part);
    if denied().any(|part| first.start < part.start && part.start < last.start) {
        // Here and there: no lattice does that.
        return Testimony::Untold;
    }
    let before = denied().rfind(|part| part.start < first.start);
    let after = denied().find(|part| part.start > last.start);
    let begin = before.map_or((0, 0), |part| cut(source, lattice, part.start..first.end(), true));
    let end =
        after.map_or((size, size), |part| cut(source, lattice, last.start..part.end(), false));
    Testimony::Seen(FoundLattice {
        lattice: *lattice,
        sure: begin.1..end.0.max(begin.1),
        possible: begin.0..end.1,
        islands: on as u64,
        looked: told.len() as u64,
        in_empty_space: false,
        same_bytes: false,
        head_end: None,
    })
}
