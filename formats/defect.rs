//! What can be wrong with bytes, worded once and for all formats.

use std::io;

use serde::Serialize;

use crate::units::{ByteOffset, Bytes};

/// One field that does not hold what its format allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{structure}.{field} at {at}: {kind}")]
pub struct Defect {
    /// The format's own name of the structure: `SparseExtentHeader`.
    pub structure: &'static str,
    /// The format's own name of the field: `grainSize`.
    pub field: &'static str,
    /// Where the field lies, from the start of the file.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// In which way it does not hold.
    pub kind: DefectKind,
}

/// In which way a field does not hold. Add a kind where none fits; do not stretch one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum DefectKind {
    /// The bytes end too early.
    #[error("needs {need} bytes, {have} are there")]
    Truncated {
        /// Bytes the structure needs.
        need: u64,
        /// Bytes that are there.
        have: u64,
    },
    /// The identifying value is another one.
    #[error("magic is {found:#x}, not {expected:#x}")]
    Magic {
        /// What the format asks for.
        expected: u64,
        /// What was read.
        found: u64,
    },
    /// A number outside what the format allows.
    #[error("{value} is outside {min}..={max}")]
    OutOfRange {
        /// What was read.
        value: u64,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// A number that must be a power of two.
    #[error("{value} is not a power of two")]
    NotPowerOfTwo {
        /// What was read.
        value: u64,
    },
    /// A pointer that leads past the end of its file.
    #[error("points to {to}, past the end at {end}")]
    PastEnd {
        /// Where it points.
        to: ByteOffset,
        /// Where the file ends.
        end: ByteOffset,
    },
    /// Two things claim the same place.
    #[error("claims {to}, which is taken already")]
    Overlap {
        /// The contested place.
        to: ByteOffset,
    },
    /// Two copies, or a value and what it must follow from, disagree.
    #[error("is {found}, expected {expected}")]
    Mismatch {
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Text that does not follow its grammar.
    #[error("line {line} is not understood: {text:?}")]
    Syntax {
        /// Line number, from 1.
        line: u32,
        /// The line, shortened to 120 characters.
        text: String,
    },
    /// The same thing is said twice.
    #[error("line {line} says {what} again")]
    Duplicate {
        /// Line number, from 1.
        line: u32,
        /// The repeated name.
        what: String,
    },
    /// Something the format requires is not there.
    #[error("{what} is missing")]
    Missing {
        /// What is missing.
        what: String,
    },
    /// Compressed data that does not inflate to what was promised.
    #[error("compressed data is broken: {why}")]
    Inflate {
        /// The inflater's word or the length that came out.
        why: String,
    },
    /// Text in an encoding that does not fit its bytes.
    #[error("bytes are no valid {encoding}")]
    Encoding {
        /// The declared encoding.
        encoding: String,
    },
    /// A count or length beyond what this reader accepts.
    #[error("{value} passes the limit of {limit}")]
    Limit {
        /// What was read.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// A value nobody documented.
    #[error("unknown value {value:#x}")]
    Unknown {
        /// What was read.
        value: u64,
    },
    /// The medium did not deliver these bytes.
    #[error("{length} could not be read: {why}")]
    Unreadable {
        /// How many bytes.
        length: Bytes,
        /// The system's word.
        why: String,
    },
    /// A word that is in no list of the format.
    #[error("unknown word {word:?}")]
    UnknownWord {
        /// The word, shortened to 120 characters.
        word: String,
    },
    /// A feature that is understood but not served.
    #[error("uses {feature}, which is not supported")]
    Unsupported {
        /// The feature.
        feature: String,
    },
}

/// What a reader answers when no value is possible. Three failures, three different next steps.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The medium failed: try another copy of the source.
    #[error("cannot read {len} at {at}")]
    Medium {
        /// Where the read began.
        at: ByteOffset,
        /// How much was asked for.
        len: Bytes,
        /// The system's error.
        source: io::Error,
    },
    /// The bytes are there but broken: try salvage.
    #[error(transparent)]
    Damaged(#[from] Defect),
    /// Whole, but beyond this version.
    #[error("{structure} at {at} uses {feature}")]
    Unsupported {
        /// The structure's own name.
        structure: &'static str,
        /// What it uses.
        feature: &'static str,
        /// Where.
        at: ByteOffset,
    },
}

/// A value that could be read, with what was wrong on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked<T> {
    /// The value.
    pub value: T,
    /// What was wrong, in file order.
    pub defects: Vec<Defect>,
}

impl<T> Checked<T> {
    /// A value with nothing wrong.
    pub fn clean(value: T) -> Self {
        Self { value, defects: Vec::new() }
    }

    /// The same defects round another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Checked<U> {
        Checked { value: f(self.value), defects: self.defects }
    }
}

impl Defect {
    /// A defect of `structure.field` lying at `at`.
    #[must_use]
    pub fn new(
        structure: &'static str,
        field: &'static str,
        at: ByteOffset,
        kind: DefectKind,
    ) -> Self {
        Self { structure, field, at, kind }
    }
}
