//! Many copies, one configuration: for each key the most trustworthy word, and who disagrees.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::piece::{Piece, PieceKind, Place, Told, shown};

/// Conflicts kept of one key.
const MAX_CONFLICTS: usize = 16;

/// How much a line may be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// From the machine's own `.vmx`.
    Current,
    /// From a whole copy or the whole latest log: what the machine last ran with.
    LastKnown,
    /// From a copy known to be older, or one with damage in it.
    Older,
    /// Follows from other values by a rule of VMware's.
    Derived,
    /// A default or a guess from the disk's content.
    Guessed,
    /// Set by this salvage so that the folder fits together; `was` holds what was there.
    Changed,
}

/// What another file says of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Its value; withheld where it is a secret.
    pub value: String,
    /// Which kind of file.
    pub source: PieceKind,
    /// Where.
    pub place: Place,
}

/// One line of the rebuilt configuration. `Debug` and `Serialize` withhold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct RebuiltLine {
    /// The key as spelled.
    pub key: String,
    /// The value.
    pub value: String,
    /// How much it may be relied on.
    pub confidence: Confidence,
    /// The kind of file it was read from; `None` where it was derived, guessed or set.
    pub source: Option<PieceKind>,
    /// Where it was read, or what it was derived from.
    pub place: Option<Place>,
    /// Why, where it was not simply read.
    pub why: Option<String>,
    /// The value before this salvage set it.
    pub was: Option<String>,
    /// Other values found.
    pub conflicts: Vec<Conflict>,
}

impl RebuiltLine {
    /// The value for people and records: a stand-in for a secret.
    #[must_use]
    pub fn shown(&self) -> &str {
        shown(&self.key, Some(&self.value)).unwrap_or_default()
    }
}

impl fmt::Debug for RebuiltLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?} ({:?})", self.key, self.shown(), self.confidence)
    }
}

impl Serialize for RebuiltLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("RebuiltLine", 8)?;
        out.serialize_field("key", &self.key)?;
        out.serialize_field("value", self.shown())?;
        out.serialize_field("confidence", &self.confidence)?;
        out.serialize_field("source", &self.source)?;
        out.serialize_field("place", &self.place)?;
        out.serialize_field("why", &self.why)?;
        out.serialize_field("was", &shown(&self.key, self.was.as_deref()))?;
        out.serialize_field("conflicts", &self.conflicts)?;
        out.end()
    }
}

/// Something no copy tells, worked out from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// [`Confidence::Derived`] or [`Confidence::Guessed`].
    pub confidence: Confidence,
    /// What it rests on.
    pub place: Option<Place>,
    /// Why this value.
    pub why: String,
}

/// A key that must have been there and whose value nothing tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingKey {
    /// The key as spelled.
    pub key: String,
    /// Why it is missing.
    pub why: String,
    /// Where it is mentioned.
    pub place: Option<Place>,
}

/// A key that an older copy has and a newer whole one has not: it was removed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The key as spelled.
    pub key: String,
    /// Its value there; withheld where it is a secret.
    pub value: Option<String>,
    /// Where.
    pub place: Place,
}

/// A configuration rebuilt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// The file most of it comes from.
    pub base: Option<Place>,
    /// Kind of that file; `None` where no copy was found at all.
    pub base_kind: Option<PieceKind>,
    /// Whether some copy was whole, so that keys are complete as of its time.
    pub complete: bool,
    /// The lines, by key in lower case.
    pub lines: Vec<RebuiltLine>,
    /// Keys whose value is lost.
    pub missing: Vec<MissingKey>,
    /// Keys of older copies that were not taken.
    pub left_out: Vec<LeftOut>,
    /// The machine's own text, where it is whole and nothing was changed.
    #[serde(skip)]
    pub verbatim: Option<Vec<u8>>,
}

impl Rebuilt {
    /// The line of a key, in any case.
    #[must_use]
    pub fn line(&self, key: &str) -> Option<&RebuiltLine> {
        self.position(key).ok().and_then(|at| self.lines.get(at))
    }

    /// The value of a key, in any case.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.line(key).map(|line| line.value.as_str())
    }

    /// Whether the value is VMware's `TRUE`.
    #[must_use]
    pub fn is_true(&self, key: &str) -> bool {
        self.value(key).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        let key = key.to_lowercase();
        self.lines.binary_search_by(|line| line.key.to_lowercase().cmp(&key))
    }

    /// Takes a fact where nothing tells its key; false where something does.
    pub fn add(&mut self, fact: Fact) -> bool {
        let Err(at) = self.position(&fact.key) else { return false };
        let missing = self.missing.iter().position(|m| m.key.eq_ignore_ascii_case(&fact.key));
        if let Some(missing) = missing {
            self.missing.remove(missing);
        }
        let line = RebuiltLine {
            key: fact.key,
            value: fact.value,
            confidence: fact.confidence,
            source: None,
            place: fact.place,
            why: Some(fact.why),
            was: None,
            conflicts: Vec::new(),
        };
        self.lines.insert(at, line);
        self.verbatim = None;
        true
    }

    /// Sets a key to what this folder needs, and keeps what was there.
    pub fn change(&mut self, key: &str, value: &str, why: &str) {
        match self.position(key) {
            Ok(at) => {
                let Some(line) = self.lines.get_mut(at).filter(|line| line.value != value) else {
                    return;
                };
                let was = std::mem::replace(&mut line.value, value.to_owned());
                line.was.get_or_insert(was);
                line.confidence = Confidence::Changed;
                line.why = Some(why.to_owned());
            }
            Err(at) => {
                let line = RebuiltLine {
                    key: key.to_owned(),
                    value: value.to_owned(),
                    confidence: Confidence::Changed,
                    source: None,
                    place: None,
                    why: Some(why.to_owned()),
                    was: None,
                    conflicts: Vec::new(),
                };
                self.lines.insert(at, line);
            }
        }
        self.verbatim = None;
    }

    /// Keys of each confidence, most trustworthy first.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Confidence, usize> {
        let mut counts = BTreeMap::new();
        for line in &self.lines {
            *counts.entry(line.confidence).or_default() += 1;
        }
        counts
    }
}

/// Merges `pieces`.
///
/// Pieces count in the order of [`PieceKind`]; of one kind the newest by its own word first. A
/// whole own `.vmx` is the answer as it is. Else each key takes the first word given, until a
/// whole copy closes the list: from then on only keys that this copy cannot tell are taken, since
/// any other was removed before it was written.
#[must_use]
pub fn rebuild(mut pieces: Vec<Piece>) -> Rebuilt {
    pieces.sort_by(|a, b| {
        a.kind
            .cmp(&b.kind)
            .then(b.complete.cmp(&a.complete))
            .then(b.as_of_unix_ms.cmp(&a.as_of_unix_ms))
            .then(a.path.cmp(&b.path))
    });
    let mut rebuilt = Rebuilt::default();
    if let Some(own) = pieces.first()
        && own.kind == PieceKind::Vmx
        && own.complete
    {
        pieces.truncate(1);
    }
    let mut lines: BTreeMap<String, RebuiltLine> = BTreeMap::new();
    let mut withheld: BTreeMap<String, (String, Place)> = BTreeMap::new();
    let mut closed_by: Option<&Piece> = None;
    for piece in &pieces {
        for (key, told) in &piece.told {
            let place = piece.place(told);
            let Some(value) = &told.value else {
                withheld.entry(key.clone()).or_insert_with(|| (told.key.clone(), place));
                continue;
            };
            if let Some(line) = lines.get_mut(key) {
                disagree(line, piece, told, value, place);
            } else if closed_by.is_none_or(|whole| fills(whole, piece, key)) {
                lines.insert(key.clone(), line_of(piece, told, value, place, closed_by));
            } else {
                let value = shown(&told.key, Some(value)).map(str::to_owned);
                rebuilt.left_out.push(LeftOut { key: told.key.clone(), value, place });
            }
        }
        if piece.complete && closed_by.is_none() {
            closed_by = Some(piece);
        }
    }
    let base = closed_by.or_else(|| pieces.iter().max_by_key(|piece| piece.told.len()));
    if let Some(base) = base {
        let (path, inside) = (base.path.clone(), base.inside);
        rebuilt.base = Some(Place { path, inside, offset_bytes: 0, line: None });
        rebuilt.base_kind = Some(base.kind);
        if base.kind == PieceKind::Vmx && pieces.len() == 1 {
            rebuilt.verbatim = base.verbatim.clone();
        }
    }
    rebuilt.complete = closed_by.is_some();
    rebuilt.missing = withheld
        .into_iter()
        .filter(|(key, _)| !lines.contains_key(key))
        .map(|(_, (key, place))| MissingKey {
            key,
            why: "the log says only that it was set; it does not print the value".to_owned(),
            place: Some(place),
        })
        .collect();
    let mut told_once = BTreeSet::new();
    rebuilt.left_out.retain(|left| {
        told_once.insert((left.key.to_lowercase(), left.value.clone()))
            && !rebuilt.missing.iter().any(|m| m.key.eq_ignore_ascii_case(&left.key))
    });
    rebuilt.lines = lines.into_values().collect();
    rebuilt.lines.sort_by_cached_key(|line| line.key.to_lowercase());
    rebuilt
}

/// Whether a key that the whole copy does not have may come from `piece`.
fn fills(whole: &Piece, piece: &Piece, key: &str) -> bool {
    // The latest log may have gone on after a copy was made.
    !whole.can_tell(key) || (whole.kind == PieceKind::Backup && piece.kind == PieceKind::Log)
}

fn line_of(
    piece: &Piece,
    told: &Told,
    value: &str,
    place: Place,
    closed_by: Option<&Piece>,
) -> RebuiltLine {
    let confidence = match piece.kind {
        PieceKind::Vmx => Confidence::Current,
        PieceKind::Backup | PieceKind::Log if piece.complete && closed_by.is_none() => {
            Confidence::LastKnown
        }
        _ => Confidence::Older,
    };
    let why = closed_by
        .map(|whole| format!("{} does not tell this key", whole.path.file_name_path().lossy()));
    RebuiltLine {
        key: told.key.clone(),
        value: value.to_owned(),
        confidence,
        source: Some(piece.kind),
        place: Some(place),
        why,
        was: None,
        conflicts: Vec::new(),
    }
}

fn disagree(line: &mut RebuiltLine, piece: &Piece, told: &Told, value: &str, place: Place) {
    if line.value == value || line.conflicts.len() >= MAX_CONFLICTS {
        return;
    }
    let value = shown(&told.key, Some(value)).unwrap_or_default().to_owned();
    if line.conflicts.iter().any(|c| c.value == value && c.source == piece.kind) {
        return;
    }
    line.conflicts.push(Conflict { value, source: piece.kind, place });
}
