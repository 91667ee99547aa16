//! Structures that lie, put into a real volume: named, bounded, and nothing handed out by them.

use vmglean::guest::GuestFile;

use super::{Found, files, path, shared, true_map};

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Where the attribute of `kind` begins in the record at `record`.
fn attribute(bytes: &[u8], record: usize, kind: u32) -> usize {
    let mut at = record + u16_at(bytes, record + 20);
    while u32_at(bytes, at) != kind {
        assert_ne!(u32_at(bytes, at), u32::MAX, "no attribute {kind:#x}");
        at += u32_at(bytes, at + 4) as usize;
    }
    at
}

fn named<'a>(found: &'a [Found], name: &str) -> &'a GuestFile {
    &found.iter().find(|one| path(&one.file) == name).unwrap_or_else(|| panic!("{name}")).file
}

fn record(file: &GuestFile) -> usize {
    file.record_at.unwrap() as usize
}

#[test]
fn circles_overlaps_and_huge_sizes_are_named_and_never_whole() {
    let disk = shared();
    let size = disk.bytes.len() as u64;
    let before = files(&disk.bytes, &true_map(size, &[]));
    let mut bytes = disk.bytes.clone();

    // A folder that lies in its own folder.
    let (outer, inner) =
        (named(&before, "Shares/Dept 1"), named(&before, "Shares/Dept 1/Project 001"));
    let name = attribute(&bytes, record(outer), 0x30);
    let value = name + u16_at(&bytes, name + 20);
    let parent = inner.record_number | u64::from(inner.sequence) << 48;
    bytes[value..value + 8].copy_from_slice(&parent.to_le_bytes());

    // A file of 2^48 bytes.
    let large = record(named(&before, "Data/large.sql"));
    let data = attribute(&bytes, large, 0x80);
    for field in [48, 56] {
        bytes[data + field..data + field + 8].copy_from_slice(&(1_u64 << 48).to_le_bytes());
    }

    // A file that claims another one's clusters.
    let single: Vec<&GuestFile> = before
        .iter()
        .map(|one| &one.file)
        .filter(|file| {
            path(file).contains("berblick") && file.places.len() == 1 && !file.is_deleted
        })
        .filter(|file| path(file).starts_with("Shares/Dept 2"))
        .collect();
    let runs = |file: &GuestFile, bytes: &[u8]| {
        let data = attribute(bytes, record(file), 0x80);
        let from = data + u16_at(bytes, data + 32);
        from..from + 8
    };
    let alike = single.iter().enumerate().find_map(|(n, one)| {
        let other = single
            .iter()
            .skip(n + 1)
            .find(|other| bytes[runs(one, &bytes)][..2] == bytes[runs(other, &bytes)][..2])?;
        Some((*one, *other))
    });
    let (one, other) = alike.expect("two files of as many clusters");
    let stolen = bytes[runs(other, &bytes)].to_vec();
    let own = runs(one, &bytes);
    bytes[own].copy_from_slice(&stolen);

    let after = files(&bytes, &true_map(size, &[]));
    let circled =
        after.iter().filter(|one| path(&one.file).contains("(folder in a circle")).count();
    assert!(circled > 10, "{circled}");
    let huge = named(&after, "Data/large.sql");
    assert!(!huge.is_whole(), "{huge:?}");
    for file in [one, other] {
        let now = named(&after, &path(file));
        assert!(!now.is_whole(), "{now:?}");
        assert!(now.doubts.iter().any(|doubt| doubt.contains("same clusters")), "{now:?}");
    }
}
