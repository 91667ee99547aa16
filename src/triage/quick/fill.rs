//! Bytes that are one short pattern over and over.

/// Longest pattern.
const PERIOD: usize = 512;
/// Bytes that are looked for again.
const HEAD: usize = 16;
/// How often it may stand in one pattern.
const MOST_HEADS: usize = 8;

/// Whether `bytes` repeat a pattern of at most 512 bytes throughout, one byte value included.
pub(super) fn is_filled(bytes: &[u8]) -> bool {
    let Some(head) = bytes.get(..HEAD) else { return false };
    let reach = bytes.get(1..(PERIOD + HEAD).min(bytes.len() / 2)).unwrap_or_default();
    // The head may stand more than once in a pattern.
    memchr::memmem::find_iter(reach, head).take(MOST_HEADS).any(|at| {
        let period = at + 1;
        bytes.get(period..) == bytes.get(..bytes.len() - period)
    })
}

#[cfg(test)]
mod tests {
    use super::is_filled;

    #[test]
    fn short_patterns_are_told_from_text() {
        assert!(is_filled(&[0xFF; 4096]));
        assert!(is_filled(&b"PAY US.\n".repeat(512)));
        assert!(is_filled(&b"0123456789abcdef0123456789abcdefg".repeat(100)));
        let text: String = (0..400).map(|n| format!("order {n:06}\n")).collect();
        assert!(!is_filled(text.as_bytes()));
        assert!(!is_filled(b"short"));
        assert!(!is_filled(&[]));
    }
}
