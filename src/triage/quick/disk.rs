//! A disk judged by structure and samples.

use super::verdict::{DiskContext, DiskJudgement, DiskState, Method, QuickOptions};
use crate::{families::Families, source::Source};

/// Judges a disk's file without reading it whole.
#[must_use]
pub fn judge_disk(
    source: &dyn Source,
    context: &DiskContext,
    options: &QuickOptions,
    families: &Families,
) -> DiskJudgement {
    let _ = (context, options, families);
    DiskJudgement {
        state: DiskState::Undetermined,
        reason: "nothing was read".to_owned(),
        encrypted: None,
        zero_share: 0.0,
        random_like_share: 0.0,
        method: Method::Sampled,
        samples: 0,
        read_bytes: 0,
        original_size_bytes: source.len_bytes(),
        footer: None,
        family: None,
        evidence: Vec::new(),
        unreadable: Vec::new(),
    }
}
