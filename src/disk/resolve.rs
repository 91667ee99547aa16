//! Chains resolved to runs: leaf first, and only what a link leaves open goes to its parent.

use super::{
    extent::{Answer, Asker, DiskFile, DiskLink},
    run::{Resolved, ResolvedRun, RunState},
};

/// What lies under the deepest link that could be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bottom {
    /// A base disk: what it does not hold reads as zero.
    Zeros,
    /// A parent that is missing or not to be trusted: what falls through is lost.
    Lost {
        /// Why, for a reader.
        why: String,
    },
}

/// Open stretches closer together than this are asked about in one call.
const ASK_TOGETHER_BYTES: u64 = 1 << 20;

/// Runs of `from..end` read from link `first` down, at most about `max_runs` of them.
///
/// Cost is bounded by links × `max_runs`, whatever the disk's size: where one link has more to
/// say, the stretch is cut short for all.
pub(super) fn resolve(
    (links, first): (&[DiskLink], usize),
    files: &[DiskFile],
    bottom: &Bottom,
    (from, mut end): (u64, u64),
    max_runs: usize,
) -> Resolved {
    let max_runs = max_runs.max(1);
    let mut found = Resolved::default();
    let mut open: Vec<(u64, u64)> = vec![(from, end)];
    let mut deepest = u32::try_from(first).unwrap_or(u32::MAX);
    for (index, link) in links.iter().enumerate().skip(first) {
        if open.is_empty() {
            break;
        }
        deepest = u32::try_from(index).unwrap_or(u32::MAX);
        let mut asker = Asker {
            files,
            link: deepest,
            max_answers: max_runs,
            answers: Vec::new(),
            defects: Vec::new(),
        };
        let mut left = Vec::new();
        let mut group_start = 0;
        while group_start < open.len() && open[group_start].0 < end {
            let mut group_end = group_start + 1;
            while group_end < open.len()
                && open[group_end].0 - open[group_end - 1].1 < ASK_TOGETHER_BYTES
            {
                group_end += 1;
            }
            let group = &open[group_start..group_end];
            let (first, last) = (group[0].0, group[group.len() - 1].1.min(end));
            asker.answers.clear();
            let reached = asker.ask(link, first, last);
            if reached < last {
                end = reached;
            }
            overlay(group, &asker.answers, reached, &mut found.runs, &mut left);
            // A group that used up its share leaves nothing to the next ones of this link.
            if found.runs.len() >= max_runs && group_end < open.len() {
                end = end.min(open[group_end].0);
            }
            group_start = group_end;
        }
        found.defects.append(&mut asker.defects);
        open = left;
    }
    let state = match bottom {
        Bottom::Zeros => RunState::Absent,
        Bottom::Lost { .. } => RunState::Lost,
    };
    for (start, stop) in open {
        found.runs.push(ResolvedRun {
            offset: start,
            length: stop - start,
            state,
            link: deepest,
            extent: None,
            file: None,
            file_offset: 0,
            stored: 0,
            skip: 0,
        });
    }
    found.runs = tidy(std::mem::take(&mut found.runs), end, max_runs);
    found
}

/// Puts a link's answers into the open stretches: what it holds is found, the rest stays open.
fn overlay(
    open: &[(u64, u64)],
    answers: &[Answer],
    reached: u64,
    found: &mut Vec<ResolvedRun>,
    left: &mut Vec<(u64, u64)>,
) {
    let mut next = 0;
    for &(start, stop) in open {
        let stop = stop.min(reached);
        if start >= stop {
            break;
        }
        while next < answers.len() && answers[next].span().1 <= start {
            next += 1;
        }
        let mut at = next;
        while at < answers.len() {
            let (a, b) = answers[at].span();
            if a >= stop {
                break;
            }
            let (a, b) = (a.max(start), b.min(stop));
            match &answers[at] {
                Answer::Here(run) => found.push(run.clip(a, b)),
                Answer::Below { .. } => match left.last_mut() {
                    Some(last) if last.1 == a => last.1 = b,
                    _ => left.push((a, b)),
                },
            }
            at += 1;
        }
    }
}

/// In order, neighbours of one kind merged, cut at `end` and after `max_runs`.
fn tidy(mut runs: Vec<ResolvedRun>, end: u64, max_runs: usize) -> Vec<ResolvedRun> {
    runs.sort_unstable_by_key(|run| run.offset);
    let mut out: Vec<ResolvedRun> = Vec::with_capacity(runs.len().min(max_runs));
    for run in runs {
        if run.offset >= end {
            break;
        }
        let run = run.clip(run.offset, end);
        let full = out.len() == max_runs;
        match out.last_mut() {
            Some(last) if last.joins(&run) => last.length += run.length,
            _ if full => break,
            _ => out.push(run),
        }
    }
    out
}
