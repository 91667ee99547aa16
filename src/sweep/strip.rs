//! Where along a disk what lies, in the letters of the record: its map, made small.

use crate::{
    map::Mapped,
    triage::judge::{Run, State},
};

/// Letters of a disk's strip: enough for a picture of 128 by 32.
const LETTERS: u64 = 4096;
/// A letter stands for so many bytes at least.
const LEAST_BYTES: u64 = 512;
/// From harmless to worst.
const ORDER: [u8; 6] = *b".i?due";

/// The map of a file of plain disk content, without what was appended to it: equal slices, each
/// in its worst state.
pub(super) fn of_map(mapped: &Mapped) -> String {
    let map = &mapped.map;
    folded(map.runs.iter().map(|run| (letter(run), run.start..run.end)), map.original_bytes)
}

/// One strip of several files' strips one behind the other; with each the bytes it stands for.
pub(super) fn joined(parts: &[(&str, u64)]) -> String {
    let mut at = 0_u64;
    let mut cells = Vec::new();
    for &(strip, length) in parts {
        let count = strip.len().max(1) as u64;
        let place = |nth: u64| at.saturating_add(part(length, nth, count));
        if strip.is_empty() {
            cells.push((b'?', at..at.saturating_add(length)));
        }
        cells.extend(strip.bytes().zip(0..).map(|(byte, nth)| (byte, place(nth)..place(nth + 1))));
        at = at.saturating_add(length);
    }
    folded(cells.into_iter(), at)
}

/// A strip of nothing but empty space.
pub(super) const EMPTY: &str = ".";

fn letter(run: &Run) -> u8 {
    if run.bytes_in(State::Encrypted) > 0 {
        return b'e';
    }
    match run.state {
        State::Zero | State::Absent => b'.',
        State::Intact => b'i',
        State::Encrypted => b'e',
        State::Unreadable => b'u',
        State::Damaged => b'd',
        State::Undetermined => b'?',
    }
}

/// `nth` of `count` equal parts of `whole`.
fn part(whole: u64, nth: u64, count: u64) -> u64 {
    (u128::from(whole) * u128::from(nth) / u128::from(count.max(1))) as u64
}

/// Ranges in order, without gap, in equal slices of `size`.
fn folded(ranges: impl Iterator<Item = (u8, std::ops::Range<u64>)>, size: u64) -> String {
    let count = LETTERS.min(size.div_ceil(LEAST_BYTES));
    let mut worst = vec![0_usize; usize::try_from(count).unwrap_or(0)];
    for (letter, range) in ranges {
        let (start, end) = (range.start.min(size), range.end.min(size));
        if start >= end {
            continue;
        }
        let rank = ORDER.iter().position(|l| *l == letter).unwrap_or(2);
        // The slice of a byte: the last one that begins at or before it.
        let slice = |at: u64| {
            let near = usize::try_from(part(count, at, size)).unwrap_or(usize::MAX);
            let next = part(size, near as u64 + 1, count);
            if next <= at { near + 1 } else { near }
        };
        for cell in worst.iter_mut().take(slice(end - 1) + 1).skip(slice(start)) {
            *cell = rank.max(*cell);
        }
    }
    worst.iter().map(|rank| char::from(ORDER.get(*rank).copied().unwrap_or(b'?'))).collect()
}

#[cfg(test)]
mod tests {
    use super::{folded, joined};

    #[test]
    fn a_slice_shows_the_worst_of_what_it_holds() {
        let size = 4096 * 1000;
        let runs = [(b'i', 0..1999), (b'e', 1999..2000), (b'.', 2000..size)];
        let strip = folded(runs.into_iter(), size);
        assert_eq!(strip.len(), 4096);
        assert!(strip.starts_with("ie.."), "{}", &strip[..8]);
        assert_eq!(strip.matches('.').count(), 4094);
    }

    #[test]
    fn a_small_disk_has_a_letter_a_sector() {
        let strip = folded([(b'i', 0..1024), (b'u', 1024..1025)].into_iter(), 1025);
        assert_eq!(strip, "iiu");
        assert_eq!(folded([].into_iter(), 0), "");
    }

    #[test]
    fn files_one_behind_the_other_take_their_share() {
        let (first, second) = ("e".repeat(4096), "ii");
        let strip = joined(&[(&first, 1 << 20), (second, 1 << 20), ("", 2 << 20)]);
        assert_eq!(strip.len(), 4096);
        assert_eq!(strip, "e".repeat(1024) + &"i".repeat(1024) + &"?".repeat(2048));
    }
}
