use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use vmglean_forge::{
    damage::{Cipher, KeyStream},
    vm::{checkpoint, nvram, text},
};

use super::{InspectOptions, Inspected, inspect};
use crate::{families::Families, outcome::Outcome};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn look(path: &Path) -> Inspected {
    inspect(path, &InspectOptions::default(), &Families::built_in().unwrap())
}

/// Codes of the findings that count.
fn codes(found: &Inspected) -> Vec<&str> {
    let counted = found.file.findings.iter();
    counted.filter(|f| f.weight > crate::finding::Weight::Note).map(|f| f.code.as_str()).collect()
}

fn descriptor(extent: &str, sectors: u64) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
         createType=\"vmfs\"\nRW {sectors} VMFS \"{extent}\"\n"
    )
}

fn ciphertext(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    KeyStream::new(7, Cipher::Stream).encrypt(&mut bytes, 0, 0);
    bytes
}

#[test]
fn a_descriptor_shows_its_keys_with_offsets_and_the_extent_it_stands_on() {
    let folder = Folder::new();
    folder.put("a-flat.vmdk", &[0; 4096]);
    let found = look(&folder.put("a.vmdk", descriptor("a-flat.vmdk", 8).as_bytes()));
    assert_eq!((found.outcome, codes(&found)), (Outcome::Clean, vec![]));
    assert_eq!(found.file.format.as_deref(), Some("VMDK descriptor"));
    let cid = found.file.fields.iter().find(|f| f.field == "CID").unwrap();
    assert_eq!((cid.offset_bytes, cid.value.as_str()), (32, "12345678"));
    let end = found.file.fields.last().unwrap();
    assert_eq!(end.value, "whole: ends with a base disk");
}

#[test]
fn an_extent_that_leads_away_is_missing_or_too_short_is_named() {
    let folder = Folder::new();
    folder.put("short.vmdk", &[0; 512]);
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), [b'V'; 4096]).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.0.path().join("link.vmdk")).unwrap();
    let absolute = outside.path().to_str().unwrap();
    let cases = [
        (absolute, "chain.extent-outside-root"),
        ("../victim.bin", "chain.extent-outside-root"),
        ("link.vmdk", "chain.extent-symlink"),
        ("gone.vmdk", "chain.extent-missing"),
        ("short.vmdk", "chain.extent-short"),
    ];
    for (extent, code) in cases {
        let found = look(&folder.put("d.vmdk", descriptor(extent, 8).as_bytes()));
        assert!(codes(&found).contains(&code), "{extent}: {:?}", found.file.findings);
        assert_ne!(found.outcome, Outcome::Clean, "{extent}");
    }
}

#[test]
fn a_checkpoint_gives_its_spares_and_the_configuration_in_it_with_its_place() {
    let folder = Folder::new();
    let vmx = text::Machine::server("web01").vmx();
    let nvram = nvram::bios();
    let vmxf = text::vmxf("web01.vmx");
    let file = checkpoint::disk_only(0xBED2_BED2, &vmx, &nvram, &vmxf);
    let found = look(&folder.put("web01-Snapshot1.vmsn", &file));
    assert_eq!(codes(&found), Vec::<&str>::new());
    let spare =
        |extension| found.spares.iter().find(|s| s.extension == extension).map(|s| s.bytes.clone());
    assert_eq!(spare("vmx"), Some(vmx));
    assert_eq!(spare("nvram"), Some(nvram));
    assert_eq!(spare("vmxf"), Some(vmxf));
    let name = found
        .file
        .fields
        .iter()
        .find(|f| f.structure == "cfgFile" && f.field == "displayName")
        .unwrap();
    let at = usize::try_from(name.offset_bytes).unwrap();
    let length = usize::try_from(name.length_bytes).unwrap();
    assert_eq!(&file[at..at + length], b"web01");

    // The group table is gone: the tags still tell themselves.
    let mut torn = file;
    torn[..64].fill(0xee);
    let found = look(&folder.put("torn.vmsn", &torn));
    assert!(found.outcome > Outcome::Clean);
}

#[test]
fn encrypted_and_empty_small_files_are_called_so() {
    let folder = Folder::new();
    let found = look(&folder.put("web01.vmx", &ciphertext(4096)));
    assert!(codes(&found).contains(&"content.encrypted"), "{:?}", found.file.findings);
    let found = look(&folder.put("web01.nvram", b""));
    assert_eq!(codes(&found), ["file.empty"]);
    // A machine without snapshots has an empty list.
    assert_eq!(look(&folder.put("web01.vmsd", b"")).outcome, Outcome::Clean);
}

#[test]
fn a_disk_whose_head_is_ciphertext_is_no_disk_and_called_encrypted() {
    let folder = Folder::new();
    let found = look(&folder.put("web01-delta.vmdk.akira", &ciphertext(1 << 20)));
    let codes = codes(&found);
    assert!(codes.contains(&"name.suffix"), "{codes:?}");
    assert!(codes.contains(&"content.encrypted"), "{codes:?}");
}

#[test]
fn a_file_that_is_not_to_be_had_says_why() {
    let folder = Folder::new();
    let why = |path: &Path| {
        let found = look(path);
        assert_eq!(found.outcome, Outcome::Partial);
        found.file.error.unwrap()
    };
    assert_eq!(why(&folder.0.path().join("gone.vmdk")), "not found");
    let target = folder.put("x", b"x");
    std::os::unix::fs::symlink(&target, folder.0.path().join("link")).unwrap();
    assert_eq!(why(&folder.0.path().join("link")), "a symbolic link, which is not followed");
    assert_eq!(why(folder.0.path()), "is a folder: name a file, or sweep the folder");
}

#[test]
fn names_lead_as_far_as_the_root_that_was_named() {
    let folder = Folder::new();
    fs::create_dir(folder.0.path().join("vm")).unwrap();
    folder.put("base-flat.vmdk", &[0; 4096]);
    let path = folder.put("vm/d.vmdk", descriptor("../base-flat.vmdk", 8).as_bytes());
    assert!(!codes(&look(&path)).is_empty());
    let options =
        InspectOptions { root: Some(folder.0.path().to_path_buf()), ..InspectOptions::default() };
    let found = inspect(&path, &options, &Families::built_in().unwrap());
    assert_eq!((found.outcome, codes(&found)), (Outcome::Clean, vec![]));
}
