//! The manifest: a digest a file, `SHA256(name)= hex`.

use serde::Serialize;

use crate::{
    defect::{Checked, DefectKind},
    dict::{DefectList, shorten},
    units::ByteOffset,
};

const MAX_LINES: usize = 1 << 16;
const MAX_MANIFEST_BYTES: usize = 16 << 20;

/// Which digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DigestKind {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// Which digest.
    pub kind: DigestKind,
    /// File name, as written; may point anywhere.
    pub name: String,
    /// Lower-case hex.
    pub hex: String,
    /// Line number, from 1.
    pub line: u32,
    /// Where the line begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
}

/// A manifest as read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// Its lines, in order.
    pub digests: Vec<Digest>,
}

impl Manifest {
    /// Reads a manifest; lines that are none are defects.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let mut defects = DefectList::new("Manifest");
        let whole = bytes.len();
        let bytes = bytes.get(..whole.min(MAX_MANIFEST_BYTES)).unwrap_or(bytes);
        if whole > bytes.len() {
            defects.limit("text", bytes.len(), whole, MAX_MANIFEST_BYTES);
        }
        let mut value = Self::default();
        let mut at = 0_usize;
        for (number, line) in (1_u32..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            let text = String::from_utf8_lossy(line);
            let text = text.trim_end_matches(['\r', '\n']);
            let torn = text.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER);
            match digest(text).filter(|_| !torn) {
                Some((kind, name, hex)) if value.digests.len() < MAX_LINES => {
                    let at = crate::dict::offset(at);
                    value.digests.push(Digest { kind, name, hex, line: number, at });
                }
                Some(_) => {
                    defects.limit("lines", at, MAX_LINES.saturating_add(1), MAX_LINES);
                    break;
                }
                None if text.trim().is_empty() => {}
                None => {
                    let text = shorten(text);
                    defects.add("line", at, DefectKind::Syntax { line: number, text });
                }
            }
            at = at.saturating_add(line.len());
        }
        Checked { value, defects: defects.finish() }
    }
}

fn digest(line: &str) -> Option<(DigestKind, String, String)> {
    let (kind, rest) = line.split_once('(')?;
    let (name, hex) = rest.rsplit_once(')')?;
    let hex = hex.trim().strip_prefix('=')?.trim().to_ascii_lowercase();
    let (kind, digits) = match kind.trim().to_ascii_uppercase().as_str() {
        "SHA1" => (DigestKind::Sha1, 40),
        "SHA256" => (DigestKind::Sha256, 64),
        "SHA512" => (DigestKind::Sha512, 128),
        _ => return None,
    };
    let whole = hex.len() == digits && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    (whole && !name.is_empty()).then(|| (kind, name.to_owned(), hex))
}
