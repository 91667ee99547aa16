//! qemu-img as a second reader: every disk that both can read holds the same bytes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use vmglean_forge::vmdk::{
    descriptor::{DescriptorSpec, ExtentLine},
    seeds,
};
use vmglean_formats::vmdk::open_extent;

use crate::{corpus, reading::read_whole};

/// Whether qemu-img is there; one line where it is not.
fn available() -> bool {
    let found = Command::new("qemu-img").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: no qemu-img");
    }
    found
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vmglean-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The disk's bytes as qemu-img reads them, `None` where it refuses.
fn convert(folder: &Path, disk: &Path) -> Option<Vec<u8>> {
    let out = folder.join("out.raw");
    let done = Command::new("qemu-img")
        .args(["convert", "-f", "vmdk", "-O", "raw"])
        .arg(disk)
        .arg(&out)
        .output()
        .unwrap();
    done.status.success().then(|| fs::read(&out).unwrap())
}

#[test]
fn qemu_img_reads_the_same_bytes_from_every_forged_extent_it_can_open() {
    if !available() {
        return;
    }
    let scratch = Scratch::new("forged");
    let mut compared = Vec::new();
    for seed in seeds::extents() {
        let (kind, create) = match seed.family {
            "sparse" => ("SPARSE", "twoGbMaxExtentSparse"),
            "stream" => ("SPARSE", "monolithicSparse"),
            "cowd" => ("VMFSSPARSE", "vmfsSparse"),
            _ => ("SESPARSE", "seSparse"),
        };
        let extent = scratch.0.join("extent.vmdk");
        let disk = scratch.0.join("disk.vmdk");
        seed.forged.image.write_to(&extent).unwrap();
        let file = fs::read(&extent).unwrap();
        assert!(file == seed.forged.image.to_bytes());
        let line = ExtentLine::new(seed.forged.capacity / 512, kind, "extent.vmdk");
        fs::write(&disk, DescriptorSpec::new(create, line).text()).unwrap();
        let opened = open_extent(&file).unwrap().value;
        let ours = read_whole(opened.map.as_ref(), &file, 10_000).bytes;
        let theirs = convert(&scratch.0, &disk).or_else(|| convert(&scratch.0, &extent));
        match theirs {
            Some(theirs) => {
                // qemu rounds nothing up: both are as long as the capacity.
                assert!(ours == theirs, "{}: {} and {} bytes", seed.name, ours.len(), theirs.len());
                compared.push(seed.name);
            }
            None => eprintln!("{}: qemu-img refuses", seed.name),
        }
    }
    eprintln!("compared with qemu-img: {compared:?}");
    assert!(compared.len() >= 8, "{compared:?}");
}

#[test]
fn qemu_img_and_we_read_each_others_real_disks_alike() {
    if !available() {
        return;
    }
    let Some(folder) = corpus::folder() else { return };
    let scratch = Scratch::new("real");
    for name in [
        "dfvfs-ext2.vmdk",
        "plaso-image.vmdk",
        "vmdk-rs/streamOptimized.vmdk",
        "vmdk-rs/streamOptimizedWithMarkers.vmdk",
    ] {
        let path = folder.join("vmdk").join(name);
        let file = fs::read(&path).unwrap();
        let opened = open_extent(&file).unwrap().value;
        if opened.capacity.0 > 1 << 20 {
            eprintln!("{name}: {} is too large to compare here", opened.capacity);
            continue;
        }
        let ours = read_whole(opened.map.as_ref(), &file, 10_000).bytes;
        let theirs = convert(&scratch.0, &path).expect("qemu-img reads it");
        assert!(ours == theirs, "{name}");
    }
}

#[test]
fn disks_that_qemu_img_makes_read_back_as_the_bytes_put_in() {
    if !available() {
        return;
    }
    let scratch = Scratch::new("made");
    let raw = scratch.0.join("in.raw");
    let mut bytes = vec![0u8; 40 << 20];
    for (at, length) in
        [(0usize, 70_000usize), (1 << 20, 4096), (33 << 20, 300_000), ((40 << 20) - 600, 600)]
    {
        let fill = vmglean_forge::vmdk::pattern(at as u64, length as u64, 7);
        bytes[at..at + length].copy_from_slice(&fill);
    }
    fs::write(&raw, &bytes).unwrap();
    for options in [
        "subformat=monolithicSparse",
        "subformat=monolithicSparse,zeroed_grain=on",
        "subformat=streamOptimized",
    ] {
        let disk = scratch.0.join("made.vmdk");
        let done = Command::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", "vmdk", "-o", options])
            .arg(&raw)
            .arg(&disk)
            .output()
            .unwrap();
        assert!(done.status.success());
        let file = fs::read(&disk).unwrap();
        let opened = open_extent(&file).unwrap();
        assert_eq!(opened.defects, [], "{options}");
        let whole = read_whole(opened.value.map.as_ref(), &file, 10_000);
        assert_eq!(whole.defects, [], "{options}");
        assert!(whole.bytes == bytes, "{options}");
    }
}
