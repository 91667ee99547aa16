//! Random-like bytes that a container explains.
//!
//! Two strengths: *proven* where a checksum over the content, or a rule that ciphertext breaks
//! every few hundred bytes, holds; *walked* where lengths that parts of the container state lead
//! from one to the next, which a short run of ciphertext inside one part would survive.

mod chain;
mod cursor;
mod deflate;
mod media;
mod middle;

use std::{ops::Range, sync::LazyLock};

use aho_corasick::packed::Searcher;
use rayon::prelude::*;
use vmglean_formats::{ByteOffset, ReadAt};

use self::{cursor::Cursor, deflate::Inflater};
use super::judge::{Piece, Survey, Tone};

/// Where a container was followed to, and what that is worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Walk {
    /// Proven up to here.
    proven_to: u64,
    /// Walked up to here.
    walked_to: u64,
    /// What it is, for evidence.
    what: String,
    /// What it is, where following it says nothing about its content.
    name: Option<&'static str>,
}

impl Walk {
    fn proven(to: u64, what: &str) -> Self {
        Self { proven_to: to, walked_to: to, what: what.to_owned(), name: None }
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
}

/// A stretch that a container explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Its bytes.
    pub range: Range<u64>,
    /// How well.
    pub strength: Strength,
    /// By what, for people.
    pub what: String,
}

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

/// Explains what can be explained of the random-like and compressed pieces below `size`.
#[must_use]
pub fn explain(source: &dyn ReadAt, survey: &Survey, size: u64) -> Vec<Explained> {
    let pieces: Vec<Piece> = survey
        .pieces
        .iter()
        .filter(|piece| matches!(piece.tone, Tone::Random | Tone::Doubtful | Tone::Packed))
        .take_while(|piece| piece.start < size)
        .copied()
        .collect();
    // Shares do not depend on how many threads there are, so neither does what is found.
    let walked: Vec<Share> = pieces
        .par_chunks(SHARE_PIECES)
        .map_init(Inflater::new, |inflater, pieces| {
            Share::walk(source, pieces, 0, size, SHARE_WALKS, inflater)
        })
        .collect();
    let mut found: Vec<Explained> = Vec::new();
    let (mut done, mut left) = (0, MOST_WALKS);
    let mut inflater = Inflater::new();
    for (pieces, mut share) in pieces.chunks(SHARE_PIECES).zip(walked) {
        // What a container of an earlier share leads over begins no other.
        let is_behind = pieces.first().is_some_and(|piece| before(piece) < done);
        if is_behind || share.walks >= SHARE_WALKS {
            let most = left.max(SHARE_WALKS);
            share = Share::walk(source, pieces, done, size, most, &mut inflater);
            left = left.saturating_sub(share.walks);
        }
        done = done.max(share.done);
        found.extend(share.found);
    }
    found.retain(|e| e.range.start < e.range.end);
    let middles = middle::resume(source, &unexplained(survey, &found, size));
    found.extend(middles);
    found.sort_by_key(|e| e.range.start);
    found
}

/// Where the header of a container that covers the start of `piece` is looked for from.
fn before(piece: &Piece) -> u64 {
    piece.start.saturating_sub(BEFORE_BYTES)
}

/// What some neighbouring pieces lead to.
#[derive(Default)]
struct Share {
    found: Vec<Explained>,
    /// Where the last container ends.
    done: u64,
    /// Containers looked into.
    walks: usize,
}

impl Share {
    /// Looks at `pieces`, of which what lies before `done` is explained.
    fn walk(
        source: &dyn ReadAt,
        pieces: &[Piece],
        done: u64,
        size: u64,
        most: usize,
        inflater: &mut Inflater,
    ) -> Self {
        let mut made = Self { done, ..Self::default() };
        // Up to here no header was found that leads anywhere.
        let mut seen = 0;
        for piece in pieces {
            // What one container ends, another may begin.
            let mut from = before(piece).max(made.done).max(seen);
            let mut to = (piece.start + BEFORE_BYTES / 2).min(size);
            while from < to && made.walks < most {
                let walks = (&mut made.walks, most);
                let Some((start, walk)) = first(source, from..to, size, walks, inflater) else {
                    seen = to;
                    break;
                };
                let end = walk.walked_to.max(walk.proven_to).min(size);
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
}

/// What of the random-like pieces below `size` no container explains yet.
fn unexplained(survey: &Survey, found: &[Explained], size: u64) -> Vec<Range<u64>> {
    let mut all = Vec::new();
    let mut next = 0;
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

fn keep(found: &mut Vec<Explained>, start: u64, walk: &Walk) {
    let start = found.last().map_or(start, |last| start.max(last.range.end));
    let mut put = |range: Range<u64>, strength| {
        if range.start < range.end {
            found.push(Explained { range, strength, what: walk.what.clone() });
        }
    };
    put(start..walk.proven_to, Strength::Proven);
    match walk.name {
        Some(name) => found.push(Explained {
            range: start..walk.walked_to,
            strength: Strength::Named,
            what: name.to_owned(),
        }),
        None => put(start.max(walk.proven_to)..walk.walked_to, Strength::Walked),
    }
}

/// The first container that begins in `range` and leads somewhere.
fn first(
    source: &dyn ReadAt,
    range: Range<u64>,
    size: u64,
    (walks, most): (&mut usize, usize),
    inflater: &mut Inflater,
) -> Option<(u64, Walk)> {
    let length = usize::try_from(range.end - range.start).ok()?;
    let bytes = source.read_up_to(ByteOffset(range.start), length + 64).ok()?;
    for (at, kind) in heads(&bytes, range.start).take_while(|(at, _)| *at < length) {
        if *walks >= most {
            return None;
        }
        *walks += 1;
        let place = range.start + at as u64;
        let mut cursor = Cursor::new(source, place, size);
        let made = match kind {
            Kind::Gzip => deflate::gzip(&mut cursor, inflater),
            Kind::Zip => deflate::zip(&mut cursor, inflater),
            Kind::Zlib(skip) => {
                cursor.skip(skip).and_then(|()| deflate::zlib(&mut cursor, inflater))
            }
            Kind::Png => media::png(&mut cursor),
            Kind::Jpeg => media::jpeg(&mut cursor),
            Kind::Mp4 => media::mp4(&mut cursor),
            Kind::Zstd => chain::zstd(&mut cursor),
            Kind::Xz => chain::xz(&mut cursor),
        };
        if let Some(made) = made
            && made.walked_to.max(made.proven_to) > place
        {
            return Some((place, made));
        }
    }
    None
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gzip,
    Zip,
    /// Bytes before the stream.
    Zlib(u64),
    Png,
    Jpeg,
    Mp4,
    Zstd,
    Xz,
}

/// Magics that count anywhere, so that files inside archives are met.
const MAGICS: [(&[u8], Kind); 7] = [
    (b"PK\x03\x04", Kind::Zip),
    (b"\x89PNG\r\n\x1A\n", Kind::Png),
    (b"\xFD7zXZ\0", Kind::Xz),
    (b"stream\n\x78", Kind::Zlib(7)),
    (b"stream\r\n\x78", Kind::Zlib(8)),
    (b"\x1F\x8B\x08", Kind::Gzip),
    (b"\x28\xB5\x2F\xFD", Kind::Zstd),
];

/// Places in `bytes`, which lie at `origin`, where a container could begin, in order. Short
/// magics count where a sector begins or the container before ended.
fn heads(bytes: &[u8], origin: u64) -> impl Iterator<Item = (usize, Kind)> {
    static FINDER: LazyLock<Option<Searcher>> =
        LazyLock::new(|| Searcher::new(MAGICS.map(|(magic, _)| magic)));
    let mut anywhere = FINDER
        .iter()
        .flat_map(move |finder| finder.find_iter(bytes))
        .filter_map(|found| Some((found.start(), MAGICS.get(found.pattern().as_usize())?.1)))
        .filter(move |&(at, kind)| {
            kind != Kind::Gzip || bytes.get(at + 3).is_some_and(|flags| *flags < 0x20)
        })
        .peekable();
    let first = SECTOR - usize::try_from(origin % SECTOR as u64).unwrap_or(0);
    let sectors = std::iter::once(0).chain((first..bytes.len()).step_by(SECTOR));
    let mut aligned =
        sectors.filter_map(move |at| Some((at, short_kind(bytes.get(at..)?)?))).peekable();
    std::iter::from_fn(move || match (anywhere.peek(), aligned.peek()) {
        (Some((a, _)), Some((b, _))) if b < a => aligned.next(),
        (Some(_), _) => anywhere.next(),
        (None, _) => aligned.next(),
    })
}

/// What begins here by a magic that is too short to count anywhere.
fn short_kind(head: &[u8]) -> Option<Kind> {
    match head {
        [0xFF, 0xD8, 0xFF, ..] => Some(Kind::Jpeg),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Kind::Mp4),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
