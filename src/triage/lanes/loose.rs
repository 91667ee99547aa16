//! Small runs of ciphertext that no lattice places: they show in empty space, so others lie where
//! nothing shows.

use std::collections::{BTreeMap, HashSet};

use super::{FoundLattice, Island, Seen, are_random};
use crate::triage::measure::ByteHistogram;

/// Lengths looked at. Shorter ones are keys, hashes and identities of every kind.
const BYTES: std::ops::RangeInclusive<u64> = 48..=8192;
/// Of so many bytes, each island's own counts say whether it is even.
const TELLING: u64 = 96;
/// Structures and files begin at sectors; small runs by chance only.
const SECTOR: u64 = 512;
/// Fewest islands of one length, each with bytes of its own, and of any length.
const FEWEST_ALIKE: usize = 6;
const FEWEST: usize = 12;

/// Small runs of ciphertext that were seen, and that no rule places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loose {
    /// How many were seen.
    pub islands: usize,
    /// From the first one seen to the end of the last.
    pub seen: std::ops::Range<u64>,
    /// Length of the shortest.
    pub shortest: u64,
    /// Length of the longest.
    pub longest: u64,
}

/// Islands that look as ciphertext does and that `lattice` does not explain: many of one length,
/// or so many of any that they are most of what is varied on the disk.
#[must_use]
pub fn loose(seen: &Seen, lattice: Option<&FoundLattice>) -> Option<Loose> {
    let mut contents = HashSet::new();
    let own: Vec<&Island> = seen
        .rich
        .iter()
        .filter(|island| BYTES.contains(&(island.end - island.start)))
        .filter(|island| lattice.is_none_or(|found| !touches(found, island)))
        // Copies of one file hold the same tables.
        .filter(|island| contents.insert(island.bytes.as_slice()))
        .collect();
    let odd: Vec<&Island> =
        own.iter().copied().filter(|i| !i.start.is_multiple_of(SECTOR)).collect();
    let telling: Vec<&Island> =
        odd.iter().copied().filter(|i| i.end - i.start >= TELLING).collect();
    let even: Vec<&Island> = telling.iter().copied().filter(|i| is_even(i)).collect();
    if even.len() >= FEWEST && even.len() * 2 >= telling.len() && are_random(&even) {
        return told(&even);
    }
    let mut by_length: BTreeMap<u64, Vec<&Island>> = BTreeMap::new();
    for island in &own {
        by_length.entry(island.end - island.start).or_default().push(island);
    }
    let alike = by_length.into_values().max_by_key(Vec::len)?;
    let is_much = alike.len() >= FEWEST_ALIKE && alike.len() * 5 >= own.len();
    (is_much && are_random(&alike)).then(|| told(&alike))?
}

fn told(islands: &[&Island]) -> Option<Loose> {
    let lengths = || islands.iter().map(|island| island.end - island.start);
    Some(Loose {
        islands: islands.len(),
        seen: islands.iter().map(|i| i.start).min()?..islands.iter().map(|i| i.end).max()?,
        shortest: lengths().min()?,
        longest: lengths().max()?,
    })
}

/// Whether a run of the lattice lies in the island.
fn touches(found: &FoundLattice, island: &Island) -> bool {
    let lattice = found.lattice;
    lattice.encrypted_bytes(&(island.start..island.end)) > 0
}

/// Whether its bytes are as even as random ones, its ends not counted.
fn is_even(island: &Island) -> bool {
    let inside = island.bytes.get(1..island.bytes.len().saturating_sub(1));
    ByteHistogram::of(inside.unwrap_or_default()).chi_square().is_random_like()
}

#[cfg(test)]
mod tests {
    use vmglean_forge::damage::Rng;

    use super::*;

    fn seen(lengths: &[u64], is_random: bool) -> Seen {
        let mut rng = Rng::new(3);
        let mut at = 100;
        let rich = lengths.iter().map(|&length| {
            let byte = |n: u64| if is_random { rng.draw() as u8 } else { (n * 7 % 251) as u8 };
            let bytes: Vec<u8> = (0..length).map(byte).collect();
            at += 70_007;
            Island { start: at, end: at + length, bytes }
        });
        Seen { all: Vec::new(), rich: rich.collect() }
    }

    #[test]
    fn runs_of_one_length_or_many_of_any_are_told_and_a_few_tables_are_not() {
        let found = loose(&seen(&[300; 8], true), None).unwrap();
        assert_eq!((found.islands, found.shortest, found.longest), (8, 300, 300));
        let lengths: Vec<u64> = (0..40).map(|n| 100 + n * 37).collect();
        assert!(loose(&seen(&lengths, true), None).is_some_and(|found| found.islands > 35));
        assert_eq!(loose(&seen(&lengths[..5], true), None), None);
        assert_eq!(loose(&seen(&[300; 40], false), None), None);
        assert_eq!(loose(&seen(&[20; 40], true), None), None);
    }
}
