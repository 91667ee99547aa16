//! What a wider look round a random-looking sample adds.

use super::{
    explain::{self, DataKind},
    sample::{Reader, Sample, repeats},
};
use crate::triage::measure::{BLOCK_BYTES, BlockRecord, ByteHistogram, WINDOW_BYTES};

/// What a wider look says of a hit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wider {
    /// Compressed or coded data.
    Explained {
        /// What shows it.
        why: String,
        /// The bytes in question, where only statistics of their surroundings speak: many such
        /// together must look compressed too.
        summed: Option<Box<ByteHistogram>>,
    },
    /// Random-like however far the look went.
    Unexplained {
        /// First byte of the run of random-like blocks, as far as seen.
        from: u64,
        /// Its end, as far as seen.
        to: u64,
        /// Whether both ends lie inside the look.
        is_isolated: bool,
        /// Chi-square of the whole run.
        chi_square: f64,
    },
    /// The look itself failed.
    Unreadable,
}

/// Random-like blocks may be interrupted by this many others and still be one run: one block in
/// 1,500 of ciphertext falls outside the bounds.
const BRIDGE_BLOCKS: usize = 1;
/// Blocks before a run that may hold the header of what it belongs to.
const HEADER_BLOCKS: usize = 16;
/// A hit this far behind a header says nothing about it any more.
const HEADER_REACH: usize = 64;
/// From this length on xz, 7-Zip and zstd show a chain; without one they are written over.
const CHAIN_BLOCKS: usize = 112;
/// Deflate and its like never look random over this many blocks together.
const WHOLE_SAMPLE_BLOCKS: usize = 16;
/// From this length on a run of random-like blocks is no deflate: of its blocks some four in ten
/// to one in two look random.
const LOOSE_BLOCKS: usize = 64;
/// Blocks to each side that are summed with a hit.
const NEAR_BLOCKS: usize = 32;
/// From this length on a run is judged alone.
const LONG_BLOCKS: usize = 32;
/// Other blocks that may lie between the random-like ones of one compressed file.
const REGION_GAP: usize = 16;
/// Blocks of all samples together: so many places a run of compressed data can begin at.
const PLACES: f64 = 11_008.0;
/// Runs of compressed data that look random by chance are expected at least so often where one
/// is taken for such.
const EXPECTED_RUNS: f64 = 0.05;
/// Above this chi-square a block is no part of a densely coded file.
const DENSE_CHI_SQUARE: f64 = 4000.0;

/// Unexplained runs up to this long, with other data on both sides, occur in healthy guests.
const SHORT_RUN_BYTES: u64 = 128 * 1024;

impl Wider {
    /// Whether it is unexplained, short, and has other data on both sides.
    pub(super) fn is_short(&self) -> bool {
        matches!(self, Self::Unexplained { from, to, is_isolated: true, .. }
            if to - from <= SHORT_RUN_BYTES)
    }
}

/// Whether one short run is all that is unexplained.
pub(super) fn is_one_short_run(looks: &[(Sample, Wider)]) -> bool {
    let mut open = looks.iter().filter(|(_, wider)| !matches!(wider, Wider::Explained { .. }));
    matches!((open.next(), open.next()), (Some((_, one)), None) if one.is_short())
}

/// Hits explained by sums alone are compressed data only if all of them together are no more
/// even than compressed data is. The first few are too few to say so.
pub(super) fn hold_together(looks: &mut [(Sample, Wider)]) {
    let mut all = ByteHistogram::default();
    let mut count = 0;
    for (_, wider) in looks.iter() {
        if let Wider::Explained { summed: Some(sum), .. } = wider {
            all.merge(sum);
            count += 1;
        }
    }
    if count < LEAST_TOGETHER || !all.chi_square().is_random_like() {
        return;
    }
    let chi_square = all.chi_square().value();
    for (hit, wider) in looks {
        if let Wider::Explained { summed: Some(_), .. } = wider {
            let from = hit.strong_at;
            let to = from + (usize::from(hit.strong_run) * BLOCK_BYTES) as u64;
            *wider = Wider::Unexplained { from, to, is_isolated: false, chi_square };
        }
    }
}

/// So many hits explained by sums are judged together.
const LEAST_TOGETHER: usize = 3;

impl Reader<'_> {
    /// Reads up to 1 MiB round a hit and says what it belongs to.
    pub(super) fn widen(&mut self, hit: &Sample, size: u64) -> Wider {
        let wide = WINDOW_BYTES as u64;
        // Half before, half behind: a chain of blocks on either side can be seen.
        let start = hit.strong_at.saturating_sub(wide / 2) / 4096 * 4096;
        let start = start.min(size.saturating_sub(wide) / 4096 * 4096);
        let at = start..start.saturating_add(wide).min(size);
        let Some(record) = self.window(&at) else { return Wider::Unreadable };
        let place = usize::try_from((hit.strong_at.saturating_sub(start)) / 4096).unwrap_or(0);
        let look = Look {
            bytes: self.buffer(),
            blocks: &record.blocks,
            random: record.blocks.iter().map(|block| block.is_random_like()).collect(),
            place,
            end: place + usize::from(hit.strong_run),
        };
        let (first, end) = run_round(&look.random, place);
        let offset = |block: usize| start + (block * BLOCK_BYTES) as u64;
        let part = place * BLOCK_BYTES..(look.end * BLOCK_BYTES).min(look.bytes.len());
        if let Some(why) = explain::structure(look.bytes, &part, end - first < LOOSE_BLOCKS) {
            return Wider::Explained {
                why: format!("at {:#x} {why}", offset(place)),
                summed: None,
            };
        }
        if let Some(name) =
            explain::known(look.bytes, &(first * BLOCK_BYTES..end * BLOCK_BYTES), BLOCK_BYTES)
        {
            let why = format!("at {:#x} {name}", offset(place));
            return Wider::Explained { why, summed: None };
        }
        if let Some((block, name)) = look.header(first) {
            let why = format!("{name} header at {:#x}", offset(block));
            return Wider::Explained { why, summed: None };
        }
        if let Some(why) = look.by_sum(first, end) {
            let own = ByteHistogram::of(look.bytes.get(part).unwrap_or_default());
            let why = format!("at {:#x} {why}", offset(place));
            return Wider::Explained { why, summed: Some(Box::new(own)) };
        }
        Wider::Unexplained {
            from: offset(first),
            to: offset(end).min(at.end),
            is_isolated: first > 0 && end < look.random.len(),
            chi_square: look.sum(first..end).chi_square().value(),
        }
    }
}

/// A window round a hit.
struct Look<'a> {
    bytes: &'a [u8],
    blocks: &'a [BlockRecord],
    random: Vec<bool>,
    /// The hit's first block.
    place: usize,
    /// Past its last one.
    end: usize,
}

impl Look<'_> {
    /// The header that the hit belongs to, and its block.
    fn header(&self, first: usize) -> Option<(usize, &'static str)> {
        let reach = self.place.saturating_sub(HEADER_REACH);
        let to = first.saturating_sub(HEADER_BLOCKS).max(reach);
        let (block, name, kind) = explain::nearest(self.bytes, self.place, to, BLOCK_BYTES)?;
        let is_fit = match kind {
            DataKind::Loose => self.end - self.place < WHOLE_SAMPLE_BLOCKS,
            DataKind::Dense => self.end - block < CHAIN_BLOCKS && self.is_dense(block + 1..first),
            DataKind::Stuffed => false,
        };
        is_fit.then_some((block, name))
    }

    /// Whether one file can reach through these blocks.
    fn is_dense(&self, blocks: std::ops::Range<usize>) -> bool {
        blocks.into_iter().all(|block| {
            self.blocks
                .get(block)
                .and_then(|record| record.chi_square())
                .is_some_and(|chi| chi.value() < DENSE_CHI_SQUARE)
        })
    }

    /// What sums of random-like blocks say: compressed data is not even enough.
    fn by_sum(&self, first: usize, end: usize) -> Option<String> {
        let near = first.max(self.place.saturating_sub(NEAR_BLOCKS))
            ..end.min(self.end.saturating_add(NEAR_BLOCKS));
        let blocks = near.len();
        let chi = self.sum(near.clone()).chi_square();
        let random = near.filter(|block| self.random.get(*block) == Some(&true));
        if repeats(random.filter_map(|block| self.blocks.get(block)), chi) {
            return None;
        }
        if !chi.is_random_like() {
            return Some(format!(
                "chi-square {chi} over the random-like of {blocks} blocks: not even enough for \
                 ciphertext"
            ));
        }
        // Compressed data looks random in some blocks and not in others; a short run is judged
        // with the random-like blocks round it. A long one must stand for itself, and so must one
        // that is too long for the share of random-like blocks round it.
        let length = end - first;
        if length >= LONG_BLOCKS {
            return None;
        }
        let region = region_round(&self.random, first, end);
        let around = region.len() - length;
        let random = region.clone().filter(|block| self.random.get(*block) == Some(&true)).count();
        let share = random.saturating_sub(length) as f64 / around.max(1) as f64;
        if around == 0 || share.powf(length as f64) * PLACES < EXPECTED_RUNS {
            return None;
        }
        let chi = self.sum(region).chi_square();
        (!chi.is_random_like()).then(|| {
            format!("chi-square {chi} over {random} random-like blocks round it: compressed")
        })
    }

    /// The random-like ones of these blocks, summed.
    fn sum(&self, blocks: std::ops::Range<usize>) -> ByteHistogram {
        let mut sum = ByteHistogram::default();
        for block in blocks.filter(|block| self.random.get(*block) == Some(&true)) {
            let to = ((block + 1) * BLOCK_BYTES).min(self.bytes.len());
            sum.add(self.bytes.get(block * BLOCK_BYTES..to).unwrap_or_default());
        }
        sum
    }
}

/// The blocks round a run, as far as random-like ones follow each other loosely.
fn region_round(random: &[bool], first: usize, end: usize) -> std::ops::Range<usize> {
    let is = |i: usize| random.get(i).copied().unwrap_or(false);
    let (mut from, mut to) = (first, end);
    while let Some(by) = (1..=REGION_GAP).find(|by| from >= *by && is(from - by)) {
        from -= by;
    }
    while let Some(by) = (0..REGION_GAP).find(|by| is(to + by)) {
        to += by + 1;
    }
    from..to
}

/// The run of random-like blocks round `place`, short interruptions bridged.
fn run_round(random: &[bool], place: usize) -> (usize, usize) {
    let is = |i: usize| random.get(i).copied().unwrap_or(false);
    let mut first = place;
    while first > 0 {
        match (1..=BRIDGE_BLOCKS + 1).find(|by| first >= *by && is(first - by)) {
            Some(by) => first -= by,
            None => break,
        }
    }
    let mut end = place + 1;
    while end < random.len() {
        match (0..=BRIDGE_BLOCKS).find(|by| is(end + by)) {
            Some(by) => end += by + 1,
            None => break,
        }
    }
    (first, end.min(random.len()))
}

#[cfg(test)]
mod tests {
    use super::run_round;

    #[test]
    fn a_run_bridges_one_block_but_not_two() {
        let bits = |text: &str| -> Vec<bool> { text.bytes().map(|b| b == b'x').collect() };
        assert_eq!(run_round(&bits("..xx.xxx..x"), 3), (2, 8));
        assert_eq!(run_round(&bits("xxxx"), 0), (0, 4));
        assert_eq!(run_round(&bits("....x"), 4), (4, 5));
    }
}
