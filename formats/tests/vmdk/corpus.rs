//! Real files of several writers, where they are at hand.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use vmglean_forge::corpus;
use vmglean_formats::{
    ByteOffset, Fields as _, FileKind, detect,
    vmdk::{
        BackmapEntry, ContentId, CreateType, Descriptor, ExtentFormat, ExtentKind, SeSparseExtent,
        open_descriptor, open_extent,
    },
};

use crate::reading::{State, named_bytes, read_whole};

/// The folder with the whole corpus, or `None` with one line.
pub(crate) fn folder() -> Option<PathBuf> {
    let found = corpus::folder();
    if found.is_none() {
        eprintln!("left out: VMGLEAN_CORPUS names no folder");
    }
    found
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn bunzip(name: &str) -> Option<Vec<u8>> {
    let path = corpus::path(name);
    let found = path.map(|path| Command::new("bzip2").arg("-dc").arg(path).output());
    match found {
        Some(Ok(output)) if output.status.success() => Some(output.stdout),
        _ => {
            eprintln!("left out: {name} or bzip2 is not at hand");
            None
        }
    }
}

/// The one real seSparse delta, or `None` with one line.
fn sesparse() -> Option<Vec<u8>> {
    let Some(file) = corpus::file("sesparse/sesparse.vmdk.gz") else {
        eprintln!("left out: sesparse.vmdk.gz is not at hand");
        return None;
    };
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(file.as_slice()).read_to_end(&mut out).unwrap();
    Some(out)
}

#[test]
fn real_sparse_extents_open_without_a_defect_and_with_their_known_numbers() {
    let Some(folder) = folder() else { return };
    let cases = [
        ("vmdk/dfvfs-ext2.vmdk", ExtentFormat::HostedSparse, Some("monolithicSparse")),
        ("vmdk/plaso-image.vmdk", ExtentFormat::HostedSparse, Some("monolithicSparse")),
        (
            "vmdk/vmdk-rs/monolithicSparse.vmdk",
            ExtentFormat::HostedSparse,
            Some("monolithicSparse"),
        ),
        (
            "vmdk/vmdk-rs/streamOptimized.vmdk",
            ExtentFormat::StreamOptimized,
            Some("streamOptimized"),
        ),
        (
            "vmdk/vmdk-rs/streamOptimizedWithMarkers.vmdk",
            ExtentFormat::StreamOptimized,
            Some("streamOptimized"),
        ),
        ("vmdk/vmdk-rs/twoGbMaxExtentSparse-s001.vmdk", ExtentFormat::HostedSparse, None),
    ];
    for (name, format, create) in cases {
        let file = read(&folder, name);
        let opened = open_extent(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(opened.defects, [], "{name}");
        let opened = opened.value;
        assert_eq!(opened.format, format, "{name}");
        let descriptor = opened.embedded_descriptor.as_ref();
        assert_eq!(descriptor.and_then(|found| found.value.get("createType")), create, "{name}");
        if let Some(descriptor) = descriptor {
            assert_eq!(descriptor.defects, [], "{name}");
            assert_eq!(descriptor.value.capacity(), Some(opened.capacity), "{name}");
        }
        let named = named_bytes(opened.map.as_ref(), &file);
        assert_eq!(opened.unnamed_grains(&file, named), None, "{name}");
        if opened.capacity.0 <= 1 << 22 {
            let whole = read_whole(opened.map.as_ref(), &file, 10_000);
            assert_eq!(whole.defects, [], "{name}");
            assert!(!whole.states.contains(&State::Lost), "{name}");
        }
    }
}

#[test]
fn an_empty_disk_is_absent_and_a_deliberately_broken_one_is_told() {
    let Some(folder) = folder() else { return };
    for name in ["vmdk/m331-monolith.vmdk", "vmdk/m331-streamoptimized.vmdk"] {
        let file = read(&folder, name);
        let opened = open_extent(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let whole = read_whole(opened.value.map.as_ref(), &file, 10_000);
        assert!(whole.states.iter().all(|state| *state == State::Absent), "{name}");
    }
    let file = read(&folder, "vmdk/m331-invalid.vmdk");
    let opened = open_extent(&file).unwrap();
    let descriptor = opened.value.embedded_descriptor.as_ref();
    let whole = read_whole(opened.value.map.as_ref(), &file, 10_000);
    let told = opened.defects.len()
        + whole.defects.len()
        + descriptor.map_or(0, |found| found.defects.len());
    eprintln!("m331-invalid: {:?} {:?}", opened.defects, descriptor.map(|found| &found.defects));
    assert!(told > 0);
}

#[test]
fn the_real_sesparse_delta_maps_its_first_sixteen_mebibytes_and_keeps_a_whole_journal() {
    let Some(file) = sesparse() else { return };
    assert_eq!(detect(&file).map(|found| found.kind), Some(FileKind::VmdkSeSparse));
    let opened = SeSparseExtent::open(&file).unwrap();
    assert_eq!(opened.defects, []);
    let extent = opened.value;
    assert_eq!(extent.header().capacity.0, 1 << 20);
    let volatile = extent.volatile_header().unwrap();
    assert!(!volatile.replay_journal);
    assert_eq!(volatile.next_sequence, 36);
    assert_eq!(volatile.free_gt_number, 1);
    let journal = extent.journal();
    assert_eq!(journal.header.unwrap().next_sequence, 36);
    assert_eq!(journal.records.last().unwrap().sequence, 35);
    assert!(!journal.fields().is_empty());
    let whole = read_whole(&extent, &file, 10_000);
    assert_eq!(whole.defects, []);
    let data = whole.states.iter().filter(|state| **state == State::Data).count();
    assert_eq!(data, 32_768, "4096 grains of 8 sectors");
    assert!(whole.states[..32_768].iter().all(|state| *state == State::Data));
    assert!(whole.states[32_768..].iter().all(|state| *state == State::Absent));
    assert!(extent.in_use(&file, 0, 4096).unwrap().iter().all(|used| *used));
    assert_eq!(extent.backmap(&file, 4095, 1).unwrap(), [BackmapEntry::Owner(4095)]);
}

#[test]
fn torn_tables_of_the_real_sesparse_delta_come_back_from_its_journal() {
    let Some(mut file) = sesparse() else { return };
    let extent = SeSparseExtent::open(&file).unwrap().value;
    let before = read_whole(&extent, &file, 10_000);
    let tables = extent.header().tables.offset.0;
    let held: Vec<u64> =
        (tables..tables + 64).filter(|at| extent.journal().image(*at).is_some()).collect();
    assert!(!held.is_empty());
    for sector in &held {
        let at = usize::try_from(sector * 512).unwrap();
        for (nth, byte) in file[at..at + 512].iter_mut().enumerate() {
            *byte ^= u8::try_from(nth % 251).unwrap() | 0x80;
        }
    }
    let extent = SeSparseExtent::open(&file).unwrap().value;
    let after = read_whole(&extent, &file, 10_000);
    assert!(after.bytes == before.bytes);
    assert_eq!(after.defects.len(), held.len());
    eprintln!("{} of 64 table sectors came back from the journal", held.len());
}

#[test]
fn real_descriptors_read_without_a_defect() {
    let Some(folder) = folder() else { return };
    let cases = [
        (
            "esxi-descriptors/esxi67-rdm.vmdk",
            CreateType::VmfsRawDeviceMap,
            ExtentKind::VmfsRdm,
            14_615_052_288,
        ),
        ("esxi-descriptors/esxi67-vmfs-thin.vmdk", CreateType::Vmfs, ExtentKind::Vmfs, 144_703_488),
        (
            "esxi-descriptors/esxi67-vmfs-thin-42TiB.vmdk",
            CreateType::Vmfs,
            ExtentKind::Vmfs,
            90_194_313_216,
        ),
        ("vmdk-rs/monolithicFlat.vmdk", CreateType::MonolithicFlat, ExtentKind::Flat, 0),
        ("vmdk-rs/twoGbMaxExtentFlat.vmdk", CreateType::TwoGbMaxExtentFlat, ExtentKind::Flat, 0),
        (
            "vmdk-rs/twoGbMaxExtentSparse.vmdk",
            CreateType::TwoGbMaxExtentSparse,
            ExtentKind::Sparse,
            0,
        ),
        ("vmdk-rs/vmfs_thick.vmdk", CreateType::Vmfs, ExtentKind::Vmfs, 4096),
        ("vmdk-rs/vmfs_thick-000001.vmdk", CreateType::VmfsSparse, ExtentKind::VmfsSparse, 4096),
    ];
    for (name, create, kind, sectors) in cases {
        let file = read(&folder, &format!("vmdk/{name}"));
        let found = open_descriptor(&file).unwrap();
        assert_eq!(found.defects, [], "{name}");
        let descriptor = found.value;
        assert_eq!(descriptor.create_type(), Some(create), "{name}");
        assert_eq!(descriptor.extents[0].kind, kind, "{name}");
        if sectors > 0 {
            assert_eq!(descriptor.capacity().unwrap().0, sectors, "{name}");
        }
        if let Some(long) = descriptor.long_content_id() {
            let rebuilt = ContentId::from_long_content_id(long);
            if name.starts_with("esxi") {
                assert_eq!(rebuilt, descriptor.cid(), "{name}");
            }
        }
    }
    let file = read(&folder, "vmdk/ms3-win-descriptor.vmdk");
    let windows = Descriptor::parse(&file, ByteOffset(0));
    eprintln!("ms3-win: {:?} {:?}", windows.value.encoding, windows.defects);
    assert!(windows.value.create_type().is_some());
}

#[test]
fn broken_headers_of_a_fuzzer_end_in_a_named_defect() {
    if let Some(file) = bunzip("vmdk/qemu/afl9.vmdk.bz2") {
        match open_extent(&file) {
            Ok(opened) => {
                let (_, defects) = crate::reading::all_runs(opened.value.map.as_ref(), &file, 1000);
                assert!(!defects.is_empty() || !opened.defects.is_empty());
            }
            Err(error) => eprintln!("afl9: {error}"),
        }
    }
    if let Some(file) = bunzip("vmdk/qemu/iotest-version3.vmdk.bz2") {
        let opened = open_extent(&file).unwrap();
        assert_eq!(opened.value.format, ExtentFormat::StreamOptimized);
        assert_eq!(opened.defects, []);
    }
}
