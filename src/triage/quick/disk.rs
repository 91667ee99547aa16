//! A disk looked at: footer, structure, samples, and a wider look at what is ambiguous.

use std::ops::Range;

use super::{
    conclude, fit,
    fit::Fit,
    plan,
    sample::{Lone, Reader, Sample},
    structure::{self, DiskPart, Structures},
    verdict::{DiskContext, DiskJudgement, ExtentKind, Method, QuickOptions},
    wider::{self, Wider},
};
use crate::{
    families::{Families, SuffixMeaning},
    finding::in_one_line,
    source::Source,
    triage::{
        footer::{FooterQuestion, FooterReading, read_footer},
        measure::WINDOW_BYTES,
    },
};

/// Everything seen of one disk, before a verdict is drawn from it.
pub(super) struct Seen {
    pub(super) size: u64,
    pub(super) footer: Option<FooterReading>,
    pub(super) structures: Structures,
    pub(super) samples: Vec<Sample>,
    /// Samples asked for, the unreadable ones included.
    pub(super) planned: u64,
    pub(super) method: Method,
    /// Bytes that are no holes.
    pub(super) data_bytes: u64,
    /// Hits that lie in a volume its owner encrypted.
    pub(super) owner_hits: u64,
    /// What wider looks said, with the hit's place.
    pub(super) wider: Vec<(Sample, Wider)>,
    /// Hits that ask for an explanation, looked at or not.
    pub(super) hits: u64,
    /// Short runs of random-like blocks, too short to be hits.
    pub(super) lone: Lone,
    /// Distance in bytes at which dense pieces lie, and how many stretches of 32 KiB say so.
    pub(super) weave: Option<(usize, u32)>,
    /// Whether the dense stretches in zeros are ciphertext by their bytes and distances.
    pub(super) has_islands: bool,
    pub(super) fit: Option<Fit>,
    pub(super) head: Option<Sample>,
    pub(super) tail: Option<Sample>,
    pub(super) unreadable: Vec<(u64, u64, String)>,
    pub(super) failures: u64,
    pub(super) read_bytes: u64,
}

/// Judges a disk's file without reading it whole.
///
/// Read are its end, the known places, [`QuickOptions::samples`] samples, both ends, and at most
/// [`QuickOptions::escalation_bytes`] round samples that look random; where exactly one of them
/// stays unexplained and is short, as many samples again. The same file gives the same judgement.
#[must_use]
pub fn judge_disk(
    source: &dyn Source,
    context: &DiskContext,
    options: &QuickOptions,
    families: &Families,
) -> DiskJudgement {
    let seen = look(source, context, None, options, families);
    conclude::conclude(&seen, context)
}

/// Judges one file of a disk that lies in several: structures are those of the whole disk, by
/// its own addresses, everything else is the file's own.
#[must_use]
pub fn judge_part(
    source: &dyn Source,
    context: &DiskContext,
    part: &DiskPart<'_>,
    options: &QuickOptions,
    families: &Families,
) -> DiskJudgement {
    let seen = look(source, context, Some(part), options, families);
    conclude::conclude(&seen, context)
}

fn look(
    source: &dyn Source,
    context: &DiskContext,
    part: Option<&DiskPart<'_>>,
    options: &QuickOptions,
    families: &Families,
) -> Seen {
    let mut unreadable = Vec::new();
    let mut failures = 0;
    let footer = match read_footer(source, &footer_question(context), families) {
        Ok(footer) => Some(footer),
        Err(error) => {
            failures += 1;
            let length = source.len_bytes();
            unreadable.push((length.saturating_sub(512), 512.min(length), in_one_line(&error)));
            None
        }
    };
    let size = footer.as_ref().map_or(source.len_bytes(), |footer| footer.original_size_bytes);
    let mut structures = match part {
        Some(part) => part.structures(),
        None => structure::look(source, size, context.kind),
    };
    failures += structures.unreadable.len() as u64;
    unreadable.append(&mut structures.unreadable);
    let data = plan::data(source, size);
    let mut reader = Reader::new(source);
    let sample_bytes = options.sample_bytes.clamp(4096, WINDOW_BYTES as u32) / 4096 * 4096;
    let count = options.samples.max(1);
    let is_full = options.full || data.is_covered_by(count, sample_bytes);
    let mut planned = 0u64;
    let mut samples = Vec::new();
    if is_full {
        for at in data.pieces(u64::from(sample_bytes)) {
            planned += 1;
            samples.extend(reader.sample(&at));
        }
    } else {
        for at in data.samples(count, u64::from(sample_bytes), size) {
            planned += 1;
            samples.extend(reader.sample(&at));
        }
    }
    let ends = u64::from(sample_bytes);
    let end_sample = |at: Range<u64>, reader: &mut Reader<'_>| {
        (at.start < at.end && at.end <= size).then(|| reader.sample(&at)).flatten()
    };
    let head = end_sample(0..ends.min(size), &mut reader);
    let tail_at = size.saturating_sub(ends) / 512 * 512;
    let tail = end_sample(tail_at..size, &mut reader);
    if let Some(part) = part.filter(|part| !part.is_first()) {
        structures.head_is_random =
            head.as_ref().is_some_and(|head| starts_foreign(&mut reader, head, size));
        let is_blank = samples.iter().all(|sample| sample.zero_blocks == sample.blocks);
        structures.is_unused = is_blank && part.is_unused();
    }
    let fit =
        if is_sampled_evenly(context.kind) { fit::fit(&samples, size, families) } else { None };
    let budget = if is_full { u64::MAX } else { options.escalation_bytes };
    let (mut open, mut owner_hits) = open_hits(&samples, &structures);
    let mut wider = escalate(&mut reader, &open, budget, size);
    // One short run alone is what a key file or a bit of an archive leaves, and what a share of
    // one percent leaves in one of a hundred disks: samples elsewhere tell them apart.
    if !is_full && wider::is_one_short_run(&wider) && wider.len() == open.len() {
        planned += u64::from(count);
        let more: Vec<Sample> = data
            .samples(count, u64::from(sample_bytes), !size)
            .iter()
            .filter_map(|at| reader.sample(at))
            .collect();
        let (more_open, more_owned) = open_hits(&more, &structures);
        wider.extend(escalate(&mut reader, &more_open, budget, size));
        owner_hits += more_owned;
        open.extend(more_open);
        samples.extend(more);
    }
    wider::hold_together(&mut wider);
    unreadable.append(&mut reader.unreadable);
    failures += reader.failures;
    Seen {
        size,
        footer,
        read_bytes: structures.read_bytes + reader.read_bytes,
        structures,
        planned,
        method: if is_full { Method::Full } else { Method::Sampled },
        data_bytes: data.bytes,
        owner_hits,
        hits: open.len() as u64,
        wider,
        fit,
        head,
        tail,
        unreadable,
        failures,
        weave: reader.weave.found(),
        has_islands: reader.islands.look_encrypted(),
        lone: reader.lone,
        samples,
    }
}

/// Whether the first bytes of a part look random and no archive goes on there.
fn starts_foreign(reader: &mut Reader<'_>, head: &Sample, size: u64) -> bool {
    let is_compressed = head.compressed_blocks > 0 && head.strong_blocks == 0;
    let is_open = head.first_is_random && !is_compressed;
    is_open && !(head.is_hit() && matches!(reader.widen(head, size), Wider::Explained { .. }))
}

/// Rules speak of offsets in the file, whatever the file holds; compressed grains look random.
fn is_sampled_evenly(kind: ExtentKind) -> bool {
    kind != ExtentKind::Stream
}

/// What the end of this disk is asked.
#[must_use]
pub fn footer_question(context: &DiskContext) -> FooterQuestion {
    let whole = match context.kind {
        ExtentKind::Flat
        | ExtentKind::Sparse
        | ExtentKind::Cowd
        | ExtentKind::SeSparse
        | ExtentKind::Stream
        | ExtentKind::Memory => true,
        ExtentKind::Other => false,
    };
    let mut named: Vec<String> = context
        .suffixes
        .iter()
        .filter(|suffix| suffix.meaning == SuffixMeaning::Known)
        .flat_map(|suffix| suffix.families.iter().map(|family| family.family.clone()))
        .chain(context.note_families.iter().map(|hint| hint.family.clone()))
        .collect();
    named.sort();
    named.dedup();
    FooterQuestion { whole_sectors: whole, expected_bytes: context.expected_bytes, named }
}

/// Hits outside volumes that their owner encrypted, and how many lie inside.
fn open_hits(samples: &[Sample], structures: &Structures) -> (Vec<Sample>, u64) {
    let mut owner = 0;
    let open = samples
        .iter()
        .filter(|sample| sample.is_hit())
        .filter(|sample| {
            let inside = structures
                .owner_encrypted
                .iter()
                .any(|(range, _)| range.contains(&sample.strong_at));
            owner += u64::from(inside);
            !inside
        })
        .copied()
        .collect();
    (open, owner)
}

/// As many hits are looked at in any case, for the share.
const LEAST_LOOKS: usize = 12;
/// So many unexplained ones settle it: the disk is not called untouched any more.
const ENOUGH_UNEXPLAINED: usize = 3;

/// Looks wider at hits, in an order that spreads over the disk, as far as the budget goes: at
/// all of them unless some stay unexplained.
fn escalate(
    reader: &mut Reader<'_>,
    open: &[Sample],
    budget: u64,
    size: u64,
) -> Vec<(Sample, Wider)> {
    let most = usize::try_from(budget / WINDOW_BYTES as u64).unwrap_or(usize::MAX).min(open.len());
    let mut looks: Vec<(Sample, Wider)> = Vec::new();
    let mut unexplained = 0;
    for hit in spread(open.len()).filter_map(|i| open.get(i)).take(most) {
        if looks.len() >= LEAST_LOOKS && unexplained >= ENOUGH_UNEXPLAINED {
            break;
        }
        let wider = reader.widen(hit, size);
        unexplained += usize::from(matches!(wider, Wider::Unexplained { .. }));
        looks.push((*hit, wider));
    }
    looks.sort_by_key(|(hit, _)| hit.strong_at);
    looks
}

/// All numbers below `count`, each next one far from those before: by halves.
fn spread(count: usize) -> impl Iterator<Item = usize> {
    let whole = count.next_power_of_two().max(2);
    let shift = usize::BITS - whole.trailing_zeros();
    (0..whole).map(move |i| i.reverse_bits() >> shift).filter(move |i| *i < count)
}
