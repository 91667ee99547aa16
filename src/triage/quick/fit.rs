//! Which family's rule the samples lie on.
//!
//! The proof of periodic damage is that random-like samples sit on the rule's runs and the others
//! beside them, over the whole disk. Only rules with several runs can be proven so: one head or
//! one whole file looks like an archive or an encrypted volume.

use super::sample::Sample;
use crate::families::{Comb, Families, Pattern, PatternKind, Prediction};

/// Weight of evidence in nats from which a rule is taken; measured margins are 146 and more.
const PROOF_NATS: f64 = 50.0;
/// Rules this close to each other cannot be told apart.
const TIE_NATS: f64 = 10.0;
/// Samples that must lie on runs, random-like all but a few.
const LEAST_ON_RUNS: u32 = 12;
/// Chance that a block on a run is not random-like (the test's own miss).
const MISS: f64 = 0.002;
/// Chance that a block beside the runs is random-like: archives in the guest.
const STRAY: f64 = 0.1;

/// A rule that the samples prove.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) family: String,
    /// Families whose rule fits as well.
    pub(super) others: Vec<String>,
    pub(super) nats: f64,
    pub(super) on_runs: u32,
    pub(super) detail: String,
}

/// The rule that fits best, if it is proven. `size` is the size before the attack.
pub(super) fn fit(samples: &[Sample], size: u64, families: &Families) -> Option<Fit> {
    let random = samples.iter().filter(|sample| sample.first_is_random).count() as f64;
    let total = samples.len() as f64;
    if total < 50.0 || random < f64::from(LEAST_ON_RUNS) {
        return None;
    }
    let base = (random / total).clamp(0.001, 0.999);
    let mut fits: Vec<Fit> = Vec::new();
    for family in families.all() {
        for pattern in &family.patterns {
            if !has_several_runs(pattern) {
                continue;
            }
            let Some(prediction) = pattern.predict(size) else { continue };
            let Some((nats, on_runs)) = weigh(samples, &prediction, base) else { continue };
            if nats < PROOF_NATS || on_runs < LEAST_ON_RUNS {
                continue;
            }
            fits.push(Fit {
                family: family.name.clone(),
                others: Vec::new(),
                nats,
                on_runs,
                detail: words(&prediction),
            });
        }
    }
    // Stable: among equals the order of the data file.
    fits.sort_by(|left, right| right.nats.total_cmp(&left.nats));
    let mut rest = fits.into_iter();
    let mut best = rest.next()?;
    for close in rest.filter(|fit| fit.nats + TIE_NATS > best.nats) {
        if close.family != best.family && !best.others.contains(&close.family) {
            best.others.push(close.family);
        }
    }
    Some(best)
}

fn has_several_runs(pattern: &Pattern) -> bool {
    match pattern.kind {
        PatternKind::Periodic { .. }
        | PatternKind::EsxiArgsHundredth
        | PatternKind::HuntersFirst
        | PatternKind::HeadThenSpread { .. }
        | PatternKind::RoyalPercent { .. }
        | PatternKind::PlayBlocks { .. }
        | PatternKind::AkiraSpot { .. }
        | PatternKind::AkiraTenths
        | PatternKind::ContiPart { .. }
        | PatternKind::EqualParts { .. } => true,
        PatternKind::Whole { .. }
        | PatternKind::Head { .. }
        | PatternKind::HeadPercent { .. }
        | PatternKind::PeriodicUnknownStep { .. }
        | PatternKind::Share { .. }
        | PatternKind::Unknown => false,
    }
}

/// Log-likelihood ratio of the rule against random-like blocks strewn evenly, and how many
/// samples lie on its runs. Blocks cut by an edge say nothing.
fn weigh(samples: &[Sample], prediction: &Prediction, base: f64) -> Option<(f64, u32)> {
    let (mut nats, mut on, mut on_random, mut beside, mut strays) = (0.0, 0u32, 0u32, 0u32, 0u32);
    for sample in samples {
        let from = sample.offset_bytes;
        let inside = prediction.contains(from);
        if inside != prediction.contains(from.saturating_add(4095)) {
            continue;
        }
        let random = sample.first_is_random;
        nats += step(inside, random, base);
        on += u32::from(inside);
        on_random += u32::from(inside && random);
        beside += u32::from(!inside && !random);
        strays += u32::from(!inside && random);
    }
    // Both sides must be there, the runs random nearly throughout, the gaps hardly.
    let holds = beside >= LEAST_ON_RUNS && on > 0 && on_random * 50 >= on * 49;
    if !holds || strays * 5 > beside + strays {
        return None;
    }
    Some((nats - one_run(samples, base).max(0.0), on_random))
}

fn step(inside: bool, random: bool, base: f64) -> f64 {
    let (chance, free) = match (inside, random) {
        (true, true) => (1.0 - MISS, base),
        (true, false) => (MISS, 1.0 - base),
        (false, true) => (STRAY, base),
        (false, false) => (1.0 - STRAY, 1.0 - base),
    };
    (chance / free).ln()
}

/// The same for the simplest rival: one run from the first random-like sample to the last, as an
/// archive or one encrypted head makes.
fn one_run(samples: &[Sample], base: f64) -> f64 {
    let first = samples.iter().position(|sample| sample.first_is_random).unwrap_or(0);
    let last = samples.iter().rposition(|sample| sample.first_is_random).unwrap_or(0);
    samples
        .iter()
        .enumerate()
        .map(|(i, sample)| step((first..=last).contains(&i), sample.first_is_random, base))
        .sum()
}

fn words(prediction: &Prediction) -> String {
    let parts: Vec<String> = prediction
        .combs
        .iter()
        .map(|comb: &Comb| {
            if comb.count == 1 {
                format!("{} bytes at {:#x}", comb.run_bytes, comb.start_bytes)
            } else {
                format!(
                    "{} bytes each {} from {:#x}",
                    comb.run_bytes, comb.step_bytes, comb.start_bytes
                )
            }
        })
        .collect();
    parts.join(", then ")
}
