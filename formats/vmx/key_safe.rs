//! `encryption.keySafe`: who can open the configuration. Names only; never the key material.
//!
//! Grammar after govmomi's `crypto` package: `type/part/...`, compounds as `type/(a,b)`, parts
//! URL-encoded, `<VMWARE-NULL>` and `<VMWARE-EMPTYSTRING>` as stand-ins.

use serde::Serialize;

use crate::{defect::DefectKind, dict::DefectList, units::ByteOffset};

const MAX_DEPTH: usize = 16;
const MAX_LOCATORS: usize = 64;

/// One way to the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum KeyLocator {
    /// A passphrase: whoever knows it can open the file.
    Phrase {
        /// `AES-256`, `XTS-AES-256`.
        cipher: Option<String>,
        /// PBKDF2 rounds.
        rounds: Option<u64>,
    },
    /// A key of a key server: lost without that server.
    KeyServer {
        /// Which provider or cluster.
        server_id: String,
        /// Which key.
        key_id: String,
    },
    /// Another kind of the grammar: `rawkey`, `ldap`, `script`, `role`, `null`.
    Other {
        /// The grammar's word.
        name: String,
    },
}

/// The ways to the key that a key safe lists. Holds no key material.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeySafe {
    /// In file order.
    pub locators: Vec<KeyLocator>,
}

impl KeySafe {
    pub(super) fn parse(text: &str, at: ByteOffset, defects: &mut DefectList) -> Self {
        let mut safe = Self::default();
        let body = text.strip_prefix("vmware:key/");
        let whole = body.is_some_and(|body| safe.take(body, 0));
        if !whole {
            let expected = "a key list by the grammar vmware:key/list/(pair/(…))".to_owned();
            let found = format!("{} characters that break it", text.len());
            let kind = DefectKind::Mismatch { expected, found };
            defects.add_at("encryption.keySafe", at, kind);
        }
        safe
    }

    /// Takes one locator; false where it breaks the grammar or a bound.
    fn take(&mut self, text: &str, depth: usize) -> bool {
        if depth >= MAX_DEPTH || self.locators.len() >= MAX_LOCATORS {
            return false;
        }
        let (name, rest) = text.split_once('/').unwrap_or((text, ""));
        let part = |index: usize| rest.split('/').nth(index).map(plain);
        let locator = match name {
            "list" | "pair" => {
                let inner = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
                let Some(parts) = inner.and_then(split_top) else { return false };
                let wanted = if name == "pair" { 1 } else { MAX_LOCATORS };
                let whole = name == "list" || parts.len() == 3;
                let deeper = depth.saturating_add(1);
                // Take what there is of a torn list before saying so.
                return parts
                    .iter()
                    .take(wanted)
                    .fold(whole, |ok, part| self.take(part, deeper) && ok);
            }
            "phrase" => {
                let params = part(1).unwrap_or_default();
                let value = |name: &str| {
                    params.split(':').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                };
                let rounds = value("rounds").and_then(|rounds| rounds.parse().ok());
                KeyLocator::Phrase { cipher: value("cipher").map(clean), rounds }
            }
            "fqid" => KeyLocator::KeyServer {
                server_id: part(1).map(|id| clean(&id)).unwrap_or_default(),
                key_id: part(2).map(|id| clean(&id)).unwrap_or_default(),
            },
            "null" | "rawkey" | "ldap" | "script" | "role" => {
                KeyLocator::Other { name: name.to_owned() }
            }
            _ => return false,
        };
        self.locators.push(locator);
        true
    }
}

/// Splits at commas outside parentheses; `None` where parentheses do not match.
fn split_top(text: &str) -> Option<Vec<&str>> {
    let (mut depth, mut from, mut parts) = (0_usize, 0_usize, Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                parts.push(text.get(from..at)?);
                from = at.saturating_add(1);
            }
            _ => {}
        }
    }
    parts.push(text.get(from..)?);
    (depth == 0).then_some(parts)
}

/// URL-decodes one part; the stand-ins for null and empty become an empty text.
fn plain(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if matches!(text.as_str(), "<VMWARE-NULL>" | "<VMWARE-EMPTYSTRING>") {
        String::new()
    } else {
        text
    }
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}
