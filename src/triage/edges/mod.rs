//! Where ciphertext begins or ends, to the byte: a change point of likelihoods.
//!
//! On one side bytes follow the law of the neighbouring plaintext, on the other they are
//! uniform. The likeliest cut is the edge; cuts nearly as likely are its uncertainty. What this
//! cannot see: plaintext that is itself random-like right at the edge. Only a pattern can then
//! place it, so callers state more uncertainty on the inner side.

use std::ops::Range;

use vmglean_formats::{ByteOffset, ReadAt};

/// Bytes looked at on either side of the block boundary.
const REACH: u64 = 4096;
/// Cuts this many bits less likely than the best are still possible (one in 8 million).
const DOUBT_BITS: f32 = 23.0;
/// Weight of "any byte" in the model of plaintext: what a stray byte costs at most.
const STRAY: f32 = 0.03;

/// Which side of the edge is ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Plaintext, then ciphertext.
    Start,
    /// Ciphertext, then plaintext.
    End,
}

/// An edge as far as bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The likeliest place: first byte of ciphertext, or first byte after it.
    pub at: u64,
    /// Every place that is not ruled out lies in here, ends included.
    pub low: u64,
    /// See `low`.
    pub high: u64,
}

impl Edge {
    /// An edge that is known.
    #[must_use]
    pub fn exact(at: u64) -> Self {
        Self { at, low: at, high: at }
    }

    /// Whether `place` is not ruled out.
    #[must_use]
    pub fn allows(&self, place: u64) -> bool {
        (self.low..=self.high).contains(&place)
    }
}

/// Finds the edge near block boundary `near`, the bytes on the plaintext side being neither
/// random-like nor unreadable. `None` where bytes cannot be had.
#[must_use]
pub fn find_edge(source: &dyn ReadAt, near: u64, side: Side, limit: &Range<u64>) -> Option<Edge> {
    let low = near.saturating_sub(REACH).max(limit.start);
    let high = near.saturating_add(REACH).min(limit.end);
    let bytes = read(source, low..high)?;
    // The plaintext's law comes from beyond the reach, and from the reach's own outer half.
    let model_range = match side {
        Side::Start => {
            low.saturating_sub(REACH).max(limit.start)..near.saturating_sub(REACH / 2).max(low)
        }
        Side::End => {
            near.saturating_add(REACH / 2).min(high)..high.saturating_add(REACH).min(limit.end)
        }
    };
    let model = Model::of(&read(source, model_range)?);
    Some(change_point(&bytes, low, side, &model))
}

fn read(source: &dyn ReadAt, range: Range<u64>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).ok()?];
    source.read_exact_at(&mut bytes, ByteOffset(range.start)).ok()?;
    Some(bytes)
}

/// How many bits more likely each byte is as plaintext than as ciphertext.
struct Model([f32; 256]);

impl Model {
    fn of(bytes: &[u8]) -> Self {
        let mut counts = [0_u32; 256];
        for &byte in bytes {
            counts[usize::from(byte)] += 1;
        }
        let total = bytes.len() as f32 + 0.5;
        // Zeros are likely in any plaintext, whatever its neighbourhood holds.
        Self(std::array::from_fn(|value| {
            let seen = (counts[value] as f32 + 0.5 / 256.0) / total;
            let zero = if value == 0 { 1.0 } else { 0.0 };
            let p = (1.0 - STRAY - 0.05) * seen + 0.05 * zero + STRAY / 256.0;
            (p * 256.0).log2()
        }))
    }
}

fn change_point(bytes: &[u8], origin: u64, side: Side, model: &Model) -> Edge {
    // Sum over the plaintext side; the cut lies before byte `index` of the walk.
    let mut sums = Vec::with_capacity(bytes.len() + 1);
    let mut sum = 0.0_f32;
    sums.push(sum);
    let step = |sum: &mut f32, byte: u8, sums: &mut Vec<f32>| {
        *sum += model.0[usize::from(byte)];
        sums.push(*sum);
    };
    match side {
        Side::Start => bytes.iter().for_each(|&b| step(&mut sum, b, &mut sums)),
        Side::End => bytes.iter().rev().for_each(|&b| step(&mut sum, b, &mut sums)),
    }
    let (best, most) = sums
        .iter()
        .enumerate()
        .fold((0, f32::MIN), |(best, most), (i, &s)| if s > most { (i, s) } else { (best, most) });
    let possible = |s: &f32| *s >= most - DOUBT_BITS;
    let first = sums.iter().position(possible).unwrap_or(best);
    let last = sums.iter().rposition(possible).unwrap_or(best);
    let place = |cut: usize| match side {
        Side::Start => origin + cut as u64,
        Side::End => origin + (bytes.len() - cut) as u64,
    };
    let (low, high) = match side {
        Side::Start => (place(first), place(last)),
        Side::End => (place(last), place(first)),
    };
    Edge { at: place(best), low, high }
}

#[cfg(test)]
mod tests {
    use vmglean_forge::damage::{Damage, Geometry};

    use super::{Side, find_edge};

    fn text(length: usize) -> Vec<u8> {
        b"The quick brown fox jumps over the lazy dog. 0123456789\n"
            .iter()
            .copied()
            .cycle()
            .take(length)
            .collect()
    }

    #[test]
    fn edges_in_text_lie_within_their_stated_uncertainty_and_mostly_exactly() {
        let (mut exact, mut far) = (0, Vec::new());
        for seed in 0..200_u64 {
            let mut data = text(1 << 16);
            let start = 16_384 + seed * 37 % 4096;
            let ranges = vec![start..start + 20_000 + seed];
            let truth = Damage::plain(Geometry::Irregular(ranges), seed).apply(&mut data);
            let run = &truth.encrypted[0];
            let limit = 0..data.len() as u64;
            let first =
                find_edge(&data, run.start.next_multiple_of(4096), Side::Start, &limit).unwrap();
            let last = find_edge(&data, run.end / 4096 * 4096, Side::End, &limit).unwrap();
            assert!(first.allows(run.start), "{seed}: {first:?} {run:?}");
            assert!(last.allows(run.end), "{seed}: {last:?} {run:?}");
            exact += usize::from(first.at == run.start) + usize::from(last.at == run.end);
            far.extend([first.at.abs_diff(run.start), last.at.abs_diff(run.end)]);
        }
        // One ciphertext byte in six is a byte of this text and moves the likeliest cut by one.
        assert!(exact > 300, "{exact} of 400");
        far.sort_unstable();
        assert_eq!(far[200], 0, "median");
        assert!(far[380] <= 64, "95 of 100 lie within 64 bytes: {far:?}");
    }

    #[test]
    fn an_edge_at_zeros_is_exact_but_for_ciphertext_zeros() {
        for seed in 0..200 {
            let mut data = vec![0; 1 << 16];
            let ranges = vec![20_000 + seed..40_000];
            let truth = Damage::plain(Geometry::Irregular(ranges), seed).apply(&mut data);
            let run = &truth.encrypted[0];
            let edge =
                find_edge(&data, run.start.next_multiple_of(4096), Side::Start, &(0..1 << 16))
                    .unwrap();
            assert!(edge.allows(run.start) && edge.high - edge.low < 24, "{edge:?} {run:?}");
        }
    }
}
