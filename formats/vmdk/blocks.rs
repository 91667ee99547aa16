//! Reading tables in bulk, with a word for every sector that did not come.

use super::defects::DefectSink;
use crate::{
    defect::{Defect, DefectKind},
    read::{MediumError, ReadAt},
    units::{ByteOffset, Bytes},
};

/// Bytes of one judged piece of a table.
pub(crate) const PIECE: usize = 512;
const ZEROS: [u8; 4096] = [0; 4096];

/// Whether all bytes are zero; compares in blocks, which is what makes thin disks cheap.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| ZEROS.get(..chunk.len()) == Some(chunk))
}

/// Little-endian numbers of a table.
pub(crate) fn u32s(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Little-endian numbers of a table.
pub(crate) fn u64s(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Blocks of equal length from many places, and which of their pieces came.
pub(crate) struct Blocks {
    bytes: Vec<u8>,
    good: Vec<bool>,
    length: usize,
}

impl Blocks {
    /// Reads one block of `length` bytes from each place; neighbours come in one read.
    /// What cannot be read is told to `sink` as a defect of `structure` and stays zero and not
    /// good; so is what lies past the end, without a defect: the caller knows what it means.
    pub(crate) fn read(
        file: &dyn ReadAt,
        places: &[Option<u64>],
        length: usize,
        structure: &'static str,
        sink: &mut DefectSink,
    ) -> Self {
        let pieces = length.div_ceil(PIECE);
        let mut bytes = vec![0; places.len().saturating_mul(length)];
        let mut good = vec![false; places.len().saturating_mul(pieces)];
        let step = u64::try_from(length).unwrap_or(u64::MAX);
        let mut rest = places;
        let mut bytes_left = bytes.as_mut_slice();
        let mut good_left = good.as_mut_slice();
        while let Some(first) = rest.first() {
            let mut count = 1usize;
            if let Some(at) = first {
                let mut next = at.checked_add(step);
                while let (Some(Some(found)), Some(wanted)) = (rest.get(count), next)
                    && *found == wanted
                {
                    count = count.saturating_add(1);
                    next = wanted.checked_add(step);
                }
            }
            let (here, after) =
                bytes_left.split_at_mut(count.saturating_mul(length).min(bytes_left.len()));
            let (flags, flags_after) =
                good_left.split_at_mut(count.saturating_mul(pieces).min(good_left.len()));
            if let Some(at) = first {
                read_group(file, *at, here, flags, length, structure, sink);
            }
            bytes_left = after;
            good_left = flags_after;
            rest = rest.get(count..).unwrap_or_default();
        }
        Self { bytes, good, length }
    }

    /// Block `index`.
    pub(crate) fn block(&self, index: usize) -> &[u8] {
        let start = index.saturating_mul(self.length);
        self.bytes.get(start..start.saturating_add(self.length)).unwrap_or_default()
    }

    /// Block `index`, to be patched.
    pub(crate) fn block_mut(&mut self, index: usize) -> &mut [u8] {
        let start = index.saturating_mul(self.length);
        self.bytes.get_mut(start..start.saturating_add(self.length)).unwrap_or_default()
    }

    /// Which pieces of block `index` came.
    pub(crate) fn good(&self, index: usize) -> &[bool] {
        let pieces = self.length.div_ceil(PIECE);
        let start = index.saturating_mul(pieces);
        self.good.get(start..start.saturating_add(pieces)).unwrap_or_default()
    }

    /// Says that piece `piece` of block `index` holds the right bytes now.
    pub(crate) fn set_good(&mut self, index: usize, piece: usize) {
        let pieces = self.length.div_ceil(PIECE);
        let place = index.saturating_mul(pieces).saturating_add(piece);
        if let Some(good) = self.good.get_mut(place) {
            *good = true;
        }
    }

    /// Whether the whole of block `index` came.
    pub(crate) fn is_whole(&self, index: usize) -> bool {
        self.good(index).iter().all(|good| *good)
    }

    /// All bytes, block after block.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn read_group(
    file: &dyn ReadAt,
    at: u64,
    bytes: &mut [u8],
    good: &mut [bool],
    length: usize,
    structure: &'static str,
    sink: &mut DefectSink,
) {
    if file.read_exact_at(bytes, ByteOffset(at)).is_ok() {
        good.fill(true);
        return;
    }
    bytes.fill(0);
    let pieces = length.div_ceil(PIECE).max(1);
    let blocks = bytes.chunks_mut(length.max(1)).zip(good.chunks_mut(pieces));
    let mut place = at;
    for (block, flags) in blocks {
        for (piece, flag) in block.chunks_mut(PIECE).zip(flags) {
            match file.read_exact_at(piece, ByteOffset(place)) {
                Ok(()) => *flag = true,
                Err(error) => {
                    piece.fill(0);
                    if let MediumError::Io { source, .. } = error {
                        let length = Bytes(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                        let kind = DefectKind::Unreadable { length, why: source.to_string() };
                        sink.add(Defect::new(structure, "entries", ByteOffset(place), kind));
                    }
                }
            }
            place = place.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        }
    }
}
