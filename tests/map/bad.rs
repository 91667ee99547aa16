//! Disks that fail, shrink, lie about their size, or point everywhere at one place.

/// Not one byte of a disk that lost a header may be called good where it is not what it was.
#[test]
fn a_stream_without_its_head_has_no_byte_called_zero_or_absent_that_was_written() {
    use vmglean_forge::vmdk::{
        Disk,
        descriptor::{DescriptorSpec, ExtentLine},
        stream::{self, StreamLayout, StreamSpec},
    };
    let size = 24_u64 << 20;
    for layout in [StreamLayout::Footer, StreamLayout::Front] {
        let case = Case::new();
        let disk = Disk::new(size / 512).pattern(0, 300_000, 1).pattern(8 << 20, 5 << 20, 9);
        let line = ExtentLine::new(size / 512, "SPARSE", "vm.vmdk");
        let text = DescriptorSpec::new("streamOptimized", line).text();
        let spec = StreamSpec { layout, descriptor: Some(text), ..Default::default() };
        let mut bytes = stream::write(&disk, &spec).image.to_bytes();
        bytes[..512].fill(0xa7);
        std::fs::write(case.disk("vm.vmdk"), bytes).unwrap();
        let (code, record) = case.map(&["ds/vm.vmdk"]);
        assert_ne!(code, 0, "{layout:?}");
        for run in record["runs"].as_array().unwrap() {
            let from = run["offset_bytes"].as_u64().unwrap();
            let to = from + run["length_bytes"].as_u64().unwrap();
            let written = from < 300_000 || (from < 13 << 20 && to > 8 << 20);
            let good = ["zero", "absent"].contains(&run["state"].as_str().unwrap());
            assert!(!(written && good), "{layout:?}: {run}");
        }
    }
}

use std::{fs, io::Write, process::Command};

use vmglean_forge::{
    damage::Geometry,
    vmdk::{self, Disk, sparse::SparseSpec},
};

use crate::make::{Case, covers, runs, tool};

/// Fails reads that touch a range of a file whose name ends in `-flat.vmdk`.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
#include <string.h>
#include <stdio.h>
static int bad(int fd, size_t n, off_t at) {
    const char *from = getenv("FAIL_FROM"), *to = getenv("FAIL_TO");
    if (!from || !to) return 0;
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 10) return 0;
    name[length] = 0;
    if (strcmp(name + length - 10, "-flat.vmdk")) return 0;
    return at < atoll(to) && at + (off_t)n > atoll(from);
}
ssize_t pread(int fd, void *buf, size_t n, off_t at) {
    ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, "pread");
    if (bad(fd, n, at)) { errno = EIO; return -1; }
    return real(fd, buf, n, at);
}
ssize_t pread64(int fd, void *buf, size_t n, off_t at) {
    ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, "pread64");
    if (bad(fd, n, at)) { errno = EIO; return -1; }
    return real(fd, buf, n, at);
}
"#;

#[test]
fn a_read_error_in_the_middle_is_unreadable_and_the_rest_is_judged() {
    let case = Case::new();
    case.flat("d-flat.vmdk", 8, Geometry::None);
    fs::write(case.root().join("shim.c"), SHIM).unwrap();
    tool(case.root(), "cc", &["-shared", "-fPIC", "-o", "shim.so", "shim.c", "-ldl"]);
    let (from, to) = (3 << 20, (3 << 20) + 8192);
    let output = Command::new(env!("CARGO_BIN_EXE_vmglean"))
        .args(["map", "ds/d-flat.vmdk", "--json", "--reproducible"])
        .current_dir(case.root())
        .env("LD_PRELOAD", case.root().join("shim.so"))
        .env("FAIL_FROM", from.to_string())
        .env("FAIL_TO", to.to_string())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let record = serde_json::from_slice(&output.stdout).unwrap();
    covers(&record);
    let bad: Vec<_> = runs(&record).into_iter().filter(|r| r.2 == "unreadable").collect();
    assert_eq!(bad, [(from, to - from, "unreadable".to_owned())]);
    assert_eq!(record["summary"]["encrypted_bytes"], 0);
}

#[test]
fn a_disk_that_is_shorter_than_its_descriptor_says_is_covered_to_its_stated_end() {
    let case = Case::new();
    case.flat("d-flat.vmdk", 4, Geometry::None);
    let line = vmdk::descriptor::ExtentLine::new((8 << 20) / 512, "VMFS", "d-flat.vmdk");
    let text = vmdk::descriptor::DescriptorSpec::new("vmfs", line).text();
    fs::write(case.disk("d.vmdk"), text).unwrap();
    let (code, record) = case.map(&["ds/d.vmdk"]);
    assert_eq!(code, 1);
    assert_eq!(record["size_bytes"], 8 << 20);
    assert_eq!(record["summary"]["damaged_bytes"], 4 << 20);
    assert!(record["findings"].to_string().contains("chain.extent-short"));
}

#[test]
fn a_disk_that_shrinks_while_it_is_read_ends_in_unreadable_bytes() {
    let case = Case::new();
    // Grows and shrinks all the time; whatever is met, the map is whole and the program ends.
    case.flat("d-flat.vmdk", 8, Geometry::None);
    let disk = fs::OpenOptions::new().write(true).open(case.disk("d-flat.vmdk")).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                disk.set_len(2 << 20).unwrap();
                disk.set_len(8 << 20).unwrap();
            }
        });
        for _ in 0..5 {
            let output = case.run(&["map", "ds/d-flat.vmdk", "--json"]);
            if let Ok(record) = serde_json::from_slice::<serde_json::Value>(&output.stdout) {
                covers(&record);
            } else {
                assert_eq!(output.status.code(), Some(74));
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn eight_exbibytes_of_nothing_take_a_handful_of_reads() {
    // Only some file systems hold files of that size; the largest that this one takes will do.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("huge-flat.vmdk");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(&vec![b'x'; 4096]).unwrap();
    let mut size = i64::MAX as u64 / 4096 * 4096;
    while file.set_len(size).is_err() {
        size /= 2;
    }
    let log = folder.path().join("calls");
    let output = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=read,pread64,preadv,lseek,mmap", "-o"])
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_vmglean"))
        .args(["map", "--json", "--reproducible"])
        .arg(&path)
        .output()
        .expect("strace (see tests/run)");
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    covers(&record);
    assert_eq!((output.status.code(), record["size_bytes"].as_u64()), (Some(0), Some(size)));
    let calls = fs::read_to_string(&log).unwrap();
    let on_disk = calls.lines().filter(|line| line.contains("huge-flat.vmdk")).count();
    assert!((1..200).contains(&on_disk), "{on_disk} calls read or seek in the disk");
    assert!(record["summary"]["absent_bytes"].as_u64().unwrap() > size - (2 << 20));
}

#[test]
fn tables_that_point_everywhere_at_one_grain_are_mapped_in_bounded_time() {
    let case = Case::new();
    let sectors = (8_u64 << 30) / 512;
    let disk = Disk::new(sectors).write(0, vec![b'a'; 65_536]);
    let spec = SparseSpec { redundant: false, ..SparseSpec::default() };
    let mut forged = vmdk::sparse::write(&disk, &spec);
    let bytes = forged.image.to_bytes();
    // The entry of the first grain, wherever its table lies, repeated over all of the tables.
    let directory = u64::from_le_bytes(bytes[56..64].try_into().unwrap()) * 512;
    let table = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let first = u64::from(table(directory as usize)) * 512;
    let grain = table(first as usize);
    let tables = sectors / (512 * 128);
    for nth in 0..tables {
        forged.image.put_u32(directory + nth * 4, (first / 512) as u32);
    }
    for entry in 0..512 {
        forged.image.put_u32(first + entry * 4, grain);
    }
    forged.image.write_to(&case.disk("one.vmdk")).unwrap();
    let (_, record) = case.map(&["ds/one.vmdk"]);
    assert_eq!(record["size_bytes"], 8_u64 << 30);
}
