//! One table of named bad inputs.

use std::{collections::BTreeSet, fmt::Write as _};

use vmglean_forge::vm::hurt::every_hurt;
use vmglean_formats::{Checked, Defect, FormatError};

/// Says that a value is wrong and nothing tells it.
const WRONG: &str = "WRONG WITHOUT A WORD";

/// Cases of one format.
pub(crate) struct Table {
    format: &'static str,
    cases: Vec<(String, String)>,
}

impl Table {
    pub(crate) fn new(format: &'static str) -> Self {
        Self { format, cases: Vec::new() }
    }

    pub(crate) fn format(&self) -> &'static str {
        self.format
    }

    pub(crate) fn len(&self) -> usize {
        self.cases.len()
    }

    /// A case and its answer.
    pub(crate) fn add(&mut self, name: impl Into<String>, answer: String) {
        self.cases.push((name.into(), answer));
    }

    /// Inputs that are written out.
    pub(crate) fn texts(&mut self, judge: impl Fn(&[u8]) -> String, cases: &[(&str, &str)]) {
        for (name, text) in cases {
            self.add(*name, judge(text.as_bytes()));
        }
    }

    /// A file with bytes put over it.
    pub(crate) fn patches(
        &mut self,
        whole: &[u8],
        judge: impl Fn(&[u8]) -> String,
        cases: &[(&str, usize, &[u8])],
    ) {
        for (name, at, bytes) in cases {
            let mut file = whole.to_vec();
            file[*at..at + bytes.len()].copy_from_slice(bytes);
            self.add(*name, judge(&file));
        }
    }

    /// Every numeric field (name, place, width) with the values that break readers.
    pub(crate) fn fields(
        &mut self,
        whole: &[u8],
        judge: impl Fn(&[u8]) -> String,
        fields: &[(&str, usize, usize)],
    ) {
        for (name, at, width) in fields {
            let mut now = [0; 8];
            now[..*width].copy_from_slice(&whole[*at..at + width]);
            let right = u64::from_le_bytes(now);
            let most = if *width == 8 { u64::MAX } else { (1 << (8 * width)) - 1 };
            let near = [right.wrapping_sub(1), right.wrapping_add(1), right.wrapping_mul(2)];
            let values = [0, 1, most, most / 2 + 1, most / 2].into_iter().chain(near);
            let values: BTreeSet<u64> =
                values.map(|value| value & most).filter(|value| *value != right).collect();
            for value in values {
                let mut file = whole.to_vec();
                file[*at..at + width].copy_from_slice(&value.to_le_bytes()[..*width]);
                self.add(format!("{name} is {value:#x}"), judge(&file));
            }
        }
    }

    /// Every cut at 512 bytes, every sector zeroed or overwritten.
    pub(crate) fn hurt(&mut self, of: &str, whole: &[u8], judge: impl Fn(&[u8]) -> String) {
        for (how, file) in every_hurt(whole) {
            self.add(format!("{of}: {how}"), judge(&file));
        }
    }

    /// Names that come twice and answers that are wrong without a word.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        let twice_or_wrong = self
            .cases
            .iter()
            .filter(|(name, answer)| !names.insert(name) || answer.contains(WRONG));
        twice_or_wrong.map(|(name, answer)| format!("{}: {name}: {answer}", self.format)).collect()
    }

    pub(crate) fn text(&self) -> String {
        let mut out = format!("{} bad inputs\n", self.cases.len());
        for (name, answer) in &self.cases {
            let _ = writeln!(out, "{name} => {answer}");
        }
        out
    }
}

/// The first defect and how many more there are; nothing where there is none.
pub(crate) fn told(defects: &[Defect]) -> Option<String> {
    let (first, more) = defects.split_first()?;
    let more = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
    Some(format!("{first}{more}"))
}

/// The answer for a value that must be the whole file's, or be told.
pub(crate) fn exact<T: PartialEq>(found: &Checked<T>, right: &T) -> String {
    told(&found.defects)
        .unwrap_or_else(|| if found.value == *right { "right" } else { WRONG }.to_owned())
}

/// As [`exact`], where the reader may refuse.
pub(crate) fn exact_or_refused<T: PartialEq>(
    found: Result<Checked<T>, FormatError>,
    right: &T,
) -> String {
    match found {
        Ok(found) => exact(&found, right),
        Err(error) => format!("refused: {error}"),
    }
}

/// The answer where a part may be missing without a trace: `kept` of `all` values are right, and
/// `wrong` says that another value is not.
pub(crate) fn partial(defects: &[Defect], kept: usize, all: usize, wrong: bool) -> String {
    told(defects).unwrap_or_else(|| match (wrong, kept == all) {
        (true, _) => WRONG.to_owned(),
        (false, true) => "right".to_owned(),
        (false, false) => format!("right as far as it goes: {kept} of {all}"),
    })
}
