//! CRC-32C as ext4 uses it: bits reflected, begun with a value that is given, not inverted.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut byte = 0u32;
    while byte < 256 {
        let mut value = byte;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0x82F6_3B78 } else { value >> 1 };
            bit += 1;
        }
        table[byte as usize] = value;
        byte += 1;
    }
    table
}

/// `from` carried on over `bytes`.
pub(super) fn crc32c(from: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(from, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0) ^ (crc >> 8)
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
