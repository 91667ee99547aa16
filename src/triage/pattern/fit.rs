//! Finding the numbers: periods by vote of edges, the rest by residue, the winner by score.

use std::collections::HashMap;

use rayon::prelude::*;

use super::{
    Rule,
    nice::{cost, fractions, nicest},
    score::{self, Edges},
    weigh::{LIBRARY_LEAD, weigh, weigh_as_it_is},
};
use crate::triage::{edges::Edge, judge::Survey};

/// A random-like run with what is seen of its edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenRun {
    /// Its first byte in whole blocks.
    pub start: u64,
    /// The byte after it in whole blocks.
    pub end: u64,
    /// Its first edge; `None` where what lies before looks the same or is not known.
    pub first: Option<Edge>,
    /// Its last edge, likewise.
    pub last: Option<Edge>,
}

/// How many of the most voted periods are tried.
const PERIODS_TRIED: usize = 48;
/// Most edges that vote.
const MOST_VOTERS: usize = 1500;
/// How far ahead a voter looks for partners.
const PARTNERS: usize = 8;
/// Residues tried for one period.
const RESIDUES_TRIED: usize = 4;
/// Edges wider than this do not vote.
const WIDEST_VOTER: u64 = 256;
/// A rule must beat "no rule" by this.
const ACCEPT: f64 = 15.0;
/// A rule of the library by this.
const ACCEPT_KNOWN: f64 = 9.0;
/// Rules whose numbers differ by no more than this are one rule, seen not quite sharply.
const SAME_BYTES: u64 = 64;
/// A run that is a whole percentage of the period.
const PERCENT_COST: f64 = 7.0;
/// A comb that begins one gap behind the head.
const BEHIND_HEAD_COST: f64 = 3.0;
/// Runs that are held against the first.
const MOST_TWINS: usize = 64;
/// Most predicted runs weighed one by one.
const MOST_RUNS: u64 = 1_000_000;
/// Runs weighed at first, to see which rules are worth all.
const FIRST_RUNS: u64 = 4096;
/// Rules that are weighed in full.
const FINALISTS: usize = 12;

/// The best rule over `size` bytes, if any beats "no rule".
#[must_use]
pub fn fit(survey: &Survey, seen: &[SeenRun], library: &[Rule], size: u64) -> Option<Rule> {
    let edges = Edges::of(seen);
    let head = seen.first().filter(|s| s.start == 0).and_then(|s| s.last);
    let mut tried = twins(seen, size);
    let voters = Edges { starts: voters(&edges.starts), ends: voters(&edges.ends) };
    let periods = periods(&voters, size);
    let combs = periods.par_iter().flat_map_iter(|(period, _)| combs(&voters, *period, size));
    tried.par_extend(combs);
    let behind: Vec<Rule> = tried.iter().flat_map(|r| behind_head(r, head, size)).collect();
    tried.extend(behind);
    let mut first: Vec<Rule> = tried
        .into_par_iter()
        .filter_map(|rule| {
            weigh(survey, &edges, rule, FIRST_RUNS, parameter_cost(&rule, head, size))
        })
        .collect();
    first.sort_by(|a, b| b.score.total_cmp(&a.score));
    first.dedup_by_key(|r| (r.start % r.period.max(1), r.run, r.period));
    first.truncate(FINALISTS);
    let in_full = |rule: &Rule| {
        let fresh = Rule { start: rule.start % rule.period.max(1), stop: size, ..*rule };
        let cost = parameter_cost(&fresh, head, size);
        let made = weigh(survey, &edges, fresh, MOST_RUNS, cost);
        let moved = settled(&edges, &fresh);
        let moved = (moved != fresh)
            .then(|| weigh(survey, &edges, moved, MOST_RUNS, parameter_cost(&moved, head, size)));
        // The numbers are odd, but most edges say so.
        [made, moved.flatten().map(|r| Rule { score: r.score + 8.0, ..r })]
    };
    let weighed: Vec<[Option<Rule>; 2]> = first.par_iter().map(in_full).collect();
    let mut best: Option<Rule> = None;
    for rule in weighed.into_iter().flatten() {
        consider(&mut best, rule);
    }
    let free = best;
    let known: Vec<Rule> = library
        .par_iter()
        .filter(|rule| rule.comb_runs() <= MOST_RUNS)
        .filter_map(|rule| weigh_as_it_is(survey, &edges, *rule))
        .collect();
    for rule in known {
        let lead = free.filter(|free| is_nearly(&rule, free));
        let score = rule.score + lead.map_or(0.0, |_| LIBRARY_LEAD);
        consider(&mut best, Some(Rule { score, ..rule }));
    }
    // A rule of the library has nothing that could be bent to fit.
    best.filter(|rule| {
        let known = library.iter().any(|l| (l.run, l.period) == (rule.run, rule.period));
        rule.score > if known { ACCEPT_KNOWN } else { ACCEPT }
    })
}

/// Whether both place their runs within some bytes of each other.
fn is_nearly(a: &Rule, b: &Rule) -> bool {
    let phase = a.start.abs_diff(b.start) % a.period.max(1);
    a.run.abs_diff(b.run) <= SAME_BYTES
        && a.period.abs_diff(b.period) <= SAME_BYTES
        && (phase <= SAME_BYTES || a.period - phase <= SAME_BYTES)
}

fn consider(best: &mut Option<Rule>, rule: Option<Rule>) {
    if let Some(rule) = rule
        && best.as_ref().is_none_or(|b| rule.score > b.score)
    {
        *best = Some(rule);
    }
}

fn parameter_cost(rule: &Rule, head: Option<Edge>, size: u64) -> f64 {
    // One gap behind a head is no number of its own.
    let phase = rule.start % rule.period.max(1);
    let is_behind = behind_head(rule, head, size).any(|behind| behind.start == phase);
    let start = cost(rule.start, size);
    let start = if is_behind { start.min(BEHIND_HEAD_COST) } else { start };
    let run = cost(rule.run, size);
    let is_percent = percent(rule.period, rule.run, rule.run).is_some();
    let run = if is_percent { run.min(PERCENT_COST) } else { run };
    cost(rule.period, size) + run + start
}

/// A whole percentage of `period` in `low..=high`, rounded down as programs do.
fn percent(period: u64, low: u64, high: u64) -> Option<u64> {
    let percent = (u128::from(low) * 100).div_ceil(u128::from(period.max(1)));
    let value = u64::try_from(u128::from(period) * percent / 100).ok()?;
    (low..=high).contains(&value).then_some(value).filter(|value| *value > 0)
}

/// The same comb beginning one gap behind the head, for each number that its end could be.
fn behind_head(rule: &Rule, head: Option<Edge>, size: u64) -> impl Iterator<Item = Rule> {
    let rule = *rule;
    let ends = head.into_iter().flat_map(move |head| {
        let round = nicest(head.low, head.high, size).0;
        std::iter::once(round).chain(fractions(head.low, head.high, size))
    });
    ends.filter_map(move |end| {
        let gap = rule.period.checked_sub(rule.run)?;
        let start = end.checked_add(gap)?.checked_rem(rule.period)?;
        Some(Rule { start, ..rule })
    })
}

/// Combs from the disk's first byte on whose second run is as long as the first: with two runs
/// there is no distance between equal edges to vote for.
fn twins(seen: &[SeenRun], size: u64) -> Vec<Rule> {
    let [first, rest @ ..] = seen else { return Vec::new() };
    let Some(end) = first.last.filter(|_| first.start == 0) else { return Vec::new() };
    let mut all = Vec::new();
    for run in rest.iter().take(MOST_TWINS) {
        let (Some(from), Some(to)) = (run.first, run.last) else { continue };
        let low = end.low.max(to.low.saturating_sub(from.high));
        let high = end.high.min(to.high.saturating_sub(from.low));
        let period = nicest(from.low, from.high, size).0;
        if low <= high && period > 4096 {
            let length = nicest(low, high, size).0;
            if length >= 4096 && length < period {
                all.push(Rule::comb(0, length, period, size));
            }
        }
    }
    all
}

/// Edges that vote, few where there are many.
fn voters(all: &[Edge]) -> Vec<Edge> {
    let fine: Vec<Edge> =
        all.iter().filter(|e| e.high - e.low <= WIDEST_VOTER && e.at > 0).copied().collect();
    // Neighbours vote together, so they are taken in stretches.
    let step = fine.len().div_ceil(MOST_VOTERS).max(1);
    fine.chunks(32 * step).flat_map(|part| part.iter().take(32)).copied().collect()
}

/// Distances of edges that vote, the most frequent first.
fn periods(voters: &Edges, size: u64) -> Vec<(u64, u32)> {
    let mut votes: HashMap<u64, u32> = HashMap::new();
    for all in [&voters.starts, &voters.ends] {
        let partners = if all.len() < 60 { all.len() } else { PARTNERS };
        let parts = if all.len() < 60 { 6 } else { 2 };
        for (i, a) in all.iter().enumerate() {
            for b in all.iter().skip(i + 1).take(partners) {
                let (low, high) = (b.low.saturating_sub(a.high), b.high.saturating_sub(a.low));
                for part in 1..=parts {
                    let exact = b.at - a.at;
                    if exact / part > 4096 {
                        let (nice, _) = nicest(low.div_ceil(part), high / part, size);
                        *votes.entry(nice).or_default() += 2;
                        if exact.is_multiple_of(part) && nice != exact / part {
                            *votes.entry(exact / part).or_default() += 2;
                        }
                    }
                }
            }
        }
    }
    votes.retain(|&period, _| period > 4096);
    let mut order: Vec<(u64, u32)> = votes.into_iter().collect();
    // A round number is worth some votes.
    let weight = |&(period, votes): &(u64, u32)| {
        (f64::from(votes) * 100.0 - cost(period, size) * 10.0) as i64
    };
    order.sort_by_key(|one| (std::cmp::Reverse(weight(one)), one.0));
    order.truncate(PERIODS_TRIED);
    order
}

/// A residue and the values round it that its narrowest edge allows.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Residue {
    at: u64,
    low: u64,
    high: u64,
}

/// Residues that most edges allow, the most frequent ones.
fn residues(edges: &[Edge], period: u64, size: u64) -> Vec<Residue> {
    let mut votes: HashMap<u64, (u32, Residue)> = HashMap::new();
    for edge in edges {
        let at = edge.at % period;
        let below = edge.at - at;
        let (low, high) = (edge.low.saturating_sub(below), edge.high - below.min(edge.high));
        let seen = Residue { at, low, high };
        let mut vote = |value: u64| {
            let entry = votes.entry(value).or_insert((0, Residue { at: value, ..seen }));
            entry.0 += 1;
            if high - low < entry.1.high - entry.1.low {
                (entry.1.low, entry.1.high) = (low, high);
            }
        };
        vote(at);
        let (nice, _) = nicest(low, high, size);
        if nice != at && nice < period {
            vote(nice);
        }
        if edge.high / period != edge.low / period && at != 0 {
            vote(0);
        }
    }
    let mut order: Vec<(u32, Residue)> = votes.into_values().collect();
    order.sort_by_key(|&(votes, residue)| (std::cmp::Reverse(votes), residue.at));
    order.truncate(RESIDUES_TRIED);
    order.into_iter().map(|(_, residue)| residue).collect()
}

/// Combs of this period that edges vote for.
fn combs(voters: &Edges, period: u64, size: u64) -> Vec<Rule> {
    let mut phases = residues(&voters.starts, period, size);
    if phases.iter().all(|p| p.at != 0) {
        phases.push(Residue { at: 0, low: 0, high: 0 });
    }
    let mut all = Vec::new();
    for end in residues(&voters.ends, period, size) {
        for phase in &phases {
            let wrapped = |value: u64| (value + period - phase.at) % period;
            let exact = wrapped(end.at);
            let (low, high) = (wrapped(end.low), wrapped(end.high));
            let round = if low <= high { nicest(low, high, size).0 } else { exact };
            // The other way round: a round length, and the phase that goes with it.
            for run in [Some(exact), Some(round), percent(period, low, high)].into_iter().flatten()
            {
                if run >= 4096 && run < period {
                    all.push(Rule::comb(phase.at, run, period, size));
                }
            }
            let widest = wrapped(end.at + phase.at.saturating_sub(phase.low));
            let narrowest = wrapped(end.at.saturating_sub(phase.high.saturating_sub(phase.at)));
            if narrowest <= widest {
                let run = nicest(narrowest, widest, size).0;
                let start = (end.at + period - run % period) % period;
                if run >= 4096 && run < period {
                    all.push(Rule::comb(start, run, period, size));
                }
            }
        }
    }
    all.sort_by_key(|r| (r.start, r.run));
    all.dedup();
    all
}

/// Moves both edges of the comb to where most of the edges that it explains are likeliest: one
/// edge leaves a few bytes open, many together do not.
fn settled(edges: &Edges, rule: &Rule) -> Rule {
    let shift = |all: &[Edge], at: &dyn Fn(std::ops::Range<u64>) -> u64| -> i64 {
        let mut votes: HashMap<i64, u32> = HashMap::new();
        let (mut allowed, mut all_seen) = (0, 0);
        for run in (0..rule.comb_runs().min(FIRST_RUNS)).filter_map(|nth| rule.comb_run(nth)) {
            let place = at(run);
            if place > 0
                && let Some(edge) = score::near(all, place)
                && edge.at.abs_diff(place) <= 64
                && edge.high - edge.low <= WIDEST_VOTER
            {
                *votes.entry(edge.at.cast_signed() - place.cast_signed()).or_default() += 1;
                allowed += u32::from(edge.allows(place));
                all_seen += 1;
            }
        }
        // Equal plaintext at every edge shifts all of them alike: a round number that nearly all
        // edges allow stands.
        let place = rule.comb_run(0).map_or(1, at);
        let sharp = [4096, 65_535, 100_000].iter().any(|u| place.is_multiple_of(*u));
        if sharp && allowed * 10 >= all_seen * 9 {
            return 0;
        }
        let here = votes.get(&0).copied().unwrap_or(0);
        let best =
            votes.into_iter().max_by_key(|&(by, votes)| (votes, std::cmp::Reverse(by.abs())));
        best.filter(|&(_, votes)| votes > here + 2).map_or(0, |(by, _)| by)
    };
    let first = shift(&edges.starts, &|run| run.start);
    let last = shift(&edges.ends, &|run| run.end);
    let mut moved = *rule;
    if let Some(start) = rule.start.checked_add_signed(first) {
        moved.start = start;
        moved.run = rule.run.saturating_add_signed(last - first);
    }
    if moved.run >= 4096 && moved.run < moved.period { moved } else { *rule }
}
