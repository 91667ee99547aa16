//! Reading a stretch of a source from front to back, a piece at a time.

use std::io::{self, Read};

use vmglean_formats::{ByteOffset, ReadAt};

/// Bytes fetched at first: most walks end soon.
const FIRST_BYTES: usize = 4096;
/// Bytes fetched at a time at most.
const PIECE_BYTES: usize = 128 * 1024;

/// A place in a source. Reads that fail end the walk; nothing is ever read past `end`, and little
/// more than `most` bytes are.
pub(super) struct Cursor<'a> {
    source: &'a dyn ReadAt,
    at: u64,
    end: u64,
    piece: Vec<u8>,
    piece_at: u64,
    /// Bytes that were read and passed by.
    used: u64,
    most: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a dyn ReadAt, at: u64, end: u64, most: u64) -> Self {
        Self { source, at, end, piece: Vec::new(), piece_at: 0, used: 0, most }
    }

    /// Where it stands.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes that were read and passed by; more than the most allowed where the walk was ended for
    /// that.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Moves to a place it has been at.
    pub(super) fn go(&mut self, to: u64) {
        self.at = to.min(self.at);
    }

    /// Bytes from here on, as many as one piece holds; empty at the end or where none come.
    pub(super) fn ahead(&mut self) -> &[u8] {
        let inside = self.at.checked_sub(self.piece_at).filter(|by| *by < self.piece.len() as u64);
        if inside.is_none() {
            self.fill();
        }
        let from = usize::try_from(self.at - self.piece_at).unwrap_or(usize::MAX);
        self.piece.get(from..).unwrap_or_default()
    }

    /// Exactly `N` bytes from here, without moving.
    pub(super) fn peek<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.ahead().len() < N {
            self.fill();
        }
        let from = usize::try_from(self.at.checked_sub(self.piece_at)?).ok()?;
        self.piece.get(from..)?.first_chunk::<N>().copied()
    }

    /// The same, moving past them.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.peek::<N>()?;
        self.skip(N as u64)?;
        Some(bytes)
    }

    /// Moves on; `None` past the end.
    pub(super) fn skip(&mut self, by: u64) -> Option<()> {
        let to = self.at.checked_add(by)?;
        if to > self.end {
            return None;
        }
        let piece_end = self.piece_at.saturating_add(self.piece.len() as u64);
        self.used = self.used.saturating_add(piece_end.saturating_sub(self.at).min(by));
        self.at = to;
        Some(())
    }

    fn fill(&mut self) {
        self.piece_at = self.at;
        let rest = self.end.saturating_sub(self.at);
        let take = (self.piece.len() * 2).clamp(FIRST_BYTES, PIECE_BYTES);
        let take = usize::try_from(rest).map_or(take, |rest| rest.min(take));
        self.piece.resize(take, 0);
        if self.used > self.most
            || self.source.read_exact_at(&mut self.piece, ByteOffset(self.at)).is_err()
        {
            self.piece.clear();
        }
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let ahead = self.ahead();
        let count = ahead.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), ahead.get(..count)) {
            to.copy_from_slice(from);
        }
        self.skip(count as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(count)
    }
}
