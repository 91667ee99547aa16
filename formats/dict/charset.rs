//! The charset a dictionary declares in `.encoding`, under the names VMware (ICU) writes.

use encoding_rs::{BIG5, EUC_KR, Encoding, GBK, SHIFT_JIS, UTF_8, WINDOWS_1252};
use serde::{Serialize, Serializer};

use super::{DefectList, LineShape, parse_line};
use crate::defect::DefectKind;

/// What text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

impl Default for Charset {
    fn default() -> Self {
        Self(UTF_8)
    }
}

impl Serialize for Charset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Charset {
    /// The charset VMware calls `label`: `UTF-8`, `windows-1252`, `windows-949-2000`, `GBK`.
    #[must_use]
    pub fn named(label: &str) -> Option<Self> {
        let label = label.trim();
        let lower = label.to_ascii_lowercase();
        let page = lower.strip_prefix("windows-").or_else(|| lower.strip_prefix("ibm-"));
        let page = page.map(|page| page.split(['-', '_']).next().unwrap_or(page));
        let found = match page {
            Some("932" | "943" | "942") => Some(SHIFT_JIS),
            Some("936" | "1386") => Some(GBK),
            Some("949" | "1363") => Some(EUC_KR),
            Some("950" | "1373") => Some(BIG5),
            Some(page) => Encoding::for_label(format!("windows-{page}").as_bytes()),
            None => Encoding::for_label(lower.as_bytes()),
        };
        // UTF-16 and the stateful charsets cannot hold a line grammar of bytes.
        found
            .filter(|encoding| encoding.is_ascii_compatible())
            .or(matches!(lower.as_str(), "cp1252" | "latin1").then_some(WINDOWS_1252))
            .map(Self)
    }

    /// The charset's common name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The text, and whether any byte had to be replaced.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> (String, bool) {
        let (text, bad) = self.0.decode_without_bom_handling(bytes);
        (text.into_owned(), bad)
    }

    /// The bytes of `text`, or `None` where the charset has no way to say it.
    #[must_use]
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        let (bytes, _, bad) = self.0.encode(text);
        (!bad).then(|| bytes.into_owned())
    }

    /// The charset of a whole text that begins `start` bytes into its file.
    pub(super) fn of(text: &[u8], bom: bool, defects: &mut DefectList, start: usize) -> Self {
        let mut at = start;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let bare = line.strip_suffix(b"\n").unwrap_or(line);
            let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
            if let LineShape::Entry { key, value, value_at, .. } = parse_line(bare)
                && key.eq_ignore_ascii_case(b".encoding")
            {
                let label = String::from_utf8_lossy(value);
                return Self::named(&label).unwrap_or_else(|| {
                    let feature = format!("charset {:?}", super::shorten(&label));
                    let at = at.saturating_add(value_at);
                    defects.add(".encoding", at, DefectKind::Unsupported { feature });
                    Self::guess(text, bom)
                });
            }
            at = at.saturating_add(line.len());
        }
        let guess = Self::guess(text, bom);
        if let Err(bad) = std::str::from_utf8(text) {
            let encoding = if bom { "UTF-8" } else { "UTF-8, and no .encoding is declared" };
            let at = start.saturating_add(bad.valid_up_to());
            defects.add("text", at, DefectKind::Encoding { encoding: encoding.to_owned() });
        }
        guess
    }

    fn guess(text: &[u8], bom: bool) -> Self {
        Self(if bom || std::str::from_utf8(text).is_ok() { UTF_8 } else { WINDOWS_1252 })
    }
}
