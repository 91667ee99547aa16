//! Numbers drawn from the samples of one disk.

use super::{
    disk::Seen,
    interval,
    verdict::{Method, Share},
    wider::Wider,
};

/// Blocks of one short pattern that say so of the data.
const LEAST_FILLED: f64 = 64.0;

/// Numbers drawn from the samples.
pub(super) struct Figures {
    /// Share of the original size that is ciphertext if the unexplained random data is.
    pub(super) share: Share,
    pub(super) zero: f64,
    pub(super) random: f64,
    pub(super) compressed: f64,
    /// One short pattern over and over.
    pub(super) filled: f64,
    /// The same, of what is not zero.
    pub(super) filled_of_data: f64,
    /// Hits that no wider look explained, extrapolated to all hits.
    pub(super) unexplained: u64,
    /// Among them short ones with other data on both sides.
    pub(super) short: u64,
    /// Hits that no wider look was taken at, or that it could not read.
    pub(super) unlooked: u64,
}

pub(super) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

pub(super) fn figures(seen: &Seen) -> Figures {
    let (mut blocks, mut zero, mut random, mut compressed) = (0.0, 0.0, 0.0, 0.0);
    let mut filled = 0.0;
    let (mut hits, mut weak_alone) = (0.0, 0.0);
    for sample in &seen.samples {
        let all = f64::from(sample.blocks).max(1.0);
        let loud = f64::from(sample.strong_blocks);
        blocks += f64::from(sample.blocks);
        zero += f64::from(sample.zero_blocks);
        filled += f64::from(sample.filled_blocks);
        compressed += f64::from(sample.compressed_blocks);
        random += loud + f64::from(sample.weak_blocks);
        if sample.is_hit() {
            let part = loud + f64::from(sample.weak_blocks);
            // One block in 1,500 of ciphertext falls outside the bounds.
            hits += if part + 1.0 >= all { 1.0 } else { part / all };
        } else {
            weak_alone += f64::from(sample.weak_blocks) / all;
        }
    }
    let (mut looked, mut open, mut short) = (0u64, 0u64, 0u64);
    for (_, wider) in &seen.wider {
        match wider {
            Wider::Explained { .. } => looked += 1,
            Wider::Unexplained { .. } => {
                looked += 1;
                open += 1;
                short += u64::from(wider.is_short());
            }
            Wider::Unreadable => {}
        }
    }
    // Hits not looked at are taken to be explained as often as the others; all of them open
    // where none could be looked at.
    let part = if looked > 0 { open as f64 / looked as f64 } else { 1.0 };
    let unexplained = (seen.hits as f64 * part).ceil() as u64;
    let data_share = ratio(seen.data_bytes as f64, seen.size as f64);
    let total = seen.samples.len() as u64;
    let open_hits = ratio(seen.hits as f64, (seen.hits + seen.owner_hits) as f64);
    // Single random-like blocks count only where ciphertext is there at all.
    let weak = if unexplained > 0 { weak_alone } else { 0.0 };
    let mut share = interval::share((hits * part * open_hits + weak).min(total as f64), total);
    if seen.method == Method::Full && seen.failures == 0 {
        share.low = share.estimate;
        share.high = share.estimate;
    }
    let scale = |value: f64| (value * data_share).clamp(0.0, 1.0);
    Figures {
        share: Share {
            estimate: scale(share.estimate),
            low: scale(share.low),
            high: scale(share.high),
        },
        zero: (1.0 - data_share) + scale(ratio(zero, blocks)),
        random: scale(ratio(random, blocks)),
        compressed: scale(ratio(compressed, blocks)),
        filled: scale(ratio(filled, blocks)),
        filled_of_data: if filled >= LEAST_FILLED { ratio(filled, blocks - zero) } else { 0.0 },
        unexplained,
        short: short.min(unexplained),
        unlooked: seen.hits.saturating_sub(looked),
    }
}
