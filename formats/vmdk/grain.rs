//! Grain tables of hosted sparse extents: which entry is believed, and of which copy.
//!
//! An entry must be a multiple of the grain size and lie behind the metadata. A sector in which
//! more than a quarter of the entries break that was overwritten: none of its entries is
//! believed, since random bytes hit a plausible value now and then. Of two copies the sound
//! sector wins as a whole; where both are sound and differ, the one that names a grain wins over
//! the one that names none, and two different grains make the entry lost.

use super::{
    blocks::{PIECE, u32s},
    defects::DefectSink,
    walk::Shape,
};
use crate::{
    defect::{Defect, DefectKind},
    units::{ByteOffset, SECTOR_BYTES},
};

pub(crate) const TABLE: &str = "GrainTable";

/// What makes an entry believable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Smallest sector a grain may begin at.
    pub(crate) low: u64,
    /// Grains begin at multiples of this.
    pub(crate) align: u64,
    /// Whether 1 means a grain of zeros.
    pub(crate) zeroed: bool,
}

/// One entry after the rule and the other copy were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    Absent,
    Zero,
    /// A sector.
    Grain(u64),
    Lost,
}

impl Rule {
    pub(crate) fn judge(self, entry: u32) -> Judged {
        let sector = u64::from(entry);
        match entry {
            0 => Judged::Absent,
            1 if self.zeroed => Judged::Zero,
            _ if sector < self.low || !sector.is_multiple_of(self.align) => Judged::Lost,
            _ => Judged::Grain(sector),
        }
    }
}

/// One copy of one sector of a table.
#[derive(Clone, Copy)]
pub(crate) struct Copy<'a> {
    /// Its bytes, where they came.
    pub(crate) bytes: Option<&'a [u8]>,
    /// Where it lies in the file.
    pub(crate) at: ByteOffset,
}

impl Copy<'_> {
    fn numbers(self) -> Vec<u32> {
        self.bytes.map(|bytes| u32s(bytes).collect()).unwrap_or_default()
    }
}

/// Whether a sector with so many broken among its used entries was overwritten.
pub(crate) fn is_torn(used: usize, broken: usize) -> bool {
    broken.saturating_mul(4) > used
}

fn broken(rule: Rule, entries: &[u32]) -> (usize, usize) {
    let used = entries.iter().filter(|entry| **entry != 0).count();
    let broken = entries.iter().filter(|entry| rule.judge(**entry) == Judged::Lost).count();
    (used, broken)
}

fn mismatch(expected: &str, found: impl Into<String>) -> DefectKind {
    DefectKind::Mismatch { expected: expected.to_owned(), found: found.into() }
}

/// Where the judged sector lies in the virtual extent.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) shape: Shape,
    pub(crate) table: u64,
    /// Index of the sector's first entry within the table.
    pub(crate) first_entry: usize,
}

impl Place {
    fn all(self) -> std::ops::Range<u64> {
        let last = self.first_entry.saturating_add(PIECE / 4 - 1);
        self.shape.grain_range(self.table, self.first_entry).start
            ..self.shape.grain_range(self.table, last).end
    }

    fn one(self, nth: usize) -> std::ops::Range<u64> {
        self.shape.grain_range(self.table, self.first_entry.saturating_add(nth))
    }
}

fn entry_at(sector: ByteOffset, nth: usize) -> ByteOffset {
    let nth = u64::try_from(nth).unwrap_or(0);
    ByteOffset(sector.0.saturating_add(nth.saturating_mul(4)))
}

/// Judges one sector of a table from the copies there are.
pub(crate) fn judge_sector(
    rule: Rule,
    place: Place,
    primary: Copy<'_>,
    redundant: Option<Copy<'_>>,
    out: &mut Vec<Judged>,
    sink: &mut DefectSink,
) {
    let width = PIECE / 4;
    let Some(other) = redundant else {
        return single(rule, place, primary, out, sink);
    };
    match (primary.bytes, other.bytes) {
        (Some(bytes), Some(same)) if bytes == same => single(rule, place, primary, out, sink),
        (Some(_), None) => single(rule, place, primary, out, sink),
        (None, Some(_)) => single(rule, place, other, out, sink),
        (None, None) => out.extend(std::iter::repeat_n(Judged::Lost, width)),
        (Some(_), Some(_)) => both(rule, place, primary, other, out, sink),
    }
}

fn single(rule: Rule, place: Place, copy: Copy<'_>, out: &mut Vec<Judged>, sink: &mut DefectSink) {
    if copy.bytes.is_none() {
        out.extend(std::iter::repeat_n(Judged::Lost, PIECE / 4));
        return;
    }
    let entries = copy.numbers();
    let (used, bad) = broken(rule, &entries);
    if bad == 0 {
        out.extend(entries.into_iter().map(|entry| rule.judge(entry)));
        return;
    }
    if is_torn(used, bad) {
        let found = format!("{bad} of {used} used entries that cannot be");
        let kind = mismatch("grains behind the metadata", found);
        sink.add_for(place.all(), Defect::new(TABLE, "entries", copy.at, kind));
        out.extend(std::iter::repeat_n(Judged::Lost, entries.len()));
        return;
    }
    for (nth, entry) in entries.into_iter().enumerate() {
        let judged = rule.judge(entry);
        if judged == Judged::Lost {
            let found = entry.to_string();
            let kind = mismatch("a multiple of the grain size behind the metadata", found);
            sink.add_for(place.one(nth), Defect::new(TABLE, "entry", entry_at(copy.at, nth), kind));
        }
        out.push(judged);
    }
}

fn both(
    rule: Rule,
    place: Place,
    primary: Copy<'_>,
    redundant: Copy<'_>,
    out: &mut Vec<Judged>,
    sink: &mut DefectSink,
) {
    let (first, second) = (primary.numbers(), redundant.numbers());
    let (used, bad) = broken(rule, &first);
    let (other_used, other_bad) = broken(rule, &second);
    let torn = |copy: Copy<'_>, bad: usize, used: usize, sink: &mut DefectSink| {
        let found = format!("{bad} of {used} used entries that cannot be");
        let kind = mismatch("what the other copy says, which is used", found);
        sink.add_for(place.all(), Defect::new(TABLE, "entries", copy.at, kind));
    };
    match (is_torn(used, bad), is_torn(other_used, other_bad)) {
        (true, false) => {
            torn(primary, bad, used, sink);
            return single(rule, place, redundant, out, sink);
        }
        (false, true) => {
            torn(redundant, other_bad, other_used, sink);
            return single(rule, place, primary, out, sink);
        }
        (true, true) => {
            torn(primary, bad, used, sink);
            torn(redundant, other_bad, other_used, sink);
            out.extend(std::iter::repeat_n(Judged::Lost, first.len()));
            return;
        }
        (false, false) => {}
    }
    for (nth, (one, two)) in first.into_iter().zip(second).enumerate() {
        let (a, b) = (rule.judge(one), rule.judge(two));
        if one == two && a != Judged::Lost {
            out.push(a);
            continue;
        }
        let judged = match (a, b) {
            // A broken entry beside an empty one: a grain may be lost, or none ever was there.
            (Judged::Lost, Judged::Absent) | (Judged::Absent, Judged::Lost) => Judged::Lost,
            (Judged::Lost, sound) | (sound, Judged::Lost) => sound,
            (Judged::Absent, named) | (named, Judged::Absent) => named,
            _ => Judged::Lost,
        };
        let expected = match judged {
            Judged::Lost => format!("{two} as the other copy says"),
            Judged::Absent | Judged::Zero | Judged::Grain(_) => {
                format!(
                    "{two} as the other copy says; {} is used",
                    if judged == a { one } else { two }
                )
            }
        };
        let kind = mismatch(&expected, one.to_string());
        sink.add_for(place.one(nth), Defect::new(TABLE, "entry", entry_at(primary.at, nth), kind));
        out.push(judged);
    }
}

/// A defect for a grain of which the file's end leaves too little.
pub(crate) fn past_end(at: ByteOffset, sector: u64, file_end: u64) -> Defect {
    let to = ByteOffset(sector.saturating_mul(SECTOR_BYTES));
    Defect::new(TABLE, "entry", at, DefectKind::PastEnd { to, end: ByteOffset(file_end) })
}
