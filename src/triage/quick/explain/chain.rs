//! Compressed formats whose parts state where the next one begins.

use std::ops::Range;

/// A chain that reaches up to this far short of a part's start covers it: the rest is the head
/// of the file.
const SLACK: usize = 4096;

/// Links of an LZMA2 chain that are no chance.
const LZMA2_LINKS: usize = 6;
/// Encoders end a chunk when it is nearly 64 KiB packed (xz 61,439, 7-Zip from 49,152 on), or
/// nearly 2 MiB unpacked.
const FULL_PACKED: usize = 0xBF00;
const FULL_UNPACKED: usize = 0x1F_0000;

/// Whether a chain of LZMA2 chunks leads through `part`.
///
/// A link holds by chance once in 29 times, so six from any place of half a window do so once in
/// 1,100 windows of ciphertext.
pub(super) fn lzma2(window: &[u8], part: &Range<usize>) -> bool {
    let begins = |first| first & 0xE0 == 0x80;
    leads_through(window, part, LZMA2_LINKS, begins, lzma2_chunk, lzma2_last)
}

/// Links of a zstd chain that are no chance.
const ZSTD_LINKS: usize = 4;

/// Whether a chain of zstd blocks leads through `part`.
///
/// A link holds by chance once in 128 times, and its literals' header once in some ten of those.
pub(super) fn zstd(window: &[u8], part: &Range<usize>) -> bool {
    leads_through(window, part, ZSTD_LINKS, |first| first & 7 == 4, zstd_block, zstd_last)
}

/// Follows `next` from every place at or before the part's start where `may_begin` allows it, and
/// `last` to the end of the data where that is reached.
fn leads_through(
    window: &[u8],
    part: &Range<usize>,
    least: usize,
    may_begin: impl Fn(u8) -> bool,
    next: impl Fn(&[u8], usize) -> Option<usize>,
    last: impl Fn(&[u8], usize) -> Option<usize>,
) -> bool {
    let starts = window.iter().take(part.start.saturating_add(SLACK)).enumerate();
    starts.filter(|(_, first)| may_begin(**first)).any(|(start, _)| {
        let (mut at, mut links) = (start, 0);
        while let Some(to) = next(window, at) {
            links += 1;
            at = to;
            if at >= part.end && links >= least {
                return true;
            }
        }
        links >= least && last(window, at).is_some_and(|end| end.saturating_add(SLACK) >= part.end)
    })
}

/// Where the LZMA2 chunk at `at` ends, if one can begin there.
fn lzma2_chunk(bytes: &[u8], at: usize) -> Option<usize> {
    let &[control, high, low, packed_high, packed_low] = bytes.get(at..at.checked_add(5)?)? else {
        return None;
    };
    // Chunks that reset nothing are the rule inside a stream; others are too rare to wait for.
    if !(0x80..=0x9F).contains(&control) {
        return None;
    }
    let unpacked =
        (usize::from(control & 0x1F) << 16 | usize::from(high) << 8 | usize::from(low)) + 1;
    let packed = (usize::from(packed_high) << 8 | usize::from(packed_low)) + 1;
    let is_full = packed >= FULL_PACKED || unpacked >= FULL_UNPACKED;
    (unpacked >= packed && is_full).then_some(at + 5 + packed)
}

/// Where the data ends if the chunk at `at` is its last one: a shorter one, then a zero.
fn lzma2_last(bytes: &[u8], at: usize) -> Option<usize> {
    let &[control, _, _, packed_high, packed_low] = bytes.get(at..at.checked_add(5)?)? else {
        return None;
    };
    let end = at + 6 + (usize::from(packed_high) << 8 | usize::from(packed_low));
    ((0x80..=0x9F).contains(&control) && bytes.get(end) == Some(&0)).then_some(end)
}

/// Most bytes of a zstd block (RFC 8878, section 3.1.1.2.3).
const ZSTD_BLOCK: usize = 128 << 10;

/// Where the compressed zstd block at `at` ends, if one can begin there.
fn zstd_block(bytes: &[u8], at: usize) -> Option<usize> {
    let &[a, b, c, literals, next] = bytes.get(at..at.checked_add(5)?)? else { return None };
    let header = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
    let size = header >> 3;
    // Not the last one, of the compressed kind: the rule inside a frame.
    if header & 7 != 4 || !(1024..=ZSTD_BLOCK).contains(&size) {
        return None;
    }
    literals_fit(literals, next, bytes.get(at + 5..at + 8)?, size).then_some(at + 3 + size)
}

/// Where the data ends if the block at `at` is its last one.
fn zstd_last(bytes: &[u8], at: usize) -> Option<usize> {
    let &[a, b, c] = bytes.get(at..at.checked_add(3)?)? else { return None };
    let header = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
    (header & 7 == 5 && header >> 3 <= ZSTD_BLOCK).then_some(at + 3 + (header >> 3))
}

/// Whether a literals section header (RFC 8878, section 3.1.1.3.1.1) fits into such a block.
fn literals_fit(first: u8, second: u8, more: &[u8], block: usize) -> bool {
    let bits = more.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)) << 16
        | u64::from(second) << 8
        | u64::from(first);
    let kind = first & 3;
    let format = first >> 2 & 3;
    let field = |from: u32, length: u32| (bits >> from & ((1 << length) - 1)) as usize;
    let (regenerated, packed) = match (kind, format) {
        (0 | 1, 0 | 2) => (field(3, 5), if kind == 1 { 1 } else { field(3, 5) }),
        (0 | 1, 1) => (field(4, 12), if kind == 1 { 1 } else { field(4, 12) }),
        (0 | 1, _) => (field(4, 20), if kind == 1 { 1 } else { field(4, 20) }),
        (_, 0 | 1) => (field(4, 10), field(14, 10)),
        (_, 2) => (field(4, 14), field(18, 14)),
        (_, _) => (field(4, 18), field(22, 18)),
    };
    regenerated <= ZSTD_BLOCK && packed < block && packed <= regenerated.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x1234_5678_9ABC_DEF1u64;
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect()
    }

    /// Chunks of 61,440 bytes from byte 777 on.
    fn chunks() -> Vec<u8> {
        let mut bytes = vec![0xA5; 777];
        for _ in 0..12 {
            bytes.extend_from_slice(&[0x81, 0xFF, 0xFF, 0xEF, 0xFF]);
            bytes.extend(noise(0xF000));
        }
        bytes
    }

    #[test]
    fn random_bytes_are_no_chain() {
        let bytes = noise(1 << 20);
        for part in [0..65_536, 400_000..465_536] {
            assert!(!lzma2(&bytes, &part) && !zstd(&bytes, &part));
        }
    }

    #[test]
    fn a_chain_of_chunks_is_seen_from_the_middle() {
        assert!(lzma2(&chunks(), &(300_000..365_536)));
    }

    #[test]
    fn a_chain_that_ciphertext_interrupts_does_not_lead_through_it() {
        let mut bytes = chunks();
        let written_over = 370_000..440_000;
        let cipher = noise(written_over.len() + 7);
        bytes[written_over.clone()].copy_from_slice(&cipher[7..]);
        assert!(!lzma2(&bytes, &written_over));
    }
}
