//! Volume groups made by lvm2 on two disks, with file systems of mke2fs placed where lvm2 reports
//! their extents, then attacked, with one disk lost, or without metadata.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::Path,
    process::Command,
    sync::{OnceLock, atomic::AtomicBool},
};

use vmglean::{
    guest::{
        Files, Ground, GuestFile, Stream, StreamReader,
        lvm::{self, Logical, LogicalDisk, Searched},
        scan::{Hits, scan},
        volumes::{Volumes, volumes},
    },
    source::Source,
    triage::judge::Run,
};
use vmglean_forge::damage::Damage;
use vmglean_formats::{ByteOffset, ReadAt as _};

use super::{
    Found, MIB, attacks,
    disk::{Disk, START, sha, tool},
    ext::{EXT4, make_with},
    judged_map, path, true_map,
};

const PART_BYTES: u64 = 94 << 20;
const STRIPE: usize = 64 << 10;

/// Disks of one group, and the truth of its volumes.
struct Estate {
    disks: Vec<Vec<u8>>,
    /// By volume and path.
    truth: BTreeMap<(String, String), [u8; 32]>,
}

/// Runs one of lvm2's tools; the kernel's part of it is not needed for what it writes.
fn lvm(system: &Path, devices: &[String], arguments: &[&str]) -> String {
    let out = Command::new("/sbin/lvm")
        .args(arguments)
        .args(["--driverloaded", "n", "--devices", &devices.join(",")])
        .env("LVM_SYSTEM_DIR", system)
        .env("LVM_SUPPRESS_FD_WARNINGS", "1")
        .output()
        .expect("lvm; tests/run installs it");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A file as a block device for as long as this lives.
struct Loop(String);

impl Loop {
    fn new(image: &Path, from: u64, length: u64) -> Self {
        let (from, length) = (from.to_string(), length.to_string());
        let arguments =
            ["-f", "--show", "-o", &from, "--sizelimit", &length, image.to_str().unwrap()];
        Self(tool("losetup", &arguments).trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        tool("losetup", &["-d", &self.0]);
    }
}

/// Where the extents of each volume lie by the word of lvm2: volume, and for each segment its
/// first extent and one stretch (disk, first, last) for each stripe.
type Segments = Vec<(String, u64, Vec<(usize, u64, u64)>)>;

fn reported(told: &str, devices: &[String]) -> Segments {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, first, ranges) = (words[0], words[1].parse().unwrap(), &words[2..]);
        let range = |word: &&str| {
            let (device, extents) = word.rsplit_once(':').unwrap();
            let disk = devices.iter().position(|known| known == device).unwrap();
            let (from, to) = extents.split_once('-').unwrap();
            (disk, from.parse().unwrap(), to.parse().unwrap())
        };
        (name.to_owned(), first, ranges.iter().map(range).collect())
    };
    told.lines().map(line).collect()
}

/// Puts a volume's bytes where lvm2 says that its extents lie.
fn put(disks: &mut [Vec<u8>], starts: &[u64], segments: &Segments, name: &str, volume: &[u8]) {
    let extent = MIB as usize;
    for (_, first, stripes) in segments.iter().filter(|(of, ..)| of == name) {
        let at = *first as usize * extent;
        let each = (stripes[0].2 - stripes[0].1 + 1) as usize * extent;
        let from =
            |(disk, extent, _): (usize, u64, u64)| (starts[disk] + MIB + extent * MIB) as usize;
        if let [stripe] = stripes[..] {
            let place = from(stripe);
            disks[stripe.0][place..place + each].copy_from_slice(&volume[at..at + each]);
            continue;
        }
        for chunk in 0..each * stripes.len() / STRIPE {
            let stripe = stripes[chunk % stripes.len()];
            let place = from(stripe) + chunk / stripes.len() * STRIPE;
            let bytes = &volume[at + chunk * STRIPE..][..STRIPE];
            disks[stripe.0][place..place + STRIPE].copy_from_slice(bytes);
        }
    }
}

fn make() -> Estate {
    let scratch = tempfile::tempdir().unwrap();
    let images = [scratch.path().join("a.img"), scratch.path().join("b.img")];
    for (image, mib) in images.iter().zip([96, 120]) {
        fs::File::create(image).unwrap().set_len(mib << 20).unwrap();
    }
    let last = (START + PART_BYTES) / 512 - 1;
    let partition = format!("1:2048:{last}");
    tool("sgdisk", &["-n", &partition, "-t", "1:8e00", images[0].to_str().unwrap()]);
    let system = scratch.path().join("etc/lvm");
    fs::create_dir_all(&system).unwrap();
    let segments = {
        let loops = [Loop::new(&images[0], START, PART_BYTES), Loop::new(&images[1], 0, 120 << 20)];
        let devices: Vec<String> = loops.iter().map(|one| one.0.clone()).collect();
        let [a, b] = [devices[0].as_str(), devices[1].as_str()];
        let run = |arguments: &[&str]| lvm(&system, &devices, arguments);
        run(&["pvcreate", "-qq", "-y", a, b]);
        run(&["vgcreate", "-qq", "-y", "-s", "1M", "vg-data", a, b]);
        let create = ["lvcreate", "-qq", "-y", "-an", "-Zn", "-Wn"];
        let made = |arguments: &[&str]| run(&[&create, arguments].concat());
        made(&["-L", "24M", "-n", "root", "vg-data", a]);
        made(&["-L", "8M", "-n", "swap", "vg-data", a]);
        run(&["lvextend", "-qq", "-y", "-L", "+56M", "vg-data/root", b]);
        made(&["-L", "40M", "-i", "2", "-I", "64k", "-n", "stripe", "vg-data"]);
        made(&["--type", "zero", "-L", "2M", "-n", "nothing", "vg-data"]);
        let columns = "lv_name,seg_start_pe,seg_pe_ranges";
        let told = run(&["lvs", "--noheadings", "--select", "segtype!=zero", "-o", columns]);
        reported(&told, &devices)
    };
    let mut disks: Vec<Vec<u8>> = images.iter().map(|image| fs::read(image).unwrap()).collect();
    let mut truth = BTreeMap::new();
    // The root volume holds the backups of the text, as every root on LVM2 does.
    for (name, mib, small, extra) in
        [("root", 80, 500, Some(scratch.path().join("etc"))), ("stripe", 40, 150, None)]
    {
        let Disk { bytes, truth: files } = make_with(EXT4, mib, small, extra.as_deref());
        let volume = &bytes[START as usize..][..(mib << 20) as usize];
        put(&mut disks, &[START, 0], &segments, name, volume);
        let name = format!("vg-data/{name}");
        truth.extend(files.into_iter().map(|(path, sha)| ((name.clone(), path), sha)));
    }
    Estate { disks, truth }
}

fn shared() -> &'static Estate {
    static ESTATE: OnceLock<Estate> = OnceLock::new();
    ESTATE.get_or_init(make)
}

/// Files by the name of their volume.
struct Told {
    files: Vec<(String, Found)>,
    /// What the volumes rest on.
    rests_on: BTreeMap<String, String>,
}

/// All that is found on these disks: of the first one by itself, and in logical volumes.
fn found(disks: &[Vec<u8>], maps: &[Vec<Run>]) -> Told {
    let stop = AtomicBool::new(false);
    let search = |ground: &Ground<'_>| scan(ground, 2, &stop, &|_| {});
    let grounds: Vec<Ground<'_>> =
        disks.iter().zip(maps).map(|(disk, runs)| Ground::new(disk, runs)).collect();
    let hits: Vec<Hits> = grounds.iter().map(search).collect();
    let mut alone: Vec<Volumes> =
        grounds.iter().zip(&hits).map(|(ground, hits)| volumes(ground, hits)).collect();
    let members: Vec<lvm::Disk<'_>> = (grounds.iter().zip(&hits).zip(&alone))
        .map(|((ground, hits), found)| lvm::Disk { ground, hits, table: &found.table })
        .collect();
    let groups = lvm::groups(&members);
    let logical = Logical::all(&groups, disks.iter().map(|disk| disk.len() as u64).sum());
    let sources: Vec<&dyn Source> = disks.iter().map(|disk| disk as &dyn Source).collect();
    let joined: Vec<LogicalDisk<'_>> =
        logical.iter().map(|one| LogicalDisk::new(&one.layout, sources.clone())).collect();
    let all: Vec<&Ground<'_>> = grounds.iter().collect();
    let searched: Vec<Searched<'_>> = (joined.iter().zip(&logical))
        .map(|(disk, logical)| Searched::new(disk, logical, &all, &search))
        .collect();
    lvm::without_logical(&mut alone[0].volumes, 0, &groups, &searched);
    let mut told = Told { files: Vec::new(), rests_on: BTreeMap::new() };
    let raw = (&grounds[0], &hits[0], &alone[0].volumes, None);
    let parts = searched
        .iter()
        .zip(&logical)
        .map(|(one, logical)| (&one.ground, &one.hits, &one.volumes, Some(&logical.layout)));
    for (ground, hits, volumes, layout) in std::iter::once(raw).chain(parts) {
        for volume in volumes.iter() {
            let name = String::from_utf8_lossy(&volume.name).into_owned();
            told.rests_on.insert(name.clone(), volume.rests_on.join("\n"));
            let Some(files) = Files::open(ground, hits, volume) else { continue };
            let mut sink = |mut file: GuestFile, stream: Option<Stream>| {
                let content = stream.and_then(|stream| {
                    let mut bytes = vec![0; stream.size as usize];
                    StreamReader::new(ground, &stream)
                        .read_exact_at(&mut bytes, ByteOffset(0))
                        .ok()?;
                    Some(bytes)
                });
                if let Some(layout) = layout {
                    layout.translate(&mut file);
                    check_places(disks, &file, content.as_deref());
                }
                let hash = content.as_deref().map(sha);
                told.files.push((name.clone(), Found { file, sha: hash }));
                Ok(())
            };
            files.each(true, &stop, &mut sink).unwrap();
        }
    }
    told
}

/// The places told of a file are where its bytes lie on the disks.
fn check_places(disks: &[Vec<u8>], file: &GuestFile, content: Option<&[u8]>) {
    let Some(content) = content else { return };
    for place in &file.places {
        let Some(at) = place.disk_offset else { continue };
        let (from, to) = (place.offset as usize, (place.offset + place.length) as usize);
        let Some(part) = content.get(from..to.min(content.len())) else { continue };
        let on_disk = disks[place.disk].get(at as usize..).and_then(|disk| disk.get(..part.len()));
        assert!(on_disk.is_none_or(|on_disk| on_disk == part), "{file:?}");
    }
}

/// Whole files with right content, and those with wrong content.
fn whole(estate: &Estate, told: &Told) -> (usize, Vec<String>) {
    let known: std::collections::HashSet<[u8; 32]> = estate.truth.values().copied().collect();
    let (mut right, mut wrong) = (0, Vec::new());
    for (name, one) in &told.files {
        let file = &one.file;
        let is_file = !file.is_folder && file.kind != "symbolic link";
        if !file.is_whole() || !is_file || file.is_system || file.is_deleted {
            continue;
        }
        let path = path(file);
        let is_right = match estate.truth.get(&(name.clone(), path.clone())) {
            Some(sha) => Some(sha) == one.sha.as_ref(),
            // Without a name, or without its volume's, the content alone tells.
            None => one.sha.is_some_and(|sha| known.contains(&sha)),
        };
        if is_right {
            let links = file.links.iter().map(|link| String::from_utf8_lossy(link).into_owned());
            let names = links.chain([path]).map(|path| (name.clone(), path));
            right += names.filter(|name| estate.truth.get(name) == one.sha.as_ref()).count();
        } else {
            wrong.push(format!("{name}: {file:?}"));
        }
    }
    (right, wrong)
}

fn intact(disks: &[Vec<u8>]) -> Vec<Vec<Run>> {
    disks.iter().map(|disk| true_map(disk.len() as u64, &[])).collect()
}

/// Where metadata lies: labels and areas.
fn metadata() -> [Range<usize>; 2] {
    [START as usize..(START + MIB) as usize, 0..MIB as usize]
}

#[test]
fn volumes_in_several_pieces_over_two_disks_are_read_by_the_groups_own_text() {
    let estate = shared();
    let told = found(&estate.disks, &intact(&estate.disks));
    let (right, wrong) = whole(estate, &told);
    assert!(wrong.is_empty(), "{:?}", wrong.first());
    assert_eq!(right, estate.truth.len());
    for name in ["root", "swap", "stripe", "nothing"] {
        let rests_on = &told.rests_on[&format!("vg-data/{name}")];
        assert!(rests_on.contains("of volume group vg-data in the metadata area"), "{rests_on}");
        assert_eq!(rests_on.contains("is of type zero"), name == "nothing", "{rests_on}");
    }
    // Parts of the volumes that a superblock gives away are not listed a second time.
    let ext: Vec<&String> = told.rests_on.keys().filter(|name| !name.starts_with("vg-")).collect();
    assert_eq!(ext.len(), 1, "{ext:?}");

    // The other disk's text tells as much where one disk's is lost.
    for (number, range) in metadata().into_iter().enumerate() {
        let mut disks = estate.disks.clone();
        // The label in its second sector stays.
        disks[number][range.start + 1024..range.end].fill(0);
        let (right, wrong) = whole(estate, &found(&disks, &intact(&disks)));
        assert_eq!((right, wrong.len()), (estate.truth.len(), 0));
    }
}

#[test]
fn a_lost_disk_is_named_and_its_part_of_every_file_with_it() {
    let estate = shared();
    for number in [0, 1] {
        let disks = vec![estate.disks[number].clone()];
        let told = found(&disks, &intact(&disks));
        let (right, wrong) = whole(estate, &told);
        println!("disk {number} alone: {right} right");
        assert!(wrong.is_empty(), "{:?}", wrong.first());
        let rests_on = &told.rests_on["vg-data/root"];
        assert!(rests_on.contains("is on none of the disks given"), "{rests_on}");
        assert!(right < estate.truth.len());
        assert!(number == 1 || right > 50, "{right}");
    }
}

#[test]
fn without_labels_and_areas_the_backup_in_the_root_volume_tells_where_it_lies() {
    let estate = shared();
    let mut disks = estate.disks.clone();
    for (disk, range) in disks.iter_mut().zip(metadata()) {
        disk[range].fill(0);
    }
    let told = found(&disks, &intact(&disks));
    let (right, wrong) = whole(estate, &told);
    assert!(wrong.is_empty(), "{:?}", wrong.first());
    let rests_on = &told.rests_on["vg-data/root"];
    println!("{right} of {}: {rests_on}", estate.truth.len());
    assert!(rests_on.contains("backup"), "{rests_on}");
    let of_root = estate.truth.keys().filter(|(name, _)| name == "vg-data/root").count();
    assert!(right * 100 >= of_root * 95, "{right} of {of_root}");
}

#[test]
fn without_any_text_nothing_is_read_from_where_it_does_not_lie() {
    let estate = shared();
    let mut disks = estate.disks.clone();
    for (disk, range) in disks.iter_mut().zip(metadata()) {
        disk[range].fill(0);
    }
    for disk in &mut disks {
        let lines: Vec<usize> = (0..disk.len() / 512)
            .map(|sector| sector * 512)
            .filter(|at| disk[*at..].starts_with(b"# Generated by LVM2"))
            .collect();
        lines.into_iter().for_each(|at| disk[at..at + 512].fill(0));
    }
    let told = found(&disks, &intact(&disks));
    let known: std::collections::HashSet<[u8; 32]> = estate.truth.values().copied().collect();
    let whole: Vec<&Found> = told
        .files
        .iter()
        .map(|(_, one)| one)
        .filter(|one| one.file.is_whole() && !one.file.is_folder && !one.file.is_system)
        .filter(|one| !one.file.is_deleted && one.file.kind != "symbolic link")
        .filter(|one| !path(&one.file).starts_with("etc/lvm/"))
        .collect();
    println!("{} whole: {:?}", whole.len(), told.rests_on);
    for one in &whole {
        assert!(one.sha.is_some_and(|sha| known.contains(&sha)), "{:?}", one.file);
    }
    assert!(whole.len() > 50);
}

#[test]
fn nothing_wrong_is_handed_out_of_attacked_groups() {
    let estate = shared();
    // Those that leave something of both disks.
    let chosen = [
        "1 MiB in 10 MiB",
        "64 KiB in 640 KiB",
        "20 % of each eighth",
        "1 MB in 3 MB",
        "300 bytes in 50,000",
        "100 to 900 bytes at odd places",
        "odd places",
        "comb, broken off",
        "first 1.5 MiB",
    ];
    let attacks_of = |size| attacks(size).into_iter().filter(|(name, _)| chosen.contains(name));
    for (n, (name, _)) in attacks_of(96 << 20).enumerate() {
        let mut disks = estate.disks.clone();
        let mut truths = Vec::new();
        for (number, disk) in disks.iter_mut().enumerate() {
            let (_, geometry) = attacks_of(disk.len() as u64).nth(n).unwrap();
            let done = Damage::plain(geometry, (2 * n + number) as u64).apply(disk);
            truths.push(true_map(done.size_bytes, &done.encrypted));
        }
        let own: Vec<Vec<Run>> = disks.iter().map(judged_map).collect();
        // What the layout does wrong shows with the true map, and every second attack is enough.
        let (known, wrong) = match n % 2 {
            0 => whole(estate, &found(&disks, &truths)),
            _ => (0, Vec::new()),
        };
        let (made, wrong_made) = whole(estate, &found(&disks, &own));
        println!(
            "{name}: {known} right, {} wrong; own map: {made} right, {} wrong",
            wrong.len(),
            wrong_made.len()
        );
        assert!(wrong.is_empty(), "{name}: {:?}", wrong.first());
        assert!(wrong_made.is_empty(), "{name}, own map: {:?}", wrong_made.first());
    }
}

#[test]
fn the_command_takes_the_other_disk_and_tells_where_each_part_lies() {
    let estate = shared();
    let scratch = tempfile::tempdir().unwrap();
    let evidence = scratch.path().join("evidence");
    fs::create_dir(&evidence).unwrap();
    let paths = [evidence.join("a.raw"), evidence.join("b.raw")];
    for (path, disk) in paths.iter().zip(&estate.disks) {
        fs::write(path, disk).unwrap();
    }
    let out = scratch.path().join("out");
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_vmglean"))
            .arg("files")
            .arg(&paths[0])
            .arg("--with")
            .arg(&paths[1])
            .args(arguments)
            .output()
            .unwrap()
    };
    let listed = run(&["volumes", "--json", "--reproducible"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["with"][0], paths[1].to_str().unwrap());
    let volumes = listed["volumes"].as_array().unwrap();
    let root = volumes.iter().find(|one| one["name"] == "vg-data/root").unwrap();
    assert_eq!(root["kind"], "ext4");
    assert_eq!(root["length_bytes"], 80 << 20);
    let parts = root["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[1]["offset_bytes"], 24 << 20);
    assert_eq!(parts[1]["stripes"][0]["disk"], 1);
    assert_eq!(parts[1]["stripes"][0]["disk_offset_bytes"], 1 << 20);
    let got = run(&["get", "--out", out.to_str().unwrap(), "data/*"]);
    let said = String::from_utf8_lossy(&got.stderr).into_owned();
    let manifest = fs::read_to_string(out.join("MANIFEST.jsonl")).expect(&said);
    let mut elsewhere = 0;
    for line in manifest.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let written = fs::read(out.join(line["output"].as_str().unwrap())).unwrap();
        for range in line["ranges"].as_array().unwrap() {
            let Some(from) = range["source_offset_bytes"].as_u64() else { continue };
            let number = range["disk"].as_u64().unwrap_or(0) as usize;
            let offset = range["offset_bytes"].as_u64().unwrap() as usize;
            let length = range["length_bytes"].as_u64().unwrap() as usize;
            let length = length.min(written.len() - offset);
            let on_disk = &estate.disks[number][from as usize..][..length];
            assert_eq!(&written[offset..offset + length], on_disk, "{line}");
            elsewhere += number;
        }
    }
    assert!(elsewhere > 0, "{manifest}");
}
