//! Where small runs of ciphertext that no rule places could hide: varied bytes that nothing
//! proves.

use std::ops::Range;

use rayon::prelude::*;
use vmglean_formats::{ByteOffset, ReadAt};

use super::{
    Facts,
    assemble::Reasons,
    runs::{Run, State, push},
    survey::{Survey, Tone},
};
use crate::{
    finding::{EvidenceKind, Finding, Weight},
    triage::lanes::{Loose, varied},
};

/// Marked in whole blocks.
const BLOCK: u64 = 4096;
/// Bytes read at a time by one thread.
const PIECE: u64 = 4 << 20;
/// Bytes looked at; what lies behind is not called intact.
const MOST_BYTES: u64 = 1 << 40;
/// The longest window needed: more bytes tell no better.
const LONGEST_WINDOW: u64 = 512;
/// Share of the byte values that random bytes of a window hold: below, no ciphertext fills it.
const RICH: f64 = 0.8;

/// What of the intact bytes in `runs` could hold such a run, as undetermined runs.
pub(super) fn hiding(
    source: &dyn ReadAt,
    survey: &Survey,
    runs: &[Run],
    loose: &Loose,
    reasons: &mut Reasons,
) -> Vec<Run> {
    let why = reasons.add(
        EvidenceKind::Statistic,
        loose.seen.clone(),
        format!(
            "as varied as the small runs of ciphertext seen in empty space ({}, of {} to {} \
             bytes), which no rule places: one of them could lie here",
            loose.islands, loose.shortest, loose.longest
        ),
    );
    let window = usize::try_from((loose.shortest / 4 * 3).clamp(32, LONGEST_WINDOW));
    let window = window.unwrap_or(32);
    let mut left = MOST_BYTES;
    let mut pieces: Vec<(Range<u64>, bool)> = Vec::new();
    let intact = runs.iter().filter(|run| run.state == State::Intact && run.lattice.is_none());
    for run in intact {
        for piece in survey.over(&(run.start..run.end)) {
            if matches!(piece.tone, Tone::Proven | Tone::Zero | Tone::Absent) {
                continue;
            }
            let mut at = piece.start.max(run.start);
            let end = piece.end.min(run.end);
            while at < end {
                let next = (at / PIECE + 1).saturating_mul(PIECE).min(end);
                let is_looked_at = piece.tone == Tone::Plain && left >= PIECE;
                left = left.saturating_sub(if is_looked_at { next - at } else { 0 });
                pieces.push((at..next, is_looked_at));
                at = next;
            }
        }
    }
    let found: Vec<Vec<Range<u64>>> = pieces
        .into_par_iter()
        .map(|(range, is_looked_at)| match is_looked_at {
            true => varied_blocks(source, &range, window),
            false => vec![range],
        })
        .collect();
    let mut out = Vec::new();
    for range in found.into_iter().flatten() {
        push(&mut out, Run::new(range, State::Undetermined, why));
    }
    out
}

/// Blocks of `range` that a window as varied as ciphertext touches.
fn varied_blocks(source: &dyn ReadAt, range: &Range<u64>, window: usize) -> Vec<Range<u64>> {
    let reach = window as u64;
    let from = range.start.saturating_sub(reach);
    let length = range.end.saturating_add(reach).saturating_sub(from);
    let Ok(bytes) = source.read_up_to(ByteOffset(from), usize::try_from(length).unwrap_or(0))
    else {
        return vec![range.clone()];
    };
    let least = (RICH * varied(window)).ceil() as u32;
    let mut counts = [0_u16; 256];
    let mut distinct = 0_u32;
    let mut out: Vec<Range<u64>> = Vec::new();
    for (index, &byte) in bytes.iter().enumerate() {
        let count = &mut counts[usize::from(byte)];
        *count += 1;
        distinct += u32::from(*count == 1);
        let leaves = index.checked_sub(window).and_then(|before| bytes.get(before));
        if let Some(&byte) = leaves {
            let count = &mut counts[usize::from(byte)];
            *count -= 1;
            distinct -= u32::from(*count == 0);
        }
        if distinct < least {
            continue;
        }
        let end = from + index as u64 + 1;
        let start = (end.saturating_sub(reach) / BLOCK * BLOCK).max(range.start);
        let end = end.next_multiple_of(BLOCK).min(range.end);
        match out.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ if start < end => out.push(start..end),
            _ => {}
        }
    }
    out
}

/// What a person must know of it.
pub(super) fn finding(loose: &Loose, facts: &Facts) -> Finding {
    Finding {
        code: "map.small-runs".to_owned(),
        weight: Weight::Damage,
        path: facts.path.clone(),
        offset_bytes: Some(loose.seen.start),
        what: format!(
            "{} runs of {} to {} random bytes stand alone in empty space, and no rule places them: \
             others lie where nothing shows them",
            loose.islands, loose.shortest, loose.longest
        ),
        next: Some(
            "varied bytes that no checksum proves are undetermined; trust only what proves itself"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use vmglean_forge::damage::Rng;

    use super::*;

    #[test]
    fn only_blocks_that_could_hold_a_run_are_doubted() {
        let mut rng = Rng::new(9);
        let mut disk: Vec<u8> = b"of the invoice 2024-11-05 and its total "
            .iter()
            .copied()
            .cycle()
            .take(1 << 20)
            .collect();
        // The last begins a block: a window that begins in the one before is as varied.
        for at in [5_000, 70_000, 4096 * 40 - 150, 1 << 19] {
            disk[at..at + 300].iter_mut().for_each(|byte| *byte = rng.draw() as u8);
        }
        let found = varied_blocks(&disk, &(0..1 << 20), 298);
        let blocks = |first: u64, count: u64| first * 4096..(first + count) * 4096;
        assert_eq!(found, [blocks(1, 1), blocks(17, 1), blocks(39, 2), blocks(127, 2)]);
        // Half of one lies beyond: its other half is seen all the same.
        let found = varied_blocks(&disk, &(0..4096 * 40), 298);
        assert_eq!(found.last(), Some(&blocks(39, 1)));
    }
}
