//! One family, as the data file describes it.

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;

/// How sure an entry is of what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A weak source, or memory of one.
    Low,
    /// One good source or several secondary ones.
    Medium,
    /// A decryptor's code, a recovery tool, or several sources.
    High,
}

/// Where an entry's facts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Taken from the cited sources.
    Read,
    /// Partly from the sources, partly remembered.
    Mixed,
    /// Remembered from a named report; check before relying on it.
    Recalled,
}

/// Letters a per-victim suffix is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuffixShape {
    /// ASCII letters and digits.
    Alphanumeric,
    /// Lower-case hexadecimal digits.
    Hex,
    /// Decimal digits.
    Digits,
}

/// A suffix made anew for each victim: what is known is its shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuffixRule {
    /// Fixed text at its beginning, without the dot; often empty.
    pub prefix: String,
    /// Letters of the rest.
    pub shape: SuffixShape,
    /// Shortest length of the rest.
    pub min_length: usize,
    /// Longest length of the rest.
    pub max_length: usize,
}

/// How a footer states the damage in clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Geometry {
    /// Akira, build of 2023: mode, percent and size in the last 10 of 22 bytes.
    Akira2023,
    /// Conti: mode, percent and size, as Akira but with other mode values.
    Conti,
    /// Play: 40 bytes with a hashed marker, block size and step.
    Play,
    /// Black Basta: version byte, progress counter, campaign magic.
    BlackBasta,
    /// Royal: size and percent.
    Royal,
    /// RansomHub: 113 bytes, chunk count.
    RansomHub,
    /// Money Message: self-checking by CRC-32.
    MoneyMessage,
    /// BlackCat: sector count and campaign marker.
    BlackCat,
}

/// Bytes that a family appends to each file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FooterForm {
    /// How many bytes, where that is fixed.
    pub length_bytes: Option<u64>,
    /// Bytes that identify it.
    pub magic: Option<Vec<u8>>,
    /// Where those bytes begin, counted back from the end of the file.
    pub magic_from_end_bytes: Option<u64>,
    /// How it states the damage in clear text, if it does.
    pub geometry: Option<Geometry>,
    /// Whether the length is only inferred or remembered.
    pub recalled: bool,
}

/// Bytes that a family writes over the head of each file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderMark {
    /// First overwritten byte.
    pub offset_bytes: u64,
    /// How many bytes.
    pub length_bytes: u64,
    /// The marker of one published sample; other campaigns have others.
    pub sample_magic: Vec<u8>,
}

/// What is known of one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// Its usual name; unique in the data.
    pub name: String,
    /// Other names in use.
    pub aliases: Vec<String>,
    /// Fixed suffixes with their dot.
    pub suffixes: Vec<String>,
    /// Shapes of per-victim suffixes.
    pub suffix_rules: Vec<SuffixRule>,
    /// Names of companion files it leaves beside a file: `{file}.args`.
    pub sidecars: Vec<String>,
    /// Names of its notes; `{id}` stands for any run of letters, digits, `_` and `-`.
    pub notes: Vec<String>,
    /// Words found in its notes.
    pub markers: Vec<String>,
    /// File endings it is reported to take; empty where that is not known.
    pub targets: Vec<String>,
    /// Footers it is known to append; several builds, several forms.
    pub footers: Vec<FooterForm>,
    /// Bytes it writes over the head.
    pub header: Option<HeaderMark>,
    /// Where it damages a large file.
    pub patterns: Vec<Pattern>,
    /// What a victim should know about it.
    pub advice: Vec<String>,
    /// Where the facts come from.
    pub basis: Basis,
    /// How sure they are.
    pub confidence: Confidence,
    /// Places to look them up.
    pub sources: Vec<String>,
}
