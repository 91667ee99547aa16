//! Who claims which clusters: two files in use on one cluster contradict each other.

use std::collections::HashSet;

/// Claims of all files in use. Most are a few bytes each; a volume of ten million files takes
/// some hundred megabytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    runs: Vec<(u64, u64, u32)>,
}

/// Most runs that are compared; beyond, files are told to be unchecked.
const MOST_RUNS: usize = 1 << 27;

impl Claims {
    /// File `owner` says that these clusters are its own.
    pub(super) fn add(&mut self, owner: u32, first: u64, clusters: u64) -> bool {
        if self.runs.len() >= MOST_RUNS {
            return false;
        }
        self.runs.push((first, first.saturating_add(clusters), owner));
        true
    }

    /// The same for the runs of several files. Past the bound nothing more is compared; the
    /// volume's bitmap still is.
    pub(super) fn add_all(&mut self, found: Vec<(u32, Vec<(u64, u64)>)>) {
        for (owner, runs) in found {
            for (first, clusters) in runs {
                let _kept = self.add(owner, first, clusters);
            }
        }
    }

    /// Files of which a cluster is claimed by another file too.
    pub(super) fn contested(mut self) -> HashSet<u32> {
        self.runs.sort_unstable();
        let mut contested = HashSet::new();
        // The run that reaches furthest so far.
        let mut reach: Option<(u64, u32)> = None;
        // A second one, by another owner: enough to find every contested pair's later half.
        for (start, end, owner) in &self.runs {
            if let Some((furthest, of)) = reach
                && *start < furthest
                && of != *owner
            {
                contested.insert(of);
                contested.insert(*owner);
            }
            if reach.is_none_or(|(furthest, _)| *end > furthest) {
                reach = Some((*end, *owner));
            }
        }
        contested
    }
}

#[cfg(test)]
mod tests {
    use super::Claims;

    #[test]
    fn files_on_the_same_cluster_are_both_contested() {
        let mut claims = Claims::default();
        for (owner, first, clusters) in
            [(1, 10, 10), (2, 20, 5), (3, 24, 2), (4, 100, 1), (4, 50, 4)]
        {
            assert!(claims.add(owner, first, clusters));
        }
        let mut found: Vec<u32> = claims.contested().into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, [2, 3]);
    }
}
