//! Dense stretches in blocks that are zero around them.

use vmglean_formats::{ByteOffset, ReadAt};

use crate::triage::judge::Survey;

/// Zeros that end an island.
const GAP: usize = 8;
const BLOCK: u64 = 4096;

/// Fewer bytes than this are varied by chance.
const FEWEST_RICH: usize = 16;
/// Share of the byte values that random bytes would hold.
const RICH: f64 = 0.85;

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

impl Island {
    /// Whether its bytes are about as varied as random ones: neither text nor a table is.
    pub(super) fn is_rich(&self) -> bool {
        self.bytes.len() >= FEWEST_RICH && is_varied(&self.bytes)
    }
}

/// How many byte values there are.
fn variety(bytes: &[u8]) -> f64 {
    let mut seen = [false; 256];
    for &byte in bytes {
        seen[usize::from(byte)] = true;
    }
    seen.into_iter().map(f64::from).sum()
}

/// Whether bytes are about as varied as random ones; of a few, any are.
pub(in crate::triage) fn is_varied(bytes: &[u8]) -> bool {
    variety(bytes) >= RICH * varied(bytes.len())
}

/// How many byte values random bytes of this number hold, on average.
pub(in crate::triage) fn varied(bytes: usize) -> f64 {
    256.0 * (1.0 - (255.0_f64 / 256.0).powf(bytes as f64))
}

/// Islands of up to `most` blocks, spread evenly over those that show any, in order.
pub(super) fn read(source: &dyn ReadAt, survey: &Survey, size: u64, most: usize) -> Vec<Island> {
    let places = survey.islands.iter().map(|island| island.start / BLOCK * BLOCK);
    of_blocks(source, places.chain(survey.mixed.iter().copied()).collect(), size, most)
}

/// The rich ones of up to `most` blocks that hold zeros and else varied bytes.
pub(super) fn rich(source: &dyn ReadAt, survey: &Survey, size: u64, most: usize) -> Vec<Island> {
    let mut all = of_blocks(source, survey.mixed.clone(), size, most);
    all.retain(Island::is_rich);
    all
}

fn of_blocks(source: &dyn ReadAt, mut blocks: Vec<u64>, size: u64, most: usize) -> Vec<Island> {
    blocks.retain(|at| at + BLOCK <= size);
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
