//! Containers met in their middle, their head gone: what still tells them from ciphertext.

use std::ops::Range;

use flate2::Crc;
use rayon::prelude::*;
use vmglean_formats::{ByteOffset, ReadAt};

use super::{Explained, Strength, is_varied, media};

/// Bytes looked at on either end of a random-like stretch.
const ZONE_BYTES: u64 = 1 << 20;
/// Bytes looked at one after another, in one thread.
const BYTES_TOGETHER: u64 = 2 << 20;
/// Bytes looked at in all.
const MOST_BYTES: u64 = 128 << 20;
/// Stretches without an impossible 0xFF pair shorter than this prove nothing: ciphertext of
/// this length is without one once in 10^19.
const STUFFED_BYTES: usize = 12 * 1024;
/// Ciphertext so close to such a stretch's ends could be without one, once in 10^8.
const STUFFED_DOUBT: usize = 5 * 1024;
/// Bytes behind an end marker that tell whether it is one.
const BEHIND_BYTES: usize = 512;
/// Units that must lead to each other before a chain of them is believed; ciphertext passes
/// for one once in half a million.
const FEWEST_UNITS: usize = 5;
/// Full LZMA2 chunks likewise: ciphertext shows so many in a row once in a million.
const FEWEST_CHUNKS: usize = 4;
/// Packed bytes, less one, at which encoders end a chunk: xz and liblzma, 7-Zip.
const FULL_CHUNKS: [(u16, u16); 2] = [(61_429, 61_449), (49_151, 49_279)];
/// With the end mark of LZMA2 behind them, and that near a stretch's end, so many are enough.
const FEWEST_LAST_CHUNKS: usize = 2;
/// See above.
const LAST_BYTES: usize = 16 * 1024;

/// What is left of containers in `zones`, which are in order, whatever became of their
/// heads: in order, free of overlap.
pub(super) fn resume(source: &dyn ReadAt, zones: &[Range<u64>]) -> Vec<Explained> {
    let mut left = MOST_BYTES;
    let parts: Vec<Range<u64>> = zones
        .iter()
        .flat_map(ends)
        .filter(|part| part.end - part.start >= STUFFED_BYTES as u64)
        .map_while(|part| {
            left = left.checked_sub(part.end - part.start)?;
            Some(part)
        })
        .collect();
    let mut sum = 0;
    let together: Vec<&[Range<u64>]> = parts
        .chunk_by(|part, _| {
            sum += part.end - part.start;
            let goes_on = sum < BYTES_TOGETHER;
            if !goes_on {
                sum = 0;
            }
            goes_on
        })
        .collect();
    let found: Vec<Vec<Explained>> = together
        .into_par_iter()
        .map(|parts| {
            // One piece of memory for all; none is longer than a zone's two ends.
            let longest = parts.iter().map(|part| part.end - part.start).max().unwrap_or(0);
            let mut bytes = vec![0; usize::try_from(longest).unwrap_or(0)];
            let mut all = Vec::new();
            for part in parts {
                let length = usize::try_from(part.end - part.start).unwrap_or(0);
                let Some(bytes) = bytes.get_mut(..length) else { continue };
                if source.read_exact_at(bytes, ByteOffset(part.start)).is_ok() {
                    all.extend(met(part.start, bytes));
                }
            }
            all
        })
        .collect();
    let mut all: Vec<Explained> = Vec::new();
    for found in found.into_iter().flatten() {
        if all.last().is_none_or(|last| last.range.end <= found.range.start) {
            all.push(found);
        }
    }
    all
}

/// All of a short zone, both ends of a long one.
fn ends(zone: &Range<u64>) -> Vec<Range<u64>> {
    if zone.end - zone.start <= 2 * ZONE_BYTES {
        return vec![zone.clone()];
    }
    vec![zone.start..zone.start + ZONE_BYTES, zone.end - ZONE_BYTES..zone.end]
}

/// What `bytes`, which lie at `origin`, still show: in order, free of overlap.
fn met(origin: u64, bytes: &[u8]) -> Vec<Explained> {
    let mut all: Vec<(Range<usize>, Strength, &'static str)> = Vec::new();
    all.extend(
        chunks_of_png(bytes)
            .into_iter()
            .map(|range| (range, Strength::Proven, "PNG chunks, CRC-32 right")),
    );
    all.extend(units(bytes).into_iter().map(|(range, is_short)| {
        let strength = if is_short { Strength::Walked } else { Strength::Named };
        (range, strength, "H.264 or H.265 units, their lengths lead from one to the next")
    }));
    all.extend(chunks_of_lzma2(bytes).into_iter().map(|range| {
        let what = "LZMA2 chunks (xz, 7z) that lead from one to the next; content not tested";
        (range, Strength::Named, what)
    }));
    all.extend(stuffed(bytes).into_iter().map(|range| {
        let what = "no impossible 0xFF pair, as in a JPEG and in no ciphertext";
        (range, Strength::Walked, what)
    }));
    // The stronger and then the longer explanation goes first where two overlap.
    all.sort_by_key(|(range, strength, _)| {
        (std::cmp::Reverse(*strength), std::cmp::Reverse(range.len()))
    });
    let mut kept: Vec<(Range<usize>, Strength, &'static str)> = Vec::new();
    for one in all {
        if kept.iter().all(|k| k.0.end <= one.0.start || one.0.end <= k.0.start) {
            kept.push(one);
        }
    }
    kept.sort_by_key(|(range, ..)| range.start);
    kept.into_iter()
        .map(|(range, strength, what)| Explained {
            range: origin + range.start as u64..origin + range.end as u64,
            strength,
            what,
        })
        .collect()
}

/// Stretches in which 0xFF is always followed by what JPEG lets follow.
fn stuffed(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    let mut from = 0;
    let impossible = memchr::memchr_iter(0xFF, bytes)
        .filter(|&at| !matches!(bytes.get(at + 1), None | Some(0 | 0xD0..=0xD7)));
    for at in impossible.chain([bytes.len()]) {
        if at - from >= STUFFED_BYTES {
            let clear = from + STUFFED_DOUBT..at - STUFFED_DOUBT;
            // Without a single stuffed pair it is some other plaintext, of which this says nothing.
            let pairs = bytes.get(clear.clone()).unwrap_or_default();
            if memchr::memchr(0xFF, pairs).is_some() {
                // A picture's end marker ends it to the byte, but for one that ciphertext holds.
                let behind = bytes.get(at + 2..).unwrap_or_default();
                let behind = behind.get(..BEHIND_BYTES).unwrap_or(behind);
                let is_end = bytes.get(at..at + 2) == Some(&[0xFF, 0xD9]) && !is_varied(behind);
                all.push(clear.start..if is_end { at + 2 } else { clear.end });
            }
        }
        from = at + 1;
    }
    all
}

/// Chains of video units, each with its length in four bytes before it, and whether all of a
/// chain's units are short.
fn units(bytes: &[u8]) -> Vec<(Range<usize>, bool)> {
    let mut all = Vec::new();
    let mut at = 0;
    while at + 5 <= bytes.len() {
        // Long units are so rare that a chain never begins with one; a short one's length begins
        // with a zero.
        let Some(zero) = bytes.get(at..).and_then(|rest| memchr::memchr(0, rest)) else { break };
        at += zero;
        let Some(first) = unit(bytes, at).filter(|length| *length <= media::LONGEST_UNIT) else {
            at += 1;
            continue;
        };
        let mut is_short = true;
        let mut starts = vec![at];
        let mut next = at + 4 + first as usize;
        while let Some(length) = unit(bytes, next) {
            is_short &= length <= media::LONGEST_UNIT;
            starts.push(next);
            next += 4 + length as usize;
        }
        if starts.len() < FEWEST_UNITS {
            at += 1;
            continue;
        }
        // Behind the last unit another box begins, or nothing leads on and damage may have begun
        // within the last unit whose end is not borne out.
        let is_box = bytes
            .get(next + 4..next + 8)
            .is_some_and(|kind| kind.iter().all(u8::is_ascii_lowercase));
        let end = if is_box { Some(&next) } else { starts.last() };
        let end = end.copied().unwrap_or(at).min(bytes.len());
        all.push((at..end, is_short));
        at = end.max(at + 1);
    }
    all
}

fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let [a, b, c, d, kind] = *bytes.get(at..)?.first_chunk::<5>()?;
    let length = u32::from_be_bytes([a, b, c, d]);
    ((2..=1 << 20).contains(&length) && kind & 0x80 == 0 && kind != 0).then_some(length)
}

/// Image data whose CRC is right.
fn chunks_of_png(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = Vec::new();
    for kind in memchr::memmem::find_iter(bytes, b"IDAT") {
        let Some(start) = kind.checked_sub(4) else { continue };
        let length = bytes.get(start..).and_then(|b| b.first_chunk::<4>()).copied();
        let Some(length) = length.map(u32::from_be_bytes) else { continue };
        let end = kind + 4 + length as usize;
        let stated = bytes.get(end..).and_then(|b| b.first_chunk::<4>()).copied();
        let (Some(body), Some(stated)) = (bytes.get(kind..end), stated) else { continue };
        let mut crc = Crc::new();
        crc.update(body);
        if u32::from_be_bytes(stated) != crc.sum() {
            continue;
        }
        match all.last_mut() {
            Some(last) if last.end == start => last.end = end + 4,
            _ => all.push(start..end + 4),
        }
    }
    all
}

/// Chains of LZMA2 chunks, most of them as full as encoders make them.
fn chunks_of_lzma2(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(by) = bytes.get(at..).and_then(full_chunk_of_lzma2) {
        at += by;
        let (mut last, mut next, mut full) = (at, at, 0);
        // It begins with a full one: others say too little.
        while let Some((length, is_full)) = chunk_of_lzma2(bytes, next) {
            if full == 0 && !is_full {
                break;
            }
            full += usize::from(is_full);
            (last, next) = (next, next + length);
        }
        // Behind the last one stands a zero.
        let is_end = bytes.get(next) == Some(&0) && next + LAST_BYTES >= bytes.len();
        if full < if is_end { FEWEST_LAST_CHUNKS } else { FEWEST_CHUNKS } {
            at += 1;
            continue;
        }
        // Damage may have begun within a chunk whose end nothing bears out.
        let end = if is_end { next + 1 } else { last };
        all.push(at..end);
        at = end;
    }
    all
}

/// How far on a full chunk could begin, by the packed length that its header would state.
fn full_chunk_of_lzma2(bytes: &[u8]) -> Option<usize> {
    /// Places looked at together, without a branch.
    const TOGETHER: usize = 64;
    let mut from = 0;
    while let Some(most) = bytes.len().checked_sub(from + 4).filter(|most| *most > 0) {
        let places = most.min(TOGETHER);
        let part = |by: usize| bytes.get(from + by..from + by + places).unwrap_or_default();
        let heads = || part(0).iter().zip(part(3)).zip(part(4));
        let could = |((&control, &high), &low): ((&u8, &u8), &u8)| {
            (control >= 0x80) & is_full(u16::from_be_bytes([high, low]))
        };
        if heads().fold(false, |any, head| any | could(head)) {
            return heads().position(could).map(|at| from + at);
        }
        from += places;
    }
    None
}

/// Whether encoders end a chunk at the packed length that a header states, less one.
fn is_full(stated: u16) -> bool {
    let [xz, seven_zip] = FULL_CHUNKS;
    let within = |(low, high): (u16, u16)| stated.wrapping_sub(low) <= high - low;
    within(xz) | within(seven_zip)
}

/// Length of a chunk with its header, and whether it is full.
fn chunk_of_lzma2(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let [control, low_high, low_low, high, low] = *bytes.get(at..)?.first_chunk::<5>()?;
    if control < 0x80 {
        return None;
    }
    let properties = usize::from(control >= 0xC0);
    let unpacked = (usize::from(control & 0x1F) << 16)
        + usize::from(u16::from_be_bytes([low_high, low_low]))
        + 1;
    let stated = u16::from_be_bytes([high, low]);
    let packed = usize::from(stated) + 1;
    (unpacked > packed).then_some((5 + properties + packed, is_full(stated)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vmglean_forge::damage::Rng;

    use super::{Strength, met, resume};

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut rng = Rng::new(seed);
        (0..length).map(|_| rng.draw() as u8).collect()
    }

    #[test]
    fn ciphertext_is_taken_for_no_container() {
        for seed in 0..4 {
            assert_eq!(met(0, &noise(seed, 2 << 20)), []);
        }
    }

    #[test]
    fn a_jpeg_without_its_head_is_known_to_its_end_marker() {
        let mut bytes = noise(1, 100_000);
        let start = bytes.len();
        for byte in noise(2, 200_000) {
            bytes.push(byte);
            if byte == 0xFF {
                bytes.push(0);
            }
        }
        bytes.extend(b"\xff\xd9");
        let end = bytes.len();
        // Ciphertext could hold the marker, too.
        let before = met(4096, &[bytes.clone(), noise(3, 50_000)].concat());
        assert!(before[0].range.end + 5000 < 4096 + end as u64, "{before:?}");
        bytes.extend([0; 50_000]);
        let found = met(4096, &bytes);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].range.end, 4096 + end as u64);
        assert!(found[0].range.start >= 4096 + start as u64);
        assert!(found[0].range.start < 4096 + start as u64 + 12_000);
    }

    #[test]
    fn video_units_are_followed_from_wherever_one_begins() {
        let mut bytes = noise(1, 30_000);
        let start = bytes.len();
        for (n, size) in [3000_u32, 900, 5000, 4000, 2500, 700].into_iter().enumerate() {
            bytes.extend(size.to_be_bytes());
            bytes.push(0x41);
            bytes.extend(noise(n as u64, size as usize - 1));
        }
        let end = bytes.len();
        bytes.extend(b"\x00\x00\x00\x10moov");
        bytes.extend(noise(3, 30_000));
        let found = met(0, &bytes);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].range, start as u64..end as u64);
        assert_eq!(found[0].strength, Strength::Walked);
    }

    #[test]
    fn full_chunks_of_lzma2_are_followed_wherever_the_first_of_them_begins() {
        for start in [0, 1, 63, 64, 65, 30_001] {
            let mut bytes = noise(1, start);
            for n in 0..5_u64 {
                // Control byte of a chunk without new properties, 64 KiB less one unpacked, and
                // the packed length less one.
                bytes.extend([0x80, 0xFF, 0xFE, 0xEF, 0xF8]);
                bytes.extend(noise(n, 0xEFF9));
            }
            bytes.push(0);
            let end = bytes.len() as u64;
            bytes.extend(noise(9, 200));
            let found = met(0, &bytes);
            assert_eq!(found.len(), 1, "{start} {found:?}");
            assert_eq!(
                (found[0].range.clone(), found[0].strength),
                (start as u64..end, Strength::Named)
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_what_is_found_is_in_order(
            bytes in proptest::collection::vec(prop_oneof![Just(0xFF_u8), Just(0), any::<u8>()], 0..40_000),
        ) {
            let length = bytes.len() as u64;
            let zones = [0..length];
            let mut at = 0;
            for one in resume(&bytes, &zones) {
                prop_assert!(one.range.start >= at && one.range.end <= length);
                prop_assert!(one.range.start < one.range.end);
                at = one.range.end;
            }
        }
    }
}
