//! What differs between two maps, or two copies of a disk.

use std::{io, io::Write};

use serde::{Deserialize, Serialize};

use super::text::word;
use crate::report::{
    plain::plain,
    record::{MapRecord, MapState, RecordPath},
    units,
};

/// What `schema` says in a comparison.
pub(super) const COMPARE_SCHEMA: &str = "vmglean.map-compare/1";

/// Two maps laid beside each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompareRecord {
    /// Always [`COMPARE_SCHEMA`].
    pub schema: String,
    /// The first disk.
    pub a: RecordPath,
    /// The second disk.
    pub b: RecordPath,
    /// Bytes of the first.
    pub a_size_bytes: u64,
    /// Bytes of the second.
    pub b_size_bytes: u64,
    /// Bytes whose state differs.
    pub changed_bytes: u64,
    /// Where the state differs, in order. What only one disk holds is `null` for the other.
    pub runs: Vec<ChangedRun>,
}

/// Bytes whose state differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedRun {
    /// First byte.
    pub offset_bytes: u64,
    /// How many.
    pub length_bytes: u64,
    /// State in the first; `null` past its end.
    pub a: Option<MapState>,
    /// State in the second; `null` past its end.
    pub b: Option<MapState>,
}

/// Lays two maps beside each other.
#[must_use]
pub fn compare(a: &MapRecord, b: &MapRecord) -> CompareRecord {
    let mut made = CompareRecord {
        schema: COMPARE_SCHEMA.to_owned(),
        a: a.disk.clone(),
        b: b.disk.clone(),
        a_size_bytes: a.size_bytes,
        b_size_bytes: b.size_bytes,
        changed_bytes: 0,
        runs: Vec::new(),
    };
    let end = a.size_bytes.max(b.size_bytes);
    let (mut at, mut in_a, mut in_b) = (0, 0, 0);
    while at < end {
        let (state_a, end_a) = here(a, &mut in_a, at, end);
        let (state_b, end_b) = here(b, &mut in_b, at, end);
        let to = end_a.min(end_b);
        if state_a != state_b {
            made.changed_bytes += to - at;
            match made.runs.last_mut() {
                Some(last)
                    if last.offset_bytes + last.length_bytes == at
                        && (last.a, last.b) == (state_a, state_b) =>
                {
                    last.length_bytes += to - at;
                }
                _ => made.runs.push(ChangedRun {
                    offset_bytes: at,
                    length_bytes: to - at,
                    a: state_a,
                    b: state_b,
                }),
            }
        }
        at = to;
    }
    made
}

/// The state at `at`, and up to where it holds.
fn here(map: &MapRecord, index: &mut usize, at: u64, end: u64) -> (Option<MapState>, u64) {
    let past = |index: usize| {
        map.runs.get(index).is_some_and(|r| r.offset_bytes.saturating_add(r.length_bytes) <= at)
    };
    while past(*index) {
        *index += 1;
    }
    match map.runs.get(*index) {
        Some(run) if run.offset_bytes <= at => {
            (Some(run.state), run.offset_bytes.saturating_add(run.length_bytes).min(end))
        }
        Some(run) => (None, run.offset_bytes.min(end)),
        None => (None, end),
    }
}

/// Writes a comparison as text.
///
/// # Errors
/// As the write says.
pub fn write_compare(out: &mut dyn Write, record: &CompareRecord) -> io::Result<()> {
    writeln!(out, "a  {}  {}", units::bytes(record.a_size_bytes), plain(&record.a.lossy()))?;
    writeln!(out, "b  {}  {}", units::bytes(record.b_size_bytes), plain(&record.b.lossy()))?;
    writeln!(out)?;
    if record.runs.is_empty() {
        writeln!(out, "The states of all bytes agree.")?;
        return out.flush();
    }
    writeln!(
        out,
        "{} in {} changed state:",
        units::bytes(record.changed_bytes),
        units::counted(record.runs.len() as u64, "run")
    )?;
    let name = |state: Option<MapState>| state.map_or("(none)", word);
    for run in &record.runs {
        writeln!(
            out,
            "{:>14}  {:>14}  {:<12} -> {}",
            format!("{:#x}", run.offset_bytes),
            run.length_bytes,
            name(run.a),
            name(run.b)
        )?;
    }
    out.flush()
}
