//! A block cipher used block by block: empty space becomes one value of 16 bytes over and over,
//! and nothing else about the ciphertext looks random.

use std::collections::HashMap;

use vmglean_formats::{ByteOffset, ReadAt};

use super::survey::{Survey, Tone};

/// Fewest blocks of one repeated value.
const FEWEST: usize = 8;
/// Distinct bytes that such a value has at least.
const DISTINCT: usize = 12;

/// What shows the mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ecb {
    /// The value that zeros became.
    pub(super) value: [u8; 16],
    /// How many 4 KiB blocks hold nothing else, among those looked at.
    pub(super) blocks: usize,
    /// The first and the byte after the last of them.
    pub(super) seen: std::ops::Range<u64>,
    /// Between these no empty space contradicts it.
    pub(super) possible: std::ops::Range<u64>,
}

pub(super) fn find(source: &dyn ReadAt, survey: &Survey, size: u64) -> Option<Ecb> {
    let mut votes: HashMap<[u8; 16], Vec<u64>> = HashMap::new();
    for &at in survey.sixteenfold.iter().filter(|at| **at + 4096 <= size) {
        let Ok(bytes) = source.read_up_to(ByteOffset(at), 4096) else { continue };
        let (values, _) = bytes.as_chunks::<16>();
        let Some(first) = values.first() else { continue };
        if values.iter().all(|v| v == first) {
            votes.entry(*first).or_default().push(at);
        }
    }
    let (value, places) = votes.into_iter().max_by_key(|(value, at)| (at.len(), *value))?;
    let mut distinct: Vec<u8> = value.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    // A fill pattern of letters is no ciphertext.
    let high = value.iter().filter(|b| **b >= 0x80).count();
    if places.len() < FEWEST || distinct.len() < DISTINCT || high < 3 {
        return None;
    }
    let seen = *places.first()?..*places.last()? + 4096;
    let empty = |p: &&super::survey::Piece| matches!(p.tone, Tone::Zero | Tone::Absent);
    let before = survey.pieces.iter().rev().filter(empty).find(|p| p.end <= seen.start);
    let after = survey.pieces.iter().filter(empty).find(|p| p.start >= seen.end);
    let possible = before.map_or(0, |p| p.end)..after.map_or(size, |p| p.start.min(size));
    Some(Ecb { value, blocks: places.len(), seen, possible })
}
