//! A disk's bytes together with what the damage map says of them.

use std::ops::Range;

use vmglean_formats::{ByteOffset, MediumError};

use crate::{
    source::Source,
    triage::judge::{Lattice, Run, State},
};

/// Bytes by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Stored zeros, nothing allocated, or original data.
    pub good: u64,
    /// Encrypted by the attack.
    pub encrypted: u64,
    /// Not given by the medium, or lost with a structure of the disk.
    pub gone: u64,
    /// Nothing explains them.
    pub undetermined: u64,
}

impl Tally {
    /// Adds `bytes` of `state`.
    pub fn add(&mut self, state: State, bytes: u64) {
        let sum = match state {
            State::Zero | State::Absent | State::Intact => &mut self.good,
            State::Encrypted => &mut self.encrypted,
            State::Unreadable | State::Damaged => &mut self.gone,
            State::Undetermined => &mut self.undetermined,
        };
        *sum = sum.saturating_add(bytes);
    }

    /// All bytes that are not good.
    #[must_use]
    pub fn bad(&self) -> u64 {
        self.encrypted.saturating_add(self.gone).saturating_add(self.undetermined)
    }
}

/// Whether bytes of this state are as the guest wrote them.
#[must_use]
pub(super) fn is_good(state: State) -> bool {
    matches!(state, State::Zero | State::Absent | State::Intact)
}

/// A disk and its map.
pub struct Ground<'a> {
    disk: &'a dyn Source,
    runs: Vec<Run>,
    size: u64,
}

impl<'a> Ground<'a> {
    /// A disk with the runs of its map: in order, without overlap. What no run covers is
    /// undetermined; so are bytes as near to an edge as the map doubts it.
    #[must_use]
    pub fn new(disk: &'a dyn Source, runs: &[Run]) -> Self {
        Self { disk, runs: widened(runs), size: disk.len_bytes() }
    }

    /// Bytes of the disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &dyn Source {
        self.disk
    }

    /// Hands out what `range` is made of, in order, without gap. What lies past the disk's end
    /// is damaged: no byte stands there.
    pub fn pieces(&self, range: Range<u64>, told: &mut dyn FnMut(Range<u64>, State)) {
        let mut at = range.start;
        let inside = range.end.min(self.size);
        let first = self.runs.partition_point(|run| run.end <= at);
        for run in self.runs.iter().skip(first) {
            if at >= inside {
                break;
            }
            if run.start > at {
                let end = run.start.min(inside);
                told(at..end, State::Undetermined);
                at = end;
            }
            let end = run.end.min(inside);
            while at < end {
                let (state, stop) = match run.lattice {
                    Some(lattice) if lattice.period > 0 => {
                        let phase = lattice.origin % lattice.period;
                        let into = (at % lattice.period + lattice.period - phase) % lattice.period;
                        if into < lattice.run {
                            (State::Encrypted, at.saturating_add(lattice.run - into))
                        } else {
                            (run.state, at.saturating_add(lattice.period - into))
                        }
                    }
                    _ => (run.state, end),
                };
                let stop = stop.min(end);
                told(at..stop, state);
                at = stop;
            }
        }
        if at < inside {
            told(at..inside, State::Undetermined);
            at = inside;
        }
        if at < range.end {
            told(at..range.end, State::Damaged);
        }
    }

    /// Appends the runs of `range` as they stand where its first byte is byte `to` of something
    /// else, small runs and all. What lies past the disk's end is damaged.
    pub(super) fn moved(&self, range: Range<u64>, to: u64, out: &mut Vec<Run>) {
        let mut add = |piece: Range<u64>, state: State, lattice: Option<Lattice>| {
            if piece.start >= piece.end {
                return;
            }
            let at = to.saturating_add(piece.start - range.start);
            let mut run = Run::new(at..at.saturating_add(piece.end - piece.start), state, 0);
            run.lattice = lattice.filter(|lattice| lattice.period > 0).map(|lattice| {
                let period = lattice.period;
                let phase = (lattice.origin % period + period - range.start % period) % period;
                Lattice { origin: to.saturating_add(phase), ..lattice }
            });
            match out.last_mut() {
                Some(last)
                    if last.end == run.start
                        && last.state == run.state
                        && last.lattice.is_none()
                        && run.lattice.is_none() =>
                {
                    last.end = run.end;
                }
                _ => out.push(run),
            }
        };
        let inside = range.end.min(self.size);
        let mut at = range.start;
        let first = self.runs.partition_point(|run| run.end <= at);
        for run in self.runs.iter().skip(first).take_while(|run| run.start < inside) {
            add(at..run.start.min(inside), State::Undetermined, None);
            at = at.max(run.start);
            let end = run.end.min(inside);
            add(at..end, run.state, run.lattice);
            at = at.max(end);
        }
        add(at..inside, State::Undetermined, None);
        add(at.max(inside)..range.end, State::Damaged, None);
    }

    /// Bytes of `range` by state.
    #[must_use]
    pub fn tally(&self, range: Range<u64>) -> Tally {
        let mut tally = Tally::default();
        self.pieces(range, &mut |piece, state| tally.add(state, piece.end - piece.start));
        tally
    }

    /// Whether all of `range` is as the guest wrote it.
    #[must_use]
    pub fn is_good(&self, range: Range<u64>) -> bool {
        self.tally(range).bad() == 0
    }

    /// Reads all of `range`, whatever its state.
    ///
    /// # Errors
    /// As the medium says.
    pub fn read(&self, at: u64, length: usize) -> Result<Vec<u8>, MediumError> {
        let mut buf = vec![0; length];
        self.disk.read_exact_at(&mut buf, ByteOffset(at))?;
        Ok(buf)
    }

    /// Stretches worth searching for structures: neither encrypted nor unreadable nor zero.
    #[must_use]
    pub fn searchable(&self) -> Vec<Range<u64>> {
        let mut out: Vec<Range<u64>> = Vec::new();
        let mut at = 0;
        let mut add = |range: Range<u64>| match out.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if range.start < range.end => out.push(range),
            _ => {}
        };
        for run in &self.runs {
            add(at.min(run.start)..run.start.min(self.size));
            at = run.end;
            if matches!(run.state, State::Intact | State::Undetermined) {
                add(run.start.min(self.size)..run.end.min(self.size));
            }
        }
        add(at.min(self.size)..self.size);
        out
    }
}

/// The runs with every edge between good and bad bytes moved into the good ones by its doubt.
fn widened(runs: &[Run]) -> Vec<Run> {
    let mut out = runs.to_vec();
    out.retain(|run| run.start < run.end);
    out.sort_by_key(|run| run.start);
    let mut marks: Vec<Run> = Vec::new();
    for pair in out.windows(2) {
        let [before, after] = pair else { continue };
        let doubt = before.end_doubt.max(after.start_doubt);
        if doubt > 0 && is_good(before.state) != is_good(after.state) {
            let (from, to) = if is_good(before.state) {
                (before.end.saturating_sub(doubt).max(before.start), before.end)
            } else {
                (after.start, after.start.saturating_add(doubt).min(after.end))
            };
            let from = marks.last().map_or(from, |last| from.max(last.end));
            marks.push(Run::new(from..to.max(from), State::Undetermined, before.evidence));
        }
    }
    crate::triage::judge::overlay(out, marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(ground: &Ground<'_>, range: Range<u64>) -> Vec<(Range<u64>, State)> {
        let mut all = Vec::new();
        ground.pieces(range, &mut |piece, state| all.push((piece, state)));
        all
    }

    #[test]
    fn what_the_map_does_not_cover_or_doubts_is_never_good() {
        let disk = vec![7_u8; 1000];
        let mut encrypted = Run::new(100..200, State::Encrypted, 0);
        encrypted.start_doubt = 10;
        encrypted.end_doubt = 20;
        let runs =
            [Run::new(0..100, State::Intact, 0), encrypted, Run::new(200..900, State::Intact, 0)];
        let ground = Ground::new(&disk, &runs);
        use State::{Damaged, Encrypted, Intact, Undetermined};
        assert_eq!(
            states(&ground, 80..1100),
            [
                (80..90, Intact),
                (90..100, Undetermined),
                (100..200, Encrypted),
                (200..220, Undetermined),
                (220..900, Intact),
                (900..1000, Undetermined),
                (1000..1100, Damaged)
            ]
        );
        assert!(ground.is_good(0..90) && !ground.is_good(0..91));
        assert_eq!(ground.searchable(), [0..100, 200..1000]);
    }

    #[test]
    fn small_runs_of_a_lattice_are_taken_apart() {
        let disk = vec![7_u8; 1000];
        let mut run = Run::new(0..1000, State::Intact, 0);
        run.lattice = Some(Lattice { origin: 20, run: 10, period: 100 });
        let ground = Ground::new(&disk, &[run]);
        assert_eq!(ground.tally(0..1000).encrypted, 100);
        assert!(ground.is_good(30..120) && !ground.is_good(25..35));
    }

    #[test]
    fn runs_that_are_moved_keep_their_states_and_small_runs() {
        let disk = vec![7_u8; 1000];
        let mut run = Run::new(0..600, State::Intact, 0);
        run.lattice = Some(Lattice { origin: 20, run: 10, period: 100 });
        let ground = Ground::new(&disk, &[run, Run::new(700..900, State::Encrypted, 0)]);
        let mut moved = Vec::new();
        ground.moved(350..1100, 5000, &mut moved);
        let far = vec![0_u8; 6000];
        let there = Ground::new(&far, &moved);
        let tally = |range: Range<u64>| {
            (ground.tally(range.clone()), { there.tally(range.start + 4650..range.end + 4650) })
        };
        for range in [350..600, 415..425, 420..430, 590..720, 700..900, 900..1000, 1000..1100] {
            let (here, moved) = tally(range.clone());
            assert_eq!(here, moved, "{range:?}");
        }
    }
}
