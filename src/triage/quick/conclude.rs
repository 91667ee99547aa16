//! From what was seen to a verdict with its reasons.

use super::{
    disk::Seen,
    figures::{Figures, figures, ratio},
    support::{self, Support},
    verdict::{DiskContext, DiskJudgement, DiskState, ExtentKind, Method, Share},
    wider::Wider,
};
use crate::finding::{Evidence, EvidenceKind};

/// From this share on a disk counts as encrypted, below as partly.
const NEARLY_ALL: f64 = 0.95;
/// How many short unexplained runs are let pass: one, after as many samples again showed no
/// other.
const SHORT_RUNS_PASSED: u64 = 1;

/// From this share on, of the disk or of its data, one short pattern over and over is no chance.
const MUCH_FILLED: f64 = 0.1;
const MOST_FILLED: f64 = 0.5;
pub(super) fn conclude(seen: &Seen, context: &DiskContext) -> DiskJudgement {
    let figures = figures(seen);
    let supports = support::collect(seen, context);
    let mut evidence = supports.evidence.clone();
    evidence.extend(statistics(seen, &figures));
    let (state, reason) = decide(seen, context, &figures, &supports);
    let is_hit = matches!(state, DiskState::Encrypted | DiskState::PartlyEncrypted);
    let encrypted = match state {
        DiskState::Encrypted | DiskState::PartlyEncrypted => hit_share(seen, &figures, &supports),
        DiskState::Untouched => Some(Share { estimate: 0.0, low: 0.0, ..figures.share }),
        DiskState::Damaged | DiskState::Undetermined => None,
    };
    DiskJudgement {
        state,
        reason,
        encrypted,
        zero_share: figures.zero,
        random_like_share: figures.random,
        head_is_random: seen.structures.head_is_random,
        has_small_runs: supports.has_lattice || !supports.fine.is_empty(),
        method: seen.method,
        samples: u32::try_from(seen.planned).unwrap_or(u32::MAX),
        read_bytes: seen.read_bytes,
        data_bytes: seen.data_bytes,
        original_size_bytes: seen.size,
        footer: seen.footer.clone().filter(|footer| !footer.evidence.is_empty()),
        family: support::name_family(seen, context, is_hit),
        evidence,
        unreadable: seen.unreadable.clone(),
    }
}

/// The share that a footer's own geometry states, once it is believed.
fn predicted(seen: &Seen) -> Option<Share> {
    let layers = &seen.footer.as_ref()?.layers;
    let prediction = layers.iter().filter_map(|layer| layer.prediction.as_ref()).next_back()?;
    if !agrees(seen, prediction) {
        return None;
    }
    let share = ratio(prediction.encrypted_bytes() as f64, prediction.size_bytes as f64);
    Some(Share { estimate: share, low: share, high: share })
}

/// The share of a disk that is hit; `None` where the damage is finer than blocks or repeats its
/// key stream, so that none of them counts as ciphertext.
fn hit_share(seen: &Seen, figures: &Figures, supports: &Support) -> Option<Share> {
    // Where all was read, nothing of it lies outside the samples.
    let is_countable =
        seen.method == Method::Sampled && !supports.has_lattice && supports.fine.is_empty();
    let destroyed = seen.structures.destroyed.iter().map(|one| one.length_bytes).sum::<u64>();
    let least = ratio(destroyed as f64, seen.size as f64).min(1.0);
    let counted = Some(figures.share)
        .filter(|share| is_countable || share.estimate > 0.0)
        // What a sample is too coarse for is ciphertext all the same.
        .map(|share| Share {
            estimate: share.estimate.max(least),
            low: share.low.max(least),
            high: share.high.max(least),
        });
    predicted(seen).or(counted)
}

/// Whether samples inside the stated ranges look random, or the ranges are too fine to sample.
fn agrees(seen: &Seen, prediction: &crate::families::Prediction) -> bool {
    let inside: Vec<bool> = seen
        .samples
        .iter()
        .chain(&seen.head)
        .filter(|sample| {
            let from = sample.offset_bytes;
            prediction.contains(from) && prediction.contains(from.saturating_add(4095))
        })
        .filter(|sample| {
            // Both ends inside two runs of a fine lattice say nothing.
            prediction.combs.iter().all(|comb| comb.count == 1 || comb.run_bytes >= 4096)
                || sample.first_is_random
        })
        .map(|sample| sample.first_is_random)
        .collect();
    let random = inside.iter().filter(|random| **random).count();
    random * 50 >= inside.len() * 49
}

/// A share for a reader: never 0 where there is something.
pub(crate) fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value <= 0.0 {
        "0 %".to_owned()
    } else if value < 0.0001 {
        "under 0.0001 %".to_owned()
    } else if value < 0.1 {
        format!("{value:.4} %")
    } else {
        format!("{value:.1} %")
    }
}

fn how_read(seen: &Seen) -> String {
    match seen.method {
        Method::Full => "all its data".to_owned(),
        Method::Sampled => format!("{} samples", seen.planned),
    }
}

fn decide(
    seen: &Seen,
    context: &DiskContext,
    figures: &Figures,
    supports: &Support,
) -> (DiskState, String) {
    use DiskState::{Damaged, Undetermined};
    if seen.size == 0 {
        return (Damaged, "the file is empty".to_owned());
    }
    let read = how_read(seen);
    if seen.samples.is_empty() && seen.failures > 0 {
        let why = seen.unreadable.first().map_or("no reason given", |(_, _, why)| why.as_str());
        return (Undetermined, format!("nothing of it could be read: {why}"));
    }
    let head_random = seen.structures.head_is_random;
    let anything = figures.unexplained > 0
        || head_random
        || figures.share.estimate > 0.0
        || !seen.structures.destroyed.is_empty();
    // A short piece in a disk whose structures hold is an archive's or a key's more often than
    // not: a name that was changed does not make it ciphertext.
    let is_short_piece = supports.is_name_alone
        && seen.structures.head_is_intact
        && figures.unexplained <= figures.short;
    if supports.proves() && (anything && !is_short_piece || supports.has_lattice) {
        return hit(seen, figures, supports);
    }
    if supports.is_footer_proven {
        return (
            Undetermined,
            format!(
                "{}, but none of {read} is ciphertext; map it whole before trusting it",
                supports.say()
            ),
        );
    }
    if let Some(where_said) = &context.legit_encryption {
        let what = format!(
            "encrypted by its owner ({where_said}); below that layer ciphertext cannot be told \
             from ransomware's, and nothing else speaks for an attack"
        );
        return (Undetermined, what);
    }
    if supports.tips(head_random) && anything && !is_short_piece {
        return hit(seen, figures, supports);
    }
    if let Some(expected) = context.expected_bytes.filter(|expected| *expected > seen.size) {
        return (
            Damaged,
            format!("the file ends at {} of {expected} bytes that its descriptor gives", seen.size),
        );
    }
    without_attack(seen, context, figures, supports, &read)
}

/// Encrypted or partly, with the share that was found or stated.
fn hit(seen: &Seen, figures: &Figures, supports: &Support) -> (DiskState, String) {
    let stated = predicted(seen);
    let Some(share) = hit_share(seen, figures, supports) else {
        let why = "encrypted, how much of it cannot be counted by blocks";
        return (DiskState::PartlyEncrypted, format!("{why}: {}", supports.say()));
    };
    let state = if share.estimate >= NEARLY_ALL {
        DiskState::Encrypted
    } else {
        DiskState::PartlyEncrypted
    };
    let how = match (stated, seen.method) {
        (Some(_), _) => "as its footer states".to_owned(),
        (None, Method::Full) => "of all data read".to_owned(),
        (None, Method::Sampled) => format!(
            "between {} and {} by {} samples",
            percent(share.low),
            percent(share.high),
            seen.planned
        ),
    };
    let reason = format!("{} is ciphertext ({how}): {}", percent(share.estimate), supports.say());
    (state, reason)
}

/// Nothing tips into an attack: intact, damaged otherwise, or undetermined.
fn without_attack(
    seen: &Seen,
    context: &DiskContext,
    figures: &Figures,
    supports: &Support,
    read: &str,
) -> (DiskState, String) {
    use DiskState::{Damaged, Undetermined, Untouched};
    let structures = &seen.structures;
    let suspicion = supports.suspicion();
    if let Some((_, by)) = structures.owner_encrypted.first() {
        return (
            Undetermined,
            format!(
                "holds a {by} volume whose header is intact; inside it ciphertext cannot be told \
                 from ransomware's{suspicion}"
            ),
        );
    }
    if figures.zero >= 1.0 - f64::EPSILON && !structures.is_unused {
        return (
            Undetermined,
            format!(
                "{read} show nothing but zeros and holes: a new disk looks like this, and so does \
                 a wiped one{suspicion}"
            ),
        );
    }
    // In an attacked folder no random-looking piece is taken for an archive's.
    let is_attacked = context.note_in_folder || context.siblings_hit > 0 || supports.is_renamed;
    let passed = if is_attacked { 0 } else { SHORT_RUNS_PASSED };
    if structures.head_is_random
        || figures.unexplained > passed
        || figures.unexplained > figures.short
    {
        let what = if figures.random >= 0.9 {
            "random from end to end without footer or header: a disk encrypted by its owner \
             looks the same"
        } else if structures.head_is_random {
            "its first bytes look random"
        } else {
            "parts look random and belong to no known container; archives can look like this"
        };
        return (
            Undetermined,
            format!("{what} ({} of it by {read}){suspicion}", percent(figures.random)),
        );
    }
    if figures.unlooked > 0 {
        return (
            Undetermined,
            format!(
                "{} of {} random-looking places were not looked at closely enough to tell archives \
                 from ciphertext{suspicion}",
                figures.unlooked, seen.hits
            ),
        );
    }
    if !supports.fine.is_empty() {
        return (Undetermined, format!("{read} show marks of encryption{suspicion}"));
    }
    if seen.lone.looks_encrypted() {
        return (
            Undetermined,
            format!(
                "{} single blocks strewn over it look random, and {}{suspicion}",
                seen.lone.blocks,
                seen.lone.words()
            ),
        );
    }
    if seen.failures > 0 {
        return (
            Undetermined,
            format!("{} places could not be read; the rest shows no ciphertext", seen.failures),
        );
    }
    if let Some(first) = structures.damaged.first() {
        return (Damaged, format!("{}; {read} show no ciphertext", first.detail));
    }
    if figures.filled > MUCH_FILLED || figures.filled_of_data > MOST_FILLED {
        return (
            Undetermined,
            format!(
                "{} of it is one short pattern over and over: a wiped disk looks like this{suspicion}",
                percent(figures.filled)
            ),
        );
    }
    if let Some(reason) = doubtful(seen) {
        return (Undetermined, format!("{reason}; {read} show no ciphertext{suspicion}"));
    }
    if let Some(footer) = seen.footer.as_ref().filter(|footer| footer.appended_bytes() > 0) {
        return (
            Undetermined,
            format!(
                "{} bytes stand behind its end, or its end is cut off; {read} show no \
                 ciphertext{suspicion}",
                footer.appended_bytes()
            ),
        );
    }
    if !structures.suspicious.is_empty() || !suspicion.is_empty() && !structures.head_is_intact {
        let what = structures
            .suspicious
            .first()
            .map_or("no structure proves it intact", |first| first.detail.as_str());
        return (Undetermined, format!("{what}; {read} show no ciphertext{suspicion}"));
    }
    if structures.intact.is_empty() || !structures.head_is_intact {
        let kind = match context.kind {
            ExtentKind::Memory => "guest memory has no structure to check",
            _ => "no structure known to us stands at its places",
        };
        return (
            Undetermined,
            format!(
                "{kind}; {read} show no ciphertext (less than {} at 99.9 %)",
                percent(figures.share.high)
            ),
        );
    }
    let mut reason = format!(
        "{} hold, and {read} show no ciphertext (less than {} at 99.9 %)",
        names(structures.intact.iter().map(|one| one.detail.as_str())),
        percent(figures.share.high)
    );
    if figures.compressed > 0.01 {
        reason.push_str(&format!("; {} is compressed data", percent(figures.compressed)));
    }
    if figures.unexplained > 0 {
        reason.push_str("; one short random-looking piece, as archives leave");
    }
    if supports.is_renamed {
        reason.push_str("; renamed, but not encrypted");
    }
    (Untouched, reason)
}

/// Why a place that a volume is promised at cannot be called whole.
fn doubtful(seen: &Seen) -> Option<String> {
    if let Some(first) = seen.structures.doubtful.first() {
        return Some(format!("{} (at {:#x})", first.detail, first.offset_bytes));
    }
    let is_filled = |range: &&std::ops::Range<u64>| {
        seen.samples.iter().any(|sample| {
            range.contains(&sample.offset_bytes) && sample.zero_blocks < sample.blocks
        })
    };
    let blank = seen.structures.blank.iter().find(is_filled)?;
    Some(format!("zeros at the start of a partition that holds data (at {:#x})", blank.start))
}

/// The first three, then how many more.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.collect();
    let shown = all.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    match all.len().checked_sub(3) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// Evidence that a person can look up: the figures, and hits with their place.
fn statistics(seen: &Seen, figures: &Figures) -> Vec<Evidence> {
    let mut evidence = vec![Evidence {
        kind: EvidenceKind::Statistic,
        offset_bytes: 0,
        length_bytes: seen.size,
        detail: format!(
            "{}: {} zero or hole, {} random-like, {} compressed; {} of {} hits unexplained",
            how_read(seen),
            percent(figures.zero),
            percent(figures.random),
            percent(figures.compressed),
            figures.unexplained,
            seen.hits
        ),
    }];
    for (hit, wider) in seen.wider.iter().take(8) {
        let (offset, length, detail) = match wider {
            Wider::Explained { why, .. } => {
                (hit.strong_at, u64::from(hit.strong_blocks) * 4096, why.clone())
            }
            Wider::Unexplained { from, to, chi_square, .. } => (
                *from,
                to - from,
                format!("chi-square {chi_square:.1} over the run; ciphertext has 255 ± 23"),
            ),
            Wider::Unreadable => continue,
        };
        evidence.push(Evidence {
            kind: EvidenceKind::Statistic,
            offset_bytes: offset,
            length_bytes: length,
            detail,
        });
    }
    for (name, end) in [("head", &seen.head), ("tail", &seen.tail)] {
        if let Some(sample) = end.filter(|sample| sample.is_hit()) {
            evidence.push(Evidence {
                kind: EvidenceKind::Statistic,
                offset_bytes: sample.strong_at,
                length_bytes: u64::from(sample.strong_blocks) * 4096,
                detail: format!("the {name} looks random, chi-square {:.1}", sample.chi_square),
            });
        }
    }
    evidence
}
