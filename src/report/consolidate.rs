//! What `vmglean consolidate` made, as `vmglean.consolidate/1`.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    json::write_line,
    plain::plain_path,
    record::{RecordPath, RunInfo},
    text::layout::{BAD, BOLD, GOOD, painted, right, wrap},
    units::{bytes, counted},
};
use crate::{consolidate::Sums, disk::Chain, finding::Finding};

/// What `schema` says in a consolidate record.
pub const CONSOLIDATE_SCHEMA: &str = "vmglean.consolidate/1";

/// What was made of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsolidateRecord {
    /// Always [`CONSOLIDATE_SCHEMA`].
    pub schema: String,
    /// The leaf as named on the command line.
    pub leaf: RecordPath,
    /// The link it was read from, below the root.
    pub at: RecordPath,
    /// How many links were read.
    pub links: u64,
    /// The disk made; `null` with `--null`.
    pub output: Option<RecordPath>,
    /// `raw`, `flat`, `sparse` or `stream`.
    pub format: Option<String>,
    /// Where every byte comes from.
    pub manifest: Option<RecordPath>,
    /// The same as a ddrescue map.
    pub map: Option<RecordPath>,
    /// Virtual size.
    pub size_bytes: u64,
    /// Bytes by state.
    pub summary: Sums,
    /// Bytes in whose place the fill stands.
    pub filled_bytes: u64,
    /// Sectors made anew with `--repair-boot`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<RewrittenRange>,
    /// Whether something was read through a parent whose CID does not agree.
    pub doubted: bool,
    /// Ranges in the manifest.
    pub ranges: u64,
    /// Whether the output was read back and is what the manifest says.
    pub proven: bool,
    /// Whether it was stopped; the same command goes on.
    pub stopped: bool,
    /// Where an earlier run was taken up.
    pub resumed_from_bytes: Option<u64>,
    /// What a person must know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Time, version and arguments; left out with `--reproducible`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunInfo>,
}

/// Sectors that the output holds and no source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewrittenRange {
    /// First byte on the virtual disk.
    pub offset_bytes: u64,
    /// How many.
    pub length_bytes: u64,
    /// What they are, and from what they were made.
    pub what: String,
}

impl ConsolidateRecord {
    /// A record of nothing made yet of the chain as it was at link `at`.
    #[must_use]
    pub fn new(leaf: &Path, chain: &Chain, at: usize) -> Self {
        let link = chain.links.get(at);
        Self {
            schema: CONSOLIDATE_SCHEMA.to_owned(),
            leaf: RecordPath(leaf.to_path_buf()),
            at: link.map_or_else(RecordPath::default, |link| {
                RecordPath(link.path.as_path().to_path_buf())
            }),
            links: chain.links.len().saturating_sub(at) as u64,
            output: None,
            format: None,
            manifest: None,
            map: None,
            size_bytes: link.map_or(0, |link| link.capacity),
            summary: Sums::default(),
            filled_bytes: 0,
            rewritten: Vec::new(),
            doubted: chain.links.iter().skip(at).any(|link| link.parent_doubt.is_some()),
            ranges: 0,
            proven: false,
            stopped: false,
            resumed_from_bytes: None,
            findings: chain.findings.clone(),
            run: None,
        }
    }

    /// Takes in what was read.
    pub fn set_sums(&mut self, sums: &Sums, stopped: bool) {
        self.summary = *sums;
        self.filled_bytes = sums.filled_bytes();
        self.stopped = stopped;
    }
}

/// Writes one object a line: `schema`, `consolidated`, `finding`, `run`, `complete`.
///
/// # Errors
/// As the write says.
pub fn write_lines(out: &mut dyn Write, record: &ConsolidateRecord) -> io::Result<()> {
    #[derive(Serialize)]
    #[serde(tag = "record", rename_all = "kebab-case")]
    enum Line<'a> {
        Schema { schema: &'a str },
        Consolidated(Box<ConsolidateRecord>),
        Finding(&'a Finding),
        Run(&'a RunInfo),
        Complete { lines: usize },
    }
    let own = ConsolidateRecord { findings: Vec::new(), run: None, ..record.clone() };
    let mut lines =
        vec![Line::Schema { schema: &record.schema }, Line::Consolidated(Box::new(own))];
    lines.extend(record.findings.iter().map(Line::Finding));
    lines.extend(record.run.iter().map(Line::Run));
    lines.push(Line::Complete { lines: lines.len() });
    lines.iter().try_for_each(|line| write_line(out, line))
}

/// Writes the record as text, at least 60 columns wide.
///
/// # Errors
/// As the write says.
pub fn write_text(
    out: &mut dyn Write,
    record: &ConsolidateRecord,
    columns: usize,
) -> io::Result<()> {
    let columns = columns.clamp(60, 200);
    let mut lines = Vec::new();
    let name = record.output.as_ref().unwrap_or(&record.leaf);
    lines.push(painted(BOLD, &plain_path(name)));
    let read = counted(record.links, "link");
    let mut what =
        format!("{}, read from {} on, {read}", bytes(record.size_bytes), plain_path(&record.at));
    if record.stopped {
        what.push_str("; stopped before its end");
    } else if record.proven {
        what.push_str("; read back and proven");
    }
    lines.extend(wrap(&what, columns));
    let sums = &record.summary;
    for (count, word, good) in [
        (sums.intact_bytes, "intact: a checksum or a damage map proves them", true),
        (sums.undetermined_bytes, "copied as the tables say; nothing more is known of them", true),
        (sums.zero_bytes, "zeros", true),
        (sums.absent_bytes, "allocated nowhere, read as zeros", true),
        (sums.encrypted_bytes, "encrypted: the fill stands there", false),
        (sums.unreadable_bytes, "unreadable: the fill stands there", false),
        (sums.damaged_bytes, "lost: the fill stands there", false),
    ] {
        if count > 0 {
            let text = format!("{}  {word}", right(&bytes(count), 10));
            lines.push(if good { text } else { painted(BAD, &text) });
        }
    }
    for made in &record.rewritten {
        let text = format!("made anew at {:#x}: {}", made.offset_bytes, made.what);
        lines.extend(wrap(&text, columns));
    }
    if let Some(manifest) = &record.manifest {
        let many = counted(record.ranges, "range");
        lines.extend(wrap(
            &format!("{many} with their sources in {}", plain_path(manifest)),
            columns,
        ));
    }
    if record.filled_bytes == 0 && !record.stopped && !record.doubted {
        lines.push(painted(GOOD, "every byte has its place"));
    }
    if record.doubted {
        let text = "a parent was taken although its CID does not agree: see below";
        lines.push(painted(BAD, text));
    }
    for finding in record.findings.iter().take(20) {
        let text = super::text::finding_line(finding);
        lines.extend(wrap(&text, columns - 2).iter().map(|l| format!("  {l}")));
    }
    for line in lines {
        writeln!(out, "{}", line.trim_end())?;
    }
    out.flush()
}
