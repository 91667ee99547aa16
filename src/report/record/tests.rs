//! The documents name every field and every word that records can hold.

use serde_json::Value;

use super::{
    DiskVerdict, EdgeUncertainty, FooterRecord, HashRecord, LatticeRecord, MAP_SCHEMA,
    MachineVerdict, MapRecord, MapRun, MapState, MapSummary, PatternKind, PatternRecord, Route,
    Score,
};
use crate::{
    outcome::Outcome,
    report::{inspect, made},
};

fn map() -> MapRecord {
    let mut summary = MapSummary::default();
    summary.add(MapState::Encrypted, 4096);
    let small = made::small();
    MapRecord {
        schema: MAP_SCHEMA.into(),
        disk: "SQL01.vmdk".into(),
        size_bytes: 4096,
        original_size_bytes: 4096,
        footer: Some(FooterRecord { family: None, length_bytes: 550, layers: 1 }),
        summary,
        pattern: Some(PatternRecord {
            kind: PatternKind::Periodic,
            head_bytes: 0,
            run_bytes: 1 << 20,
            period_bytes: 8 << 20,
            phase_bytes: 0,
            stop_bytes: 512 << 20,
            score: Score::new(12.3456),
            sentence: Some("1 MiB of every 8 MiB".into()),
        }),
        files: vec!["SQL01-flat.vmdk".into()],
        hashes: vec![HashRecord {
            file: 0,
            path: "/ds/SQL01-flat.vmdk".into(),
            size_bytes: 4096,
            is_whole: true,
            md5: Some("00".into()),
            sha1: Some("00".into()),
            sha256: Some("00".into()),
            blake3: Some("00".into()),
        }],
        runs: vec![MapRun {
            offset_bytes: 0,
            length_bytes: 4096,
            state: MapState::Encrypted,
            evidence: vec![0],
            file: Some(0),
            file_offset_bytes: Some(0),
            edge: Some(EdgeUncertainty { start_bytes: 0, end_bytes: 64 }),
            lattice: Some(LatticeRecord {
                origin_bytes: 0,
                run_bytes: 64,
                period_bytes: 192,
                between: MapState::Intact,
            }),
        }],
        evidence: small.machines[2].disks[0].evidence.clone(),
        findings: small.machines[2].findings.clone(),
        run: small.run,
    }
}

/// Every key in `value`, but the keys of `by_verdict` and `by_route`, which are words.
fn keys(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                found.push(key.clone());
                if key == "by_verdict" || key == "by_route" {
                    object[key].as_object().unwrap().values().for_each(|v| keys(v, found));
                } else {
                    keys(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|v| keys(v, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn assert_documented(record: &Value, documents: &[&str]) {
    let mut found = Vec::new();
    keys(record, &mut found);
    assert!(found.len() > 10);
    for key in found {
        let named = format!("`{key}`");
        assert!(documents.iter().any(|d| d.contains(&named)), "{key} is not documented");
    }
}

const SWEEP: &str = include_str!("../../../docs/schema/sweep.md");
const MAP: &str = include_str!("../../../docs/schema/map.md");
const INSPECT: &str = include_str!("../../../docs/schema/inspect.md");

#[test]
fn the_documents_name_every_field() {
    let mut sweep = made::small();
    sweep.run.as_mut().unwrap().input_sha256 = vec![("x".into(), "00".into())];
    sweep.findings.push(sweep.machines[2].findings[0].clone());
    assert_documented(&serde_json::to_value(sweep).unwrap(), &[SWEEP]);
    assert_documented(&serde_json::to_value(map()).unwrap(), &[MAP, SWEEP]);
    assert_documented(&serde_json::to_value(inspect::made()).unwrap(), &[INSPECT, SWEEP]);
}

#[test]
fn the_documents_name_every_word() {
    let all = |words: &[String], document: &str| {
        for word in words {
            assert!(document.contains(&format!("`{word}`")), "{word}");
        }
    };
    all(&MachineVerdict::ALL.map(|v| v.to_string()), SWEEP);
    all(&Route::ALL.map(|r| r.to_string()), SWEEP);
    use DiskVerdict as D;
    let disks = [
        D::Untouched,
        D::GuestEncrypted,
        D::DescriptorLost,
        D::PartlyEncrypted,
        D::Encrypted,
        D::Incomplete,
        D::Damaged,
        D::Unreadable,
        D::Undetermined,
    ];
    all(&disks.map(|d| d.to_string()), SWEEP);
    for disk in disks {
        assert_eq!(serde_json::to_value(disk).unwrap(), disk.word());
    }
    for verdict in MachineVerdict::ALL {
        assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.word());
    }
    for route in Route::ALL {
        assert_eq!(serde_json::to_value(route).unwrap(), route.word());
    }
}

#[test]
fn a_map_reads_back_as_itself() {
    let text = serde_json::to_string(&map()).unwrap();
    assert_eq!(serde_json::from_str::<MapRecord>(&text).unwrap(), map());
    assert!(text.contains(r#""score":12.346"#));
}

#[test]
fn totals_hold_every_class_and_add_up() {
    let totals = made::large(1200).totals;
    assert_eq!(totals.by_verdict.len(), 6);
    assert_eq!(totals.by_route.len(), 6);
    for sums in [totals.by_verdict.values().collect::<Vec<_>>(), totals.by_route.values().collect()]
    {
        assert_eq!(sums.iter().map(|s| s.machines).sum::<u64>(), 1200);
        assert_eq!(sums.iter().map(|s| s.disks).sum::<u64>(), 2400);
        assert_eq!(sums.iter().map(|s| s.capacity_bytes).sum::<u64>(), totals.all.capacity_bytes);
    }
}

#[test]
fn a_record_ends_clean_only_where_nothing_is_wrong() {
    let whole = made::small();
    assert_eq!(whole.outcome(), Outcome::Partial);
    let mut record = super::SweepRecord::empty();
    assert_eq!(record.outcome(), Outcome::Clean);
    record.machines.push(whole.machines[0].clone());
    assert_eq!(record.outcome(), Outcome::Clean);
    for other in &whole.machines[1..] {
        let mut with = record.clone();
        with.machines.push(other.clone());
        assert_eq!(with.outcome(), Outcome::Damage, "{}", other.verdict);
    }
    record.notes = whole.notes;
    assert_eq!(record.outcome(), Outcome::Damage);
    record.unreadable = whole.unreadable;
    assert_eq!(record.outcome(), Outcome::Partial);
}
