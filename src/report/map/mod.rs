//! Damage maps for people and for other tools.

mod compare;
mod hashes;
mod made;
mod mapfile;
mod picture;
mod text;

pub use compare::{CompareRecord, compare, write_compare};
pub use hashes::write_hash_list;
pub use made::record;
pub use mapfile::write_mapfile;
pub use picture::{write_png, write_svg};
pub use text::write_map;

use std::io::{self, Write};

use serde::Serialize;

use super::record::{MapRecord, MapRun};
use crate::finding::{Evidence, Finding};

/// One line of the JSONL form.
#[derive(Serialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
enum Line<'a> {
    Map {
        #[serde(flatten)]
        head: &'a MapRecord,
    },
    Evidence {
        #[serde(flatten)]
        evidence: &'a Evidence,
    },
    Run {
        #[serde(flatten)]
        run: &'a MapRun,
    },
    Finding {
        #[serde(flatten)]
        finding: &'a Finding,
    },
    Complete {
        lines: u64,
    },
}

/// Writes a map as JSONL: a `map` line with everything but the lists, then one line for each
/// evidence, run and finding, then `complete` with the count of lines before it.
///
/// # Errors
/// As the write says.
pub fn write_lines(out: &mut dyn Write, record: &MapRecord) -> io::Result<()> {
    let mut lines = 0;
    let mut put = |line: &Line<'_>| -> io::Result<()> {
        serde_json::to_writer(&mut *out, line)?;
        out.write_all(b"\n")?;
        lines += 1;
        out.flush()
    };
    let head = MapRecord {
        runs: Vec::new(),
        evidence: Vec::new(),
        findings: Vec::new(),
        ..record.clone()
    };
    put(&Line::Map { head: &head })?;
    for evidence in &record.evidence {
        put(&Line::Evidence { evidence })?;
    }
    for run in &record.runs {
        put(&Line::Run { run })?;
    }
    for finding in &record.findings {
        put(&Line::Finding { finding })?;
    }
    let count = 1 + record.evidence.len() + record.runs.len() + record.findings.len();
    put(&Line::Complete { lines: count as u64 })
}
