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

use std::ops::Range;

use vmglean_formats::ReadAt;

use self::cursor::Cursor;
use super::judge::{Survey, Tone};

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

/// Containers looked into at most.
const MOST_WALKS: usize = 200_000;
/// Bytes before random-like ones in which a container's header is looked for.
const BEFORE_BYTES: u64 = 8192;
/// Containers begin where sectors do.
const SECTOR: usize = 512;

/// Explains what can be explained of the random-like and compressed pieces below `size`.
#[must_use]
pub fn explain(source: &dyn ReadAt, survey: &Survey, size: u64) -> Vec<Explained> {
    let mut found: Vec<Explained> = Vec::new();
    let mut done = 0;
    let mut walks = 0;
    for piece in &survey.pieces {
        if !matches!(piece.tone, Tone::Random | Tone::Doubtful | Tone::Packed)
            || piece.start >= size
        {
            continue;
        }
        // What one container ends, another may begin.
        let mut from = piece.start.saturating_sub(BEFORE_BYTES).max(done);
        let mut to = (piece.start + BEFORE_BYTES / 2).min(size);
        while from < to && walks < MOST_WALKS {
            let Some((start, walk)) = first(source, from..to, size, &mut walks) else { break };
            let end = walk.walked_to.max(walk.proven_to).min(size);
            keep(&mut found, start, &walk);
            if end <= start {
                from = start + SECTOR as u64;
                continue;
            }
            done = end;
            from = end;
            to = (end + BEFORE_BYTES / 2).min(size);
        }
    }
    found.retain(|e| e.range.start < e.range.end);
    let middles = middle::resume(source, &unexplained(survey, &found, size));
    found.extend(middles);
    found.sort_by_key(|e| e.range.start);
    found
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
    walks: &mut usize,
) -> Option<(u64, Walk)> {
    let length = usize::try_from(range.end - range.start).ok()?;
    let bytes = source.read_up_to(vmglean_formats::ByteOffset(range.start), length + 64).ok()?;
    let mut at = 0;
    while at < length.min(bytes.len()) {
        let place = range.start + at as u64;
        let head = bytes.get(at..).unwrap_or_default();
        let aligned = place.is_multiple_of(SECTOR as u64) || at == 0;
        if let Some(walk) = kind_of(head, aligned) {
            *walks += 1;
            let mut cursor = Cursor::new(source, place, size);
            let made = match walk {
                Kind::Gzip => deflate::gzip(&mut cursor),
                Kind::Zip => deflate::zip(&mut cursor),
                Kind::Zlib(skip) => cursor.skip(skip).and_then(|()| deflate::zlib(&mut cursor)),
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
            if *walks >= MOST_WALKS {
                return None;
            }
        }
        at += 1;
    }
    None
}

#[derive(Clone, Copy)]
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

/// What begins here. Long magics count anywhere, so that files inside archives are met; short
/// ones where a sector begins or the container before ended.
fn kind_of(head: &[u8], aligned: bool) -> Option<Kind> {
    match head {
        [b'P', b'K', 3, 4, ..] => Some(Kind::Zip),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Kind::Png),
        [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Some(Kind::Xz),
        [b's', b't', b'r', b'e', b'a', b'm', b'\n', 0x78, ..] => Some(Kind::Zlib(7)),
        [b's', b't', b'r', b'e', b'a', b'm', b'\r', b'\n', 0x78, ..] => Some(Kind::Zlib(8)),
        [0x1F, 0x8B, 8, flags, ..] if *flags < 0x20 => Some(Kind::Gzip),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Kind::Zstd),
        [0xFF, 0xD8, 0xFF, ..] if aligned => Some(Kind::Jpeg),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] if aligned => Some(Kind::Mp4),
        _ => None,
    }
}
