//! qemu-img as a second reader of whole disks: every real disk at hand and every kind the forge
//! makes holds the same bytes, chains included.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use vmglean::{
    disk::{FolderCompanions, open_chain},
    source::{Access, EvidenceRoot, RelPath, Source},
};
use vmglean_forge::{
    corpus,
    vmdk::{
        Disk,
        cowd::{self, CowdSpec},
        descriptor::{DescriptorSpec, ExtentLine},
        seeds,
        sesparse::{self, SeSparseSpec},
        sparse::{self, SparseSpec},
    },
};
use vmglean_formats::ByteOffset;

const CHUNK: u64 = 1 << 20;

/// Length and SHA-256 of a disk: of every MiB that is not all zeros its number and its bytes.
fn digest(disk: &dyn Source) -> (u64, String) {
    let end = disk.len_bytes();
    let (mut hash, mut at) = (Sha256::new(), 0);
    while let Some(data) = disk.next_data(at).unwrap() {
        let from = data.start / CHUNK * CHUNK;
        at = from.max(at);
        while at < data.end {
            let length = CHUNK.min(end - at);
            let bytes = disk.read_up_to(ByteOffset(at), usize::try_from(length).unwrap()).unwrap();
            if bytes.iter().any(|byte| *byte != 0) {
                hash.update((at / CHUNK).to_le_bytes());
                hash.update(&bytes);
            }
            at += length;
        }
    }
    (end, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn root(folder: &Path) -> Arc<EvidenceRoot> {
    Arc::new(EvidenceRoot::open(folder, Access::Read).unwrap())
}

fn ours(folder: &Path, leaf: &str) -> Result<(u64, String), String> {
    let companions: Arc<dyn vmglean::disk::Companions> =
        Arc::new(FolderCompanions::new(root(folder)));
    let chain = open_chain(&companions, &RelPath::from(leaf)).map_err(|error| error.to_string())?;
    let disk = chain.disk();
    let whole = disk
        .walk(0, disk.capacity_bytes())
        .all(|batch| batch.runs.iter().all(|run| !run.state.is_gone()));
    if whole { Ok(digest(disk)) } else { Err("some of it is lost".to_owned()) }
}

fn theirs(folder: &Path, leaf: &str) -> Option<(u64, String)> {
    let out = folder.join("qemu.raw");
    let done = Command::new("qemu-img")
        .args(["convert", "-f", "vmdk", "-O", "raw"])
        .arg(folder.join(leaf))
        .arg(&out)
        .output()
        .unwrap();
    if !done.status.success() {
        return None;
    }
    let raw = root(folder).open_file(&RelPath::from("qemu.raw")).unwrap();
    let found = digest(&raw);
    fs::remove_file(out).unwrap();
    Some(found)
}

/// Compares; answers whether qemu-img could read it.
fn same(folder: &Path, leaf: &str) -> bool {
    let Some(theirs) = theirs(folder, leaf) else { return false };
    assert_eq!(ours(folder, leaf).as_ref(), Ok(&theirs), "{leaf}");
    true
}

fn available() -> bool {
    let found = Command::new("qemu-img").arg("--version").output().is_ok();
    if !found {
        eprintln!("left out: no qemu-img");
    }
    found
}

#[test]
fn every_real_disk_that_qemu_img_reads_holds_the_same_bytes() {
    if !available() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let table = fs::read_to_string("formats/tests/corpus.tsv").unwrap();
    let names = table.lines().filter_map(|line| line.split('\t').next());
    let disks = names
        .filter(|name| name.contains(".vmdk"))
        .filter_map(|name| Some((name, corpus::path(name)?)));
    // A descriptor looks for its extents beside it.
    let mut leaves: Vec<String> = Vec::new();
    for (name, path) in disks {
        let leaf = path.file_name().unwrap().to_str().unwrap();
        let unpack = [(".bz2", "bzip2"), (".gz", "gzip")];
        let packed =
            unpack.iter().find_map(|(ending, tool)| Some((leaf.strip_suffix(ending)?, tool)));
        match packed {
            Some(("sesparse.vmdk", _)) => {
                // A bare delta: it gets the descriptor and the base that its folder had.
                let done = Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
                fs::write(scratch.path().join("real-sesparse.vmdk"), done.stdout).unwrap();
                let line = ExtentLine::new(1 << 20, "SESPARSE", "real-sesparse.vmdk");
                leaves.push(put_delta(
                    scratch.path(),
                    "real",
                    DescriptorSpec::new("seSparse", line),
                ));
            }
            Some((plain, tool)) => {
                let done = Command::new(tool).arg("-dc").arg(&path).output().unwrap();
                assert!(done.status.success(), "{name}");
                fs::write(scratch.path().join(plain), done.stdout).unwrap();
                leaves.push(plain.to_owned());
            }
            None => {
                fs::copy(&path, scratch.path().join(leaf)).unwrap();
                leaves.push(leaf.to_owned());
            }
        }
    }
    let (read, refused): (Vec<&String>, Vec<&String>) = leaves
        .iter()
        .filter(|leaf| !leaf.ends_with("-flat.vmdk"))
        .partition(|leaf| same(scratch.path(), leaf));
    eprintln!("compared {read:?}, qemu-img refuses {refused:?}");
    // Those whose extents or parents nobody has, those of devices, and those broken on purpose.
    let known = [
        "esxi67-",
        "m331-invalid",
        "ms3-win",
        "afl9",
        "Flat.vmdk",
        "vmfs_thick-000001",
        "-s001.vmdk",
    ];
    for leaf in refused {
        assert!(known.iter().any(|part| leaf.contains(part)), "{leaf}");
    }
}

/// A folder with a disk in it: its leaf.
fn put(folder: &Path, name: &str, text: &DescriptorSpec) -> String {
    let leaf = format!("{name}.vmdk");
    fs::write(folder.join(&leaf), text.text()).unwrap();
    leaf
}

/// The same over a base of zeros.
fn put_delta(folder: &Path, name: &str, text: DescriptorSpec) -> String {
    let flat = format!("{name}-base-flat.vmdk");
    let sectors = text.extents[0].sectors;
    fs::File::create(folder.join(&flat)).unwrap().set_len(sectors * 512).unwrap();
    let line = ExtentLine::new(sectors, "VMFS", &flat);
    let base = put(folder, &format!("{name}-base"), &DescriptorSpec::new("vmfs", line));
    put(folder, name, &text.child_of(0xffff_fffe, &base))
}

#[test]
fn every_forged_kind_that_qemu_img_reads_holds_the_same_bytes() {
    if !available() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let mut compared = Vec::new();
    for seed in seeds::extents() {
        let (kind, create) = match seed.family {
            "sparse" => ("SPARSE", "twoGbMaxExtentSparse"),
            "stream" => ("SPARSE", "monolithicSparse"),
            "cowd" => ("VMFSSPARSE", "vmfsSparse"),
            _ => ("SESPARSE", "seSparse"),
        };
        let extent = format!("{}-extent.vmdk", seed.name);
        seed.forged.image.write_to(&folder.join(&extent)).unwrap();
        let line = ExtentLine::new(seed.forged.capacity / 512, kind, &extent);
        let text = DescriptorSpec::new(create, line);
        let leaf = match seed.family {
            "cowd" | "sesparse" => put_delta(folder, seed.name, text),
            _ => put(folder, seed.name, &text),
        };
        if same(folder, &leaf) || same(folder, &extent) {
            compared.push(seed.name);
        }
    }
    eprintln!("compared {compared:?}");
    assert!(compared.len() >= 14, "{compared:?}");
}

#[test]
fn chains_of_every_delta_kind_hold_the_bytes_that_qemu_img_reads() {
    if !available() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let sectors = 40_000;
    let flat: PathBuf = folder.join("base-flat.vmdk");
    let mut bytes = vec![0; 40_000 * 512];
    for (at, seed) in [(0_usize, 1), (9_000_000, 2)] {
        let fill = vmglean_forge::vmdk::pattern(at as u64, 700_000, seed);
        bytes[at..at + fill.len()].copy_from_slice(&fill);
    }
    fs::write(flat, &bytes).unwrap();
    let base = DescriptorSpec::new("vmfs", ExtentLine::new(sectors, "VMFS", "base-flat.vmdk"));
    put(folder, "base", &base);
    let disk = Disk::new(sectors).pattern(300_000, 200_000, 7).pattern(9_100_000, 4096, 8);
    let deltas = [
        ("cowd", "VMFSSPARSE", "vmfsSparse", cowd::write(&disk, &CowdSpec::default())),
        ("sesparse", "SESPARSE", "seSparse", sesparse::write(&disk, &SeSparseSpec::default())),
        ("hosted", "SPARSE", "twoGbMaxExtentSparse", sparse::write(&disk, &SparseSpec::default())),
    ];
    let mut read = 0;
    for (name, kind, create, forged) in deltas {
        let extent = format!("{name}-delta.vmdk");
        forged.image.write_to(&folder.join(&extent)).unwrap();
        let spec = DescriptorSpec::new(create, ExtentLine::new(sectors, kind, &extent));
        let leaf = put(folder, name, &spec.child_of(0xffff_fffe, "base.vmdk"));
        assert_ne!(ours(folder, &leaf), ours(folder, "base.vmdk"), "{name} changes its base");
        read += usize::from(same(folder, &leaf));
    }
    assert_eq!(read, 3, "qemu-img reads every delta kind");
}
