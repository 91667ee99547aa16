//! What `vmglean consolidate` made, as `vmglean.consolidate/1`.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    json::write_line,
    plain::{plain, plain_path},
    record::{RecordPath, RunInfo},
    text::layout::{BAD, BOLD, GOOD, painted, right, wrap},
    units::{bytes, counted},
};
use crate::{
    consolidate::{JudgedBy, JudgedLine, SampledLine, Sums},
    disk::Chain,
    finding::Finding,
};

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
    /// Bytes that a damage map leaves undetermined; in whose place the fill stands with
    /// `--fill-undetermined`.
    #[serde(default, skip_serializing_if = "is_none")]
    pub open_bytes: u64,
    /// Whether the fill stands there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open_filled: bool,
    /// How the content of each file was judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judged: Vec<JudgedLine>,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
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
            open_bytes: 0,
            open_filled: false,
            judged: Vec::new(),
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
        let open = if self.open_filled { self.open_bytes } else { 0 };
        self.filled_bytes = sums.filled_bytes().saturating_add(open);
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
    let undetermined = match record.open_filled {
        true => "undetermined: nothing proves them",
        false => "copied as the tables say; nothing more is known of them",
    };
    for (count, word, good) in [
        (sums.intact_bytes, "intact: a checksum or a damage map proves them", true),
        (sums.undetermined_bytes, undetermined, true),
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
    if record.open_bytes > 0 {
        let what = match record.open_filled {
            true => "of these undetermined by a damage map: the fill stands there",
            false => "of these undetermined by a damage map: they may be encrypted",
        };
        let text = format!("{}  {what}", right(&bytes(record.open_bytes), 10));
        lines.push(painted(BAD, &text));
    }
    for text in judged_lines(&record.judged) {
        lines.extend(wrap(&text, columns));
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
        let is_unjudged = record.judged.iter().any(|line| line.by == JudgedBy::Nothing);
        let is_good = record.open_bytes == 0 && !is_unjudged;
        let text = "every byte has its place";
        lines.push(if is_good { painted(GOOD, text) } else { text.to_owned() });
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

/// How the files were judged, in a few lines: what was not looked at, and what samples can miss.
fn judged_lines(judged: &[JudgedLine]) -> Vec<String> {
    let by = |by: JudgedBy| judged.iter().filter(move |line| line.by == by);
    let files = |by_what: JudgedBy| {
        let all: Vec<&JudgedLine> = by(by_what).collect();
        match all.as_slice() {
            [] => None,
            [only] => Some(only.file.as_deref().map_or("the disk".into(), plain).into_owned()),
            all => Some(counted(all.len() as u64, "file")),
        }
    };
    let mut lines = Vec::new();
    if let Some(files) = files(JudgedBy::Nothing) {
        lines.push(format!(
            "{files}: the content was not looked at; what is encrypted there was copied as it is"
        ));
    }
    let widest = by(JudgedBy::Samples)
        .filter_map(|line| line.samples.as_ref())
        .max_by_key(|told| told.sure_run_bytes);
    if let (Some(files), Some(told)) = (files(JudgedBy::Samples), widest) {
        lines.push(format!("{files}: judged by {}", sampled(told)));
    }
    if let Some(files) = files(JudgedBy::EveryByte) {
        lines.push(format!(
            "{files}: every block was measured, but a lone encrypted run of up to 128 KiB can pass for \
             a piece of an archive"
        ));
    }
    if let Some(files) = files(JudgedBy::Map) {
        lines.push(format!("{files}: judged by a damage map of every byte"));
    }
    for line in by(JudgedBy::GivenMap) {
        let map = line.map.as_deref().map_or("".into(), plain);
        let of = line.file.as_deref().map_or("the disk".into(), plain).into_owned();
        lines.push(format!("{of}: judged by the damage map {map}"));
    }
    lines
}

/// What samples can tell, and what not.
fn sampled(told: &SampledLine) -> String {
    let count = counted(told.count, "sample");
    if told.missed_1mib_percent == 0 {
        return format!(
            "{count}; a lone encrypted run shorter than {} can be missed",
            bytes(told.sure_run_bytes)
        );
    }
    format!(
        "{count}, not byte by byte: a lone encrypted run shorter than {} can be missed, one of 1 MiB \
         is in {} of 100 cases (vmglean map reads every byte; --map takes what it finds)",
        bytes(told.sure_run_bytes),
        told.missed_1mib_percent
    )
}
