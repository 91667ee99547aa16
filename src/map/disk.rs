//! A virtual disk's map: each file of its chain judged once, the states laid over virtual
//! addresses.

use std::ops::Range;

use super::{Doubt, Mapped};
use crate::{
    disk::{ResolvedRun, RunError, RunState, VirtualDisk},
    finding::{Evidence, EvidenceKind, Finding, Weight},
    triage::judge::{DamageMap, Lattice, Run, State},
};

/// Runs that keep where they lie; a disk in more pieces keeps only their states.
const MOST_PLACED: usize = 1 << 20;
/// Grains that fail are told one by one up to here.
const MOST_TOLD: usize = 64;

/// A file of a disk, judged.
#[derive(Clone, Debug)]
pub struct FileMap {
    /// Its name, relative to the evidence root.
    pub name: String,
    /// Its bytes.
    pub mapped: Mapped,
}

/// Consecutive bytes of a virtual disk in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRun {
    /// What they are.
    pub run: Run,
    /// Which file holds them, and from which byte on.
    pub place: Option<(usize, u64)>,
}

/// A virtual disk, judged.
#[derive(Clone, Debug, Default)]
pub struct DiskMap {
    /// Bytes of the virtual disk.
    pub size_bytes: u64,
    /// Without what was appended.
    pub original_bytes: u64,
    /// All of it, in order, without gap or overlap.
    pub runs: Vec<DiskRun>,
    /// What the runs rest on.
    pub evidence: Vec<Evidence>,
    /// What a person must know besides.
    pub findings: Vec<Finding>,
    /// Its files.
    pub files: Vec<FileMap>,
}

impl DiskMap {
    /// A file as it is, nothing laid over.
    #[must_use]
    pub fn of_file(name: &str, mapped: Mapped) -> Self {
        let map = &mapped.map;
        Self {
            size_bytes: map.size_bytes,
            original_bytes: map.original_bytes,
            runs: map.runs.iter().map(|run| placed(run.clone(), 0, run.start)).collect(),
            evidence: map.evidence.clone(),
            findings: map.findings.clone(),
            files: vec![FileMap { name: name.to_owned(), mapped }],
        }
    }

    /// Lays what was found in `files`, which are those of `disk` in order, over its addresses.
    ///
    /// With `doubt`, tables have lost entries or were computed: what they call zero or never
    /// written is undetermined then, for that reason, and so is what shows through from a parent.
    #[must_use]
    pub fn over(disk: &VirtualDisk, files: Vec<FileMap>, doubt: Option<&Doubt>) -> Self {
        let mut made = Overlay::new(disk, &files, doubt);
        for batch in disk.walk(0, u64::MAX) {
            for run in &batch.runs {
                made.resolved(run);
            }
            made.defects += batch.defects.len() as u64;
        }
        let mut made = made.finish();
        // A disk that is one plain file may end with what was appended to that.
        if let [only] = files.as_slice()
            && only.mapped.map.size_bytes == made.size_bytes
        {
            made.original_bytes = only.mapped.map.original_bytes;
        }
        Self { files, ..made }
    }

    /// Bytes in `state`; the small runs of a lattice count as encrypted.
    #[must_use]
    pub fn bytes_in(&self, state: State) -> u64 {
        self.runs.iter().map(|run| run.run.bytes_in(state)).sum()
    }
}

/// Whether bytes of that state count as good where nothing speaks against them.
fn is_sound(state: State) -> bool {
    matches!(state, State::Intact | State::Zero | State::Absent)
}

fn placed(run: Run, file: usize, at: u64) -> DiskRun {
    let has_bytes = !matches!(run.state, State::Absent);
    DiskRun { run, place: has_bytes.then_some((file, at)) }
}

struct Overlay<'a> {
    disk: &'a VirtualDisk,
    files: &'a [FileMap],
    /// Whether the tables' word for zero and never written counts for nothing.
    is_doubted: bool,
    /// Runs of links beyond this one show through what it may have held.
    doubted_from: usize,
    /// Whether the run at hand is one of those.
    shows_through: bool,
    /// Where each file's evidence begins.
    firsts: Vec<usize>,
    evidence: Vec<Evidence>,
    findings: Vec<Finding>,
    runs: Vec<DiskRun>,
    at: u64,
    zero: usize,
    absent: usize,
    grain: usize,
    broken_grain: usize,
    lost: Option<(usize, String)>,
    is_coarse: bool,
    defects: u64,
    broken: u64,
}

impl<'a> Overlay<'a> {
    fn new(disk: &'a VirtualDisk, files: &'a [FileMap], doubt: Option<&Doubt>) -> Self {
        let mut evidence = Vec::new();
        let mut firsts = Vec::new();
        let mut findings = Vec::new();
        for file in files {
            firsts.push(evidence.len());
            let name = |detail: &str| {
                if files.len() > 1 { format!("{}: {detail}", file.name) } else { detail.to_owned() }
            };
            evidence.extend(
                file.mapped
                    .map
                    .evidence
                    .iter()
                    .map(|e| Evidence { detail: name(&e.detail), ..e.clone() }),
            );
            findings.extend(file.mapped.map.findings.iter().cloned());
        }
        findings.extend(doubt.map(|doubt| Finding {
            code: "map.unnamed-grains".to_owned(),
            weight: Weight::Damage,
            path: doubt.path.clone(),
            offset_bytes: None,
            what: doubt.what.clone(),
            next: None,
        }));
        let all = disk.capacity_bytes();
        let mut why = |detail: &str| {
            evidence.push(Evidence {
                kind: EvidenceKind::Structure,
                offset_bytes: 0,
                length_bytes: all,
                detail: detail.to_owned(),
            });
            evidence.len() - 1
        };
        let doubted = doubt.map(|doubt| format!("{}: {}", doubt.path, doubt.what));
        let doubted = doubted.as_deref();
        let zero = why(doubted.unwrap_or("zeros by the word of the chain's tables"));
        let absent = why(doubted.unwrap_or("allocated nowhere in the chain; reads as zero"));
        let grain = why("a compressed grain that inflates to its full length, checksum right");
        let broken_grain = why("a compressed grain that does not inflate");
        Self {
            disk,
            files,
            is_doubted: doubt.is_some(),
            doubted_from: doubt.map_or(usize::MAX, |doubt| doubt.link),
            shows_through: false,
            firsts,
            evidence,
            findings,
            runs: Vec::new(),
            at: 0,
            zero,
            absent,
            grain,
            broken_grain,
            lost: None,
            is_coarse: false,
            defects: 0,
            broken: 0,
        }
    }

    fn push(&mut self, next: DiskRun) {
        if next.run.start >= next.run.end {
            return;
        }
        let next = if self.shows_through && is_sound(next.run.state) {
            // Small encrypted runs of a lattice stay what they are.
            let run = Run { state: State::Undetermined, evidence: self.absent, ..next.run };
            DiskRun { run, ..next }
        } else {
            next
        };
        self.at = next.run.end;
        if let Some(last) = self.runs.last_mut() {
            let same = last.run.end == next.run.start
                && last.run.state == next.run.state
                && last.run.evidence == next.run.evidence
                && last.run.lattice == next.run.lattice;
            let follows = match (last.place, next.place) {
                (Some((a, at)), Some((b, to))) => {
                    a == b && at.checked_add(last.run.length()) == Some(to)
                }
                (None, None) => true,
                _ => false,
            };
            if same && (follows || self.is_coarse) {
                last.run.end = next.run.end;
                last.run.end_doubt = next.run.end_doubt;
                if !follows {
                    last.place = None;
                }
                return;
            }
        }
        self.runs.push(next);
        if self.runs.len() >= MOST_PLACED && !self.is_coarse {
            self.coarsen();
        }
    }

    /// Too many pieces: where they lie is dropped, what they are is kept.
    fn coarsen(&mut self) {
        self.is_coarse = true;
        let what = format!(
            "lies in more than {MOST_PLACED} pieces; from there on the map tells states only, not \
             where in which file"
        );
        self.findings.push(Finding {
            code: "map.too-many-pieces".to_owned(),
            weight: Weight::Note,
            path: self.files.first().map_or_else(String::new, |f| f.name.clone()),
            offset_bytes: Some(self.at),
            what,
            next: None,
        });
        let through = std::mem::take(&mut self.shows_through);
        let all = std::mem::take(&mut self.runs);
        for mut run in all {
            run.place = None;
            self.push(run);
        }
        self.shows_through = through;
    }

    fn resolved(&mut self, run: &ResolvedRun) {
        let range = run.offset..run.end();
        let link = usize::try_from(run.link).unwrap_or(usize::MAX);
        self.shows_through = link > self.doubted_from;
        match run.state {
            RunState::Zero | RunState::Absent if self.is_doubted => {
                self.simple(range, State::Undetermined, self.absent);
            }
            RunState::Zero => self.simple(range, State::Zero, self.zero),
            RunState::Absent => self.simple(range, State::Absent, self.absent),
            RunState::Lost => {
                let why = self.lost(run);
                self.simple(range, State::Damaged, why);
            }
            RunState::Unreadable => {
                let why = self.lost(run);
                self.simple(range, State::Unreadable, why);
            }
            RunState::Data => self.data(run),
            RunState::Compressed => self.compressed(run),
        }
    }

    fn simple(&mut self, range: Range<u64>, state: State, evidence: usize) {
        self.push(DiskRun { run: Run::new(range, state, evidence), place: None });
    }

    fn lost(&mut self, run: &ResolvedRun) -> usize {
        let why = self.disk.why_gone(run);
        if let Some((index, known)) = &self.lost
            && *known == why
        {
            return *index;
        }
        self.evidence.push(Evidence {
            kind: EvidenceKind::Structure,
            offset_bytes: run.offset,
            length_bytes: run.length,
            detail: why.clone(),
        });
        self.lost = Some((self.evidence.len() - 1, why));
        self.evidence.len() - 1
    }

    fn file(&self, run: &ResolvedRun) -> Option<(usize, &'a DamageMap)> {
        let index = run.file?.0 as usize;
        Some((index, &self.files.get(index)?.mapped.map))
    }

    fn data(&mut self, resolved: &ResolvedRun) {
        let Some((index, map)) = self.file(resolved) else {
            let why = self.lost(resolved);
            self.simple(resolved.offset..resolved.end(), State::Damaged, why);
            return;
        };
        let first = self.firsts.get(index).copied().unwrap_or(0);
        let inside = resolved.file_offset..resolved.file_offset.saturating_add(resolved.length);
        for run in over(map, &inside) {
            let start = run.start.max(inside.start);
            let end = run.end.min(inside.end);
            let shifted = |at: u64| resolved.offset + (at - inside.start);
            let part = Run {
                start: shifted(start),
                end: shifted(end),
                state: run.state,
                evidence: first + run.evidence,
                start_doubt: if start == run.start { run.start_doubt } else { 0 },
                end_doubt: if end == run.end { run.end_doubt } else { 0 },
                lattice: run.lattice.map(|l| moved(l, inside.start, resolved.offset)),
            };
            self.push(placed(part, index, start));
        }
        // The file's map ends early where the file does.
        if self.at < resolved.end() {
            let why = self.lost(resolved);
            self.simple(self.at..resolved.end(), State::Damaged, why);
        }
    }

    fn compressed(&mut self, resolved: &ResolvedRun) {
        let range = resolved.offset..resolved.end();
        let length = usize::try_from(resolved.length).unwrap_or(0);
        let mut bytes = vec![0; length];
        let read = self.disk.read_run(resolved, &mut bytes);
        let (state, evidence) = match read {
            Ok(()) if bytes.iter().all(|b| *b == 0) => (State::Zero, self.grain),
            Ok(()) => (State::Intact, self.grain),
            Err(error) => {
                self.broken += 1;
                if self.broken <= MOST_TOLD as u64 {
                    self.findings.push(Finding {
                        code: "map.grain-broken".to_owned(),
                        weight: Weight::Damage,
                        path: self
                            .file(resolved)
                            .and_then(|(index, _)| self.files.get(index))
                            .map_or_else(String::new, |f| f.name.clone()),
                        offset_bytes: Some(resolved.file_offset),
                        what: error.to_string(),
                        next: None,
                    });
                }
                self.of_stored(resolved, &error)
            }
        };
        let place = self.file(resolved).map(|(index, _)| (index, resolved.file_offset));
        self.push(DiskRun { run: Run::new(range, state, evidence), place });
    }

    /// What a grain that does not inflate is, by the state of its stored bytes.
    fn of_stored(&self, resolved: &ResolvedRun, error: &RunError) -> (State, usize) {
        if let RunError::Medium { .. } = error {
            return (State::Unreadable, self.broken_grain);
        }
        let stored = resolved.file_offset..resolved.file_offset.saturating_add(resolved.stored);
        let encrypted = self.file(resolved).and_then(|(index, map)| {
            let first = self.firsts.get(index).copied().unwrap_or(0);
            over(map, &stored)
                .find(|r| r.state == State::Encrypted)
                .map(|r| (State::Encrypted, first + r.evidence))
        });
        encrypted.unwrap_or((State::Damaged, self.broken_grain))
    }

    /// Tells of bytes that may well be encrypted: no structure holds them, no rule places them.
    fn unexplained(&self) -> Option<Finding> {
        let reasons: Vec<usize> = (self.files.iter().zip(&self.firsts))
            .filter_map(|(file, first)| Some(first + file.mapped.map.unexplained?))
            .collect();
        let open = |run: &&DiskRun| {
            run.run.state == State::Undetermined && reasons.contains(&run.run.evidence)
        };
        let first = self.runs.iter().find(open)?;
        let bytes: u64 = self.runs.iter().filter(open).map(|run| run.run.length()).sum();
        let place = first.place.and_then(|(file, at)| Some((self.files.get(file)?, at)));
        Some(Finding {
            code: "map.unexplained".to_owned(),
            weight: Weight::Damage,
            path: place.map_or_else(String::new, |(file, _)| file.name.clone()),
            offset_bytes: place.map(|(_, at)| at),
            what: format!(
                "{bytes} bytes look random and nothing proves them sound: they may be encrypted"
            ),
            next: None,
        })
    }

    fn finish(mut self) -> DiskMap {
        self.shows_through = false;
        let files = self.files;
        let size = self.disk.capacity_bytes();
        if self.at < size {
            let what = "the chain's tables could not be followed further";
            self.evidence.push(Evidence {
                kind: EvidenceKind::Structure,
                offset_bytes: self.at,
                length_bytes: size - self.at,
                detail: what.to_owned(),
            });
            let why = self.evidence.len() - 1;
            self.simple(self.at..size, State::Damaged, why);
        }
        if self.broken > MOST_TOLD as u64 {
            self.findings.push(Finding {
                code: "map.grains-broken".to_owned(),
                weight: Weight::Damage,
                path: files.first().map_or_else(String::new, |f| f.name.clone()),
                offset_bytes: None,
                what: format!("{} compressed grains do not inflate", self.broken),
                next: None,
            });
        }
        let unexplained = self.unexplained();
        self.findings.extend(unexplained);
        DiskMap {
            size_bytes: size,
            original_bytes: size,
            runs: self.runs,
            evidence: self.evidence,
            findings: self.findings,
            files: Vec::new(),
        }
    }
}

/// The runs of a file that touch `range`.
fn over<'m>(map: &'m DamageMap, range: &Range<u64>) -> impl Iterator<Item = &'m Run> {
    let from = map.runs.partition_point(|run| run.end <= range.start);
    let end = range.end;
    map.runs.iter().skip(from).take_while(move |run| run.start < end)
}

/// The same lattice, seen from virtual addresses.
fn moved(lattice: Lattice, from: u64, to: u64) -> Lattice {
    let phase =
        (lattice.origin % lattice.period + lattice.period - from % lattice.period) % lattice.period;
    Lattice { origin: to + phase, ..lattice }
}
