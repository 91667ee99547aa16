//! From bytes to lines: NULs, encodings, escapes.

use encoding_rs::{BIG5, EUC_KR, Encoding, GBK, SHIFT_JIS, UTF_8};

/// One line of the descriptor with its place.
pub(super) struct Line {
    pub(super) number: u32,
    /// Bytes from the start of the descriptor.
    pub(super) start: usize,
    pub(super) text: String,
    /// Whether all its bytes fit the encoding.
    pub(super) faithful: bool,
}

/// Whether these first bytes of a file begin a descriptor: a `# Disk DescriptorFile` line in any
/// case, after at most a BOM, blank lines and other comments.
#[must_use]
pub fn looks_like_descriptor(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for line in bytes.split(|&byte| byte == b'\n').take(16) {
        let line = line.trim_ascii();
        let Some(comment) = line.strip_prefix(b"#") else {
            if line.is_empty() {
                continue;
            }
            return false;
        };
        if comment.trim_ascii().eq_ignore_ascii_case(b"disk descriptorfile") {
            return true;
        }
    }
    false
}

/// The text part of `bytes`: up to the first NUL. Writers pad with NULs.
pub(super) fn up_to_nul(bytes: &[u8]) -> &[u8] {
    memchr::memchr(0, bytes).and_then(|end| bytes.get(..end)).unwrap_or(bytes)
}

/// Lines of `bytes` with their number from 1 and their first byte; CR, LF and a BOM are dropped.
pub(super) fn split_lines(bytes: &[u8]) -> impl Iterator<Item = (u32, usize, &[u8])> {
    let mut number = 0u32;
    let mut start = 0usize;
    bytes.split(|&byte| byte == b'\n').map(move |line| {
        number = number.saturating_add(1);
        let at = start;
        start = start.saturating_add(line.len()).saturating_add(1);
        let mut line = line;
        while let (0, Some(rest)) = (at, line.strip_prefix(b"\xef\xbb\xbf")) {
            line = rest;
        }
        // A file that was converted twice has several.
        while let Some(rest) = line.strip_suffix(b"\r") {
            line = rest;
        }
        (number, at, line)
    })
}

/// The value of `encoding=` or `ddb.encoding`, looked for in the bytes before they are decoded.
pub(super) fn declared_encoding(bytes: &[u8]) -> Option<(u32, usize, String)> {
    split_lines(bytes).find_map(|(number, start, line)| {
        let equals = memchr::memchr(b'=', line)?;
        let name = line.get(..equals)?.trim_ascii();
        if !name.eq_ignore_ascii_case(b"encoding") && !name.eq_ignore_ascii_case(b"ddb.encoding") {
            return None;
        }
        let value = line.get(equals.checked_add(1)?..)?.trim_ascii();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.split(|&byte| byte == b'"').next().unwrap_or(value);
        Some((number, start, String::from_utf8_lossy(value.trim_ascii()).into_owned()))
    })
}

/// The encoding behind a label. Besides the WHATWG labels this knows the ICU names that VMware
/// writes: `windows-949-2000` and its kin.
pub(super) fn encoding_for(label: &str) -> Option<&'static Encoding> {
    if let Some(encoding) = Encoding::for_label(label.as_bytes()) {
        return Some(encoding);
    }
    let low = label.trim().to_ascii_lowercase();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| low.starts_with(prefix));
    if starts(&["windows-949", "ibm-949", "ibm-1363", "cp949"]) {
        Some(EUC_KR)
    } else if starts(&["windows-936", "ibm-1386", "cp936"]) {
        Some(GBK)
    } else if starts(&["windows-950", "ibm-1373", "cp950"]) {
        Some(BIG5)
    } else if starts(&["windows-932", "ibm-943", "windows-31j", "cp932"]) {
        Some(SHIFT_JIS)
    } else {
        // "windows-1252-2000", "ibm-5348_P100-1997" (its ICU name)
        let cut = low.get(..12).filter(|head| head.starts_with("windows-12"));
        match cut {
            Some(head) => Encoding::for_label(head.as_bytes()),
            None if low.starts_with("ibm-5348") => Some(encoding_rs::WINDOWS_1252),
            None => None,
        }
    }
}

/// The encoding to read with where nothing usable is declared.
pub(super) fn default_encoding() -> &'static Encoding {
    UTF_8
}

/// Decodes one line; bytes that do not fit come as U+FFFD and are told.
pub(super) fn decode_line(
    encoding: &'static Encoding,
    (number, start, bytes): (u32, usize, &[u8]),
) -> Line {
    match encoding.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(text) => Line { number, start, text: text.into_owned(), faithful: true },
        None => {
            let (text, _) = encoding.decode_without_bom_handling(bytes);
            Line { number, start, text: text.into_owned(), faithful: false }
        }
    }
}

/// Decodes `|xx` escapes (VMware's dictionary writer); pairs that are no hex stay as they are.
pub(super) fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('|') {
        out.push_str(before);
        let code = after
            .get(..2)
            .filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .filter(u8::is_ascii);
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push('|');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// A line cut to 120 characters for quoting.
pub(super) fn quote(text: &str) -> String {
    text.chars().take(120).collect()
}
