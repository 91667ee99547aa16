//! Where samples are taken: one in each equal share of the data, at a place fixed by its number.

use std::ops::Range;

use crate::source::Source;

/// More stretches of data than this are taken as one; holes between the last ones are then read.
const MAX_STRETCHES: usize = 65_536;
/// Samples start at multiples of this.
const ALIGN: u64 = 4096;

/// The stretches of a source that are no holes.
pub(super) struct Data {
    pub(super) stretches: Vec<Range<u64>>,
    pub(super) bytes: u64,
}

/// Asks the source for its stretches of data below `size`.
pub(super) fn data(source: &dyn Source, size: u64) -> Data {
    let mut stretches: Vec<Range<u64>> = Vec::new();
    let mut from = 0;
    while from < size {
        let next = match source.next_data(from) {
            Ok(Some(next)) => next.start.max(from)..next.end.min(size),
            Ok(None) => break,
            Err(_) => from..size,
        };
        // An answer that leads nowhere must not turn in a circle.
        let next = if next.start >= next.end {
            if next.start >= size {
                break;
            }
            from..size
        } else if stretches.len() + 1 >= MAX_STRETCHES {
            next.start..size
        } else {
            next
        };
        from = next.end;
        match stretches.last_mut() {
            Some(last) if last.end == next.start => last.end = next.end,
            _ => stretches.push(next),
        }
    }
    let bytes = stretches.iter().map(|stretch| stretch.end - stretch.start).sum();
    Data { stretches, bytes }
}

impl Data {
    /// Whether `count` samples of `length` cover all of it.
    pub(super) fn is_covered_by(&self, count: u32, length: u32) -> bool {
        self.bytes <= u64::from(count).saturating_mul(u64::from(length))
    }

    /// All of it, in pieces of at most `length`.
    pub(super) fn pieces(&self, length: u64) -> impl Iterator<Item = Range<u64>> {
        let length = length.max(ALIGN);
        self.stretches.iter().flat_map(move |stretch| {
            let end = stretch.end;
            (stretch.start..end)
                .step_by(usize::try_from(length).unwrap_or(usize::MAX))
                .map(move |start| start..start.saturating_add(length).min(end))
        })
    }

    /// One sample in each of `count` equal shares of the data.
    ///
    /// The place within a share looks random but follows from the share's number and the seed
    /// alone: same input, same samples, and no period of damage can hide between them.
    pub(super) fn samples(&self, count: u32, length: u64, seed: u64) -> Vec<Range<u64>> {
        let mut found = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        let mut stretches = self.stretches.iter();
        let (mut current, mut before) = (stretches.next(), 0u64);
        let wide = u128::from(self.bytes);
        for index in 0..u64::from(count) {
            let share = |i: u64| {
                u64::try_from(wide * u128::from(i) / u128::from(count)).unwrap_or(u64::MAX)
            };
            let (low, high) = (share(index), share(index + 1));
            let width = high.saturating_sub(low).max(1);
            let place = low + mix(index ^ seed.rotate_left(17)) % width;
            // `place` counts bytes of data; find the stretch that holds it.
            while let Some(stretch) = current {
                let length = stretch.end - stretch.start;
                if place < before + length {
                    break;
                }
                before += length;
                current = stretches.next();
            }
            let Some(stretch) = current else { break };
            let at = stretch.start + (place - before);
            let start = (at / ALIGN * ALIGN).max(stretch.start);
            let start = start.min(stretch.end.saturating_sub(length).max(stretch.start));
            found.push(start..start.saturating_add(length).min(stretch.end));
        }
        found
    }
}

/// SplitMix64: spreads neighbouring numbers over the whole range.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
