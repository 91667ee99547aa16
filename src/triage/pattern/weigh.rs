//! What a rule is worth: its runs weighed one after another, its stretch cut to what the disk bears
//! out.

use super::{
    Rule,
    score::{self, Edges, Gain},
};
use crate::triage::judge::Survey;

/// Where a rule begins or stops without need costs so much.
const STRETCH_COST: f64 = 9.0;
/// A rule of the library costs so much: one of some hundreds.
const LIBRARY_COST: f64 = 5.0;
/// A region that looks random throughout where a rule wants gaps.
const HIDDEN: f64 = -8.0;
/// So much worse may a rule of the library be than such a one.
pub(super) const LIBRARY_LEAD: f64 = 16.0;

/// The best stretch of a comb's runs so far, as long as it can be without loss.
#[derive(Clone, Copy)]
struct Stretch {
    from: u64,
    to: u64,
    /// What it is worth.
    nats: f64,
    /// Runs in it with an edge that is seen.
    confirmed: u64,
    /// Runs in it that may be ciphertext.
    borne: u64,
}

/// Cuts the comb to the stretch that the disk bears out, and scores it.
pub(super) fn weigh(
    survey: &Survey,
    edges: &Edges,
    mut rule: Rule,
    most: u64,
    parameters: f64,
) -> Option<Rule> {
    let size = rule.stop;
    let runs = rule.comb_runs().min(most);
    let mut gains = Gains::new(survey, edges, &rule, runs);
    let (mut best, mut sum): (Option<Stretch>, f64) = (None, 0.0);
    let (mut from, mut confirmed, mut borne) = (0, 0, 0);
    while let Some((nth, gain)) = gains.next() {
        if sum < 0.0 {
            (sum, from, confirmed, borne) = (0.0, nth, 0, 0);
        }
        sum += gain.nats;
        confirmed += u64::from(gain.confirmed);
        borne += u64::from(gain.possible > 0);
        // Where the rule breaks off it says nothing of what lies behind.
        let here = sum - gain.gap_nats.min(0.0);
        if best.is_none_or(|best| here >= best.nats) {
            best = Some(Stretch { from, to: nth, nats: here, confirmed, borne });
        }
        // The next run begins anew, and so would all those that are contradicted alike.
        if sum < 0.0 {
            gains.skip_alike();
        }
    }
    let Stretch { from, to, nats, confirmed, borne } = best?;
    rule.confirmed = confirmed;
    if borne < 2 || rule.confirmed < 2 || rule.confirmed * 6 < borne {
        return None;
    }
    let next = (to + 1 < runs).then(|| gain_of(survey, edges, &rule, to + 1, &mut 0)).flatten();
    let last_run = rule.comb_run(to)?;
    let next_run = rule.comb_run(to + 1);
    rule.score = nats - parameters;
    // Breaking off is ordinary, beginning late is not.
    if from > 0 {
        rule.score -= STRETCH_COST;
    }
    if next.is_some() {
        rule.score -= STRETCH_COST / 2.0;
    }
    rule.stop = match (next, next_run) {
        // The next run begins as predicted and breaks off: the attack ended inside it.
        (Some(next), Some(run))
            // A run that begins unseen inside what looks random proves nothing.
            if next.possible > 0
                && score::allowing(&edges.starts, run.start).is_some()
                && next.first_contradiction.is_some_and(|at| at > run.start + 4096) =>
        {
            next.first_contradiction.unwrap_or(run.end)
        }
        (Some(_), _) => last_run.end,
        (None, _) => size,
    };
    rule.start += rule.period * from;
    Some(rule)
}

/// A rule of the library stands as it is or not at all.
pub(super) fn weigh_as_it_is(survey: &Survey, edges: &Edges, mut rule: Rule) -> Option<Rule> {
    let runs = rule.comb_runs();
    let mut sum = 0.0;
    rule.confirmed = 0;
    if rule.head_start < rule.head_end {
        let next = if rule.run > 0 { rule.start } else { rule.head_end };
        sum += score::gain(survey, edges, &(rule.head_start..rule.head_end), next, &mut 0).nats;
    }
    let mut gains = Gains::new(survey, edges, &rule, runs);
    let mut confirmed = 0;
    while let Some((nth, gain)) = gains.next() {
        sum += gain.nats;
        confirmed += u64::from(gain.confirmed);
        sum += gains.skip_alike() as f64 * score::CONTRADICTED;
        // Not even the best of ends could make it worth anything.
        if sum + (runs - nth) as f64 * score::MOST_NATS < -LIBRARY_LEAD {
            return None;
        }
    }
    rule.confirmed = confirmed;
    if rule.confirmed == 0 {
        return None;
    }
    rule.score = sum - LIBRARY_COST;
    if rule.tail_start < survey.size_bytes {
        rule.score -= STRETCH_COST / 2.0;
    }
    Some(rule)
}

/// What run number `nth` of a comb is worth by itself; `from` as in [`score::gain`].
fn gain_of(
    survey: &Survey,
    edges: &Edges,
    rule: &Rule,
    nth: u64,
    from: &mut usize,
) -> Option<Gain> {
    let run = rule.comb_run(nth)?;
    let next = (run.start + rule.period).min(survey.size_bytes).max(run.end);
    let next = if run.end >= rule.stop { run.end } else { next };
    Some(score::gain(survey, edges, &run, next, from))
}

/// A comb's runs, weighed one after another.
struct Gains<'a> {
    survey: &'a Survey,
    edges: &'a Edges,
    rule: Rule,
    runs: u64,
    nth: u64,
    from: usize,
    /// A gap that looks random speaks against the rule, but a whole region that does speaks once:
    /// it has one cause.
    was_hidden: bool,
    was_contradicted: bool,
}

impl<'a> Gains<'a> {
    fn new(survey: &'a Survey, edges: &'a Edges, rule: &Rule, runs: u64) -> Self {
        Self {
            survey,
            edges,
            rule: *rule,
            runs,
            nth: 0,
            from: 0,
            was_hidden: false,
            was_contradicted: false,
        }
    }

    /// The next run's number and worth.
    fn next(&mut self) -> Option<(u64, Gain)> {
        let nth = self.nth;
        if nth >= self.runs {
            return None;
        }
        let mut gain = gain_of(self.survey, self.edges, &self.rule, nth, &mut self.from)?;
        self.nth = nth + 1;
        if gain.is_hidden && !self.was_hidden {
            gain.nats += HIDDEN;
        }
        self.was_hidden = gain.is_hidden;
        self.was_contradicted = gain.contradicted > 0;
        Some((nth, gain))
    }

    /// Leaves out runs that are contradicted as the one before was, by the same stretch of zeros or
    /// plaintext, but for the last of them; how many.
    fn skip_alike(&mut self) -> u64 {
        // Shorter runs may hold no whole block, and are then worth nothing.
        if !self.was_contradicted || self.rule.run < 2 * score::BLOCK {
            return 0;
        }
        let Some(piece) = self.survey.pieces.get(self.from).filter(|p| p.tone.is_plain()) else {
            return 0;
        };
        let Some(run) = self.rule.comb_run(self.nth).filter(|run| run.start >= piece.start) else {
            return 0;
        };
        let Some(room) = piece.end.checked_sub(run.start + self.rule.run) else { return 0 };
        let skipped = (room / self.rule.period.max(1)).min(self.runs.saturating_sub(self.nth + 1));
        self.nth += skipped;
        skipped
    }
}
