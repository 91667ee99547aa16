//! A block cipher used block by block: empty space becomes one value of 16 bytes over and over,
//! and nothing else about the ciphertext looks random.

use std::collections::HashMap;

use vmglean_formats::{ByteOffset, ReadAt};

use super::{
    Facts,
    assemble::Reasons,
    runs::{Run, State},
    survey::{Survey, Tone},
};
use crate::finding::{EvidenceKind, Finding, Weight};

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

/// Where a cipher is used block by block, nothing looks random: what is seen between the
/// repeated values is encrypted, what lies round them could be.
pub(super) fn runs(survey: &Survey, found: &Ecb, facts: &Facts, reasons: &mut Reasons) -> Vec<Run> {
    let detail = format!(
        "{} blocks of 4 KiB hold one value of 16 bytes over and over, as a block cipher without \
         chaining makes of zeros",
        found.blocks
    );
    let why = reasons.add(EvidenceKind::Pattern, found.possible.clone(), detail);
    // No empty space anywhere, and the repeated value over much of the disk.
    let most = (found.seen.end - found.seen.start) * 4 >= survey.size_bytes;
    let whole = found.possible.start == 0 && (most || facts.attacked.is_some());
    survey
        .over(&found.possible)
        .iter()
        .filter(|p| matches!(p.tone, Tone::Plain | Tone::Random | Tone::Doubtful | Tone::Packed))
        .map(|p| {
            let range = p.start.max(found.possible.start)..p.end.min(found.possible.end);
            let inside = found.seen.start <= range.start && range.end <= found.seen.end;
            let state = if inside || whole { State::Encrypted } else { State::Undetermined };
            Run::new(range, state, why)
        })
        .filter(|r| r.start < r.end)
        .collect()
}

pub(super) fn finding(found: &Ecb, facts: &Facts) -> Finding {
    let value = hex::encode(found.value);
    Finding {
        code: "map.block-cipher-repeats".to_owned(),
        weight: Weight::Damage,
        path: facts.path.clone(),
        offset_bytes: Some(found.seen.start),
        what: format!(
            "equal plaintext became equal ciphertext: {} blocks hold {value} alone; a sound cipher \
             would repeat no 16 bytes",
            found.blocks
        ),
        next: Some(
            "empty areas can be told in the ciphertext; tell whoever looks for a key".to_owned(),
        ),
    }
}
