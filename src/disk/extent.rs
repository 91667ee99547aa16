//! One link of a chain: its extents side by side, each answering for its stretch of the disk.

use std::sync::Arc;

use vmglean_formats::{
    ByteOffset, Bytes, FormatError,
    vmdk::{ExtentMap, RunKind},
};

use super::run::{FileId, LinkDefect, ResolvedRun, RunState};
use crate::source::Source;

/// Grains longer than this are not inflated; no writer comes near.
pub(super) const MAX_INFLATED_GRAIN_BYTES: u64 = 64 << 20;

/// A file that a virtual disk is made of.
#[derive(Clone)]
pub struct DiskFile {
    /// As named in reports, relative to the evidence root.
    pub name: String,
    /// Its bytes, without appended footers.
    pub source: Arc<dyn Source>,
}

impl std::fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.source.len_bytes())
    }
}

/// One extent line of a descriptor and what stands behind it. All numbers are bytes.
pub struct LinkExtent {
    /// First byte on the virtual disk.
    pub start: u64,
    /// Length on the virtual disk.
    pub length: u64,
    /// What stands behind it.
    pub body: ExtentBody,
}

/// What stands behind an extent line.
pub enum ExtentBody {
    /// Plain bytes of `file` from `at` on.
    Flat {
        /// The file.
        file: FileId,
        /// First byte in it.
        at: u64,
    },
    /// A sparse extent with its tables.
    Mapped {
        /// The file.
        file: FileId,
        /// Its tables.
        map: Box<dyn ExtentMap>,
        /// Bytes of one grain; tables are asked in whole grains.
        grain_bytes: u64,
    },
    /// Zeros by the descriptor's word (`ZERO`, `NOACCESS`).
    Zero,
    /// Not to be had from what is here: the file is missing or its header is lost.
    Lost {
        /// Why, for a reader.
        why: String,
    },
    /// Known but out of reach: a raw device mapping, an object store, a refused file.
    Unreadable {
        /// Why, for a reader.
        why: String,
    },
}

/// One disk of a chain.
pub struct DiskLink {
    /// As named in reports.
    pub name: String,
    /// Virtual size in bytes.
    pub capacity: u64,
    /// In order of `start`, without overlap. What no extent covers is lost.
    pub extents: Vec<LinkExtent>,
}

/// What a link says of one stretch.
pub(super) enum Answer {
    /// This, and nothing below matters.
    Here(ResolvedRun),
    /// Nothing here: ask the parent.
    Below { offset: u64, length: u64 },
}

impl Answer {
    pub(super) fn span(&self) -> (u64, u64) {
        match self {
            Self::Here(run) => (run.offset, run.end()),
            Self::Below { offset, length } => (*offset, offset.saturating_add(*length)),
        }
    }
}

/// Collects answers of one link for `from..end`, gapless by construction.
pub(super) struct Asker<'a> {
    pub(super) files: &'a [DiskFile],
    pub(super) link: u32,
    pub(super) max_answers: usize,
    pub(super) answers: Vec<Answer>,
    pub(super) defects: Vec<LinkDefect>,
}

impl Asker<'_> {
    /// Asks `link` about `from..end`; answers how far it came (beyond `from` whenever `from < end`).
    pub(super) fn ask(&mut self, link: &DiskLink, from: u64, end: u64) -> u64 {
        let mut at = from;
        let first = link.extents.partition_point(|e| e.start.saturating_add(e.length) <= from);
        for (index, extent) in link.extents.iter().enumerate().skip(first) {
            if at >= end || self.answers.len() >= self.max_answers {
                return at;
            }
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if extent.start > at {
                let gap_end = extent.start.min(end);
                self.push(at, gap_end, RunState::Lost, index, None, (0, 0, 0));
                at = gap_end;
            }
            let stop = extent.start.saturating_add(extent.length).min(end);
            if at < stop {
                at = self.ask_extent(extent, index, at, stop);
                if at < stop {
                    return at;
                }
            }
        }
        if at < end {
            // Past the last extent. Nothing says what was there.
            let index = u32::try_from(link.extents.len()).unwrap_or(u32::MAX);
            self.push(at, end, RunState::Lost, index, None, (0, 0, 0));
        }
        end
    }

    fn push(
        &mut self,
        from: u64,
        end: u64,
        state: RunState,
        extent: u32,
        file: Option<FileId>,
        (file_offset, stored, skip): (u64, u64, u64),
    ) {
        if from >= end {
            return;
        }
        let run = ResolvedRun {
            offset: from,
            length: end - from,
            state,
            link: self.link,
            extent: Some(extent),
            file,
            file_offset,
            stored,
            skip,
        };
        match self.answers.last_mut() {
            Some(Answer::Here(last)) if last.joins(&run) => last.length += run.length,
            _ => self.answers.push(Answer::Here(run)),
        }
    }

    fn below(&mut self, from: u64, end: u64) {
        if from >= end {
            return;
        }
        match self.answers.last_mut() {
            Some(Answer::Below { offset, length }) if *offset + *length == from => {
                *length += end - from;
            }
            _ => self.answers.push(Answer::Below { offset: from, length: end - from }),
        }
    }

    fn ask_extent(&mut self, extent: &LinkExtent, index: u32, from: u64, end: u64) -> u64 {
        match &extent.body {
            ExtentBody::Zero => self.push(from, end, RunState::Zero, index, None, (0, 0, 0)),
            ExtentBody::Lost { .. } => {
                self.push(from, end, RunState::Lost, index, None, (0, 0, 0));
            }
            ExtentBody::Unreadable { .. } => {
                self.push(from, end, RunState::Unreadable, index, None, (0, 0, 0));
            }
            ExtentBody::Flat { file, at } => {
                let at = at.saturating_add(from - extent.start);
                return self.ask_flat(*file, at, index, from, end);
            }
            ExtentBody::Mapped { file, map, grain_bytes } => {
                let tables = (*file, map.as_ref(), *grain_bytes);
                return self.ask_mapped(extent.start, tables, index, from, end);
            }
        }
        end
    }

    fn ask_flat(&mut self, file: FileId, file_at: u64, index: u32, from: u64, end: u64) -> u64 {
        let Some(source) = self.source(file) else {
            self.push(from, end, RunState::Lost, index, None, (0, 0, 0));
            return end;
        };
        let there = source.len_bytes().saturating_sub(file_at).min(end - from);
        let data_end = from + there;
        let mut at = from;
        while at < data_end && self.answers.len() < self.max_answers {
            let here = file_at + (at - from);
            let next = match source.next_data(here) {
                Ok(Some(range)) => range,
                Ok(None) => {
                    self.push(at, data_end, RunState::Absent, index, None, (0, 0, 0));
                    at = data_end;
                    break;
                }
                // A system that cannot tell holes still reads.
                Err(_) => here..u64::MAX,
            };
            let start = (from + next.start.saturating_sub(file_at)).clamp(at, data_end);
            let stop = from.saturating_add(next.end.saturating_sub(file_at)).clamp(start, data_end);
            self.push(at, start, RunState::Absent, index, None, (0, 0, 0));
            let place = file_at + (start - from);
            self.push(start, stop, RunState::Data, index, Some(file), (place, 0, 0));
            if stop <= at {
                // No progress: a source that breaks its promise. Read the rest as data.
                self.push(at, data_end, RunState::Data, index, Some(file), (here, 0, 0));
                at = data_end;
            } else {
                at = stop;
            }
        }
        if at < data_end {
            return at;
        }
        // The file is shorter than its line says.
        self.push(data_end, end, RunState::Lost, index, None, (0, 0, 0));
        end
    }

    fn source(&self, file: FileId) -> Option<Arc<dyn Source>> {
        self.files.get(file.0 as usize).map(|f| Arc::clone(&f.source))
    }

    fn ask_mapped(
        &mut self,
        start: u64,
        (file, map, grain_bytes): (FileId, &dyn ExtentMap, u64),
        index: u32,
        from: u64,
        end: u64,
    ) -> u64 {
        let covered = start.saturating_add(map.capacity().0).clamp(from, end);
        let answer = self.source(file).filter(|_| from < covered).map(|source| {
            let budget = self.max_answers.saturating_sub(self.answers.len()).max(1);
            let grain = grain_bytes.max(1);
            let first = (from - start) / grain * grain;
            let last =
                (covered - start).div_ceil(grain).saturating_mul(grain).min(map.capacity().0);
            let asked = (ByteOffset(first), Bytes(last - first));
            (source.len_bytes(), map.runs(&*source, asked.0, asked.1, budget))
        });
        let Some((file_len, answer)) = answer else {
            self.push(from, end, RunState::Lost, index, None, (0, 0, 0));
            return end;
        };
        let answer = match answer {
            Ok(checked) => {
                for defect in checked.defects {
                    self.defects.push(LinkDefect { link: self.link, extent: index, defect });
                }
                checked.value
            }
            Err(error) => {
                self.note(error, index);
                self.push(from, end, RunState::Lost, index, None, (0, 0, 0));
                return end;
            }
        };
        let mut at = from;
        for run in answer {
            let run_start = start.saturating_add(run.offset.0);
            let run_end = run_start.saturating_add(run.length.0).min(covered);
            if run_end <= at {
                continue;
            }
            if run_start > at {
                self.push(at, run_start.min(covered), RunState::Lost, index, None, (0, 0, 0));
                at = run_start.min(covered);
            }
            let cut = at - run_start.min(at);
            match run.kind {
                RunKind::Stored { at: place } => {
                    let place = place.0.saturating_add(cut);
                    let there = file_len.saturating_sub(place).min(run_end - at);
                    let had = at + there;
                    self.push(at, had, RunState::Data, index, Some(file), (place, 0, 0));
                    self.push(had, run_end, RunState::Lost, index, None, (0, 0, 0));
                }
                RunKind::Compressed { at: place, stored } => {
                    let inside = place.0.checked_add(stored.0).is_some_and(|e| e <= file_len);
                    if inside && run.length.0 <= MAX_INFLATED_GRAIN_BYTES {
                        let where_to = (place.0, stored.0, cut);
                        self.push(at, run_end, RunState::Compressed, index, Some(file), where_to);
                    } else {
                        self.push(at, run_end, RunState::Lost, index, None, (0, 0, 0));
                    }
                }
                RunKind::Zero => {
                    self.push(at, run_end, RunState::Zero, index, None, (0, 0, 0));
                }
                RunKind::Absent => self.below(at, run_end),
                RunKind::Lost => {
                    self.push(at, run_end, RunState::Lost, index, None, (0, 0, 0));
                }
            }
            at = run_end;
        }
        if at == from && from < covered {
            // The map gave nothing for this place: it is not known.
            self.push(from, covered, RunState::Lost, index, None, (0, 0, 0));
            at = covered;
        }
        if at == covered && covered < end {
            // The extent's own capacity is smaller than its line says.
            self.push(covered, end, RunState::Lost, index, None, (0, 0, 0));
            at = end;
        }
        at
    }

    fn note(&mut self, error: FormatError, extent: u32) {
        use vmglean_formats::{Defect, DefectKind};
        let defect = match error {
            FormatError::Damaged(defect) => defect,
            FormatError::Medium { at, len, source } => Defect::new(
                "ExtentTables",
                "entries",
                at,
                DefectKind::Unreadable { length: len, why: source.to_string() },
            ),
            FormatError::Unsupported { structure, feature, at } => Defect::new(
                structure,
                "feature",
                at,
                DefectKind::Unsupported { feature: feature.to_owned() },
            ),
        };
        self.defects.push(LinkDefect { link: self.link, extent, defect });
    }
}
