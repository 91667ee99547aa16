//! Names that ransom notes have.

use serde::{Deserialize, Serialize};

use super::{FamilyHint, load::Families};

/// Longest `{id}` in a note's name.
const MAX_ID_BYTES: usize = 64;

/// Names of notes that ordinary software uses too, with `{id}` taken out.
const AMBIGUOUS_NOTES: [&str; 12] = [
    "readme.txt",
    "readme",
    "readme.html",
    ".readme.txt",
    "readme_.txt",
    "readme..txt",
    "-readme.txt",
    "_readme_.txt",
    "readme__.txt",
    "note.txt",
    "contact us.txt",
    "first_read_me.txt",
];

/// A name that ransom notes have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteName {
    /// The pattern of the data file that it matches.
    pub pattern: String,
    /// What stood in place of `{id}` or `{file}`.
    pub id: Option<String>,
    /// Whether ordinary software uses this name too, so that the name alone says nothing.
    pub ambiguous: bool,
    /// Families that use it.
    pub families: Vec<FamilyHint>,
}

/// Whether this is a name that a ransom note has. The name alone proves little where
/// [`NoteName::ambiguous`] says so; the content then decides.
#[must_use]
pub fn note_by_name(file_name: &[u8], families: &Families) -> Option<NoteName> {
    let name = std::str::from_utf8(file_name).ok()?;
    let mut best: Option<NoteName> = None;
    for family in families.all() {
        for pattern in &family.notes {
            let Some(id) = match_note(pattern, name) else { continue };
            let hint = FamilyHint {
                family: family.name.clone(),
                rests_on: if name == *pattern {
                    format!("note named {name}")
                } else {
                    format!("note named {name}, as its notes are ({pattern})")
                },
                confidence: family.confidence,
            };
            let ambiguous = is_ambiguous_note(pattern);
            match &mut best {
                // The more telling name wins; equals add up.
                Some(found) if found.ambiguous == ambiguous => {
                    if !found.families.iter().any(|known| known.family == hint.family) {
                        found.families.push(hint);
                    }
                    if found.id.is_none() {
                        found.id = id;
                    }
                }
                Some(found) if !found.ambiguous => {}
                _ => {
                    best = Some(NoteName {
                        pattern: pattern.clone(),
                        id,
                        ambiguous,
                        families: vec![hint],
                    });
                }
            }
        }
    }
    best
}

fn is_ambiguous_note(pattern: &str) -> bool {
    let plain = pattern.to_ascii_lowercase().replace("{id}", "");
    AMBIGUOUS_NOTES.contains(&plain.as_str())
}

/// `Some(what stood for {id} or {file})` where `name` has the form of `pattern`.
fn match_note(pattern: &str, name: &str) -> Option<Option<String>> {
    for (hole, loose) in [("{id}", false), ("{file}", true)] {
        let Some((front, back)) = pattern.split_once(hole) else { continue };
        let middle_end = name.len().checked_sub(back.len())?;
        if middle_end <= front.len() {
            return None;
        }
        let (head, middle, tail) =
            (name.get(..front.len())?, name.get(front.len()..middle_end)?, name.get(middle_end..)?);
        let fits = head.eq_ignore_ascii_case(front)
            && tail.eq_ignore_ascii_case(back)
            && (loose
                || middle.len() <= MAX_ID_BYTES
                    && middle.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
        return fits.then(|| Some(middle.to_owned()));
    }
    name.eq_ignore_ascii_case(pattern).then_some(None)
}
