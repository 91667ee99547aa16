//! That 688 samples find one percent, wherever it lies.

use super::*;
use crate::{
    families::{Comb, Prediction},
    triage::quick::plan,
};

/// 125 GiB, of which nothing is ever stored.
const SIZE: u64 = 125 << 30;

/// Whether any sample of `disk` touches a run of `damage`.
fn touches(samples: &[std::ops::Range<u64>], damage: &Prediction) -> bool {
    samples.iter().any(|sample| {
        (sample.start..sample.end)
            .step_by(4096)
            .any(|block| damage.contains(block) && damage.contains(block + 4095))
    })
}

#[test]
fn one_percent_is_missed_at_most_once_in_a_thousand_placements() {
    let disk = Disk::new(SIZE, Fill::Text);
    let samples = plan::data(&disk, SIZE).samples(688, 65_536, SIZE);
    assert_eq!(samples.len(), 688);
    let share = SIZE / 100;
    let mut tried = 0u32;
    let mut missed = 0u32;
    for runs in [1u64, 3, 10, 100, 1280, 12_800, 50_000] {
        for placement in 0..400u64 {
            let run = share / runs / 4096 * 4096;
            let step = SIZE / runs;
            let room = if runs == 1 { SIZE - run } else { step - run };
            let start = (placement.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) % room / 4096 * 4096;
            let comb = Comb { start_bytes: start, run_bytes: run, step_bytes: step, count: runs };
            tried += 1;
            missed += u32::from(!touches(&samples, &Prediction::new(SIZE, vec![comb])));
        }
    }
    assert_eq!(tried, 2800);
    assert!(missed <= 3, "{missed} of {tried} placements were missed");
}

#[test]
fn one_percent_on_an_otherwise_healthy_disk_is_never_untouched() {
    for placement in 0..8u64 {
        let size = 16 << 30;
        let run = size / 100;
        let start =
            (placement.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7) % (size - 2 * run) / 4096 * 4096;
        let disk = gpt_disk(size, Fill::Text).with(start..start + run, Fill::Random(placement));
        let judged = judge(&disk, &context("db01-flat.vmdk"));
        assert_ne!(judged.state, DiskState::Untouched, "{start:#x}: {}", judged.reason);
    }
}

#[test]
fn samples_lie_in_the_data_in_order_and_never_in_holes() {
    let disk = Disk::new(SIZE, Fill::Hole)
        .with(10 << 30..11 << 30, Fill::Text)
        .with(60 << 30..(60 << 30) + 12_345, Fill::Text)
        .with(124 << 30..SIZE, Fill::Text);
    let data = plan::data(&disk, SIZE);
    assert_eq!(data.bytes, (2 << 30) + 12_345);
    let samples = data.samples(688, 65_536, SIZE);
    assert_eq!(samples.len(), 688);
    assert!(samples.is_sorted_by_key(|sample| sample.start));
    for sample in &samples {
        assert!(
            data.stretches.iter().any(|s| s.start <= sample.start && sample.end <= s.end),
            "{sample:?}"
        );
    }
}

#[test]
fn a_share_is_of_the_original_size_with_holes_counted_as_zero() {
    let size = 64 << 30;
    let disk = Disk::new(size, Fill::Hole).with(0..16 << 30, Fill::Random(2));
    let judged = judge(&disk, &context("db01-flat.vmdk.akira"));
    let share = judged.encrypted.unwrap();
    assert!(share.low <= 0.25 && 0.249_999 <= share.high && share.high <= 0.2501, "{share:?}");
    assert!((judged.zero_share - 0.75).abs() < 1e-9);
}

#[test]
fn a_disk_smaller_than_its_samples_is_read_whole() {
    let judged = judge(&gpt_disk(16 << 20, Fill::Text), &context("small-flat.vmdk"));
    assert_eq!(judged.method, crate::triage::quick::Method::Full);
    assert_eq!(judged.state, DiskState::Untouched, "{}", judged.reason);
}

#[test]
fn the_budget_of_bytes_read_does_not_grow_with_the_disk() {
    for size in [1 << 30, SIZE] {
        let judged = judge(&gpt_disk(size, Fill::Text), &context("db01-flat.vmdk"));
        assert!(judged.read_bytes < 690 * 65_536 + (1 << 20), "{}", judged.read_bytes);
    }
}
