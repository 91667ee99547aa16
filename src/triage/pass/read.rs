//! Reading what can be read: whole pieces first, ever smaller ones around what fails.

use std::{
    io,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use vmglean_formats::{ByteOffset, MediumError};

use crate::{
    source::Source,
    triage::measure::{BLOCK_BYTES, ReadFailure},
};

/// Bytes asked for at once: fits a second-level cache, measured as the best size.
pub(super) const PIECE_BYTES: usize = 262_144;

/// Places tried before a source is believed to have ended.
const END_PROBES: u64 = 64;

/// EIO: what a failure of the medium is called where the system's number did not come through.
const INPUT_OUTPUT_ERROR: i32 = 5;

/// A source, and where it was found to end by now.
pub(super) struct Reader<'a> {
    source: &'a dyn Source,
    ended_at: AtomicU64,
}

/// Bytes that did not come, counted in the buffer.
pub(super) type Failure = (Range<usize>, ReadFailure);

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Self {
        Self { source, ended_at: AtomicU64::new(u64::MAX) }
    }

    /// Fills `buf` from `offset`; what does not come is zero and named, in order, cut at blocks.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> Vec<Failure> {
        let mut failures = Vec::new();
        self.read_part(buf, 0, offset, &mut failures);
        failures
    }

    /// Every failing part is halved down to a block, so reads stay below two a block.
    fn read_part(&self, buf: &mut [u8], start: usize, offset: u64, failures: &mut Vec<Failure>) {
        if buf.is_empty() {
            return;
        }
        let cause = if offset >= self.ended_at.load(Ordering::Relaxed) {
            ReadFailure::Ended
        } else {
            match self.source.read_exact_at(buf, ByteOffset(offset)) {
                Ok(()) => return,
                Err(error) => {
                    let cause = cause(&error);
                    if buf.len() > BLOCK_BYTES {
                        let half = (buf.len() / 2).next_multiple_of(BLOCK_BYTES);
                        let (left, right) = buf.split_at_mut(half);
                        self.read_part(left, start, offset, failures);
                        let offset = offset.saturating_add(half as u64);
                        self.read_part(right, start + half, offset, failures);
                        return;
                    }
                    if let MediumError::End { .. } = error {
                        self.note_end(offset);
                    }
                    cause
                }
            }
        };
        buf.fill(0);
        let end = start + buf.len();
        match failures.last_mut() {
            Some((range, last)) if range.end == start && *last == cause => range.end = end,
            _ => failures.push((start..end, cause)),
        }
    }

    /// A source that shrank is not asked again for every block behind its end; but one file
    /// under a virtual disk may end where others go on, so places all over the rest are tried.
    fn note_end(&self, offset: u64) {
        let rest = self.source.len_bytes().saturating_sub(offset);
        let step = (rest / END_PROBES).max(1);
        let all_ended = (0..END_PROBES).all(|probe| {
            let at = offset.saturating_add(probe * step).saturating_add(step - 1);
            matches!(
                self.source.read_exact_at(&mut [0], ByteOffset(at)),
                Err(MediumError::End { .. })
            )
        });
        if all_ended {
            self.ended_at.fetch_min(offset, Ordering::Relaxed);
        }
    }
}

fn cause(error: &MediumError) -> ReadFailure {
    match error {
        MediumError::End { .. } => ReadFailure::Ended,
        MediumError::Io { source, .. } => match source.raw_os_error() {
            Some(number) => ReadFailure::Os(number),
            None if source.kind() == io::ErrorKind::UnexpectedEof => ReadFailure::Ended,
            None if source.kind() == io::ErrorKind::InvalidData => ReadFailure::Untold,
            None => ReadFailure::Os(INPUT_OUTPUT_ERROR),
        },
    }
}
