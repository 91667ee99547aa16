//! LZNT1, the compression of NTFS ([MS-XCA] 2.5): chunks of 4 KiB, each by itself.

use super::u16_at;
use crate::{ByteOffset, Defect, DefectKind};

const CHUNK_BYTES: usize = 4096;

/// Unpacks the chunks of one compression unit. What comes out is never longer than
/// `unit_bytes`, and filled up with zeros to it.
///
/// # Errors
/// A [`Defect`] where a chunk points before its start, ends early, or more comes out than fits.
pub fn decompress(packed: &[u8], unit_bytes: usize, at: ByteOffset) -> Result<Vec<u8>, Defect> {
    let mut out: Vec<u8> = Vec::with_capacity(unit_bytes);
    let mut rest = packed;
    let broken = |rest: &[u8], why: &str| {
        let done = u64::try_from(packed.len().saturating_sub(rest.len())).unwrap_or(0);
        let place = at.checked_add(done).unwrap_or(at);
        Defect::new("LZNT1", "chunk", place, DefectKind::Inflate { why: why.to_owned() })
    };
    while out.len() < unit_bytes {
        let Some(head) = u16_at(rest, 0).filter(|head| *head != 0) else { break };
        let length = usize::from(head & 0x0FFF).saturating_add(1);
        let body = rest.get(2..length.saturating_add(2));
        let Some(body) = body else { return Err(broken(rest, "a chunk ends after its unit")) };
        if head >> 12 & 7 != 3 {
            return Err(broken(rest, "a chunk has no signature"));
        }
        let start = out.len();
        if head & 0x8000 == 0 {
            out.extend_from_slice(body);
        } else {
            chunk(body, &mut out).ok_or_else(|| broken(rest, "a chunk is no LZNT1"))?;
        }
        if out.len().saturating_sub(start) > CHUNK_BYTES || out.len() > unit_bytes {
            return Err(broken(rest, "more comes out of a chunk than fits"));
        }
        rest = rest.get(length.saturating_add(2)..).unwrap_or_default();
        // Every chunk but the last fills its place.
        let filled = start.saturating_add(CHUNK_BYTES).min(unit_bytes);
        if out.len() < filled {
            out.resize(filled, 0);
        }
    }
    out.resize(unit_bytes, 0);
    Ok(out)
}

/// One compressed chunk; never grows `out` by more than a chunk and one match.
fn chunk(mut body: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    while let Some((flags, rest)) = body.split_first() {
        body = rest;
        for bit in 0..8 {
            if body.is_empty() {
                return Some(());
            }
            if flags >> bit & 1 == 0 {
                let (byte, rest) = body.split_first()?;
                out.push(*byte);
                body = rest;
                continue;
            }
            let word = u16_at(body, 0)?;
            body = body.get(2..)?;
            // The further on, the more bits the distance takes.
            let done = out.len().checked_sub(start)?;
            let mut distance_bits = 4_u32;
            while distance_bits < 12 && 1_usize.checked_shl(distance_bits)? < done {
                distance_bits = distance_bits.checked_add(1)?;
            }
            let length_bits = 16_u32.checked_sub(distance_bits)?;
            let distance = usize::from(word >> length_bits).checked_add(1)?;
            let mask = 1_u32.checked_shl(length_bits)?.checked_sub(1)?;
            let length = usize::try_from(u32::from(word) & mask).ok()?.checked_add(3)?;
            if distance > done || done.checked_add(length)? > CHUNK_BYTES {
                return None;
            }
            for _ in 0..length {
                let from = out.len().checked_sub(distance)?;
                out.push(*out.get(from)?);
            }
        }
        if out.len().checked_sub(start)? > CHUNK_BYTES {
            return None;
        }
    }
    Some(())
}
