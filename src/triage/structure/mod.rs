//! Random-like bytes that a container explains.
//!
//! Two strengths: *proven* where a checksum over the content, or a rule that ciphertext breaks
//! every few hundred bytes, holds; *walked* where lengths that parts of the container state lead
//! from one to the next, which a short run of ciphertext inside one part would survive.

mod chain;
mod cursor;
mod deflate;
mod early;
mod gaps;
mod heads;
mod media;
mod middle;
mod walks;

use std::ops::Range;

use rayon::prelude::*;
use vmglean_formats::{ByteOffset, ReadAt};

pub use self::{early::Early, walks::Walks};
use self::{heads::heads, walks::Walker};
use super::{
    judge::{Piece, Survey, Tone},
    lanes,
};

/// Where a container was followed to, and what that is worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Walk {
    /// Proven up to here.
    proven_to: u64,
    /// Walked up to here.
    walked_to: u64,
    /// What it is, for evidence.
    what: &'static str,
    /// What it is, where following it says nothing about its content.
    name: Option<&'static str>,
    /// Whether its checksum says that something inside it is not as it was.
    is_contradicted: bool,
    /// Where it broke off, from here to there: something may be damaged, or it goes on elsewhere.
    doubted: Option<(u64, u64)>,
    /// What it leads over and says nothing of, in order: tables of its file system, parts that are
    /// not tested.
    says_nothing_of: Vec<Range<u64>>,
}

impl Walk {
    fn proven(to: u64, what: &'static str) -> Self {
        Self { proven_to: to, walked_to: to, what, ..Self::default() }
    }

    fn contradicted(to: u64, what: &'static str) -> Self {
        Self { walked_to: to, what, is_contradicted: true, ..Self::default() }
    }

    /// Where it was followed to, one way or the other.
    fn end(&self) -> u64 {
        self.walked_to.max(self.proven_to)
    }
}

/// How strong an explanation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Encrypted by its owner, or packed so that its parts are long: says what it is, not
    /// whether it is whole.
    Named,
    /// Stated lengths lead on, from one short part to the next.
    Walked,
    /// A checksum holds.
    Proven,
    /// A checksum does not hold, or what leads on breaks off: something inside may be damaged,
    /// and nothing says where. Others may lie over it.
    Contradicted,
}

/// A stretch that a container explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Its bytes.
    pub range: Range<u64>,
    /// How well.
    pub strength: Strength,
    /// By what, for people.
    pub what: &'static str,
}

/// Why bytes round the place where a container breaks off are doubted.
const BROKEN_OFF: &str = "a container breaks off here: it is damaged, or goes on elsewhere";
/// Bytes before random-like ones in which a container's header is looked for.
const BEFORE_BYTES: u64 = 8192;
/// Containers begin where sectors do.
const SECTOR: usize = 512;
/// Pieces that are looked at together, in one thread.
const SHARE_PIECES: usize = 256;
/// Containers looked into for one share at first; a share with more of them waits for what the
/// others leave of [`MOST_WALKS`].
const SHARE_WALKS: usize = 512;
/// Containers looked into at most for shares that have many.
const MOST_WALKS: usize = 200_000;
/// Bytes that walks may pass by without leading anywhere, in all and each time they are tried: a
/// walk that would take more waits until fewer shares divide it.
const MOST_FRUITLESS: u64 = 64 << 30;
/// What each share may spend of it at least.
const FEWEST_FRUITLESS: u64 = 16 << 20;
/// Zeros or holes that end any stream: what is packed has none so long.
const BLANK_BYTES: u64 = 4 << 20;

/// Explains what can be explained of the random-like and compressed pieces below `size`; `walks`
/// are those of this source that were made before.
#[must_use]
pub fn explain(source: &dyn ReadAt, survey: &Survey, size: u64, walks: &Walks) -> Vec<Explained> {
    let pieces: Vec<Piece> = survey
        .pieces
        .iter()
        .filter(|piece| matches!(piece.tone, Tone::Random | Tone::Doubtful | Tone::Packed))
        .take_while(|piece| piece.start < size)
        .copied()
        .collect();
    let blanks = blanks(survey, walks);
    let walker = || Walker::new(source, size, &blanks, walks);
    // Shares do not depend on how many threads there are, so neither does what is found.
    let shares: Vec<&[Piece]> = pieces.chunks(SHARE_PIECES).collect();
    let mut walked = in_parallel(&shares, walker);
    let mut found: Vec<Explained> = Vec::new();
    let (mut done, mut left, mut left_bytes) = (0, MOST_WALKS, MOST_FRUITLESS);
    let mut walker = walker();
    for (pieces, share) in shares.iter().zip(&mut walked) {
        // What a container of an earlier share leads over begins no other.
        let is_behind = pieces.first().is_some_and(|piece| before(piece) < done);
        if is_behind || share.walks >= SHARE_WALKS {
            let most = Most { walks: left.max(SHARE_WALKS), bytes: left_bytes };
            *share = Share::walk(&mut walker, pieces, done, most);
            left = left.saturating_sub(share.walks);
            left_bytes = left_bytes.saturating_sub(share.fruitless);
        }
        done = done.max(share.done);
        found.append(&mut share.found);
    }
    drop(walked);
    for one in &mut found {
        one.range.end = one.range.end.min(size);
    }
    found.retain(|e| e.range.start < e.range.end);
    // Else most of it are archives that were not looked into.
    if !walks.no_unpack {
        found.extend(middle::resume(source, &unexplained(survey, &found, size)));
    }
    found.sort_by_key(|e| e.range.start);
    found
}

/// Walks all shares; those that a long walk broke off again, with more bytes for each.
fn in_parallel<'a>(
    shares: &[&[Piece]],
    walker: impl Fn() -> Walker<'a> + Send + Sync,
) -> Vec<Share> {
    let most = |shares: usize| Most {
        walks: SHARE_WALKS,
        bytes: (MOST_FRUITLESS / (shares as u64).max(1)).max(FEWEST_FRUITLESS),
    };
    let mut each = most(shares.len());
    let mut walked: Vec<Share> = shares
        .par_iter()
        .map_init(&walker, |walker, pieces| Share::walk(walker, pieces, 0, each))
        .collect();
    loop {
        let again: Vec<(&mut Share, &&[Piece])> =
            walked.iter_mut().zip(shares).filter(|(share, _)| share.is_cut).collect();
        let next = most(again.len());
        if again.is_empty() || next.bytes < each.bytes * 2 {
            return walked;
        }
        each = next;
        again.into_par_iter().for_each_init(&walker, |walker, (share, pieces)| {
            *share = Share::walk(walker, pieces, 0, each);
        });
    }
}

/// Where holes and zeros begin that no stream leads through, in order.
fn blanks(survey: &Survey, walks: &Walks) -> Vec<u64> {
    let pieces = survey.pieces.iter().filter(|p| matches!(p.tone, Tone::Absent | Tone::Zero));
    // What streams pass over says nothing.
    let blank = |p: &Piece| {
        let start = walks.behind_gap(p.start);
        (p.end.saturating_sub(start) >= BLANK_BYTES).then_some(start)
    };
    pieces.filter_map(blank).collect()
}

/// Where the header of a container that covers the start of `piece` is looked for from.
fn before(piece: &Piece) -> u64 {
    piece.start.saturating_sub(BEFORE_BYTES)
}

/// How much a share may do.
#[derive(Clone, Copy)]
struct Most {
    /// Containers looked into.
    walks: usize,
    /// Bytes passed by without leading anywhere, and by any one walk.
    bytes: u64,
}

/// What some neighbouring pieces lead to.
#[derive(Default)]
struct Share {
    found: Vec<Explained>,
    /// Where the last container ends.
    done: u64,
    /// Containers looked into.
    walks: usize,
    /// Bytes passed by without leading anywhere.
    fruitless: u64,
    /// Whether a walk would have taken more bytes than it may.
    is_cut: bool,
}

impl Share {
    /// Looks at `pieces`, of which what lies before `done` is explained.
    fn walk(walker: &mut Walker<'_>, pieces: &[Piece], done: u64, most: Most) -> Self {
        let size = walker.size();
        let mut made = Self { done, ..Self::default() };
        // Up to here no header was found that leads anywhere.
        let mut seen = 0;
        for piece in pieces {
            // What one container ends, another may begin.
            let mut from = before(piece).max(made.done).max(seen);
            let mut to = (piece.start + BEFORE_BYTES / 2).min(size);
            while from < to && made.walks < most.walks && !made.is_cut {
                let Some((start, walk)) = made.first(walker, from..to, most) else {
                    seen = to;
                    break;
                };
                let end = walk.end().min(size);
                keep(&mut made.found, start, &walk);
                if end <= start {
                    from = start + SECTOR as u64;
                    continue;
                }
                made.done = end;
                from = end;
                to = (end + BEFORE_BYTES / 2).min(size);
            }
        }
        made
    }

    /// The first container that begins in `range` and leads somewhere.
    fn first(
        &mut self,
        walker: &mut Walker<'_>,
        range: Range<u64>,
        most: Most,
    ) -> Option<(u64, Walk)> {
        let length = usize::try_from(range.end - range.start).ok()?;
        let bytes = walker.source().read_up_to(ByteOffset(range.start), length + 64).ok()?;
        for (at, kind) in heads(&bytes, range.start).take_while(|(at, _)| *at < length) {
            if self.walks >= most.walks {
                return None;
            }
            self.walks += 1;
            let place = range.start + at as u64;
            let Some(made) = walker.walk(place, kind, most.bytes.saturating_sub(self.fruitless))
            else {
                self.is_cut = true;
                return None;
            };
            match made.walk {
                Some(walk) => return Some((place, walk)),
                None => self.fruitless = self.fruitless.saturating_add(made.used),
            }
        }
        None
    }
}

/// What of the random-like pieces below `size` no container explains yet.
fn unexplained(survey: &Survey, found: &[Explained], size: u64) -> Vec<Range<u64>> {
    let mut all = Vec::new();
    let mut next = 0;
    let found: Vec<&Explained> =
        found.iter().filter(|one| one.strength != Strength::Contradicted).collect();
    for piece in survey.pieces.iter().filter(|p| p.tone.may_be_ciphertext()) {
        let mut at = piece.start;
        let end = piece.end.min(size);
        while found.get(next).is_some_and(|e| e.range.end <= at) {
            next += 1;
        }
        for one in found.iter().skip(next).take_while(|e| e.range.start < end) {
            if at < one.range.start {
                all.push(at..one.range.start);
            }
            at = at.max(one.range.end);
        }
        if at < end {
            all.push(at..end);
        }
    }
    all
}

/// Whether bytes are about as varied as ciphertext; a few dozen say nothing.
fn is_varied(bytes: &[u8]) -> bool {
    const FEWEST: usize = 64;
    bytes.len() >= FEWEST && lanes::is_varied(bytes)
}

/// Keeps what a container that begins at `start` says of the bytes that no other explains yet.
fn keep(found: &mut Vec<Explained>, start: u64, walk: &Walk) {
    let last = found.iter().rev().find(|one| one.strength != Strength::Contradicted);
    let start = last.map_or(start, |last| start.max(last.range.end));
    let mut put = |range: Range<u64>, strength, what| {
        let gaps = walk
            .says_nothing_of
            .iter()
            .filter(|gap| range.start < gap.end && gap.start < range.end);
        let ends = gaps.clone().map(|gap| gap.start).chain([range.end]);
        for (from, to) in std::iter::once(range.start).chain(gaps.map(|gap| gap.end)).zip(ends) {
            if from < to {
                found.push(Explained { range: from..to, strength, what });
            }
        }
    };
    put(start..walk.proven_to, Strength::Proven, walk.what);
    if walk.is_contradicted {
        put(start..walk.walked_to, Strength::Contradicted, walk.what);
        return;
    }
    match walk.name {
        Some(name) => put(start..walk.walked_to, Strength::Named, name),
        None => put(start.max(walk.proven_to)..walk.walked_to, Strength::Walked, walk.what),
    }
    if let Some((from, to)) = walk.doubted {
        put(from.max(start)..to, Strength::Contradicted, BROKEN_OFF);
    }
}

#[cfg(test)]
mod tests;
