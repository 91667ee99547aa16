//! The data file, checked field by field, so that a user's slip is named exactly.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use serde_json::Value;

use super::{
    entry::{Basis, Confidence, Family, FooterForm, Geometry, HeaderMark, SuffixRule, SuffixShape},
    fields::{Fields, Slip},
    pattern::{Pattern, PatternKind},
};

/// The schema name a data file must carry.
const SCHEMA: &str = "vmglean.families/1";
const BUILT_IN: &str = include_str!("families.json");
/// A user's file is text written by hand; past this it is something else.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// What is wrong with a families file: the file, the entry, the field.
#[derive(Debug, thiserror::Error)]
pub enum FamiliesError {
    /// The file could not be read.
    #[error("{file}: cannot be read")]
    Read {
        /// The file.
        file: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is longer than any families file.
    #[error("{file}: {length_bytes} bytes pass the limit of {limit_bytes}")]
    TooLong {
        /// The file.
        file: String,
        /// Its length.
        length_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// Not JSON.
    #[error("{file}: is no JSON")]
    Json {
        /// The file.
        file: String,
        /// Line and column, and what was expected.
        source: serde_json::Error,
    },
    /// JSON, but a field does not hold what it must.
    #[error("{file}: {place}: {what}")]
    Field {
        /// The file.
        file: String,
        /// Entry number, name and field.
        place: String,
        /// What is wrong with it.
        what: String,
    },
}

/// All families known to this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Families {
    entries: Vec<Family>,
    by_suffix: BTreeMap<String, Vec<usize>>,
}

impl Families {
    /// The built-in knowledge.
    ///
    /// # Errors
    /// [`FamiliesError`] if the built-in file is broken, which a test rules out.
    pub fn built_in() -> Result<Self, FamiliesError> {
        Ok(Self::new(parse(BUILT_IN, "built-in families")?))
    }

    /// The built-in knowledge, with `file` laid over it.
    ///
    /// # Errors
    /// [`FamiliesError`] naming file, entry and field.
    pub fn with_file(file: &Path) -> Result<Self, FamiliesError> {
        let name = file.display().to_string();
        let fail = |source| FamiliesError::Read { file: name.clone(), source };
        let length_bytes = std::fs::metadata(file).map_err(fail)?.len();
        if length_bytes > MAX_FILE_BYTES {
            return Err(FamiliesError::TooLong {
                file: name,
                length_bytes,
                limit_bytes: MAX_FILE_BYTES,
            });
        }
        let text = std::fs::read_to_string(file).map_err(fail)?;
        Self::built_in()?.with_text(&text, &name)
    }

    /// These families with those of `text` laid over them: an entry of the same name replaces.
    ///
    /// # Errors
    /// [`FamiliesError`] naming `file`, entry and field.
    pub fn with_text(mut self, text: &str, file: &str) -> Result<Self, FamiliesError> {
        for family in parse(text, file)? {
            match self.entries.iter_mut().find(|known| known.name == family.name) {
                Some(known) => *known = family,
                None => self.entries.push(family),
            }
        }
        Ok(Self::new(self.entries))
    }

    fn new(entries: Vec<Family>) -> Self {
        let mut by_suffix: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, family) in entries.iter().enumerate() {
            for suffix in &family.suffixes {
                by_suffix.entry(suffix.to_ascii_lowercase()).or_default().push(index);
            }
        }
        Self { entries, by_suffix }
    }

    /// Every family, in the order of the data.
    #[must_use]
    pub fn all(&self) -> &[Family] {
        &self.entries
    }

    /// The family of this exact name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Family> {
        self.entries.iter().find(|family| family.name == name)
    }

    /// Families with this fixed suffix (dot included), letters in any case.
    pub fn by_suffix(&self, suffix: &str) -> impl Iterator<Item = &Family> {
        self.by_suffix
            .get(&suffix.to_ascii_lowercase())
            .into_iter()
            .flatten()
            .filter_map(|index| self.entries.get(*index))
    }
}

fn parse(text: &str, file: &str) -> Result<Vec<Family>, FamiliesError> {
    let root: Value = serde_json::from_str(text)
        .map_err(|source| FamiliesError::Json { file: file.to_owned(), source })?;
    let at = |place: &str, what: String| FamiliesError::Field {
        file: file.to_owned(),
        place: place.to_owned(),
        what,
    };
    let top = Fields::of(&root, &["schema", "families"])
        .map_err(|slip| at(&or_top(&slip.field), slip.what))?;
    let schema = top.text("schema").map_err(|slip| at(&slip.field, slip.what))?;
    if schema != SCHEMA {
        return Err(at("schema", format!("is {schema:?}, not {SCHEMA:?}")));
    }
    let list = top.list("families").map_err(|slip| at(&slip.field, slip.what))?;
    let mut seen = HashSet::new();
    let mut families = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let number = index + 1;
        let name = value.get("name").and_then(Value::as_str).unwrap_or("?");
        let family = family(value).map_err(|slip| {
            let field =
                if slip.field.is_empty() { String::new() } else { format!(": {}", slip.field) };
            at(&format!("entry {number} {name:?}{field}"), slip.what)
        })?;
        if !seen.insert(family.name.clone()) {
            return Err(at(&format!("entry {number} {name:?}: name"), "is there twice".to_owned()));
        }
        families.push(family);
    }
    Ok(families)
}

fn or_top(field: &str) -> String {
    if field.is_empty() { "top level".to_owned() } else { field.to_owned() }
}

const FAMILY_FIELDS: [&str; 16] = [
    "name",
    "aliases",
    "suffixes",
    "suffix_rules",
    "sidecars",
    "notes",
    "markers",
    "targets",
    "footers",
    "header",
    "patterns",
    "advice",
    "basis",
    "confidence",
    "sources",
    "comment",
];

fn family(value: &Value) -> Result<Family, Slip> {
    let fields = Fields::of(value, &FAMILY_FIELDS)?;
    let suffixes = fields.texts("suffixes")?;
    for (i, suffix) in suffixes.iter().enumerate() {
        if !suffix.starts_with('.') || suffix.len() < 2 {
            return Err(Slip::new(
                &format!("suffixes[{i}]"),
                format!("{suffix:?} must begin with a dot"),
            ));
        }
    }
    let header = match fields.0.get("header") {
        None | Some(Value::Null) => None,
        Some(value) => Some(header(value).map_err(|slip| slip.inside("header"))?),
    };
    Ok(Family {
        name: fields.text("name")?,
        aliases: fields.texts("aliases")?,
        suffixes,
        suffix_rules: fields.each("suffix_rules", suffix_rule)?,
        sidecars: fields.texts("sidecars")?,
        notes: fields.texts("notes")?,
        markers: fields.texts("markers")?,
        targets: fields.texts("targets")?,
        footers: fields.each("footers", footer)?,
        header,
        patterns: fields.each("patterns", pattern)?,
        advice: fields.texts("advice")?,
        basis: fields.word::<Basis>("basis", "read, mixed, recalled")?,
        confidence: fields.word::<Confidence>("confidence", "high, medium, low")?,
        sources: fields.texts("sources")?,
    })
}

fn suffix_rule(value: &Value) -> Result<SuffixRule, Slip> {
    let fields = Fields::of(value, &["prefix", "shape", "min_length", "max_length"])?;
    let min = fields.needed("min_length", 1, 64)?;
    let max = fields.needed("max_length", min, 64)?;
    Ok(SuffixRule {
        prefix: if fields.0.contains_key("prefix") {
            fields.text("prefix")?
        } else {
            String::new()
        },
        shape: fields.word::<SuffixShape>("shape", "alphanumeric, hex, digits")?,
        min_length: usize::try_from(min).unwrap_or(usize::MAX),
        max_length: usize::try_from(max).unwrap_or(usize::MAX),
    })
}

fn footer(value: &Value) -> Result<FooterForm, Slip> {
    let fields = Fields::of(
        value,
        &["length_bytes", "magic_hex", "magic_from_end_bytes", "geometry", "recalled"],
    )?;
    let magic = fields.hex("magic_hex")?;
    let from_end = fields.number("magic_from_end_bytes", 1, 65_536)?;
    let geometry = if fields.0.contains_key("geometry") {
        Some(fields.word::<Geometry>(
            "geometry",
            "akira2023, conti, play, black-basta, royal, ransom-hub, money-message, black-cat",
        )?)
    } else {
        None
    };
    match (&magic, from_end) {
        (Some(magic), Some(from_end)) if u64::try_from(magic.len()).is_ok_and(|n| n > from_end) => {
            return Err(Slip::new(
                "magic_from_end_bytes",
                format!("{from_end} leaves no room for {} bytes of magic", magic.len()),
            ));
        }
        (Some(_), None) => return Err(Slip::new("magic_from_end_bytes", "is missing")),
        (None, Some(_)) => return Err(Slip::new("magic_hex", "is missing")),
        _ => {}
    }
    let length_bytes = fields.number("length_bytes", 1, 65_536)?;
    if length_bytes.is_none() && magic.is_none() && geometry.is_none() {
        return Err(Slip::new(
            "length_bytes",
            "is missing, and neither magic nor geometry is given",
        ));
    }
    Ok(FooterForm {
        length_bytes,
        magic,
        magic_from_end_bytes: from_end,
        geometry,
        recalled: fields.flag("recalled")?,
    })
}

fn header(value: &Value) -> Result<HeaderMark, Slip> {
    let fields = Fields::of(value, &["offset_bytes", "length_bytes", "sample_magic_hex"])?;
    Ok(HeaderMark {
        offset_bytes: fields.needed("offset_bytes", 0, 65_536)?,
        length_bytes: fields.needed("length_bytes", 1, 65_536)?,
        sample_magic: fields
            .hex("sample_magic_hex")?
            .ok_or_else(|| Slip::new("sample_magic_hex", "is missing"))?,
    })
}

const PATTERN_KINDS: &str = "whole, head, head-percent, periodic, periodic-unknown-step, \
     akira-spot, akira-tenths, conti-part, esxi-args-hundredth, equal-parts, hunters-first, \
     head-then-spread, royal-percent, play-blocks, share, unknown";

fn pattern(value: &Value) -> Result<Pattern, Slip> {
    let known = [
        "kind",
        "name",
        "min_size_bytes",
        "max_size_bytes",
        "recalled",
        "from_bytes",
        "bytes",
        "percent",
        "percents",
        "head_bytes",
        "start_bytes",
        "run_bytes",
        "step_bytes",
        "whole_steps",
        "parts",
        "head_percent",
        "head_max_bytes",
        "run_percent",
        "runs",
        "total_percent",
        "block_bytes",
        "step",
    ];
    let fields = Fields::of(value, &known)?;
    let any = u64::MAX;
    let or_zero = |field: &str| Ok(fields.number(field, 0, any)?.unwrap_or(0));
    let positive = |field: &str| fields.needed(field, 1, any);
    let percent = |field: &str| fields.needed(field, 1, 100);
    let kind = match fields.text("kind")?.as_str() {
        "whole" => PatternKind::Whole { from_bytes: or_zero("from_bytes")? },
        "head" => PatternKind::Head { bytes: positive("bytes")? },
        "head-percent" => PatternKind::HeadPercent { percent: percent("percent")? },
        "periodic" => {
            let run_bytes = positive("run_bytes")?;
            PatternKind::Periodic {
                head_bytes: or_zero("head_bytes")?,
                start_bytes: or_zero("start_bytes")?,
                run_bytes,
                step_bytes: fields.needed("step_bytes", run_bytes, any)?,
                whole_steps: fields.flag("whole_steps")?,
            }
        }
        "periodic-unknown-step" => {
            PatternKind::PeriodicUnknownStep { run_bytes: positive("run_bytes")? }
        }
        "akira-spot" => PatternKind::AkiraSpot { percent: percent("percent")? },
        "akira-tenths" => PatternKind::AkiraTenths,
        "conti-part" => PatternKind::ContiPart { percent: percent("percent")? },
        "esxi-args-hundredth" => PatternKind::EsxiArgsHundredth,
        "equal-parts" => PatternKind::EqualParts {
            parts: fields.needed("parts", 1, 65_536)?,
            run_bytes: positive("run_bytes")?,
        },
        "hunters-first" => PatternKind::HuntersFirst,
        "head-then-spread" => PatternKind::HeadThenSpread {
            head_percent: percent("head_percent")?,
            head_max_bytes: fields.number("head_max_bytes", 1, any)?.unwrap_or(any),
            run_percent: fields.number("run_percent", 0, 100)?.unwrap_or(0),
            run_bytes: or_zero("run_bytes")?,
            runs: fields.needed("runs", 1, 65_536)?,
            total_percent: fields.number("total_percent", 1, 100)?.unwrap_or(100),
        },
        "royal-percent" => PatternKind::RoyalPercent { percent: percent("percent")? },
        "play-blocks" => PatternKind::PlayBlocks {
            block_bytes: positive("block_bytes")?,
            step: positive("step")?,
        },
        "share" => {
            let mut percents = Vec::new();
            for (i, value) in fields.list("percents")?.iter().enumerate() {
                match value.as_u64() {
                    Some(percent) if (1..=100).contains(&percent) => percents.push(percent),
                    _ => {
                        return Err(Slip::new(
                            &format!("percents[{i}]"),
                            "must be a whole number from 1 to 100",
                        ));
                    }
                }
            }
            PatternKind::Share { percents }
        }
        "unknown" => PatternKind::Unknown,
        other => {
            return Err(Slip::new("kind", format!("is {other:?}, not one of {PATTERN_KINDS}")));
        }
    };
    let min_size_bytes = or_zero("min_size_bytes")?;
    let max_size_bytes = fields.number("max_size_bytes", min_size_bytes, any)?.unwrap_or(any);
    Ok(Pattern {
        name: if fields.0.contains_key("name") { Some(fields.text("name")?) } else { None },
        min_size_bytes,
        max_size_bytes,
        kind,
        recalled: fields.flag("recalled")?,
    })
}
