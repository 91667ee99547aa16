//! Whether dense and plain pieces alternate at one distance: ciphertext finer than blocks.
//!
//! Ciphertext of a few bytes in each period leaves no block that looks random. Cut into units of
//! 32 bytes, dense ones then lie the same distance from each other all over the disk, with plain
//! ones between. Archives, code and tables do so in one sample of fifty, and then each at a
//! distance of its own.

use std::cmp::Reverse;

/// Bytes of a unit.
const UNIT: usize = 32;
/// Units of a stretch that is judged at once: 32 KiB.
const UNITS: usize = 1024;
const WORDS: usize = UNITS / 64;
/// Distances that are tried, in units: up to 8 KiB. Longer ones leave whole random blocks.
const LAGS: usize = UNITS / 4;
/// Fewest units of a stretch.
const LEAST_UNITS: usize = UNITS / 4;
/// How much alike a stretch must be to itself at the distance, and how much less below it.
const LIKENESS: f64 = 0.6;
const DIP: f64 = 0.5;
/// So many stretches must agree on one distance, and one in so many of those that tell anything.
const LEAST_VOTES: u32 = 12;
const ONE_IN: u32 = 20;

/// Votes of stretches on the distance of their dense pieces.
#[derive(Clone, Debug)]
pub(super) struct Weave {
    votes: Vec<u32>,
    /// Stretches with dense and plain units.
    told: u32,
}

impl Default for Weave {
    fn default() -> Self {
        Self { votes: vec![0; LAGS + 2], told: 0 }
    }
}

impl Weave {
    /// Looks at one sample.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for stretch in bytes.chunks(UNIT * UNITS) {
            self.stretch(stretch);
        }
    }

    fn stretch(&mut self, bytes: &[u8]) {
        let (pieces, _) = bytes.as_chunks::<UNIT>();
        let units = pieces.len();
        let mut dense = [0u64; WORDS + 1];
        let mut count = 0u32;
        for (word, pieces) in dense.iter_mut().zip(pieces.chunks(64)) {
            for (bit, piece) in pieces.iter().enumerate() {
                *word |= u64::from(is_dense(piece)) << bit;
            }
            count += word.count_ones();
        }
        // Nearly nothing or nearly all dense tells no distance.
        let all = u32::try_from(units).unwrap_or(u32::MAX);
        if units < LEAST_UNITS || count < 4 || count > all / 50 * 49 {
            return;
        }
        self.told += 1;
        if let Some(slot) = distance(&dense, units, count).and_then(|lag| self.votes.get_mut(lag)) {
            *slot += 1;
        }
    }

    /// The distance in bytes that enough stretches agree on, and how many do.
    pub(super) fn found(&self) -> Option<(usize, u32)> {
        // Pieces that begin inside a unit are seen one unit off now and then.
        let (lag, votes) = self
            .votes
            .windows(3)
            .zip(1..)
            .map(|(near, lag)| (near.iter().sum::<u32>(), near.get(1).copied(), Reverse(lag)))
            .max()
            .map(|(votes, _, Reverse(lag))| (lag, votes))?;
        (votes >= LEAST_VOTES && votes >= self.told / ONE_IN).then_some((lag * UNIT, votes))
    }
}

/// The distance at which the units are most alike, if they are less so at all smaller ones.
fn distance(dense: &[u64; WORDS + 1], units: usize, count: u32) -> Option<usize> {
    let share = f64::from(count) / units as f64;
    let spread = share * (1.0 - share);
    let (mut lowest, mut best) = (1.0f64, None::<(usize, f64)>);
    for lag in 1..LAGS {
        let (word, bit) = (lag / 64, lag % 64);
        let shifted = dense.get(word..).unwrap_or_default();
        let both: u32 = dense
            .iter()
            .zip(shifted.windows(2))
            .map(|(here, pair)| {
                let &[low, high] = pair else { return 0 };
                let there = if bit == 0 { low } else { (low >> bit) | (high << (64 - bit)) };
                (here & there).count_ones()
            })
            .sum();
        let likeness = (f64::from(both) / (units - lag) as f64 - share * share) / spread;
        lowest = lowest.min(likeness);
        let is_better = best.is_none_or(|(_, best)| likeness > best + 0.05);
        if likeness >= LIKENESS && likeness - lowest >= DIP && is_better {
            best = Some((lag, likeness));
        }
    }
    best.map(|(lag, _)| lag)
}

/// Whether 32 bytes are as varied as random ones, which show 30.2 ± 1.2 values and have 16 ± 2.8
/// bytes above 0x7F.
fn is_dense(piece: &[u8; UNIT]) -> bool {
    let high = piece.iter().filter(|byte| **byte >= 0x80).count();
    if !(7..=25).contains(&high) {
        return false;
    }
    let mut seen = [0u64; 4];
    for byte in piece {
        if let Some(word) = seen.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }
    seen.iter().map(|word| word.count_ones()).sum::<u32>() >= 26
}

#[cfg(test)]
mod tests {
    use super::Weave;

    fn noise(length: usize, mut seed: u64) -> Vec<u8> {
        std::iter::repeat_with(|| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 24) as u8
        })
        .take(length)
        .collect()
    }

    /// 64 stretches of text with `run` random bytes in each `period`.
    fn woven(run: usize, period: usize) -> Weave {
        let mut weave = Weave::default();
        for nth in 0..64u64 {
            let mut bytes = b"lines of a log file, all of them much alike\n".repeat(800);
            bytes.truncate(32_768);
            let noise = noise(bytes.len(), nth + 1);
            for (at, byte) in bytes.iter_mut().enumerate() {
                if (at + 32_768 * nth as usize) % period < run {
                    *byte = noise[at];
                }
            }
            weave.add(&bytes);
        }
        weave
    }

    #[test]
    fn pieces_at_one_distance_are_found_with_it() {
        for (run, period) in [
            (2048, 4096),
            (512, 1024),
            (1024, 2048),
            (256, 1024),
            (64, 128),
            (64, 6400),
            (192, 1280),
        ] {
            let (distance, votes) = woven(run, period).found().unwrap();
            assert!(votes >= 48, "{run} of {period}: {votes}");
            assert_eq!(distance, period, "{run} of {period}");
        }
    }

    #[test]
    fn pieces_at_changing_distances_are_none() {
        let mut weave = Weave::default();
        for nth in 0..200usize {
            let mut bytes = b"lines of a log file, all of them much alike\n".repeat(800);
            bytes.truncate(32_768);
            let noise = noise(bytes.len(), nth as u64 + 1);
            let mut at = 0;
            while at < bytes.len() {
                let from = at + 300 + usize::from(noise[at]) * 13;
                let to = from + 300 + usize::from(noise[at + 1]) * 9;
                let part = from.min(bytes.len())..to.min(bytes.len());
                bytes[part.clone()].copy_from_slice(&noise[part]);
                at = to;
            }
            weave.add(&bytes);
        }
        assert_eq!(weave.found(), None, "{weave:?}");
    }
}
