//! Numbers that programs are written with: the rounder, the likelier beforehand.

/// Units lockers count in, roundest first.
const UNITS: [u64; 11] =
    [1 << 30, 1 << 20, 1_000_000, 1 << 16, 100_000, 65_535, 4096, 1000, 512, 16, 1];

/// The roundest number in `low..=high`, and what choosing it costs in nats.
#[must_use]
pub fn nicest(low: u64, high: u64, size: u64) -> (u64, f64) {
    if low == 0 {
        return (0, 1.0);
    }
    let by_unit = UNITS
        .iter()
        .map(|unit| (low.next_multiple_of(*unit), *unit))
        .find(|(value, _)| *value <= high)
        .map_or((low, cost_of(low, 1)), |(value, unit)| (value, cost_of(value, unit)));
    if by_unit.1 > 9.0
        && let Some(part) = fraction(low, high, size)
    {
        return (part, 6.0);
    }
    match thousandth(low, high, size) {
        Some(part) if by_unit.1 > 11.0 => (part, 11.0),
        _ => by_unit,
    }
}

/// What choosing exactly `value` costs.
#[must_use]
pub fn cost(value: u64, size: u64) -> f64 {
    nicest(value, value, size).1
}

fn cost_of(value: u64, unit: u64) -> f64 {
    let rank = UNITS.iter().position(|u| *u == unit).unwrap_or(UNITS.len()) as f64;
    // Small multiples of a unit are likelier than large ones.
    2.0 + rank * 0.5 + 1.3 * ((value / unit) as f64 + 1.0).ln()
}

fn fraction(low: u64, high: u64, size: u64) -> Option<u64> {
    fractions(low, high, size).next()
}

/// Hundredths, parts and halvings of the disk's size in `low..=high`, as programs round them.
pub(super) fn fractions(low: u64, high: u64, size: u64) -> impl Iterator<Item = u64> {
    let (hundredth, rest) = (size / 100, size % 100);
    // The rest adds less than 50 to any of them.
    let first = low.saturating_sub(50).checked_div(hundredth).unwrap_or(0).max(1);
    let last = high.checked_div(hundredth).unwrap_or(50).min(50);
    (first..=last)
        .flat_map(move |p| [hundredth * p, hundredth * p + rest * p / 100])
        .chain((2..=16).flat_map(move |k| [size / k, size >> k.min(12)]))
        .filter(move |value| (low..=high).contains(value) && *value > 4096)
}

/// Thousandths of the disk's size.
fn thousandth(low: u64, high: u64, size: u64) -> Option<u64> {
    let unit = size / 1000;
    let value = low.checked_next_multiple_of(unit.max(1))?;
    (unit > 4096 && value <= high).then_some(value)
}

/// The smallest very round number in `low..=high`: whole binary or decimal megabytes, or a
/// hundredth or part of the size.
#[must_use]
pub fn first_very_round(low: u64, high: u64, size: u64) -> Option<u64> {
    [1 << 20, 1_000_000]
        .iter()
        .map(|unit| low.next_multiple_of(*unit))
        .chain((1..=99).map(|p| size / 100 * p))
        .chain((2..=16).map(|k| size / k))
        .filter(|value| (low..=high).contains(value))
        .min()
}

/// Whether a locker would choose this number.
#[must_use]
pub fn is_round(at: u64, size: u64) -> bool {
    at.is_multiple_of(65_536)
        || at.is_multiple_of(100_000)
        || at.is_multiple_of(65_535)
        || fraction(at, at, size).is_some()
        || thousandth(at, at, size).is_some()
}

#[cfg(test)]
mod tests {
    use super::nicest;

    #[test]
    fn the_roundest_number_within_reach_is_taken() {
        let size = 50_331_648;
        assert_eq!(nicest(1_048_570, 1_048_590, size).0, 1 << 20);
        assert_eq!(nicest(2_999_990, 3_000_004, size).0, 3_000_000);
        assert_eq!(nicest(0, 9, size).0, 0);
        assert_eq!(nicest(1_234_567, 1_234_567, size).0, 1_234_567);
        assert!(nicest(1 << 20, 1 << 20, size).1 + 10.0 < nicest(1_234_567, 1_234_567, size).1);
    }
}
