//! Where a container could begin, by its first bytes.

use std::sync::LazyLock;

use aho_corasick::packed::Searcher;

use super::SECTOR;

/// What begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
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

impl Kind {
    /// Whether it is packed throughout, so that it leads over no hole.
    pub(super) fn is_stream(self) -> bool {
        self.is_deflate() || matches!(self, Self::Png | Self::Jpeg)
    }

    /// Whether it is a deflate stream, which is decoded to be followed.
    pub(super) fn is_deflate(self) -> bool {
        matches!(self, Self::Gzip | Self::Zip | Self::Zlib(_))
    }

    /// Whether what it holds is decoded.
    pub(super) fn is_decoded(self) -> bool {
        self.is_deflate() || self == Self::Zstd
    }
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
pub(super) fn heads(bytes: &[u8], origin: u64) -> impl Iterator<Item = (usize, Kind)> {
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
