//! Words as a shell takes them, so that a command in a report can be copied as it stands.

use std::{ffi::OsStr, fmt::Write as _};

/// `word` quoted for bash, zsh and ksh where it needs quotes. Control characters, invisible ones
/// and bytes that are no UTF-8 become `$'…'` escapes, so the command fits on one line and is
/// safe to print. A word that begins with a dash is given as `./-…`, lest it reads as a flag.
#[must_use]
pub fn quote(word: &OsStr) -> String {
    let bytes = word.as_encoded_bytes();
    let lead = if bytes.first() == Some(&b'-') { "./" } else { "" };
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|t| matches!(super::plain::plain(t), std::borrow::Cow::Borrowed(_)));
    let Some(text) = text else { return ansi_c(lead, bytes) };
    let bare = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(bare) && !text.starts_with('=') {
        return format!("{lead}{text}");
    }
    format!("'{lead}{}'", text.replace('\'', r"'\''"))
}

fn ansi_c(lead: &str, bytes: &[u8]) -> String {
    let mut out = format!("$'{lead}");
    for &byte in bytes {
        match byte {
            b'\'' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            0x20..=0x7e => out.push(char::from(byte)),
            _ => {
                // Octal: unlike \x it takes three digits at most, whatever follows.
                let _ = write!(out, "\\{byte:03o}");
            }
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, process::Command};

    use super::quote;

    #[test]
    fn words_are_quoted_only_where_they_need_it() {
        let quoted = |w: &str| quote(OsStr::new(w));
        assert_eq!(quoted("ds01/SQL01/SQL01.vmx"), "ds01/SQL01/SQL01.vmx");
        assert_eq!(quoted("ds01/SQL 01"), "'ds01/SQL 01'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("-rf"), "./-rf");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a\nb"), r"$'a\nb'");
        assert_eq!(quoted("a\u{202e}b"), r"$'a\342\200\256b'");
    }

    #[cfg(unix)]
    #[test]
    fn bash_takes_every_quoted_word_as_the_same_bytes() {
        use std::os::unix::ffi::OsStrExt;
        let words: [&[u8]; 9] = [
            b"plain",
            b"two words",
            b"it's $HOME `id` \"x\" \\",
            b"a\nb\tc",
            b"caf\xe9 9",
            "\u{202e}rtl".as_bytes(),
            b"=cmd",
            b"*?[a]{b,c}~!#&;|<>()",
            b"\x01\x7f'\\",
        ];
        for word in words {
            let script = format!("printf %s {}", quote(OsStr::from_bytes(word)));
            let Ok(out) = Command::new("bash").arg("-c").arg(&script).output() else {
                eprintln!("skipped: no bash");
                return;
            };
            assert_eq!(out.stdout, word, "{script}");
        }
    }
}
