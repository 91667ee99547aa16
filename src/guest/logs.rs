//! Windows event logs rebuilt: chunks of a damaged log whose checksums hold, under a new head.
//!
//! A chunk holds its records, their names and templates alone, and proves itself by two checksums.
//! A log of which a part is lost is still a log of what is left.

use std::ops::Range;

use vmglean_formats::{ByteOffset, MediumError, ReadAt as _};

use super::{
    Ground, GuestFile, Stream, StreamReader,
    content::{EVTX_CHUNK_BYTES, EVTX_HEAD_BYTES, is_chunk_whole, kind_by_name},
};

/// Bytes before the first chunk of a log.
pub const LOG_HEAD_BYTES: u64 = EVTX_HEAD_BYTES;

/// Chunks begin at multiples of this.
const STEP: u64 = 4096;
/// Missing stretches that are listed.
const MOST_GAPS: usize = 1000;

/// A chunk that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins in the file.
    pub at: u64,
    /// Its first record by number.
    pub first: u64,
    /// Its last record.
    pub last: u64,
    /// Where its checked bytes end in it.
    pub end: u64,
}

/// What is left of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventLog {
    /// Chunks in the order of their records.
    pub chunks: Vec<Chunk>,
    /// Numbers of records that no chunk holds, though there are records before and behind: first
    /// and last.
    pub missing: Vec<(u64, u64)>,
    /// Version of the format: minor, major.
    version: [u16; 2],
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

impl EventLog {
    /// What is left of `file`, if it is a damaged log and a chunk of it holds.
    #[must_use]
    pub fn of(ground: &Ground<'_>, file: &GuestFile, stream: &Stream) -> Option<Self> {
        let is_log = file.kind == "evtx" || kind_by_name(&file.path) == "evtx";
        // Of a deleted file the clusters may be another log's by now.
        if !is_log || file.is_whole() || file.is_deleted || file.is_folder || file.is_withheld {
            return None;
        }
        let reader = StreamReader::new(ground, stream);
        let end = stream.size.min(ground.size());
        let mut log = Self { version: [1, 3], ..Self::default() };
        let mut next_record = None;
        if let Ok(head) = reader.read_up_to(ByteOffset(0), 128)
            && head.starts_with(b"ElfFile\0")
            && head.get(..120).map(crc32fast::hash).map(u32::to_le_bytes).as_ref().map(|s| &s[..])
                == head.get(124..128)
        {
            if let (Some(minor), Some(major)) = (short(&head, 36), short(&head, 38)) {
                log.version = [minor, major];
            }
            next_record = long(&head, 24);
        }
        let mut at = LOG_HEAD_BYTES;
        let mut magic = [0; 8];
        while at.saturating_add(Chunk::BYTES) <= end {
            let begins = reader.read_exact_at(&mut magic, ByteOffset(at)).is_ok();
            let chunk = if begins && &magic == b"ElfChnk\0" { chunk(&reader, at) } else { None };
            at = at.saturating_add(if chunk.is_some() { Chunk::BYTES } else { STEP });
            log.chunks.extend(chunk);
        }
        log.chunks.sort_by_key(|chunk| (chunk.first, chunk.last, chunk.at));
        // An old copy of a chunk would tell its records twice.
        log.chunks.dedup_by_key(|chunk| (chunk.first, chunk.last));
        log.missing = log.gaps(next_record);
        (!log.chunks.is_empty()).then_some(log)
    }

    fn gaps(&self, next_record: Option<u64>) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let Some(mut last) = self.chunks.first().map(|chunk| chunk.last) else { return gaps };
        let behind = next_record.and_then(|next| Some((next, next.checked_sub(1)?)));
        let all = self.chunks.iter().skip(1).map(|chunk| (chunk.first, chunk.last)).chain(behind);
        for (first, end) in all {
            if first > last.saturating_add(1) && gaps.len() < MOST_GAPS {
                gaps.push((last.saturating_add(1), first.saturating_sub(1)));
            }
            last = last.max(end);
        }
        gaps
    }

    /// Records that its chunks hold.
    #[must_use]
    pub fn records(&self) -> u64 {
        let counts = self.chunks.iter().map(|chunk| chunk.last.saturating_sub(chunk.first));
        counts.fold(0, |sum, count| sum.saturating_add(count).saturating_add(1))
    }

    /// A head for these chunks, one behind the other.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let last = (self.chunks.len() as u64).saturating_sub(1);
        // 4 GiB; of larger logs readers go by the file's length.
        let count = u16::try_from(self.chunks.len()).unwrap_or(u16::MAX);
        let next = self.chunks.last().map_or(1, |chunk| chunk.last.saturating_add(1));
        let mut head = b"ElfFile\0".to_vec();
        head.extend_from_slice(&0_u64.to_le_bytes());
        head.extend_from_slice(&last.to_le_bytes());
        head.extend_from_slice(&next.to_le_bytes());
        head.extend_from_slice(&128_u32.to_le_bytes());
        let [minor, major] = self.version;
        // Its own length counts as 4096, of which 128 bytes are used.
        for field in [minor, major, 4096, count] {
            head.extend_from_slice(&field.to_le_bytes());
        }
        // Not dirty: nothing more is to be read than is told here.
        head.resize(124, 0);
        let sum = head.get(..120).map_or(0, crc32fast::hash);
        head.extend_from_slice(&sum.to_le_bytes());
        head.resize(LOG_HEAD_BYTES as usize, 0);
        head
    }
}

impl Chunk {
    /// Bytes of every chunk.
    pub const BYTES: u64 = EVTX_CHUNK_BYTES;

    /// Its bytes; what lies behind its records and is not as the guest wrote it is zero. With them
    /// the ranges of it that were left out so.
    ///
    /// # Errors
    /// As the medium says.
    pub fn read(
        &self,
        reader: &StreamReader<'_>,
        file: &GuestFile,
    ) -> Result<(Vec<u8>, Vec<Range<u64>>), MediumError> {
        let mut bytes = vec![0; Chunk::BYTES as usize];
        reader.read_exact_at(&mut bytes, ByteOffset(self.at))?;
        let mut left_out = Vec::new();
        for (hole, _) in &file.holes {
            let from = hole.start.saturating_sub(self.at).max(self.end);
            let to = hole.end.saturating_sub(self.at).min(Chunk::BYTES);
            let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
            if let Some(part) = range.and_then(|(from, to)| bytes.get_mut(from..to))
                && from < to
            {
                part.fill(0);
                left_out.push(from..to);
            }
        }
        Ok((bytes, left_out))
    }
}

/// The name that a rebuilt log gets.
pub(super) fn rebuilt_name(path: &[u8]) -> Vec<u8> {
    const ENDING: &[u8] = b".evtx";
    let stem = path.len().saturating_sub(ENDING.len());
    let has_ending = path.get(stem..).is_some_and(|end| end.eq_ignore_ascii_case(ENDING));
    let stem = if has_ending { path.get(..stem).unwrap_or(path) } else { path };
    [stem, b" (rebuilt)", ENDING].concat()
}

fn chunk(reader: &StreamReader<'_>, at: u64) -> Option<Chunk> {
    let bytes = reader.read_up_to(ByteOffset(at), Chunk::BYTES as usize).ok()?;
    if bytes.len() as u64 != Chunk::BYTES || is_chunk_whole(&bytes) != Some(true) {
        return None;
    }
    let (first, last) = (long(&bytes, 24)?, long(&bytes, 32)?);
    let end = u64::from(u32::from_le_bytes(bytes.get(48..52)?.try_into().ok()?));
    (first <= last && last < u64::MAX).then_some(Chunk { at, first, last, end })
}
