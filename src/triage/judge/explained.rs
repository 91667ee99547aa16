//! What containers and volumes that their owner encrypted say of the map.

use std::ops::Range;

use super::{
    JudgeOptions,
    assemble::Reasons,
    runs::{Run, State},
    survey::{Survey, Tone},
};
use crate::{
    finding::EvidenceKind,
    triage::{
        lanes::FoundLattice,
        pattern::Rule,
        structure::{Explained, Strength},
    },
};

/// Tones that they give the pieces they hold.
pub(super) fn tones(
    owners: &[(Range<u64>, &'static str)],
    explained: &[Explained],
) -> Vec<(Range<u64>, Tone)> {
    let mut all: Vec<(Range<u64>, Tone)> =
        owners.iter().map(|(range, _)| (range.clone(), Tone::Owner)).collect();
    let outside = |at: u64| !owners.iter().any(|(range, _)| range.contains(&at));
    all.extend(explained.iter().filter(|e| outside(e.range.start)).filter_map(|e| {
        let tone = match e.strength {
            Strength::Named => Tone::Owner,
            Strength::Walked => Tone::Walked,
            Strength::Proven => Tone::Proven,
            Strength::Contradicted => return None,
        };
        Some((e.range.clone(), tone))
    }));
    all.sort_by_key(|(range, _)| range.start);
    all
}

/// Names the volumes and containers, so that each run tells its own reason.
pub(super) fn owner_runs(
    survey: &Survey,
    owners: &[(Range<u64>, &'static str)],
    explained: &[Explained],
    (options, untold): (JudgeOptions, Option<usize>),
    reasons: &mut Reasons,
) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::new();
    let mut all: Vec<(Range<u64>, Tone, String)> = owners
        .iter()
        .map(|(range, name)| (range.clone(), Tone::Owner, format!("inside a {name} volume: encrypted by its owner, and ransomware's work in it looks the same")))
        .collect();
    for one in explained {
        let (tone, text) = match one.strength {
            Strength::Named => (Tone::Owner, format!("inside {}", one.what)),
            Strength::Walked => (Tone::Walked, one.what.to_owned()),
            Strength::Proven => (Tone::Proven, one.what.to_owned()),
            Strength::Contradicted => continue,
        };
        all.push((one.range.clone(), tone, text));
    }
    all.sort_by_key(|(range, ..)| range.start);
    let doubts_plain = options.strict || untold.is_some();
    for (range, tone, text) in all {
        if tone == Tone::Proven && doubts_plain {
            let why = reasons.add(EvidenceKind::Structure, range.clone(), text);
            let start = range.start.max(out.last().map_or(0, |r| r.end));
            out.push(Run::new(start..range.end.max(start), State::Intact, why));
            continue;
        }
        let pieces: Vec<_> = survey.over(&range).iter().filter(|p| p.tone == tone).collect();
        if pieces.is_empty() {
            continue;
        }
        let why = reasons.add(EvidenceKind::Structure, range.clone(), text);
        for piece in pieces {
            let (state, why) = match (tone, untold) {
                (Tone::Walked, Some(untold)) => (State::Undetermined, untold),
                (Tone::Walked, None) if options.strict => (State::Undetermined, why),
                (Tone::Owner, _) => (State::Undetermined, why),
                _ => (State::Intact, why),
            };
            let start = piece.start.max(range.start).max(out.last().map_or(0, |r| r.end));
            let end = piece.end.min(range.end);
            if start < end {
                out.push(Run::new(start..end, state, why));
            }
        }
    }
    out
}

/// Containers whose checksum says that something inside them is damaged, where no rule places it.
/// What is empty or could not be read there stays that.
pub(super) fn contradicted(
    survey: &Survey,
    explained: &[Explained],
    rule: Option<&Rule>,
    lattice: Option<&FoundLattice>,
    size: u64,
    reasons: &mut Reasons,
) -> Vec<Run> {
    let is_placed = |range: &Range<u64>| {
        lattice.is_some_and(|l| l.possible.start < range.end && range.start < l.possible.end)
            || rule.is_some_and(|rule| {
                let hit = |run: &Range<u64>| run.start < range.end && range.start < run.end;
                rule.ranges(range.clone(), size).any(|run| hit(&run))
            })
    };
    explained
        .iter()
        .filter(|one| one.strength == Strength::Contradicted && !is_placed(&one.range))
        .flat_map(|one| {
            let why = reasons.add(EvidenceKind::Structure, one.range.clone(), one.what);
            let (start, end) = (one.range.start, one.range.end);
            let pieces = survey.over(&one.range).iter().filter(|piece| {
                !matches!(piece.tone, Tone::Zero | Tone::Absent | Tone::Unreadable)
            });
            pieces.map(move |piece| {
                let range = piece.start.max(start)..piece.end.min(end);
                Run::new(range, State::Undetermined, why)
            })
        })
        .collect()
}
