//! A sweep that reads everything judges disks by their damage map, byte by byte.

use std::num::NonZeroUsize;

use super::{Job, strip, twins};
use crate::{
    finding::{Evidence, EvidenceKind},
    map::{MapOptions, Mapped, map_source},
    source::Source,
    triage::{
        judge::State,
        pass::{Cancel, PassOptions},
        quick::{
            DiskContext, DiskJudgement, DiskState, ExtentKind, Share, footer_question, percent,
        },
    },
};

/// From this share on a disk counts as encrypted, below as partly.
const NEARLY_ALL: f64 = 0.95;
/// Where nothing but the map speaks for an attack, a smaller share proves none.
const LEAST_ALONE: f64 = 0.001;
/// Runs of the map that are told as evidence.
const MOST_TOLD: usize = 8;

/// What the damage map of this file adds to `judged`, which rests on the same bytes, and the strip
/// of a flat disk; `None` when time ran out on the way. What the structures say stands: a map only adds where the damage lies
/// and how much it is, and finds what no block shows.
pub(super) fn with_map(
    source: &dyn Source,
    context: &DiskContext,
    mut judged: DiskJudgement,
    is_later_part: bool,
    job: &Job<'_>,
) -> Option<(DiskJudgement, String)> {
    // Compressed grains look random by nature, and a guest's memory follows no disk's rules.
    if matches!(context.kind, ExtentKind::Stream | ExtentKind::Memory | ExtentKind::Other) {
        return Some((judged, String::new()));
    }
    let options = MapOptions {
        // The sweep's threads have a disk each.
        pass: PassOptions { jobs: NonZeroUsize::MIN, ..PassOptions::default() },
        // A later part of a disk may begin with anything.
        is_disk: context.kind == ExtentKind::Flat && !is_later_part,
        footer: footer_question(context),
        ..MapOptions::default()
    };
    let cancel = Cancel::default();
    let mut told = |_| {
        if job.is_over() {
            cancel.stop();
        }
    };
    let mapped = map_source(source, &options, job.families, None, &cancel, &mut told).ok()?;
    if mapped.pass.stopped.is_some() {
        return None;
    }
    // A sparse extent's grains lie in any order: its file says nothing of places on the disk.
    let strip = if options.is_disk { strip::of_map(&mapped) } else { String::new() };
    // Containers of known kinds explain all that looks random, and it is the same over and over.
    if judged.state == DiskState::Untouched && twins::are_copies(source, &mapped.map.runs) {
        judged.reason.push_str("; equal files have random-like parts at equal distances");
        judged.read_bytes = judged.read_bytes.saturating_add(mapped.map.size_bytes);
        return Some((judged, strip));
    }
    Some((join(judged, &mapped, context.legit_encryption.is_some()), strip))
}

/// Bytes of the disk itself in `state`, what was appended left out.
fn bytes_in(mapped: &Mapped, state: State) -> u64 {
    let map = &mapped.map;
    map.runs
        .iter()
        .filter(|run| run.start < map.original_bytes)
        .map(|run| run.bytes_in(state))
        .sum()
}

fn join(mut judged: DiskJudgement, mapped: &Mapped, is_owners: bool) -> DiskJudgement {
    let map = &mapped.map;
    let encrypted = bytes_in(mapped, State::Encrypted);
    judged.read_bytes = judged.read_bytes.saturating_add(map.size_bytes);
    if encrypted == 0 || map.original_bytes == 0 || is_owners {
        return judged;
    }
    let open = bytes_in(mapped, State::Undetermined);
    let part = |bytes: u64| (bytes as f64 / map.original_bytes as f64).clamp(0.0, 1.0);
    let share = Share {
        estimate: part(encrypted),
        low: part(encrypted),
        high: part(encrypted.saturating_add(open)),
    };
    // Copies of one file, one behind the other, have their random-like parts at equal distance.
    let is_alone = judged.state == DiskState::Untouched && share.estimate < LEAST_ALONE;
    let state = if is_alone {
        DiskState::Undetermined
    } else if share.estimate >= NEARLY_ALL {
        DiskState::Encrypted
    } else {
        DiskState::PartlyEncrypted
    };
    let rule = map.rule.map_or_else(|| "no rule found".to_owned(), |rule| rule.to_string());
    let told = format!(
        "{} is ciphertext and {} open by a map of every byte ({rule})",
        percent(share.estimate),
        percent(part(open))
    );
    judged.reason = if is_alone {
        format!("{told}; nothing else speaks for an attack, and equal files can look like this")
    } else if judged.state == state || judged.state == DiskState::Encrypted {
        format!("{told}; {}", judged.reason)
    } else {
        told.clone()
    };
    judged.state = state;
    judged.encrypted = (!is_alone).then_some(share);
    judged.original_size_bytes = map.original_bytes;
    judged.evidence.push(Evidence {
        kind: EvidenceKind::Pattern,
        offset_bytes: 0,
        length_bytes: map.original_bytes,
        detail: told,
    });
    let hit = map.runs.iter().filter(|run| run.bytes_in(State::Encrypted) > 0);
    for run in hit.take(MOST_TOLD) {
        let detail = map.evidence.get(run.evidence).map(|e| e.detail.clone()).unwrap_or_default();
        judged.evidence.push(Evidence {
            kind: EvidenceKind::Pattern,
            offset_bytes: run.start,
            length_bytes: run.length(),
            detail: format!("encrypted: {detail}"),
        });
    }
    judged
}
