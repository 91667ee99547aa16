//! XFS made by mkfs.xfs, mounted by the kernel and filled, then attacked.

use std::{
    collections::BTreeMap,
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
    process::Command,
};

use vmglean::guest::{GuestFile, Verdict};
use vmglean_forge::damage::{Damage, Rng};
use vmglean_formats::xfs::{LogRecord, Superblock};

use super::{
    Found, MIB, attacks,
    disk::{Disk, START, below, gzip, partitioned, png, sha, text, tool},
    files, judged_map, path, score, true_map, truth,
};

/// What is made: name, and arguments of mkfs.xfs.
type Kind = (&'static str, &'static [&'static str]);

const USUAL: Kind = ("XFS as mkfs.xfs makes it", &[]);
const KINDS: [Kind; 3] = [
    USUAL,
    (
        "XFS, blocks of 1 KiB, folders of 4 KiB, reverse maps, 64-bit counts",
        &["-b", "size=1024", "-n", "size=4096", "-i", "nrext64=1", "-m", "rmapbt=1"],
    ),
    (
        "XFS as of old, sectors and folders of many KiB: no sparse chunks, big times, shared blocks",
        &[
            "-s",
            "size=4096",
            "-n",
            "size=16384",
            "-i",
            "sparse=0",
            "-m",
            "bigtime=0,reflink=0,finobt=0,inobtcount=0",
        ],
    ),
];

const MIB_OF_VOLUME: u64 = 100;

/// A volume in a file, mounted while this lives.
struct Mount<'a> {
    at: &'a Path,
}

impl<'a> Mount<'a> {
    fn new(image: &str, at: &'a Path) -> Self {
        tool("mount", &["-t", "xfs", "-o", "loop", image, at.to_str().unwrap()]);
        Self { at }
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.at).status();
    }
}

/// Whether this machine mounts XFS; without, there is nothing to fill.
fn can_mount() -> bool {
    let _ = Command::new("modprobe").arg("xfs").output();
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has_loops = Path::new("/dev/loop-control").exists();
    let can = has_loops && known.lines().any(|line| line.ends_with("\txfs"));
    if !can {
        println!("the kernel has no XFS, or no loop devices: skipped");
    }
    can
}

fn fill(root: &Path, small: usize) {
    let mut rng = Rng::new(4713);
    let put = |name: &str, bytes: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for n in 0..small {
        let folder = format!("srv/dept {}/project {:03}", n % 7, n % 61);
        let length = 1 + below(&mut rng, if n % 5 == 0 { 60_000 } else { 9_000 }) as usize;
        let bytes = text(&mut rng, length);
        match n % 9 {
            0 => put(&format!("{folder}/archive {n}.gz"), &gzip(&bytes)),
            1 => put(&format!("{folder}/scan {n}.png"), &png(&bytes)),
            2 => put(&format!("{folder}/tiny {n}.ini"), &bytes[..length.min(100)]),
            _ => put(&format!("{folder}/Überblick {n}.txt"), &bytes),
        }
    }
    // Names for folders of one block, of some with one leaf, and of many with a tree.
    for (folder, count) in [("some", 30), ("more", 150), ("many", 900)] {
        for n in 0..count {
            put(
                &format!("{folder}/a name that takes some room in its folder {n}.log"),
                &[b'x'; 40],
            );
        }
    }
    put(&format!("some/{}", "n".repeat(255)), b"a long name");
    let large = text(&mut rng, 9 << 20);
    put("data/large.sql", &large);
    // Every second piece is a hole: more extents than an inode or one block can describe.
    put("data/combed.bin", b"");
    let mut combed = fs::OpenOptions::new().write(true).open(root.join("data/combed.bin")).unwrap();
    for n in 0..1000_u64 {
        combed.seek(SeekFrom::Start(n * 8192)).unwrap();
        combed.write_all(&large[n as usize * 4096..][..4096]).unwrap();
    }
    combed.set_len(9 << 20).unwrap();
    drop(combed);
    // Grown in turns, so that neither lies in one piece.
    let mut turns: Vec<fs::File> = (0..3)
        .map(|n| fs::File::create(root.join(format!("data/grown {n}.log"))).unwrap())
        .collect();
    for n in 0..60_usize {
        for file in &mut turns {
            file.write_all(&large[n * 5000..][..4000 + n]).unwrap();
            file.sync_data().unwrap();
        }
    }
    put("data/first.txt", &large[..12_345]);
    fs::create_dir_all(root.join("links")).unwrap();
    fs::hard_link(root.join("data/first.txt"), root.join("links/second name.txt")).unwrap();
    symlink("../data/first.txt", root.join("links/short")).unwrap();
    symlink("x".repeat(900), root.join("links/long")).unwrap();
    put("data/empty.txt", b"");
    let reserved = root.join("data/reserved.bin");
    tool(
        "xfs_io",
        &[
            "-f",
            "-c",
            "falloc 0 1m",
            "-c",
            "pwrite -q -S 0x41 300k 20k",
            reserved.to_str().unwrap(),
        ],
    );
    for n in 0..30 {
        put(&format!("old/gone {n}.gz"), &gzip(&text(&mut rng, 30_000)));
    }
    for n in 0..400 {
        put(&format!("old/heap/given up {n}.txt"), &text(&mut rng, 6000));
    }
    tool(
        "cp",
        &[
            "--reflink=auto",
            root.join("data/large.sql").to_str().unwrap(),
            root.join("data/copy.sql").to_str().unwrap(),
        ],
    );
    let mut copy = fs::OpenOptions::new().write(true).open(root.join("data/copy.sql")).unwrap();
    copy.seek(SeekFrom::Start(3 << 20)).unwrap();
    copy.write_all(b"changed in the copy alone").unwrap();
}

/// Hashes of all files, links left out.
fn hashes_of_files(root: &Path) -> BTreeMap<String, [u8; 32]> {
    let mut truth = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                truth.insert(name, sha(&fs::read(entry.path()).unwrap()));
            }
        }
    }
    truth
}

/// Makes a volume of such a kind in `scratch`; its truth is what the kernel reads after a mount
/// anew.
fn volume(scratch: &Path, kind: Kind, small: usize) -> (String, BTreeMap<String, [u8; 32]>) {
    let (image, at) = (scratch.join("volume.img"), scratch.join("mounted"));
    fs::create_dir(&at).unwrap();
    fs::File::create(&image).unwrap().set_len(MIB_OF_VOLUME << 20).unwrap();
    let image = image.to_str().unwrap().to_owned();
    let mut arguments = vec!["--unsupported", "-q", "-f"];
    arguments.extend(kind.1);
    arguments.push(&image);
    tool("mkfs.xfs", &arguments);
    {
        let mount = Mount::new(&image, &at);
        fill(mount.at, small);
    }
    {
        // What is on the disk by now is given up, inodes and all, and some of it used again.
        let mount = Mount::new(&image, &at);
        fs::remove_dir_all(mount.at.join("old/heap")).unwrap();
        for n in 0..30 {
            fs::remove_file(mount.at.join(format!("old/gone {n}.gz"))).unwrap();
        }
        tool("sync", &["-f", mount.at.to_str().unwrap()]);
        let mut rng = Rng::new(99);
        for n in 0..40 {
            fs::write(mount.at.join(format!("old/new {n}.txt")), text(&mut rng, 20_000)).unwrap();
        }
    }
    let mount = Mount::new(&image, &at);
    (image, hashes_of_files(mount.at))
}

fn make(kind: Kind, small: usize) -> Disk {
    let scratch = tempfile::tempdir().unwrap();
    let (image, truth) = volume(scratch.path(), kind, small);
    Disk { bytes: partitioned(&fs::read(image).unwrap(), "1:8300"), truth }
}

fn wholly_found(name: &str, disk: &Disk) {
    let found = files(&disk.bytes, &true_map(disk.bytes.len() as u64, &[]));
    let mut by_path = BTreeMap::new();
    for one in found.iter().filter(|one| !one.file.is_system && !one.file.is_folder) {
        assert_ne!(one.file.verdict, Verdict::Contradicted, "{name}: {:?}", one.file);
        if one.file.is_deleted {
            assert!(!one.file.is_whole(), "{name}: {:?}", one.file);
            continue;
        }
        by_path.insert(path(&one.file), one);
        for link in &one.file.links {
            by_path.insert(String::from_utf8_lossy(link).into_owned(), one);
        }
    }
    for (file, hash) in &disk.truth {
        let one = by_path.remove(file).unwrap_or_else(|| panic!("{name}: {file} is not found"));
        assert!(one.file.is_whole(), "{name}: {:?}", one.file);
        assert_eq!(one.sha.as_ref(), Some(hash), "{name}: {:?}", one.file);
        if file.ends_with(".gz") || file.ends_with(".png") {
            assert_eq!(one.file.verdict, Verdict::Proven, "{name}: {:?}", one.file);
        }
    }
    for (link, target) in [("short", "../data/first.txt".to_owned()), ("long", "x".repeat(900))] {
        let one = by_path.remove(&format!("links/{link}")).expect(link);
        assert!(one.file.notes.iter().any(|note| note.ends_with(&target)), "{:?}", one.file);
    }
    assert!(by_path.is_empty(), "{name}: {:?}", by_path.keys());
    let grown = &found.iter().find(|one| path(&one.file) == "data/combed.bin").unwrap().file;
    assert!(grown.places.len() > 500, "{}", grown.places.len());
}

#[test]
fn every_file_is_found_whole_as_the_kernel_reads_it() {
    if !can_mount() {
        return;
    }
    for kind in KINDS {
        let disk = make(kind, 400);
        wholly_found(kind.0, &disk);
    }
}

#[test]
fn nothing_wrong_is_handed_out_of_an_attacked_xfs_volume() {
    if !can_mount() {
        return;
    }
    let mut missed = Vec::new();
    for kind in KINDS {
        let disk = make(kind, 400);
        let truth = truth(&disk);
        // The usual kind meets every attack, the others a third of them each.
        let all = attacks(disk.bytes.len() as u64).into_iter().enumerate();
        for (n, (name, geometry)) in all.filter(|(n, _)| kind == USUAL || n % 3 == kind.1.len() % 3)
        {
            let mut bytes = disk.bytes.clone();
            let done = Damage::plain(geometry, n as u64).apply(&mut bytes);
            let map = true_map(done.size_bytes, &done.encrypted);
            let known = score(&truth, &done.encrypted, &files(&bytes, &map));
            let made = score(&truth, &done.encrypted, &files(&bytes, &judged_map(&bytes)));
            println!(
                "{}, {name}: {} survive; true map: {} found, {} whole, {} wrong; own map: {} \
                 found, {} wrong",
                kind.0,
                known.survive,
                known.found,
                known.whole,
                known.wrong.len(),
                made.found,
                made.wrong.len()
            );
            assert!(known.wrong.is_empty(), "{name}: {:?}", known.wrong.first());
            assert!(made.wrong.is_empty(), "{name}, own map: {:?}", made.wrong.first());
            let is_left = |range: std::ops::Range<u64>| {
                done.encrypted.iter().all(|hit| hit.end <= range.start || hit.start >= range.end)
            };
            if !is_left(log_end(&disk.bytes)) {
                println!("whether the log was written back is lost");
                assert_eq!(known.intact, 0, "{name}: {known:?}");
                continue;
            }
            // Whether an inode is in use stands at the start of its group; folders tell of others.
            let shape = Superblock::parse(&disk.bytes[START as usize..]).unwrap();
            let is_told = |inode: &u64| {
                let (group, _) = shape.inode_group(*inode);
                let start = START + shape.group_offset(group).unwrap();
                is_left(start..start + 8 * shape.block_bytes)
            };
            let untold = known.missed.iter().filter(|inode| !is_told(inode)).count();
            if untold > 0 {
                println!("whether {untold} inodes are in use is lost");
            }
            if known.found * 100 < (known.survive - untold) * 99 || untold * 10 > known.survive {
                missed.push(format!("{}, {name}: {known:?}", kind.0));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// The newest record of the log, and the sector behind it.
fn log_end(bytes: &[u8]) -> std::ops::Range<u64> {
    let records = sectors(bytes, b"\xFE\xED\xBA\xBE")
        .into_iter()
        .filter_map(|at| Some((LogRecord::parse(&bytes[at as usize..][..512])?, at)));
    let newest = records.max_by_key(|(record, _)| (record.cycle, record.sector)).unwrap();
    let length = newest.0.end() - u64::from(newest.0.sector) + 1;
    newest.1..newest.1 + length * 512
}

/// Files by the number of their inode, as the kernel reads them once it has made the changes that
/// wait in the log.
fn after_recovery(image: &str, at: &Path) -> BTreeMap<u64, [u8; 32]> {
    let mount = Mount::new(image, at);
    let mut waiting = vec![mount.at.to_owned()];
    let mut truth = BTreeMap::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                truth
                    .insert(entry.metadata().unwrap().ino(), sha(&fs::read(entry.path()).unwrap()));
            }
        }
    }
    truth
}

#[test]
fn changes_that_wait_in_the_log_are_believed_of_no_file_that_they_touch() {
    if !can_mount() {
        return;
    }
    for kind in KINDS.iter().take(2) {
        let scratch = tempfile::tempdir().unwrap();
        let (image, before) = volume(scratch.path(), *kind, 300);
        let at = scratch.path().join("mounted");
        {
            let mount = Mount::new(&image, &at);
            fs::rename(at.join("data/first.txt"), at.join("data/renamed.txt")).unwrap();
            let names = before.keys().filter(|name| name.starts_with("srv/dept 1/"));
            for name in names {
                fs::remove_file(at.join(name)).unwrap();
            }
            fs::remove_file(at.join("data/large.sql")).unwrap();
            tool("sync", &["-f", mount.at.to_str().unwrap()]);
            // What was given up is used again, on the disk, while the log alone tells.
            let mut rng = Rng::new(7);
            for n in 0..60 {
                let mut file = fs::File::create(at.join(format!("data/new {n}.txt"))).unwrap();
                file.write_all(&text(&mut rng, 150_000)).unwrap();
                file.sync_all().unwrap();
            }
            let mut grown = fs::OpenOptions::new();
            let mut grown = grown.append(true).open(at.join("data/grown 1.log")).unwrap();
            grown.write_all(&[b'y'; 50_000]).unwrap();
            grown.sync_all().unwrap();
            // Then the machine stops.
            tool("xfs_io", &["-x", "-c", "shutdown -f", mount.at.to_str().unwrap()]);
        }
        let bytes = partitioned(&fs::read(&image).unwrap(), "1:8300");
        let truth = after_recovery(&image, &at);
        let found = files(&bytes, &true_map(bytes.len() as u64, &[]));
        let content =
            |one: &&Found| !one.file.is_folder && !one.file.is_system && one.sha.is_some();
        let whole: Vec<&Found> =
            found.iter().filter(content).filter(|one| one.file.is_whole()).collect();
        for one in &whole {
            assert_eq!(truth.get(&one.file.record_number), one.sha.as_ref(), "{:?}", one.file);
        }
        let touched =
            |file: &GuestFile| file.doubts.iter().any(|doubt| doubt.contains("in the log"));
        let count = found.iter().filter(content).filter(|one| touched(&one.file)).count();
        println!("{} of {} files whole, {count} touched", whole.len(), truth.len());
        assert!(whole.len() * 10 > (truth.len() - 62) * 9, "{}", whole.len());
        assert!(count > 20, "{count}");

        // A record that is still needed is lost: only what proves itself is whole.
        let records = sectors(&bytes, b"\xFE\xED\xBA\xBE")
            .into_iter()
            .filter_map(|at| Some((LogRecord::parse(&bytes[at as usize..][..512])?, at)));
        let records: Vec<(LogRecord, u64)> = records.collect();
        let (newest, _) = records.iter().max_by_key(|(one, _)| (one.cycle, one.sector)).unwrap();
        let is_oldest = |one: &LogRecord| (one.cycle, one.sector) == newest.tail;
        let oldest = records.iter().find(|(one, _)| is_oldest(one)).unwrap().1;
        let mut bytes = bytes.clone();
        bytes[oldest as usize..][..512].fill(0x55);
        let lost = oldest..oldest + 512;
        let found = files(&bytes, &true_map(bytes.len() as u64, std::slice::from_ref(&lost)));
        let verdicts = |verdict: Verdict| {
            let content = found.iter().map(|one| &one.file).filter(|file| file.size > 0);
            content.filter(|file| !file.is_folder && file.verdict == verdict).count()
        };
        assert_eq!(verdicts(Verdict::Intact), 0);
        assert!(verdicts(Verdict::Proven) > 10);
        let is_told = |file: &&GuestFile| {
            file.notes.iter().any(|note| note.contains("its log was not written back"))
        };
        assert!(found.iter().map(|one| &one.file).filter(is_told).count() > 100);
    }
}

/// What begins so at a sector of the disk.
fn sectors(bytes: &[u8], magic: &[u8]) -> Vec<u64> {
    let places = (START..bytes.len() as u64 - 512).step_by(512);
    places.filter(|at| bytes[*at as usize..].starts_with(magic)).collect()
}

#[test]
fn a_volume_without_any_superblock_and_table_is_found_by_what_describes_itself() {
    if !can_mount() {
        return;
    }
    for kind in KINDS {
        let disk = make(kind, 200);
        let truth = truth(&disk);
        let mut bytes = disk.bytes.clone();
        let mut lost: Vec<std::ops::Range<u64>> = vec![0..START / 2];
        lost.extend(sectors(&bytes, b"XFSB").into_iter().map(|at| at..at + 512));
        lost.push(bytes.len() as u64 - (34 << 9)..bytes.len() as u64);
        for range in &lost {
            bytes[range.start as usize..range.end as usize].fill(0x55);
        }
        let found = files(&bytes, &true_map(bytes.len() as u64, &lost));
        let known = score(&truth, &lost, &found);
        assert!(known.wrong.is_empty(), "{}: {:?}", kind.0, known.wrong.first());
        assert!(known.survive > 500 && known.found == known.survive, "{}: {known:?}", kind.0);
    }
}

#[test]
fn a_volume_in_two_pieces_is_read_where_both_ends_of_a_stretch_are_seen() {
    if !can_mount() {
        return;
    }
    let disk = make(USUAL, 400);
    let truth = truth(&disk);
    let volume = &disk.bytes[START as usize..][..(MIB_OF_VOLUME << 20) as usize];
    // As a volume manager lays out: the second half before the first.
    let (cut, first_at, second_at) = (52 << 20, 60 * MIB as usize, 2 * MIB as usize);
    let mut bytes = vec![0; 120 << 20];
    bytes[first_at..first_at + cut].copy_from_slice(&volume[..cut]);
    bytes[second_at..second_at + volume.len() - cut].copy_from_slice(&volume[cut..]);
    let found = files(&bytes, &true_map(bytes.len() as u64, &[]));
    let known = score(&truth, &[], &found);
    println!("{} of {} files of a volume in two pieces", known.found, known.survive);
    assert!(known.wrong.is_empty(), "{:?}", known.wrong.first());
    assert!(known.found * 10 > known.survive * 9, "{} of {}", known.found, known.survive);
}
