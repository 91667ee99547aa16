//! Dense stretches in blocks that are zero around them.

use vmglean_formats::{ByteOffset, ReadAt};

use crate::triage::judge::Survey;

/// Zeros that end an island.
const GAP: usize = 8;
const BLOCK: u64 = 4096;

/// One dense stretch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Island {
    /// First non-zero byte.
    pub(super) start: u64,
    /// The byte after the last.
    pub(super) end: u64,
    /// What it holds.
    pub(super) bytes: Vec<u8>,
}

/// Islands of up to `most` blocks, spread evenly over those that show any, in order.
pub(super) fn read(source: &dyn ReadAt, survey: &Survey, size: u64, most: usize) -> Vec<Island> {
    let mut blocks: Vec<u64> = survey
        .islands
        .iter()
        .map(|island| island.start / BLOCK * BLOCK)
        .chain(survey.mixed.iter().copied())
        .filter(|at| at + BLOCK <= size)
        .collect();
    blocks.sort_unstable();
    blocks.dedup();
    // Neighbours belong together: stretches of blocks, not single ones.
    let step = blocks.len().div_ceil(most.max(1)).max(1);
    let chosen = blocks.chunks(16 * step).flat_map(|part| part.iter().take(16));
    let mut all: Vec<Island> = Vec::new();
    for &at in chosen {
        let Ok(bytes) = source.read_up_to(ByteOffset(at), BLOCK as usize) else { continue };
        of_block(at, &bytes, &mut all);
    }
    all
}

fn of_block(at: u64, bytes: &[u8], all: &mut Vec<Island>) {
    let mut open: Option<usize> = None;
    let mut zeros = GAP;
    let mut close = |from: usize, to: usize| {
        let (start, end) = (at + from as u64, at + to as u64);
        let part = bytes.get(from..to).unwrap_or_default();
        match all.last_mut() {
            // One island that a block boundary cuts.
            Some(last) if last.end == start && from == 0 => {
                last.end = end;
                last.bytes.extend(part);
            }
            _ => all.push(Island { start, end, bytes: part.to_vec() }),
        }
    };
    for (index, &byte) in bytes.iter().enumerate() {
        if byte == 0 {
            zeros += 1;
            if zeros == GAP
                && let Some(from) = open.take()
            {
                close(from, index + 1 - GAP);
            }
        } else {
            zeros = 0;
            open.get_or_insert(index);
        }
    }
    if let Some(from) = open {
        close(from, bytes.len() - zeros.min(bytes.len()));
    }
}
