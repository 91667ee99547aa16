//! Encrypted runs of a map that are copies of each other: what equal files leave, one behind the
//! other, since their random-like parts lie at equal distances.

use std::collections::HashMap;

use vmglean_formats::{ByteOffset, ReadAt};

use crate::triage::judge::{Run, State};

const BLOCK_BYTES: usize = 4096;
/// Blocks of each run that are compared, at equal distances.
const PROBES: u64 = 4;
/// Runs that are compared, at equal distances; each has its like a run or a few away.
const MOST_RUNS: usize = 2048;
/// So much of what was compared may have no like: the ends of the copies.
const MOST_ALONE: f64 = 0.1;

/// Whether nearly all of the encrypted runs have the bytes of another one: a cipher with a key
/// stream worth the name never gives the same bytes twice.
pub(super) fn are_copies(source: &dyn ReadAt, runs: &[Run]) -> bool {
    let hit: Vec<&Run> = runs.iter().filter(|run| run.state == State::Encrypted).collect();
    // Neighbours are compared, so a stretch of them is taken where there are too many.
    let compared = hit.get(..MOST_RUNS.min(hit.len())).unwrap_or_default();
    let mut seen: HashMap<blake3::Hash, (usize, u64)> = HashMap::new();
    let mut all: Vec<(usize, blake3::Hash)> = Vec::new();
    for (nth, run) in compared.iter().enumerate() {
        let Some(room) = run.length().checked_sub(BLOCK_BYTES as u64) else { return false };
        for probe in 0..PROBES {
            let at = run.start.saturating_add(room / PROBES / 512 * 512 * probe);
            let Ok(bytes) = source.read_up_to(ByteOffset(at), BLOCK_BYTES) else { return false };
            let hash = blake3::hash(&bytes);
            // Within one run the same bytes are no copy of a file but a cipher that begins anew.
            let known = seen.entry(hash).or_insert((nth, 0));
            if known.0 != nth {
                known.1 += 1;
            }
            all.push((nth, hash));
        }
    }
    let alone = all.iter().filter(|(_, hash)| seen.get(hash).is_none_or(|known| known.1 == 0));
    !all.is_empty() && alone.count() as f64 <= all.len() as f64 * MOST_ALONE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn disk(parts: &[Vec<u8>]) -> (Vec<u8>, Vec<Run>) {
        let (mut bytes, mut runs) = (Vec::new(), Vec::new());
        for part in parts {
            bytes.resize(bytes.len() + 65_536, b' ');
            let start = bytes.len() as u64;
            bytes.extend(part);
            runs.push(Run::new(start..bytes.len() as u64, State::Encrypted, 0));
        }
        (bytes, runs)
    }

    #[test]
    fn copies_are_told_from_ciphertext() {
        let copies = vec![random(1, 65_536); 12];
        let (bytes, runs) = disk(&copies);
        assert!(are_copies(&bytes, &runs));
        let (bytes, runs) = disk(&(0..12).map(|n| random(n, 65_536)).collect::<Vec<_>>());
        assert!(!are_copies(&bytes, &runs));
        let half = (0..12).map(|n| random(n / 6 * n, 65_536)).collect::<Vec<_>>();
        let (bytes, runs) = disk(&half);
        assert!(!are_copies(&bytes, &runs));
        // One run that repeats itself.
        let (bytes, runs) = disk(&[random(1, 4096).repeat(32)]);
        assert!(!are_copies(&bytes, &runs));
        assert!(!are_copies(&bytes, &[]));
    }
}
