//! Walks along containers, and those that were made before. Each is the same whoever makes it, and
//! when.

use std::{
    collections::HashMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use vmglean_formats::ReadAt;

use super::{
    Walk, chain,
    cursor::Cursor,
    deflate::{self, Inflater},
    gaps::Gaps,
    heads::Kind,
    media,
};

/// Shorter walks are as soon made again as looked up.
const FEWEST_KEPT_BYTES: u64 = 256 * 1024;
/// Walks kept at most.
const MOST_KEPT: usize = 16_384;
/// A container that leads nowhere, and so far, is one.
const FEWEST_DOUBTED_BYTES: u64 = 4096;
/// Bytes behind where a walk ends that it may have looked at.
const LOOKED_BEHIND: u64 = 1024;

/// A walk to its end.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// Where it leads, if anywhere.
    pub(super) walk: Option<Walk>,
    /// Bytes that it read.
    pub(super) used: u64,
    /// Where it was at last.
    reached: u64,
    /// Where the zeros begin that it was given up for.
    blank: Option<u64>,
}

impl Made {
    /// The same, had nothing behind `end` been there; `None` where only another walk can tell.
    fn until(&self, end: u64) -> Option<Self> {
        if self.reached.saturating_add(LOOKED_BEHIND) <= end {
            return Some(self.clone());
        }
        self.blank.filter(|blank| *blank <= end && end <= self.reached)?;
        let used = self.used.saturating_sub(self.reached - end);
        Some(Self { used, reached: end, ..self.clone() })
    }
}

/// Makes walks, one after another in the same memory.
pub(super) struct Walker<'a> {
    source: &'a dyn ReadAt,
    size: u64,
    blanks: &'a [u64],
    walks: &'a Walks,
    inflater: Inflater,
}

impl<'a> Walker<'a> {
    /// For the first `size` bytes of `source`; no stream leads over one of the `blanks`, which are
    /// in order.
    pub(super) fn new(
        source: &'a dyn ReadAt,
        size: u64,
        blanks: &'a [u64],
        walks: &'a Walks,
    ) -> Self {
        Self { source, size, blanks, walks, inflater: Inflater::new() }
    }

    pub(super) fn source(&self) -> &'a dyn ReadAt {
        self.source
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Follows the container that begins at `place`; `None` where it would pass by more than
    /// `most` bytes.
    pub(super) fn walk(&mut self, place: u64, kind: Kind, most: u64) -> Option<Made> {
        if kind.is_decoded() && self.walks.no_unpack {
            return Some(Made { walk: None, used: 0, reached: place, blank: None });
        }
        let end = if kind.is_stream() { self.blank_behind(place) } else { self.size };
        if let Some(made) = self.walks.get(place, kind, end) {
            return (made.used <= most).then_some(made);
        }
        let made = self.follow(place, kind, end, most)?;
        self.walks.keep(place, kind, made.clone());
        Some(made)
    }

    /// The same, whatever was made before.
    pub(super) fn follow(&mut self, place: u64, kind: Kind, end: u64, most: u64) -> Option<Made> {
        let walks = self.walks;
        let (made, last) = self.follow_over(place, kind, end, (most, Some(&walks.gaps)))?;
        // What goes on behind the last of them is right about them.
        let is_on = |last: u64| made.walk.as_ref().is_some_and(|walk| walk.end() > last);
        if last.is_none_or(is_on) {
            return Some(made);
        }
        let left = most.saturating_sub(made.used);
        let (again, _) = self.follow_over(place, kind, end, (left, None))?;
        Some(Made { used: made.used.saturating_add(again.used), ..again })
    }

    /// Follows it over `gaps`, as if they were not there, and tells where the last one ends that it
    /// met.
    fn follow_over(
        &mut self,
        place: u64,
        kind: Kind,
        end: u64,
        (most, gaps): (u64, Option<&Gaps>),
    ) -> Option<(Made, Option<u64>)> {
        let mut cursor = Cursor::new(self.source, place, end, most);
        if let Some(gaps) = gaps {
            cursor = cursor.over(gaps);
        }
        let inflater = &mut self.inflater;
        let walk = match kind {
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
        // What follows an entry of a ZIP is looked at further behind.
        let blank = inflater.take_blank().filter(|_| kind != Kind::Zip);
        // What breaks off soon may never have been one, unless its first bytes are no chance.
        let is_sure = !matches!(kind, Kind::Gzip | Kind::Jpeg | Kind::Mp4);
        let followed = blank.unwrap_or(cursor.at()).saturating_sub(place);
        let is_doubted =
            |walk: &Walk| walk.doubted.is_some() && (is_sure || followed >= FEWEST_DOUBTED_BYTES);
        let mut walk = walk.filter(|walk| walk.end() > place || is_doubted(walk));
        // Those in zeros say nothing.
        let passed = cursor.passed();
        let passed =
            passed.get(..passed.partition_point(|gap| blank.is_none_or(|at| gap.start < at)));
        let passed = passed.unwrap_or_default();
        let last = passed.last().map(|gap| gap.end);
        if let Some(walk) = &mut walk {
            walk.says_nothing_of.extend_from_slice(passed);
            walk.says_nothing_of.sort_by_key(|range| range.start);
        }
        let made = Made { walk, used: cursor.used(), reached: cursor.at(), blank };
        (made.used <= most).then_some((made, last))
    }

    fn blank_behind(&self, place: u64) -> u64 {
        let next = self.blanks.partition_point(|blank| *blank <= place);
        self.blanks.get(next).map_or(self.size, |blank| self.size.min(*blank))
    }
}

/// Long walks, by where the container begins.
#[derive(Default)]
pub struct Walks {
    gaps: Gaps,
    /// Whether no stream is decoded.
    pub(super) no_unpack: bool,
    made: Mutex<HashMap<(u64, Kind), Slot>>,
    told: Condvar,
}

enum Slot {
    /// Someone is at it.
    Begun,
    Done(Made),
}

impl Walks {
    /// None made yet in the first `size` bytes of `source`; with `no_unpack`, none is made that
    /// decodes a stream.
    #[must_use]
    pub fn new(source: &dyn ReadAt, size: u64, no_unpack: bool) -> Self {
        Self { gaps: Gaps::of(source, size), no_unpack, ..Self::default() }
    }

    /// The first byte from `at` on that is no table of a file system which files pass over.
    pub(super) fn behind_gap(&self, at: u64) -> u64 {
        self.gaps.behind(at)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(u64, Kind), Slot>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The walk from there, where it is made or being made; one that came near `end`, behind which
    /// nothing counts, may have led over it.
    fn get(&self, place: u64, kind: Kind, end: u64) -> Option<Made> {
        let mut all = self.lock();
        loop {
            match all.get(&(place, kind)) {
                None => return None,
                Some(Slot::Done(made)) => return made.until(end),
                Some(Slot::Begun) => {
                    all = self.told.wait(all).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Keeps a walk that is worth it.
    fn keep(&self, place: u64, kind: Kind, made: Made) {
        if made.used >= FEWEST_KEPT_BYTES {
            let mut all = self.lock();
            if all.len() < MOST_KEPT {
                all.entry((place, kind)).or_insert(Slot::Done(made));
            }
        }
    }

    /// Tells others that someone is at it; `None` where it is made, or there is no room.
    pub(super) fn begin(&self, place: u64, kind: Kind) -> Option<Begun<'_>> {
        let mut all = self.lock();
        if all.len() >= MOST_KEPT || all.contains_key(&(place, kind)) {
            return None;
        }
        all.insert((place, kind), Slot::Begun);
        Some(Begun { walks: self, key: (place, kind), made: None })
    }
}

/// A walk that someone is at; whoever waits for it hears of its end, however that comes.
pub(super) struct Begun<'a> {
    walks: &'a Walks,
    key: (u64, Kind),
    pub(super) made: Option<Made>,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut all = self.walks.lock();
        // Short ones too, as long as there is plenty of room.
        let is_roomy = all.len() <= MOST_KEPT / 2;
        match self.made.take().filter(|made| made.used >= FEWEST_KEPT_BYTES || is_roomy) {
            Some(made) => all.insert(self.key, Slot::Done(made)),
            None => all.remove(&self.key),
        };
        self.walks.told.notify_all();
    }
}
