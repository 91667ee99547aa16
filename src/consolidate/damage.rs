//! What is known of the content of a chain's files: which bytes are the original ones.

use std::collections::HashMap;

use super::{boot::Rewritten, manifest::JudgedLine};
use crate::{
    disk::{Chain, FileId, ResolvedRun, RunState},
    triage::judge::{DamageMap, Lattice, Run, State},
};

/// What is known of the content of a chain's files, laid over what their tables say.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    /// Maps of files, by the files' own addresses.
    maps: HashMap<FileId, Told>,
    /// A map of the whole disk, by virtual addresses.
    disk: Option<Told>,
    /// Why a map says what it says.
    reasons: Vec<String>,
    /// Recorded maps that were given, each with the SHA-256 of its record.
    given: Vec<(String, String)>,
    /// How each file was judged.
    judged: Vec<JudgedLine>,
    /// Whether the fill stands for what a map cannot tell, too.
    withholds: bool,
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
            doubted_parent: doubted.map(|(number, _)| number),
            unnamed: unnamed.collect(),
            mended: links()
                .filter_map(|(number, _)| Some((number, chain.disk().mended_tables(number)?)))
                .collect(),
            ..Self::default()
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
        let told = self.told(map);
        self.maps.insert(file, told);
    }

    /// Lays a damage map of the whole disk over it. Offsets of the map are those of the disk.
    pub fn add_disk(&mut self, map: DamageMap) {
        self.disk = Some(self.told(map));
    }

    fn told(&mut self, map: DamageMap) -> Told {
        let first = self.reasons.len();
        let count = map.evidence.len();
        self.reasons.extend(map.evidence.into_iter().map(|evidence| evidence.detail));
        let mut runs = map.runs;
        // A record may point to what it does not hold.
        for run in runs.iter_mut().filter(|run| run.evidence >= count) {
            run.evidence = usize::MAX;
        }
        Told { runs, first }
    }

    /// Names a recorded map that was given, with the SHA-256 of its record in hex.
    pub fn give(&mut self, name: String, sha256: String) {
        self.given.push((name, sha256));
    }

    /// Recorded maps that were given, each with the SHA-256 of its record.
    pub(super) fn given(&self) -> &[(String, String)] {
        &self.given
    }

    /// Lets the fill stand for what a map leaves undetermined, too.
    pub fn withhold(&mut self) {
        self.withholds = true;
    }

    /// Whether the fill stands for what a map leaves undetermined.
    pub(super) fn withholds(&self) -> bool {
        self.withholds
    }

    /// Says how a file was judged.
    pub fn judge(&mut self, line: JudgedLine) {
        self.judged.push(line);
    }

    /// How each file was judged.
    #[must_use]
    pub fn judged(&self) -> &[JudgedLine] {
        &self.judged
    }

    /// Whether a map of this file, or of all the disk, was added.
    #[must_use]
    pub fn knows(&self, file: FileId) -> bool {
        self.disk.is_some() || self.maps.contains_key(&file)
    }

    /// Whether any map was added.
    pub(super) fn has_maps(&self) -> bool {
        self.disk.is_some() || !self.maps.is_empty()
    }

    /// What tells this knowledge from another.
    pub(super) fn digest(&self) -> String {
        let mut maps: Vec<_> = self.maps.iter().collect();
        maps.sort_by_key(|(file, _)| **file);
        let mut hash = blake3::Hasher::new();
        hash.update(format!("{:?}{:?}", self.doubted_parent, self.unnamed).as_bytes());
        let all = maps.into_iter().map(|(file, told)| (u64::from(file.0), told));
        for (file, told) in all.chain(self.disk.iter().map(|told| (u64::MAX, told))) {
            hash.update(&file.to_le_bytes());
            for run in &told.runs {
                hash.update(format!("{run:?}").as_bytes());
            }
        }
        for text in &self.reasons {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(format!("{:?}{}", self.judged, self.withholds).as_bytes());
        for one in &self.rewritten {
            hash.update(format!("{}{}", one.at, one.what).as_bytes());
            hash.update(&one.bytes);
        }
        hash.finalize().to_hex().as_str().get(..16).unwrap_or_default().to_owned()
    }

    /// What the maps say of the byte at `at` of the disk, which lies at `place` of `file`, where a
    /// file holds it. Of two maps the one that says worse is believed.
    pub(super) fn known(&self, at: u64, file: Option<(FileId, u64)>) -> Known {
        let by_file = file.and_then(|(file, place)| Some((self.maps.get(&file)?, place)));
        let by_file = by_file.map(|(told, place)| {
            let known = told.at(place);
            Known { lattice: known.lattice.map(|lattice| lattice.moved(place, at)), ..known }
        });
        match (by_file, self.disk.as_ref().map(|told| told.at(at))) {
            (None, None) => {
                Known { state: State::Undetermined, length: u64::MAX, reason: None, lattice: None }
            }
            (Some(known), None) | (None, Some(known)) => known,
            (Some(one), Some(two)) => {
                let worse = if two.badness() > one.badness() { two } else { one };
                Known { length: one.length.min(two.length), ..worse }
            }
        }
    }

    /// A reason in words.
    pub(super) fn words(&self, reason: Reason) -> String {
        match reason {
            Reason::Edge => EDGE.to_owned(),
            Reason::Untold => UNTOLD.to_owned(),
            Reason::Contradicted => CONTRADICTED.to_owned(),
            Reason::Evidence(number) => match self.reasons.get(number) {
                Some(text) => text.clone(),
                None => "its damage map gives no reason".to_owned(),
            },
        }
    }
}

const EDGE: &str = "the edge of damage lies hereabouts, not known to the byte";
const UNTOLD: &str = "its damage map does not reach here";
const CONTRADICTED: &str = "the damage map knows data here, the tables none";

/// A damage map.
#[derive(Clone, Debug)]
struct Told {
    runs: Vec<Run>,
    /// Where its reasons begin.
    first: usize,
}

/// What maps say of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) state: State,
    /// Bytes from there on that it holds for, at least.
    pub(super) length: u64,
    /// Why, where that is no good state and a map says so.
    pub(super) reason: Option<Reason>,
    /// Small encrypted runs in it, by the addresses of the disk.
    pub(super) lattice: Option<Lattice>,
}

impl Known {
    fn badness(&self) -> u8 {
        match self.lattice {
            Some(_) => badness(State::Encrypted),
            None => badness(self.state),
        }
    }
}

/// Why a map says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Damage ends near.
    Edge,
    /// The map ends before.
    Untold,
    /// The tables say otherwise.
    Contradicted,
    /// Number of a text.
    Evidence(usize),
}

impl Told {
    fn at(&self, at: u64) -> Known {
        let untold = |end: u64| Known {
            state: State::Undetermined,
            length: end.saturating_sub(at),
            reason: Some(Reason::Untold),
            lattice: None,
        };
        let index = self.runs.partition_point(|run| run.end <= at);
        let Some(run) = self.runs.get(index) else { return untold(u64::MAX) };
        if run.start > at {
            return untold(run.start);
        }
        let lattice = run.lattice.filter(|lattice| lattice.period > 0);
        let (state, end) = (run.state, run.end);
        // Doubtful edges belong to the damage, never to what is good.
        let (state, end, reason) = match is_good(state) {
            true => doubt(&self.runs, index, at, state, end),
            false => (state, end, Some(Reason::Evidence(self.first.saturating_add(run.evidence)))),
        };
        // Between runs that are gone, nothing is left.
        let lattice = lattice.filter(|_| badness(state) <= badness(State::Undetermined));
        let lattice = lattice.map(|lattice| lattice.moved(0, 0));
        Known { state, length: end.saturating_sub(at), reason, lattice }
    }
}

/// Order of states by what they keep a byte from.
fn badness(state: State) -> u8 {
    match state {
        State::Zero | State::Absent | State::Intact => 0,
        State::Undetermined => 1,
        State::Damaged => 2,
        State::Unreadable => 3,
        State::Encrypted => 4,
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

pub(super) fn is_good(state: State) -> bool {
    matches!(state, State::Intact | State::Zero | State::Absent)
}

/// The part of a good run that the doubtful edge of a neighbour may reach into is undetermined.
fn doubt(
    runs: &[Run],
    index: usize,
    at: u64,
    state: State,
    end: u64,
) -> (State, u64, Option<Reason>) {
    let Some(run) = runs.get(index) else { return (state, end, None) };
    let before = index.checked_sub(1).and_then(|n| runs.get(n)).filter(|r| !is_good(r.state));
    let after = index.checked_add(1).and_then(|n| runs.get(n)).filter(|r| !is_good(r.state));
    let head = before.map_or(0, |r| r.end_doubt.max(run.start_doubt));
    let tail = after.map_or(0, |r| r.start_doubt.max(run.end_doubt));
    let good_from = run.start.saturating_add(head);
    let good_to = run.end.saturating_sub(tail);
    if at < good_from {
        return (State::Undetermined, good_from.min(end), Some(Reason::Edge));
    }
    if at >= good_to {
        return (State::Undetermined, end, Some(Reason::Edge));
    }
    (state, end.min(good_to), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Evidence, EvidenceKind};

    #[test]
    fn a_lattice_is_told_by_the_addresses_of_the_disk() {
        let mut run = Run::new(100..1000, State::Intact, 0);
        run.lattice = Some(Lattice { origin: 130, run: 10, period: 100 });
        let mut damage = Damage::default();
        damage.add(FileId(0), DamageMap { runs: vec![run], ..DamageMap::default() });
        // Byte 200 of the file is byte 5000 of the disk.
        let known = damage.known(5000, Some((FileId(0), 200)));
        assert_eq!((known.state, known.length), (State::Intact, 800));
        let lattice = known.lattice.unwrap();
        let runs: Vec<_> = lattice.runs(5000..5235).collect();
        assert_eq!(runs, [5030..5040, 5130..5140, 5230..5235]);
        assert_eq!(lattice.runs(5035..5100).collect::<Vec<_>>(), [5035..5040]);
        assert_eq!(lattice.runs(5040..5130).count(), 0);
        assert_eq!(lattice.encrypted_bytes(&(5000..5235)), 25);
    }

    #[test]
    fn doubtful_edges_of_damage_are_never_good() {
        let mut bad = Run::new(0..500, State::Encrypted, 0);
        bad.end_doubt = 64;
        let map = DamageMap {
            size_bytes: 1000,
            original_bytes: 1000,
            runs: vec![bad, Run::new(500..1000, State::Intact, 0)],
            evidence: vec![Evidence {
                kind: EvidenceKind::Pattern,
                offset_bytes: 0,
                length_bytes: 500,
                detail: "a rule".to_owned(),
            }],
            ..DamageMap::default()
        };
        let mut damage = Damage::default();
        damage.add(FileId(0), map);
        let known = |file, at| {
            let known = damage.known(at, Some((FileId(file), at)));
            (known.state, known.length, known.reason)
        };
        assert_eq!(known(0, 10), (State::Encrypted, 490, Some(Reason::Evidence(0))));
        assert_eq!(known(0, 500), (State::Undetermined, 64, Some(Reason::Edge)));
        assert_eq!(known(0, 564), (State::Intact, 436, None));
        assert_eq!(known(0, 1000).2, Some(Reason::Untold));
        assert_eq!(known(1, 0), (State::Undetermined, u64::MAX, None));
    }

    #[test]
    fn of_a_map_of_the_file_and_one_of_the_disk_the_worse_counts() {
        let map = |runs| DamageMap { runs, ..DamageMap::default() };
        let mut damage = Damage::default();
        damage.add(FileId(0), map(vec![Run::new(0..1000, State::Intact, 0)]));
        damage.add_disk(map(vec![
            Run::new(0..100, State::Intact, 0),
            Run::new(100..200, State::Encrypted, 0),
            Run::new(200..300, State::Undetermined, 0),
        ]));
        // Byte 600 of the file is byte 0 of the disk.
        let known = |at| damage.known(at, Some((FileId(0), at + 600)));
        assert_eq!((known(0).state, known(0).length), (State::Intact, 100));
        assert_eq!((known(150).state, known(150).length), (State::Encrypted, 50));
        assert_eq!(known(200).state, State::Undetermined);
        assert_eq!(known(300).reason, Some(Reason::Untold));
        assert_eq!(known(500).state, State::Undetermined);
    }
}
