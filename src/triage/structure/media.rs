//! Pictures and video: PNG (its chunks' CRCs), JPEG (byte stuffing), MP4 (units in `mdat`).

use flate2::Crc;

use super::{Walk, cursor::Cursor};

/// A chunk or unit longer than this is not believed.
const LONGEST_CHUNK: u32 = 1 << 28;
/// So many bytes of ciphertext hold an impossible 0xFF pair with near certainty.
const STUFFED_BYTES: u64 = 8192;
/// Behind the place where a picture breaks off, compressed bytes may be damaged as well.
const DOUBTED_BYTES: u64 = 64 << 10;
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
    loop {
        let [mark, kind] = cursor.take::<2>()?;
        match (mark, kind) {
            (0xFF, 0xD9) if scans > 0 => {
                return Some(Walk::proven(
                    cursor.at(),
                    "JPEG to its end marker, byte stuffing right throughout",
                ));
            }
            (0xFF, 0xC0..=0xCF | 0xDA..=0xEF | 0xFE) => {
                let length = u16::from_be_bytes(cursor.peek()?);
                cursor.skip(u64::from(length.max(2)))?;
                if kind == 0xDA {
                    scans += 1;
                    if !stuffed(cursor) {
                        let at = cursor.at();
                        let to = at.saturating_sub(STUFFED_BYTES);
                        return (to > start).then(|| Walk {
                            walked_to: to,
                            what: "JPEG, byte stuffing right so far",
                            doubted: Some((to, at.saturating_add(DOUBTED_BYTES))),
                            ..Walk::default()
                        });
                    }
                }
            }
            _ => return None,
        }
    }
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
