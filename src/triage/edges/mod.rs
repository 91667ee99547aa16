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
const DOUBT_BITS: i64 = 23;
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

    /// The same with more doubt on either side.
    #[must_use]
    pub fn widened(self, by: u64) -> Self {
        Self { at: self.at, low: self.low.saturating_sub(by), high: self.high.saturating_add(by) }
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
    // The plaintext's law comes from beyond the reach, and from the reach's own outer half.
    let model = match side {
        Side::Start => {
            low.saturating_sub(REACH).max(limit.start)..near.saturating_sub(REACH / 2).max(low)
        }
        Side::End => {
            near.saturating_add(REACH / 2).min(high)..high.saturating_add(REACH).min(limit.end)
        }
    };
    let all = low.min(model.start)..high.max(model.end);
    let bytes = read(source, all.clone())?;
    let part = |range: Range<u64>| {
        let inside = |at: u64| usize::try_from(at.checked_sub(all.start)?).ok();
        bytes.get(inside(range.start)?..inside(range.end)?)
    };
    Some(change_point(part(low..high)?, low, side, &Model::of(part(model)?)))
}

/// Compressed bytes from which their law is taken.
const PACKED_BYTES: u64 = 64 * 1024;
/// How far the tone of a block looks to either side.
const PACKED_REACH: u64 = 40 * 1024;
/// The law of compressed bytes changes from block to block of their format.
const PACKED_DOUBT: u64 = 16 * 1024;

/// The same near a boundary to compressed bytes, which fill `packed`: their values are uneven by
/// a few parts in a hundred, so the edge is known to some kilobytes at best.
#[must_use]
pub fn find_packed_edge(
    source: &dyn ReadAt,
    near: u64,
    side: Side,
    packed: &Range<u64>,
    limit: &Range<u64>,
) -> Option<Edge> {
    let (low, high, sample) = match side {
        Side::Start => (
            near.saturating_sub(2 * REACH),
            near.saturating_add(PACKED_REACH),
            near.saturating_sub(2 * REACH + PACKED_BYTES).max(packed.start)
                ..near.saturating_sub(2 * REACH),
        ),
        Side::End => (
            near.saturating_sub(PACKED_REACH),
            near.saturating_add(2 * REACH),
            near.saturating_add(2 * REACH)
                ..near.saturating_add(2 * REACH + PACKED_BYTES).min(packed.end),
        ),
    };
    if sample.end.saturating_sub(sample.start) < PACKED_BYTES / 2 {
        return None;
    }
    let low = low.max(limit.start);
    let bytes = read(source, low..high.min(limit.end))?;
    let model = Model::even(&read(source, sample)?);
    let edge = change_point(&bytes, low, side, &model);
    Some(Edge {
        at: edge.at,
        low: edge.low.saturating_sub(PACKED_DOUBT),
        high: edge.high.saturating_add(PACKED_DOUBT).min(limit.end),
    })
}

/// Whether the bytes of `range` taken together are not as even as ciphertext.
#[must_use]
pub fn is_uneven(source: &dyn ReadAt, range: &Range<u64>) -> bool {
    let Some(bytes) = read(source, range.clone()) else { return false };
    let mut counts = [0_u32; 256];
    for &byte in &bytes {
        counts[usize::from(byte)] += 1;
    }
    bytes.len() as u64 >= REACH && deviations(&counts, bytes.len()) > UNEVEN
}

/// How many deviations chi-square lies above what even bytes have.
fn deviations(counts: &[u32; 256], total: usize) -> f64 {
    let square: f64 = counts.iter().map(|&n| f64::from(n).powi(2)).sum();
    let chi = 256.0 * square / total.max(1) as f64 - total as f64;
    (chi - 255.0) / 22.6
}

/// From where on, or later, the random-like bytes of `zone` are no ciphertext: the longest tail
/// of it whose values are not even. `None` where they are even throughout.
#[must_use]
pub fn uneven_tail(source: &dyn ReadAt, zone: &Range<u64>) -> Option<Edge> {
    let bytes = read(source, zone.clone())?;
    let mut counts = [0_u32; 256];
    let (mut best, mut total) = (UNEVEN, 0);
    let mut from = None;
    for part in bytes.rchunks(REACH as usize) {
        for &byte in part {
            counts[usize::from(byte)] += 1;
        }
        total += part.len();
        let deviations = deviations(&counts, total);
        if total as u64 >= 4 * REACH && deviations > best {
            best = deviations;
            from = Some(bytes.len() - total);
        }
    }
    let from = from?;
    let model = Model::even(bytes.get(from..)?);
    let edge = change_point(&bytes, zone.start, Side::End, &model);
    Some(Edge {
        at: edge.at,
        low: edge.low.saturating_sub(PACKED_DOUBT).max(zone.start),
        high: edge.high.saturating_add(PACKED_DOUBT).min(zone.end),
    })
}

/// Ciphertext's values are uneven by so many deviations once in 10^15 times.
const UNEVEN: f64 = 9.0;

fn read(source: &dyn ReadAt, range: Range<u64>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).ok()?];
    source.read_exact_at(&mut bytes, ByteOffset(range.start)).ok()?;
    Some(bytes)
}

/// How many bits more likely each byte is as plaintext than as ciphertext, in parts of
/// [`BIT`]: whole numbers, so that sums are the same however they are made.
struct Model([i64; 256]);

/// One bit of likelihood.
const BIT: i64 = 1 << 16;

fn in_parts(bits: f32) -> i64 {
    (bits * BIT as f32) as i64
}

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
            in_parts((p * 256.0).log2())
        }))
    }
}

impl Model {
    /// Tells the sum up to each byte of `part`, from the plaintext side on, which `sum` begins.
    fn sums(&self, part: &[u8], side: Side, mut sum: i64, mut told: impl FnMut(usize, i64)) {
        let mut tell = |(index, byte): (usize, &u8)| {
            sum += self.0[usize::from(*byte)];
            told(index, sum);
        };
        match side {
            Side::Start => part.iter().enumerate().for_each(&mut tell),
            Side::End => part.iter().rev().enumerate().for_each(&mut tell),
        }
    }

    /// The law of bytes that are nearly even, so that no value stands out.
    fn even(bytes: &[u8]) -> Self {
        let mut counts = [0_u32; 256];
        for &byte in bytes {
            counts[usize::from(byte)] += 1;
        }
        let total = bytes.len() as f32 + 256.0;
        Self(std::array::from_fn(|value| {
            in_parts(((counts[value] as f32 + 1.0) / total * 256.0).log2())
        }))
    }
}

/// Bytes whose sums are looked at one by one only where their greatest says so.
const PART_BYTES: usize = 64;

fn change_point(bytes: &[u8], origin: u64, side: Side, model: &Model) -> Edge {
    let parts: Vec<&[u8]> = match side {
        Side::Start => bytes.chunks(PART_BYTES).collect(),
        Side::End => bytes.rchunks(PART_BYTES).collect(),
    };
    // The sum over the plaintext side before each part, and the greatest one within it.
    let mut sum = 0;
    let seen: Vec<(i64, i64)> = parts
        .iter()
        .map(|part| {
            let before = sum;
            let mut most = i64::MIN;
            model.sums(part, side, before, |_, within| {
                sum = within;
                most = most.max(within);
            });
            (before, most)
        })
        .collect();
    let most = seen.iter().map(|(_, most)| *most).fold(0, i64::max);
    // The first and the last cut whose sum is at least this; none of the walk's bytes before it
    // are cut 0, whose sum is nothing.
    let cuts = |least: i64, is_last: bool| -> Option<usize> {
        let reaches = |(_, most): &(i64, i64)| *most >= least;
        if !is_last && least <= 0 {
            return Some(0);
        }
        let nth = match is_last {
            true => seen.iter().rposition(reaches),
            false => seen.iter().position(reaches),
        };
        let Some(nth) = nth else { return (least <= 0).then_some(0) };
        let (part, (before, _)) = (parts.get(nth)?, seen.get(nth)?);
        let mut found = None;
        model.sums(part, side, *before, |index, within| {
            if within >= least && (is_last || found.is_none()) {
                found = Some(index);
            }
        });
        found.map(|index| nth * PART_BYTES + index + 1)
    };
    let best = cuts(most, false).unwrap_or(0);
    let least = most - DOUBT_BITS * BIT;
    let first = cuts(least, false).unwrap_or(best);
    let last = cuts(least, true).unwrap_or(best);
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
    use proptest::prelude::*;
    use vmglean_forge::damage::{Damage, Geometry};

    use super::{BIT, DOUBT_BITS, Edge, Model, Side, change_point, find_edge};

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

    /// The same sum by sum.
    fn plainly(bytes: &[u8], origin: u64, side: Side, model: &Model) -> Edge {
        let walk: Vec<u8> = match side {
            Side::Start => bytes.to_vec(),
            Side::End => bytes.iter().rev().copied().collect(),
        };
        let mut sums = vec![0];
        for byte in walk {
            sums.push(sums[sums.len() - 1] + model.0[usize::from(byte)]);
        }
        let most = *sums.iter().max().unwrap();
        let first = |least: i64| sums.iter().position(|sum| *sum >= least).unwrap();
        let last = sums.iter().rposition(|sum| *sum >= most - DOUBT_BITS * BIT).unwrap();
        let place = |cut: usize| match side {
            Side::Start => origin + cut as u64,
            Side::End => origin + (bytes.len() - cut) as u64,
        };
        let ends = [place(first(most - DOUBT_BITS * BIT)), place(last)];
        Edge { at: place(first(most)), low: ends[0].min(ends[1]), high: ends[0].max(ends[1]) }
    }

    proptest! {
        #[test]
        fn a_change_point_is_where_the_sums_say(
            left in proptest::collection::vec(0_u8..8, 0..700),
            right in proptest::collection::vec(any::<u8>(), 0..700),
            sample in proptest::collection::vec(0_u8..16, 0..300),
        ) {
            let model = Model::of(&sample);
            let bytes = [left, right].concat();
            for side in [Side::Start, Side::End] {
                let found = change_point(&bytes, 77, side, &model);
                prop_assert_eq!(found, plainly(&bytes, 77, side, &model));
            }
        }
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
