//! Numbers as people read them.

/// Bytes in binary units, three digits at most: `512 B`, `1.50 TiB`, `125 GiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // 999.5 would print as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if value < 9.995 && value.fract() != 0.0 {
        format!("{value:.2} {name}")
    } else if value < 99.95 && value.fract() != 0.0 {
        format!("{value:.1} {name}")
    } else {
        format!("{value:.0} {name}")
    }
}

/// A count with a comma every three digits: `1,200`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 machine`, `2 machines`.
#[must_use]
pub fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, counted};

    #[test]
    fn sizes_keep_three_digits() {
        let shown: Vec<String> =
            [0, 1023, 1024, 1536, 999 << 10, 1000 << 10, 125 << 30, 3 << 39, u64::MAX]
                .map(bytes)
                .into();
        assert_eq!(
            shown,
            [
                "0 B", "1023 B", "1 KiB", "1.50 KiB", "999 KiB", "0.98 MiB", "125 GiB", "1.50 TiB",
                "16 EiB"
            ]
        );
    }

    #[test]
    fn counts_have_commas() {
        assert_eq!((count(0), count(999), count(1200)), ("0".into(), "999".into(), "1,200".into()));
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(
            (counted(1, "disk"), counted(2400, "disk")),
            ("1 disk".into(), "2,400 disks".into())
        );
    }
}
