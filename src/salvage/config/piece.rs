//! One file's copy of the configuration, as far as it can be believed.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use vmglean_formats::{
    DefectKind,
    dict::{Dictionary, WITHHELD, is_secret_key},
    log::{LoggedConfig, VmwareLog},
    vmx::Vmx,
};

use crate::source::RecordPath;

/// Which file a copy comes from. The order is that of trust: where two disagree, the earlier one
/// is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PieceKind {
    /// The machine's own `.vmx` or `.vmtx`.
    Vmx,
    /// `.vmx~` and other copies, lock copies too.
    Backup,
    /// The latest log: the configuration of the last power-on with every later change.
    Log,
    /// The spare inside a checkpoint: the configuration when the snapshot was taken.
    Checkpoint,
    /// The same, found by its tag in a file whose table is lost.
    CarvedCheckpoint,
    /// A rotated log, or the power-on before the last.
    OlderLog,
}

/// Where something was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file.
    pub path: RecordPath,
    /// What inside it, where it is not the file itself: `cfgFile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<&'static str>,
    /// First byte of the line, from the start of the file.
    pub offset_bytes: u64,
    /// Line number, from 1: of the file, or of the text inside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// One key as one file tells it. `Debug` and `Serialize` withhold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Told {
    /// The key as spelled.
    pub key: String,
    /// The value, escapes decoded; `None` where the file says that it does not print it.
    pub value: Option<String>,
    /// First byte of the line.
    pub offset_bytes: u64,
    /// Line number, from 1.
    pub line: u32,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} = {:?}", self.line, self.key, shown(&self.key, self.value.as_deref()))
    }
}

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Told", 4)?;
        out.serialize_field("key", &self.key)?;
        out.serialize_field("value", &shown(&self.key, self.value.as_deref()))?;
        out.serialize_field("offset_bytes", &self.offset_bytes)?;
        out.serialize_field("line", &self.line)?;
        out.end()
    }
}

/// A value for people and records: [`WITHHELD`] in place of a secret.
pub(super) fn shown<'a>(key: &str, value: Option<&'a str>) -> Option<&'a str> {
    value.map(|value| if is_secret_key(key) { WITHHELD } else { value })
}

/// One file's copy of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// What kind of file.
    pub kind: PieceKind,
    /// The file.
    pub path: RecordPath,
    /// What inside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<&'static str>,
    /// Whether it was whole, so that a key it does not have was not there.
    pub complete: bool,
    /// Whether it can tell keys that VMware assigns while the machine starts. Logs of products
    /// that print no changes cannot.
    pub tells_changes: bool,
    /// Milliseconds since 1970 UTC that the file itself states for its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of_unix_ms: Option<i64>,
    /// What was told, by key in lower case.
    pub told: BTreeMap<String, Told>,
    /// Lines that were not believed: torn, foreign bytes in them, or right behind such a line.
    pub doubtful_lines: u32,
    /// The text byte for byte, of a whole `.vmx`.
    #[serde(skip)]
    pub verbatim: Option<Vec<u8>>,
}

impl Piece {
    fn new(kind: PieceKind, path: &Path, inside: Option<&'static str>) -> Self {
        Self {
            kind,
            path: RecordPath::from(path),
            inside,
            complete: false,
            tells_changes: true,
            as_of_unix_ms: None,
            told: BTreeMap::new(),
            doubtful_lines: 0,
            verbatim: None,
        }
    }

    /// The value of a key, in any case.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.told.get(&key.to_lowercase())?.value.as_deref()
    }

    /// Where a key stands.
    #[must_use]
    pub fn place(&self, told: &Told) -> Place {
        Place {
            path: self.path.clone(),
            inside: self.inside,
            offset_bytes: told.offset_bytes,
            line: Some(told.line),
        }
    }

    /// Reads a `.vmx` text that begins `at` bytes into `path`. Of a torn text only lines are
    /// believed that are clean themselves and do not follow a damaged one: half a line can still
    /// read well (`ze = "4096"`). `None` where nothing of a configuration is left.
    #[must_use]
    pub fn from_vmx(
        kind: PieceKind,
        path: &Path,
        inside: Option<&'static str>,
        at: u64,
        bytes: &[u8],
    ) -> Option<Self> {
        let read = Vmx::parse(bytes);
        let torn = read.defects.iter().any(|d| !matches!(d.kind, DefectKind::Duplicate { .. }));
        let dictionary = &read.value.dictionary;
        let clean = clean_lines(bytes, dictionary);
        let mut piece = Self::new(kind, path, inside);
        for entry in &dictionary.entries {
            let fits = clean.get(usize::try_from(entry.line).ok()?.checked_sub(1)?);
            if fits != Some(&true) || !is_plausible_key(&entry.key) {
                piece.doubtful_lines = piece.doubtful_lines.saturating_add(1);
                continue;
            }
            let told = Told {
                key: entry.key.clone(),
                value: Some(entry.value.clone()),
                offset_bytes: at.saturating_add(entry.at.0),
                line: entry.line,
            };
            piece.told.insert(entry.key.to_lowercase(), told);
        }
        piece.complete = !torn && piece.doubtful_lines == 0;
        // Foreign text may hold a few lines of this grammar by chance.
        let known = piece.told.keys().filter(|key| is_known_key(key)).count();
        if known < 3 && !(piece.complete && known > 0) {
            return None;
        }
        if piece.complete && inside.is_none() {
            piece.verbatim = Some(bytes.to_vec());
        }
        Some(piece)
    }

    /// The configuration that a log repeats: its latest power-on, and the one before it where the
    /// latest was not printed whole.
    #[must_use]
    pub fn from_log(path: &Path, log: &VmwareLog, latest: bool) -> Vec<Self> {
        let kind = if latest { PieceKind::Log } else { PieceKind::OlderLog };
        let mut pieces = Vec::new();
        if let Some(config) = &log.config {
            pieces.push(Self::logged(kind, path, log, config));
        }
        if let Some(config) = &log.previous_config
            && log.config.as_ref().is_none_or(|latest| !is_whole(latest))
        {
            pieces.push(Self::logged(PieceKind::OlderLog, path, log, config));
        }
        pieces.retain(|piece| !piece.told.is_empty());
        pieces
    }

    fn logged(kind: PieceKind, path: &Path, log: &VmwareLog, config: &LoggedConfig) -> Self {
        let mut piece = Self::new(kind, path, None);
        piece.complete = is_whole(config);
        piece.doubtful_lines = config.damaged_lines;
        piece.tells_changes = config.changes > 0;
        piece.as_of_unix_ms = log.last_time.as_ref().and_then(|time| time.unix_ms);
        for (key, logged) in &config.values {
            if !is_plausible_key(&logged.key) {
                piece.doubtful_lines = piece.doubtful_lines.saturating_add(1);
                continue;
            }
            let told = Told {
                key: logged.key.clone(),
                value: logged.value.clone(),
                offset_bytes: logged.at.0,
                line: logged.line,
            };
            piece.told.insert(key.clone(), told);
        }
        // The log never prints this key, but names the charset the host reads the file in.
        if let Some(encoding) = &log.encoding {
            let told = Told {
                key: ".encoding".to_owned(),
                value: Some(encoding.clone()),
                offset_bytes: 0,
                line: 1,
            };
            piece.told.entry(".encoding".to_owned()).or_insert(told);
        }
        piece
    }

    /// Whether this file is able to tell the key at all.
    pub(super) fn can_tell(&self, key: &str) -> bool {
        match self.kind {
            PieceKind::Log | PieceKind::OlderLog => {
                let withheld = self.told.get(key).is_some_and(|told| told.value.is_none());
                let never = key == ".encoding" || key.starts_with("encryption.");
                !withheld && !never && (self.tells_changes || !is_assigned_at_start(key))
            }
            _ => true,
        }
    }
}

fn is_whole(config: &LoggedConfig) -> bool {
    config.complete && config.damaged_lines == 0
}

/// Keys that VMware writes into the file while the machine starts for the first time.
fn is_assigned_at_start(key: &str) -> bool {
    key.starts_with("uuid.")
        || [".pcislotnumber", ".generatedaddress", ".generatedaddressoffset", ".saswwid"]
            .iter()
            .any(|end| key.ends_with(end))
        || matches!(key, "vmci0.id" | "monitor.phys_bits_used" | "cleanshutdown" | "softpoweroff")
}

/// Names as VMware makes them; bytes of an overwritten sector rarely look so.
fn is_plausible_key(key: &str) -> bool {
    key.len() <= 256
        && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-+/@$[]".contains(&b))
}

/// Keys by which a configuration is recognised, lower case.
fn is_known_key(key: &str) -> bool {
    const KNOWN: [&str; 14] = [
        ".encoding",
        "config.version",
        "virtualhw.version",
        "displayname",
        "guestos",
        "memsize",
        "numvcpus",
        "nvram",
        "uuid.bios",
        "uuid.location",
        "vc.uuid",
        "extendedconfigfile",
        "encryption.keysafe",
        "firmware",
    ];
    const STARTS: [&str; 8] =
        ["scsi", "sata", "nvme", "ide", "ethernet", "pcibridge", "sched.", "tools."];
    KNOWN.contains(&key) || STARTS.iter().any(|start| key.starts_with(start))
}

/// For each line from 1, whether it may be believed.
fn clean_lines(bytes: &[u8], dictionary: &Dictionary) -> Vec<bool> {
    let mut clean = Vec::new();
    let mut before = true;
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest);
        let (line, tail) = match end {
            Some(end) => (rest.get(..end), rest.get(end + 1..)),
            None => (Some(rest), None),
        };
        let line = line.unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let junk = line.iter().any(|b| *b == 0x7f || (*b < 0x20 && *b != b'\t'));
        // Without a line end nothing says that the value is all there, but for its last quote.
        let cut = end.is_none() && !line.trim_ascii_end().ends_with(b"\"");
        let (_, foreign) = dictionary.charset.decode(line);
        let number = u32::try_from(clean.len() + 1).unwrap_or(u32::MAX);
        let unnamed = dictionary.unnamed.binary_search_by_key(&number, |l| l.line).is_ok();
        let whole = !junk && !cut && !foreign && !unnamed;
        clean.push(whole && before);
        before = whole;
        rest = tail.unwrap_or_default();
    }
    clean
}
