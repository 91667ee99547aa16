//! Pictures and video: PNG (its chunks' CRCs), JPEG (byte stuffing), MP4 (units in `mdat`).

use std::ops::Range;

use flate2::Crc;

use super::{Walk, cursor::Cursor, is_varied};

/// A chunk or unit longer than this is not believed.
const LONGEST_CHUNK: u32 = 1 << 28;
/// So many bytes of ciphertext hold an impossible 0xFF pair with near certainty.
const STUFFED_BYTES: u64 = 8192;
/// Behind the place where a picture breaks off, compressed bytes may be damaged as well.
const DOUBTED_BYTES: u64 = 64 << 10;
/// Bytes behind an end marker that tell ciphertext from the end of a picture.
const BEHIND_BYTES: usize = 512;
/// What a segment before the first scan holds is not tested; a longer one is not said to be whole.
const LONGEST_UNTESTED: u16 = 4096;
/// Inside one unit longer than this nothing would show a run of ciphertext.
pub(super) const LONGEST_UNIT: u32 = 1 << 14;

/// A PNG file, chunk by chunk.
pub(super) fn png(cursor: &mut Cursor<'_>) -> Option<Walk> {
    cursor.skip(8)?;
    let mut good = None;
    loop {
        let chunk = cursor.at();
        let Some(head) = cursor.take::<8>() else { break };
        let [a, b, c, d, kind @ ..] = head;
        let length = u32::from_be_bytes([a, b, c, d]);
        if length > LONGEST_CHUNK || !kind.iter().all(u8::is_ascii_alphabetic) {
            let doubted = Some((chunk, chunk.saturating_add(DOUBTED_BYTES)));
            good = good.map(|good| Walk { doubted, ..good });
            break;
        }
        let mut crc = Crc::new();
        crc.update(&kind);
        let mut left = length as usize;
        while left > 0 {
            let bytes = cursor.ahead();
            let take = left.min(bytes.len());
            if take == 0 {
                return good;
            }
            crc.update(bytes.get(..take).unwrap_or_default());
            cursor.skip(take as u64)?;
            left -= take;
        }
        let Some(stated) = cursor.take() else { break };
        if u32::from_be_bytes(stated) != crc.sum() {
            // Where the next chunk stands in its place, this one does not go on elsewhere.
            let is_followed = cursor.peek::<8>().is_some_and(|[_, _, _, _, kind @ ..]| {
                [*b"IDAT", *b"IEND", *b"tEXt", *b"tIME", *b"fdAT", *b"fcTL"].contains(&kind)
            });
            let to = if is_followed { cursor.at() } else { chunk.saturating_add(DOUBTED_BYTES) };
            good = good.map(|good| Walk { doubted: Some((chunk, to)), ..good });
            break;
        }
        good = Some(Walk::proven(cursor.at(), "PNG chunks, CRC-32 right"));
        if kind == *b"IEND" {
            break;
        }
    }
    good
}

/// A JPEG: its segments, then entropy-coded bytes in which 0xFF never stands alone.
pub(super) fn jpeg(cursor: &mut Cursor<'_>) -> Option<Walk> {
    let start = cursor.at();
    cursor.skip(2)?;
    let mut scans = 0;
    let mut untested = Vec::new();
    loop {
        let at = cursor.at();
        let [mark, kind] = cursor.take::<2>()?;
        let is_right = match (mark, kind) {
            (0xFF, 0xD9) if scans > 0 => {
                let end = cursor.at();
                // Ciphertext holds an end marker, too, and goes on behind it.
                let behind = cursor.look(BEHIND_BYTES);
                if is_varied(behind) && !begins_file(behind) {
                    return broken_jpeg(start, end, untested);
                }
                let what = "JPEG to its end marker, byte stuffing right throughout";
                return Some(Walk { says_nothing_of: untested, ..Walk::proven(end, what) });
            }
            // Between scans only what is well-formed is no ciphertext.
            (0xFF, 0xC4 | 0xDA | 0xDB | 0xDD) if scans > 0 => {
                let is_right = is_segment(kind, cursor);
                let length = u16::from_be_bytes(cursor.peek()?);
                is_right && cursor.skip(u64::from(length)).is_some()
            }
            (0xFF, 0xC0..=0xCF | 0xDA..=0xEF | 0xFE) if scans == 0 => {
                let length = u16::from_be_bytes(cursor.peek()?).max(2);
                cursor.skip(u64::from(length))?;
                if length > LONGEST_UNTESTED {
                    untested.push(at..cursor.at());
                }
                true
            }
            _ if scans > 0 => false,
            _ => return None,
        };
        scans += usize::from(kind == 0xDA);
        if !is_right || (kind == 0xDA && !stuffed(cursor)) {
            return broken_jpeg(start, cursor.at(), untested);
        }
    }
}

/// What is left to say of a JPEG that breaks off at this place.
fn broken_jpeg(start: u64, at: u64, untested: Vec<Range<u64>>) -> Option<Walk> {
    let to = at.saturating_sub(STUFFED_BYTES);
    (to > start).then(|| Walk {
        walked_to: to,
        what: "JPEG, byte stuffing right so far",
        doubted: Some((to, at.saturating_add(DOUBTED_BYTES))),
        says_nothing_of: untested,
        ..Walk::default()
    })
}

/// Whether the segment that goes on here behind its marker is well-formed: Huffman tables, a scan's
/// head, quantisation tables, a restart interval (ITU-T T.81, annex B).
fn is_segment(kind: u8, cursor: &mut Cursor<'_>) -> bool {
    let [high, low] = cursor.peek().unwrap_or_default();
    let length = usize::from(u16::from_be_bytes([high, low]));
    let segment = cursor.look(length);
    let Some(mut body) = segment.get(2..).filter(|_| segment.len() == length) else {
        return false;
    };
    match kind {
        0xDD => body.len() == 2,
        0xDA => {
            let parts = usize::from(body.first().copied().unwrap_or(0));
            let ends = body.get(1 + 2 * parts..).unwrap_or_default();
            (1..=4).contains(&parts)
                && matches!(ends, [first, last, _] if *first <= 63 && *last <= 63)
        }
        _ => {
            while let Some((head, rest)) = body.split_first() {
                let is_named = head >> 4 <= 1 && head & 15 <= 3;
                let counts = rest.get(..16).unwrap_or_default();
                let values = match kind {
                    0xDB => 64 << (head >> 4),
                    _ => 16 + counts.iter().map(|count| usize::from(*count)).sum::<usize>(),
                };
                let Some(next) = rest.get(values..).filter(|_| is_named) else { return false };
                body = next;
            }
            length > 2
        }
    }
}

/// Whether a file begins here that is put behind pictures: another picture, a video.
fn begins_file(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xFF\xD8\xFF") || bytes.get(4..8) == Some(b"ftyp")
}

/// Moves to the next marker; whether no impossible pair came before it.
fn stuffed(cursor: &mut Cursor<'_>) -> bool {
    loop {
        let bytes = cursor.ahead();
        let Some(at) = memchr::memchr(0xFF, bytes) else {
            let all = bytes.len() as u64;
            if all == 0 || cursor.skip(all).is_none() {
                return false;
            }
            continue;
        };
        if cursor.skip(at as u64).is_none() {
            return false;
        }
        match cursor.peek::<2>() {
            Some([_, 0 | 0xD0..=0xD7]) => {
                if cursor.skip(2).is_none() {
                    return false;
                }
            }
            // End, or another scan's headers.
            Some([_, 0xD9 | 0xDA | 0xC4 | 0xDB | 0xDD]) => return true,
            Some(_) | None => return false,
        }
    }
}

/// An MP4 or MOV file's boxes; `mdat` by the lengths of its video units.
pub(super) fn mp4(cursor: &mut Cursor<'_>) -> Option<Walk> {
    let mut walked: Option<Walk> = None;
    for _ in 0..64 {
        let Some([a, b, c, d, kind @ ..]) = cursor.peek::<8>() else { break };
        let mut length = u64::from(u32::from_be_bytes([a, b, c, d]));
        if !kind.iter().all(|b| b.is_ascii_alphanumeric() || *b == b' ') {
            break;
        }
        let mut head = 8;
        if length == 1 {
            let wide = cursor.peek::<16>()?;
            length = u64::from_be_bytes(*wide.last_chunk::<8>()?);
            head = 16;
        }
        if length < head {
            break;
        }
        if kind == *b"mdat" {
            let end = cursor.at().checked_add(length)?;
            let start = cursor.at();
            cursor.skip(head)?;
            match units(cursor, end) {
                Some(true) => {}
                Some(false) => {
                    walked = Some(Walk {
                        walked_to: end,
                        name: Some("MP4 media in long units; its content is not tested"),
                        ..Walk::default()
                    });
                    continue;
                }
                None => {
                    // The unit that leads nowhere may be where damage begins.
                    let to = cursor.at().saturating_sub(2 * u64::from(LONGEST_UNIT));
                    return (to > start).then(|| Walk {
                        walked_to: to,
                        what: "MP4 media, the lengths of its units lead on so far",
                        ..Walk::default()
                    });
                }
            }
            walked = Some(Walk {
                walked_to: end,
                what: "MP4 media, the lengths of its units lead from one to the next",
                ..Walk::default()
            });
        } else {
            cursor.skip(length)?;
        }
    }
    walked
}

/// Follows four-byte lengths, each before a unit of H.264 or H.265, to `end`: whether all units
/// are short, `None` where they lead nowhere.
fn units(cursor: &mut Cursor<'_>, end: u64) -> Option<bool> {
    let mut short = true;
    while cursor.at() < end {
        let [a, b, c, d, kind] = cursor.peek::<5>()?;
        let length = u32::from_be_bytes([a, b, c, d]);
        // The top bit of a unit is always zero.
        if length == 0 || length > LONGEST_CHUNK || kind & 0x80 != 0 {
            return None;
        }
        short &= length <= LONGEST_UNIT;
        let to = cursor.at() + 4 + u64::from(length);
        if to > end {
            return None;
        }
        cursor.skip(4 + u64::from(length))?;
    }
    Some(short)
}
