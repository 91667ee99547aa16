//! The figures of a disk, from those of its files.

use crate::{
    report::record::{Fraction, Method},
    sweep::judge::DiskFileJudgement,
    triage::quick::Method as QuickMethod,
};

/// `part` of `bytes`, to whole bytes.
pub(super) fn share_of(bytes: u64, part: f64) -> u64 {
    // Shares come from samples; their own error is far above that of this product.
    (bytes as f64 * part.clamp(0.0, 1.0)) as u64
}

/// Encrypted share of everything the disk's files hold, each weighed by its size.
pub(super) fn fraction(measured: &[&DiskFileJudgement]) -> Option<(Fraction, Fraction, Fraction)> {
    let mut sums = (0.0, 0.0, 0.0, 0.0);
    for judged in measured {
        let weight = judged.content.original_size_bytes as f64;
        let share = judged.content.encrypted?;
        sums.0 += weight;
        sums.1 += weight * share.estimate;
        sums.2 += weight * share.low;
        sums.3 += weight * share.high;
    }
    (sums.0 > 0.0).then(|| {
        let part = |sum: f64| Fraction::new(sum / sums.0);
        (part(sums.1), part(sums.2), part(sums.3))
    })
}

pub(super) fn zero_share(measured: &[&DiskFileJudgement]) -> Option<Fraction> {
    let all: f64 = measured.iter().map(|m| m.content.original_size_bytes as f64).sum();
    let zero: f64 =
        measured.iter().map(|m| m.content.original_size_bytes as f64 * m.content.zero_share).sum();
    (all > 0.0).then(|| Fraction::new(zero / all))
}

pub(super) fn method(measured: &[&DiskFileJudgement]) -> Method {
    if measured.is_empty() {
        Method::None
    } else if measured.iter().all(|m| m.content.method == QuickMethod::Full) {
        Method::Full
    } else {
        Method::Sampled
    }
}
