//! Sizes as people type them.

/// A size such as `4KiB`, `0x1000` or `8s` (sectors); without a unit it is bytes.
///
/// # Errors
/// A sentence for the user.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write 4KiB, 0x1000 or 8s (sectors)");
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).map_err(|_| wrong());
    }
    if let Some(sectors) = text.strip_suffix('s') {
        return sectors.parse::<u64>().ok().and_then(|n| n.checked_mul(512)).ok_or_else(wrong);
    }
    text.parse::<bytesize::ByteSize>().map(|size| size.as_u64()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_take_units_hex_and_sectors() {
        assert_eq!(parse_size("4KiB"), Ok(4096));
        assert_eq!(parse_size("0x1000"), Ok(4096));
        assert_eq!(parse_size("8s"), Ok(4096));
        assert_eq!(parse_size("4096"), Ok(4096));
        for bad in ["", "s", "0x", "x", "99999999999999999999s"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
