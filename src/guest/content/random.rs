//! Bytes as random as ciphertext, where the name promises others.

use vmglean_formats::{ByteOffset, MediumError, ReadAt};

/// Bytes looked at in one place.
const BLOCK: usize = 4096;
/// Places looked at in one file.
const MOST_PLACES: u64 = 256;

/// Whether a whole block is as evenly spread as ciphertext: chi-square of 256 values over 4096
/// bytes has mean 255 and deviation 23 there, and thousands in text and structures.
pub(super) fn is_random(block: &[u8]) -> bool {
    let Some(block) = block.get(..BLOCK) else { return false };
    let mut counts = [0_u32; 256];
    for byte in block {
        counts[usize::from(*byte)] += 1;
    }
    let mean = BLOCK as u32 / 256;
    let squares: u32 = counts.iter().map(|count| count.abs_diff(mean).pow(2)).sum();
    (120..420).contains(&(squares / mean))
}

/// The first of some blocks, spread over the file, that is random.
pub(super) fn random_place(file: &dyn ReadAt) -> Result<Option<u64>, MediumError> {
    let blocks = file.len_bytes() / BLOCK as u64;
    let step = blocks.div_ceil(MOST_PLACES).max(1);
    let mut at = 0;
    while at < blocks {
        let block = file.read_up_to(ByteOffset(at * BLOCK as u64), BLOCK)?;
        if is_random(&block) {
            return Ok(Some(at * BLOCK as u64));
        }
        at += step;
    }
    Ok(None)
}
