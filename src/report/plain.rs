//! Text from evidence made harmless to show: names and notes are hostile input.
//!
//! A name may hold newlines, escape sequences that drive a terminal, or marks that turn the
//! reading direction around so that `gpj.exe` reads as a picture. They are shown as what they
//! are (`\n`, `\x1b`, `\u{202e}`), never sent.

use std::{borrow::Cow, fmt::Write as _};

use super::record::RecordPath;

/// `text` on one line, everything that could move a cursor or hide characters spelled out.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        push(&mut out, c);
    }
    Cow::Owned(out)
}

/// A path on one line; bytes that are no UTF-8 as `\xNN`.
#[must_use]
pub fn plain_path(path: &RecordPath) -> String {
    let mut out = String::new();
    for chunk in path.0.as_os_str().as_encoded_bytes().utf8_chunks() {
        out.push_str(&plain(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if !is_unsafe(c) => out.push(c),
        c if u32::from(c) < 0x100 => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

/// Controls, direction marks, invisible characters, line separators, tags, private noncharacters.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, path::PathBuf};

    use super::{plain, plain_path};
    use crate::report::record::RecordPath;

    #[test]
    fn a_name_that_is_harmless_is_left_alone() {
        assert!(matches!(plain("Büro-Server 01 [ä].vmdk"), Cow::Borrowed(_)));
    }

    #[test]
    fn newlines_escapes_and_direction_marks_are_spelled_out() {
        assert_eq!(plain("a\nb\x1b[2Jc\u{9b}d"), "a\\nb\\x1b[2Jc\\x9bd");
        assert_eq!(plain("SQL\u{202e}kdmv.exe\u{2066}"), "SQL\\u{202e}kdmv.exe\\u{2066}");
        assert_eq!(plain("a\u{200b}b\u{feff}\u{e0041}"), "a\\u{200b}b\\u{feff}\\u{e0041}");
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_utf8_are_shown_as_bytes() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let path = RecordPath(PathBuf::from(OsStr::from_bytes(b"ds/caf\xe9\n.vmdk")));
        assert_eq!(plain_path(&path), "ds/caf\\xe9\\n.vmdk");
    }
}
