//! Lists that other tools read: the manifest, hashdeep's, Sleuth Kit's body file.

use std::{
    io::{self, Write},
    ops::Range,
};

use serde::{Deserialize, Serialize};

use super::record::{FileLine, is_first, word};
use crate::{
    guest::{Chunk, EventLog, GuestFile, LOG_HEAD_BYTES, Stream, get::Written},
    report::record::RecordPath,
};

/// One line of `MANIFEST.jsonl`: a file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestLine {
    /// Where it lies, below the output folder.
    pub output: RecordPath,
    /// Its true path in the guest.
    pub path: RecordPath,
    /// Its volume.
    pub volume: u32,
    /// Its verdict; `rebuilt` of a log made from the chunks of a damaged one.
    pub verdict: String,
    /// Bytes written.
    pub length_bytes: u64,
    /// Of what was written.
    pub md5: String,
    /// Of what was written.
    pub sha256: String,
    /// The disk.
    pub source: RecordPath,
    /// Output range by output range, in order.
    pub ranges: Vec<ManifestRange>,
    /// Further names of the file that were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<RecordPath>,
    /// What the guest says of times, where the target cannot keep it.
    pub created: Option<String>,
    /// Last change of content.
    pub modified: Option<String>,
    /// Of a rebuilt event log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<RebuiltLog>,
}

/// Bytes of an output file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRange {
    /// First byte in the file; of a compressed file, as stored.
    pub offset_bytes: u64,
    /// How many.
    pub length_bytes: u64,
    /// First byte on the virtual disk; `null` for zeros.
    pub source_offset_bytes: Option<u64>,
    /// Which disk: left out for `source`, from 1 on those given with it.
    #[serde(default, skip_serializing_if = "is_first")]
    pub disk: usize,
    /// `intact`, `hole` (zeros by the guest's word), `left-out` (zeros in place of bad bytes),
    /// `undetermined` (as it stands, though the map cannot tell) or `made` (written anew).
    pub state: String,
}

/// What is left of an event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuiltLog {
    /// The damaged log's own verdict.
    pub of_verdict: String,
    /// Chunks whose checksums hold; all others are left out.
    pub chunks: u64,
    /// Records in them.
    pub records: u64,
    /// Numbers of the first and the last record.
    pub first_record: u64,
    /// The last one.
    pub last_record: u64,
    /// Stretches of record numbers between them that are lost: first and last.
    pub missing: Vec<(u64, u64)>,
    /// What speaks against the damaged log's own record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// Writes the manifest line by line.
pub struct Manifest<W: Write> {
    out: W,
}

impl<W: Write> Manifest<W> {
    /// A manifest that goes to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes one line.
    ///
    /// # Errors
    /// As the write says.
    pub fn write(&mut self, line: &ManifestLine) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }

    /// Writes what is still held back.
    ///
    /// # Errors
    /// As the write says.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl ManifestLine {
    /// The line of a file that was written.
    #[must_use]
    pub fn new(disk: &RecordPath, file: &GuestFile, written: &Written) -> Self {
        let line = FileLine::from(file);
        let mut ranges: Vec<ManifestRange> = line
            .runs
            .iter()
            .map(|run| ManifestRange {
                offset_bytes: run.offset_bytes,
                length_bytes: run.length_bytes,
                source_offset_bytes: run.disk_offset_bytes,
                disk: run.disk,
                state: if run.disk_offset_bytes.is_some() { "intact" } else { "hole" }.to_owned(),
            })
            .collect();
        if line.runs.is_empty() && file.size > 0 {
            // In the record, or never written.
            ranges.push(ManifestRange {
                offset_bytes: 0,
                length_bytes: file.size,
                source_offset_bytes: file.record_at,
                disk: 0,
                state: "intact".to_owned(),
            });
        }
        let ranges = marked(without(ranges, &written.holes), &written.unsure);
        Self {
            output: written.output.clone().into(),
            path: line.path,
            volume: file.volume,
            verdict: word(file.verdict).to_owned(),
            length_bytes: written.size,
            md5: written.md5.clone(),
            sha256: written.sha256.clone(),
            source: disk.clone(),
            ranges,
            links: written.links.iter().cloned().map(RecordPath::from).collect(),
            created: line.created,
            modified: line.modified,
            rebuilt: None,
        }
    }

    /// The line of an event log that was rebuilt from a damaged one.
    #[must_use]
    pub fn rebuilt(
        disk: &RecordPath,
        (file, stream): (&GuestFile, &Stream),
        log: &EventLog,
        written: &Written,
    ) -> Self {
        let mut ranges = vec![ManifestRange {
            offset_bytes: 0,
            length_bytes: LOG_HEAD_BYTES,
            source_offset_bytes: None,
            disk: 0,
            state: "made".to_owned(),
        }];
        let mut at = LOG_HEAD_BYTES;
        for chunk in &log.chunks {
            ranges.extend(origins(file, stream, chunk, at));
            at += Chunk::BYTES;
        }
        let number = |record: Option<u64>| record.unwrap_or_default();
        let rebuilt = RebuiltLog {
            of_verdict: word(file.verdict).to_owned(),
            chunks: log.chunks.len() as u64,
            records: log.records(),
            first_record: number(log.chunks.first().map(|chunk| chunk.first)),
            last_record: number(log.chunks.iter().map(|chunk| chunk.last).max()),
            missing: log.missing.clone(),
            doubts: file.doubts.clone(),
        };
        Self {
            verdict: "rebuilt".to_owned(),
            ranges: without(ranges, &written.holes),
            rebuilt: Some(rebuilt),
            ..Self::new(disk, file, written)
        }
    }
}

/// Where the bytes of a chunk that stands at `to` come from.
fn origins(file: &GuestFile, stream: &Stream, chunk: &Chunk, to: u64) -> Vec<ManifestRange> {
    let end = chunk.at.saturating_add(Chunk::BYTES);
    let range = |from: u64, until: u64, source: Option<u64>, state: &str| ManifestRange {
        offset_bytes: to + (from - chunk.at),
        length_bytes: until - from,
        source_offset_bytes: source,
        disk: 0,
        state: state.to_owned(),
    };
    // Compressed bytes do not lie on the disk as they are.
    if stream.unit_bytes > 0 {
        return vec![range(chunk.at, end, None, "intact")];
    }
    let mut ranges = Vec::new();
    for place in &file.places {
        let (from, until) =
            (place.offset.max(chunk.at), place.offset.saturating_add(place.length).min(end));
        if from < until {
            let source = place.disk_offset.map(|disk| disk.saturating_add(from - place.offset));
            let state = if source.is_some() { "intact" } else { "hole" };
            ranges.push(ManifestRange { disk: place.disk, ..range(from, until, source, state) });
        }
    }
    ranges
}

/// The ranges with what was left out cut from them, in order and without overlap.
fn without(ranges: Vec<ManifestRange>, left_out: &[Range<u64>]) -> Vec<ManifestRange> {
    let mut all: Vec<ManifestRange> = left_out
        .iter()
        .map(|hole| ManifestRange {
            offset_bytes: hole.start,
            length_bytes: hole.end - hole.start,
            source_offset_bytes: None,
            disk: 0,
            state: "left-out".to_owned(),
        })
        .collect();
    for range in ranges {
        let end = range.offset_bytes.saturating_add(range.length_bytes);
        let mut keep = |from: u64, to: u64| all.extend(part(&range, from, to, &range.state));
        let mut at = range.offset_bytes;
        let first = left_out.partition_point(|hole| hole.end <= at);
        for hole in left_out.iter().skip(first).take_while(|hole| hole.start < end) {
            keep(at, hole.start.min(end));
            at = at.max(hole.end);
        }
        keep(at, end);
    }
    all.sort_by_key(|range| range.offset_bytes);
    all
}

/// The bytes `from` to `to` of a range, if there are any, in another state.
fn part(range: &ManifestRange, from: u64, to: u64, state: &str) -> Option<ManifestRange> {
    let source = range.source_offset_bytes;
    (from < to).then(|| ManifestRange {
        offset_bytes: from,
        length_bytes: to - from,
        source_offset_bytes: source.map(|at| at + (from - range.offset_bytes)),
        disk: range.disk,
        state: state.to_owned(),
    })
}

/// The ranges with those taken apart and marked of which the map could not tell.
fn marked(ranges: Vec<ManifestRange>, unsure: &[Range<u64>]) -> Vec<ManifestRange> {
    let mut all = Vec::with_capacity(ranges.len());
    for range in ranges {
        let end = range.offset_bytes.saturating_add(range.length_bytes);
        let mut piece = |from: u64, to: u64, state: &str| all.extend(part(&range, from, to, state));
        let mut at = range.offset_bytes;
        let first = unsure.partition_point(|part| part.end <= at);
        for part in unsure.iter().skip(first).take_while(|part| part.start < end) {
            piece(at, part.start.min(end), &range.state);
            piece(at.max(part.start), part.end.min(end), "undetermined");
            at = at.max(part.end.min(end));
        }
        piece(at, end, &range.state);
    }
    all
}

/// First lines of a hashdeep list.
#[must_use]
pub fn hashdeep_head() -> &'static str {
    "%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n"
}

/// One line of a hashdeep list.
#[must_use]
pub fn hashdeep_line(written: &Written) -> String {
    let name = written.output.to_string_lossy();
    format!("{},{},{},{name}\n", written.size, written.md5, written.sha256)
}

/// One line of a body file (Sleuth Kit 3): MD5, name, inode, mode, UID, GID, size, four times.
#[must_use]
pub fn body_line(file: &GuestFile, md5: Option<&str>) -> String {
    let seconds = |time: Option<i128>| time.map_or(0, |ns| ns.div_euclid(1_000_000_000));
    let [created, modified, changed, accessed] = file.times;
    let name: String = String::from_utf8_lossy(&file.path)
        .chars()
        .map(|c| if c == '|' || c.is_control() { '_' } else { c })
        .collect();
    let deleted = if file.is_deleted { " (deleted)" } else { "" };
    let mode = if file.is_folder { "d/drwxrwxrwx" } else { "r/rrwxrwxrwx" };
    format!(
        "{}|volume{}/{name}{deleted}|{}-{}|{mode}|0|0|{}|{}|{}|{}|{}\n",
        md5.unwrap_or("0"),
        file.volume,
        file.record_number,
        file.sequence,
        file.size,
        seconds(accessed),
        seconds(modified),
        seconds(changed),
        seconds(created)
    )
}

#[cfg(test)]
mod tests {
    use super::{ManifestRange, without};

    #[test]
    fn what_was_left_out_is_cut_from_the_ranges_round_it() {
        let range = |offset_bytes, length_bytes, source_offset_bytes, state: &str| ManifestRange {
            offset_bytes,
            length_bytes,
            source_offset_bytes,
            disk: 0,
            state: state.to_owned(),
        };
        let ranges = vec![
            range(0, 100, Some(1000), "intact"),
            range(100, 50, None, "hole"),
            range(150, 50, Some(5000), "intact"),
        ];
        assert_eq!(
            without(ranges, &[20..30, 90..160]),
            [
                range(0, 20, Some(1000), "intact"),
                range(20, 10, None, "left-out"),
                range(30, 60, Some(1030), "intact"),
                range(90, 70, None, "left-out"),
                range(160, 40, Some(5010), "intact"),
            ]
        );
    }
}
