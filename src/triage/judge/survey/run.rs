//! One run of random-like blocks, judged block by block.

use super::tone::Tone;

/// Blocks of one window over which chi-squares are summed.
const WINDOW_BLOCKS: usize = 8;

/// One block of the run that is still open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) chi: u32,
    pub(super) bytes: u32,
    pub(super) strict: bool,
    pub(super) summed_high: bool,
    pub(super) compressed: bool,
    pub(super) repeated: bool,
}

pub(super) fn mean_chi(open: &[Open]) -> u32 {
    let sum: u64 = open.iter().map(|b| u64::from(b.chi)).sum();
    u32::try_from(sum / (open.len().max(1) as u64)).unwrap_or(u32::MAX)
}

/// The quantile of chi-square with `degrees` degrees of freedom `z` deviations out, after
/// Wilson and Hilferty (1931), in sixteenths.
fn quantile(degrees: f64, z: f64) -> u32 {
    let a = 2.0 / (9.0 * degrees);
    let value = degrees * (1.0 - a + z * a.sqrt()).powi(3) * 16.0;
    value.max(0.0) as u32
}

pub(super) fn tones(open: &[Open]) -> Vec<Tone> {
    let width = open.len().min(WINDOW_BLOCKS);
    let degrees = 255.0 * width as f64;
    let (low, high) = (quantile(degrees, -6.2), quantile(degrees, 6.2));
    let mut random = vec![false; open.len()];
    let mut sum: u32 = open.iter().take(width).map(|b| b.chi).sum();
    for first in 0..=open.len() - width {
        if first > 0 {
            sum = sum + open[first + width - 1].chi - open[first - 1].chi;
        }
        if (low..=high).contains(&sum) {
            random[first..first + width].fill(true);
        }
    }
    let short = open.len() < WINDOW_BLOCKS;
    let near_repeated = |at: usize| {
        let near = at.saturating_sub(WINDOW_BLOCKS)..(at + WINDOW_BLOCKS).min(open.len());
        open.get(near).is_some_and(|n| n.iter().filter(|b| b.repeated).count() >= 2)
    };
    random
        .iter()
        .zip(open)
        .enumerate()
        .map(|(at, (&random, block))| match (random, block.summed_high) {
            _ if near_repeated(at) => Tone::Random,
            _ if block.compressed => Tone::Packed,
            (true, false) => Tone::Random,
            (true, true) => Tone::Doubtful,
            // A short run may be part ciphertext, part not: it proves nothing either way.
            (false, _) if short => Tone::Doubtful,
            (false, _) => Tone::Packed,
        })
        .collect()
}
