//! Dictionaries: grammar, charsets, secrets, damage.

use proptest::prelude::*;
use vmglean_forge::vm::{hurt::every_hurt, sealed::SECRET, text};

use super::*;

fn read(text: &[u8]) -> Checked<Dictionary> {
    Dictionary::parse("vmx", text)
}

fn texts(checked: &Checked<Dictionary>) -> Vec<String> {
    checked.defects.iter().map(ToString::to_string).collect()
}

#[test]
fn an_entry_knows_its_line_and_places() {
    let found = read(b"# comment\r\n\r\n  key\t= \"a|22b\" # more\r\n").value;
    let entry = found.get("KEY").unwrap();
    assert_eq!((entry.value.as_str(), entry.raw(), entry.line), ("a\"b", "a|22b", 3));
    assert_eq!((entry.at.0, entry.value_at.0, entry.value_length.0), (15, 22, 5));
}

#[test]
fn bare_and_empty_values_are_values() {
    let found = read(b"a = TRUE#x\nb =\nc = \"\"\nd=1\n");
    assert_eq!(texts(&found), Vec::<String>::new());
    let values: Vec<&str> = found.value.entries.iter().map(|entry| entry.value.as_str()).collect();
    assert_eq!(values, ["TRUE", "", "", "1"]);
}

#[test]
fn a_bar_without_two_hex_digits_stays() {
    assert_eq!(read(b"a = \"x|y |4 |7C |\"\n").value.value("a"), Some("x|y |4 | |"));
}

#[test]
fn the_last_of_two_wins_whatever_the_case() {
    let found = read(b"displayName = \"one\"\ndisplayname = \"two\"\n");
    assert_eq!(found.value.value("DISPLAYNAME"), Some("two"));
    assert_eq!(texts(&found), ["vmx.key at 0x14: line 2 says displayname again"]);
}

#[test]
fn the_declared_charset_decodes_the_values() {
    for (label, bytes, text) in [
        ("windows-1252", &b"\xe4"[..], "ä"),
        ("windows-949-2000", b"\xb0\xa1", "가"),
        ("GBK", b"\xd6\xd0", "中"),
        ("windows-936-2000", b"\xd6\xd0", "中"),
        ("windows-932", b"\x82\xa0", "あ"),
        ("Shift_JIS", b"\x82\xa0", "あ"),
        ("windows-950-2000", b"\xa4\xa4", "中"),
        ("UTF-8", "é".as_bytes(), "é"),
    ] {
        let file = [b".encoding = \"", label.as_bytes(), b"\"\nk = \"", bytes, b"\"\n"].concat();
        let found = read(&file);
        assert_eq!(found.value.value("k"), Some(text), "{label}");
        assert_eq!(texts(&found), Vec::<String>::new(), "{label}");
    }
}

#[test]
fn each_bad_text_is_named() {
    for (text, defect) in [
        (
            &b"a = \"1\"\nno equals\n"[..],
            "vmx.line at 0x8: line 2 is not understood: \"no equals\"",
        ),
        (b"a = \"torn\n", "vmx.line at 0x0: line 1 is not understood: \"a = \\\"torn\""),
        (b"a = \"1\" tail\n", "vmx.line at 0x0: line 1 is not understood: \"a = \\\"1\\\" tail\""),
        (b"a = 12", "vmx.value at 0x4: needs 3 bytes, 2 are there"),
        (b"a = \"x\0y\"\n", "vmx.control character at 0x6: unknown value 0x0"),
        (b".encoding = \"UTF-8\"\na = \"\xff\"\n", "vmx.value at 0x19: bytes are no valid UTF-8"),
        (
            b"a = \"\xff\"\n",
            "vmx.text at 0x5: bytes are no valid UTF-8, and no .encoding is declared",
        ),
        (
            b".encoding = \"klingon\"\n",
            "vmx..encoding at 0xd: uses charset \"klingon\", which is not supported",
        ),
    ] {
        assert_eq!(texts(&read(text)), [defect], "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn hostile_sizes_are_bounded() {
    let many = b"k=1\n".repeat(MAX_ENTRIES + 2);
    let found = read(&many);
    assert_eq!(found.value.entries.len(), MAX_ENTRIES);
    assert!(found.defects.len() <= 257);
    let last = texts(&found).pop().unwrap();
    assert_eq!(last, "vmx.defects at 0x400: 65536 passes the limit of 256");
    let long = vec![b'x'; MAX_DICTIONARY_BYTES + 1];
    assert_eq!(
        texts(&read(&long))[0],
        "vmx.text at 0x1000000: 16777217 passes the limit of 16777216"
    );
}

#[test]
fn no_view_shows_a_secret() {
    let text = format!(
        "encryption.keySafe = \"vmware:key/list/({SECRET})\"\nencryption.data = \"{SECRET}\n\
         guestinfo.userdata = \"{SECRET}\"\nsome.Password = \"{SECRET}\"\n"
    );
    let found = read(text.as_bytes());
    let shown = format!("{found:?}")
        + &serde_json::to_string(&found).unwrap()
        + &serde_json::to_string(&crate::Fields::fields(&found.value)).unwrap()
        + &texts(&found).join("");
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(shown.contains(WITHHELD));
}

#[test]
fn every_hurt_leaves_right_values_or_a_defect() {
    let whole = text::Machine::server("srv").vmx();
    let right = read(&whole);
    assert_eq!(texts(&right), Vec::<String>::new());
    for (how, hurt) in every_hurt(&whole) {
        let found = read(&hurt);
        let kept = found
            .value
            .effective()
            .all(|(key, entry)| right.value.value(key) == Some(entry.value.as_str()));
        assert!(kept || !found.defects.is_empty(), "{how}");
        if !how.starts_with("cut") {
            assert!(!found.defects.is_empty(), "{how}");
        }
    }
}

#[test]
fn a_binary_file_is_no_dictionary() {
    assert!(looks_like_dictionary(b".encoding = \"UTF-8\"\na = \"1\"\n"));
    assert!(!looks_like_dictionary(b"KDMV\x01\0\0\0"));
    assert!(!looks_like_dictionary(b"just some prose\nover two lines\n"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes);
        let _ = looks_like_dictionary(&bytes);
    }

    #[test]
    fn what_is_quoted_reads_back(value in "\\PC*|[\\x00-\\x7f]*") {
        let line = format!("k = {}\n", quote(&value));
        let found = read(line.as_bytes());
        prop_assert_eq!(found.value.value("k"), Some(value.as_str()));
        prop_assert_eq!(quote(&value), text::escaped(&value));
        prop_assert!(!quote(&value).trim_matches('"').contains(['"', '\n', '\r', '\0']));
    }

    #[test]
    fn what_is_quoted_in_a_charset_reads_back(value in "[ -~äöü中文가]*") {
        for label in ["windows-1252", "GBK", "windows-949-2000", "windows-950-2000"] {
            let charset = Charset::named(label).unwrap();
            if let Some(bytes) = quote_bytes(&value, charset) {
                let head = format!(".encoding = \"{label}\"\nk = ");
                let file = [head.as_bytes(), &bytes, b"\n"].concat();
                let found = read(&file);
                prop_assert_eq!(found.value.value("k"), Some(value.as_str()));
            }
        }
    }

    #[test]
    fn forged_pairs_read_back(pairs in proptest::collection::btree_map("[a-z][a-z0-9:.]{0,12}", "\\PC{0,20}", 0..20)) {
        let pairs: Vec<(String, String)> = pairs.into_iter().collect();
        let found = read(&text::dictionary(Some("UTF-8"), &pairs));
        prop_assert_eq!(found.defects.len(), 0);
        for (key, value) in &pairs {
            prop_assert_eq!(found.value.value(key), Some(value.as_str()));
        }
    }
}
