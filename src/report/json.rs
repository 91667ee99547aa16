//! Sweep records as JSON: one document, or one object a line.
//!
//! The lines carry a `record` tag and end with a `complete` line that counts them: a reader that
//! does not see it has a cut file. Field by field: `docs/schema/sweep.md`.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::record::{
    FamilyHit, MachineRecord, NoteRecord, OrphanRecord, RunInfo, SWEEP_SCHEMA, SourceRecord,
    SweepRecord, Totals, UnreadableRecord,
};
use crate::finding::Finding;

/// One line of the JSONL form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Line {
    /// First: which schema follows.
    Schema {
        /// Always [`SWEEP_SCHEMA`].
        schema: String,
    },
    /// A source.
    Source(SourceRecord),
    /// A machine with its disks.
    Machine(Box<MachineRecord>),
    /// A file of no machine.
    Orphan(OrphanRecord),
    /// A ransom note.
    Note(NoteRecord),
    /// A family.
    Family(FamilyHit),
    /// Something unreadable.
    Unreadable(UnreadableRecord),
    /// A finding about no single machine.
    Finding(Finding),
    /// Sums.
    Totals(Totals),
    /// Time, version and arguments.
    Run(RunInfo),
    /// Last: nothing is missing before it.
    Complete {
        /// How many lines came before this one.
        lines: u64,
    },
}

/// Why a record could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be read.
    #[error("cannot read the record")]
    Io(#[from] io::Error),
    /// Not the JSON of a record.
    #[error("line {line} is no part of a sweep record: {source}")]
    Json {
        /// Line in the file, from 1.
        line: u64,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Some other schema, or a newer one.
    #[error("the record says schema {found:?}; this vmglean reads {SWEEP_SCHEMA:?}")]
    Schema {
        /// What it says.
        found: String,
    },
    /// The lines end before the `complete` line.
    #[error(
        "the record ends after {lines} lines without its complete line: it was cut; sweep again with --state to go on"
    )]
    Cut {
        /// Lines read.
        lines: u64,
    },
    /// The `complete` line counts other than what was read.
    #[error(
        "the complete line counts {stated} lines, {read} were read: lines are missing or doubled"
    )]
    Count {
        /// What the line says.
        stated: u64,
        /// What was read.
        read: u64,
    },
    /// More after the `complete` line, such as two records in one file.
    #[error("there is more after the complete line {lines}: give one record, not several joined")]
    Trailing {
        /// Lines of the record, the complete line with them.
        lines: u64,
    },
}

/// Writes one JSON document and a newline.
///
/// # Errors
/// As the write says.
pub fn write_document<T: Serialize>(out: &mut dyn Write, record: &T) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, record)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes one object as one line, flushed.
pub(super) fn write_line<T: Serialize>(out: &mut dyn Write, line: &T) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text)?;
    out.flush()
}

/// Writes a sweep as JSONL, flushing each line.
///
/// # Errors
/// As the write says.
pub fn write_lines(out: &mut dyn Write, record: &SweepRecord) -> io::Result<()> {
    let mut lines = LineWriter::new(out)?;
    for source in &record.sources {
        lines.write(&Line::Source(source.clone()))?;
    }
    for machine in &record.machines {
        lines.write(&Line::Machine(Box::new(machine.clone())))?;
    }
    for orphan in &record.orphans {
        lines.write(&Line::Orphan(orphan.clone()))?;
    }
    for note in &record.notes {
        lines.write(&Line::Note(note.clone()))?;
    }
    for family in &record.families {
        lines.write(&Line::Family(family.clone()))?;
    }
    for unreadable in &record.unreadable {
        lines.write(&Line::Unreadable(unreadable.clone()))?;
    }
    for finding in &record.findings {
        lines.write(&Line::Finding(finding.clone()))?;
    }
    lines.write(&Line::Totals(record.totals.clone()))?;
    if let Some(run) = &record.run {
        lines.write(&Line::Run(run.clone()))?;
    }
    lines.complete()
}

/// Writes lines as they come to be known, each flushed; counts them for the last.
pub struct LineWriter<'a> {
    out: &'a mut dyn Write,
    lines: u64,
}

impl std::fmt::Debug for LineWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LineWriter").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl<'a> LineWriter<'a> {
    /// Writes the schema line.
    ///
    /// # Errors
    /// As the write says.
    pub fn new(out: &'a mut dyn Write) -> io::Result<Self> {
        let mut lines = Self { out, lines: 0 };
        lines.write(&Line::Schema { schema: SWEEP_SCHEMA.to_owned() })?;
        Ok(lines)
    }

    /// Writes one line.
    ///
    /// # Errors
    /// As the write says.
    pub fn write(&mut self, line: &Line) -> io::Result<()> {
        write_line(self.out, line)?;
        self.lines += 1;
        Ok(())
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// As the write says.
    pub fn complete(mut self) -> io::Result<()> {
        let lines = self.lines;
        self.write(&Line::Complete { lines })
    }
}

/// Reads a sweep record back, be it one document or lines.
///
/// # Errors
/// [`RecordError`], each kind with what to do.
pub fn read(mut from: impl BufRead) -> Result<SweepRecord, RecordError> {
    let mut text = Vec::new();
    from.read_until(b'\n', &mut text)?;
    if matches!(serde_json::from_slice(&text), Ok(Line::Schema { .. })) {
        return read_lines(&text, from);
    }
    from.read_to_end(&mut text)?;
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let at = |source: serde_json::Error| {
        let line = u64::try_from(source.line()).unwrap_or(u64::MAX);
        RecordError::Json { line, source }
    };
    let head: Head = serde_json::from_slice(&text).map_err(at)?;
    if head.schema != SWEEP_SCHEMA {
        return Err(RecordError::Schema { found: head.schema });
    }
    serde_json::from_slice(&text).map_err(at)
}

fn read_lines(first: &[u8], from: impl BufRead) -> Result<SweepRecord, RecordError> {
    let mut record = SweepRecord::empty();
    let mut read = 0;
    let parse = |text: &[u8], line| {
        serde_json::from_slice::<Line>(text).map_err(|source| RecordError::Json { line, source })
    };
    let mut next = Some(parse(first, 1)?);
    let mut rest = from.split(b'\n');
    while let Some(line) = next {
        match line {
            Line::Schema { schema } if schema == SWEEP_SCHEMA => {}
            Line::Schema { schema } => return Err(RecordError::Schema { found: schema }),
            Line::Source(source) => record.sources.push(source),
            Line::Machine(machine) => record.machines.push(*machine),
            Line::Orphan(orphan) => record.orphans.push(orphan),
            Line::Note(note) => record.notes.push(note),
            Line::Family(family) => record.families.push(family),
            Line::Unreadable(unreadable) => record.unreadable.push(unreadable),
            Line::Finding(finding) => record.findings.push(finding),
            Line::Totals(totals) => record.totals = totals,
            Line::Run(run) => record.run = Some(run),
            Line::Complete { lines } if lines != read => {
                return Err(RecordError::Count { stated: lines, read });
            }
            Line::Complete { lines } => {
                for after in rest {
                    if !after?.trim_ascii().is_empty() {
                        return Err(RecordError::Trailing { lines: lines + 1 });
                    }
                }
                return Ok(record);
            }
        }
        read += 1;
        next = match rest.next().transpose()? {
            Some(text) => match parse(&text, read + 1) {
                Ok(line) => Some(line),
                // The last line torn in the middle is a cut, not a foreign line.
                Err(RecordError::Json { source, .. }) if source.is_eof() => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
    }
    Err(RecordError::Cut { lines: read })
}

#[cfg(test)]
mod tests {
    use super::{RecordError, read, write_document, write_lines};
    use crate::report::made;

    #[test]
    fn a_record_reads_back_as_itself_from_both_forms() {
        let record = made::small();
        let mut document = Vec::new();
        write_document(&mut document, &record).unwrap();
        assert_eq!(read(document.as_slice()).unwrap(), record);
        let mut lines = Vec::new();
        write_lines(&mut lines, &record).unwrap();
        assert_eq!(read(lines.as_slice()).unwrap(), record);
    }

    #[test]
    fn lines_cut_anywhere_are_never_taken_for_a_whole_record() {
        let mut lines = Vec::new();
        write_lines(&mut lines, &made::small()).unwrap();
        // Without its last newline the record is still whole.
        for cut in (0..lines.len() - 1).step_by(11) {
            let said = read(&lines[..cut]).expect_err("cut");
            assert!(matches!(said, RecordError::Cut { .. } | RecordError::Json { .. }), "{said}");
        }
    }

    #[test]
    fn two_records_joined_are_refused() {
        let mut lines = Vec::new();
        write_lines(&mut lines, &made::small()).unwrap();
        write_lines(&mut lines, &made::small()).unwrap();
        assert!(matches!(read(lines.as_slice()), Err(RecordError::Trailing { lines: 16 })));
    }

    #[test]
    fn a_line_lost_in_the_middle_is_told() {
        let mut lines = Vec::new();
        write_lines(&mut lines, &made::small()).unwrap();
        let text = String::from_utf8(lines).unwrap();
        let without: String = text
            .lines()
            .filter(|l| !l.contains(r#""name":"SQL01""#))
            .flat_map(|l| [l, "\n"])
            .collect();
        assert_eq!(
            read(without.as_bytes()).unwrap_err().to_string(),
            "the complete line counts 15 lines, 14 were read: lines are missing or doubled"
        );
    }

    #[test]
    fn bad_records_are_named() {
        let cases = [
            (
                "",
                "line 1 is no part of a sweep record: EOF while parsing a value at line 1 column 0",
            ),
            (
                "[]",
                "line 1 is no part of a sweep record: invalid length 0, expected struct Head with 1 element at line 1 column 2",
            ),
            (
                r#"{"schema":"vmglean.sweep/9"}"#,
                r#"the record says schema "vmglean.sweep/9"; this vmglean reads "vmglean.sweep/1""#,
            ),
            (
                "{\"record\":\"schema\",\"schema\":\"x\"}\n",
                r#"the record says schema "x"; this vmglean reads "vmglean.sweep/1""#,
            ),
            (
                "{\"record\":\"schema\",\"schema\":\"vmglean.sweep/1\"}\n",
                "the record ends after 1 lines without its complete line: it was cut; sweep again with --state to go on",
            ),
            (
                "{\"record\":\"schema\",\"schema\":\"vmglean.sweep/1\"}\n{\"record\":\"cat\"}\n",
                "line 2 is no part of a sweep record: unknown variant `cat`, expected one of `schema`, `source`, `machine`, `orphan`, `note`, `family`, `unreadable`, `finding`, `totals`, `run`, `complete`",
            ),
        ];
        for (text, said) in cases {
            assert!(
                read(text.as_bytes()).unwrap_err().to_string().starts_with(said),
                "{text}: {}",
                read(text.as_bytes()).unwrap_err()
            );
        }
    }

    #[test]
    fn the_same_record_gives_the_same_bytes() {
        let mut twice = [Vec::new(), Vec::new()];
        for out in &mut twice {
            write_document(out, &made::small()).unwrap();
        }
        assert_eq!(twice[0], twice[1]);
    }
}
