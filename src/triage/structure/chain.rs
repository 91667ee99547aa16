//! Containers whose parts state their length: zstd (RFC 8878), xz (its specification 1.1.0).

use std::io;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Walk, cursor::Cursor};

/// What a zstd frame may ask to be kept of what comes out: more than any of its usual levels does.
const MOST_WINDOW: u64 = 8 << 20;
/// Unpacked at a time.
const PART_BYTES: usize = 64 << 10;
/// Bytes that may come of one packed byte, or a small frame would take hours.
const MOST_RATIO: u64 = 64;

/// A zstd frame, block by block; where it has a checksum, its content is held against that.
pub(super) fn zstd(cursor: &mut Cursor<'_>) -> Option<Walk> {
    let start = cursor.at();
    let [_, _, _, _, descriptor] = cursor.take::<5>()?;
    if descriptor & 8 != 0 {
        return None;
    }
    let single = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = match descriptor >> 6 {
        0 => u64::from(single),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    cursor.skip(u64::from(!single) + dictionary + content)?;
    let mut whole = false;
    let mut good = cursor.at();
    while let Some([a, b, c]) = cursor.take::<3>() {
        let head = u32::from_le_bytes([a, b, c, 0]);
        let (kind, length) = (head >> 1 & 3, head >> 3);
        if kind == 3 || length > 1 << 17 {
            break;
        }
        good = cursor.at();
        if cursor.skip(if kind == 1 { 1 } else { u64::from(length) }).is_none() {
            break;
        }
        if head & 1 != 0 {
            whole = true;
            good = cursor.at();
            break;
        }
    }
    let mut is_wrong = false;
    if whole && descriptor & 4 != 0 {
        cursor.go(start);
        match unpacked(cursor, good - start) {
            Some(true) => return Some(Walk::proven(cursor.at(), "zstd frame, XXH64 right")),
            Some(false) => is_wrong = true,
            None => {}
        }
    }
    if is_wrong {
        let what = "a zstd frame whose content is not what its checksum says: damaged inside";
        return Some(Walk::contradicted(good, what));
    }
    // The block that leads nowhere may be where damage begins.
    let to = if whole { good } else { good.saturating_sub(1 << 17) };
    let doubted = (!whole).then(|| (to, good.saturating_add(1 << 17)));
    Some(Walk {
        walked_to: to,
        doubted,
        name: Some(
            "a zstd frame whose blocks lead from one to the next; its content is not tested",
        ),
        ..Walk::default()
    })
}

/// Whether the frame that begins here, `length` bytes of blocks, becomes what its checksum says;
/// `None` where it asks for more than is given.
fn unpacked(cursor: &mut Cursor<'_>, length: u64) -> Option<bool> {
    let mut frame = FrameDecoder::new();
    frame.set_max_window_size(MOST_WINDOW);
    // A dictionary that is not here, too wide a window.
    frame.reset(&mut *cursor).ok()?;
    let mut left = length.saturating_mul(MOST_RATIO).saturating_add(PART_BYTES as u64);
    while !frame.is_finished() {
        let part = BlockDecodingStrategy::UptoBytes(PART_BYTES);
        if frame.decode_blocks(&mut *cursor, part).is_err() {
            return Some(false);
        }
        let made = frame.collect_to_writer(io::sink()).ok()?;
        left = left.checked_sub(made as u64)?;
    }
    let stated = frame.get_checksum_from_data()?;
    Some(frame.get_calculated_checksum() == Some(stated))
}

/// An xz stream: block header, then LZMA2 chunks.
pub(super) fn xz(cursor: &mut Cursor<'_>) -> Option<Walk> {
    cursor.skip(12)?;
    let [words] = cursor.peek::<1>()?;
    if words == 0 {
        return None;
    }
    cursor.skip((u64::from(words) + 1) * 4)?;
    let mut good = cursor.at();
    let mut whole = false;
    while let Some([control]) = cursor.take::<1>() {
        let length = match control {
            0 => {
                whole = true;
                good = cursor.at();
                break;
            }
            1 | 2 => u64::from(u16::from_be_bytes(cursor.take()?)) + 1,
            0x80.. => {
                let [_, _, high, low] = cursor.take::<4>()?;
                let properties = u64::from(control >= 0xC0);
                u64::from(u16::from_be_bytes([high, low])) + 1 + properties
            }
            _ => break,
        };
        good = cursor.at();
        if cursor.skip(length).is_none() {
            break;
        }
    }
    let to = if whole { good } else { good.saturating_sub(1 << 17) };
    let doubted = (!whole).then(|| (to, good.saturating_add(1 << 17)));
    Some(Walk {
        walked_to: to,
        doubted,
        name: Some(
            "an xz stream whose chunks lead from one to the next; its content is not tested",
        ),
        ..Walk::default()
    })
}
