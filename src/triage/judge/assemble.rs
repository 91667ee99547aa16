//! The judgement itself: layers laid over each other.

use std::ops::Range;

use super::{
    DamageMap, Facts, JudgeOptions,
    runs::{Run, State, overlay, push},
    segments::{Segment, segments},
    survey::{Survey, Tone},
};
use crate::{
    finding::{Evidence, EvidenceKind},
    source::Source,
    triage::pattern::{self, Rule, RuleKind, SeenRun},
};

/// Block length.
const BLOCK: u64 = 4096;
/// A random-like start this long is no boot sector, partition table or file header.
const HEAD_BYTES: u64 = 8192;
/// Inward of an edge that no rule places, so much may still be compressed plaintext.
const INNER_DOUBT: u64 = 32_768;
/// Edges that no rule places are seen this exactly at best.
const OUTER_DOUBT: u64 = 64;

/// Evidence on the way to the map.
struct Reasons(Vec<Evidence>);

impl Reasons {
    fn add(&mut self, kind: EvidenceKind, range: Range<u64>, detail: impl Into<String>) -> usize {
        self.0.push(Evidence {
            kind,
            offset_bytes: range.start,
            length_bytes: range.end.saturating_sub(range.start),
            detail: detail.into(),
        });
        self.0.len() - 1
    }
}

/// Judges a disk from what the pass found; reads again only where it must look closer.
#[must_use]
pub fn judge(
    source: &dyn Source,
    survey: &Survey,
    facts: &Facts,
    options: JudgeOptions,
) -> DamageMap {
    let size = survey.size_bytes;
    let original = facts.original_bytes.unwrap_or(size).min(size);
    let mut reasons = Reasons(Vec::new());
    let proven: Vec<Range<u64>> = Vec::new();
    let segments = segments(source, survey, &proven, original);
    let seen: Vec<SeenRun> = segments.iter().map(|&s| s.into()).collect();
    let rule = find_rule(survey, &seen, facts, original);

    let mut runs = base(survey, rule.as_ref(), options, &mut reasons);
    runs = overlay(runs, edge_runs(survey, &segments, rule.as_ref(), original, &mut reasons));
    if let Some(rule) = &rule {
        runs = overlay(runs, rule_runs(survey, rule, &segments, original, &mut reasons));
    }
    if original < size {
        let why = reasons.add(
            EvidenceKind::Footer,
            original..size,
            "appended to the disk by the locker; no part of the disk",
        );
        runs = overlay(runs, vec![Run::new(original..size, State::Encrypted, why)]);
    }
    DamageMap {
        size_bytes: size,
        original_bytes: original,
        runs,
        rule,
        evidence: reasons.0,
        findings: Vec::new(),
    }
}

fn find_rule(survey: &Survey, seen: &[SeenRun], facts: &Facts, size: u64) -> Option<Rule> {
    let comb = pattern::fit(survey, seen, size);
    let first = seen.first()?;
    let headed = first.start == 0 && first.end >= HEAD_BYTES.min(size);
    let plaintext = size > first.end || facts.attacked.is_some();
    match comb {
        Some(mut rule) => {
            if headed
                && !rule.ranges(0..1, size).any(|r| r.contains(&0) && r.end + BLOCK > first.end)
                && let Some(last) = first.last
            {
                rule.head_end = last.at;
            }
            Some(rule)
        }
        None if headed && plaintext => Some(Rule {
            kind: if first.end >= size { RuleKind::Whole } else { RuleKind::Head },
            head_start: 0,
            head_end: first.last.map_or(first.end, |e| e.at),
            start: size,
            run: 0,
            period: 1,
            stop: size,
            tail_start: size,
            score: 20.0,
            confirmed: 0,
        }),
        None => None,
    }
}

/// What each piece is without any rule.
fn base(
    survey: &Survey,
    rule: Option<&Rule>,
    options: JudgeOptions,
    reasons: &mut Reasons,
) -> Vec<Run> {
    let all = 0..survey.size_bytes;
    let mut why = |kind, detail: &str| reasons.add(kind, all.clone(), detail);
    let zero = why(EvidenceKind::Statistic, "all bytes zero");
    let absent = why(EvidenceKind::Structure, "nothing allocated here; reads as zero");
    let unreadable = why(EvidenceKind::Statistic, "the medium did not give these bytes");
    let plain = why(
        EvidenceKind::Statistic,
        "byte values far from uniform (chi-square per 4 KiB above 470 or below 120; ciphertext has 255 ± 23)",
    );
    let packed = why(
        EvidenceKind::Statistic,
        "compressed: chi-squares of every 32 KiB around sum to more than ciphertext's could (1 in 10^9)",
    );
    let off_rule = why(
        EvidenceKind::Pattern,
        "off the damage rule, and not uniform over the whole run: compressed",
    );
    let unexplained = why(
        EvidenceKind::Statistic,
        "random-like (chi-square 182 to 340 per 4 KiB), and neither a structure nor a rule explains it",
    );
    let mut runs = Vec::with_capacity(survey.pieces.len());
    for piece in &survey.pieces {
        let (state, evidence) = match piece.tone {
            Tone::Absent => (State::Absent, absent),
            Tone::Zero => (State::Zero, zero),
            Tone::Unreadable => (State::Unreadable, unreadable),
            Tone::Plain => {
                (if options.strict { State::Undetermined } else { State::Intact }, plain)
            }
            Tone::Packed => {
                (if options.strict { State::Undetermined } else { State::Intact }, packed)
            }
            Tone::Doubtful if rule.is_some_and(|r| r.run > 0) && !options.strict => {
                (State::Intact, off_rule)
            }
            Tone::Doubtful | Tone::Random => (State::Undetermined, unexplained),
        };
        push(&mut runs, Run::new(piece.range(), state, evidence));
    }
    runs
}

/// Where a segment's edge lies inside a block: the ciphertext's part of the plaintext block is
/// no longer plaintext, and the other way round.
fn edge_runs(
    survey: &Survey,
    segments: &[Segment],
    rule: Option<&Rule>,
    size: u64,
    reasons: &mut Reasons,
) -> Vec<Run> {
    let all = 0..size;
    let cut = reasons.add(
        EvidenceKind::Statistic,
        all.clone(),
        "byte-level change point between plaintext and random-like bytes",
    );
    let hidden = reasons.add(
        EvidenceKind::Statistic,
        all,
        "borders on random-like bytes; the edge could lie anywhere in this block",
    );
    let mut out: Vec<Run> = Vec::new();
    let mut put = |run: Run| {
        // Two edges can meet in one block between two segments.
        let start = out.last().map_or(run.start, |last| run.start.max(last.end));
        if start < run.end {
            out.push(Run { start, ..run });
        }
    };
    for segment in segments {
        let snapped = |at: u64, low: u64, high: u64| {
            rule.and_then(|rule| {
                rule.ranges(at.saturating_sub(BLOCK)..at + BLOCK, size)
                    .flat_map(|r| [r.start, r.end])
                    .find(|edge| (low..=high).contains(edge))
            })
        };
        match segment.first {
            Some(edge) if segment.start > 0 => {
                let known =
                    snapped(edge.at, edge.low.saturating_sub(OUTER_DOUBT), edge.high + OUTER_DOUBT);
                let at = known.unwrap_or(edge.low);
                let doubt =
                    if known.is_some() { 0 } else { (edge.high - edge.low).max(OUTER_DOUBT) };
                if at < segment.start {
                    let mut run = Run::new(at..segment.start, State::Undetermined, cut);
                    run.start_doubt = doubt;
                    put(run);
                } else if at > segment.start {
                    put(Run::new(segment.start..at, State::Intact, cut));
                }
            }
            Some(_) => {}
            None => {
                let before = segment.start.saturating_sub(BLOCK);
                if survey
                    .tone_at(before)
                    .is_some_and(|t| matches!(t, Tone::Plain | Tone::Packed | Tone::Zero))
                {
                    put(Run::new(before..segment.start, State::Undetermined, hidden));
                }
            }
        }
        match segment.last {
            Some(edge) if segment.end < size => {
                let known =
                    snapped(edge.at, edge.low.saturating_sub(OUTER_DOUBT), edge.high + OUTER_DOUBT);
                let at = known.unwrap_or(edge.high);
                let doubt =
                    if known.is_some() { 0 } else { (edge.high - edge.low).max(OUTER_DOUBT) };
                if at > segment.end {
                    let mut run = Run::new(segment.end..at, State::Undetermined, cut);
                    run.end_doubt = doubt;
                    put(run);
                } else if at < segment.end {
                    put(Run::new(at..segment.end, State::Intact, cut));
                }
            }
            Some(_) => {}
            None => {
                let after = (segment.end + BLOCK).min(size);
                if survey
                    .tone_at(segment.end)
                    .is_some_and(|t| matches!(t, Tone::Plain | Tone::Packed | Tone::Zero))
                {
                    put(Run::new(segment.end..after, State::Undetermined, hidden));
                }
            }
        }
    }
    out
}

/// The rule's ranges where the disk bears them out.
fn rule_runs(
    survey: &Survey,
    rule: &Rule,
    segments: &[Segment],
    size: u64,
    reasons: &mut Reasons,
) -> Vec<Run> {
    let why = reasons.add(EvidenceKind::Pattern, 0..size, rule.to_string());
    let inward = reasons.add(
        EvidenceKind::Pattern,
        0..size,
        "end of the damage, placed by no rule: compressed plaintext could begin here",
    );
    let mut out = Vec::new();
    for range in rule.ranges(0..size, size) {
        let inner = range.start.next_multiple_of(BLOCK)..range.end / BLOCK * BLOCK;
        let mut at = range.start;
        for piece in survey.over(&range) {
            // Whole blocks that are no ciphertext stand against the rule and win; a block that
            // the rule's edge cuts is the rule's.
            let against =
                matches!(piece.tone, Tone::Plain | Tone::Zero | Tone::Absent | Tone::Unreadable);
            let (from, to) = (piece.start.max(inner.start), piece.end.min(inner.end));
            if against && from < to {
                if at < from {
                    out.push(Run::new(at..from, State::Encrypted, why));
                }
                at = to;
            }
        }
        if at < range.end {
            out.push(Run::new(at..range.end, State::Encrypted, why));
        }
        let is_head = range.start == rule.head_start && range.end == rule.head_end;
        if is_head
            && !is_round(range.end, size)
            && range.end < size
            && let Some(last) = out.last_mut()
        {
            let doubtful = range.end.saturating_sub(INNER_DOUBT).max(last.start);
            last.end = doubtful;
            let mut run = Run::new(doubtful..range.end, State::Undetermined, inward);
            let seen = segments.iter().find(|s| s.start == 0).and_then(|s| s.last);
            run.end_doubt = seen.map_or(BLOCK, |e| (e.high - e.low).max(OUTER_DOUBT));
            out.push(run);
        }
    }
    out.retain(|r| r.start < r.end);
    out
}

/// Whether lockers would choose this length.
fn is_round(at: u64, size: u64) -> bool {
    at.is_multiple_of(65_536)
        || at.is_multiple_of(100_000)
        || (1..=100)
            .any(|p| at == size / 100 * p || at == (u128::from(size) * u128::from(p) / 100) as u64)
        || (1..=16).any(|k| at == size / k || at == size >> k)
}
