//! What looks random in healthy guests must never be called encrypted.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
};

use super::*;

const SIZE: u64 = 256 << 20;

/// Real input for compressors: the test program itself, a large ELF file.
fn program() -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    file.take(4 << 20).read_to_end(&mut bytes).unwrap();
    bytes
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(bytes: &[u8]) -> Vec<u8> {
    let packed = deflated(bytes);
    let mut zip = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0".to_vec();
    zip.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    zip.extend_from_slice(&(packed.len() as u32).to_le_bytes());
    zip.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    zip.extend_from_slice(b"\x0b\0\0\0program.elf");
    zip.extend_from_slice(&packed);
    zip
}

/// The output of a command fed with `input`; `None`, with a line, where it is not installed.
fn by_command(name: &str, options: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new(name)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: no {name}");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    Some(output.stdout)
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    disk::random(&mut bytes, 0, seed);
    bytes
}

/// Scan data as an encoder writes it: each 0xFF followed by a zero.
fn jpeg() -> Vec<u8> {
    let mut bytes = b"\xff\xd8\xff\xe0\0\x10JFIF\0".to_vec();
    for byte in noise(3 << 20, 3) {
        bytes.push(byte);
        if byte == 0xFF {
            bytes.push(0);
        }
    }
    bytes
}

/// Video: boxes round data that is nearly, not quite random.
fn mp4() -> Vec<u8> {
    let mut bytes = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41".to_vec();
    bytes.extend(noise(4 << 20, 9).chunks(64).flat_map(|chunk| {
        let mut chunk = chunk.to_vec();
        if chunk[1] & 3 == 0 {
            chunk[0] = 0;
        }
        chunk
    }));
    bytes
}

fn sqlite() -> Vec<u8> {
    let mut bytes = Vec::new();
    for page in 0..512u32 {
        let mut one = vec![0u8; 4096];
        if page == 0 {
            one[..16].copy_from_slice(b"SQLite format 3\0");
        }
        one[100] = 13;
        for cell in 0..40usize {
            let text = format!("row {} of page {page}, customer {}", cell, page * 40);
            one[600 + cell * 80..600 + cell * 80 + text.len()].copy_from_slice(text.as_bytes());
        }
        bytes.extend(one);
    }
    bytes
}

/// Every kind that could be made here, by name.
fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    static KINDS: OnceLock<Vec<(&'static str, Vec<u8>)>> = OnceLock::new();
    KINDS.get_or_init(make_kinds).clone()
}

fn make_kinds() -> Vec<(&'static str, Vec<u8>)> {
    let program = program();
    let mut kinds = vec![
        ("zip", zip(&program)),
        ("gzip", gzip(&program)),
        ("jpeg", jpeg()),
        ("mp4", mp4()),
        ("sqlite", sqlite()),
        ("key file", noise(3 << 20, 21)),
    ];
    for (name, options) in
        [("xz", &["-1", "-T1"][..]), ("zstd", &["-3", "-q"][..]), ("bzip2", &[][..])]
    {
        kinds.extend(by_command(name, options, &program).map(|bytes| (name, bytes)));
    }
    kinds.push(("elf", program));
    // File systems begin files at their blocks.
    for (_, bytes) in &mut kinds {
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
    }
    kinds
}

fn is_hit(judged: &DiskJudgement) -> bool {
    matches!(judged.state, DiskState::Encrypted | DiskState::PartlyEncrypted)
}

#[test]
fn no_healthy_content_is_called_encrypted_alone_or_beside_a_note() {
    for (name, bytes) in kinds() {
        let bytes = Arc::new(bytes);
        let end = (64 << 20) + 80 * (1 << 20);
        let inside = gpt_disk(SIZE, Fill::Text).with(64 << 20..end, Fill::Bytes(bytes.clone()));
        let mut context = context("files-flat.vmdk");
        for note in [false, true] {
            context.note_in_folder = note;
            context.siblings_hit = if note { 2 } else { 0 };
            let judged = judge_quickly(&inside, &context);
            assert!(!is_hit(&judged), "{name}, note {note}: {}", judged.reason);
        }
    }
}

#[test]
fn a_disk_that_is_one_compressed_file_is_not_called_encrypted() {
    for (name, bytes) in kinds() {
        let length = bytes.len() as u64 / 512 * 512;
        let disk = Disk::new(length, Fill::Bytes(Arc::new(bytes)));
        let judged = judge_quickly(&disk, &context("files-flat.vmdk"));
        assert!(!is_hit(&judged), "{name}: {}", judged.reason);
    }
}

#[test]
fn deflate_zstd_and_video_inside_a_healthy_disk_leave_it_untouched() {
    for (name, bytes) in kinds() {
        if !["zip", "gzip", "zstd", "sqlite", "elf", "jpeg", "mp4", "xz"].contains(&name) {
            continue;
        }
        let disk =
            gpt_disk(SIZE, Fill::Text).with(64 << 20..144 << 20, Fill::Bytes(Arc::new(bytes)));
        let judged = judge_quickly(&disk, &context("files-flat.vmdk"));
        // LZMA passes as ciphertext by any statistic; where its chunks are not found between the
        // samples, nothing can be said, and that is said.
        let may_be_unsure = name == "xz" && judged.state == DiskState::Undetermined;
        assert!(
            judged.state == DiskState::Untouched || may_be_unsure,
            "{name}: {:?}, {}",
            judged.state,
            judged.reason
        );
    }
}

#[test]
fn owner_encrypted_volumes_are_undetermined_and_named_even_beside_a_note() {
    let mut bitlocker = vec![0u8; 4096];
    bitlocker[..11].copy_from_slice(b"\xeb\x58\x90-FVE-FS-");
    bitlocker[510..512].copy_from_slice(&[0x55, 0xAA]);
    let mut luks = vec![0u8; 4096];
    luks[..8].copy_from_slice(b"LUKS\xba\xbe\0\x02");
    for (name, header) in [("BitLocker", bitlocker), ("LUKS", luks)] {
        let (start, end) = (1 << 20, SIZE - (1 << 20));
        let disk = disk::with_gpt(Disk::new(SIZE, Fill::Zero), start, end)
            .with(start + 8192..end, Fill::Random(11))
            .bytes(start, &header);
        let mut context = context("files-flat.vmdk");
        for note in [false, true] {
            context.note_in_folder = note;
            context.siblings_hit = if note { 3 } else { 0 };
            let judged = judge_quickly(&disk, &context);
            assert_eq!(judged.state, DiskState::Undetermined, "{name}: {}", judged.reason);
            assert!(judged.reason.contains(name), "{}", judged.reason);
        }
    }
}

#[test]
fn encryption_by_vsphere_is_undetermined_with_the_place_that_says_so() {
    let mut context = context("files-flat.vmdk");
    context.legit_encryption = Some("files.vmdk line 12: ddb.iofilters".to_owned());
    let judged = judge(&Disk::new(SIZE, Fill::Random(3)), &context);
    assert_eq!(judged.state, DiskState::Undetermined);
    assert!(judged.reason.contains("files.vmdk line 12"), "{}", judged.reason);
}

#[test]
fn zeros_holes_and_empty_files_prove_nothing() {
    for disk in [Disk::new(SIZE, Fill::Zero), Disk::new(SIZE, Fill::Hole)] {
        let judged = judge(&disk, &context("new-flat.vmdk"));
        assert_eq!(judged.state, DiskState::Undetermined);
        assert!(judged.reason.contains("zeros and holes"), "{}", judged.reason);
        assert!(judged.zero_share > 0.999);
    }
    let judged = judge(&Disk::new(0, Fill::Zero), &context("gone-flat.vmdk"));
    assert_eq!((judged.state, judged.reason.as_str()), (DiskState::Damaged, "the file is empty"));
}

#[test]
fn a_healthy_disk_names_the_structures_that_prove_it() {
    let judged = judge(&gpt_disk(SIZE, Fill::Text), &context("db01-flat.vmdk"));
    assert_eq!(judged.state, DiskState::Untouched, "{}", judged.reason);
    assert!(judged.reason.contains("CRCs right"), "{}", judged.reason);
    let share = judged.encrypted.unwrap();
    assert!(share.low.abs() < f64::EPSILON && share.high < 0.0115, "{share:?}");
}

#[test]
fn a_wiped_head_under_a_backup_gpt_is_damage_not_encryption() {
    let disk = gpt_disk(SIZE, Fill::Text).with(0..1 << 20, Fill::Zero);
    let judged = judge(&disk, &context("db01-flat.vmdk"));
    assert_eq!(judged.state, DiskState::Damaged, "{}", judged.reason);
    assert!(judged.reason.contains("zeros where MBR and GPT must be"), "{}", judged.reason);
}

#[test]
fn a_disk_shorter_than_its_descriptor_says_is_damaged() {
    let mut context = context("db01-flat.vmdk");
    context.expected_bytes = Some(SIZE * 2);
    let judged = judge(&Disk::new(SIZE, Fill::Text), &context);
    assert_eq!(judged.state, DiskState::Damaged);
    assert_eq!(
        judged.reason,
        "the file ends at 268435456 of 536870912 bytes that its descriptor gives"
    );
}

#[test]
fn unreadable_places_are_named_and_keep_a_disk_from_being_untouched() {
    let disk = gpt_disk(SIZE, Fill::Text).with(100 << 20..140 << 20, Fill::Broken);
    let judged = judge(&disk, &context("db01-flat.vmdk"));
    assert_eq!(judged.state, DiskState::Undetermined, "{}", judged.reason);
    assert!(judged.reason.contains("could not be read"), "{}", judged.reason);
    assert!(judged.unreadable.iter().all(|(_, _, why)| why.contains("bad sector")));
    let judged = judge(&Disk::new(SIZE, Fill::Broken), &context("db01-flat.vmdk"));
    assert_eq!(judged.state, DiskState::Undetermined);
    assert!(judged.reason.contains("nothing of it could be read"), "{}", judged.reason);
}

#[test]
fn one_source_gives_one_judgement() {
    let disk = gpt_disk(SIZE, Fill::Text).with(64 << 20..70 << 20, Fill::Random(4));
    let context = context("db01-flat.vmdk");
    assert_eq!(judge(&disk, &context), judge(&disk, &context));
}

#[test]
fn an_end_that_is_no_whole_sector_is_told_and_is_no_footer() {
    // A copy cut off in the middle of text, and a healthy disk with a line behind its end.
    let cut = Disk::new(SIZE - 474, Fill::Text);
    let line = gpt_disk(SIZE, Fill::Text).followed_by(b"38 bytes of text behind the end of it\n");
    for (what, disk) in [("cut", cut), ("line", line)] {
        let judged = judge_quickly(&disk, &context("db01-flat.vmdk"));
        assert_eq!(judged.state, DiskState::Undetermined, "{what}: {}", judged.reason);
        let footer = judged.footer.unwrap();
        assert!(footer.layers.is_empty() && footer.candidates.is_empty(), "{what}: {footer:?}");
        assert!(judged.family.is_none());
    }
    assert!(
        judge_quickly(&Disk::new(SIZE + 38, Fill::Text), &context("a-flat.vmdk"))
            .reason
            .contains("38 bytes")
    );
}

#[test]
fn a_footer_without_its_suffix_keeps_a_healthy_looking_disk_from_being_untouched() {
    let disk = gpt_disk(SIZE, Fill::Text).followed_by(&noise(32, 5));
    let judged = judge_quickly(&disk, &context("db01-flat.vmdk"));
    assert_eq!(judged.state, DiskState::Undetermined, "{}", judged.reason);
    assert!(judged.reason.contains("footer of 32 bytes"), "{}", judged.reason);
}
