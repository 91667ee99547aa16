//! Shares and strips as bars of characters.

use super::layout::{BAD, DIM, GOOD, painted};
use crate::report::{judge, record::DiskRecord};

/// What the characters mean, for the foot of a table.
pub(super) const LEGEND: &str = "█ encrypted  ▒ perhaps  ░ no sign of it  · empty  ? not known";

/// The encrypted share of `disk` in `cells` characters, its interval as `▒`.
///
/// A share that is not zero shows at least one cell, one that is not whole leaves at least one.
pub(super) fn share(disk: &DiskRecord, cells: usize) -> String {
    if disk.encrypted_fraction.is_none() {
        return painted(DIM, &"?".repeat(cells));
    }
    let (low, high) = judge::interval(disk);
    let whole = cells as f64;
    let sure = (low.value() * whole).floor() as usize;
    let top = (high.value() * whole).round() as usize;
    let sure = sure.min(cells);
    // A bound below half a cell is the resolution of sampling, not a sign.
    let seen = disk.encrypted_fraction.is_some_and(|f| f.parts_per_million() > 0);
    let top = top.max(usize::from(seen)).clamp(sure, cells);
    let (colour, rest) = if judge::rest_is_good(disk) { (GOOD, "░") } else { (DIM, "?") };
    format!(
        "{}{}{}",
        painted(BAD, &"█".repeat(sure)),
        painted(BAD, &"▒".repeat(top - sure)),
        painted(colour, &rest.repeat(cells - top))
    )
}

/// Where along the disk what was seen: its strip in `cells` characters, each the worst of the
/// slices it stands for.
pub(super) fn strip(strip: &str, cells: usize) -> String {
    let slices: Vec<char> = strip.chars().collect();
    let cells = cells.min(slices.len());
    let mut out = String::new();
    for cell in 0..cells {
        let from = cell * slices.len() / cells;
        let to = (cell + 1) * slices.len() / cells;
        let worst = slices.get(from..to).unwrap_or_default().iter().max_by_key(|c| rank(**c));
        out.push_str(&match worst {
            Some('e') => painted(BAD, "█"),
            Some('d' | 'u') => painted(BAD, "!"),
            Some('i') => painted(GOOD, "░"),
            Some('.') => painted(DIM, "·"),
            _ => painted(DIM, "?"),
        });
    }
    out
}

fn rank(letter: char) -> u8 {
    match letter {
        '.' => 0,
        'i' => 1,
        'd' | 'u' => 3,
        'e' => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::{share, strip};
    use crate::report::{made, record::Fraction};

    fn bare(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_bar_shows_the_sure_part_the_doubtful_part_and_the_rest() {
        let mut disk = made::small().machines[2].disks[0].clone();
        assert_eq!(bare(&share(&disk, 10)), "███▒▒░░░░░");
        let mut set = |low, mid, high| {
            disk.encrypted_fraction_low = Some(Fraction::new(low));
            disk.encrypted_fraction = Some(Fraction::new(mid));
            disk.encrypted_fraction_high = Some(Fraction::new(high));
            bare(&share(&disk, 10))
        };
        assert_eq!(set(0.0, 0.0, 0.004), "░░░░░░░░░░");
        assert_eq!(set(0.0, 0.0001, 0.004), "▒░░░░░░░░░");
        assert_eq!(set(0.999, 0.9999, 1.0), "█████████▒");
        assert_eq!(set(1.0, 1.0, 1.0), "██████████");
        disk.encrypted_fraction = None;
        assert_eq!(bare(&share(&disk, 4)), "????");
    }

    #[test]
    fn a_strip_keeps_the_worst_of_what_it_folds() {
        assert_eq!(bare(&strip("....iiiieiiiiiii", 4)), "·░█░");
        assert_eq!(bare(&strip("eiu?.", 10)), "█░!?·");
        assert_eq!(bare(&strip("", 10)), "");
    }
}
