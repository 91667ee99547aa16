//! The content of every file of a chain, judged from samples.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rayon::prelude::*;
use vmglean_formats::vmdk::ExtentFormat;

use super::points::{Served, instant};
use crate::{
    consolidate::SampledLine,
    disk::{Chain, ChainLink, DescribedBy, ExtentFacts},
    families::{Families, split_suffix},
    report::{
        chain::{ExtentRecord, LinkRecord, LinkState},
        record::{Fraction, RecordPath},
    },
    source::{EvidenceRoot, RelPath},
    triage::quick::{DiskContext, DiskState, ExtentKind, Method, QuickOptions, judge_disk},
    ui::Progress,
};

/// Files judged; a machine's chain has one a link, and a host allows 32 snapshots.
const MAX_JUDGED: usize = 512;

/// What samples say of one file.
pub(super) struct FileState {
    state: LinkState,
    reason: String,
    encrypted: Option<f64>,
    /// Whether some of it looks random, explained or not.
    looks_random: bool,
    /// Whether its first bytes look random, where a disk's structures must stand, or small runs at
    /// equal distance do.
    has_marks: bool,
    /// Whether its owner encrypted it, by its descriptor.
    is_owners: bool,
    /// Whether it holds compressed grains, each with its own checksum.
    is_packed: bool,
    /// What was sampled, where not all of it was read.
    sampled: Option<SampledLine>,
}

fn kind_of(extent: &ExtentFacts) -> ExtentKind {
    match extent.format {
        Some(ExtentFormat::HostedSparse) => ExtentKind::Sparse,
        Some(ExtentFormat::StreamOptimized) => ExtentKind::Stream,
        Some(ExtentFormat::Cowd) => ExtentKind::Cowd,
        Some(ExtentFormat::SeSparse) => ExtentKind::SeSparse,
        None => ExtentKind::Flat,
    }
}

/// A file whose content was judged.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// The file.
    pub path: RelPath,
    /// Its state.
    pub state: LinkState,
    /// Why.
    pub reason: String,
    /// Whether samples alone speak for an attack, so that it must be looked at byte by byte.
    pub is_suspect: bool,
    /// Whether some of it looks random.
    pub looks_random: bool,
    /// What was sampled; `None` where every byte that is no hole was looked at.
    pub samples: Option<SampledLine>,
}

/// What samples say of the files of the links from `from` on, in order. Files in `known` are left
/// out.
#[must_use]
pub fn sample(
    root: &Arc<EvidenceRoot>,
    chain: &Chain,
    from: usize,
    known: &HashSet<RelPath>,
    samples: u32,
    families: &Families,
    (stop, progress): (&(dyn Fn() -> bool + Sync), &Progress),
) -> Vec<Sampled> {
    let judged = judge(root, chain, from, known, samples, families, (stop, progress));
    let mut found: Vec<Sampled> = judged
        .into_iter()
        .map(|(path, state)| Sampled {
            path,
            state: state.state,
            is_suspect: state.is_suspect(),
            reason: state.reason,
            looks_random: state.looks_random,
            samples: state.sampled,
        })
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

impl FileState {
    /// Whether it must be looked at byte by byte. Random-looking places alone are no sign of an
    /// attack: a map could take regular ones for it, and they would be filled. What its owner
    /// encrypted looks the same as what an attack did, and of compressed grains their own checksums
    /// tell.
    fn is_suspect(&self) -> bool {
        match self.state {
            LinkState::Encrypted | LinkState::PartlyEncrypted => !self.is_packed,
            LinkState::Undetermined | LinkState::Damaged => {
                self.has_marks && !self.is_owners && !self.is_packed
            }
            LinkState::Untouched | LinkState::Unjudged | LinkState::Missing => false,
        }
    }
}

/// What samples can tell: one in each equal share of `data_bytes`.
fn told_by(count: u32, sample_bytes: u32, data_bytes: u64) -> SampledLine {
    const MIB: u64 = 1 << 20;
    let (count, length) = (u64::from(count).max(1), u64::from(sample_bytes));
    let share = data_bytes.div_ceil(count).max(1);
    // A sample begins up to a block before its place, and must lie in the run as a whole.
    let need = length.saturating_add(4096);
    let sure_run_bytes = share.saturating_mul(2).saturating_add(need);
    let met = MIB.saturating_sub(need) as f64 / share as f64;
    let missed = match MIB >= sure_run_bytes {
        true => 0,
        // Shares that it covers in part count as one.
        false => ((1.0 - met).max(0.0) * 100.0).ceil().clamp(1.0, 100.0) as u8,
    };
    SampledLine {
        count,
        sample_bytes: length,
        data_bytes,
        sure_run_bytes,
        missed_1mib_percent: missed,
    }
}

/// Judges each file once, on all threads; those in `known` are left out.
pub(super) fn judge(
    root: &Arc<EvidenceRoot>,
    chain: &Chain,
    from: usize,
    known: &HashSet<RelPath>,
    samples: u32,
    families: &Families,
    (stop, progress): (&(dyn Fn() -> bool + Sync), &Progress),
) -> HashMap<RelPath, FileState> {
    if samples == 0 {
        return HashMap::new();
    }
    let mut seen = known.clone();
    let files: Vec<(&ChainLink, &ExtentFacts, &RelPath)> = chain
        .links
        .iter()
        .skip(from)
        .flat_map(|link| link.extents.iter().map(move |extent| (link, extent)))
        .filter_map(|(link, extent)| Some((link, extent, extent.path.as_ref()?)))
        .filter(|(_, _, path)| seen.insert((*path).clone()))
        .take(MAX_JUDGED)
        .collect();
    files
        .par_iter()
        .filter_map(|(link, extent, path)| {
            if stop() {
                return None;
            }
            let name = split_suffix(path.file_name().as_encoded_bytes(), families);
            let context = DiskContext {
                path: path.as_path().display().to_string(),
                kind: kind_of(extent),
                expected_bytes: extent.format.is_none().then_some(extent.length),
                suffixes: name.suffixes.clone(),
                legit_encryption: link
                    .vmware_encrypted
                    .then(|| "VMware encryption, by its descriptor".to_owned()),
                ..DiskContext::default()
            };
            let is_packed = context.kind == ExtentKind::Stream;
            let options = QuickOptions { samples, ..QuickOptions::default() };
            let state = match root.open_file(path) {
                Ok(file) => {
                    let judged = judge_disk(&file, &context, &options, families);
                    progress.add(judged.read_bytes);
                    FileState {
                        state: match judged.state {
                            DiskState::Untouched => LinkState::Untouched,
                            DiskState::Encrypted => LinkState::Encrypted,
                            DiskState::PartlyEncrypted => LinkState::PartlyEncrypted,
                            DiskState::Damaged => LinkState::Damaged,
                            DiskState::Undetermined => LinkState::Undetermined,
                        },
                        reason: judged.reason,
                        encrypted: judged.encrypted.map(|share| share.estimate),
                        looks_random: judged.random_like_share > 0.0,
                        has_marks: judged.head_is_random || judged.has_small_runs,
                        is_owners: context.legit_encryption.is_some(),
                        is_packed,
                        sampled: (judged.method == Method::Sampled).then(|| {
                            told_by(options.samples, options.sample_bytes, judged.data_bytes)
                        }),
                    }
                }
                Err(error) => FileState {
                    state: LinkState::Missing,
                    reason: error.to_string(),
                    encrypted: None,
                    looks_random: false,
                    has_marks: false,
                    is_owners: false,
                    is_packed,
                    sampled: None,
                },
            };
            Some(((*path).clone(), state))
        })
        .collect()
}

/// The links with what is known of each.
pub(super) fn links(
    root: &EvidenceRoot,
    chain: &Chain,
    judged: &HashMap<RelPath, FileState>,
    served: &Served,
) -> Vec<LinkRecord> {
    let mut found = Vec::with_capacity(chain.links.len());
    for (number, link) in chain.links.iter().enumerate() {
        let extents: Vec<ExtentRecord> =
            link.extents.iter().map(|extent| extent_record(extent, judged)).collect();
        let worst = extents.iter().max_by_key(|extent| extent.state);
        let (mut state, mut reason) = match worst {
            Some(worst) => (worst.state, worst.reason.clone()),
            None => (LinkState::Missing, "its descriptor names no usable extent".to_owned()),
        };
        let lost = served.lost_at(number);
        if lost > 0 && state < LinkState::Damaged {
            state = LinkState::Damaged;
            reason = format!("{lost} bytes of it have no place that can be believed");
        }
        let modified = std::iter::once(&link.path)
            .chain(link.extents.iter().filter_map(|extent| extent.path.as_ref()))
            .take(64)
            .filter_map(|path| changed_us(root, path))
            .max();
        found.push(LinkRecord {
            number: u64::try_from(number).unwrap_or(u64::MAX),
            path: RecordPath(link.path.as_path().to_path_buf()),
            renamed: link.renamed,
            described_by: match link.described_by {
                DescribedBy::File => "file",
                DescribedBy::Embedded => "embedded",
                DescribedBy::Header => "header",
                DescribedBy::Raw => "raw",
                DescribedBy::Rebuilt => "rebuilt",
            }
            .to_owned(),
            create_type: link.create_type.as_ref().and_then(|t| t.word()).map(str::to_owned),
            cid: link.cid.map(|cid| cid.to_string()),
            parent_cid: link.parent_cid.filter(|_| link.has_parent).map(|cid| cid.to_string()),
            long_content_id: link.long_content_id.clone(),
            parent_hint: link.parent_hint.clone(),
            capacity_bytes: link.capacity,
            modified: modified.and_then(instant),
            serves_bytes: served.by_link.get(number).copied(),
            state,
            reason,
            extents,
        });
    }
    found
}

/// Last change of a file, microseconds since 1970 UTC.
pub(super) fn changed_us(root: &EvidenceRoot, path: &RelPath) -> Option<i64> {
    let stamp = root.open_file(path).ok()?.stamp();
    i64::try_from(stamp.mtime_ns / 1000).ok()
}

fn extent_record(extent: &ExtentFacts, judged: &HashMap<RelPath, FileState>) -> ExtentRecord {
    let known = extent.path.as_ref().and_then(|path| judged.get(path));
    let (state, reason) = match (&extent.broken, known, &extent.path) {
        (Some(why), Some(known), _) if known.state > LinkState::Damaged => {
            (known.state, format!("{}; {why}", known.reason))
        }
        (Some(why), _, Some(_)) => (LinkState::Damaged, why.clone()),
        (Some(why), _, None) => (LinkState::Missing, why.clone()),
        (None, Some(known), _) => (known.state, known.reason.clone()),
        (None, None, Some(_)) => (LinkState::Unjudged, "its content was not looked at".to_owned()),
        (None, None, None) => (LinkState::Untouched, "zeros by the descriptor's word".to_owned()),
    };
    ExtentRecord {
        path: extent.path.as_ref().map(|path| RecordPath(path.as_path().to_path_buf())),
        name: extent.name.clone(),
        renamed: extent.renamed,
        format: match (extent.format, &extent.path) {
            (Some(format), _) => Some(crate::report::word(&format)),
            (None, Some(_)) => Some("flat".to_owned()),
            (None, None) => None,
        },
        file_bytes: extent.file_len,
        length_bytes: extent.length,
        state,
        reason,
        encrypted_fraction: known.and_then(|known| known.encrypted).map(Fraction::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_samples_can_miss_follows_from_their_distance() {
        // 40 GiB in 688 shares of 59.5 MiB.
        let told = told_by(688, 32 << 10, 40 << 30);
        assert_eq!(told.sure_run_bytes, 2 * (40_u64 << 30).div_ceil(688) + (36 << 10));
        assert_eq!(told.missed_1mib_percent, 99);
        // In shares of 400 KiB one of 1 MiB holds a whole one.
        assert_eq!(told_by(688, 32 << 10, (688 * 400) << 10).missed_1mib_percent, 0);
        assert_eq!(told_by(688, 32 << 10, 688 << 20).missed_1mib_percent, 4);
        assert_eq!(told_by(0, 0, 0).missed_1mib_percent, 0);
    }
}
