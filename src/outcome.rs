//! How a run ended, and the exit code that says so.

use std::process::ExitCode;

/// How a run ended. Ordered: where several hold, the greatest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Done, nothing wrong found.
    Clean,
    /// Done, damage, encryption or renamed files found.
    Damage,
    /// Done in part: some inputs could not be read; the report names them.
    Partial,
    /// Stopped at a deadline or budget; run again to go on.
    Stopped,
    /// The output could not be verified.
    Unverified,
    /// Refused by a safety rule.
    Refused,
    /// I/O error, nothing could be delivered.
    Io,
}

impl Outcome {
    /// The process exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Damage => 1,
            Self::Partial => 3,
            Self::Refused => 4,
            Self::Unverified => 5,
            Self::Io => 74,
            Self::Stopped => 75,
        }
    }

    /// The graver of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn the_gravest_outcome_wins_in_the_order_of_the_contract() {
        let order = [74, 4, 5, 75, 3, 1, 0];
        let mut all = [
            Outcome::Clean,
            Outcome::Damage,
            Outcome::Partial,
            Outcome::Stopped,
            Outcome::Unverified,
            Outcome::Refused,
            Outcome::Io,
        ];
        all.sort();
        let codes: Vec<u8> = all.iter().rev().map(|o| o.code()).collect();
        assert_eq!(codes, order);
    }
}
