//! Rules of known families for a disk of one size: few runs need no free numbers then.

use super::{Rule, RuleKind};
use crate::families::{Families, PatternKind, Prediction};

/// Every rule that a known family or a known switch of one would follow on `size` bytes.
#[must_use]
pub fn library(families: &Families, size: u64) -> Vec<Rule> {
    let known = families.all().iter().flat_map(|family| &family.patterns);
    let told = |kind: &PatternKind, made: Prediction| Some((is_step(kind), made));
    let mut all: Vec<(bool, Prediction)> =
        known.filter_map(|pattern| told(&pattern.kind, pattern.predict(size)?)).collect();
    let percents = (1..=19).map(|n| n * 5);
    let switches = percents
        .flat_map(|percent| {
            [
                PatternKind::AkiraSpot { percent },
                PatternKind::ContiPart { percent },
                PatternKind::RoyalPercent { percent },
            ]
        })
        .chain([
            PatternKind::AkiraTenths,
            PatternKind::EsxiArgsHundredth,
            PatternKind::HuntersFirst,
        ])
        .chain((2..=20).map(|step| PatternKind::PlayBlocks { block_bytes: 1 << 20, step }))
        .chain((2..=8).map(|parts| PatternKind::EqualParts { parts, run_bytes: 32 << 10 }));
    all.extend(switches.filter_map(|kind| told(&kind, kind.predict(size)?)));
    let mut rules: Vec<Rule> = all
        .iter()
        .filter_map(|(is_step, made)| {
            let rule = as_rule(made)?;
            Some(if *is_step { Rule { kind: RuleKind::Periodic, ..rule } } else { rule })
        })
        .collect();
    rules.sort_by_key(|r| (r.period, r.run, r.start, r.head_end, r.stop));
    rules.dedup();
    rules
}

/// Whether its runs are a fixed distance apart, however few a small disk has of them.
fn is_step(kind: &PatternKind) -> bool {
    matches!(
        kind,
        PatternKind::Periodic { .. }
            | PatternKind::PlayBlocks { .. }
            | PatternKind::RoyalPercent { .. }
    )
}

/// A prediction as head, comb and tail; `None` where it is more than that, or one run only.
#[must_use]
pub fn as_rule(prediction: &Prediction) -> Option<Rule> {
    let size = prediction.size_bytes;
    let mut combs = prediction.combs.as_slice();
    let mut rule = Rule { tail_start: size, ..Rule::comb(size, 0, 1, size) };
    if let [first, rest @ ..] = combs
        && first.count == 1
        && first.start_bytes == 0
        && !rest.is_empty()
    {
        rule.head_end = first.run_bytes.min(size);
        combs = rest;
    }
    if let [rest @ .., last] = combs
        && last.count == 1
        && last.start_bytes.saturating_add(last.run_bytes) >= size
        && !rest.is_empty()
    {
        rule.tail_start = last.start_bytes;
        combs = rest;
    }
    let [comb] = combs else { return None };
    // Runs that touch are one head, and runs below a block are not seen here.
    if comb.count < 2 || comb.step_bytes <= comb.run_bytes || comb.run_bytes < 4096 {
        return None;
    }
    rule.kind = if comb.count <= 16 { RuleKind::Chunks } else { RuleKind::Periodic };
    rule.start = comb.start_bytes;
    rule.run = comb.run_bytes;
    rule.period = comb.step_bytes;
    let last = comb.start_bytes.saturating_add(comb.step_bytes.saturating_mul(comb.count - 1));
    rule.stop = last.saturating_add(comb.run_bytes).min(size);
    Some(rule)
}
