//! VMware dictionary text: the `key = "value"` lines of `.vmx`, `.vmtx`, `.vmsd` and `esx.conf`.
//!
//! Grammar and escapes as open-vm-tools' `dictll.c` reads and writes them:
//! `[ws] name [ws] = [ws] value [ws] [#comment]`, a value bare or in double quotes, `|xx` one byte.

mod charset;
mod defect_list;
mod fields;
mod line;
mod quote;
mod secret;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer, ser::SerializeStruct};

pub use charset::Charset;
pub(crate) use defect_list::DefectList;
pub(crate) use line::{LineShape, parse_line, unescape};
pub use quote::{quote, quote_bytes};
pub use secret::{WITHHELD, is_secret_key};

use crate::{
    defect::{Checked, DefectKind},
    units::{ByteOffset, Bytes},
};

/// Most bytes read of one dictionary; real ones stay below 100 KB.
pub const MAX_DICTIONARY_BYTES: usize = 16 << 20;
/// Most entries kept of one dictionary.
pub const MAX_ENTRIES: usize = 1 << 16;

/// One `key = value` line.
///
/// `Debug` and `Serialize` withhold the value where [`is_secret_key`] holds for the key; the
/// field itself carries it, for those who rewrite the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key as spelled in the file.
    pub key: String,
    /// The value, escapes decoded.
    pub value: String,
    /// The value as written, without its quotes, escapes kept, where that is another text.
    pub raw: Option<Box<str>>,
    /// Whether it stood in double quotes.
    pub quoted: bool,
    /// Line number, from 1.
    pub line: u32,
    /// Where the key begins.
    pub at: ByteOffset,
    /// Where the raw value begins (behind the quote).
    pub value_at: ByteOffset,
    /// Bytes of the raw value.
    pub value_length: Bytes,
}

impl Entry {
    /// The value as written, without its quotes, escapes kept.
    #[must_use]
    pub fn raw(&self) -> &str {
        self.raw.as_deref().unwrap_or(&self.value)
    }

    /// The value for people and reports: [`WITHHELD`] in place of a secret.
    #[must_use]
    pub fn shown(&self) -> &str {
        if is_secret_key(&self.key) { WITHHELD } else { &self.value }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} = {:?}", self.line, self.key, self.shown())
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Entry", 4)?;
        fields.serialize_field("key", &self.key)?;
        fields.serialize_field("value", self.shown())?;
        fields.serialize_field("line", &self.line)?;
        fields.serialize_field("offset_bytes", &self.at)?;
        fields.end()
    }
}

/// A line that is neither blank, comment nor entry; kept verbatim, as VMware keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnnamedLine {
    /// Line number, from 1.
    pub line: u32,
    /// Where it begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// Its text, shortened to 120 characters; [`WITHHELD`] where it names a secret key.
    pub text: String,
}

/// A dictionary as read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dictionary {
    /// The file kind it was read as: `vmx`, `vmsd`.
    pub structure: &'static str,
    /// What the text is written in.
    pub charset: Charset,
    /// Whether a UTF-8 byte order mark stood in front.
    pub bom: bool,
    /// Every entry in file order, repeated keys included.
    pub entries: Vec<Entry>,
    /// Lines that do not fit the grammar.
    pub unnamed: Vec<UnnamedLine>,
    #[serde(skip)]
    by_key: BTreeMap<String, usize>,
}

impl Dictionary {
    /// Reads a whole dictionary. Damage becomes defects; what fits the grammar is kept.
    ///
    /// The charset is that of the `.encoding` entry; without one UTF-8 where the bytes allow it,
    /// else windows-1252. Beyond [`MAX_DICTIONARY_BYTES`] or [`MAX_ENTRIES`] reading stops with
    /// a defect. `structure` names the file kind in defects, such as `vmx`.
    #[must_use]
    pub fn parse(structure: &'static str, bytes: &[u8]) -> Checked<Self> {
        let mut defects = DefectList::new(structure);
        let whole = bytes.len();
        let bytes = bytes.get(..whole.min(MAX_DICTIONARY_BYTES)).unwrap_or(bytes);
        if whole > bytes.len() {
            defects.limit("text", bytes.len(), whole, MAX_DICTIONARY_BYTES);
        }
        let (bom, start) = if bytes.starts_with(b"\xef\xbb\xbf") { (true, 3) } else { (false, 0) };
        let charset = Charset::of(bytes.get(start..).unwrap_or_default(), bom, &mut defects, start);
        let mut dictionary = Self { structure, charset, bom, ..Self::default() };
        let mut at = start;
        let mut number = 0_u32;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            number = number.saturating_add(1);
            let end = memchr::memchr(b'\n', rest);
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
            if dictionary.entries.len() >= MAX_ENTRIES {
                defects.limit("entries", at, MAX_ENTRIES.saturating_add(1), MAX_ENTRIES);
                break;
            }
            dictionary.take_line(line, at, number, end.is_none(), &mut defects);
            at = at.saturating_add(line.len()).saturating_add(1);
        }
        Checked { value: dictionary, defects: defects.finish() }
    }

    fn take_line(
        &mut self,
        line: &[u8],
        at: usize,
        number: u32,
        last: bool,
        defects: &mut DefectList,
    ) {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(bad) = text.iter().position(|byte| is_junk(*byte)) {
            let value = u64::from(text.get(bad).copied().unwrap_or_default());
            defects.add("control character", at.saturating_add(bad), DefectKind::Unknown { value });
        }
        match parse_line(text) {
            LineShape::Blank => {}
            LineShape::Unnamed => {
                let text = self.shown_line(text);
                defects.add("line", at, DefectKind::Syntax { line: number, text: text.clone() });
                self.unnamed.push(UnnamedLine { line: number, at: offset(at), text });
            }
            LineShape::Entry { key_at, key, value_at, value, quoted } => {
                let value_at = at.saturating_add(value_at);
                if last && !quoted {
                    let have = u64::try_from(value.len()).unwrap_or(u64::MAX);
                    let need = have.saturating_add(1);
                    defects.add("value", value_at, DefectKind::Truncated { need, have });
                }
                let (key, key_bad) = self.charset.decode(key);
                let (mut decoded, mut bad) = self.charset.decode(value);
                let mut raw = None;
                if memchr::memchr(b'|', value).is_some() {
                    let (plain, plain_bad) = self.charset.decode(&unescape(value));
                    if plain != decoded {
                        raw = Some(decoded.into_boxed_str());
                    }
                    decoded = plain;
                    bad |= plain_bad;
                }
                if key_bad || bad {
                    let encoding = self.charset.name().to_owned();
                    defects.add("value", value_at, DefectKind::Encoding { encoding });
                }
                self.push(
                    Entry {
                        key,
                        value: decoded,
                        raw,
                        quoted,
                        line: number,
                        at: offset(at.saturating_add(key_at)),
                        value_at: offset(value_at),
                        value_length: Bytes(u64::try_from(value.len()).unwrap_or(u64::MAX)),
                    },
                    defects,
                );
            }
        }
    }

    fn push(&mut self, entry: Entry, defects: &mut DefectList) {
        let index = self.entries.len();
        if self.by_key.insert(entry.key.to_lowercase(), index).is_some() {
            let (line, what) = (entry.line, shorten(&entry.key));
            defects.add_at("key", entry.at, DefectKind::Duplicate { line, what });
        }
        self.entries.push(entry);
    }

    fn shown_line(&self, line: &[u8]) -> String {
        let (text, _) = self.charset.decode(line.get(..line.len().min(4096)).unwrap_or(line));
        if secret::mentions_secret(&text) { WITHHELD.to_owned() } else { shorten(&text) }
    }

    /// The last entry of that key, whatever its case.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.by_key.get(&key.to_lowercase()).and_then(|index| self.entries.get(*index))
    }

    /// The decoded value of the last entry of that key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(|entry| entry.value.as_str())
    }

    /// Whether the value is VMware's `TRUE`; `None` without the key.
    #[must_use]
    pub fn is_true(&self, key: &str) -> Option<bool> {
        self.value(key).map(|value| {
            matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "y" | "on")
        })
    }

    /// The value as a decimal number; `None` without the key or where it is none.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.value(key).and_then(|value| value.trim().parse().ok())
    }

    /// The last entry of each key, sorted by lower-cased key.
    pub fn effective(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.by_key
            .iter()
            .filter_map(|(key, index)| Some((key.as_str(), self.entries.get(*index)?)))
    }

    /// The last entry of each key that begins with `prefix` (any case), sorted.
    pub fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &Entry)> {
        let prefix = prefix.to_lowercase();
        self.by_key
            .range(prefix.clone()..)
            .take_while(move |(key, _)| key.starts_with(&prefix))
            .filter_map(|(key, index)| Some((key.as_str(), self.entries.get(*index)?)))
    }
}

/// Whether these bytes look like a dictionary: no NUL, and most lines fit the grammar.
#[must_use]
pub fn looks_like_dictionary(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let (mut named, mut unnamed) = (0_u32, 0_u32);
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { continue };
        match parse_line(line.strip_suffix(b"\r").unwrap_or(line)) {
            LineShape::Blank => {}
            LineShape::Unnamed => unnamed = unnamed.saturating_add(1),
            LineShape::Entry { .. } => named = named.saturating_add(1),
        }
    }
    !head.contains(&0) && named > unnamed.saturating_mul(4)
}

fn is_junk(byte: u8) -> bool {
    byte == 0x7f || (byte < 0x20 && byte != b'\t')
}

pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(120).collect()
}

pub(crate) fn offset(at: usize) -> ByteOffset {
    ByteOffset(u64::try_from(at).unwrap_or(u64::MAX))
}
