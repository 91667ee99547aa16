//! Lines out of a stream, in bounded memory.

use super::Line;
use crate::{
    defect::DefectKind,
    dict::DefectList,
    read::ReadAt,
    units::{ByteOffset, Bytes},
};

/// Longest line kept; what is beyond is dropped with a defect.
pub const MAX_LINE_BYTES: usize = 64 << 10;
const WINDOW_BYTES: usize = 256 << 10;
const RETRY_BYTES: u64 = 4096;

pub(super) struct Lines<'a> {
    file: &'a dyn ReadAt,
    window: Vec<u8>,
    /// Where the window lies, and how far it was taken.
    window_at: u64,
    taken: usize,
    /// The line so far, where it crosses windows.
    pending: Vec<u8>,
    line: Vec<u8>,
    number: u32,
    mid_line: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(file: &'a dyn ReadAt) -> Self {
        Self {
            file,
            window: Vec::new(),
            window_at: 0,
            taken: 0,
            pending: Vec::new(),
            line: Vec::new(),
            number: 0,
            mid_line: false,
        }
    }

    /// Whether the last line had no line end.
    pub(super) fn ended_mid_line(&self) -> bool {
        self.mid_line
    }

    pub(super) fn next(&mut self, defects: &mut DefectList) -> Option<Line<'_>> {
        let mut at = self.position();
        let mut started = false;
        let mut dropped = 0_usize;
        let mut cut = false;
        self.pending.clear();
        loop {
            if self.taken >= self.window.len() && !self.refill(defects) {
                if !started {
                    return None;
                }
                self.mid_line = true;
                cut = true;
                let have = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
                let need = have.saturating_add(1);
                defects.add_at("last line", ByteOffset(at), DefectKind::Truncated { need, have });
                break;
            }
            if !started {
                at = self.position();
                started = true;
            }
            let rest = self.window.get(self.taken..).unwrap_or_default();
            let end = memchr::memchr(b'\n', rest);
            let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
            let room = MAX_LINE_BYTES.saturating_sub(self.pending.len());
            self.pending.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or(piece));
            dropped = dropped.saturating_add(piece.len().saturating_sub(room));
            let step = piece.len().saturating_add(usize::from(end.is_some()));
            self.taken = self.taken.saturating_add(step);
            if end.is_some() {
                break;
            }
        }
        self.number = self.number.saturating_add(1);
        std::mem::swap(&mut self.line, &mut self.pending);
        if dropped > 0 {
            let place = usize::try_from(at).unwrap_or(usize::MAX);
            let length = self.line.len().saturating_add(dropped);
            defects.limit("line", place, length, MAX_LINE_BYTES);
        }
        let bytes = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let bad =
            bytes.iter().position(|byte| *byte < 0x20 && !matches!(*byte, b'\t' | b'\r' | 0x1b));
        if let Some(bad) = bad {
            let value = u64::from(bytes.get(bad).copied().unwrap_or_default());
            let place = ByteOffset(at.saturating_add(u64::try_from(bad).unwrap_or(0)));
            defects.add_at("control character", place, DefectKind::Unknown { value });
        }
        Some(Line { number: self.number, at: ByteOffset(at), bytes, junk: cut || bad.is_some() })
    }

    fn position(&self) -> u64 {
        self.window_at.saturating_add(u64::try_from(self.taken).unwrap_or(0))
    }

    /// The next window; false at the end of the file. Unreadable stretches are stepped over.
    fn refill(&mut self, defects: &mut DefectList) -> bool {
        let mut at = self.position();
        while at < self.file.len_bytes() {
            // Pieces end at sector bounds, so that no good sector is lost with a bad one.
            let piece = RETRY_BYTES.saturating_sub(at.checked_rem(RETRY_BYTES).unwrap_or(0));
            let small = usize::try_from(piece).unwrap_or(WINDOW_BYTES);
            let read = self
                .file
                .read_up_to(ByteOffset(at), WINDOW_BYTES)
                .or_else(|_| self.file.read_up_to(ByteOffset(at), small));
            match read {
                Ok(window) if !window.is_empty() => {
                    (self.window, self.window_at, self.taken) = (window, at, 0);
                    return true;
                }
                Ok(_) => break,
                Err(error) => {
                    let length = Bytes(piece);
                    let kind = DefectKind::Unreadable { length, why: error.to_string() };
                    defects.add_at("line", ByteOffset(at), kind);
                    // A mark no log line holds, so that the torn line is not believed.
                    self.pending.push(0);
                    at = at.saturating_add(length.0);
                }
            }
        }
        (self.window, self.window_at, self.taken) = (Vec::new(), at, 0);
        false
    }
}
