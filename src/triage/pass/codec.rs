//! Stretches as bytes: what a pass keeps on disk or in memory.
//!
//! An entry is its length (four bytes, little endian) and its body. Long uniform stretches take
//! about ten bytes whatever they cover; a window of data takes four bytes a block, runs of equal
//! blocks less, and a few for its sums. A full disk of data costs 0.1 % of its size.
//! Offsets are not stored: each entry begins where the one before it ended.

use super::stretch::Stretch;
use crate::triage::measure::{
    BLOCK_BYTES, BLOCKS_PER_SPAN, BLOCKS_PER_WINDOW, BlockRecord, ChiSquare, Island, LaneRecord,
    RandomRun, ReadFailure, SpanRecord, UnreadableRun, WINDOW_BYTES, WindowRecord,
};

const ABSENT: u8 = 1;
const ZERO: u8 = 2;
const UNREADABLE: u8 = 3;
const WINDOW: u8 = 4;
const WINDOW_WITH_LANES: u8 = 5;

/// Longest body: a window of data with islands, failures and lanes stays far below.
pub(super) const LONGEST_ENTRY_BYTES: usize = 16_384;

/// Appends one entry.
pub(super) fn encode(stretch: &Stretch, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend([0; 4]);
    match stretch {
        Stretch::Absent { length_bytes, .. } => {
            out.push(ABSENT);
            put(out, *length_bytes);
        }
        Stretch::Zero { length_bytes, .. } => {
            out.push(ZERO);
            put(out, *length_bytes);
        }
        Stretch::Unreadable { length_bytes, cause, .. } => {
            out.push(UNREADABLE);
            put_cause(out, *cause);
            put(out, *length_bytes);
        }
        Stretch::Window(window) => {
            out.push(if window.lanes.is_some() { WINDOW_WITH_LANES } else { WINDOW });
            put_window(out, window);
        }
    }
    let body = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(length) = out.get_mut(start..start + 4) {
        length.copy_from_slice(&body.to_le_bytes());
    }
}

/// The stretch in one entry's body, which begins at `offset_bytes` of the source; `None` where
/// the body is none.
pub(super) fn decode(body: &[u8], offset_bytes: u64) -> Option<Stretch> {
    let mut body = body;
    let body = &mut body;
    let stretch = match take_byte(body)? {
        ABSENT => Stretch::Absent { offset_bytes, length_bytes: take(body)? },
        ZERO => Stretch::Zero { offset_bytes, length_bytes: take(body)? },
        UNREADABLE => {
            let cause = take_cause(body)?;
            Stretch::Unreadable { offset_bytes, length_bytes: take(body)?, cause }
        }
        WINDOW => Stretch::Window(take_window(body, offset_bytes, false)?),
        WINDOW_WITH_LANES => Stretch::Window(take_window(body, offset_bytes, true)?),
        _ => return None,
    };
    body.is_empty().then_some(stretch)
}

fn put_window(out: &mut Vec<u8>, window: &WindowRecord) {
    put(out, u64::from(window.length_bytes));
    for equal in window.blocks.chunk_by(|a, b| a == b) {
        let [first, ..] = equal else { continue };
        put(out, equal.len() as u64);
        out.extend(first.to_bytes());
    }
    for span in window.spans.iter().chain(std::iter::once(&window.whole)) {
        if span.random_blocks > 0 {
            put(out, u64::from(span.chi_square.sixteenths()));
        }
    }
    for run in &window.runs {
        put(out, u64::from(run.chi_square.sixteenths()));
    }
    put(out, window.islands.len() as u64);
    for island in &window.islands {
        put(out, u64::from(island.offset_bytes));
        put(out, u64::from(island.length_bytes));
    }
    put(out, window.unreadable.len() as u64);
    for run in &window.unreadable {
        put(out, u64::from(run.first_block));
        put(out, u64::from(run.blocks));
        put_cause(out, run.cause);
    }
    if let Some(lanes) = &window.lanes {
        put(out, u64::from(lanes.blocks));
        for chi in lanes.of_32.iter().chain(&lanes.of_192) {
            put(out, u64::from(chi.sixteenths()));
        }
    }
}

fn take_window(body: &mut &[u8], offset_bytes: u64, with_lanes: bool) -> Option<WindowRecord> {
    let length_bytes = u32::try_from(take(body)?).ok()?;
    let length = usize::try_from(length_bytes).ok().filter(|&length| length <= WINDOW_BYTES)?;
    let count = length.div_ceil(BLOCK_BYTES);
    let mut blocks = Vec::with_capacity(BLOCKS_PER_WINDOW);
    while blocks.len() < count {
        let equal = usize::try_from(take(body)?).ok()?;
        let record = BlockRecord::from_bytes(take_bytes(body)?);
        if equal == 0 || equal > count - blocks.len() {
            return None;
        }
        blocks.extend(std::iter::repeat_n(record, equal));
    }
    let sum = |blocks: &[BlockRecord], body: &mut &[u8]| {
        let random = blocks.iter().filter(|block| block.is_random_like()).count();
        let chi_square = if random > 0 { take_chi(body)? } else { ChiSquare::default() };
        Some(SpanRecord { random_blocks: u16::try_from(random).ok()?, chi_square })
    };
    let mut spans = Vec::with_capacity(BLOCKS_PER_WINDOW / BLOCKS_PER_SPAN);
    for span in blocks.chunks(BLOCKS_PER_SPAN) {
        spans.push(sum(span, body)?);
    }
    let whole = sum(&blocks, body)?;
    let mut runs = Vec::new();
    let mut first = 0;
    for equal in blocks.chunk_by(|a, b| a.is_random_like() == b.is_random_like()) {
        if equal.len() > 1 && equal.first().is_some_and(|block| block.is_random_like()) {
            runs.push(RandomRun {
                first_block: u16::try_from(first).ok()?,
                blocks: u16::try_from(equal.len()).ok()?,
                chi_square: take_chi(body)?,
            });
        }
        first += equal.len();
    }
    let mut islands = Vec::new();
    for _ in 0..take_count(body)? {
        islands.push(Island {
            offset_bytes: u32::try_from(take(body)?).ok()?,
            length_bytes: u16::try_from(take(body)?).ok()?,
        });
    }
    let mut unreadable = Vec::new();
    for _ in 0..take_count(body)? {
        unreadable.push(UnreadableRun {
            first_block: u16::try_from(take(body)?).ok()?,
            blocks: u16::try_from(take(body)?).ok()?,
            cause: take_cause(body)?,
        });
    }
    let lanes = if with_lanes { Some(take_lanes(body)?) } else { None };
    Some(WindowRecord {
        offset_bytes,
        length_bytes,
        blocks,
        spans,
        whole,
        runs,
        islands,
        unreadable,
        lanes,
    })
}

fn take_lanes(body: &mut &[u8]) -> Option<LaneRecord> {
    let mut lanes = LaneRecord { blocks: u16::try_from(take(body)?).ok()?, ..Default::default() };
    for chi in lanes.of_32.iter_mut().chain(&mut lanes.of_192) {
        *chi = take_chi(body)?;
    }
    Some(lanes)
}

/// At most one a block.
fn take_count(body: &mut &[u8]) -> Option<usize> {
    usize::try_from(take(body)?).ok().filter(|&count| count <= BLOCKS_PER_WINDOW)
}

fn take_chi(body: &mut &[u8]) -> Option<ChiSquare> {
    u32::try_from(take(body)?).ok().map(ChiSquare::from_sixteenths)
}

fn put_cause(out: &mut Vec<u8>, cause: ReadFailure) {
    match cause {
        ReadFailure::Ended => put(out, 0),
        ReadFailure::Untold => put(out, 1),
        ReadFailure::Os(number) => put(out, 2 + u64::from(number.cast_unsigned())),
    }
}

fn take_cause(body: &mut &[u8]) -> Option<ReadFailure> {
    Some(match take(body)? {
        0 => ReadFailure::Ended,
        1 => ReadFailure::Untold,
        number => ReadFailure::Os(u32::try_from(number - 2).ok()?.cast_signed()),
    })
}

/// Seven bits a byte, lowest first, the top bit set while more follow.
fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 128 {
        out.push(value.to_le_bytes()[0] | 128);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn take(body: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(body)?;
        let bits = u64::from(byte & 127);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

fn take_byte(body: &mut &[u8]) -> Option<u8> {
    let [byte] = take_bytes(body)?;
    Some(byte)
}

fn take_bytes<const N: usize>(body: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = body.split_first_chunk::<N>()?;
    *body = rest;
    Some(*bytes)
}
