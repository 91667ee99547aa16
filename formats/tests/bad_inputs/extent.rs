//! Sparse extents of every kind, and change tracking.

use vmglean_forge::vmdk::{
    Disk, Forged,
    cowd::{self, CowdSpec},
    sesparse::{self, JournalSpec, SeSparseSpec},
    sparse::{self, SparseSpec},
    stream::{self, StreamLayout, StreamSpec},
};
use vmglean_formats::{
    ByteOffset, Bytes, Defect,
    vmdk::{ChangeTracking, RunKind, inflate_grain, open_extent},
};

use crate::table::{Table, partial, told};

/// Runs looked at; enough for every disk here.
const RUNS: usize = 4000;

/// Reads what the tables name and holds it against the truth. Guest data that was overwritten is
/// no business of the structure: `data` says whether such bytes may differ.
fn judge(file: &[u8], truth: &[u8], data: bool) -> String {
    let file = file.to_vec();
    let opened = match open_extent(&file) {
        Ok(opened) => opened,
        Err(error) => return format!("refused: {error}"),
    };
    let capacity = opened.capacity_bytes();
    let runs = opened.value.map.runs(&file, ByteOffset(0), Bytes(u64::MAX), RUNS).unwrap();
    let mut defects: Vec<Defect> = opened.defects;
    defects.extend(runs.defects);
    let (mut wrong, mut lost, mut named) = (false, false, 0);
    for run in runs.value {
        if matches!(run.kind, RunKind::Stored { .. } | RunKind::Compressed { .. }) {
            named += run.length.0;
        }
        let Ok(start) = usize::try_from(run.offset.0) else { break };
        if start >= truth.len() {
            break;
        }
        let end =
            truth.len().min(start + usize::try_from(run.length.0).unwrap_or(usize::MAX - start));
        let right = &truth[start..end];
        let mut bytes = vec![0; right.len()];
        match run.kind {
            RunKind::Stored { at } => {
                let at = usize::try_from(at.0).unwrap();
                bytes.copy_from_slice(&file[at..at + right.len()]);
                if data {
                    continue;
                }
            }
            RunKind::Compressed { at, stored } => {
                let at = usize::try_from(at.0).unwrap();
                let zlib = &file[at..at + usize::try_from(stored.0).unwrap()];
                let mut grain = vec![0; bytes.len().next_power_of_two().max(8192)];
                match inflate_grain(zlib, &mut grain) {
                    Ok(_) => {
                        let take = bytes.len();
                        bytes.copy_from_slice(&grain[..take]);
                    }
                    Err(kind) => {
                        defects.push(Defect::new("Grain", "data", run.offset, kind));
                        continue;
                    }
                }
            }
            RunKind::Zero | RunKind::Absent => {}
            RunKind::Lost => {
                lost = true;
                continue;
            }
        }
        wrong |= bytes != right;
    }
    if !lost && let Some(unnamed) = opened.value.unnamed_grains(&file, named) {
        defects.push(unnamed.defect);
        lost = true;
    }
    if let Some(told) = told(&defects) {
        return if lost { format!("{told}; some is lost") } else { told };
    }
    if lost {
        return partial(&[], 0, 1, true);
    }
    if !wrong && capacity != truth.len() as u64 {
        return format!(
            "right as far as it goes: the header says {capacity} of {} bytes",
            truth.len()
        );
    }
    partial(&[], 1, 1, wrong)
}

trait Capacity {
    fn capacity_bytes(&self) -> u64;
}

impl Capacity for vmglean_formats::Checked<vmglean_formats::vmdk::OpenedExtent> {
    fn capacity_bytes(&self) -> u64 {
        self.value.map.capacity().0
    }
}

fn noise(seed: usize) -> Vec<u8> {
    let mut state = u64::try_from(seed).unwrap().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..512)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

/// Cuts and overwritten sectors: every one of the structures that say something, and of the rest
/// (guest data, empty room) some.
fn hurt(table: &mut Table, of: &str, forged: &Forged, packed: bool) {
    let file = forged.image.to_bytes();
    let truth = forged.truth();
    let step = (file.len() / 512 / 40).max(100);
    for sector in 0..file.len() / 512 {
        let range = sector * 512..(sector + 1) * 512;
        let at = u64::try_from(range.start).unwrap();
        let meta = forged.is_metadata(at) || packed;
        let says = meta && file[range.clone()].iter().any(|byte| *byte != 0);
        if !says && sector % step != 1 {
            continue;
        }
        table.add(
            format!("{of}: cut at {:#x}", range.start),
            judge(&file[..range.start], &truth, false),
        );
        let mut damaged = file.clone();
        damaged[range.clone()].copy_from_slice(&noise(sector + 1));
        table.add(
            format!("{of}: sector at {:#x} overwritten", range.start),
            judge(&damaged, &truth, !meta),
        );
        if says {
            damaged[range.clone()].fill(0);
            table.add(
                format!("{of}: sector at {:#x} zeroed", range.start),
                judge(&damaged, &truth, !meta),
            );
        }
    }
}

fn disk(grain: u64, capacity: u64) -> Disk {
    let bytes = grain * 512;
    Disk::new(capacity).pattern(0, 2 * bytes, 1).pattern(5 * bytes + 512, bytes, 2).pattern(
        capacity * 512 - 1024,
        1024,
        4,
    )
}

const SPARSE_FIELDS: [(&str, usize, usize); 13] = [
    ("magicNumber", 0, 4),
    ("version", 4, 4),
    ("flags", 8, 4),
    ("capacity", 12, 8),
    ("grainSize", 20, 8),
    ("descriptorOffset", 28, 8),
    ("descriptorSize", 36, 8),
    ("numGTEsPerGT", 44, 4),
    ("rgdOffset", 48, 8),
    ("gdOffset", 56, 8),
    ("overHead", 64, 8),
    ("uncleanShutdown", 72, 1),
    ("compressAlgorithm", 77, 2),
];

fn hosted() -> Table {
    let mut table = Table::new("vmdk-sparse");
    let disk = disk(16, 700 * 16 - 3).zero(10 * 16 * 512);
    let spec = SparseSpec { grain: 16, ..SparseSpec::default() };
    for (name, spec) in [
        ("two copies", spec.clone()),
        ("one copy", SparseSpec { redundant: false, ..spec.clone() }),
        ("zeroed grains", SparseSpec { version: 2, zeroed: true, ..spec }),
    ] {
        let forged = sparse::write(&disk, &spec);
        let (file, truth) = (forged.image.to_bytes(), forged.truth());
        hurt(&mut table, name, &forged, false);
        let answer = |bytes: &[u8]| judge(bytes, &truth, false);
        let fields =
            SPARSE_FIELDS.map(|(field, at, width)| (format!("{name}: {field}"), at, width));
        let fields: Vec<(&str, usize, usize)> =
            fields.iter().map(|(field, at, width)| (field.as_str(), *at, *width)).collect();
        table.fields(&file, answer, &fields);
        table.patches(
            &file,
            answer,
            &[
                (&format!("{name}: newline check in text mode"), 73, b"\n \n\n"),
                (&format!("{name}: bytes in the padding"), 200, b"x"),
            ],
        );
        let gd =
            usize::try_from(u64::from_le_bytes(file[56..64].try_into().unwrap())).unwrap() * 512;
        table.fields(
            &file,
            answer,
            &[
                (&format!("{name}: directory entry"), gd, 4),
                (&format!("{name}: table entry"), gd + 512, 4),
            ],
        );
    }
    table
}

fn streams() -> Table {
    let mut table = Table::new("vmdk-stream");
    let disk = disk(16, 700 * 16 - 3);
    for (name, layout) in [
        ("footer", StreamLayout::Footer),
        ("front", StreamLayout::Front),
        ("qemu", StreamLayout::Qemu),
    ] {
        let forged =
            stream::write(&disk, &StreamSpec { grain: 16, layout, ..StreamSpec::default() });
        let (file, truth) = (forged.image.to_bytes(), forged.truth());
        hurt(&mut table, name, &forged, true);
        let answer = |bytes: &[u8]| judge(bytes, &truth, false);
        let fields =
            SPARSE_FIELDS.map(|(field, at, width)| (format!("{name}: {field}"), at, width));
        let fields: Vec<(&str, usize, usize)> =
            fields.iter().map(|(field, at, width)| (field.as_str(), *at, *width)).collect();
        table.fields(&file, answer, &fields);
        let overhead =
            usize::try_from(u64::from_le_bytes(file[64..72].try_into().unwrap())).unwrap() * 512;
        let marker = overhead.max(512);
        table.fields(
            &file,
            answer,
            &[
                (&format!("{name}: first marker's lba"), marker, 8),
                (&format!("{name}: first marker's size"), marker + 8, 4),
            ],
        );
        table.add(
            format!("{name}: one sector more"),
            answer(&[file.as_slice(), &[0; 512]].concat()),
        );
        table.add(
            format!("{name}: a note behind it"),
            answer(&[file.as_slice(), b"YOUR FILES"].concat()),
        );
    }
    table
}

fn redo_logs() -> Table {
    let mut table = Table::new("vmdk-cowd");
    let disk = disk(1, 9000);
    for (name, reversed) in [("upwards", false), ("downwards", true)] {
        let forged = cowd::write(&disk, &CowdSpec { reversed, ..CowdSpec::default() });
        let (file, truth) = (forged.image.to_bytes(), forged.truth());
        hurt(&mut table, name, &forged, false);
        let answer = |bytes: &[u8]| judge(bytes, &truth, false);
        let fields = [
            ("magicNumber", 0),
            ("version", 4),
            ("flags", 8),
            ("numSectors", 12),
            ("grainSize", 16),
            ("gdOffset", 20),
            ("numGDEntries", 24),
            ("freeSector", 28),
            ("directory entry", 2048),
            ("second directory entry", 2052),
        ];
        let fields = fields.map(|(field, at)| (format!("{name}: {field}"), at, 4));
        let fields: Vec<(&str, usize, usize)> =
            fields.iter().map(|(field, at, width)| (field.as_str(), *at, *width)).collect();
        table.fields(&file, answer, &fields);
    }
    table
}

fn space_efficient() -> Table {
    let mut table = Table::new("vmdk-sesparse");
    let disk = Disk::new(40_000).pattern(0, 8192, 1).pattern(4097 * 4096, 12_288, 3).zero(40_960);
    for (name, journal) in [
        ("clean", JournalSpec::Clean),
        ("dirty", JournalSpec::Dirty),
        ("no journal", JournalSpec::Empty),
    ] {
        let forged = sesparse::write(&disk, &SeSparseSpec { journal, ..SeSparseSpec::default() });
        let (file, truth) = (forged.image.to_bytes(), forged.truth());
        hurt(&mut table, name, &forged, false);
        let answer = |bytes: &[u8]| judge(bytes, &truth, false);
        let words = ["constMagic", "version", "capacity", "grainSize", "grainTableSize", "flags"];
        let areas = [
            "volatileHeader",
            "journalHeader",
            "journal",
            "grainDir",
            "grainTables",
            "freeBitmap",
            "backMap",
            "grains",
        ];
        let mut fields: Vec<(String, usize, usize)> = words
            .iter()
            .enumerate()
            .map(|(nth, field)| (format!("{name}: {field}"), nth * 8, 8))
            .collect();
        for (nth, area) in areas.iter().enumerate() {
            fields.push((format!("{name}: {area} offset"), 80 + nth * 16, 8));
            fields.push((format!("{name}: {area} size"), 88 + nth * 16, 8));
        }
        for (field, at) in [
            ("volatileMagic", 512),
            ("freeGTNumber", 520),
            ("nextTxnSeqNumber", 528),
            ("replayJournal", 536),
            ("journal magic", 1024),
            ("journal sequence", 1032),
            ("directory entry", 4096 * 512),
            ("table entry", 6144 * 512),
        ] {
            fields.push((format!("{name}: {field}"), at, 8));
        }
        let fields: Vec<(&str, usize, usize)> =
            fields.iter().map(|(field, at, width)| (field.as_str(), *at, *width)).collect();
        table.fields(&file, answer, &fields);
    }
    table
}

fn change_tracking() -> Table {
    let mut table = Table::new("vmdk-ctk");
    let mut whole = vec![0; 512];
    whole[..4].copy_from_slice(&0xf619_72a2_u32.to_le_bytes());
    whole[4] = 1;
    whole[12..16].copy_from_slice(&512_u32.to_le_bytes());
    let right = ChangeTracking::parse(&whole).unwrap().value;
    let answer = |bytes: &[u8]| match ChangeTracking::parse(bytes) {
        Ok(found) => partial(&found.defects, 1, 1, found.value != right),
        Err(defect) => format!("refused: {defect}"),
    };
    table.fields(&whole, answer, &[("magic", 0, 4), ("version", 4, 4), ("headerLength", 12, 4)]);
    for length in [0, 1, 4, 16, 59] {
        table.add(format!("{length} bytes"), answer(&whole[..length]));
    }
    table
}

pub(crate) fn tables() -> Vec<Table> {
    vec![hosted(), streams(), redo_logs(), space_efficient(), change_tracking()]
}
