//! Reading a stretch of a source from front to back, a piece at a time.

use vmglean_formats::{ByteOffset, ReadAt};

/// Bytes fetched at first: most walks end soon.
const FIRST_BYTES: usize = 4096;
/// Bytes fetched at a time at most.
const PIECE_BYTES: usize = 128 * 1024;

/// A place in a source. Reads that fail end the walk; nothing is ever read past `end`.
pub(super) struct Cursor<'a> {
    source: &'a dyn ReadAt,
    at: u64,
    end: u64,
    piece: Vec<u8>,
    piece_at: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a dyn ReadAt, at: u64, end: u64) -> Self {
        Self { source, at, end, piece: Vec::new(), piece_at: 0 }
    }

    /// Where it stands.
    pub(super) fn at(&self) -> u64 {
        self.at
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
        (to <= self.end).then(|| self.at = to)
    }

    fn fill(&mut self) {
        self.piece_at = self.at;
        let rest = self.end.saturating_sub(self.at);
        let take = (self.piece.len() * 2).clamp(FIRST_BYTES, PIECE_BYTES);
        let take = usize::try_from(rest).map_or(take, |rest| rest.min(take));
        self.piece = self.source.read_up_to(ByteOffset(self.at), take).unwrap_or_default();
    }
}
