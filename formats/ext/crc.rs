//! CRC-32C as ext4 uses it: bits reflected, begun with a value that is given, not inverted.

use std::sync::LazyLock;

static TABLE: LazyLock<[u32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| {
        let byte = u32::try_from(byte).unwrap_or(0);
        (0..8).fold(
            byte,
            |value, _| {
                if value & 1 == 1 { (value >> 1) ^ 0x82F6_3B78 } else { value >> 1 }
            },
        )
    })
});

/// `from` carried on over `bytes`.
#[must_use]
pub fn crc32c(from: u32, bytes: &[u8]) -> u32 {
    let table = &*TABLE;
    bytes.iter().fold(from, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        table.get(usize::from(low ^ byte)).copied().unwrap_or(0) ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn agrees_with_the_published_check_value() {
        assert_eq!(!crc32c(u32::MAX, b"123456789"), 0xE306_9283);
    }
}
