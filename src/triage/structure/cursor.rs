//! Reading a stretch of a source from front to back, a piece at a time.

use std::{
    io::{self, Read},
    ops::Range,
};

use vmglean_formats::{ByteOffset, ReadAt};

use super::gaps::Gaps;

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
    gaps: Option<&'a Gaps>,
    /// What was passed over, in order.
    passed: Vec<Range<u64>>,
    /// What is passed over next, once it stands there.
    next: Option<Range<u64>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a dyn ReadAt, at: u64, end: u64, most: u64) -> Self {
        Self {
            source,
            at,
            end,
            piece: Vec::new(),
            piece_at: 0,
            used: 0,
            most,
            gaps: None,
            passed: Vec::new(),
            next: None,
        }
    }

    /// The same, as if `gaps` that begin behind where it stands were not there.
    pub(super) fn over(mut self, gaps: &'a Gaps) -> Self {
        self.gaps = Some(gaps);
        self.next = gaps.next(self.at + 1);
        self
    }

    /// What it passed over, in order.
    pub(super) fn passed(&self) -> &[Range<u64>] {
        &self.passed
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
        let behind = self.passed.partition_point(|gap| gap.start <= self.at);
        let known = self.passed.get(behind).cloned();
        self.next = known.or_else(|| self.gaps?.next(self.at + 1));
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

    /// Up to `most` bytes from here, fewer at the end, without moving.
    pub(super) fn look(&mut self, most: usize) -> &[u8] {
        if self.ahead().len() < most {
            self.fill();
        }
        let bytes = self.ahead();
        bytes.get(..most).unwrap_or(bytes)
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
        let from = self.at;
        let mut to = from.checked_add(by)?;
        while let Some(gap) = self.next.take_if(|gap| gap.start <= to) {
            to = to.checked_add(gap.end.checked_sub(gap.start)?)?;
            self.next = self.gaps.and_then(|gaps| gaps.next(gap.end));
            self.pass(gap);
        }
        if to > self.end {
            return None;
        }
        let piece_end = self.piece_at.saturating_add(self.piece.len() as u64);
        self.used = self.used.saturating_add(piece_end.saturating_sub(from).min(by));
        self.at = to;
        Some(())
    }

    /// Passes over what begins where it stands.
    fn pass(&mut self, gap: Range<u64>) {
        self.at = gap.end;
        if self.passed.last().is_none_or(|last| last.end <= gap.start) {
            self.passed.push(gap);
        }
    }

    fn fill(&mut self) {
        loop {
            self.piece_at = self.at;
            let end = self.next.as_ref().map_or(self.end, |gap| gap.start.min(self.end));
            let rest = end.saturating_sub(self.at);
            let take = (self.piece.len() * 2).clamp(FIRST_BYTES, PIECE_BYTES);
            let take = usize::try_from(rest).map_or(take, |rest| rest.min(take));
            self.piece.resize(take, 0);
            if self.used > self.most
                || self.source.read_exact_at(&mut self.piece, ByteOffset(self.at)).is_err()
            {
                self.piece.clear();
            }
            let node = self.gaps.and_then(|gaps| gaps.node(&self.piece, self.at));
            match node {
                // It is looked at whole from its first byte on.
                Some((node, _)) if node.start > self.at => {
                    let before = usize::try_from(node.start - self.at).unwrap_or(0);
                    self.piece.truncate(before);
                    return;
                }
                Some((node, true)) => self.pass(node),
                _ => return,
            }
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
