//! `DataTransformEnvelope`: how ESXi 7 and later keep their state (`local.tgz.ve`).

use serde::Serialize;

use crate::{
    defect::{Checked, Defect, DefectKind, FormatError},
    dict::DefectList,
    field::{FieldNote, Fields},
    read::ReadAt,
    units::{ByteOffset, Bytes},
};

const MAGIC: &[u8] = b"DataTransformEnvelope";
const FOOTER_MAGIC: &[u8] = b"DataTransformAeadFooter";
const BLOCK_BYTES: usize = 4096;
const MAX_ATTRIBUTES: usize = 64;

/// One attribute; values that are keys or nonces are told by length alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnvelopeAttribute {
    /// `vmware.cipherName`, `vmware.keyInfo`.
    pub name: String,
    /// Its value where it is text; `n bytes` where it is not.
    pub value: String,
    /// Where it begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
}

/// The head of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Envelope {
    /// Version; 2 in the sample.
    pub version: u32,
    /// Its attributes, in order.
    pub attributes: Vec<EnvelopeAttribute>,
    /// Whether the last block is the AEAD footer.
    pub footer: bool,
    /// Bytes between header and footer.
    pub body: Bytes,
}

impl Envelope {
    /// Reads header and footer.
    ///
    /// # Errors
    /// [`FormatError::Medium`], or [`FormatError::Damaged`] where the magic is another one or
    /// the header is cut.
    pub fn parse(file: &dyn ReadAt) -> Result<Checked<Self>, FormatError> {
        let mut defects = DefectList::new("DataTransformEnvelope");
        let head = file.read_up_to(ByteOffset(0), BLOCK_BYTES)?;
        let defect = |field, kind| Defect::new("DataTransformEnvelope", field, ByteOffset(0), kind);
        if !head.starts_with(MAGIC) {
            let what = "the word DataTransformEnvelope".to_owned();
            return Err(defect("magic", DefectKind::Missing { what }).into());
        }
        let have = u64::try_from(head.len()).unwrap_or(u64::MAX);
        if head.len() < BLOCK_BYTES {
            return Err(defect("header", DefectKind::Truncated { need: 4096, have }).into());
        }
        let number = |at: usize| {
            let bytes = head.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let version = number(508);
        if version != 2 {
            defects.add("version", 508, DefectKind::Unknown { value: version.into() });
        }
        let attributes = attributes(&head, &mut defects);
        for name in ["vmware.cipherName", "vmware.keyInfo"] {
            if !attributes.iter().any(|attribute| attribute.name == name) {
                let what = format!("the attribute {name}");
                defects.add("attribute", 512, DefectKind::Missing { what });
            }
        }
        let length = file.len_bytes();
        let footer_at = length.saturating_sub(4096);
        let footer = footer_at >= 4096
            && file.read_up_to(ByteOffset(footer_at), FOOTER_MAGIC.len())? == FOOTER_MAGIC;
        if !footer {
            let what = "the DataTransformAeadFooter block".to_owned();
            defects.add_at("footer", ByteOffset(footer_at), DefectKind::Missing { what });
        }
        let tail = if footer { 8192 } else { 4096 };
        let body = Bytes(length.saturating_sub(tail));
        Ok(Checked { value: Self { version, attributes, footer, body }, defects: defects.finish() })
    }

    /// The text of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|known| known.name == name).map(|known| known.value.as_str())
    }
}

/// u8 type, u8 flag, u16 zero, NUL-ended name, then a NUL-ended text (11), a u64 length with
/// bytes (12) or a number (1 to 10, taken as eight bytes: none in the sample).
fn attributes(head: &[u8], defects: &mut DefectList) -> Vec<EnvelopeAttribute> {
    let mut found = Vec::new();
    let mut at = 512_usize;
    while found.len() < MAX_ATTRIBUTES {
        let start = at;
        let kind = head.get(at).copied().unwrap_or(0);
        if kind == 0 {
            break;
        }
        let torn = |defects: &mut DefectList| {
            let encoding = "attribute".to_owned();
            defects.add("attribute", start, DefectKind::Encoding { encoding });
        };
        let Some((name, next)) = nul_text(head, at.saturating_add(4)) else {
            torn(defects);
            break;
        };
        let value = match kind {
            11 => nul_text(head, next),
            12 => {
                let length = head.get(next..).and_then(|rest| rest.first_chunk());
                let length = length.map(|bytes| u64::from_le_bytes(*bytes));
                let length = length.and_then(|length| usize::try_from(length).ok());
                length
                    .and_then(|length| Some((length, next.checked_add(8)?.checked_add(length)?)))
                    .filter(|(_, end)| *end <= head.len())
                    .map(|(length, end)| (format!("{length} bytes"), end))
            }
            1..=10 => {
                let bytes = head.get(next..).and_then(|rest| rest.first_chunk());
                bytes.map(|bytes| (u64::from_le_bytes(*bytes).to_string(), next.saturating_add(8)))
            }
            _ => None,
        };
        let Some((value, next)) = value else {
            torn(defects);
            break;
        };
        found.push(EnvelopeAttribute { name, value, at: crate::dict::offset(start) });
        at = next;
    }
    found
}

fn nul_text(bytes: &[u8], at: usize) -> Option<(String, usize)> {
    let rest = bytes.get(at..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(rest.get(..end)?).ok()?;
    let sound = !text.is_empty() && !text.chars().any(char::is_control);
    sound.then(|| (text.to_owned(), at.saturating_add(end).saturating_add(1)))
}

impl Fields for Envelope {
    fn fields(&self) -> Vec<FieldNote> {
        let structure = "DataTransformEnvelope";
        let version = self.version.to_string();
        let mut notes =
            vec![FieldNote::new(structure, "version", ByteOffset(508), Bytes(4), version)];
        for attribute in &self.attributes {
            let (name, value) = (attribute.name.clone(), attribute.value.clone());
            notes.push(FieldNote::new(structure, name, attribute.at, Bytes(0), value));
        }
        notes
    }
}
