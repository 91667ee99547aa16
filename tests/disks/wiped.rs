//! Zeros written over everything that names a grain: directory, tables, bitmap, backmap. The
//! grains are still there, and no command may take the disk for one that was never written.

use std::fs;

use vmglean_forge::vmdk::{
    Disk, cowd,
    descriptor::{DescriptorSpec, ExtentLine},
    sesparse, sparse, stream,
};

use crate::make::{Case, codes, letters, mixed, said, vmglean};

const SIZE: u64 = 24 << 20;
const MIB: usize = 1 << 20;

fn spec(kind: &str, word: &str, extent: &str) -> DescriptorSpec {
    let mut spec = DescriptorSpec::new(kind, ExtentLine::new(SIZE / 512, word, extent));
    spec.cid = 0x2222_2222;
    spec
}

/// A flat base under a delta of `kind`, whose bytes are hurt by `hurt`.
fn delta(kind: &str, word: &str, image: Vec<u8>, hurt: &[std::ops::Range<usize>]) -> Case {
    let case = Case::new();
    let mut base = spec("vmfs", "VMFS", "vm-flat.vmdk");
    base.cid = 0x1111_1111;
    fs::write(case.ds().join("vm.vmdk"), base.text()).unwrap();
    fs::write(case.ds().join("vm-flat.vmdk"), mixed(SIZE as usize, 5)).unwrap();
    let leaf = spec(kind, word, "vm-000001-x.vmdk").child_of(0x1111_1111, "vm.vmdk");
    fs::write(case.ds().join("leaf.vmdk"), leaf.text()).unwrap();
    let mut bytes = image;
    for range in hurt {
        bytes[range.clone()].fill(0);
    }
    fs::write(case.ds().join("vm-000001-x.vmdk"), bytes).unwrap();
    case
}

fn written() -> Disk {
    Disk::new(SIZE / 512).write(4096 * 8, letters(8192, 4)).write(17 << 20, letters(409_600, 5))
}

/// Neither consolidate nor map may end with 0, and map may call no byte sound that came through
/// the tables that were wiped.
fn is_told(case: &Case, what: &str) {
    let (code, _, err) = said(&vmglean(&case.ds(), &["consolidate", "leaf.vmdk", "--null"]));
    assert_ne!(code, 0, "{what}: {err}");
    let (code, out, err) = said(&vmglean(&case.ds(), &["map", "leaf.vmdk", "--json"]));
    assert_eq!(code, 1, "{what}: {err}");
    let record: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(codes(&record).iter().any(|code| code == "map.unnamed-grains"), "{what}: {record:#}");
    for word in ["intact_bytes", "zero_bytes", "absent_bytes"] {
        assert_eq!(record["summary"][word], 0, "{what} {word}: {:#}", record["summary"]);
    }
    let (_, text, _) = said(&vmglean(&case.ds(), &["map", "leaf.vmdk"]));
    assert!(!text.contains("No damage"), "{what}: {text}");
}

#[test]
fn an_sesparse_delta_without_any_table_is_not_its_base() {
    // Directory at 2 MiB, tables at 3, bitmap at 4, backmap at 5, grains at 6.
    for (journal, from, to) in [
        (sesparse::JournalSpec::Clean, 2, 3),
        (sesparse::JournalSpec::Clean, 3, 4),
        (sesparse::JournalSpec::Clean, 2, 4),
        (sesparse::JournalSpec::Clean, 2, 5),
        (sesparse::JournalSpec::Clean, 3, 5),
        (sesparse::JournalSpec::Clean, 2, 6),
        (sesparse::JournalSpec::Clean, 3, 6),
        (sesparse::JournalSpec::Empty, 2, 6),
    ] {
        let se = sesparse::SeSparseSpec { journal, ..sesparse::SeSparseSpec::default() };
        let image = sesparse::write(&written(), &se).image.to_bytes();
        let case = delta("seSparse", "SESPARSE", image, &[from * MIB..to * MIB]);
        is_told(&case, &format!("{journal:?} {from}..{to} MiB"));
    }
}

#[test]
fn a_redo_log_without_directory_or_tables_is_not_its_base() {
    let forged = cowd::write(&written(), &cowd::CowdSpec::default());
    let image = forged.image.to_bytes();
    let tables: Vec<_> = (0..image.len() / 512)
        .filter(|sector| *sector >= 4 && forged.is_metadata(*sector as u64 * 512))
        .map(|sector| sector * 512..sector * 512 + 512)
        .collect();
    let directory = vec![2048..2560];
    for hurt in [tables, directory] {
        let what = format!("{} sectors", hurt.len());
        is_told(&delta("vmfsSparse", "VMFSSPARSE", image.clone(), &hurt), &what);
    }
}

#[test]
fn a_sparse_disk_or_stream_without_directories_and_tables_is_not_empty() {
    for is_stream in [false, true] {
        let kind = if is_stream { "streamOptimized" } else { "monolithicSparse" };
        let text = spec(kind, "SPARSE", "leaf.vmdk").text();
        let forged = if is_stream {
            let spec = stream::StreamSpec { descriptor: Some(text), ..Default::default() };
            stream::write(&written(), &spec)
        } else {
            let spec = sparse::SparseSpec { descriptor: Some(text), ..Default::default() };
            sparse::write(&written(), &spec)
        };
        let mut bytes = forged.image.to_bytes();
        // The header and the descriptor behind it stay.
        for sector in 21..bytes.len() / 512 {
            if forged.is_metadata(sector as u64 * 512) {
                bytes[sector * 512..sector * 512 + 512].fill(0);
            }
        }
        let case = Case::new();
        fs::write(case.ds().join("leaf.vmdk"), bytes).unwrap();
        let (code, out, err) = said(&vmglean(&case.ds(), &["consolidate", "leaf.vmdk", "--null"]));
        assert_ne!(code, 0, "{kind}: {out} {err}");
        let (code, out, _) = said(&vmglean(&case.ds(), &["map", "leaf.vmdk", "--json"]));
        assert_ne!(code, 0, "{kind}: {out}");
    }
}

#[test]
fn a_table_had_from_its_other_copy_is_told_and_ends_with_1() {
    let text = spec("monolithicSparse", "SPARSE", "leaf.vmdk").text();
    let spec = sparse::SparseSpec { descriptor: Some(text), ..Default::default() };
    let whole = sparse::write(&written(), &spec).image.to_bytes();
    let case = Case::new();
    fs::write(case.ds().join("leaf.vmdk"), &whole).unwrap();
    let run = || said(&vmglean(&case.ds(), &["consolidate", "leaf.vmdk", "--null", "--json"]));
    let (code, out, _) = run();
    assert_eq!(code, 0, "{out}");
    // The redundant directory is sector 21, its table behind it; the primary ones follow.
    for noise in [0, 0xA7] {
        let mut hurt = whole.clone();
        hurt[27 * 512..31 * 512].fill(noise);
        fs::write(case.ds().join("leaf.vmdk"), hurt).unwrap();
        let (code, out, err) = run();
        assert_eq!(code, 1, "{noise}: {err}");
        let record: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(codes(&record).iter().any(|c| c == "consolidate.tables-mended"), "{record:#}");
        assert_eq!(record["filled_bytes"], 0, "{record:#}");
    }
}
