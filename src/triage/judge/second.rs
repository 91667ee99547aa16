//! Random-like bytes between a lattice's runs: a second attack's where they follow a rule of their
//! own, else content.

use std::ops::Range;

use super::{
    Facts,
    assemble::Reasons,
    runs::{Run, State, overlay},
    segments::Segment,
    survey::Survey,
};
use crate::{
    finding::EvidenceKind,
    triage::pattern::{self, Rule, SeenRun},
};

/// A second rule, free or of a known family, that the random-like segments follow.
pub(super) fn find(
    survey: &Survey,
    segments: &[Segment],
    facts: &Facts,
    size: u64,
) -> Option<Rule> {
    let seen: Vec<SeenRun> = segments.iter().map(|&s| s.into()).collect();
    pattern::fit(survey, &seen, &facts.library, size)
}

/// Calls random-like bytes inside `sure` intact, but for the segment that the disk begins with:
/// it may be the head of another layer.
pub(super) fn off_lattice(
    runs: Vec<Run>,
    survey: &Survey,
    segments: &[Segment],
    sure: &Range<u64>,
    reasons: &mut Reasons,
) -> Vec<Run> {
    let why = reasons.add(
        EvidenceKind::Pattern,
        sure.clone(),
        "random-like, off a lattice that holds here, and no second rule explains it: compressed",
    );
    let head = segments.first().filter(|s| s.start == 0).map_or(0, |s| s.end);
    let from = sure.start.max(head);
    let pieces = survey.over(&(from..sure.end)).iter();
    let clear: Vec<Run> = pieces
        .filter(|piece| piece.tone.may_be_ciphertext())
        .map(|piece| piece.start.max(from)..piece.end.min(sure.end))
        .map(|range| Run::new(range, State::Intact, why))
        .collect();
    overlay(runs, clear)
}
