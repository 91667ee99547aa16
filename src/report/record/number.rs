//! Numbers with fixed decimals, so that the same finding always prints the same.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A share between 0 and 1, kept in parts per million.
///
/// It is 0 or 1 only where the value is exactly that: the smallest encrypted share shows as
/// 0.000001, never as none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fraction(u32);

const MILLION: u32 = 1_000_000;

impl Fraction {
    /// None of it.
    pub const ZERO: Self = Self(0);
    /// All of it.
    pub const ONE: Self = Self(MILLION);

    /// Nearest share to `value`; outside 0 to 1 (or not a number) it is taken as the nearer end.
    #[must_use]
    pub fn new(value: f64) -> Self {
        if value <= 0.0 || value.is_nan() {
            return Self::ZERO;
        }
        if value >= 1.0 {
            return Self::ONE;
        }
        let parts = (value * f64::from(MILLION)).round().clamp(1.0, f64::from(MILLION - 1));
        Self(parts as u32)
    }

    /// The share `part` is of `whole`; nothing of nothing is zero.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Self {
        if part == 0 || whole == 0 {
            return Self::ZERO;
        }
        if part >= whole {
            return Self::ONE;
        }
        let parts =
            (u128::from(part) * u128::from(MILLION) + u128::from(whole) / 2) / u128::from(whole);
        Self(u32::try_from(parts).unwrap_or(MILLION).clamp(1, MILLION - 1))
    }

    /// As a number between 0 and 1.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from(self.0) / f64::from(MILLION)
    }

    /// In parts per million.
    #[must_use]
    pub fn parts_per_million(self) -> u32 {
        self.0
    }
}

/// As a percentage with as many decimals as it takes to not say 0 or 100 wrongly.
impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.value() * 100.0;
        match self.0 {
            0 => f.write_str("0%"),
            MILLION => f.write_str("100%"),
            1..=999 => f.write_str("<0.1%"),
            999_001..=999_999 => f.write_str(">99.9%"),
            1_000..=99_999 => write!(f, "{percent:.1}%"),
            // Between 99.5 and 99.9 whole numbers would round to 100.
            995_000.. => write!(f, "{percent:.1}%"),
            _ => write!(f, "{percent:.0}%"),
        }
    }
}

impl Serialize for Fraction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if !(0.0..=1.0).contains(&value) {
            return Err(D::Error::custom("a fraction lies between 0 and 1"));
        }
        Ok(Self::new(value))
    }
}

/// A figure of merit, kept in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(i64);

impl Score {
    /// Nearest thousandth to `value`; what is not a number is 0.
    #[must_use]
    pub fn new(value: f64) -> Self {
        Self((value * 1000.0).round() as i64)
    }

    /// As a number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::Fraction;

    #[test]
    fn a_share_is_none_or_all_only_where_it_exactly_is() {
        assert_eq!(Fraction::of(0, 10), Fraction::ZERO);
        assert_eq!(Fraction::of(10, 10), Fraction::ONE);
        assert_eq!(Fraction::of(1, u64::MAX).parts_per_million(), 1);
        assert_eq!(Fraction::of(u64::MAX - 1, u64::MAX).parts_per_million(), 999_999);
        assert_eq!(Fraction::new(1e-12).parts_per_million(), 1);
        assert_eq!(Fraction::new(1.0 - 1e-12).parts_per_million(), 999_999);
        assert_eq!(Fraction::new(f64::NAN), Fraction::ZERO);
    }

    #[test]
    fn a_percentage_never_rounds_to_nothing_or_everything() {
        let shown: Vec<String> =
            [0.0, 1e-6, 0.0123, 0.0999, 0.25, 0.994, 0.996, 0.99899, 0.9999, 1.0]
                .iter()
                .map(|v| Fraction::new(*v).to_string())
                .collect();
        assert_eq!(
            shown,
            ["0%", "<0.1%", "1.2%", "10.0%", "25%", "99%", "99.6%", "99.9%", ">99.9%", "100%"]
        );
    }

    #[test]
    fn every_share_reads_back_as_itself() {
        for parts in (0..=1_000_000).step_by(37) {
            let share = Fraction(parts);
            let json = serde_json::to_string(&share).unwrap();
            assert_eq!(serde_json::from_str::<Fraction>(&json).unwrap(), share, "{json}");
        }
    }
}
