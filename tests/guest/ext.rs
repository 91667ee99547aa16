//! ext2, ext3 and ext4 made by mke2fs, read a second time by debugfs, then attacked.

use std::{
    collections::BTreeMap,
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::symlink,
    path::Path,
    process::Command,
};

use vmglean::guest::{GuestFile, Verdict};
use vmglean_forge::damage::{Damage, Geometry, Rng};

use super::{
    Found, MIB, attacks,
    disk::{Disk, START, below, gzip, hashes, partitioned, png, text, tool},
    files, judged_map, path, score, true_map, truth,
};

/// What is made: name, arguments of mke2fs, and whether its metadata has checksums.
pub(super) type Kind = (&'static str, &'static [&'static str], bool);

pub(super) const EXT4: Kind = (
    "ext4, 4 KiB, checksums",
    &["-t", "ext4", "-b", "4096", "-g", "8192", "-O", "metadata_csum,64bit,^flex_bg"],
    true,
);
const KINDS: [Kind; 6] = [
    EXT4,
    (
        "ext4, 1 KiB, checksums, flexible groups",
        &["-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit", "-I", "256"],
        true,
    ),
    (
        "ext4, 1 KiB, checksums, flexible groups, content in inodes",
        &["-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit,inline_data", "-I", "256"],
        true,
    ),
    (
        "ext4 without checksums",
        &["-t", "ext4", "-b", "4096", "-g", "8192", "-O", "^metadata_csum,^64bit,uninit_bg"],
        false,
    ),
    ("ext3, 1 KiB", &["-t", "ext3", "-b", "1024", "-I", "128"], false),
    ("ext2, 4 KiB", &["-t", "ext2", "-b", "4096", "-g", "8192"], false),
];

fn fill(root: &Path, small: usize) {
    let mut rng = Rng::new(4712);
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
    // Enough names for a folder of many blocks, and so for an index.
    for n in 0..600 {
        put(&format!("many/a name that takes some room in its folder {n}.log"), &[b'x'; 40]);
    }
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
    let reserved = fs::File::create(root.join("data/reserved.bin")).unwrap();
    reserved.set_len(1 << 20).unwrap();
    put("data/first.txt", &large[..12_345]);
    fs::create_dir_all(root.join("links")).unwrap();
    fs::hard_link(root.join("data/first.txt"), root.join("links/second name.txt")).unwrap();
    symlink("../data/first.txt", root.join("links/short")).unwrap();
    symlink("x".repeat(200), root.join("links/long")).unwrap();
    put("data/empty.txt", b"");
    for n in 0..30 {
        put(&format!("old/gone {n}.gz"), &gzip(&text(&mut rng, 30_000)));
    }
}

/// Makes a disk of such a kind; its truth is what was put there and what debugfs reads.
fn make(kind: Kind, mib: u64, small: usize) -> Disk {
    make_with(kind, mib, small, None)
}

/// The same with the files of a folder, below one of its name.
pub(super) fn make_with(kind: Kind, mib: u64, small: usize, extra: Option<&Path>) -> Disk {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    fs::create_dir(&source).unwrap();
    fill(&source, small);
    if let Some(extra) = extra {
        tool("cp", &["-r", extra.to_str().unwrap(), source.to_str().unwrap()]);
    }
    // mke2fs 1.47 begins a file with holes as if it lay in its inode; debugfs reads it wrong then.
    let has_holes = !kind.1.iter().any(|argument| argument.contains("inline_data"));
    for name in ["data/reserved.bin", "data/combed.bin"] {
        if !has_holes {
            fs::remove_file(source.join(name)).unwrap();
        }
    }
    let image = scratch.path().join("volume.img");
    fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
    let image = image.to_str().unwrap();
    let mut arguments = kind.1.to_vec();
    arguments.extend(["-q", "-F", "-m", "0", "-N", "2048", "-d", source.to_str().unwrap(), image]);
    tool("mke2fs", &arguments);
    if kind.0.contains("ext4") && has_holes {
        tool("debugfs", &["-w", "-R", "fallocate /data/reserved.bin 10 200", image]);
    }
    let gone: String = (0..30).map(|n| format!("rm \"/old/gone {n}.gz\"\n")).collect();
    let script = scratch.path().join("script");
    fs::write(&script, gone).unwrap();
    tool("debugfs", &["-w", "-f", script.to_str().unwrap(), image]);
    // Makes indices of large folders; it says 1 when it has changed something.
    let status = Command::new("/sbin/e2fsck").args(["-fyD", image]).output().unwrap().status;
    assert!(status.code().is_some_and(|code| code <= 1), "{status}");
    let dumped = scratch.path().join("dumped");
    fs::create_dir(&dumped).unwrap();
    tool("debugfs", &["-R", &format!("rdump / {}", dumped.to_str().unwrap()), image]);
    cut_padding(&source, &dumped);
    let mut truth = BTreeMap::new();
    hashes_of_files(&dumped, &mut truth);
    let mut put = BTreeMap::new();
    hashes_of_files(&source, &mut put);
    put.retain(|name, _| !name.starts_with("old/"));
    assert_eq!(truth, put, "debugfs reads what was put there");
    Disk { bytes: partitioned(&fs::read(image).unwrap(), "1:8300"), truth }
}

/// A volume whose last changes stand in its journal alone, and what it is once they are replayed.
fn crashed(kind: Kind) -> (Vec<u8>, Vec<u8>) {
    let disk = make(kind, 100, 100);
    let volume = &disk.bytes[START as usize..][..100 << 20];
    let scratch = tempfile::tempdir().unwrap();
    let image = scratch.path().join("volume.img");
    let debug = |commands: &str| {
        let script = scratch.path().join("script");
        fs::write(&script, commands).unwrap();
        tool("debugfs", &["-w", "-f", script.to_str().unwrap(), image.to_str().unwrap()]);
        fs::read(&image).unwrap()
    };
    fs::write(&image, volume).unwrap();
    let names: Vec<&String> = disk.truth.keys().filter(|name| name.starts_with("srv/")).collect();
    let (gone, renamed) = (names[3], names[40]);
    let after =
        debug(&format!("rm \"/{gone}\"\nln \"/{renamed}\" /data/renamed\nunlink \"/{renamed}\"\n"));
    // All but the first block, which says how much is free.
    let blocks = volume.chunks_exact(4096).zip(after.chunks_exact(4096)).enumerate().skip(1);
    let changed: Vec<usize> = blocks.filter(|(_, (a, b))| a != b).map(|(n, _)| n).collect();
    let content: Vec<u8> =
        changed.iter().flat_map(|n| after[n * 4096..][..4096].to_vec()).collect();
    let new = scratch.path().join("new");
    fs::write(&new, content).unwrap();
    fs::write(&image, volume).unwrap();
    let list: Vec<String> = changed.iter().map(usize::to_string).collect();
    let sums = if kind.2 { " -c" } else { "" };
    let waiting =
        debug(&format!("jo{sums}\njw -b {} {}\njc\n", list.join(","), new.to_str().unwrap()));
    (partitioned(&waiting, "1:8300"), partitioned(&after, "1:8300"))
}

#[test]
fn what_waits_in_the_journal_is_read_in_its_place() {
    for kind in [EXT4, KINDS[3]] {
        let (waiting, after) = crashed(kind);
        assert_ne!(waiting, after);
        let list = |bytes: &Vec<u8>| -> BTreeMap<String, (Verdict, Option<[u8; 32]>)> {
            files(bytes, &true_map(bytes.len() as u64, &[]))
                .into_iter()
                .filter(|one| !one.file.is_system && !one.file.is_deleted)
                .map(|one| (path(&one.file), (one.file.verdict, one.sha)))
                .collect()
        };
        let replayed = list(&after);
        assert!(replayed.contains_key("data/renamed"));
        assert_eq!(list(&waiting), replayed, "{}", kind.0);
    }
}

#[test]
fn of_a_journal_that_waits_and_is_lost_only_what_proves_itself_is_whole() {
    let (mut bytes, _) = crashed(EXT4);
    // Its descriptor blocks, wherever they lie.
    let lost: Vec<std::ops::Range<u64>> = (0..bytes.len() as u64 / 4096)
        .map(|n| n * 4096..(n + 1) * 4096)
        .filter(|range| {
            let head = &bytes[range.start as usize..][..8];
            head == [0xC0, 0x3B, 0x39, 0x98, 0, 0, 0, 1]
        })
        .collect();
    assert!(!lost.is_empty());
    for range in &lost {
        bytes[range.start as usize..range.end as usize].fill(0x55);
    }
    let found = files(&bytes, &true_map(bytes.len() as u64, &lost));
    let verdicts = |verdict: Verdict| {
        let content = found.iter().map(|one| &one.file).filter(|file| file.size > 0);
        content.filter(|file| !file.is_system && file.verdict == verdict).count()
    };
    assert_eq!(verdicts(Verdict::Intact), 0);
    assert!(verdicts(Verdict::Proven) > 10);
}

/// Where the journal's own superblock lies.
fn journal_head(bytes: &[u8]) -> Option<u64> {
    let is_head = |at: &u64| {
        let block = &bytes[*at as usize..][..8];
        block[..4] == [0xC0, 0x3B, 0x39, 0x98] && block[4..7] == [0; 3] && block[7] == 4
    };
    (START..bytes.len() as u64 - 1024).step_by(1024).find(is_head)
}

/// The first group's part that attacks at a disk's start hit: superblock, descriptors, and the
/// inodes of the file system itself.
fn first_blocks(kind: Kind) -> std::ops::Range<u64> {
    assert_eq!(kind.0, EXT4.0);
    START..START + (512 << 10)
}

#[test]
fn a_journal_is_found_by_copies_of_the_superblock_and_read() {
    let (mut waiting, mut after) = crashed(EXT4);
    let lost = first_blocks(EXT4);
    let head = journal_head(&waiting).unwrap();
    assert!(!lost.contains(&head));
    let list = |bytes: &Vec<u8>, lost: &[std::ops::Range<u64>]| {
        files(bytes, &true_map(bytes.len() as u64, lost))
            .into_iter()
            .filter(|one| !one.file.is_system && !one.file.is_deleted && one.file.is_whole())
            .map(|one| (one.file.record_number, one.sha))
            .collect::<BTreeMap<u64, Option<[u8; 32]>>>()
    };
    let truth = list(&after, &[]);
    for bytes in [&mut waiting, &mut after] {
        bytes[lost.start as usize..lost.end as usize].fill(0x55);
    }
    let lost = std::slice::from_ref(&lost);
    let (replayed, waiting) = (list(&after, lost), list(&waiting, lost));
    println!("{} of {} whole, {} with the journal", replayed.len(), truth.len(), waiting.len());
    assert!(replayed.len() > 100);
    // What the journal holds of the lost blocks comes back with it.
    assert!(replayed.keys().all(|number| waiting.contains_key(number)));
    assert!(waiting.iter().all(|(number, sha)| truth.get(number) == Some(sha)));
}

#[test]
fn where_superblock_and_journal_are_lost_only_what_proves_itself_is_whole() {
    let (mut bytes, _) = crashed(EXT4);
    let head = journal_head(&bytes).unwrap();
    let mut lost = [first_blocks(EXT4), head / 4096 * 4096..head / 4096 * 4096 + 4096];
    lost.sort_by_key(|range| range.start);
    for range in &lost {
        bytes[range.start as usize..range.end as usize].fill(0x55);
    }
    let found = files(&bytes, &true_map(bytes.len() as u64, &lost));
    let with_content = || {
        let files = found.iter().map(|one| &one.file);
        files.filter(|file| file.size > 0 && !file.is_system && !file.is_folder)
    };
    let intact: Vec<&GuestFile> =
        with_content().filter(|file| file.verdict == Verdict::Intact).collect();
    assert!(intact.is_empty(), "{:?}", intact.first());
    let is_told = |file: &&GuestFile| {
        file.verdict == Verdict::Undetermined
            && file.notes.iter().any(|note| note.contains("its journal or where that lies is lost"))
    };
    assert!(with_content().filter(is_told).count() > 100);
    assert!(with_content().filter(|file| file.verdict == Verdict::Proven).count() > 10);
}

/// debugfs 1.47 writes all 60 bytes of what lies in an inode, whatever the file's size.
fn cut_padding(source: &Path, dumped: &Path) {
    for entry in fs::read_dir(dumped).unwrap() {
        let entry = entry.unwrap();
        let (own, other) = (source.join(entry.file_name()), entry.path());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            cut_padding(&own, &other);
        } else if kind.is_file() && entry.metadata().unwrap().len() == 60 {
            let length = fs::metadata(&own).unwrap().len();
            let bytes = fs::read(&other).unwrap();
            assert!(bytes[length as usize..].iter().all(|byte| *byte == 0));
            fs::write(&other, &bytes[..length as usize]).unwrap();
        }
    }
}

/// Hashes of all files, links left out.
fn hashes_of_files(root: &Path, truth: &mut BTreeMap<String, [u8; 32]>) {
    for name in ["links/short", "links/long"] {
        fs::remove_file(root.join(name)).unwrap();
    }
    hashes(root, root, truth);
}

/// Where the superblock and its copies lie.
fn superblocks(disk: &Disk) -> Vec<u64> {
    let uuid = &disk.bytes[START as usize + 1024 + 0x68..][..16];
    let places = (START..disk.bytes.len() as u64 - 1024).step_by(1024);
    let is_one = |at: &u64| {
        let block = &disk.bytes[*at as usize..][..1024];
        block[0x38..0x3A] == [0x53, 0xEF] && &block[0x68..0x78] == uuid
    };
    places.filter(is_one).collect()
}

/// Whether what says if a journal waits survives: the superblock, or the journal's own, by its
/// inode or by a copy of that beside a superblock.
fn is_journal_told(disk: &Disk, is_left: &dyn Fn(u64) -> bool) -> bool {
    let Some(head) = journal_head(&disk.bytes) else { return true };
    if is_left(START + 1024) {
        return true;
    }
    let inode = {
        let start = START as usize;
        let field = |at: usize, size: usize| {
            let mut bytes = [0; 8];
            bytes[..size].copy_from_slice(&disk.bytes[start + at..][..size]);
            u64::from_le_bytes(bytes)
        };
        let block = 1024 << field(1024 + 0x18, 4);
        let descriptors = if block == 1024 { 2048 } else { block };
        START + field(descriptors as usize + 8, 4) * block + 7 * field(1024 + 0x58, 2)
    };
    is_left(head) && (is_left(inode) || superblocks(disk).into_iter().any(is_left))
}

fn wholly_found(name: &str, disk: &Disk) {
    let found = files(&disk.bytes, &true_map(disk.bytes.len() as u64, &[]));
    let mut by_path = BTreeMap::new();
    for one in found.iter().filter(|one| !one.file.is_system && !one.file.is_folder) {
        assert_ne!(one.file.verdict, Verdict::Contradicted, "{name}: {:?}", one.file);
        if one.file.is_deleted {
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
    for (link, target) in [("short", "../data/first.txt".to_owned()), ("long", "x".repeat(200))] {
        let one = by_path.remove(&format!("links/{link}")).expect(link);
        assert!(one.file.notes.iter().any(|note| note.ends_with(&target)), "{:?}", one.file);
    }
    assert!(by_path.is_empty(), "{name}: {:?}", by_path.keys());
}

#[test]
fn every_file_is_found_whole_as_debugfs_reads_it() {
    for kind in KINDS {
        let disk = make(kind, 100, 500);
        wholly_found(kind.0, &disk);
    }
}

#[test]
fn nothing_wrong_is_handed_out_of_an_attacked_ext_volume() {
    let mut missed = Vec::new();
    for kind in KINDS {
        let disk = make(kind, 100, 500);
        let truth = truth(&disk);
        for (n, (name, geometry)) in attacks(disk.bytes.len() as u64).into_iter().enumerate() {
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
            // Where no superblock is left, checksums tell the geometry by the descriptors alone.
            let block = if kind.1.contains(&"1024") { 1024 } else { 4096 };
            let is_left = |at: u64| {
                done.encrypted.iter().all(|range| range.end <= at || range.start >= at + 1024)
            };
            let is_known = superblocks(&disk)
                .into_iter()
                .any(|at| is_left(at) || (kind.2 && is_left(at / block * block + block)));
            if !is_known {
                println!("no superblock or descriptor is left: the volume is not found");
                continue;
            }
            // Without checksums a nameless inode stays undetermined; and where nothing is left that
            // says whether a journal waits, so does all that does not prove itself.
            if !is_journal_told(&disk, &is_left) {
                println!("whether a journal waits is lost");
                assert_eq!(known.intact, 0, "{name}: {known:?}");
                continue;
            }
            if kind.2 && known.found * 100 < known.survive * 99 {
                missed.push(format!("{}, {name}: {known:?}", kind.0));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_volume_is_found_by_a_copy_of_its_superblock() {
    let disk = make(EXT4, 100, 500);
    let mut bytes = disk.bytes.clone();
    // Table, superblock, descriptors and the first group's inodes are gone; groups are 32 MiB.
    let done = Damage::plain(Geometry::Head { bytes: 20 * MIB }, 1).apply(&mut bytes);
    let found = files(&bytes, &true_map(done.size_bytes, &done.encrypted));
    let whole = found.iter().filter(|one| one.file.is_whole() && !one.file.is_folder).count();
    println!("{whole} files whole");
    assert!(whole > 0, "{whole}");
}

fn named<'a>(found: &'a [Found], name: &str) -> &'a GuestFile {
    &found.iter().find(|one| path(&one.file) == name).unwrap_or_else(|| panic!("{name}")).file
}

fn inode(file: &GuestFile) -> usize {
    file.record_at.unwrap() as usize
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).unwrap()
}

#[test]
fn circles_shared_blocks_and_huge_sizes_are_named_and_never_whole() {
    let disk = make(KINDS[5], 100, 500);
    let intact = true_map(disk.bytes.len() as u64, &[]);
    let before = files(&disk.bytes, &intact);
    let mut bytes = disk.bytes.clone();

    // A folder that lies in its own folder, and in no other.
    let outer = named(&before, "srv/dept 1").record_number as u32;
    let entry = |name: &str| [&[name.len() as u8, 2], name.as_bytes()].concat();
    let of_outer = find(&bytes, &entry("dept 1")) - 6;
    bytes[of_outer..of_outer + 4].fill(0);
    let inner = named(&before, "srv/dept 1/project 001").record_number as u32;
    let own = [&inner.to_le_bytes()[..], &[12, 0, 1, 2, b'.', 0, 0, 0]].concat();
    // Behind itself and the folder above stands its first file.
    let block = find(&bytes, &own);
    let first = block + 24;
    bytes[first..first + 4].copy_from_slice(&outer.to_le_bytes());
    bytes[first + 7] = 2;

    // A file of 2^48 bytes whose list of blocks lists itself.
    let large = inode(named(&before, "data/large.sql"));
    bytes[large + 0x6C..large + 0x70].copy_from_slice(&(1_u32 << 16).to_le_bytes());
    let list = u32::from_le_bytes(bytes[large + 0x58..large + 0x5C].try_into().unwrap());
    let at = (START + u64::from(list) * 4096) as usize;
    for place in bytes[at..at + 4096].chunks_exact_mut(4) {
        place.copy_from_slice(&list.to_le_bytes());
    }
    // The same as the last of three levels.
    bytes[large + 0x60..large + 0x64].copy_from_slice(&list.to_le_bytes());

    // A file that claims another one's blocks.
    let (one, other) = ("many/a name that takes some room in its folder 7.log", "data/first.txt");
    let (from, to) = (inode(named(&before, other)) + 0x28, inode(named(&before, one)) + 0x28);
    bytes.copy_within(from..from + 60, to);

    let after = files(&bytes, &intact);
    let circled =
        after.iter().filter(|one| path(&one.file).contains("(folder in a circle")).count();
    assert!(circled > 5, "{circled}");
    let huge = named(&after, "data/large.sql");
    assert!(!huge.is_whole(), "{huge:?}");
    for name in [one, other] {
        let file = named(&after, name);
        assert!(!file.is_whole(), "{file:?}");
        assert!(file.doubts.iter().any(|doubt| doubt.contains("same blocks")), "{file:?}");
    }
}
