//! Files out of attacked disks: what is handed out as good is good, and what survives is found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::ptr_arg,
    reason = "a test's helpers fail as the test does, and tell what they measured"
)]

mod boot;
mod disk;
mod ext;
mod hostile;
mod logs;
mod lvm;
mod windows;
mod xfs;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{OnceLock, atomic::AtomicBool},
};

use disk::{Disk, ntfs, sha};
use vmglean::{
    guest::{
        Files, Ground, GuestFile, Stream, StreamReader, Verdict, scan::scan, volumes::volumes,
    },
    triage::{
        judge::{Facts, JudgeOptions, Run, State, Survey, judge},
        pass::{Cancel, PassOptions, Stretch, run_pass},
    },
};
use vmglean_forge::damage::{Damage, Geometry, Rng};
use vmglean_formats::{ByteOffset, ReadAt as _};

const MIB: u64 = 1 << 20;

fn shared() -> &'static Disk {
    static DISK: OnceLock<Disk> = OnceLock::new();
    DISK.get_or_init(|| ntfs(100, 900, 4096))
}

/// A file as found, with the hash of its content where that could be read.
struct Found {
    file: GuestFile,
    sha: Option<[u8; 32]>,
}

fn files(bytes: &Vec<u8>, runs: &[Run]) -> Vec<Found> {
    let ground = Ground::new(bytes, runs);
    let stop = AtomicBool::new(false);
    let hits = scan(&ground, 2, &stop, &|_| {});
    let volumes = volumes(&ground, &hits);
    let mut found = Vec::new();
    for volume in &volumes.volumes {
        println!("{:#x} {:?} {:?}", volume.start, volume.kind, volume.rests_on);
        let Some(files) = Files::open(&ground, &hits, volume) else { continue };
        println!(
            "{} records, {} lost names, {}",
            files.records(),
            files.lost_names(),
            files.rests_on()
        );
        let mut sink = |file: GuestFile, stream: Option<Stream>| {
            let content = stream.filter(|stream| stream.size < 64 * MIB).and_then(|stream| {
                let mut bytes = vec![0; stream.size as usize];
                StreamReader::new(&ground, &stream)
                    .read_exact_at(&mut bytes, ByteOffset(0))
                    .ok()?;
                Some(sha(&bytes))
            });
            found.push(Found { file, sha: content });
            Ok(())
        };
        files.each(true, &stop, &mut sink).unwrap();
    }
    found
}

fn true_map(size: u64, encrypted: &[Range<u64>]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut at = 0;
    for range in encrypted {
        runs.push(Run::new(at..range.start, State::Intact, 0));
        runs.push(Run::new(range.clone(), State::Encrypted, 0));
        at = range.end;
    }
    runs.push(Run::new(at..size, State::Intact, 0));
    runs
}

fn judged_map(bytes: &Vec<u8>) -> Vec<Run> {
    let mut survey = Survey::new();
    let mut sink = |stretch: &Stretch| {
        survey.take(stretch);
        Ok(())
    };
    run_pass(bytes, &PassOptions::default(), &mut sink, &Cancel::default()).unwrap();
    survey.finish();
    judge(bytes, survey, &Facts::default(), JudgeOptions::default()).runs
}

fn path(file: &GuestFile) -> String {
    String::from_utf8_lossy(&file.path).into_owned()
}

#[test]
fn every_file_of_an_undamaged_disk_is_found_whole_with_its_true_content() {
    let disk = shared();
    let found = all_are_whole(disk);
    let kinds = ["gzip", "png"];
    for one in found.iter().filter(|one| kinds.contains(&one.file.kind.as_str())) {
        assert_eq!(one.file.verdict, Verdict::Proven, "{:?}", one.file);
    }
    let deleted = found.iter().filter(|one| one.file.is_deleted && !one.file.is_folder).count();
    println!("{} files, {deleted} deleted", found.len());
    assert!(deleted > 20);
    // Grown between others, a log has more parts than one record can describe.
    let parts = |one: &&Found| path(&one.file).starts_with("Logs/") && one.file.places.len() > 150;
    assert!(found.iter().filter(parts).count() >= 3);
}

/// What is found on an undamaged disk, once all of it is what was put there.
fn all_are_whole(disk: &Disk) -> Vec<Found> {
    let found = files(&disk.bytes, &true_map(disk.bytes.len() as u64, &[]));
    let mut by_path: BTreeMap<String, &Found> = BTreeMap::new();
    for one in &found {
        if !one.file.is_deleted {
            by_path.insert(path(&one.file), one);
            for link in &one.file.links {
                by_path.insert(String::from_utf8_lossy(link).into_owned(), one);
            }
        }
    }
    // Files whose attributes spread over several records (these logs) are not found yet.
    for (name, hash) in disk.truth.iter().filter(|(name, _)| !name.starts_with("Logs/")) {
        let one = by_path.get(name).unwrap_or_else(|| panic!("{name} is not found"));
        assert!(one.file.is_whole(), "{name}: {:?}", one.file);
        assert_eq!(one.sha.as_ref(), Some(hash), "{name}: {:?}", one.file);
    }
    found
}

fn key(file: &GuestFile) -> (u64, String) {
    let path = path(file);
    let name = path.rsplit('/').next().unwrap_or_default();
    (file.record_number, name.split_once(':').map_or_else(String::new, |(_, s)| s.to_owned()))
}

/// `count` runs of lengths within `lengths`, at places that no rule gives.
fn scattered(size: u64, count: u64, lengths: Range<u64>) -> Geometry {
    let mut rng = Rng::new(count);
    let room = size / count;
    let run = |n: u64| {
        let length = rng.within(lengths.start, lengths.end);
        let start = n * room + rng.within(0, room - length);
        start..start + length
    };
    Geometry::Irregular((0..count).map(run).collect())
}

/// Attacks of every shape, over a disk of `size` bytes.
fn attacks(size: u64) -> Vec<(&'static str, Geometry)> {
    let every = |run, period| Geometry::Periodic { start: 0, run, period, stop: None };
    vec![
        ("1 MiB in 10 MiB", every(MIB, 10 * MIB)),
        ("first 20 MiB", Geometry::Head { bytes: 20 * MIB }),
        ("64 KiB in 640 KiB", every(64 << 10, 640 << 10)),
        ("20 % of each eighth", Geometry::PercentOfBlocks { blocks: 8, percent: 20 }),
        ("16 MiB in 32 MiB", every(16 * MIB, 32 * MIB)),
        ("1 MiB in 2 MiB", every(MIB, 2 * MIB)),
        ("first 64 MiB", Geometry::Head { bytes: 64 * MIB }),
        ("1 MB in 3 MB", every(1_000_000, 3_000_000)),
        ("first 100,000 bytes", Geometry::Head { bytes: 100_000 }),
        ("4 KiB in 64 KiB", every(4096, 65_536)),
        ("300 bytes in 50,000", every(300, 50_000)),
        ("300 bytes at odd places", scattered(size, 2000, 300..301)),
        ("100 to 900 bytes at odd places", scattered(size, 2000, 100..901)),
        ("every fifth MiB and the last", Geometry::PlayBlocks { block: MIB, step: 5 }),
        ("half, in four parts", Geometry::Chunks { count: 4, run: size / 8, step: size / 4 }),
        (
            "odd places",
            Geometry::Irregular(vec![
                5_000_001..5_700_003,
                9_000_777..9_001_000,
                30 * MIB + 333..41 * MIB + 1,
                70 * MIB..70 * MIB + 4096,
            ]),
        ),
        (
            "comb, broken off",
            Geometry::Interrupted { inner: Box::new(every(MIB, 3 * MIB)), at: 50 * MIB + 12_345 },
        ),
        ("first 1.5 MiB", Geometry::Head { bytes: 3 * MIB / 2 }),
        (
            "first 1.5 MiB, the mirror, and the end",
            Geometry::Irregular(vec![
                0..3 * MIB / 2,
                size / 2 - 2 * MIB..size / 2 + MIB,
                size - 2 * MIB..size,
            ]),
        ),
        (
            "from 5 MiB on",
            Geometry::Periodic { start: 5 * MIB, run: MIB, period: 10 * MIB, stop: None },
        ),
    ]
}

/// What became of the files of an attacked disk.
#[derive(Debug, Default)]
struct Score {
    survive: usize,
    found: usize,
    whole: usize,
    /// Of the whole ones, those with content that does not prove itself.
    intact: usize,
    wrong: Vec<String>,
    /// Of those that survive, the ones not found, by record.
    missed: Vec<u64>,
}

fn score(truth: &Truth, encrypted: &[Range<u64>], found: &[Found]) -> Score {
    let hit = |from: u64, length: u64| {
        let next = encrypted.partition_point(|range| range.end <= from);
        encrypted.get(next).is_some_and(|range| range.start < from + length)
    };
    let mut score = Score::default();
    let mut whole = BTreeMap::new();
    for one in found {
        let file = &one.file;
        if !file.is_whole() || file.is_folder || file.is_system || file.is_deleted {
            continue;
        }
        score.whole += 1;
        score.intact += usize::from(file.verdict == Verdict::Intact && file.size > 0);
        if truth.get(&key(file)).map(|known| &known.sha) == Some(&one.sha) {
            whole.insert(key(file), ());
        } else {
            score.wrong.push(format!("{file:?}"));
        }
    }
    for (key, known) in truth {
        let record = known.file.record_at.unwrap_or_default();
        let survives = !hit(record, 1024)
            && known.file.places.iter().all(|place| {
                place.disk_offset.is_none_or(|at| !hit(at, place.length.div_ceil(4096) * 4096))
            });
        if survives {
            score.survive += 1;
            score.found += usize::from(whole.contains_key(key));
            if !whole.contains_key(key) {
                score.missed.push(key.0);
            }
        }
    }
    score
}

type Truth = BTreeMap<(u64, String), Found>;

/// Files of the undamaged disk whose content is proven by the mount's hashes.
fn truth(disk: &Disk) -> Truth {
    let found = files(&disk.bytes, &true_map(disk.bytes.len() as u64, &[]));
    found
        .into_iter()
        .filter(|one| !one.file.is_folder && !one.file.is_system && !one.file.is_deleted)
        .map(|one| (key(&one.file), one))
        .collect()
}

#[test]
fn nothing_wrong_is_handed_out_as_good_and_what_survives_is_found() {
    let disk = shared();
    let truth = truth(disk);
    for (n, (name, geometry)) in attacks(disk.bytes.len() as u64).into_iter().enumerate() {
        let mut bytes = disk.bytes.clone();
        let done = Damage::plain(geometry, n as u64).apply(&mut bytes);
        let known = score(
            &truth,
            &done.encrypted,
            &files(&bytes, &true_map(done.size_bytes, &done.encrypted)),
        );
        let made = score(&truth, &done.encrypted, &files(&bytes, &judged_map(&bytes)));
        println!(
            "{name}: {} survive; true map: {} found, {} whole, {} wrong; own map: {} found, {} whole, {} wrong",
            known.survive,
            known.found,
            known.whole,
            known.wrong.len(),
            made.found,
            made.whole,
            made.wrong.len()
        );
        assert!(known.wrong.is_empty(), "{name}: {:?}", known.wrong.first());
        assert!(made.wrong.is_empty(), "{name}, own map: {:?}", made.wrong.first());
        assert!(known.found * 100 >= known.survive * 99, "{name}: {known:?}");
    }
}

#[test]
fn small_and_large_clusters_change_nothing() {
    for cluster in [512, 65_536] {
        let disk = ntfs(60, 500, cluster);
        all_are_whole(&disk);
        let truth = truth(&disk);
        let size = disk.bytes.len() as u64;
        // The third's table of files and its mirror are lost: only votes tell the cluster.
        for (name, geometry) in [
            (
                "1 MiB in 10 MiB",
                Geometry::Periodic { start: 0, run: MIB, period: 10 * MIB, stop: None },
            ),
            ("first 20 MiB", Geometry::Head { bytes: 20 * MIB }),
            (
                "first 1.5 MiB, the mirror, and the end",
                Geometry::Irregular(vec![
                    0..3 * MIB / 2,
                    size / 2 - 2 * MIB..size / 2 + MIB,
                    size - 2 * MIB..size,
                ]),
            ),
        ] {
            let mut bytes = disk.bytes.clone();
            let done = Damage::plain(geometry, u64::from(cluster)).apply(&mut bytes);
            let map = true_map(done.size_bytes, &done.encrypted);
            let known = score(&truth, &done.encrypted, &files(&bytes, &map));
            let made = score(&truth, &done.encrypted, &files(&bytes, &judged_map(&bytes)));
            println!(
                "{cluster}, {name}: {} survive, {} found; own map: {} found, {} wrong",
                known.survive,
                known.found,
                made.found,
                made.wrong.len()
            );
            assert!(known.wrong.is_empty(), "{name}: {:?}", known.wrong.first());
            assert!(made.wrong.is_empty(), "{name}, own map: {:?}", made.wrong.first());
            assert!(known.found * 100 >= known.survive * 99, "{name}: {known:?}");
        }
    }
}

/// Files that Sleuth Kit writes out: right ones and wrong ones, by path and hash.
fn sleuthkit(disk: &Disk, bytes: &[u8]) -> (usize, usize) {
    let scratch = tempfile::tempdir().unwrap();
    let (image, out) = (scratch.path().join("disk.img"), scratch.path().join("out"));
    std::fs::write(&image, bytes).unwrap();
    std::fs::create_dir(&out).unwrap();
    let start = (disk::START / 512).to_string();
    // It fails where it finds no file system; then it has written nothing.
    std::process::Command::new("tsk_recover")
        .args(["-a", "-o", &start, image.to_str().unwrap(), out.to_str().unwrap()])
        .output()
        .expect("tsk_recover; tests/run installs it");
    let (mut right, mut wrong) = (0, 0);
    let mut found = BTreeMap::new();
    disk::hashes(&out, &out, &mut found);
    for (path, sha) in found {
        match disk.truth.get(&path) {
            Some(known) if *known == sha => right += 1,
            Some(_) => wrong += 1,
            None => {}
        }
    }
    (right, wrong)
}

#[test]
fn at_least_as_many_right_files_as_sleuth_kit_finds_and_none_wrong() {
    let disk = shared();
    let truth = truth(disk);
    for (n, (name, geometry)) in attacks(disk.bytes.len() as u64).into_iter().take(2).enumerate() {
        let mut bytes = disk.bytes.clone();
        let done = Damage::plain(geometry, n as u64).apply(&mut bytes);
        let ours = score(&truth, &done.encrypted, &files(&bytes, &judged_map(&bytes)));
        let (right, wrong) = sleuthkit(disk, &bytes);
        let whole = ours.whole - ours.wrong.len();
        println!("{name}: vmglean {whole} right, 0 wrong; Sleuth Kit {right} right, {wrong} wrong");
        assert!(ours.wrong.is_empty(), "{name}: {:?}", ours.wrong);
        assert!(whole >= right, "{name}: {whole} of ours, {right} of theirs");
    }
}

#[test]
fn get_writes_whole_files_only_each_with_hash_and_origin() {
    let disk = shared();
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("evidence");
    std::fs::create_dir(&source).unwrap();
    let image = source.join("fs01-flat.vmdk");
    let mut bytes = disk.bytes.clone();
    let comb = Geometry::Periodic { start: 0, run: MIB, period: 10 * MIB, stop: None };
    Damage::plain(comb, 3).apply(&mut bytes);
    std::fs::write(&image, &bytes).unwrap();
    let out = scratch.path().join("out");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vmglean"));
        command.arg("files").arg(&image).args(arguments).output().unwrap()
    };
    let done = run(&["get", "--out", out.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}");
    let manifest = std::fs::read_to_string(out.join("MANIFEST.jsonl")).unwrap();
    let mut right = 0;
    for line in manifest.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = line["path"].as_str().unwrap();
        let written = std::fs::read(out.join(line["output"].as_str().unwrap())).unwrap();
        let hash = sha(&written);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line["sha256"], hex.as_str());
        assert_eq!(disk.truth.get(name), Some(&hash), "{name}");
        for range in line["ranges"].as_array().unwrap() {
            let Some(from) = range["source_offset_bytes"].as_u64() else { continue };
            // Compressed files and those in records do not lie on the disk as they are.
            let to = from + range["length_bytes"].as_u64().unwrap();
            if name.starts_with("Shares") && written.len() > 2000 {
                let offset = range["offset_bytes"].as_u64().unwrap() as usize;
                let on_disk = &bytes[from as usize..to as usize];
                assert_eq!(&written[offset..offset + on_disk.len()], on_disk, "{name}");
            }
        }
        right += 1;
    }
    assert!(right > 500, "{right}: {said}");
    let list = std::fs::read_to_string(out.join("hashdeep.txt")).unwrap();
    assert_eq!(list.lines().count(), right + 2);
    let summary = std::fs::read_to_string(out.join("SUMMARY.txt")).unwrap();
    assert!(summary.contains(" files whole, "), "{summary}");
    // Never over what is there, never into the evidence.
    assert_eq!(run(&["get", "--out", out.to_str().unwrap()]).status.code(), Some(4));
    let inside = source.join("out");
    assert_eq!(run(&["get", "--out", inside.to_str().unwrap()]).status.code(), Some(4));
    assert_eq!(std::fs::read(&image).unwrap(), bytes);
    let listed = run(&["ls", "--jsonl", "Data/**"]);
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().any(|l| l["path"] == "Data/large.sql" && l["verdict"] == "partial"));
    assert!(lines.iter().all(|line| line["path"].as_str().unwrap().starts_with("Data/")));
}
