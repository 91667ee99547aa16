//! The same survey with some of its tones changed.

use std::ops::Range;

use super::{Survey, Tone};
use crate::triage::measure::BLOCK_BYTES;

impl Survey {
    /// The same disk without what only sums over several blocks said.
    #[must_use]
    pub fn unsummed(mut self) -> Self {
        let pieces = std::mem::take(&mut self.pieces);
        let mut made = self;
        for piece in pieces {
            let tone = match piece.tone {
                Tone::Packed | Tone::Doubtful => Tone::Random,
                tone => tone,
            };
            made.keep(piece.start, piece.end, tone, piece.chi_sixteenths);
        }
        made
    }

    /// The same disk with `ranges`, which are in order, in another tone: whole blocks of them
    /// that are random-like or compressed.
    #[must_use]
    pub fn retoned(mut self, ranges: &[(Range<u64>, Tone)]) -> Self {
        let pieces = std::mem::take(&mut self.pieces);
        let mut made = self;
        let block = BLOCK_BYTES as u64;
        let mut whole = ranges
            .iter()
            .map(|(r, tone)| (r.start.next_multiple_of(block)..r.end / block * block, *tone))
            .filter(|(r, _)| r.start < r.end)
            .peekable();
        for piece in pieces {
            let is_open = matches!(piece.tone, Tone::Random | Tone::Doubtful | Tone::Packed);
            let mut at = piece.start;
            while at < piece.end {
                while whole.next_if(|(r, _)| r.end <= at).is_some() {}
                let (end, tone) = match whole.peek() {
                    Some((r, tone)) if r.start <= at => (r.end.min(piece.end), *tone),
                    Some((r, _)) => (r.start.min(piece.end), piece.tone),
                    None => (piece.end, piece.tone),
                };
                // What only names the bytes does not undo what their numbers say.
                let is_open = is_open && !(tone == Tone::Owner && piece.tone == Tone::Packed);
                let tone = if is_open { tone } else { piece.tone };
                made.keep(at, end, tone, piece.chi_sixteenths);
                at = end;
            }
        }
        made
    }
}
