//! What is known of the content of a chain's files: which bytes are the original ones.

use std::collections::HashMap;

use super::boot::Rewritten;
use crate::{
    disk::{Chain, FileId, ResolvedRun, RunState},
    triage::judge::{DamageMap, Lattice, Run, State},
};

/// What is known of the content of a chain's files, laid over what their tables say.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    maps: HashMap<FileId, DamageMap>,
    /// The first link whose parent was taken against its CID: nothing below it is good.
    doubted_parent: Option<usize>,
    /// Links with grains that no table names, and in which words: what they leave open is not
    /// known to be their parent's.
    unnamed: Vec<(usize, String)>,
    /// Links whose tables were had from another copy, and in which words.
    mended: Vec<(usize, String)>,
    /// Sectors that are made anew, in order.
    rewritten: Vec<Rewritten>,
}

impl Damage {
    /// What the chain itself tells, read from link `at` on. Of the content nothing is known yet:
    /// what the tables point to is copied, and called undetermined.
    #[must_use]
    pub fn of(chain: &Chain, at: usize) -> Self {
        let links = || chain.links.iter().enumerate().skip(at);
        let doubted = links().find(|(_, link)| link.parent_doubt.is_some());
        let unnamed = links().filter_map(|(number, link)| {
            if let Some(what) = chain.disk().unnamed_grains(number) {
                return Some((number, what));
            }
            // Nothing but its tables tells what such an extent holds, and those were hit as well.
            let rebuilt = link.extents.iter().any(|extent| extent.rebuilt);
            let what = "its header is lost: what seems never written may have been";
            rebuilt.then(|| (number, what.to_owned()))
        });
        Self {
            maps: HashMap::new(),
            doubted_parent: doubted.map(|(number, _)| number),
            unnamed: unnamed.collect(),
            mended: links()
                .filter_map(|(number, _)| Some((number, chain.disk().mended_tables(number)?)))
                .collect(),
            rewritten: Vec::new(),
        }
    }

    /// Puts sectors made anew in the place of what stands there; in order, without overlap.
    pub fn rewrite(&mut self, rewritten: Vec<Rewritten>) {
        self.rewritten = rewritten;
    }

    /// Sectors that are made anew, in order.
    #[must_use]
    pub fn rewritten(&self) -> &[Rewritten] {
        &self.rewritten
    }

    /// Links with grains that no table names, and in which words.
    #[must_use]
    pub fn unnamed(&self) -> &[(usize, String)] {
        &self.unnamed
    }

    /// Links whose tables are broken and were had from another copy, and in which words.
    #[must_use]
    pub fn mended(&self) -> &[(usize, String)] {
        &self.mended
    }

    /// Why a run may not be what it seems, however its bytes read.
    pub(super) fn doubt_of(&self, run: &ResolvedRun) -> Option<Doubt> {
        let link = usize::try_from(run.link).unwrap_or(usize::MAX);
        if self.doubted_parent.is_some_and(|from| link > from) {
            return Some(Doubt::Parent);
        }
        // What no link answers fell through all of them.
        let open = run.state == RunState::Absent && run.extent.is_none();
        let through = self.unnamed.first().is_some_and(|(from, _)| link > *from || open);
        through.then_some(Doubt::Unnamed)
    }

    /// Lays the damage map of one file over it. Offsets of the map are those of the file.
    pub fn add(&mut self, file: FileId, map: DamageMap) {
        self.maps.insert(file, map);
    }

    /// Whether a map of this file was added.
    #[must_use]
    pub fn knows(&self, file: FileId) -> bool {
        self.maps.contains_key(&file)
    }

    /// What tells this knowledge from another.
    pub(super) fn digest(&self) -> String {
        let mut maps: Vec<_> = self.maps.iter().collect();
        maps.sort_by_key(|(file, _)| **file);
        let mut hash = blake3::Hasher::new();
        hash.update(format!("{:?}{:?}", self.doubted_parent, self.unnamed).as_bytes());
        for (file, map) in maps {
            hash.update(&file.0.to_le_bytes());
            for run in &map.runs {
                hash.update(format!("{run:?}").as_bytes());
            }
        }
        for one in &self.rewritten {
            hash.update(format!("{}{}", one.at, one.what).as_bytes());
            hash.update(&one.bytes);
        }
        hash.finalize().to_hex().as_str().get(..16).unwrap_or_default().to_owned()
    }

    /// The state of the byte at `at` of a file, and where the next state begins at the latest.
    pub(super) fn state_at(&self, file: FileId, at: u64) -> (State, u64) {
        let Some(map) = self.maps.get(&file) else { return (State::Undetermined, u64::MAX) };
        let index = map.runs.partition_point(|run| run.end <= at);
        match map.runs.get(index) {
            // Doubtful edges belong to the damage, never to what is good.
            Some(run) if run.start <= at => {
                let (state, end) = in_run(run, at);
                if is_good(state) { doubt(map, index, at, state, end) } else { (state, end) }
            }
            Some(run) => (State::Undetermined, run.start),
            None => (State::Undetermined, u64::MAX),
        }
    }
}

/// Why a run may not be what it seems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It comes through a parent whose CID does not agree.
    Parent,
    /// It comes through a link that lost entries of its tables.
    Unnamed,
}

impl Doubt {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Parent => "read through a parent whose CID does not agree",
            Self::Unnamed => "read through a link whose tables may have lost entries",
        }
    }
}

fn is_good(state: State) -> bool {
    matches!(state, State::Intact | State::Zero | State::Absent)
}

/// The part of a good run that the doubtful edge of a neighbour may reach into is undetermined.
fn doubt(map: &DamageMap, index: usize, at: u64, state: State, end: u64) -> (State, u64) {
    let run = &map.runs[index];
    let before = index.checked_sub(1).and_then(|n| map.runs.get(n)).filter(|r| !is_good(r.state));
    let after = map.runs.get(index + 1).filter(|r| !is_good(r.state));
    let head =
        before.map_or(0, |r| r.end_doubt).max(if before.is_some() { run.start_doubt } else { 0 });
    let tail =
        after.map_or(0, |r| r.start_doubt).max(if after.is_some() { run.end_doubt } else { 0 });
    let good_from = run.start.saturating_add(head);
    let good_to = run.end.saturating_sub(tail);
    if at < good_from {
        return (State::Undetermined, good_from.min(end));
    }
    if at >= good_to {
        return (State::Undetermined, end);
    }
    (state, end.min(good_to))
}

fn in_run(run: &Run, at: u64) -> (State, u64) {
    let Some(Lattice { origin, run: small, period }) = run.lattice.filter(|l| l.period > 0) else {
        return (run.state, run.end);
    };
    let phase = origin % period;
    let into = (at % period + period - phase) % period;
    let start = at - into.min(at);
    if into < small {
        (State::Encrypted, start.saturating_add(small).min(run.end))
    } else {
        (run.state, start.saturating_add(period).min(run.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_runs_of_a_lattice_are_encrypted_and_the_rest_has_the_runs_state() {
        let mut run = Run::new(100..1000, State::Intact, 0);
        run.lattice = Some(Lattice { origin: 130, run: 10, period: 100 });
        assert_eq!(in_run(&run, 100), (State::Intact, 130));
        assert_eq!(in_run(&run, 130), (State::Encrypted, 140));
        assert_eq!(in_run(&run, 139), (State::Encrypted, 140));
        assert_eq!(in_run(&run, 140), (State::Intact, 230));
        assert_eq!(in_run(&run, 999), (State::Intact, 1000));
    }

    #[test]
    fn doubtful_edges_of_damage_are_never_good() {
        let mut bad = Run::new(0..500, State::Encrypted, 0);
        bad.end_doubt = 64;
        let map = DamageMap {
            size_bytes: 1000,
            original_bytes: 1000,
            runs: vec![bad, Run::new(500..1000, State::Intact, 0)],
            ..DamageMap::default()
        };
        let mut damage = Damage::default();
        damage.add(FileId(0), map);
        assert_eq!(damage.state_at(FileId(0), 10), (State::Encrypted, 500));
        assert_eq!(damage.state_at(FileId(0), 500), (State::Undetermined, 564));
        assert_eq!(damage.state_at(FileId(0), 564), (State::Intact, 1000));
        assert_eq!(damage.state_at(FileId(0), 1000).0, State::Undetermined);
        assert_eq!(damage.state_at(FileId(1), 0).0, State::Undetermined);
    }
}
