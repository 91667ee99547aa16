//! Dense stretches of a few dozen bytes in blocks that are else zero, all samples together.

use std::collections::HashMap;

use crate::triage::measure::{ByteHistogram, Island};

/// Fewest bytes that say whether they are even.
const LEAST_BYTES: u64 = 600;
/// Islands whose bytes are kept, to see whether all are one and the same.
const KEPT: usize = 256;
/// Chi-square below which bytes are as even as ciphertext; text is in the thousands.
const EVEN: f64 = 420.0;
/// Or this little for each byte, where there are many.
const EVEN_A_BYTE: f64 = 0.1;
/// Distances that are told apart.
const DISTANCES: usize = 4096;

/// What islands hold, and how far they lie from each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Islands {
    sum: ByteHistogram,
    kept: Vec<Vec<u8>>,
    distances: HashMap<u32, u32>,
    pairs: u32,
}

impl Islands {
    /// Adds the islands of a window of these bytes.
    pub(super) fn add(&mut self, bytes: &[u8], islands: &[Island]) {
        for island in islands {
            let from = usize::try_from(island.offset_bytes).unwrap_or(usize::MAX);
            let to = from.saturating_add(usize::from(island.length_bytes));
            let Some(part) = bytes.get(from..to) else { continue };
            // Both ends are non-zero by the way islands are cut; the inside is not chosen. Zeros
            // in between may be those that the stretch lies in.
            for piece in part.split(|byte| *byte == 0).filter(|piece| piece.len() >= 8) {
                self.sum.add(piece);
            }
            if self.kept.len() < KEPT {
                self.kept.push(part.to_vec());
            }
        }
        for pair in islands.windows(2) {
            let &[first, second] = pair else { continue };
            let distance = second.offset_bytes.saturating_sub(first.offset_bytes);
            self.pairs += 1;
            if self.distances.len() < DISTANCES || self.distances.contains_key(&distance) {
                *self.distances.entry(distance).or_default() += 1;
            }
        }
    }

    /// Whether they are ciphertext: as even as random bytes or all the same rich value, and one
    /// distance apart. Small files of text or tables are neither.
    pub(super) fn look_encrypted(&self) -> bool {
        let most = self.distances.values().copied().max().unwrap_or(0);
        (self.are_even() || self.are_same()) && most >= self.pairs / 3
    }

    fn are_even(&self) -> bool {
        // No zero is counted, so of 256 values 255 share the bytes.
        let total = self.sum.total();
        let chi = self.sum.chi_square().value() - total as f64 / 255.0;
        total >= LEAST_BYTES && (chi < EVEN || chi / (total as f64) < EVEN_A_BYTE)
    }

    fn are_same(&self) -> bool {
        let mut votes: HashMap<&[u8], usize> = HashMap::new();
        for bytes in &self.kept {
            *votes.entry(bytes).or_default() += 1;
        }
        votes.into_iter().any(|(value, count)| {
            let mut seen = value.to_vec();
            seen.sort_unstable();
            seen.dedup();
            count * 2 > self.kept.len() && seen.len() * 4 >= value.len().min(200) * 3
        })
    }
}
