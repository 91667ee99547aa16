//! Made-up records for tests of the renderers: a small estate with one of each, and a large one.

use std::ffi::OsStr;

use super::record::{
    Basis, Candidate, Confidence, ConfigRecord, ConfigState, DiskRecord, DiskVerdict, FamilyHit,
    Fraction, MachineRecord, MachineVerdict, Method, NoteRecord, OrphanRecord, RecordPath, Route,
    RunInfo, SourceRecord, SweepRecord, UnreadableRecord,
};
use super::shell::quote;
use crate::finding::{Evidence, EvidenceKind, Finding, Weight};

const GIB: u64 = 1 << 30;

fn evidence(kind: EvidenceKind, offset_bytes: u64, length_bytes: u64, detail: &str) -> Evidence {
    Evidence { kind, offset_bytes, length_bytes, detail: detail.to_owned() }
}

/// A disk with an encrypted share and its interval.
fn disk(leaf: &str, verdict: DiskVerdict, share: Option<(f64, f64, f64)>) -> DiskRecord {
    let part = |f: fn((f64, f64, f64)) -> f64| share.map(|s| Fraction::new(f(s)));
    let attacked = matches!(verdict, DiskVerdict::Encrypted | DiskVerdict::PartlyEncrypted);
    let family = attacked.then(|| "Qilin".to_owned());
    let strip = match verdict {
        DiskVerdict::PartlyEncrypted => "eeiieeiieeiiee..iiiiii....iiiii.".to_owned(),
        DiskVerdict::Encrypted => "e".repeat(32),
        DiskVerdict::Untouched | DiskVerdict::DescriptorLost => {
            "iiii..iiiiii....ii.i............".into()
        }
        _ => String::new(),
    };
    DiskRecord {
        leaf: leaf.into(),
        chain: vec![leaf.into(), leaf.replace(".vmdk", "-flat.vmdk").into()],
        capacity_bytes: Some(125 * GIB),
        allocated_bytes: Some(61 * GIB),
        verdict,
        encrypted_fraction: part(|s| s.0),
        encrypted_fraction_low: part(|s| s.1),
        encrypted_fraction_high: part(|s| s.2),
        zero_fraction: Some(Fraction::new(0.512)),
        method: if share.is_some() { Method::Sampled } else { Method::None },
        samples: if share.is_some() { 688 } else { 0 },
        family,
        reason: match verdict {
            DiskVerdict::Untouched => "688 samples and both partition tables show no sign".into(),
            DiskVerdict::GuestEncrypted => "BitLocker volume header at its place".into(),
            DiskVerdict::PartlyEncrypted => "random-like runs of 1 MiB every 8 MiB".into(),
            DiskVerdict::Encrypted => "every sample is random-like, footer of 550 bytes".into(),
            DiskVerdict::Incomplete => "parent SQL01-000001.vmdk is missing".into(),
            _ => "nothing explains what was measured".into(),
        },
        strip,
        evidence: if attacked {
            vec![
                evidence(
                    EvidenceKind::Footer,
                    134_217_728_512,
                    550,
                    "magic of Qilin's footer at the end",
                ),
                evidence(
                    EvidenceKind::Statistic,
                    0x40_0000,
                    65_536,
                    "chi-square 251.3 of 255 degrees, entropy 7.9972",
                ),
            ]
        } else {
            vec![evidence(EvidenceKind::Header, 0x200, 92, "GPT header, checksum holds")]
        },
    }
}

fn machine(
    name: &str,
    verdict: MachineVerdict,
    route: Route,
    reason: &str,
    disks: Vec<DiskRecord>,
) -> MachineRecord {
    let folder = format!("ds01/{name}");
    let quoted = |tail: &str| quote(OsStr::new(&format!("{folder}{tail}")));
    let file = |tail: &str| quoted(&format!("/{name}{tail}"));
    let lost = matches!(verdict, MachineVerdict::ConfigLost);
    let state = match verdict {
        MachineVerdict::ConfigLost | MachineVerdict::Encrypted => ConfigState::Encrypted,
        MachineVerdict::Incomplete => ConfigState::Missing,
        _ => ConfigState::Intact,
    };
    let command = match route {
        Route::Redeploy => format!("vmglean redeploy plan {}", quoted("")),
        Route::RestoreBackup => format!("vmglean map {}", file(".vmdk")),
        Route::Examine => format!("vmglean inspect {}", file(".vmdk")),
        Route::RollbackSnapshot => format!("vmglean chain {}", file("-000002.vmdk")),
        Route::RebuildConfig | Route::SalvageDisk => {
            format!("vmglean salvage {} --out /case", quoted(""))
        }
    };
    MachineRecord {
        id: folder.clone(),
        name: name.to_owned(),
        folder: folder.clone().into(),
        verdict,
        route,
        reason: reason.to_owned(),
        next_command: command,
        config: ConfigRecord {
            source: (!lost).then(|| format!("{folder}/{name}.vmx").into()),
            state,
        },
        disks,
        findings: if verdict == MachineVerdict::Untouched {
            vec![]
        } else {
            vec![Finding {
                code: "config.encrypted".into(),
                weight: Weight::Damage,
                path: format!("{folder}/{name}.vmx.Xq3aTz81Lm"),
                offset_bytes: Some(0),
                what: "the configuration is random-like and carries the note's extension".into(),
                next: Some("the snapshot state file holds a copy".into()),
            }]
        },
    }
}

/// Eight machines, one of each verdict and then some, with names that mean harm.
pub(crate) fn small() -> SweepRecord {
    use DiskVerdict as D;
    use MachineVerdict as V;
    let d = |name: &str, verdict, share| {
        let folder = name.trim_end_matches("_1");
        disk(&format!("ds01/{folder}/{name}.vmdk"), verdict, share)
    };
    let none = Some((0.0, 0.0, 0.0043));
    let mut record = SweepRecord::empty();
    record.sources = vec![SourceRecord {
        path: "/mnt/ds01".into(),
        kind: "folder".into(),
        files: 214,
        size_bytes: 1_024 * GIB,
    }];
    record.machines = vec![
        machine(
            "DC01",
            V::Untouched,
            Route::Redeploy,
            "configuration and both disks show no sign of damage",
            vec![d("DC01", D::Untouched, none), d("DC01_1", D::GuestEncrypted, None)],
        ),
        machine(
            "FILE01",
            V::ConfigLost,
            Route::RebuildConfig,
            "the .vmx is encrypted, the disk is not; vmware.log holds the configuration",
            vec![d("FILE01", D::DescriptorLost, none)],
        ),
        machine(
            "SQL01",
            V::PartlyEncrypted,
            Route::SalvageDisk,
            "1 MiB of every 8 MiB is encrypted in the first 512 MiB; the file table lies behind",
            vec![
                d("SQL01", D::PartlyEncrypted, Some((0.382, 0.31, 0.454))),
                d("SQL01_1", D::PartlyEncrypted, Some((0.000_02, 0.0, 0.0043))),
            ],
        ),
        machine(
            "ERP\u{202e}gpj\nroot# rm -rf",
            V::PartlyEncrypted,
            Route::RollbackSnapshot,
            "the newest delta is encrypted, its parent of 2026-11-20 is whole",
            vec![d("ERP", D::PartlyEncrypted, Some((0.12, 0.09, 0.16)))],
        ),
        machine(
            "APP<script>alert(1)</script>",
            V::Incomplete,
            Route::SalvageDisk,
            "the parent of its leaf is missing",
            vec![d("APP", D::Incomplete, None)],
        ),
        machine(
            "MAIL-with-a-rather-long-name-as-people-give-them-01",
            V::Undetermined,
            Route::Examine,
            "the disk is random-like throughout but carries no trace of an attack",
            vec![d("MAIL", D::Undetermined, None)],
        ),
        machine(
            "BACKUP01",
            V::Encrypted,
            Route::RestoreBackup,
            "both disks are encrypted throughout",
            vec![
                d("BACKUP01", D::Encrypted, Some((1.0, 0.996, 1.0))),
                d("BACKUP01_1", D::Encrypted, Some((0.998, 0.99, 1.0))),
            ],
        ),
    ];
    record.orphans = vec![OrphanRecord {
        path: "ds01/lost/SQL01_1-flat.vmdk".into(),
        kind: "flat".into(),
        size_bytes: 125 * GIB,
        candidates: vec![Candidate {
            machine: "ds01/SQL01".into(),
            why: "same capacity as the missing scsi0:1".into(),
        }],
    }];
    record.notes = vec![NoteRecord {
        path: "ds01/README-RECOVER-Xq3aTz81Lm.txt".into(),
        families: vec!["Qilin".into()],
        victim_id: Some("Xq3aTz81Lm".into()),
        extension: Some("Xq3aTz81Lm".into()),
        quote: "-- Qilin\nYour network/system was encrypted.\nhttp://example.onion/<b>x</b>\n"
            .into(),
        rests_on: vec!["name README-RECOVER-*.txt".into(), "line \"-- Qilin\"".into()],
    }];
    record.families = vec![FamilyHit {
        name: "Qilin".into(),
        confidence: Confidence::High,
        basis: Basis::Footer,
        rests_on: vec!["footer magic in 3 files".into(), "one note".into()],
        files: 4,
    }];
    record.unreadable = vec![UnreadableRecord {
        path: "ds01/OLD/OLD-flat.vmdk".into(),
        offset_bytes: Some(0x10_0000),
        length_bytes: Some(4096),
        error: "Input/output error (os error 5)".into(),
        next: "copy the medium with ddrescue and sweep the copy".into(),
    }];
    record.run = Some(RunInfo {
        version: "0.1.0".into(),
        arguments: vec![RecordPath::from("sweep"), RecordPath::from("/mnt/ds01")],
        started: "2026-11-25T22:40:00Z".into(),
        finished: "2026-11-25T22:41:12Z".into(),
        read_bytes: 11 * GIB,
        input_sha256: vec![],
    });
    record.sum(214);
    record
}

/// `machines` machines with two disks each, in proportions as an attack leaves them.
pub(crate) fn large(machines: usize) -> SweepRecord {
    use MachineVerdict as V;
    let mut record = small();
    record.machines = (0..machines)
        .map(|i| {
            let name = format!("SRV-{i:04}");
            let (verdict, route, reason, share) = match i % 20 {
                0..=6 => (V::Untouched, Route::Redeploy, "no sign of damage", 0.0),
                7..=8 => (
                    V::ConfigLost,
                    Route::RebuildConfig,
                    "the .vmx is encrypted, the disks are not",
                    0.0,
                ),
                9..=13 => (
                    V::PartlyEncrypted,
                    Route::SalvageDisk,
                    "1 MiB of every 8 MiB is encrypted",
                    0.05 + (i * 7 % 90) as f64 / 100.0,
                ),
                14 => (
                    V::PartlyEncrypted,
                    Route::RollbackSnapshot,
                    "the newest delta is encrypted, its parent is whole",
                    0.2,
                ),
                15 => (V::Incomplete, Route::SalvageDisk, "an extent is missing", 0.1),
                16 => (V::Undetermined, Route::Examine, "random-like without a trace", 0.0),
                _ => (V::Encrypted, Route::RestoreBackup, "encrypted throughout", 1.0),
            };
            let kind = match verdict {
                V::Untouched | V::ConfigLost => DiskVerdict::Untouched,
                V::PartlyEncrypted => DiskVerdict::PartlyEncrypted,
                V::Encrypted => DiskVerdict::Encrypted,
                V::Incomplete => DiskVerdict::Incomplete,
                V::Undetermined => DiskVerdict::Undetermined,
            };
            let span = Some((share, (share - 0.04_f64).max(0.0), (share + 0.04_f64).min(1.0)));
            let disks = (0..2)
                .map(|n| disk(&format!("ds{:02}/{name}/{name}_{n}.vmdk", i % 38), kind, span))
                .collect();
            let mut made = machine(&name, verdict, route, reason, disks);
            made.folder = format!("ds{:02}/{name}", i % 38).into();
            made
        })
        .collect();
    record.sum(48_000);
    record
}
