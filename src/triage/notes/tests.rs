//! Notes and ordinary texts. The notes are written for these tests in the manner of real ones.

use super::*;
use crate::families::Families;

fn judge(name: &str, text: &str) -> Option<RansomNote> {
    judge_note(name.as_bytes(), text.as_bytes(), &Families::built_in().unwrap())
}

const QILIN: &str = "-- Qilin\r\n\r\nYour network/system was encrypted.\r\nEncrypted files have \
    new extension.\r\n\r\n-- Compromising and sensitive data\r\nWe have downloaded compromising \
    data. If you refuse, it will be published.\r\n\r\n-- Recovery\r\n1) Download tor browser: \
    https://www.torproject.org/download/\r\n2) Go to domain\r\n\r\nExtension: DtMXQFOCos\r\n\
    Domain: abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwx.onion\r\nlogin: \
    a1b2c3d4-0000\r\npassword: x\r\n";

const UNNAMED: &str = "Hello!\nAll your files have been encrypted and your data was stolen.\n\
    To get the decryption tool you have to pay in bitcoin.\nDo not rename files.\nDo not try to \
    use third party software.\nYour ID: 77AB12CD34\nWrite to: help.us@onionmail.org\n";

#[test]
fn a_note_is_quoted_parsed_and_named() {
    let note = judge("README-RECOVER-DtMXQFOCos.txt", QILIN).unwrap();
    assert_eq!(note.families[0].family, "Qilin");
    assert_eq!(note.facts.extensions, ["DtMXQFOCos"]);
    assert_eq!(
        note.facts.onion_addresses,
        ["abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwx.onion"]
    );
    assert_eq!(note.facts.victim_ids, ["a1b2c3d4-0000", "DtMXQFOCos"]);
    assert_eq!(note.quote[0], "-- Qilin");
    assert!(note.score >= 100 && note.reasons.len() >= 5, "{note:?}");
}

#[test]
fn an_unknown_note_is_found_by_what_it_says_under_any_name() {
    for name in ["important.txt", "readme.txt", "0000_open_me"] {
        let note = judge(name, UNNAMED).unwrap_or_else(|| panic!("{name}"));
        assert!(note.families.is_empty());
        assert_eq!(note.facts.victim_ids, ["77AB12CD34"]);
        assert_eq!(note.facts.contacts, ["help.us@onionmail.org"]);
    }
}

#[test]
fn a_page_and_a_utf_16_text_are_read_as_text() {
    let page = format!(
        "<html><head><style>p {{ color: red }}</style><script>var a = '<b>';</script></head>\
         <body><h1>How to restore</h1><p>{}</p></body></html>",
        UNNAMED.replace('\n', "<br>")
    );
    let note = judge("index.html", &page).unwrap();
    assert_eq!(note.quote[0], "How to restore");
    let wide: Vec<u8> = std::iter::once(0xFEFFu16)
        .chain(UNNAMED.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(judge_note(b"a.txt", &wide, &Families::built_in().unwrap()).is_some());
}

#[test]
fn a_name_that_only_notes_have_is_enough_unless_the_content_is_no_text() {
    assert!(judge("akira_readme.txt", "hello").is_some());
    assert!(judge("FAIL_STATE_NOTIFICATION.pdf", "%PDF-1.7\n\u{0}\u{1}").is_some());
    let noise: Vec<u8> =
        (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert!(judge_note(b"akira_readme.txt", &noise, &Families::built_in().unwrap()).is_none());
}

#[test]
fn ordinary_texts_are_no_notes() {
    let license = "Licensed under the Apache License, Version 2.0. You may not use this file \
        except in compliance with the License. Cryptographic software: your use of encryption \
        may be restricted. Payment of fees is not required. Contact us for a private key.";
    let backup = "Backup job finished. Your data is encrypted with AES-256. Keep the decryption \
        key in a safe place; without it you cannot restore your files. Do not delete the \
        repository.";
    let table = [
        ("README.txt", "Thank you for installing ExampleDB. See docs/ for the manual.\n"),
        ("readme.txt", "Drivers for the storage controller, version 8.1. Run setup.sh.\n"),
        ("README", "This folder holds the installation media of the cluster.\n"),
        ("README_en.txt", "English documentation of the printer driver.\n"),
        ("note.txt", "call the vendor on Monday about the support contract\n"),
        ("Contact Us.txt", "Phone: 555 0100. Mail: support@example.com. Contact us any time.\n"),
        ("LICENSE", license),
        ("backup.txt", backup),
        (
            "vmware.log",
            "2026-01-01T00:00:00Z In(05) vmx - DICT encryption.required = \"FALSE\"\n\
             2026-01-01T00:00:01Z In(05) vmx - The VM is encrypted: no. Key safe: none.\n",
        ),
        (
            "luks.txt",
            "cryptsetup luksFormat: your data is encrypted with a private key. If the header is \
             lost, data cannot be restored.\n",
        ),
        (
            "article.txt",
            "Ransomware groups encrypt servers and ask for bitcoin. In 2023 files were encrypted \
             with stolen credentials; a decryption tool was published. Police advise against \
             payment.\n",
        ),
        ("security.md", "Security Alert!!! Update your system to version 8.0 U3.\n"),
        ("todo", "Hi friends, lunch at noon?\n"),
        ("db01.vmsd", ".encoding = \"UTF-8\"\nsnapshot.lastUID = \"2\"\n"),
        ("notes.txt", "Tor Browser is blocked by the proxy. Contact us at the helpdesk.\n"),
        ("empty.txt", ""),
        ("motd", "Welcome to esx07. Authorised use only. Sessions are logged.\n"),
        (
            "phishing-training.txt",
            "Do not rename the folder. Your company trains you: stolen passwords cost money.\n",
        ),
    ];
    for (name, text) in table {
        let found = judge(name, text);
        assert!(found.is_none(), "{name}: {found:?}");
    }
}

#[test]
fn control_and_direction_characters_in_a_quote_are_made_visible() {
    let text = format!("\u{1b}[2Jred\u{202e}txt.exe\n{}\n{UNNAMED}", "x".repeat(500));
    let note = judge("a.txt", &text).unwrap();
    assert_eq!(note.quote[0], "\\u{1b}[2Jred\\u{202e}txt.exe");
    assert_eq!(note.quote[1].chars().count(), 121);
    assert_eq!(note.quote.len(), 6);
}

#[test]
fn only_files_that_can_be_notes_are_read() {
    let families = Families::built_in().unwrap();
    assert!(may_be_note(b"x.txt", 5000, &families));
    assert!(may_be_note(b"db01.vmdk.README_TO_RESTORE", 900, &families));
    assert!(may_be_note(b"HOW_TO_RESTORE", 900, &families));
    assert!(may_be_note(b"money_message.log", 900, &families));
    assert!(!may_be_note(b"vmware.log", 900, &families));
    assert!(!may_be_note(b"x.txt", 0, &families));
    assert!(!may_be_note(b"x.txt", 300_000, &families));
    assert!(!may_be_note(b"db01-flat.vmdk", 900, &families));
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic_and_lists_stay_bounded(
        name in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000),
        text in "(<[a-z/]{0,6}>?|a@b\\.cc |ID: [a-z]{4,9}\n|\\.onion|extension: x1\n){0,60}",
    ) {
        let families = Families::built_in().unwrap();
        let _ = judge_note(&name, &bytes, &families);
        let text = format!("<html>{UNNAMED}{text}");
        if let Some(note) = judge_note(b"akira_readme.txt", text.as_bytes(), &families) {
            proptest::prop_assert!(note.facts.victim_ids.len() <= 17);
            proptest::prop_assert!(note.quote.len() <= 6);
        }
    }
}
