//! What a salvage made, as `vmglean.salvage/1` and as text.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use serde::Serialize;

use super::{
    json::write_line,
    plain::{plain, plain_path},
    record::{RecordPath, RunInfo},
    text::{
        finding_line,
        layout::{BAD, BOLD, DIM, GOOD, painted, wrap},
    },
    units::{bytes, counted},
};
use crate::{
    finding::{Finding, Weight},
    salvage::{
        Carried, DiskPlan, MachinePlan, MemoryPair, Origin,
        config::{Confidence, PieceKind},
        write::FinishedFile,
    },
};

/// What `schema` says in a salvage record.
pub const SALVAGE_SCHEMA: &str = "vmglean.salvage/1";

/// What became of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SalvageResult {
    /// Its folder is made and proven.
    Written,
    /// An earlier equal run had made it; nothing was done.
    Already,
    /// Only planned, as asked.
    Planned,
    /// Not begun or not finished; run again to go on.
    Stopped,
    /// Something else stands in its place.
    Refused,
    /// It could not be made.
    Failed,
}

/// One file of a salvaged folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SalvagedFile {
    /// Its name, relative to the folder.
    pub name: String,
    /// How it came to be.
    pub origin: Origin,
    /// Why it is what it is.
    pub why: String,
    /// Its length; `null` where it was not made.
    pub length_bytes: Option<u64>,
    /// SHA-256; `null` where it was not made.
    pub sha256: Option<String>,
}

/// A rebuilt configuration in numbers; line by line it is in `vmx.provenance.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SalvagedConfig {
    /// The file.
    pub file: String,
    /// The file most of it comes from; `null` where no copy was left.
    pub base: Option<RecordPath>,
    /// Kind of that file.
    pub base_kind: Option<PieceKind>,
    /// Whether some copy was whole.
    pub complete: bool,
    /// Lines in all.
    pub lines: usize,
    /// Lines by how far they can be relied on.
    pub confidence: Vec<(Confidence, usize)>,
    /// Keys on which copies disagree.
    pub conflicts: Vec<String>,
    /// Keys whose value nothing tells.
    pub missing: Vec<String>,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SalvagedMachine {
    /// Its id in sweep records.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Its folder.
    pub folder: RecordPath,
    /// What became of it.
    pub result: SalvageResult,
    /// Why it failed or was refused.
    pub error: Option<String>,
    /// Triage's verdict.
    pub verdict: String,
    /// The way back.
    pub route: String,
    /// Why.
    pub reason: String,
    /// Its configuration.
    pub config: SalvagedConfig,
    /// Its disks.
    pub disks: Vec<DiskPlan>,
    /// Memory images found.
    pub memory: Vec<MemoryPair>,
    /// Files of the folder.
    pub files: Vec<SalvagedFile>,
    /// The `.ovf` or `.ova` made of the folder; left out where none was asked for or made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<RecordPath>,
    /// What a person must know.
    pub findings: Vec<Finding>,
}

impl SalvagedMachine {
    /// The record of a plan, and of its files where they are made.
    #[must_use]
    pub fn new(
        plan: &MachinePlan,
        folder: RecordPath,
        result: SalvageResult,
        made: &[FinishedFile],
    ) -> Self {
        let config = &plan.config;
        let files = plan.files.iter().map(|planned| {
            let made = made.iter().find(|file| file.name == planned.name);
            SalvagedFile {
                name: planned.name.clone(),
                origin: planned.origin,
                why: planned.why.clone(),
                length_bytes: made.map(|file| file.length_bytes),
                sha256: made.map(|file| file.sha256.clone()),
            }
        });
        let conflicts = config.lines.iter().filter(|line| !line.conflicts.is_empty());
        Self {
            id: plan.id.clone(),
            name: plan.name.clone(),
            folder,
            result,
            error: None,
            verdict: plan.condition.verdict.clone(),
            route: plan.condition.route.clone(),
            reason: plan.condition.reason.clone(),
            config: SalvagedConfig {
                file: plan.vmx_name.clone(),
                base: config.base.as_ref().map(|base| base.path.clone()),
                base_kind: config.base_kind,
                complete: config.complete,
                lines: config.lines.len(),
                confidence: config.counts().into_iter().collect(),
                conflicts: conflicts.map(|line| line.key.clone()).collect(),
                missing: config.missing.iter().map(|missing| missing.key.clone()).collect(),
            },
            disks: plan.disks.clone(),
            memory: plan.memory.clone(),
            files: files.collect(),
            package: None,
            findings: plan.findings.clone(),
        }
    }
}

/// The answer of one salvage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SalvageRecord {
    /// Always [`SALVAGE_SCHEMA`].
    pub schema: String,
    /// The output folder.
    pub out: RecordPath,
    /// Machines, in the order of the catalog.
    pub machines: Vec<SalvagedMachine>,
    /// Findings of no machine.
    pub findings: Vec<Finding>,
    /// Time, version and arguments; left out with `--reproducible`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunInfo>,
}

/// Writes one machine a line, flushed; the last line is `{"record":"complete","lines":N}`.
///
/// # Errors
/// As the write says.
pub fn write_lines(out: &mut dyn Write, record: &SalvageRecord) -> io::Result<()> {
    #[derive(Serialize)]
    #[serde(tag = "record", rename_all = "kebab-case")]
    enum Line<'a> {
        Schema { schema: &'a str, out: &'a RecordPath },
        Machine(&'a SalvagedMachine),
        Finding(&'a Finding),
        Run(&'a RunInfo),
        Complete { lines: usize },
    }
    let mut lines = vec![Line::Schema { schema: &record.schema, out: &record.out }];
    lines.extend(record.machines.iter().map(Line::Machine));
    lines.extend(record.findings.iter().map(Line::Finding));
    lines.extend(record.run.as_ref().map(Line::Run));
    lines.push(Line::Complete { lines: lines.len() });
    lines.iter().try_for_each(|line| write_line(out, line))
}

/// Writes the record as text, at least 60 columns wide.
///
/// # Errors
/// As the write says.
pub fn write_text(out: &mut dyn Write, record: &SalvageRecord, columns: usize) -> io::Result<()> {
    let columns = columns.clamp(60, 200);
    for machine in &record.machines {
        for line in machine_lines(machine, columns) {
            writeln!(out, "{}", line.trim_end())?;
        }
        writeln!(out)?;
    }
    for finding in &record.findings {
        for line in wrap(&finding_line(finding), columns) {
            writeln!(out, "{line}")?;
        }
    }
    let of = |wanted: SalvageResult| {
        record.machines.iter().filter(|machine| machine.result == wanted).count() as u64
    };
    let mut sum = counted(record.machines.len() as u64, "machine");
    for (result, word) in [
        (SalvageResult::Written, "written"),
        (SalvageResult::Already, "there already"),
        (SalvageResult::Planned, "planned"),
        (SalvageResult::Stopped, "not finished"),
        (SalvageResult::Refused, "refused"),
        (SalvageResult::Failed, "failed"),
    ] {
        if of(result) > 0 {
            let _ = write!(sum, ", {} {word}", of(result));
        }
    }
    writeln!(out, "{sum} in {}", plain_path(&record.out))?;
    out.flush()
}

fn machine_lines(machine: &SalvagedMachine, columns: usize) -> Vec<String> {
    let (style, word) = match machine.result {
        SalvageResult::Written => (GOOD, "written"),
        SalvageResult::Already => (GOOD, "there already"),
        SalvageResult::Planned => (DIM, "would be written"),
        SalvageResult::Stopped => (BAD, "not finished; run again to go on"),
        SalvageResult::Refused => (BAD, "refused"),
        SalvageResult::Failed => (BAD, "failed"),
    };
    let mut lines = vec![format!(
        "{}  {}  {} to {}",
        painted(BOLD, &plain(&machine.name)),
        machine.verdict,
        painted(style, word),
        plain_path(&machine.folder)
    )];
    let mut push = |text: &str| {
        for (n, line) in wrap(text, columns.saturating_sub(4)).into_iter().enumerate() {
            lines.push(format!("{}{line}", if n == 0 { "  " } else { "    " }));
        }
    };
    if let Some(error) = &machine.error {
        push(&plain(error));
    }
    push(&config_line(&machine.config));
    for disk in &machine.disks {
        let what = match disk.carried {
            Carried::Copied => "copied",
            Carried::Listed => "listed",
            Carried::Left => "left where it is",
            Carried::Missing => "not found",
        };
        let size = disk.capacity_bytes.map_or_else(|| "size unknown".to_owned(), bytes);
        push(&format!(
            "disk {} {}, {size}, {}: {what}{}",
            disk.node.as_deref().unwrap_or("-"),
            plain(disk.file.as_deref().unwrap_or(&disk.name)),
            disk.verdict,
            if disk.links_left_out > 0 { ", from the snapshot below its damage" } else { "" },
        ));
    }
    for pair in &machine.memory {
        let state = if pair.carried { "carried over" } else { "found; --memory carries it over" };
        push(&format!("memory {}: {state}", plain_path(&pair.image)));
    }
    for finding in machine.findings.iter().filter(|f| f.weight != Weight::Note) {
        push(&finding_line(finding));
    }
    let made: u64 = machine.files.iter().filter_map(|file| file.length_bytes).sum();
    push(&format!("{}, {}", counted(machine.files.len() as u64, "file"), bytes(made)));
    if let Some(package) = &machine.package {
        push(&format!("package {}", plain_path(package)));
    }
    lines
}

fn config_line(config: &SalvagedConfig) -> String {
    let base = config.base.as_ref().map_or_else(
        || "no copy of it is left".to_owned(),
        |base| format!("mainly from {}", plain_path(base)),
    );
    let words = config.confidence.iter().map(|(confidence, count)| {
        let word = match confidence {
            Confidence::Current => "its own",
            Confidence::LastKnown => "as last known",
            Confidence::Older => "older",
            Confidence::Derived => "derived",
            Confidence::Guessed => "guessed",
            Confidence::Changed => "set here",
        };
        format!("{count} {word}")
    });
    let mut line = format!(
        "configuration {}: {} lines, {base}: {}",
        plain(&config.file),
        config.lines,
        words.collect::<Vec<_>>().join(", ")
    );
    if !config.missing.is_empty() {
        let _ = write!(line, "; missing: {}", plain(&config.missing.join(", ")));
    }
    line
}
