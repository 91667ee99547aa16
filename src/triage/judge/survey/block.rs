//! What the window around a block says of it.

use crate::triage::measure::{BLOCK_BYTES, BLOCKS_PER_SPAN, RandomRun, WindowRecord};

/// Random-like runs at least this long within a window are judged by their summed counts.
const SUMMED_BLOCKS: u16 = 16;
/// Summed counts of ciphertext pass this once in 10^9 times.
const SUMMED_HIGH: u32 = 400 * 16;
/// Summed counts of a span of ciphertext pass this once in 2,000 times; three in a row never.
const SPAN_HIGH: u32 = 335 * 16;
/// How far back a repeated block is looked for, in blocks.
const REPEAT_REACH: usize = 16;
/// Share of zeros up to which a block counts as mixed: two runs of 11 bytes are left.
const MOST_ZEROS: f64 = 0.9945;

/// What sums over several blocks say of one.
#[derive(Clone, Copy, Default)]
pub(super) struct Summed {
    pub(super) high: bool,
    pub(super) compressed: bool,
    pub(super) repeated: bool,
}

/// Whether a random-like block has the very numbers of one shortly before it: once in thousands
/// by chance.
pub(super) fn is_repeated(window: &WindowRecord, index: usize) -> bool {
    let Some(block) = window.blocks.get(index).filter(|b| b.is_random_like()) else {
        return false;
    };
    let before = index.saturating_sub(REPEAT_REACH)..index;
    window.blocks.get(before).is_some_and(|before| before.contains(block))
}

/// Spans whose summed counts, and those of both neighbours, ciphertext could not have: an edge
/// of ciphertext lies at least a span away.
pub(super) fn compressed_spans(window: &WindowRecord) -> Vec<bool> {
    let high: Vec<bool> = window
        .spans
        .iter()
        .enumerate()
        .map(|(at, span)| {
            let first = at * BLOCKS_PER_SPAN;
            // A repeated key stream sums up as no sound one would, yet it is ciphertext.
            let repeated =
                (first..first + BLOCKS_PER_SPAN).filter(|b| is_repeated(window, *b)).count();
            span.random_blocks >= 8 && span.chi_square.sixteenths() > SPAN_HIGH && repeated < 2
        })
        .collect();
    (0..high.len())
        .map(|at| {
            let from = at.saturating_sub(1);
            at > 0
                && at + 1 < high.len()
                && high.get(from..=at + 1).is_some_and(|n| n.iter().all(|h| *h))
        })
        .collect()
}

/// Whether a block could be zeros and ciphertext in a mixture, by chi-square (in sixteenths)
/// and entropy: the share of zeros follows from one, the richness of the rest from the other.
pub(super) fn is_mixed(chi_sixteenths: u32, entropy: f64) -> bool {
    let c = f64::from(chi_sixteenths) / 16.0 / BLOCK_BYTES as f64;
    // c = 256·z² + (1 − z)²·256/255 − 1
    let z = (2.008 + (2.008_f64.powi(2) + 4.0 * 257.004 * c).sqrt()) / (2.0 * 257.004);
    if !(0.25..=MOST_ZEROS).contains(&z) {
        return false;
    }
    let split = -z * z.log2() - (1.0 - z) * (1.0 - z).log2();
    let rest = (entropy - split) / (1.0 - z);
    // The entropy of few bytes is bounded by their number.
    let bytes = (1.0 - z) * BLOCK_BYTES as f64;
    rest > 5.5_f64.min(bytes.log2() - 1.0)
}

pub(super) fn is_summed_high(run: &RandomRun, place: u16) -> bool {
    run.first_block <= place
        && run.blocks >= SUMMED_BLOCKS
        && run.chi_square.sixteenths() > SUMMED_HIGH
}

/// Entropy that fewer than 1,024 random bytes do not go below: plug-in mean less five deviations.
pub(super) fn short_bits(bytes: u64) -> f64 {
    // Below 256 bytes the plug-in estimate is nearly log2(n).
    let n = bytes.max(2) as f64;
    if n < 256.0 { n.log2() * 0.93 } else { 7.0 }
}
