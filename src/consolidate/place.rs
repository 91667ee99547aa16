//! Where the bytes of a unit go in the output.
//!
//! Units are filled on all threads; each is then placed in order, which is quick, and written by
//! its own thread. So the same input gives the same bytes, whatever the number of threads.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use vmglean_formats::vmdk::SparseLayout;

use super::{
    fill::{Filled, ZERO_BLOCK, is_zero},
    image::{ENTRIES, GRAIN, marker},
};
use crate::triage::measure::BlockStats;

/// Zeros of at least this length in a row stay a hole of a raw file.
const HOLE: usize = 64 << 10;
/// Blocks with more entropy than this are not worth deflating.
const DENSE_BITS: f64 = 7.93;

/// Where the next bytes go; what a record keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Next free sector of the output (sparse, stream).
    pub(super) next_sector: u64,
    /// Stream: entries of the grain table that is not full yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) open_table: Vec<u32>,
    /// Stream: sector of every finished grain table, 0 for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tables: Vec<u32>,
}

/// Why a unit has no place.
#[derive(Debug, thiserror::Error)]
#[error("the output passes 2 TiB, which is what its 32-bit tables can address; use -O raw or flat")]
pub(super) struct TooLarge;

/// The kinds of files that are written.
pub(super) enum Layout {
    Raw,
    Sparse(SparseLayout),
    Stream,
}

/// Bytes to be written.
pub(super) enum Bytes {
    /// A part of the unit's own bytes.
    Own(Range<usize>),
    Made(Vec<u8>),
}

/// A unit made ready on its own thread, before it has a place.
pub(super) struct Ready {
    pub(super) filled: Filled,
    /// Raw: parts that are no holes. Sparse: grains that hold data, as parts of the bytes.
    parts: Vec<Range<usize>>,
    /// Stream: for each grain with data, its number in the unit and where it lies in `packed`.
    grains: Vec<(u64, usize)>,
    packed: Vec<u8>,
}

/// Prepares units for their place. One a thread.
pub(super) struct Packer {
    layout: PackerLayout,
}

enum PackerLayout {
    Raw,
    Sparse,
    Stream { packer: libdeflater::Compressor, plain: libdeflater::Compressor, gate: bool },
}

impl Packer {
    pub(super) fn new(layout: &Layout, level: i32) -> Self {
        let level_of = |level| {
            libdeflater::Compressor::new(
                libdeflater::CompressionLvl::new(level).unwrap_or_default(),
            )
        };
        let layout = match layout {
            Layout::Raw => PackerLayout::Raw,
            Layout::Sparse(_) => PackerLayout::Sparse,
            Layout::Stream => PackerLayout::Stream {
                packer: level_of(level),
                plain: level_of(0),
                gate: level < 9,
            },
        };
        Self { layout }
    }

    pub(super) fn pack(&mut self, filled: Filled) -> Ready {
        let mut ready = Ready { filled, parts: Vec::new(), grains: Vec::new(), packed: Vec::new() };
        let bytes = &ready.filled.bytes;
        match &mut self.layout {
            PackerLayout::Raw => ready.parts = data_parts(bytes),
            PackerLayout::Sparse => {
                let grain = usize::try_from(GRAIN).unwrap_or(65_536);
                for (nth, part) in bytes.chunks(grain).enumerate() {
                    if !is_zero(part) {
                        ready.parts.push(nth * grain..nth * grain + part.len());
                    }
                }
            }
            PackerLayout::Stream { packer, plain, gate } => {
                let grain = usize::try_from(GRAIN).unwrap_or(65_536);
                for (nth, part) in (0_u64..).zip(bytes.chunks(grain)) {
                    if is_zero(part) {
                        continue;
                    }
                    ready.grains.push((nth, ready.packed.len()));
                    let lba = (ready.filled.start + nth * GRAIN) / 512;
                    let dense = *gate && is_dense(part);
                    let packer = if dense { &mut *plain } else { &mut *packer };
                    pack_grain(packer, part, grain, lba, &mut ready.packed);
                }
            }
        }
        ready
    }
}

fn is_dense(part: &[u8]) -> bool {
    part.chunks(ZERO_BLOCK).all(|block| BlockStats::of(block).entropy_bits() > DENSE_BITS)
}

/// Appends a grain with its marker, filled up to a sector. A last short grain is written whole.
fn pack_grain(
    packer: &mut libdeflater::Compressor,
    part: &[u8],
    grain: usize,
    lba: u64,
    out: &mut Vec<u8>,
) {
    let whole;
    let part = if part.len() < grain {
        let mut padded = part.to_vec();
        padded.resize(grain, 0);
        whole = padded;
        whole.as_slice()
    } else {
        part
    };
    let start = out.len();
    let bound = packer.zlib_compress_bound(part.len());
    out.resize(start + 12 + bound, 0);
    // The bound is what it can grow to at most.
    let length = packer.zlib_compress(part, &mut out[start + 12..]).unwrap_or(0);
    let size = u32::try_from(length).unwrap_or(0);
    out[start..start + 8].copy_from_slice(&lba.to_le_bytes());
    out[start + 8..start + 12].copy_from_slice(&size.to_le_bytes());
    out.resize((start + 12 + length).next_multiple_of(512), 0);
}

/// Parts of a raw file that are no holes: zeros of some length in a row are left out.
fn data_parts(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (nth, block) in bytes.chunks(ZERO_BLOCK).enumerate() {
        if is_zero(block) {
            continue;
        }
        let at = nth * ZERO_BLOCK;
        match parts.last_mut() {
            Some(last) if at - last.end < HOLE => last.end = at + block.len(),
            _ => parts.push(at..at + block.len()),
        }
    }
    parts
}

/// Gives units their place, in order.
pub(super) struct Placer {
    layout: Layout,
    capacity: u64,
    pub(super) position: Position,
}

impl Placer {
    pub(super) fn new(layout: Layout, capacity: u64, position: Position) -> Self {
        Self { layout, capacity, position }
    }

    /// What is to be written where for this unit, which must be the next one.
    pub(super) fn place(&mut self, ready: &mut Ready) -> Result<Vec<(u64, Bytes)>, TooLarge> {
        match &self.layout {
            Layout::Raw => Ok(ready
                .parts
                .iter()
                .map(|part| (ready.filled.start + part.start as u64, Bytes::Own(part.clone())))
                .collect()),
            Layout::Sparse(layout) => {
                let layout = *layout;
                self.place_sparse(&layout, ready)
            }
            Layout::Stream => self.place_stream(ready),
        }
    }

    fn place_sparse(
        &mut self,
        layout: &SparseLayout,
        ready: &mut Ready,
    ) -> Result<Vec<(u64, Bytes)>, TooLarge> {
        if ready.parts.is_empty() {
            return Ok(Vec::new());
        }
        let first_grain = ready.filled.start / GRAIN;
        let count = (ready.filled.end - ready.filled.start).div_ceil(GRAIN);
        let mut entries = vec![0_u32; usize::try_from(count).unwrap_or(0)];
        let mut writes: Vec<(u64, Bytes)> = Vec::new();
        for part in &ready.parts {
            let nth = part.start / usize::try_from(GRAIN).unwrap_or(1);
            let sector = self.position.next_sector;
            self.position.next_sector += GRAIN / 512;
            let entry = u32::try_from(self.position.next_sector).map_err(|_| TooLarge)?;
            if let Some(place) = entries.get_mut(nth) {
                *place = entry - u32::try_from(GRAIN / 512).unwrap_or(0);
            }
            let at = sector * 512;
            match writes.last_mut() {
                Some((from, Bytes::Own(last)))
                    if last.end == part.start && *from + last.len() as u64 == at =>
                {
                    last.end = part.end;
                }
                _ => writes.push((at, Bytes::Own(part.clone()))),
            }
        }
        // A last short grain is written whole.
        if let Some(part) = ready.parts.last()
            && part.len() < usize::try_from(GRAIN).unwrap_or(0)
        {
            let fill = usize::try_from(GRAIN).unwrap_or(0) - part.len();
            let at = self.position.next_sector * 512 - fill as u64;
            writes.push((at, Bytes::Made(vec![0; fill])));
        }
        // A unit's entries lie in one table: 64 of 512.
        let (table, entry) = (first_grain / ENTRIES, first_grain % ENTRIES);
        let bytes: Vec<u8> = entries.iter().flat_map(|e| e.to_le_bytes()).collect();
        for place in [layout.redundant_table(table), layout.table(table)].into_iter().flatten() {
            writes.push((place * 512 + entry * 4, Bytes::Made(bytes.clone())));
        }
        Ok(writes)
    }

    fn place_stream(&mut self, ready: &mut Ready) -> Result<Vec<(u64, Bytes)>, TooLarge> {
        let base = self.position.next_sector;
        let mut out = std::mem::take(&mut ready.packed);
        let first_grain = ready.filled.start / GRAIN;
        for (nth, offset) in &ready.grains {
            let entry = usize::try_from((first_grain + nth) % ENTRIES).unwrap_or(0);
            let sector = base + *offset as u64 / 512;
            if self.position.open_table.is_empty() {
                self.position.open_table = vec![0; usize::try_from(ENTRIES).unwrap_or(512)];
            }
            if let Some(place) = self.position.open_table.get_mut(entry) {
                *place = u32::try_from(sector).map_err(|_| TooLarge)?;
            }
        }
        // Every table that ends within this unit is closed.
        let span = GRAIN * ENTRIES;
        let tables = if ready.filled.end == self.capacity {
            self.capacity.div_ceil(span)
        } else {
            ready.filled.end / span
        };
        while (self.position.tables.len() as u64) < tables {
            if self.position.open_table.is_empty() {
                self.position.tables.push(0);
                continue;
            }
            let sector = base + out.len() as u64 / 512 + 1;
            self.position.tables.push(u32::try_from(sector).map_err(|_| TooLarge)?);
            out.extend(marker(4, 1));
            out.extend(self.position.open_table.drain(..).flat_map(u32::to_le_bytes));
        }
        self.position.next_sector = base + out.len() as u64 / 512;
        if out.is_empty() { Ok(Vec::new()) } else { Ok(vec![(base * 512, Bytes::Made(out))]) }
    }
}
