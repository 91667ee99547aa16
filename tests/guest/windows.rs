//! An NTFS volume that Windows made and used: from published test data, which `tests/corpus` gets;
//! read a second time by Sleuth Kit, then attacked.

use std::{collections::BTreeMap, fs, io::Read as _, process::Command};

use flate2::read::GzDecoder;
use vmglean_forge::{
    corpus,
    damage::{Damage, Geometry},
};

use super::{
    Found, MIB,
    disk::{partitioned, sha, tool},
    files, judged_map, key, scattered, true_map,
};

/// Content by record and stream.
type Contents = BTreeMap<(u64, String), [u8; 32]>;

/// The volume's bytes; `None` where they are not at hand.
fn volume() -> Option<Vec<u8>> {
    let Some(packed) = corpus::file("ntfs/windows.bin.gz") else {
        println!("left out: no NTFS made by Windows is at hand (tests/corpus gets it)");
        return None;
    };
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// What Sleuth Kit reads of all files in use, those of the file system with them.
fn by_sleuth_kit(volume: &[u8]) -> Contents {
    let scratch = tempfile::tempdir().unwrap();
    let image = scratch.path().join("volume.img");
    fs::write(&image, volume).unwrap();
    let image = image.to_str().unwrap();
    let mut contents = Contents::new();
    for line in tool("fls", &["-rpu", image]).lines() {
        // r/r 44-128-3:	Large.txt, and with :name behind it for another stream.
        let Some((inode, name)) = line.strip_prefix("r/r ").and_then(|l| l.split_once(":\t"))
        else {
            continue;
        };
        let mut parts = inode.split('-');
        let (record, kind) = (parts.next().unwrap().parse().unwrap(), parts.next().unwrap());
        // Of the list of bad clusters, all of it a hole, icat writes nothing.
        if kind != "128" || name.starts_with("$BadClus") {
            continue;
        }
        let stream = name.split_once(':').map_or_else(String::new, |(_, stream)| stream.to_owned());
        let read = Command::new("icat").args([image, inode]).output().unwrap();
        contents.insert((record, stream), sha(&read.stdout));
    }
    contents
}

/// Files that are handed out as good, by record and stream.
fn whole(found: &[Found]) -> impl Iterator<Item = &Found> {
    found.iter().filter(|one| {
        let is_file = !one.file.is_folder && !one.file.is_deleted && one.file.record_number != 8;
        is_file && one.file.is_whole() && one.sha.is_some()
    })
}

#[test]
fn a_volume_of_windows_is_read_as_sleuth_kit_reads_it_and_nothing_wrong_comes_out_of_its_damage() {
    let Some(volume) = volume() else { return };
    let truth = by_sleuth_kit(&volume);
    let disk = partitioned(&volume, "1:0700");
    let size = disk.len() as u64;
    let found = files(&disk, &true_map(size, &[]));
    let mut right = Contents::new();
    for one in whole(&found) {
        let known = truth.get(&key(&one.file));
        assert_eq!(known, one.sha.as_ref(), "{:?}", one.file);
        right.insert(key(&one.file), one.sha.unwrap());
    }
    println!("{} of {} are whole", right.len(), truth.len());
    let users = |name: &(u64, String)| name.0 >= 35 && name.1.is_empty();
    for name in truth.keys().filter(|name| users(name)) {
        assert!(right.contains_key(name), "{name:?} is not found");
    }
    let folders = found.iter().filter(|one| one.file.is_folder && !one.file.is_deleted).count();
    assert!(folders > 2000, "{folders}");

    let every = |run, period| Geometry::Periodic { start: 0, run, period, stop: None };
    let attacks = [
        ("1 MiB in 10 MiB", every(MIB, 10 * MIB)),
        ("first 1.5 MiB", Geometry::Head { bytes: 3 * MIB / 2 }),
        ("first 4 MiB", Geometry::Head { bytes: 4 * MIB }),
        ("first 100,000 bytes", Geometry::Head { bytes: 100_000 }),
        ("64 KiB in 640 KiB", every(64 << 10, 640 << 10)),
        ("1 MiB in 2 MiB", every(MIB, 2 * MIB)),
        ("4 KiB in 64 KiB", every(4096, 65_536)),
        ("300 bytes in 50,000", every(300, 50_000)),
        ("1 MB in 3 MB", every(1_000_000, 3_000_000)),
        ("20 % of each eighth", Geometry::PercentOfBlocks { blocks: 8, percent: 20 }),
        ("half, in four parts", Geometry::Chunks { count: 4, run: size / 8, step: size / 4 }),
        ("odd places", Geometry::Irregular(vec![1_100_001..1_200_003, 5_000_777..5_900_000])),
        ("300 bytes at 200 odd places", scattered(size, 200, 300..301)),
        ("100 to 900 bytes at 200 odd places", scattered(size, 200, 100..901)),
    ];
    for (n, (name, geometry)) in attacks.into_iter().enumerate() {
        let mut bytes = disk.clone();
        let done = Damage::plain(geometry, n as u64).apply(&mut bytes);
        let known = files(&bytes, &true_map(done.size_bytes, &done.encrypted));
        let made = files(&bytes, &judged_map(&bytes));
        println!("{name}: {} whole; own map: {}", whole(&known).count(), whole(&made).count());
        for one in whole(&known).chain(whole(&made)) {
            let known = truth.get(&key(&one.file));
            assert_eq!(known, one.sha.as_ref(), "{name}: {:?}", one.file);
        }
        // Whatever no byte of was hit is found.
        let is_hit = |from: u64, length: u64| {
            done.encrypted.iter().any(|range| range.start < from + length && from < range.end)
        };
        for one in whole(&found).filter(|one| !one.file.is_system) {
            let places = one.file.places.iter();
            let survives = !is_hit(one.file.record_at.unwrap_or_default(), 1024)
                && places
                    .filter_map(|place| Some((place.disk_offset?, place.length)))
                    .all(|(at, length)| !is_hit(at, length.div_ceil(4096) * 4096));
            if survives {
                let name_of = key(&one.file);
                let again = whole(&known).any(|other| key(&other.file) == name_of);
                assert!(again, "{name}: {:?} is not found", one.file);
            }
        }
    }
}
