//! A stretch of a source file copied: holes stay holes, what cannot be read becomes zeros that are
//! told, and the copy is proven by reading it back.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use sha2::{Digest as _, Sha256};
use vmglean_formats::{ByteOffset, ReadAt as _};

use super::WriteError;
use crate::source::{Source as _, SourceFile, read_up_to};

const CHUNK_BYTES: usize = 1 << 20;
/// A failing chunk is read again in pieces of this size, so that no good sector is lost.
const PIECE_BYTES: usize = 4096;
/// Ranges told of one file; smaller holes between are then told as data, which they are too.
const MAX_RANGES: usize = 1 << 16;

/// What one stretch of the copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeKind {
    /// Bytes of the source.
    Data,
    /// A hole of the source.
    Hole,
    /// The source could not be read there: zeros.
    Unreadable,
}

/// A stretch of the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) kind: RangeKind,
    pub(super) at: u64,
    pub(super) length: u64,
    pub(super) sha256: Option<String>,
}

/// A finished copy.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) sha256: String,
    pub(super) ranges: Vec<Range>,
}

/// Collects ranges, joining what follows on.
#[derive(Default)]
struct Ranges {
    done: Vec<Range>,
    open: Option<(RangeKind, u64, u64, Sha256)>,
}

impl Ranges {
    fn add(&mut self, kind: RangeKind, at: u64, bytes: Option<&[u8]>, length: u64) {
        let joins = self.open.as_ref().is_some_and(|open| open.0 == kind);
        // A file of more pieces than anybody reads: holes are told as the zeros they are.
        if !joins {
            self.close();
            self.open = Some((kind, at, 0, Sha256::new()));
        }
        if let Some((_, _, total, hash)) = &mut self.open {
            *total += length;
            if let Some(bytes) = bytes {
                hash.update(bytes);
            }
        }
    }

    fn close(&mut self) {
        if let Some((kind, at, length, hash)) = self.open.take() {
            let sha256 = (kind == RangeKind::Data).then(|| hex::encode(hash.finalize()));
            self.done.push(Range { kind, at, length, sha256 });
        }
    }
}

/// Copies `length` bytes from `at` into the file `part`, which may hold the beginning of an
/// earlier try.
pub(super) fn copy(
    source: &SourceFile,
    at: u64,
    length: u64,
    part: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64),
) -> Result<Copied, WriteError> {
    let fail = |source: io::Error| WriteError::io(part, source);
    let target = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(part)
        .map_err(fail)?;
    let there = target.metadata().map_err(fail)?.len();
    // An earlier try's bytes are read back at the end with all others.
    let shared = there == 0 && at == 0 && source.share_blocks_with(&target).is_ok();
    let done = if shared { length } else { there.min(length) };
    let mut whole = Sha256::new();
    let mut ranges = Ranges::default();
    let mut buf = vec![0; CHUNK_BYTES];
    let zeros = vec![0; CHUNK_BYTES];
    let mut pos = 0;
    while pos < length {
        let from = at.saturating_add(pos);
        let data = match source.next_data(from) {
            Ok(Some(range)) => {
                (range.start.max(from) - at).min(length)..(range.end - at).min(length)
            }
            Ok(None) => length..length,
            Err(_) => pos..length,
        };
        let data = if ranges.done.len() < MAX_RANGES { data } else { pos..length };
        while pos < data.start {
            let n = (data.start - pos).min(CHUNK_BYTES as u64);
            whole.update(zeros.get(..as_len(n)).unwrap_or_default());
            ranges.add(RangeKind::Hole, pos, None, n);
            pos += n;
            progress(n);
        }
        while pos < data.end {
            if stop.load(Ordering::Relaxed) {
                return Err(WriteError::Stopped);
            }
            let n = as_len((data.end - pos).min(CHUNK_BYTES as u64));
            let Some(chunk) = buf.get_mut(..n) else { break };
            read_chunk(source, at.saturating_add(pos), pos, chunk, &mut ranges);
            whole.update(&*chunk);
            if pos + n as u64 > done {
                target.write_all_at(chunk, pos).map_err(fail)?;
            }
            pos += n as u64;
            progress(n as u64);
        }
    }
    ranges.close();
    target.set_len(length).map_err(fail)?;
    target.sync_all().map_err(fail)?;
    let sha256 = hex::encode(whole.finalize());
    if !shared {
        prove(target, part, &sha256, stop)?;
    }
    Ok(Copied { sha256, ranges: ranges.done })
}

fn as_len(n: u64) -> usize {
    usize::try_from(n).unwrap_or(CHUNK_BYTES)
}

/// Fills `chunk`; pieces that cannot be read become zeros.
fn read_chunk(source: &SourceFile, from: u64, pos: u64, chunk: &mut [u8], ranges: &mut Ranges) {
    if source.read_exact_at(chunk, ByteOffset(from)).is_ok() {
        ranges.add(RangeKind::Data, pos, Some(chunk), chunk.len() as u64);
        return;
    }
    let mut at = 0_u64;
    for piece in chunk.chunks_mut(PIECE_BYTES) {
        let n = piece.len() as u64;
        if source.read_exact_at(piece, ByteOffset(from + at)).is_ok() {
            ranges.add(RangeKind::Data, pos + at, Some(piece), n);
        } else {
            piece.fill(0);
            ranges.add(RangeKind::Unreadable, pos + at, None, n);
        }
        at += n;
    }
}

/// Reads the copy back and compares it with what was read from the source.
fn prove(target: File, part: &Path, wanted: &str, stop: &AtomicBool) -> Result<(), WriteError> {
    let fail = |source: io::Error| WriteError::io(part, source);
    let mut hash = Sha256::new();
    let mut buf = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(WriteError::Stopped);
        }
        let n = read_up_to(&target, &mut buf, at).map_err(fail)?;
        if n == 0 {
            break;
        }
        hash.update(buf.get(..n).unwrap_or_default());
        at += n as u64;
    }
    if hex::encode(hash.finalize()) == wanted {
        return Ok(());
    }
    // Whatever an earlier try left is not to be gone on with.
    drop(target);
    let _ = std::fs::remove_file(part);
    Err(WriteError::Unverified(part.to_path_buf()))
}
