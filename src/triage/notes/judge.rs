//! Whether a small file is a ransom note, by points that each have a reason.

use serde::{Deserialize, Serialize};

use super::{
    facts::{self, NoteFacts},
    text,
};
use crate::families::{Families, FamilyHint, note_by_name};

/// Longer files are no notes.
pub const MAX_NOTE_BYTES: u64 = 256 * 1024;
/// Points that make a note.
const ENOUGH: u32 = 50;
/// What a name gives that only notes have, and one that ordinary files have too.
const NAME_POINTS: u32 = 50;
const AMBIGUOUS_NAME_POINTS: u32 = 10;
/// What a family's own words give.
const MARKER_POINTS: u32 = 50;
const ONION_POINTS: u32 = 20;

/// A file judged to be a ransom note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RansomNote {
    /// Points; [`judge_note`] answers only where they suffice.
    pub score: u32,
    /// What gave them.
    pub reasons: Vec<String>,
    /// Its first lines, shortened, control characters made visible.
    pub quote: Vec<String>,
    /// What it tells.
    pub facts: NoteFacts,
    /// Families it fits.
    pub families: Vec<FamilyHint>,
}

/// A subject that notes speak of.
struct Subject {
    what: &'static str,
    points: u32,
    words: &'static [&'static str],
}

/// What nearly every note speaks of; each subject counts once.
const SUBJECTS: [Subject; 7] = [
    Subject {
        what: "says that files are encrypted",
        points: 15,
        words: &[
            "have been encrypted",
            "has been encrypted",
            "are encrypted",
            "is encrypted",
            "was encrypted",
            "were encrypted",
            "files encrypted",
            "fully crypted",
            "been locked",
            "encrypted by",
            "encrypted files",
            "currently encrypted",
        ],
    },
    Subject {
        what: "threatens to publish data",
        points: 15,
        words: &[
            "stolen",
            "exfiltrated",
            "will be published",
            "publish your",
            "leaked",
            "leak your",
            "data leak",
            "downloaded your",
            "we have your data",
            "sell your",
        ],
    },
    Subject {
        what: "asks for payment",
        points: 10,
        words: &["bitcoin", " btc", "monero", "cryptocurrency", "ransom", "to pay", "payment"],
    },
    Subject {
        what: "tells how to talk to the attacker",
        points: 15,
        words: &[
            "tor browser",
            "torproject.org",
            "qtox",
            "tox chat",
            "tox id",
            "session messenger",
            "contact us",
            "protonmail",
            "onionmail",
            "live chat",
            "live-chat",
            "our chat",
        ],
    },
    Subject {
        what: "warns against repair",
        points: 15,
        words: &[
            "do not rename",
            "don't rename",
            "not rename",
            "do not try to",
            "don't try to",
            "do not modify",
            "don't modify",
            "third party software",
            "third-party software",
            "recovery companies",
            "recovery company",
            "permanent data loss",
            "contact the police",
            "do not shutdown",
            "do not delete",
        ],
    },
    Subject {
        what: "offers decryption",
        points: 15,
        words: &[
            "decryption key",
            "decryptor",
            "decryption tool",
            "decrypt your",
            "restore your files",
            "recover your files",
            "unlock your",
            "decrypt one",
            "decrypt some",
            "test decrypt",
            "decrypt all",
            "restore your data",
            "recover your data",
            "private key",
        ],
    },
    Subject {
        what: "speaks to the victim",
        points: 10,
        words: &[
            "your files",
            "your company",
            "your network",
            "your data",
            "your servers",
            "your infrastructure",
            "your system",
            "your documents",
            "your business",
        ],
    },
];

/// Whether a file of this name and length is worth reading as a note.
#[must_use]
pub fn may_be_note(file_name: &[u8], length_bytes: u64, families: &Families) -> bool {
    let lower = file_name.to_ascii_lowercase();
    let textual = [&b".txt"[..], b".html", b".htm", b".hta", b".md", b".rtf", b".pdf"];
    (1..=MAX_NOTE_BYTES).contains(&length_bytes)
        && (textual.iter().any(|ending| lower.ends_with(ending))
            || !lower.contains(&b'.')
            || note_by_name(file_name, families).is_some())
}

/// Judges the content of a small file; `None` where it is no ransom note.
///
/// Points come from a name that only notes have, from words of a known family, from `.onion`
/// addresses, and from what notes speak of. Words alone need four subjects: encryption or a
/// threat, the victim addressed, and what no manual has beside them: a price, stolen data, or a
/// way to reach the attacker. Bytes past [`MAX_NOTE_BYTES`] are not read.
#[must_use]
pub fn judge_note(file_name: &[u8], bytes: &[u8], families: &Families) -> Option<RansomNote> {
    let bytes = bytes.get(..usize::try_from(MAX_NOTE_BYTES).ok()?).unwrap_or(bytes);
    let mut note = RansomNote {
        score: 0,
        reasons: Vec::new(),
        quote: Vec::new(),
        facts: NoteFacts::default(),
        families: Vec::new(),
    };
    let name = note_by_name(file_name, families);
    let is_pdf = bytes.starts_with(b"%PDF-");
    let plain = if is_pdf { None } else { text::decode(bytes).map(|all| text::without_tags(&all)) };
    if let Some(name) = &name {
        let points = if name.ambiguous { AMBIGUOUS_NAME_POINTS } else { NAME_POINTS };
        note.score += points;
        note.reasons.push(format!("named as notes are: {}", name.pattern));
        if !name.ambiguous {
            note.families.clone_from(&name.families);
        }
    }
    match &plain {
        Some(plain) => content(&mut note, plain, families),
        // A name alone does not turn random or binary bytes into a note.
        None if !is_pdf => return None,
        None => {}
    }
    if let Some(name) = name.filter(|name| !name.ambiguous)
        && let Some(id) = name.id
        && !note.facts.victim_ids.contains(&id)
    {
        note.facts.victim_ids.push(id);
    }
    (note.score >= ENOUGH).then_some(note)
}

fn content(note: &mut RansomNote, plain: &str, families: &Families) {
    // One space for any run of white space, so that line ends do not hide a phrase.
    let lower = plain.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    note.quote = text::quote(plain);
    note.facts = facts::facts(plain);
    let spoken: Vec<&Subject> = SUBJECTS
        .iter()
        .filter(|subject| subject.words.iter().any(|words| lower.contains(words)))
        .collect();
    // A family's words count where the text speaks of what notes speak of.
    let in_context = spoken.len() >= 2 || !note.facts.onion_addresses.is_empty();
    let mut from_markers = false;
    for family in families.all() {
        let Some(marker) = family.markers.iter().find(|marker| {
            let words = marker.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
            in_context && is_telling(&words) && lower.contains(&words)
        }) else {
            continue;
        };
        from_markers = true;
        let rests_on = format!("note says {marker:?}");
        if !note.families.iter().any(|hint| hint.family == family.name) {
            note.families.push(FamilyHint {
                family: family.name.clone(),
                rests_on: rests_on.clone(),
                confidence: family.confidence,
            });
        }
        note.reasons.push(format!("{rests_on}, as notes of {} do", family.name));
    }
    let mut points = if from_markers { MARKER_POINTS } else { 0 };
    if let Some(address) = note.facts.onion_addresses.first() {
        points += ONION_POINTS;
        note.reasons.push(format!("names the onion address {address}"));
    }
    let speaks_to_victim = spoken.iter().any(|subject| subject.what == "speaks to the victim");
    let is_threat = spoken.iter().any(|subject| {
        subject.what == "says that files are encrypted"
            || subject.what == "threatens to publish data"
    });
    // A manual of a backup program speaks of encrypted data and lost keys, but wants nothing.
    let wants_something = !note.facts.onion_addresses.is_empty()
        || !note.facts.contacts.is_empty()
        || spoken.iter().any(|subject| {
            matches!(
                subject.what,
                "threatens to publish data"
                    | "asks for payment"
                    | "tells how to talk to the attacker"
            )
        });
    if (speaks_to_victim && is_threat && wants_something && spoken.len() >= 4)
        || note.score >= NAME_POINTS
        || from_markers
    {
        for subject in spoken {
            points += subject.points;
            note.reasons.push(subject.what.to_owned());
        }
    }
    note.score += points;
}

/// Words long enough not to occur by chance in any text.
fn is_telling(words: &str) -> bool {
    words.len() >= 12 || words.starts_with("-- ") || words.contains("vanhel") || words == "cheers!"
}

/// Judges any bytes as a note: the body of the fuzz target.
pub fn exercise(data: &[u8]) {
    let Ok(families) = Families::built_in() else { return };
    let _ = judge_note(b"akira_readme.txt", data, &families);
    let _ = judge_note(data.get(..32).unwrap_or(data), data, &families);
}
