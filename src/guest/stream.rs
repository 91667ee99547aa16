//! A stream of a file: where it lies, held against the map, and its bytes.

use std::{
    io,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use vmglean_formats::{
    ByteOffset, Bytes, MediumError, ReadAt,
    ntfs::{DataRun, decompress},
};

use crate::{
    guest::{Ground, Tally, file::Place, ground::is_good},
    source::Source,
    triage::judge::State,
};

/// Most holes listed for one file; further ones are only counted.
const MOST_HOLES: usize = 10_000;
/// Most places listed for one file.
const MOST_PLACES: usize = 10_000;

/// A stream put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Its name in WTF-8; empty for the file's own content.
    pub name: Vec<u8>,
    /// Attribute flags.
    pub flags: u16,
    /// Bytes of content.
    pub size: u64,
    /// Bytes ever written; the rest reads as zero.
    pub valid: u64,
    /// Bytes of a compression unit; 0: not compressed.
    pub unit_bytes: u64,
    /// Bytes a cluster.
    pub cluster_bytes: u64,
    /// First byte of the volume.
    pub volume_start: u64,
    /// Bytes of the volume, where known.
    pub volume_bytes: Option<u64>,
    /// Content that lies in the record.
    pub resident: Option<Vec<u8>>,
    /// Where the rest lies, in order.
    pub runs: Vec<DataRun>,
    /// What is wrong with its description.
    pub defects: Vec<String>,
}

impl Stream {
    /// Notes runs that leave the volume or lie on each other.
    pub(super) fn check_places(&mut self) {
        let Some(volume) = self.volume_bytes else { return };
        let clusters = volume / self.cluster_bytes.max(1);
        let leaves =
            |run: &DataRun| run.lcn.is_some_and(|lcn| lcn.saturating_add(run.clusters) > clusters);
        if self.runs.iter().any(leaves) {
            self.defects.push("its clusters leave the volume".to_owned());
        }
        let mut places: Vec<(u64, u64)> =
            self.runs.iter().filter_map(|run| Some((run.lcn?, run.clusters))).collect();
        places.sort_unstable();
        let overlap = places.windows(2).any(|pair| {
            matches!(pair, [(start, length), (next, _)] if start.saturating_add(*length) > *next)
        });
        if overlap {
            self.defects.push("two of its runs overlap".to_owned());
        }
    }

    /// Bytes on the disk of a run, or `None` for a hole or a run that leaves all disks.
    fn disk_range(&self, run: &DataRun) -> Option<Range<u64>> {
        let from = self.volume_start.checked_add(run.lcn?.checked_mul(self.cluster_bytes)?)?;
        Some(from..from.checked_add(run.clusters.checked_mul(self.cluster_bytes)?)?)
    }

    /// Bytes of the stream that a run holds.
    fn range(&self, run: &DataRun) -> Range<u64> {
        let from = run.vcn.saturating_mul(self.cluster_bytes);
        from..from.saturating_add(run.clusters.saturating_mul(self.cluster_bytes))
    }

    /// Whether it lies in clusters.
    #[must_use]
    pub fn has_clusters(&self) -> bool {
        self.runs.iter().any(|run| run.lcn.is_some())
    }

    /// Clusters of the volume that it takes.
    pub fn clusters(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().filter_map(|run| Some((run.lcn?, run.clusters)))
    }

    /// Where its bytes lie; cut where there are very many.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let end = self.valid.max(if self.unit_bytes > 0 { self.size } else { 0 });
        let places = self.runs.iter().take(MOST_PLACES).filter_map(|run| {
            let range = self.range(run);
            let length = range.end.min(end).checked_sub(range.start)?;
            let disk_offset = self.disk_range(run).map(|range| range.start);
            (length > 0).then_some(Place { offset: range.start, length, disk_offset, disk: 0 })
        });
        places.collect()
    }

    /// Holds the stream's clusters against the map: bytes by state, and the bad ranges of the
    /// content in order. One bad byte spoils its compression unit.
    #[must_use]
    pub fn against(&self, ground: &Ground<'_>) -> (Tally, Vec<(Range<u64>, State)>) {
        let mut tally = Tally::default();
        let mut holes: Vec<(Range<u64>, State)> = Vec::new();
        if self.resident.is_some() {
            tally.good = self.size;
            return (tally, holes);
        }
        // Past the valid length all reads as zero, whatever the clusters hold.
        let end = if self.unit_bytes > 0 { self.size } else { self.valid };
        let mut bad = 0;
        for run in &self.runs {
            let range = self.range(run);
            let inside = range.start..range.end.min(end);
            let Some(on_disk) = self.disk_range(run).filter(|_| inside.start < inside.end) else {
                continue;
            };
            // Of a compressed unit the stored bytes count, wherever the content ends.
            let stored = if self.unit_bytes > 0 {
                on_disk.clone()
            } else {
                on_disk.start..on_disk.start + (inside.end - inside.start)
            };
            ground.pieces(stored, &mut |piece, state| {
                if is_good(state) {
                    return;
                }
                let from = range.start + (piece.start - on_disk.start);
                let to = range.start + (piece.end - on_disk.start);
                let spoiled = self.spoiled(from..to);
                push(&mut holes, spoiled, state);
            });
        }
        for (range, state) in &holes {
            tally.add(*state, range.end - range.start);
            bad += range.end - range.start;
        }
        tally.good = self.size.saturating_sub(bad);
        (tally, holes)
    }

    fn spoiled(&self, range: Range<u64>) -> Range<u64> {
        if self.unit_bytes == 0 {
            return range;
        }
        let from = range.start / self.unit_bytes * self.unit_bytes;
        let to = range.end.div_ceil(self.unit_bytes).saturating_mul(self.unit_bytes);
        from.min(self.size)..to.min(self.size)
    }
}

/// Appends a hole, which must not begin before the last; joins what touches.
fn push(holes: &mut Vec<(Range<u64>, State)>, mut range: Range<u64>, state: State) {
    if let Some((last, of)) = holes.last_mut() {
        range.start = range.start.max(last.end);
        if range.start >= range.end {
            return;
        }
        if (last.end == range.start && *of == state) || holes.len() >= MOST_HOLES {
            // Past the bound, a hole takes in what lies before the next one: never too little.
            if let Some((last, _)) = holes.last_mut() {
                last.end = range.end;
            }
            return;
        }
    }
    if range.start < range.end {
        holes.push((range, state));
    }
}

/// A stream read as a file. Bytes come as they lie on the disk, whatever the map says of them.
pub struct StreamReader<'a> {
    ground: &'a Ground<'a>,
    stream: &'a Stream,
    unit: Mutex<Option<(u64, Vec<u8>)>>,
}

impl<'a> StreamReader<'a> {
    /// A reader of `stream`.
    #[must_use]
    pub fn new(ground: &'a Ground<'a>, stream: &'a Stream) -> Self {
        Self { ground, stream, unit: Mutex::new(None) }
    }

    /// Fills `buf` from `at`, which lies inside the content.
    fn fill(&self, buf: &mut [u8], at: u64) -> Result<(), MediumError> {
        let stream = self.stream;
        if let Some(content) = &stream.resident {
            return content.read_exact_at(buf, ByteOffset(at));
        }
        if stream.unit_bytes > 0 {
            return self.fill_compressed(buf, at);
        }
        buf.fill(0);
        let end = at.saturating_add(buf.len() as u64).min(stream.valid);
        let first = stream.runs.partition_point(|run| stream.range(run).end <= at);
        for run in stream.runs.iter().skip(first) {
            let range = stream.range(run);
            if range.start >= end {
                break;
            }
            let Some(on_disk) = stream.disk_range(run) else { continue };
            let (from, to) = (range.start.max(at), range.end.min(end));
            let part = usize::try_from(from - at).ok().zip(usize::try_from(to - at).ok());
            if let Some(buf) = part.and_then(|(a, b)| buf.get_mut(a..b)) {
                let place = on_disk.start + (from - range.start);
                self.ground.disk().read_exact_at(buf, ByteOffset(place))?;
            }
        }
        Ok(())
    }

    fn fill_compressed(&self, buf: &mut [u8], at: u64) -> Result<(), MediumError> {
        let unit_bytes = self.stream.unit_bytes;
        let mut done = 0;
        while done < buf.len() {
            let here = at + done as u64;
            let number = here / unit_bytes;
            let mut kept = self.unit.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.as_ref().is_none_or(|(of, _)| *of != number) {
                *kept = Some((number, self.unpack(number)?));
            }
            let skip = usize::try_from(here % unit_bytes).unwrap_or(usize::MAX);
            let content =
                kept.as_ref().and_then(|(_, bytes)| bytes.get(skip..)).unwrap_or_default();
            let take = content.len().min(buf.len() - done);
            if take == 0 {
                return Err(MediumError::End {
                    end: ByteOffset(here),
                    wanted: ByteOffset(here + 1),
                });
            }
            if let (Some(to), Some(from)) = (buf.get_mut(done..done + take), content.get(..take)) {
                to.copy_from_slice(from);
            }
            done += take;
        }
        Ok(())
    }

    /// One unit: all hole, stored as it is, or packed into fewer clusters than it has.
    fn unpack(&self, number: u64) -> Result<Vec<u8>, MediumError> {
        let stream = self.stream;
        let unit_bytes = usize::try_from(stream.unit_bytes).unwrap_or(0);
        let from = number.saturating_mul(stream.unit_bytes);
        let to = from.saturating_add(stream.unit_bytes);
        let mut stored = Vec::new();
        let first = stream.runs.partition_point(|run| stream.range(run).end <= from);
        for run in stream.runs.iter().skip(first) {
            let range = stream.range(run);
            if range.start >= to {
                break;
            }
            let Some(on_disk) = stream.disk_range(run) else { continue };
            let (a, b) = (range.start.max(from), range.end.min(to));
            let length = usize::try_from(b - a).unwrap_or(0);
            stored.extend(self.ground.read(on_disk.start + (a - range.start), length)?);
        }
        if stored.is_empty() {
            return Ok(vec![0; unit_bytes]);
        }
        if stored.len() >= unit_bytes {
            return Ok(stored);
        }
        decompress(&stored, unit_bytes, ByteOffset(from)).map_err(|defect| MediumError::Io {
            at: ByteOffset(from),
            len: Bytes(stream.unit_bytes),
            source: io::Error::new(io::ErrorKind::InvalidData, defect),
        })
    }
}

impl ReadAt for StreamReader<'_> {
    fn len_bytes(&self) -> u64 {
        self.stream.size
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let end = at.0.saturating_add(buf.len() as u64);
        if end > self.stream.size {
            return Err(MediumError::End {
                end: ByteOffset(self.stream.size),
                wanted: ByteOffset(end),
            });
        }
        self.fill(buf, at.0)
    }
}

impl Source for StreamReader<'_> {
    /// Stretches that lie in clusters; the rest reads as zero.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let stream = self.stream;
        if from >= stream.size {
            return Ok(None);
        }
        if stream.resident.is_some() {
            return Ok(Some(from..stream.size));
        }
        let end = if stream.unit_bytes > 0 { stream.size } else { stream.valid };
        let first = stream.runs.partition_point(|run| stream.range(run).end <= from);
        for run in stream.runs.iter().skip(first) {
            let range = stream.range(run);
            // Of a unit, only its first clusters may be stored.
            let range = if stream.unit_bytes > 0 {
                let unit = stream.unit_bytes;
                range.start / unit * unit..range.end.div_ceil(unit).saturating_mul(unit)
            } else {
                range
            };
            let (start, stop) = (range.start.max(from), range.end.min(end));
            if run.lcn.is_some() && start < stop {
                return Ok(Some(start..stop));
            }
        }
        Ok(None)
    }
}
