//! Time stamps of log lines.

use serde::Serialize;

/// A time stamp as logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogTime {
    /// As written: `2015-01-13T11:10:25.641+01:00`, or `Apr 18 00:25:37.603` of old products.
    pub text: String,
    /// Milliseconds since 1970 UTC; `None` for the old form, which has neither year nor zone.
    pub unix_ms: Option<i64>,
}

impl LogTime {
    pub(super) fn of(text: &str) -> Self {
        Self { text: text.to_owned(), unix_ms: iso_to_unix_ms(text) }
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.fff](Z|±HH:MM)`.
fn iso_to_unix_ms(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    if text.get(4..5)? != "-" || text.get(7..8)? != "-" || text.get(10..11)? != "T" {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(tail) => tail.split_at(tail.find(|c: char| !c.is_ascii_digit())?),
        None => ("", rest),
    };
    let milliseconds: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let offset_minutes = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign @ ("+" | "-"), clock) => {
            let (hours, minutes) = clock.split_once(':')?;
            let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
            let total = hours.checked_mul(60)?.checked_add(minutes)?;
            if sign == "-" { total.checked_neg()? } else { total }
        }
        _ => return None,
    };
    let minutes = days_since_1970(year, month, day)?
        .checked_mul(24)?
        .checked_add(hour)?
        .checked_mul(60)?
        .checked_add(minute)?
        .checked_sub(offset_minutes)?;
    minutes.checked_mul(60)?.checked_add(second)?.checked_mul(1000)?.checked_add(milliseconds)
}

/// Days of the Gregorian calendar, years counted from March so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let (year, month) = if month > 2 {
        (year, month.checked_sub(3)?)
    } else {
        (year.checked_sub(1)?, month.checked_add(9)?)
    };
    let leaps = (year / 4).checked_sub(year / 100)?.checked_add(year / 400)?;
    let in_year = month.checked_mul(153)?.checked_add(2)? / 5;
    year.checked_mul(365)?
        .checked_add(leaps)?
        .checked_add(in_year)?
        .checked_add(day)?
        .checked_sub(719_469)
}
