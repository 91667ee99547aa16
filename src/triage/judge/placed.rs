//! Runs that a rule places.

use std::ops::Range;

use vmglean_formats::ReadAt;

use super::{
    assemble::Reasons,
    edge::OUTER_DOUBT,
    runs::{Run, State},
    segments::Segment,
    survey::{Survey, Tone},
};
use crate::{
    finding::EvidenceKind,
    triage::{
        edges::{self, Edge},
        lanes::FoundLattice,
        pattern::{self, Rule, nice},
    },
};

/// Block length.
const BLOCK: u64 = 4096;
/// Inward of an edge that no rule places, compressed plaintext of known kinds is looked for.
const INNER_REACH: u64 = 2 << 20;
/// Inward of what is found there, so much may still be plaintext that looks as ciphertext does.
const INNER_DOUBT: u64 = 256 << 10;

/// The rule's ranges where the disk bears them out. Where a known family's rule `is_known`, its
/// stop is one of its numbers.
pub(super) fn rule_runs(
    source: &dyn ReadAt,
    survey: &Survey,
    (rule, is_known): (&Rule, bool),
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
    let open = reasons.add(
        EvidenceKind::Pattern,
        0..size,
        "at an edge of the rule: other numbers a few bytes off explain what is seen as well",
    );
    let unseen = reasons.add(
        EvidenceKind::Pattern,
        0..size,
        "the rule goes on, but all round looks random too: whether it was carried out here, nothing shows",
    );
    let slack = Slack::of(rule, segments);
    let seen_to = seen_to(rule, segments);
    let mut out: Vec<Run> = Vec::new();
    for range in rule.ranges(0..size, size) {
        let from = out.len();
        // The comb's last tooth, cut by the disk's end to less than a block: whether the program
        // still set it, nothing tells.
        if range.end == size && range.end - range.start < BLOCK && range.start > 0 {
            out.push(Run::new(range.clone(), State::Undetermined, inward));
            continue;
        }
        if rule.run > 0 && range.start >= seen_to.max(rule.head_end) && is_hidden(survey, &range) {
            out.push(Run::new(range.clone(), State::Undetermined, unseen));
            continue;
        }
        // The rule stops before the disk does, at a run whose end nothing shows: it may have been
        // cut anywhere.
        if rule.run > 0
            && !is_known
            && range.end == rule.stop
            && range.end < size
            && range.start > rule.head_end
            && is_hidden(survey, &(range.end..range.end))
        {
            out.push(Run::new(range.clone(), State::Undetermined, inward));
            continue;
        }
        let [before, after, inside, beyond] = slack.round(rule, &range, size);
        let first = out.last().map_or(0, |last| last.end).max(before);
        out.push(Run::new(first..after.max(first), State::Undetermined, open));
        borne(survey, &(after.max(first)..inside.max(after.max(first))), why, &mut out);
        let end = out.last().map_or(inside, |last| last.end.max(inside));
        out.push(Run::new(end.min(beyond)..beyond, State::Undetermined, open));
        out.retain(|r| r.start < r.end);
        let is_head = rule.head_end > rule.head_start && range.end == rule.head_end;
        let is_broken_off =
            range.end == rule.stop && range.end < size && !is_comb_end(rule, range.end);
        if out.len() > from && range.end < size && (is_broken_off || is_head) {
            // Files end where clusters do, so a whole number of clusters proves little.
            let round = is_head
                && if range.end.is_multiple_of(BLOCK) {
                    nice::first_very_round(range.end, range.end, size).is_some()
                } else {
                    nice::is_round(range.end, size)
                };
            // Numbers that no other one near could stand for.
            let sharp = range.end.is_multiple_of(1 << 20)
                || range.end.is_multiple_of(100_000) && !range.end.is_multiple_of(BLOCK);
            if !(is_head && sharp && is_seen(segments, range.end)) {
                loose_end(source, segments, &range, (inward, round), size, &mut out);
            }
        }
        if is_head && range.start > 0 {
            loose_start(segments, &range, inward, &mut out, from);
        }
    }
    out.retain(|r| r.start < r.end);
    out
}

/// How far the comb's edges could lie elsewhere, all of them together: before and after the
/// starts, before and after the ends.
struct Slack {
    starts: (u64, u64),
    ends: (u64, u64),
}

impl Slack {
    fn of(rule: &Rule, segments: &[Segment]) -> Self {
        let sharp = |at: u64| [4096, 65_535, 100_000].iter().any(|unit| at.is_multiple_of(*unit));
        let runs = || (0..rule.comb_runs().min(4096)).filter_map(|nth| rule.comb_run(nth));
        let together = |at: &dyn Fn(&Range<u64>) -> u64, is_start: bool| {
            let mut most: Option<(u64, u64)> = None;
            for place in runs().map(|run| at(&run)).filter(|at| *at > 0) {
                let from = segments.partition_point(|s| s.end + 2 * BLOCK < place);
                let near = segments.iter().skip(from).take_while(|s| s.start <= place + 2 * BLOCK);
                let edges = near.filter_map(|s| if is_start { s.first } else { s.last });
                if let Some(edge) = edges.clone().find(|e| e.allows(place)) {
                    let (below, above) = most.unwrap_or((u64::MAX, u64::MAX));
                    most = Some((below.min(place - edge.low), above.min(edge.high - place)));
                }
            }
            most.unwrap_or((OUTER_DOUBT, OUTER_DOUBT))
        };
        let none = (0, 0);
        Self {
            starts: if sharp(rule.start) { none } else { together(&|run| run.start, true) },
            ends: if sharp(rule.start) && sharp(rule.run) {
                none
            } else {
                together(&|run| run.end, false)
            },
        }
    }

    /// Where `range` could begin first and last, and where it could end first and last.
    fn round(&self, rule: &Rule, range: &Range<u64>, size: u64) -> [u64; 4] {
        let phase = |at: u64| {
            rule.run > 0 && at >= rule.start && (at - rule.start).is_multiple_of(rule.period.max(1))
        };
        let (before, after) = if phase(range.start) { self.starts } else { (0, 0) };
        let (inside, beyond) =
            if range.end < size && is_comb_end(rule, range.end) { self.ends } else { (0, 0) };
        [
            range.start.saturating_sub(before),
            (range.start + after).min(range.end),
            range.end.saturating_sub(inside).max(range.start),
            (range.end + beyond).min(size),
        ]
    }
}

/// Where the last run ends that an edge confirms.
fn seen_to(rule: &Rule, segments: &[Segment]) -> u64 {
    let edges = |is_start: bool| {
        segments.iter().filter_map(move |s| if is_start { s.first } else { s.last })
    };
    let on = |edge: &Edge, offset: u64| {
        let Some(low) = edge.low.checked_sub(rule.start + offset) else { return false };
        let next = low.next_multiple_of(rule.period.max(1)) + rule.start + offset;
        edge.allows(next) && next <= rule.stop
    };
    let starts = edges(true).filter(|e| on(e, 0)).map(|e| e.high.saturating_add(rule.run));
    let ends = edges(false).filter(|e| on(e, rule.run)).map(|e| e.high);
    starts.chain(ends).max().unwrap_or(0)
}

/// Whether no byte round this range could show an edge.
fn is_hidden(survey: &Survey, range: &Range<u64>) -> bool {
    let around = range.start.saturating_sub(4 * BLOCK)..range.end.saturating_add(4 * BLOCK);
    survey.over(&around).iter().all(|piece| {
        matches!(piece.tone, Tone::Random | Tone::Doubtful | Tone::Owner | Tone::Unreadable)
    })
}

/// Whether a narrow edge was seen here.
fn is_seen(segments: &[Segment], at: u64) -> bool {
    let edges = segments.iter().filter_map(|s| s.last);
    edges.filter(|e| e.high - e.low < 512).any(|e| e.allows(at))
}

/// Whether one of the comb's runs ends here by itself.
fn is_comb_end(rule: &Rule, at: u64) -> bool {
    rule.run > 0
        && at >= rule.start + rule.run
        && (at - rule.start - rule.run).is_multiple_of(rule.period.max(1))
}

/// Whole blocks that are no ciphertext stand against the rule and win; a block that the rule's
/// edge cuts is the rule's.
fn borne(survey: &Survey, range: &Range<u64>, why: usize, out: &mut Vec<Run>) {
    let inner = range.start.next_multiple_of(BLOCK)..range.end / BLOCK * BLOCK;
    let mut at = range.start;
    for piece in survey.over(range) {
        let against = matches!(
            piece.tone,
            Tone::Plain | Tone::Zero | Tone::Absent | Tone::Unreadable | Tone::Proven
        );
        let (from, to) = (piece.start.max(inner.start), piece.end.min(inner.end));
        // A long chain of short parts would not have survived.
        let against = against
            || piece.tone == Tone::Walked && to.saturating_sub(from) >= pattern::LONGEST_HIDDEN;
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
}

/// The last run's end, where no number places it: undetermined inward and round the edge seen.
fn loose_end(
    source: &dyn ReadAt,
    segments: &[Segment],
    range: &Range<u64>,
    (inward, round): (usize, bool),
    size: u64,
    out: &mut Vec<Run>,
) {
    let Some(last) = out.last_mut() else { return };
    let segment = segments.iter().find(|s| s.start < last.end && last.end <= s.end + BLOCK);
    let edge = segment.and_then(Segment::any_last);
    // A wide edge allows some round number everywhere.
    let is_soft = segment.is_some_and(|s| s.last.is_none());
    let round = round && (!is_soft || nice::first_very_round(range.end, range.end, size).is_some());
    let end = edge.map_or(last.end, |e| e.high + if round { 0 } else { OUTER_DOUBT }).min(size);
    let low = edge.map_or(last.end, |e| e.low).min(last.end);
    let doubtful = if round {
        low
    } else {
        // Plaintext that looks the same may begin at any number a program would choose.
        let reach = low.saturating_sub(INNER_REACH).max(last.start);
        let low = edges::uneven_tail(source, &(reach..low)).map_or(low, |tail| tail.low);
        let within = low.saturating_sub(INNER_DOUBT);
        nice::first_very_round(within, low, size).unwrap_or(within)
    }
    .max(last.start);
    last.end = doubtful;
    if doubtful < end.max(range.end) {
        out.push(Run::new(doubtful..end.max(doubtful), State::Undetermined, inward));
    }
}

/// The start of a head that spares the first bytes.
fn loose_start(
    segments: &[Segment],
    range: &Range<u64>,
    inward: usize,
    out: &mut Vec<Run>,
    from: usize,
) {
    let edge = segments.first().and_then(|s| s.first);
    let (low, high) = edge.map_or((range.start, range.start), |e| (e.low, e.high));
    if let Some(first) = out.get_mut(from)
        && first.start < high + OUTER_DOUBT
        && first.end > high + OUTER_DOUBT
    {
        first.start = high + OUTER_DOUBT;
        let run =
            Run::new(low.saturating_sub(OUTER_DOUBT)..first.start, State::Undetermined, inward);
        out.insert(from, run);
    }
}

/// The head before a lattice, where the lattice's own bytes stand in it again and again.
pub(super) fn repeated_head(found: &FoundLattice, reasons: &mut Reasons) -> Vec<Run> {
    let Some(end) = found.head_end else { return Vec::new() };
    let why = reasons.add(
        EvidenceKind::Pattern,
        0..end,
        "the bytes that the lattice holds stand here one after another: a head of the same key stream",
    );
    vec![Run::new(0..end, State::Encrypted, why)]
}

/// Lays a lattice over what is known of the bytes between its runs.
pub(super) fn with_lattice(
    runs: Vec<Run>,
    found: &FoundLattice,
    reasons: &mut Reasons,
    size: u64,
) -> Vec<Run> {
    let lattice = found.lattice;
    let why = reasons.add(
        EvidenceKind::Pattern,
        found.sure.clone(),
        format!(
            "{} bytes of every {}, seen {} {} ({} looked at){}",
            lattice.run,
            lattice.period,
            if found.in_empty_space {
                "as islands in empty space:"
            } else {
                "to break the law of the bytes round them in stretches of 64 KiB:"
            },
            found.islands,
            found.looked,
            if found.same_bytes { "; all hold the same bytes" } else { "" }
        ),
    );
    let loose = reasons.add(
        EvidenceKind::Pattern,
        found.possible.clone(),
        "between the last sight of the lattice and the first empty space without it",
    );
    let before = reasons.add(
        EvidenceKind::Pattern,
        0..lattice.origin % lattice.period,
        "before the first run of the lattice; whether a head was encrypted, nothing tells",
    );
    let first = if found.possible.start == 0 { lattice.origin % lattice.period } else { 0 };
    let mut out = Vec::with_capacity(runs.len());
    let mut cuts = [
        first,
        found.possible.start,
        found.sure.start,
        found.sure.end,
        found.possible.end.min(size),
    ];
    cuts.sort_unstable();
    for run in runs {
        let mut at = run.start;
        for cut in cuts.into_iter().chain([run.end]) {
            let end = cut.min(run.end);
            if end <= at {
                continue;
            }
            let middle = at..end;
            let mut part = Run { start: at, end, ..run.clone() };
            part.start_doubt = if at == run.start { run.start_doubt } else { 0 };
            part.end_doubt = if end == run.end { run.end_doubt } else { 0 };
            let open = matches!(part.state, State::Intact | State::Undetermined);
            if middle.end <= first {
                if open || matches!(part.state, State::Zero) {
                    part.state = State::Undetermined;
                    part.evidence = before;
                }
            } else if middle.start >= found.sure.start && middle.end <= found.sure.end {
                if open {
                    part.lattice = Some(lattice);
                    part.evidence = why;
                }
            } else if middle.start >= found.possible.start
                && middle.end <= found.possible.end
                && open
            {
                part.state = State::Undetermined;
                part.evidence = loose;
            }
            super::runs::push(&mut out, part);
            at = end;
        }
    }
    out
}
