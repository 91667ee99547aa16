//! Files out of attacked disks: what is handed out as good is good, and what survives is found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod disk;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{OnceLock, atomic::AtomicBool},
};

use disk::{Disk, ntfs, sha};
use vmglean::{
    guest::{
        Ground, GuestFile, NtfsFiles, Verdict, ntfs::StreamReader, scan::scan,
        volumes::volumes,
    },
    triage::{
        judge::{Facts, JudgeOptions, Run, State, Survey, judge},
        pass::{Cancel, PassOptions, Stretch, run_pass},
    },
};
use vmglean_formats::{ByteOffset, ReadAt as _};

const MIB: u64 = 1 << 20;

fn shared() -> &'static Disk {
    static DISK: OnceLock<Disk> = OnceLock::new();
    DISK.get_or_init(|| ntfs(120, 2000))
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
        let Some(files) = NtfsFiles::open(&ground, &hits, volume) else { continue };
        println!("{} records, {} lost names, {}", files.records(), files.lost_names(), files.rests_on());
        let mut sink = |file: GuestFile, stream: Option<vmglean::guest::ntfs::Stream>| {
            let content = stream.filter(|stream| stream.size < 64 * MIB).and_then(|stream| {
                let mut bytes = vec![0; stream.size as usize];
                StreamReader::new(&ground, &stream).read_exact_at(&mut bytes, ByteOffset(0)).ok()?;
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
    judge(bytes, &survey, &Facts::default(), JudgeOptions::default()).runs
}

fn path(file: &GuestFile) -> String {
    String::from_utf8_lossy(&file.path).into_owned()
}

#[test]
fn every_file_of_an_undamaged_disk_is_found_whole_with_its_true_content() {
    let disk = shared();
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
    for (name, hash) in &disk.truth {
        let one = by_path.get(name).unwrap_or_else(|| panic!("{name} is not found"));
        assert!(one.file.is_whole(), "{name}: {:?}", one.file);
        assert_eq!(one.sha.as_ref(), Some(hash), "{name}: {:?}", one.file);
    }
    let kinds = ["gzip", "png"];
    for one in found.iter().filter(|one| kinds.contains(&one.file.kind.as_str())) {
        assert_eq!(one.file.verdict, Verdict::Proven, "{:?}", one.file);
    }
    let deleted = found.iter().filter(|one| one.file.is_deleted && !one.file.is_folder).count();
    println!("{} files, {deleted} deleted", found.len());
    assert!(deleted > 20);
}
