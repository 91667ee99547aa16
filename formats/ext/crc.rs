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

/// For the highest byte of each entry of the table, which one it is.
static BACK: LazyLock<[u8; 256]> = LazyLock::new(|| {
    let mut back = [0; 256];
    for (number, entry) in (0..=u8::MAX).zip(TABLE.iter()) {
        let [.., high] = entry.to_le_bytes();
        if let Some(place) = back.get_mut(usize::from(high)) {
            *place = number;
        }
    }
    back
});

/// The value that, carried on over `bytes`, gives `to`.
#[must_use]
pub(super) fn crc32c_back(to: u32, bytes: &[u8]) -> u32 {
    let (table, back) = (&*TABLE, &*BACK);
    bytes.iter().rev().fold(to, |crc, byte| {
        let [.., high] = crc.to_le_bytes();
        let number = back.get(usize::from(high)).copied().unwrap_or(0);
        let entry = table.get(usize::from(number)).copied().unwrap_or(0);
        ((crc ^ entry) << 8) | u32::from(number ^ byte)
    })
}

#[cfg(test)]
mod tests {
    use super::{crc32c, crc32c_back};

    #[test]
    fn goes_back_where_it_came_from() {
        let bytes: Vec<u8> = (0..=255).collect();
        for from in [0, 1, 0x1234_5678, u32::MAX] {
            assert_eq!(crc32c_back(crc32c(from, &bytes), &bytes), from);
        }
    }

    #[test]
    fn agrees_with_the_published_check_value() {
        assert_eq!(!crc32c(u32::MAX, b"123456789"), 0xE306_9283);
    }
}
