//! Test disks: NTFS made by mkntfs, mounted through ntfs-3g and filled, on a GPT of sgdisk.

use std::{
    collections::BTreeMap,
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
    process::Command,
};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use vmglean_forge::damage::Rng;

/// Where the partition begins.
pub(crate) const START: u64 = 1 << 20;

/// A disk before any attack.
pub(crate) struct Disk {
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// SHA-256 of every file by path, taken while mounted.
    pub truth: BTreeMap<String, [u8; 32]>,
}

/// SHA-256 of some bytes.
pub(crate) fn sha(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Runs a tool; see tests/run for what it takes.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> String {
    let path = std::env::var("PATH").unwrap_or_default() + ":/sbin:/usr/sbin";
    let out = Command::new(name)
        .args(arguments)
        .env("PATH", path)
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; tests/run installs it"));
    assert!(out.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

pub(crate) fn below(rng: &mut Rng, end: u64) -> u64 {
    rng.draw() % end
}

pub(crate) fn text(rng: &mut Rng, length: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "invoice",
        "the",
        "of",
        "server",
        "backup",
        "und",
        "Rechnung",
        "total",
        "2024-11-05",
        "error",
        "user",
        "logon",
        "failed",
        "domain",
        "share",
        "\r\n",
    ];
    let mut out = Vec::with_capacity(length + 16);
    while out.len() < length {
        out.extend_from_slice(WORDS[below(rng, 16) as usize].as_bytes());
        out.push(b' ');
        if below(rng, 4) == 0 {
            out.extend_from_slice(below(rng, 1_000_000).to_string().as_bytes());
        }
    }
    out.truncate(length);
    out
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn crc_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut out = (data.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(kind);
    out.extend_from_slice(data);
    let crc = crc32fast::hash(&out[4..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

pub(crate) fn png(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1A\n".to_vec();
    out.extend(crc_chunk(b"IHDR", &[0, 0, 1, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0]));
    for part in gzip(bytes).chunks(8192) {
        out.extend(crc_chunk(b"IDAT", part));
    }
    out.extend(crc_chunk(b"IEND", &[]));
    out
}

/// Fills a mounted volume with what file servers hold.
fn fill(root: &Path, small: usize) {
    let mut rng = Rng::new(4711);
    let put = |name: &str, bytes: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let mut logs: Vec<fs::File> = Vec::new();
    for n in 0..small {
        let folder = format!("Shares/Dept {}/Project {:03}", n % 7, n % 61);
        let length = 1 + below(&mut rng, if n % 5 == 0 { 60_000 } else { 9_000 }) as usize;
        let bytes = text(&mut rng, length);
        match n % 9 {
            0 => put(&format!("{folder}/archive {n}.gz"), &gzip(&bytes)),
            1 => put(&format!("{folder}/scan {n}.png"), &png(&bytes)),
            2 => put(&format!("{folder}/tiny {n}.ini"), &bytes[..length.min(300)]),
            _ => put(&format!("{folder}/Überblick {n}.txt"), &bytes),
        }
        // Growing between other files, these get many fragments; the table of files does too.
        if n % 40 == 0 && logs.len() < 6 {
            let path = root.join(format!("Logs/app {}.log", logs.len()));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            logs.push(fs::File::create(path).unwrap());
        }
        for log in logs.iter_mut().filter(|_| n % 4 == 0) {
            log.write_all(&text(&mut rng, 9000)).unwrap();
        }
    }
    drop(logs);
    let large: Vec<u8> = text(&mut rng, 9 << 20);
    put("Data/large.sql", &large);
    put("Data/half empty.bin", b"");
    let mut sparse =
        fs::OpenOptions::new().write(true).open(root.join("Data/half empty.bin")).unwrap();
    sparse.seek(SeekFrom::Start(3 << 20)).unwrap();
    sparse.write_all(&large[..70_000]).unwrap();
    sparse.set_len(5 << 20).unwrap();
    drop(sparse);
    // Files made in such a folder are compressed.
    fs::create_dir_all(root.join("Packed")).unwrap();
    let packed = root.join("Packed");
    tool(
        "setfattr",
        &["-h", "-v", "0x00000800", "-n", "system.ntfs_attrib_be", packed.to_str().unwrap()],
    );
    for n in 0..40 {
        let from = below(&mut rng, 1 << 20) as usize;
        put(&format!("Packed/report {n}.txt"), &large[from..from + 20_000 + n * 5000]);
    }
    let mixed: Vec<u8> = [&large[..200_000], &gzip(&large[..1 << 20]), &vec![0; 300_000]].concat();
    put("Packed/mixed.dat", &mixed);
    put("Data/with streams.txt", b"main content of the file");
    put("Data/with streams.txt:Zone.Identifier", b"[ZoneTransfer]\r\nZoneId=3\r\n");
    put("Data/with streams.txt:big", &large[..100_000]);
    put("Links/first.txt", &large[..12_345]);
    fs::hard_link(root.join("Links/first.txt"), root.join("Data/second name.txt")).unwrap();
    put("Data/empty.txt", b"");
    let mut deleted = Vec::new();
    for n in 0..60 {
        put(&format!("Old/gone {n}.txt"), &text(&mut rng, 7000));
        deleted.push(format!("Old/gone {n}.txt"));
    }
    put("Old/kept.txt", b"kept");
    for name in &deleted {
        fs::remove_file(root.join(name)).unwrap();
    }
}

/// SHA-256 of all files below `at`, by path below `root`.
pub(crate) fn hashes(root: &Path, at: &Path, truth: &mut BTreeMap<String, [u8; 32]>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            hashes(root, &path, truth);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            truth.insert(name, sha(&fs::read(&path).unwrap()));
        }
    }
}

/// Makes a disk with one NTFS volume of `mib` MiB with such clusters, and `small` small files.
pub(crate) fn ntfs(mib: u64, small: usize, cluster: u32) -> Disk {
    ntfs_on(512, mib, small, cluster)
}

/// The same on a disk with sectors of `sector` bytes.
pub(crate) fn ntfs_on(sector: u64, mib: u64, small: usize, cluster: u32) -> Disk {
    let scratch = tempfile::tempdir().unwrap();
    let image = scratch.path().join("volume.img");
    let image = image.to_str().unwrap();
    fs::File::create(image).unwrap().set_len(mib << 20).unwrap();
    let cluster = cluster.to_string();
    let (bytes, first) = (sector.to_string(), (START / sector).to_string());
    let make = [
        "-F", "-Q", "-q", "-s", &bytes, "-c", &cluster, "-p", &first, "-H", "255", "-S", "63",
        image,
    ];
    tool("mkntfs", &make);
    let mount = scratch.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let at = mount.to_str().unwrap();
    tool("ntfs-3g", &["-o", "streams_interface=windows,compression", image, at]);
    let filled = std::panic::catch_unwind(|| {
        fill(&mount, small);
        let mut truth = BTreeMap::new();
        hashes(&mount, &mount, &mut truth);
        for stream in ["Data/with streams.txt:Zone.Identifier", "Data/with streams.txt:big"] {
            truth.insert(stream.to_owned(), sha(&fs::read(mount.join(stream)).unwrap()));
        }
        truth
    });
    tool("umount", &[at]);
    let truth = filled.unwrap();
    // ntfs-3g lets go of the image a moment after the mount is gone.
    let volume = settled(Path::new(image));
    Disk { bytes: partitioned_on(sector, &volume, "1:0700"), truth }
}

/// Runs sgdisk on an image whose sectors have `sector` bytes: those of a file have 512.
pub(crate) fn sgdisk(sector: u64, arguments: &[&str], image: &str) -> String {
    if sector == 512 {
        return tool("sgdisk", &[arguments, &[image]].concat());
    }
    let device = tool("losetup", &["-b", &sector.to_string(), "-f", "--show", image]);
    let device = device.trim();
    let told = std::panic::catch_unwind(|| tool("sgdisk", &[arguments, &[device]].concat()));
    tool("losetup", &["-d", device]);
    told.unwrap()
}

/// A disk with a GPT and this volume in its only partition.
pub(crate) fn partitioned(volume: &[u8], kind: &str) -> Vec<u8> {
    partitioned_on(512, volume, kind)
}

/// The same on a disk with sectors of `sector` bytes.
pub(crate) fn partitioned_on(sector: u64, volume: &[u8], kind: &str) -> Vec<u8> {
    let scratch = tempfile::tempdir().unwrap();
    let disk = scratch.path().join("disk.img");
    let length = volume.len() as u64;
    fs::File::create(&disk).unwrap().set_len(START + length + (1 << 20)).unwrap();
    let (first, last) = (START / sector, (START + length) / sector - 1);
    let partition = format!("1:{first}:{last}");
    let path = disk.to_str().unwrap();
    sgdisk(sector, &["-n", &partition, "-t", kind, "-c", "1:Basic data partition"], path);
    let mut bytes = fs::read(&disk).unwrap();
    bytes[START as usize..][..volume.len()].copy_from_slice(volume);
    bytes
}

/// The image once two readings of it, a moment apart, are the same and its user is gone.
fn settled(image: &Path) -> Vec<u8> {
    let name = image.to_str().unwrap();
    for _ in 0..200 {
        let busy = fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
            let is_it = fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(name));
            is_it && fs::read(entry.path().join("comm")).is_ok_and(|c| c.starts_with(b"ntfs-3g"))
        });
        if !busy {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    fs::read(image).unwrap()
}
