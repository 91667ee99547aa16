//! Which rule the damage follows: a comb, a head, a tail, all of it, a lattice.

use super::{
    Facts,
    segments::{SPARED_BYTES, Segment},
    survey::{Survey, Tone},
};
use crate::triage::{
    lanes::FoundLattice,
    pattern::{self, Rule, RuleKind, SeenRun, nice},
};

/// Block length.
const BLOCK: u64 = 4096;
/// A random-like start this long is no boot sector, partition table or file header.
const HEAD_BYTES: u64 = 8192;
/// Lockers that spare the first bytes spare so many at most where nothing else shows the attack.
const SPARED_BEFORE_HEAD: u64 = 4096;
/// A random-like stretch behind such bytes: longer than any boot loader before a partition.
const HEAD_BEHIND_SPARED: u64 = 2 << 20;
/// So much of a disk without any plaintext is taken for all of it.
const WHOLE_PER_MILLE: u64 = 995;

/// The rule over `size` bytes.
pub(super) fn find(
    survey: &Survey,
    segments: &[Segment],
    lattice: Option<&FoundLattice>,
    facts: &Facts,
    size: u64,
) -> Option<Rule> {
    if let Some(found) = lattice {
        return Some(of_lattice(found, segments, size));
    }
    if let Some(whole) = whole(survey, segments, facts, size) {
        return Some(whole);
    }
    let seen: Vec<SeenRun> = segments.iter().map(|&s| s.into()).collect();
    let comb = pattern::fit(survey, &seen, &facts.library, size);
    let head = segments.first().filter(|s| is_head(s, size));
    let Some(mut rule) = comb else {
        let head =
            head.filter(|head| facts.is_disk && size > head.end || facts.attacked.is_some())?;
        return Some(Rule {
            kind: if head.end >= size { RuleKind::Whole } else { RuleKind::Head },
            head_start: start_of(head),
            head_end: end_of(head, size),
            score: 20.0,
            ..Rule::comb(size, 0, 1, size)
        });
    };
    if let Some(head) = head.filter(|head| head.start == 0)
        && rule.head_end == 0
        && !rule.ranges(0..1, size).any(|r| r.contains(&0) && r.end + BLOCK > head.end)
    {
        rule.head_end = end_of(head, size);
    }
    // Play: the last block of the file besides every n-th.
    if let Some(tail) = segments.last().filter(|s| s.end >= size)
        && rule.tail_start >= size
        && rule.run > 0
        && rule.ranges(tail.start.saturating_sub(BLOCK)..size, size).next().is_none()
    {
        let start = size.saturating_sub(rule.run);
        if tail.first.is_some_and(|e| e.allows(start)) || tail.start.abs_diff(start) <= BLOCK {
            rule.tail_start = start;
        }
    }
    Some(rule)
}

/// A random-like start, or one behind the few bytes that some lockers spare. No volume begins
/// there: partition tables, labels and key slots take more.
fn is_head(first: &Segment, size: u64) -> bool {
    let spared = first.start > 0
        && first.start <= SPARED_BEFORE_HEAD
        && first.first.is_some()
        && first.end - first.start >= HEAD_BEHIND_SPARED;
    first.start == 0 && first.end >= HEAD_BYTES.min(size) || spared
}

fn start_of(head: &Segment) -> u64 {
    if head.start > 0 { head.first.map_or(head.start, |e| e.at) } else { 0 }
}

fn end_of(head: &Segment, size: u64) -> u64 {
    match head.any_last() {
        Some(edge) => nice::nicest(edge.low, edge.high, size).0.clamp(edge.low, edge.high),
        None => head.end,
    }
}

/// All of the disk, but perhaps for a few first bytes.
fn whole(survey: &Survey, segments: &[Segment], facts: &Facts, size: u64) -> Option<Rule> {
    facts.attacked.as_ref()?;
    let first = segments.first().filter(|s| s.start <= SPARED_BYTES)?;
    let (mut random, mut other) = (0, 0);
    for piece in survey.over(&(first.start..size)) {
        let bytes = piece.end.min(size) - piece.start.max(first.start);
        match piece.tone {
            Tone::Random | Tone::Doubtful => random += bytes,
            Tone::Unreadable => {}
            _ => other += bytes,
        }
    }
    if random * 1000 < (random + other) * WHOLE_PER_MILLE {
        return None;
    }
    Some(Rule {
        kind: RuleKind::Whole,
        head_start: start_of(first),
        head_end: size,
        score: 100.0,
        ..Rule::comb(size, 0, 1, size)
    })
}

fn of_lattice(found: &FoundLattice, segments: &[Segment], size: u64) -> Rule {
    let lattice = found.lattice;
    let phase = lattice.origin % lattice.period;
    let start = phase
        + found.possible.start.saturating_sub(phase).div_ceil(lattice.period) * lattice.period;
    let mut rule = Rule {
        kind: RuleKind::Lattice,
        score: found.islands as f64 * 5.0,
        confirmed: found.islands,
        ..Rule::comb(start, lattice.run, lattice.period, found.possible.end.min(size))
    };
    if let Some(head) = segments.first().filter(|s| s.start == 0 && s.end >= BLOCK) {
        rule.head_end = end_of(head, size);
    } else if let Some(end) = found.head_end {
        rule.head_end = end;
    }
    rule
}
