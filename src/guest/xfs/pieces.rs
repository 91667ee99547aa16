//! Which bytes of the disk hold which of the volume: in one piece, or in those that a volume
//! manager laid out.

use std::collections::HashMap;

use vmglean_formats::xfs::Superblock;

use super::{hits::VolumeHits, volumes::voices};

/// Structures that must agree on where a piece begins.
const FEWEST: u32 = 3;

/// Where a part of the volume lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// There, by what stands around it.
    Sure(u64),
    /// There if the volume is in one piece, of which nothing tells.
    Guess(u64),
}

impl Place {
    pub(super) fn at(self) -> u64 {
        match self {
            Self::Sure(at) | Self::Guess(at) => at,
        }
    }
}

/// Structures that lie behind each other as they must.
struct Piece {
    /// First and last byte of the volume that one of them begins at.
    first: u64,
    last: u64,
    /// What leads from a byte of the volume to one of the disk, modulo 2^64.
    shift: u64,
}

/// The places of a volume.
pub(super) struct Pieces {
    start: u64,
    is_contiguous: bool,
    pieces: Vec<Piece>,
}

impl Pieces {
    pub(super) fn new(
        start: u64,
        is_contiguous: bool,
        shape: &Superblock,
        hits: &VolumeHits,
    ) -> Self {
        let mut this = Self { start, is_contiguous, pieces: Vec::new() };
        if is_contiguous {
            return this;
        }
        let mut anchors: Vec<(u64, u64)> =
            voices(hits, shape).map(|(at, offset)| (offset, at.wrapping_sub(offset))).collect();
        let mut votes: HashMap<u64, u32> = HashMap::new();
        for (_, shift) in &anchors {
            *votes.entry(*shift).or_insert(0) += 1;
        }
        anchors.retain(|(_, shift)| votes.get(shift).is_some_and(|count| *count >= FEWEST));
        anchors.sort_unstable();
        for (offset, shift) in anchors {
            match this.pieces.last_mut() {
                Some(piece) if piece.shift == shift => piece.last = offset,
                _ => this.pieces.push(Piece { first: offset, last: offset, shift }),
            }
        }
        this
    }

    /// How many pieces are seen.
    pub(super) fn count(&self) -> usize {
        self.pieces.len()
    }

    /// Where `length` bytes from byte `offset` of the volume lie on the disk.
    pub(super) fn place(&self, offset: u64, length: u64) -> Option<Place> {
        let end = offset.checked_add(length)?;
        let whole = self.start.checked_add(offset)?;
        if self.is_contiguous {
            return Some(Place::Sure(whole));
        }
        let next = self.pieces.partition_point(|piece| piece.first <= offset);
        let piece = next.checked_sub(1).and_then(|n| self.pieces.get(n));
        // What begins at the last one ends with it.
        let is_inside = |piece: &&Piece| offset == piece.last || end <= piece.last;
        match piece.filter(is_inside) {
            Some(piece) => Some(Place::Sure(piece.shift.wrapping_add(offset))),
            None => Some(Place::Guess(whole)),
        }
    }
}
