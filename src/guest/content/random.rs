//! Bytes as random as ciphertext, where the name promises others.

use vmglean_formats::{ByteOffset, MediumError, ReadAt};

/// Bytes looked at in one place.
const BLOCK: usize = 4096;
/// Bytes read at a time.
const PIECE: usize = 64 << 10;
/// Of a longer text, the start is looked at.
const LONGEST_TEXT: u64 = 256 << 20;
/// Bytes taken together, and how many of them must be strange.
const STRETCH: usize = 64;
const STRANGE_IN_STRETCH: usize = 5;

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

/// Bytes that text in any code page never has: controls without a use. One in ten of ciphertext.
fn is_never_text(byte: u8) -> bool {
    matches!(byte, 0x01..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F | 0x7F)
}

/// The first place of a text where other bytes stand: a random block, or a short stretch of
/// bytes that no text has, in a file that has hardly any elsewhere.
pub(super) fn foreign_place(file: &dyn ReadAt) -> Result<Option<u64>, MediumError> {
    let size = file.len_bytes().min(LONGEST_TEXT);
    let (mut strange, mut zeros, mut first) = (0_u64, 0_u64, None);
    let mut at = 0;
    while at < size {
        let piece = file.read_up_to(ByteOffset(at), PIECE)?;
        if piece.is_empty() {
            break;
        }
        for (n, block) in piece.chunks(BLOCK).enumerate() {
            if is_random(block) {
                return Ok(Some(at + (n * BLOCK) as u64));
            }
        }
        for (n, stretch) in piece.chunks(STRETCH).enumerate() {
            let here = stretch.iter().filter(|byte| is_never_text(**byte)).count();
            strange += here as u64;
            zeros += stretch.iter().filter(|byte| **byte == 0).count() as u64;
            if here >= STRANGE_IN_STRETCH {
                first.get_or_insert(at + (n * STRETCH) as u64);
            }
        }
        at += piece.len() as u64;
    }
    // A file full of them, or in UTF-16, is no plain text to begin with.
    let is_text = strange.saturating_mul(25) < size && zeros.saturating_mul(8) < size;
    Ok(first.filter(|_| is_text))
}

#[cfg(test)]
mod tests {
    use super::foreign_place;

    #[test]
    fn a_few_hundred_random_bytes_in_a_text_are_seen_and_none_in_plain_ones() {
        let text = b"2024-11-05 12:00:01 user logon failed \xe4\xf6\r\n".repeat(2000);
        assert_eq!(foreign_place(&text).unwrap(), None);
        let mut hurt = text.clone();
        let mut state = 7_u32;
        for byte in &mut hurt[40_000..40_300] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        let found = foreign_place(&hurt).unwrap().unwrap();
        assert!((39_900..40_300).contains(&found), "{found}");
        let wide: Vec<u8> = text.iter().flat_map(|byte| [*byte, 0]).collect();
        assert_eq!(foreign_place(&wide).unwrap(), None);
        let binary: Vec<u8> = (0..100_000_u32).map(|n| (n % 29) as u8).collect();
        assert_eq!(foreign_place(&binary).unwrap(), None);
    }
}
