//! Checkpoints: every magic, every tag, spare files, memory, carving.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests count small numbers"
)]

use std::io;

use proptest::prelude::*;
use vmglean_forge::{
    corpus,
    vm::{
        checkpoint::{Checkpoint as Forge, MAGICS, disk_only, suspended},
        hurt::every_hurt,
        nvram, sealed,
        text::{Machine, vmxf},
    },
};

use super::*;
use crate::{Fields, MediumError, nvram::Nvram, vmx::Vmx, vmxf::Vmxf};

fn spare() -> [Vec<u8>; 3] {
    [Machine::server("srv").vmx(), nvram::bios(), vmxf("srv.vmx")]
}

fn forged(magic: u32) -> Vec<u8> {
    let [vmx, nvram, vmxf] = spare();
    disk_only(magic, &vmx, &nvram, &vmxf)
}

fn running(magic: u32, inline: bool) -> Vec<u8> {
    let [vmx, nvram, vmxf] = spare();
    suspended(magic, [&vmx, &nvram, &vmxf], 1024, inline)
}

fn texts(checked: &Checked<Checkpoint>) -> Vec<String> {
    checked.defects.iter().map(ToString::to_string).collect()
}

#[test]
fn every_magic_yields_the_spare_files() {
    let [vmx, nvram, vmxf] = spare();
    for magic in MAGICS {
        let file = forged(magic);
        let found = Checkpoint::parse(&file).unwrap();
        assert_eq!(texts(&found), Vec::<String>::new(), "{magic:#x}");
        let value = found.value;
        assert!(value.disk_only);
        assert_eq!(value.memory, MemoryImage::None);
        assert_eq!(value.read_text(&file, &value.cfg_file.unwrap()).unwrap(), vmx);
        assert_eq!(value.nvram_file.unwrap().read(&file, MAX_SPARE_BYTES).unwrap(), nvram);
        let text = value.read_text(&file, &value.extended_config_file.unwrap()).unwrap();
        assert_eq!(text, vmxf);
    }
}

#[test]
fn a_suspended_machine_tells_all_it_knows() {
    for (magic, inline) in [(MAGICS[0], true), (MAGICS[2], true), (MAGICS[2], false)] {
        let file = running(magic, inline);
        let found = Checkpoint::parse(&file).unwrap();
        assert_eq!(texts(&found), Vec::<String>::new());
        let value = found.value;
        assert!(!value.disk_only);
        assert_eq!(value.product.as_deref(), Some("VMware ESX"));
        assert_eq!(value.product_version.as_deref(), Some("7.0.3"));
        assert_eq!(value.memory_mib, Some(4));
        assert_eq!(value.bios_uuid.as_deref(), Some("56".repeat(16).as_str()));
        assert_eq!(value.power_on_time_s, Some(1_700_000_000));
        assert_eq!(value.guest_variables[0].value, "10.1.2.3");
        let shown = serde_json::to_string(&value).unwrap()
            + &serde_json::to_string(&value.fields()).unwrap();
        assert!(!shown.contains(&sealed::SECRET[..16]));
        let png = value.screenshot.unwrap().read(&file, 100).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
        let (regions, at) = match &value.memory {
            MemoryImage::Inline { block, regions } => (regions, Some(block.at)),
            MemoryImage::Sibling { expected_length, regions } => {
                assert_eq!(*expected_length, Some(Bytes(4 << 20)));
                (regions, None)
            }
            MemoryImage::None => panic!("memory is lost"),
        };
        assert_eq!(regions.len(), 2);
        assert_eq!(regions[1], MemoryRegion { guest_page: 0x10_0000, image_page: 768, pages: 256 });
        assert_eq!(at.is_some(), inline);
        if let Some(at) = at {
            let page = file.read_up_to(ByteOffset(at.0 + 700 * 4096), 4096).unwrap();
            assert_eq!(page, vec![700_u32 as u8; 4096]);
        }
    }
}

#[test]
fn a_compressed_block_inflates_within_its_bound() {
    let mut forge = Forge::new(MAGICS[2]);
    let text = Machine::server("srv").vmx();
    forge.group("Snapshot").packed("cfgFile", &[], &text);
    let file = forge.finish();
    let found = Checkpoint::parse(&file).unwrap().value;
    let block = found.cfg_file.unwrap();
    assert!(block.compressed);
    assert_eq!(block.read(&file, MAX_SPARE_BYTES).unwrap(), text);
    assert_eq!(
        block.read(&file, 10).unwrap_err().to_string(),
        format!("Checkpoint.block at 0x77: {} passes the limit of 10", text.len())
    );
    let short = Block { in_memory: Bytes(5), ..block };
    assert_eq!(
        short.read(&file, MAX_SPARE_BYTES).unwrap_err().to_string(),
        "Checkpoint.block at 0x77: compressed data is broken: 6 bytes came out, 5 were told"
    );
    assert_eq!(carve(&file, ByteOffset(0), ByteOffset(u64::MAX)).value.len(), 1);
}

#[test]
fn each_bad_file_is_named() {
    let with = |at: usize, bytes: &[u8]| {
        let mut file = forged(MAGICS[2]);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let whole = forged(MAGICS[2]);
    let longer = [whole.as_slice(), b"locked"].concat();
    let end = whole.len() - 2;
    for (file, defect) in [
        (with(8, &[0xff; 4]), "Checkpoint.numGroups at 0x8: 4294967295 is outside 1..=1024".into()),
        (
            with(76, &[0xff; 8]),
            format!("Checkpoint.group.size at 0x54: points to {:#x}, past the end", u64::MAX),
        ),
        (
            with(84, &[0xff; 7]),
            format!(
                "Checkpoint.group.size at 0x54: points to 0x10000000000005b, past the end at {:#x}",
                whole.len()
            ),
        ),
        (
            with(12, b"\xff"),
            "Checkpoint.group.name at 0xc: bytes are no valid NUL-padded name".into(),
        ),
        (with(94, b"\xff"), "Checkpoint.tag.name at 0x5c: bytes are no valid tag name".into()),
        (
            with(101, &[0xff; 8]),
            "Checkpoint.block at 0x77: needs 18446744073709551615 bytes".to_owned(),
        ),
        (
            longer,
            format!(
                "Checkpoint.file length at {:#x}: is {} bytes, expected {} bytes, as the groups say",
                end + 2,
                end + 8,
                end + 2
            ),
        ),
        (whole[..end].to_vec(), format!("Checkpoint.end at {end:#x}: needs 2 bytes, 0 are there")),
    ] {
        let found = texts(&Checkpoint::parse(&file).unwrap());
        assert!(found.iter().any(|text| text.starts_with(&defect)), "{defect}\n{found:#?}");
    }
    assert_eq!(
        Checkpoint::parse(&with(0, b"KDMV")).unwrap_err().to_string(),
        "Checkpoint.magic at 0x0: magic is 0x564d444b, not 0xbed2bed2"
    );
    assert_eq!(
        Checkpoint::parse(&b"\xd2\xbe"[..].to_vec()).unwrap_err().to_string(),
        "Checkpoint.header at 0x0: needs 12 bytes, 2 are there"
    );
}

#[test]
fn without_header_and_table_the_spare_files_are_carved() {
    for magic in [MAGICS[0], MAGICS[2]] {
        let mut file = running(magic, true);
        file[..4096].fill(0xa5);
        assert!(Checkpoint::parse(&file).is_err());
        let found = carve(&file, ByteOffset(0), ByteOffset(u64::MAX));
        assert_eq!(found.defects, []);
        let names: Vec<&str> = found.value.iter().map(|carved| carved.name).collect();
        assert_eq!(names, ["cfgFile", "nvramFile", "extendedConfigFile"]);
        let text = found.value[0].block.read(&file, MAX_SPARE_BYTES).unwrap();
        assert!(text.starts_with(&spare()[0]));
    }
}

#[test]
fn a_tag_across_a_window_is_carved() {
    let spare = forged(MAGICS[2]);
    for shift in [0_usize, 1, 5, 9, 30] {
        let mut file = vec![0xa5; (1 << 20) - 92 - shift];
        file.extend_from_slice(&spare[92..]);
        let found = carve(&file, ByteOffset(0), ByteOffset(u64::MAX)).value;
        assert_eq!(found.iter().filter(|carved| carved.name == "cfgFile").count(), 1, "{shift}");
        assert_eq!(found.len(), 3, "{shift}");
    }
}

#[test]
fn words_that_only_look_like_a_tag_are_not_carved() {
    let mut file = vec![0; 1000];
    file.extend_from_slice(b"\x3f\x07cfgFile\x10\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0");
    file.extend_from_slice(&[0xa5; 4096]);
    assert_eq!(carve(&file, ByteOffset(0), ByteOffset(u64::MAX)).value, []);
}

struct BadSector<'a>(&'a [u8], std::ops::Range<u64>);

impl ReadAt for BadSector<'_> {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        if at.0 < self.1.end && at.0 + buf.len() as u64 > self.1.start {
            let source = io::Error::other("bad sector");
            return Err(MediumError::Io { at, len: Bytes(buf.len() as u64), source });
        }
        self.0.read_exact_at(buf, at)
    }
}

#[test]
fn a_bad_sector_costs_only_itself() {
    let whole = running(MAGICS[2], true);
    let inside_memory = BadSector(&whole, 1 << 20..(1 << 20) + 512);
    let found = Checkpoint::parse(&inside_memory).unwrap();
    assert_eq!(texts(&found), Vec::<String>::new());
    let carved = carve(&inside_memory, ByteOffset(0), ByteOffset(u64::MAX));
    assert_eq!(carved.value.len(), 3);
    assert_eq!(
        carved.defects[0].to_string(),
        "Checkpoint.carve at 0x100000: 4096 bytes could not be read: cannot read 4096 bytes at 0x100000"
    );
}

#[test]
fn every_hurt_leaves_the_spare_files_or_a_defect() {
    let whole = forged(MAGICS[2]);
    let right = Checkpoint::parse(&whole).unwrap().value;
    let right_vmx = Vmx::parse(&spare()[0]).value;
    for (how, hurt) in every_hurt(&whole) {
        let Ok(found) = Checkpoint::parse(&hurt) else { continue };
        let mut defects = found.defects.len();
        let value = found.value;
        let mut same = value.tags == right.tags && value.groups == right.groups;
        match value.cfg_file.map(|block| value.read_text(&hurt, &block)) {
            Some(Ok(text)) => {
                let vmx = Vmx::parse(&text);
                defects += vmx.defects.len();
                same &= vmx.value == right_vmx;
            }
            Some(Err(_)) => defects += 1,
            None => same = false,
        }
        if let Some(Ok(text)) = value.extended_config_file.map(|b| value.read_text(&hurt, &b)) {
            let vmxf = Vmxf::parse(&text);
            defects += vmxf.defects.len();
            same &= vmxf.value.vmx_path_name.as_deref() == Some("srv.vmx");
        }
        assert!(same || defects > 0, "{how}");
    }
}

#[test]
fn the_corpus_snapshot_yields_its_vmx_and_nvram() {
    let Some(file) = corpus::file("checkpoint/sift-ws12.vmsn") else {
        println!("left out: VMGLEAN_CORPUS names no folder");
        return;
    };
    let found = Checkpoint::parse(&file).unwrap();
    assert_eq!(texts(&found), Vec::<String>::new());
    let value = found.value;
    assert!(value.disk_only);
    assert_eq!((value.magic, value.version, value.tags.len()), (Magic::Normal, 8, 3));
    let vmx = Vmx::parse(&value.read_text(&file, &value.cfg_file.unwrap()).unwrap());
    assert_eq!(vmx.defects, []);
    assert_eq!(vmx.value.display_name.as_deref(), Some("SIFT-Workstation"));
    let nvram = value.nvram_file.unwrap().read(&file, MAX_SPARE_BYTES).unwrap();
    assert_eq!(nvram.len(), 8684);
    assert_eq!(Nvram::parse(&nvram).defects, []);
    let vmxf = value.read_text(&file, &value.extended_config_file.unwrap()).unwrap();
    assert!(Vmxf::parse(&vmxf).value.vmx_path_name.is_some());
    assert_eq!(carve(&file, ByteOffset(0), ByteOffset(u64::MAX)).value.len(), 3);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), magic in 0_usize..6) {
        let file = [&MAGICS[magic].to_le_bytes()[..], &bytes].concat();
        let _ = Checkpoint::parse(&file);
        let _ = carve(&file, ByteOffset(0), ByteOffset(u64::MAX));
    }

    #[test]
    fn no_change_of_a_byte_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut file = running(MAGICS[2], false);
        let at = at.index(file.len());
        file[at] = byte;
        if let Ok(found) = Checkpoint::parse(&file) {
            let _ = found.value.fields();
        }
        let _ = carve(&file, ByteOffset(0), ByteOffset(u64::MAX));
    }

    #[test]
    fn forged_tags_read_back(
        tags in proptest::collection::vec(("[a-zA-Z.:]{1,40}", proptest::collection::vec(any::<u32>(), 0..4), proptest::collection::vec(any::<u8>(), 0..300), 0_u16..9), 0..30),
        magic in 0_usize..6,
    ) {
        let mut forge = Forge::new(MAGICS[magic]);
        forge.group("any");
        for (name, indices, value, padding) in &tags {
            if value.len() < 62 { forge.inline(name, indices, value) } else { forge.block(name, indices, *padding, value) };
        }
        let file = forge.finish();
        let found = Checkpoint::parse(&file).unwrap();
        prop_assert_eq!(texts(&found), Vec::<String>::new());
        prop_assert_eq!(found.value.tags.len(), tags.len());
        for (read, (name, indices, value, _)) in found.value.tags.iter().zip(&tags) {
            prop_assert_eq!(&read.name, name);
            prop_assert_eq!(&read.indices, indices);
            let bytes = match &read.value {
                TagValue::Inline(bytes) => bytes.clone(),
                TagValue::Block(block) => block.read(&file, 1000).unwrap(),
            };
            prop_assert_eq!(&bytes, value);
        }
    }
}
