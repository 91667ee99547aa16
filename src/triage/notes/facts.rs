//! What a note tells about its victim.

use serde::{Deserialize, Serialize};

/// Most entries of one kind that are kept.
const MAX_ENTRIES: usize = 16;
/// Longest entry.
const MAX_ENTRY_BYTES: usize = 160;

/// What was parsed out of a note, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteFacts {
    /// Ids by which the attacker knows the victim.
    pub victim_ids: Vec<String>,
    /// Suffixes that the note says encrypted files carry, without dot.
    pub extensions: Vec<String>,
    /// `.onion` addresses; text only, never opened.
    pub onion_addresses: Vec<String>,
    /// Mail addresses and chat ids.
    pub contacts: Vec<String>,
}

/// What stands before a victim's id, in lower case.
const ID_KEYS: [&str; 14] = [
    "id",
    "your id",
    "personal id",
    "your personal id",
    "company id",
    "client id",
    "chat id",
    "decryption id",
    "your decryption id",
    "decrypt id",
    "your decrypt id",
    "victim id",
    "login",
    "your unique identificator is",
];
const EXTENSION_KEYS: [&str; 4] =
    ["extension", "new extension", "files extension", "encrypted files extension"];

/// Parses the facts out of a note's text.
pub(super) fn facts(text: &str) -> NoteFacts {
    let mut found = NoteFacts::default();
    for line in text.lines() {
        let line = line.trim().trim_start_matches(['-', '*', '>', '#', ' ']);
        if let Some((key, value)) = line.split_once([':', '='])
            && let Some(word) = value.split_whitespace().next()
        {
            let key = key.trim().to_ascii_lowercase();
            let word = word.trim_matches(['"', '\'', '[', ']', '<', '>', ',', ';']);
            if EXTENSION_KEYS.contains(&key.as_str()) {
                let word = word.trim_start_matches(['.', '*']);
                if is_word(word, 2, 40) {
                    keep(&mut found.extensions, word);
                }
            } else if ID_KEYS.contains(&key.as_str()) && is_word(word, 4, 160) {
                keep(&mut found.victim_ids, word);
            }
        }
        for word in line.split(|c: char| c.is_whitespace() || "<>\"'()[]{},;|".contains(c)) {
            of_word(word, &mut found);
        }
    }
    found
}

fn of_word(word: &str, found: &mut NoteFacts) {
    let lower = word.to_ascii_lowercase();
    if let Some((host, _)) = lower.split_once(".onion") {
        let name: String = host.chars().rev().take_while(char::is_ascii_alphanumeric).collect();
        if name.len() == 16 || name.len() == 56 {
            let name: String = name.chars().rev().collect();
            keep(&mut found.onion_addresses, &format!("{name}.onion"));
        }
    }
    let bare = word.trim_matches(['.', ':', '!', '?']);
    let hex = bare.len() == 76 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    let session = bare.len() == 66
        && bare.starts_with("05")
        && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex || session {
        keep(&mut found.contacts, bare);
    } else if let Some((user, domain)) = bare.split_once('@')
        && !user.is_empty()
        && domain.contains('.')
        && is_word(&user.replace('.', ""), 1, 64)
        && is_word(&domain.replace('.', ""), 2, 64)
    {
        keep(&mut found.contacts, bare);
    }
}

fn is_word(word: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn keep(list: &mut Vec<String>, entry: &str) {
    if list.len() < MAX_ENTRIES
        && entry.len() <= MAX_ENTRY_BYTES
        && !list.iter().any(|known| known == entry)
    {
        list.push(entry.to_owned());
    }
}
