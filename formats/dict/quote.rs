//! Writing a value so that VMware reads back the same bytes.

use super::Charset;

/// `value` in quotes, escaped as VMware's own writer does: bytes 00-08, 0A-1F, `"`, `|` and 7F
/// become `|XX`; tab and everything from 80 on stay. The text is UTF-8.
#[must_use]
pub fn quote(value: &str) -> String {
    let mut out = String::with_capacity(value.len().saturating_add(2));
    out.push('"');
    for character in value.chars() {
        match u8::try_from(character) {
            Ok(byte) if must_escape(byte) => push_escape(&mut out, byte),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// The same for a file in another charset; `None` where the charset cannot say the value.
#[must_use]
pub fn quote_bytes(value: &str, charset: Charset) -> Option<Vec<u8>> {
    // Escape on the encoded bytes: a two-byte character may hold 7C as its second byte.
    let encoded = charset.encode(value)?;
    let mut out = Vec::with_capacity(encoded.len().saturating_add(2));
    out.push(b'"');
    for byte in encoded {
        if must_escape(byte) {
            let mut escape = String::new();
            push_escape(&mut escape, byte);
            out.extend_from_slice(escape.as_bytes());
        } else {
            out.push(byte);
        }
    }
    out.push(b'"');
    Some(out)
}

fn must_escape(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0a..=0x1f | b'"' | b'|' | 0x7f)
}

fn push_escape(out: &mut String, byte: u8) {
    out.push('|');
    for digit in [byte >> 4, byte & 0xf] {
        out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
    }
}
