//! Each family's geometry over a healthy disk: found, measured, never called untouched.

use super::*;
use crate::families::{Pattern, PatternKind, Prediction};

const SIZE: u64 = 256 << 20;

fn damaged(size: u64, kind: &PatternKind) -> (Disk, Prediction) {
    let prediction = kind.predict(size).unwrap();
    let disk = gpt_disk(size, Fill::Text).damaged(prediction.clone());
    (disk, prediction)
}

fn is_hit(judged: &DiskJudgement) -> bool {
    matches!(judged.state, DiskState::Encrypted | DiskState::PartlyEncrypted)
}

/// Whether the rule's runs are longer than the blocks that are measured.
fn is_coarse(prediction: &Prediction) -> bool {
    prediction.combs.iter().all(|comb| comb.run_bytes >= 64 * 1024)
}

#[test]
fn no_rule_of_any_family_leaves_a_disk_untouched() {
    let mut seen: Vec<Prediction> = Vec::new();
    for family in families().all() {
        for pattern in &family.patterns {
            for size in [64 << 20, 1200 << 20] {
                let Some(prediction) = pattern.predict(size) else { continue };
                if seen.contains(&prediction) {
                    continue;
                }
                seen.push(prediction.clone());
                let disk = gpt_disk(size, Fill::Text).damaged(prediction);
                let judged = judge_quickly(&disk, &context("db01-flat.vmdk"));
                assert_ne!(
                    judged.state,
                    DiskState::Untouched,
                    "{} {pattern:?} at {size}: {}",
                    family.name,
                    judged.reason
                );
            }
        }
    }
    assert!(seen.len() > 60, "only {} rules", seen.len());
}

#[test]
fn with_its_suffix_every_coarse_rule_is_called_encrypted_by_its_true_share() {
    let mut tried: Vec<(String, Prediction)> = Vec::new();
    for family in families().all() {
        let Some(suffix) = family.suffixes.first() else { continue };
        for pattern in &family.patterns {
            let Some(prediction) = pattern.predict(SIZE) else { continue };
            let key = (suffix.clone(), prediction.clone());
            if !is_coarse(&prediction) || tried.contains(&key) {
                continue;
            }
            tried.push(key);
            let disk = gpt_disk(SIZE, Fill::Text).damaged(prediction.clone());
            let judged = judge_quickly(&disk, &context(&format!("db01-flat.vmdk{suffix}")));
            assert!(is_hit(&judged), "{} {pattern:?}: {}", family.name, judged.reason);
            let share = judged.encrypted.unwrap();
            let truth = prediction.encrypted_bytes() as f64 / SIZE as f64;
            assert!(
                share.low <= truth + 0.001 && truth <= share.high + 0.001,
                "{} {pattern:?}: {share:?} does not hold {truth}",
                family.name
            );
            let named = judged.family.unwrap();
            let known = std::iter::once(&named.name).chain(&named.others);
            assert!(known.into_iter().any(|name| *name == family.name), "{named:?}");
            assert!(!named.rests_on.is_empty());
        }
    }
}

#[test]
fn periodic_damage_is_proven_by_its_rule_without_suffix_or_note() {
    for (kind, family) in [
        (periodic(1_000_000, 3_000_000), "INC"),
        (periodic(1 << 20, 10 << 20), "Babuk NAS (Go)"),
        (PatternKind::AkiraSpot { percent: 50 }, "Akira (C++)"),
        (PatternKind::EsxiArgsHundredth, "ESXiArgs wave 1"),
    ] {
        // Not 1 GiB: there a hundredth is 10 MiB and two families' rules are the same.
        let size = 1536 << 20;
        let (disk, prediction) = damaged(size, &kind);
        let judged = judge(&disk, &context("db01-flat.vmdk"));
        assert!(is_hit(&judged), "{kind:?}: {}", judged.reason);
        let truth = prediction.encrypted_bytes() as f64 / size as f64;
        let share = judged.encrypted.unwrap();
        assert!(share.low <= truth && truth <= share.high, "{kind:?}: {share:?} {truth}");
        let named = judged.family.unwrap();
        let known: Vec<_> = std::iter::once(&named.name).chain(&named.others).collect();
        assert!(known.iter().any(|name| *name == family), "{kind:?}: {named:?}");
    }
}

#[test]
fn a_rule_that_two_families_share_names_neither_but_lists_both() {
    for (step, families) in
        [(10 << 20, ["ESXiArgs wave 1", "Babuk NAS"]), (2 << 20, ["ESXiArgs wave 2", "Play"])]
    {
        let (disk, _) = damaged(1 << 30, &periodic(1 << 20, step));
        let judged = judge(&disk, &context("db01-flat.vmdk"));
        assert!(is_hit(&judged), "{}", judged.reason);
        assert!(judged.family.is_none(), "{:?}", judged.family);
        let both = |detail: &str| families.iter().all(|family| detail.contains(family));
        assert!(judged.evidence.iter().any(|one| both(&one.detail)), "{:?}", judged.evidence);
    }
}

fn periodic(run_bytes: u64, step_bytes: u64) -> PatternKind {
    PatternKind::Periodic {
        head_bytes: 0,
        start_bytes: 0,
        run_bytes,
        step_bytes,
        whole_steps: false,
    }
}

#[test]
fn a_destroyed_head_under_a_holding_backup_gpt_is_an_attack() {
    let size = 1 << 30;
    let (disk, _) = damaged(size, &PatternKind::Head { bytes: 512 << 20 });
    let judged = judge(&disk, &context("db01-flat.vmdk"));
    assert_eq!(judged.state, DiskState::PartlyEncrypted, "{}", judged.reason);
    let share = judged.encrypted.unwrap();
    assert!(share.low < 0.5 && 0.5 < share.high, "{share:?}");
    assert!(judged.evidence.iter().any(|one| one.detail.contains("backup GPT holds")));
    assert!(judged.family.is_none(), "nothing names a family: {:?}", judged.family);
}

#[test]
fn four_chunks_of_32_kib_are_found_in_any_size_where_the_name_says_vect() {
    let kind = PatternKind::EqualParts { parts: 4, run_bytes: 32_768 };
    for size in [SIZE, 1 << 30, 100 << 30] {
        let (disk, _) = damaged(size, &kind);
        let judged = judge(&disk, &context("db01-flat.vmdk.vect"));
        assert_eq!(judged.state, DiskState::PartlyEncrypted, "{size}: {}", judged.reason);
    }
}

#[test]
fn a_lattice_finer_than_blocks_is_never_untouched() {
    for kind in [periodic(64, 192), periodic(64, 6400), periodic(16, 32)] {
        for fill in [Fill::Text, Fill::Zero] {
            let disk = gpt_disk(SIZE, fill).damaged(kind.predict(SIZE).unwrap());
            let judged = judge(&disk, &context("db01-flat.vmdk"));
            assert_ne!(judged.state, DiskState::Untouched, "{kind:?}: {}", judged.reason);
        }
    }
}

#[test]
fn a_whole_disk_of_ciphertext_alone_is_undetermined_and_with_a_note_encrypted() {
    let disk = Disk::new(SIZE, Fill::Random(5));
    let mut alone = context("db01-flat.vmdk");
    let judged = judge(&disk, &alone);
    assert_eq!(judged.state, DiskState::Undetermined, "{}", judged.reason);
    assert!(judged.reason.contains("encrypted by its owner looks the same"), "{}", judged.reason);
    alone.note_in_folder = true;
    let judged = judge(&disk, &alone);
    assert_eq!(judged.state, DiskState::Encrypted, "{}", judged.reason);
    assert!(judged.encrypted.unwrap().low > 0.98);
}

#[test]
fn an_unknown_suffix_on_ciphertext_is_an_attack_and_on_a_healthy_disk_a_renaming() {
    let name = "db01-flat.vmdk.zz81";
    let judged = judge(&Disk::new(SIZE, Fill::Random(5)), &context(name));
    assert_eq!(judged.state, DiskState::Encrypted, "{}", judged.reason);
    assert!(judged.family.is_none());
    let judged = judge(&gpt_disk(SIZE, Fill::Text), &context(name));
    assert_eq!(judged.state, DiskState::Untouched, "{}", judged.reason);
    assert!(judged.reason.contains("renamed, but not encrypted"), "{}", judged.reason);
}

#[test]
fn a_pattern_that_does_not_apply_to_a_size_predicts_nothing() {
    let pattern = Pattern {
        name: None,
        min_size_bytes: 100,
        max_size_bytes: 200,
        kind: PatternKind::Whole { from_bytes: 0 },
        recalled: false,
    };
    assert!(pattern.predict(99).is_none() && pattern.predict(201).is_none());
    assert_eq!(pattern.predict(150).unwrap().encrypted_bytes(), 150);
}
