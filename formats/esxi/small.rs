//! `locker.conf` and `.backup.counter`.

use serde::Serialize;

use crate::{
    defect::{Checked, DefectKind},
    dict::{DefectList, offset, shorten},
};

const MAX_BYTES: usize = 64 << 10;

/// `locker.conf`: where the host's scratch volume is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LockerConf {
    /// `/vmfs/volumes/<uuid>`.
    pub path: Option<String>,
    /// The volume's uuid, last part of the path.
    pub volume_uuid: Option<String>,
}

/// `.backup.counter`: how often and when last the host saved its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackupCounter {
    /// `# CREATED:`, as written.
    pub created: Option<String>,
    /// `# MODIFIED:`, as written: the time of the last backup.
    pub modified: Option<String>,
    /// The counter.
    pub count: Option<u64>,
}

/// The lines with their places; control bytes are defects.
fn lines<'a>(bytes: &'a [u8], defects: &mut DefectList) -> Vec<(usize, u32, &'a [u8])> {
    let whole = bytes.len();
    let bytes = bytes.get(..whole.min(MAX_BYTES)).unwrap_or(bytes);
    if whole > bytes.len() {
        defects.limit("text", bytes.len(), whole, MAX_BYTES);
    }
    let mut at = 0_usize;
    let mut found = Vec::new();
    for (number, line) in (1_u32..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        found.push((at, number, line.trim_ascii_end()));
        at = at.saturating_add(line.len());
    }
    found
}

fn not_understood(at: usize, line: u32, text: &[u8], defects: &mut DefectList) {
    let text = shorten(&String::from_utf8_lossy(text));
    defects.add_at("line", offset(at), DefectKind::Syntax { line, text });
}

fn plain(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok().filter(|text| !text.chars().any(char::is_control))
}

impl LockerConf {
    /// Reads `locker.conf`: a path and a flag on one line.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let mut defects = DefectList::new("locker.conf");
        let mut value = Self::default();
        for (at, number, line) in lines(bytes, &mut defects) {
            let Some(text) = plain(line).filter(|text| text.is_empty() || text.starts_with('/'))
            else {
                not_understood(at, number, line, &mut defects);
                continue;
            };
            if let (None, Some(path)) = (&value.path, text.split_whitespace().next()) {
                value.volume_uuid = path.rsplit('/').next().map(str::to_owned);
                value.path = Some(path.to_owned());
            }
        }
        if value.path.is_none() {
            defects.add("path", 0, DefectKind::Missing { what: "a path".to_owned() });
        }
        Checked { value, defects: defects.finish() }
    }
}

impl BackupCounter {
    /// Reads `.backup.counter`: comments with times, then a number.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let mut defects = DefectList::new(".backup.counter");
        let mut value = Self::default();
        for (at, number, line) in lines(bytes, &mut defects) {
            let Some(text) = plain(line) else {
                not_understood(at, number, line, &mut defects);
                continue;
            };
            if let Some(comment) = text.strip_prefix('#') {
                let after =
                    |mark: &str| comment.trim().strip_prefix(mark).map(|t| t.trim().to_owned());
                value.created = after("CREATED:").or(value.created);
                value.modified = after("MODIFIED:").or(value.modified);
            } else if let Ok(count) = text.trim().parse() {
                value.count = Some(count);
            } else if !text.trim().is_empty() {
                not_understood(at, number, line, &mut defects);
            }
        }
        if value.count.is_none() {
            defects.add("count", 0, DefectKind::Missing { what: "the counter".to_owned() });
        }
        Checked { value, defects: defects.finish() }
    }
}
