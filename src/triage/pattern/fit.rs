//! Finding the numbers: periods by vote of exact edges, the rest by residue, the winner by score.

use std::collections::HashMap;

use super::{Rule, RuleKind, score};
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
const PERIODS_TRIED: usize = 24;
/// Most edges that vote.
const MOST_VOTERS: usize = 4000;
/// How far ahead a voter looks for partners.
const PARTNERS: usize = 6;
/// What choosing a period, a phase and a length costs, in nats.
const PARAMETER_COST: f64 = 30.0;
/// A rule must beat "no rule" by this.
const ACCEPT: f64 = 12.0;
/// Most predicted runs weighed one by one.
const MOST_RUNS: u64 = 4_000_000;

/// The best comb over `size` bytes, if any beats "no rule".
#[must_use]
pub fn fit(survey: &Survey, seen: &[SeenRun], size: u64) -> Option<Rule> {
    let starts: Vec<u64> =
        seen.iter().filter_map(|r| r.first).map(|e| e.at).take(MOST_VOTERS).collect();
    let ends: Vec<u64> =
        seen.iter().filter_map(|r| r.last).map(|e| e.at).take(MOST_VOTERS).collect();
    let mut best: Option<Rule> = None;
    for period in periods(&starts, &ends) {
        for rule in combs(&starts, &ends, period, size) {
            if let Some(rule) = weigh(survey, rule, size)
                && best.as_ref().is_none_or(|b| rule.score > b.score)
            {
                best = Some(rule);
            }
        }
    }
    best.filter(|rule| rule.score > ACCEPT)
}

/// Distances of edges, the most frequent first.
fn periods(starts: &[u64], ends: &[u64]) -> Vec<u64> {
    let mut votes: HashMap<u64, u32> = HashMap::new();
    for edges in [starts, ends] {
        for (i, &a) in edges.iter().enumerate() {
            for &b in edges.iter().skip(i + 1).take(PARTNERS) {
                if b - a > 4096 {
                    *votes.entry(b - a).or_default() += 1;
                }
            }
        }
    }
    let mut order: Vec<(u64, u32)> = votes.into_iter().collect();
    order.sort_by_key(|&(period, votes)| (std::cmp::Reverse(votes), period));
    let mut all: Vec<u64> = Vec::new();
    for (period, _) in order.into_iter().take(PERIODS_TRIED) {
        for part in [1, 2, 3] {
            let one = period / part;
            if period.is_multiple_of(part) && one > 4096 && !all.contains(&one) {
                all.push(one);
            }
        }
    }
    all
}

/// The residue that most edges have; ties go to the smaller.
fn residues(edges: &[u64], period: u64) -> Vec<(u64, u32)> {
    let mut votes: HashMap<u64, u32> = HashMap::new();
    for &edge in edges {
        *votes.entry(edge % period).or_default() += 1;
    }
    let mut order: Vec<(u64, u32)> = votes.into_iter().collect();
    order.sort_by_key(|&(residue, votes)| (std::cmp::Reverse(votes), residue));
    order.truncate(3);
    order
}

fn combs(starts: &[u64], ends: &[u64], period: u64, size: u64) -> Vec<Rule> {
    let mut all = Vec::new();
    for (phase, start_votes) in residues(starts, period) {
        for (end, end_votes) in residues(ends, period) {
            if start_votes + end_votes < 3 {
                continue;
            }
            let run = (end + period - phase) % period;
            if run == 0 {
                continue;
            }
            all.push(Rule {
                kind: RuleKind::Periodic,
                head_start: 0,
                head_end: 0,
                start: phase,
                run,
                period,
                stop: size,
                tail_start: size,
                score: 0.0,
                confirmed: 0,
            });
        }
    }
    all
}

/// Cuts the comb to the stretch that the disk bears out, and scores it.
fn weigh(survey: &Survey, mut rule: Rule, size: u64) -> Option<Rule> {
    let runs = rule.comb_runs();
    if runs > MOST_RUNS {
        return None;
    }
    let gains: Vec<score::Gain> =
        score::gains(survey, (0..runs).filter_map(|nth| rule.comb_run(nth))).collect();
    // The best stretch of runs, as long as it can be without loss.
    let (mut best, mut sum, mut from) = ((0, 0, f64::MIN), 0.0, 0);
    for (nth, gain) in gains.iter().enumerate() {
        if sum < 0.0 {
            (sum, from) = (0.0, nth);
        }
        sum += gain.nats;
        if sum >= best.2 {
            best = (from, nth, sum);
        }
    }
    let (from, to, sum) = best;
    let stretch = gains.get(from..=to)?;
    rule.confirmed = stretch.iter().filter(|g| g.confirmed).count() as u64;
    rule.score = sum - PARAMETER_COST;
    let next = gains.get(to + 1);
    let last_run = rule.comb_run(to as u64)?;
    let next_run = rule.comb_run(to as u64 + 1);
    rule.stop = match (next, next_run) {
        // The next run begins as predicted and breaks off: the attack ended inside it.
        (Some(next), Some(run))
            if next.possible > 0
                && next.first_contradiction.is_some_and(|at| at > run.start + 4096) =>
        {
            next.first_contradiction.unwrap_or(run.end)
        }
        (Some(_), _) => last_run.end,
        (None, _) => size,
    };
    rule.start += rule.period * from as u64;
    Some(rule)
}
