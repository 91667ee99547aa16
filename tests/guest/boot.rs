//! What a disk needs to be mounted, made anew in a copy of it.

use std::{fs, ops::Range, process::Command};

use super::{
    all_are_whole,
    disk::{Disk, START, ntfs_on, sgdisk, sha},
    files, shared, true_map,
};
use vmglean_forge::damage::{Damage, Geometry, Rng};

/// Makes a copy of these bytes with `--repair-boot`: the copy, and what the manifest says was made.
fn repaired(sector: u64, bytes: &[u8], arguments: &[&str]) -> (Vec<u8>, Vec<serde_json::Value>) {
    let scratch = tempfile::tempdir().unwrap();
    let evidence = scratch.path().join("evidence");
    fs::create_dir(&evidence).unwrap();
    let sectors = bytes.len() / 512;
    let descriptor = format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"vmfs\"\n\
         \nRW {sectors} VMFS \"fs01-flat.vmdk\"\n\nddb.adapterType = \"lsilogic\"\n"
    );
    fs::write(evidence.join("fs01.vmdk"), descriptor).unwrap();
    fs::write(evidence.join("fs01-flat.vmdk"), bytes).unwrap();
    let out = scratch.path().join("out");
    fs::create_dir(&out).unwrap();
    let image = out.join("fs01.raw");
    let done = Command::new(env!("CARGO_BIN_EXE_vmglean"))
        .arg("consolidate")
        .arg(evidence.join("fs01.vmdk"))
        .args(["--repair-boot", "-o", image.to_str().unwrap()])
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
    let made = fs::read(&image).unwrap();
    // The table is whole by the word of a tool that makes them.
    let told = sgdisk(sector, &["-v"], image.to_str().unwrap());
    assert!(told.contains("No problems found"), "{told}");
    assert_eq!(fs::read(evidence.join("fs01-flat.vmdk")).unwrap(), bytes);
    let manifest = fs::read_to_string(out.join("MANIFEST.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = manifest
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line.get("rewritten").is_some())
        .collect();
    (made, lines)
}

/// The same where the content is not judged: nothing is filled.
fn consolidated(sector: u64, bytes: &[u8]) -> (Vec<u8>, Vec<serde_json::Value>) {
    let (made, lines) = repaired(sector, bytes, &["--samples", "0"]);
    // Nothing but what the manifest lists is other than the source.
    let mut expected = bytes.to_vec();
    for line in &lines {
        let range = line["offset_bytes"].as_u64().unwrap() as usize..;
        let range = range.start..range.start + line["length_bytes"].as_u64().unwrap() as usize;
        expected[range.clone()].copy_from_slice(&made[range.clone()]);
        let hex: String = sha(&made[range]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line["sha256"], hex.as_str(), "{line}");
    }
    assert!(expected == made);
    (made, lines)
}

fn randomised(bytes: &mut [u8], range: Range<usize>) {
    let mut rng = Rng::new(range.start as u64);
    bytes[range].iter_mut().for_each(|byte| *byte = rng.draw() as u8);
}

#[test]
fn what_the_first_sectors_lost_is_made_from_copies_at_the_end() {
    let disk = shared();
    let mut bytes = disk.bytes.clone();
    // Table and boot sector, and of the first file record all but its magic.
    randomised(&mut bytes, 0..17_408);
    randomised(&mut bytes, START as usize..START as usize + 512);
    let table = START as usize + 4 * 4096;
    randomised(&mut bytes, table + 4..table + 1024);
    let (made, lines) = consolidated(512, &bytes);
    assert!(made[512..] == disk.bytes[512..], "made anew, each sector is what it was");
    // Of sector 0, that which nothing reads any more is left open: the end by cylinder and head.
    let known = [446..451, 454..512];
    assert!(known.into_iter().all(|range| made[range.clone()] == disk.bytes[range]));
    let told: Vec<&str> = lines.iter().map(|line| line["rewritten"].as_str().unwrap()).collect();
    for what in [
        "protective MBR",
        "header of the primary GPT",
        "entries of the primary GPT",
        "NTFS boot sector, from its backup",
        "record 0 of $MFT, from $MFTMirr",
    ] {
        assert!(told.iter().any(|told| told.starts_with(what)), "{what}: {told:?}");
    }
}

#[test]
fn copies_at_the_end_are_made_from_the_first_sectors() {
    let disk = shared();
    let mut bytes = disk.bytes.clone();
    let size = bytes.len();
    // The volume's last sector, and the backup table in the disk's last 33.
    randomised(&mut bytes, size - (1 << 20) - 512..size - (1 << 20));
    randomised(&mut bytes, size - 33 * 512..size);
    let boot = &disk.bytes[START as usize..][..512];
    let mirror = u64::from_le_bytes(boot[56..64].try_into().unwrap()) * 4096;
    let mirror = (START + mirror) as usize;
    randomised(&mut bytes, mirror..mirror + 4096);
    let (made, lines) = consolidated(512, &bytes);
    assert!(made == disk.bytes, "made anew, each sector is what it was");
    let told: Vec<&str> = lines.iter().map(|line| line["rewritten"].as_str().unwrap()).collect();
    for what in [
        "header of the backup GPT",
        "entries of the backup GPT",
        "NTFS backup boot sector",
        "record 3 of $MFTMirr",
    ] {
        assert!(told.iter().any(|told| told.starts_with(what)), "{what}: {told:?}");
    }
}

#[test]
fn out_of_an_encrypted_head_table_boot_sector_and_first_records_come_back() {
    let disk = shared();
    let mut bytes = disk.bytes.clone();
    let head = 3 << 19;
    Damage::plain(Geometry::Head { bytes: head as u64 }, 7).apply(&mut bytes);
    let (made, lines) = repaired(512, &bytes, &[]);
    let (was, boot) = (&disk.bytes, START as usize);
    assert!(made[head..] == was[head..]);
    assert!(made[512..34 * 512] == was[512..34 * 512], "the primary table");
    assert!(made[boot..boot + 512] == was[boot..boot + 512], "the boot sector");
    let table = boot + 4 * 4096;
    assert!(made[table..table + 4096] == was[table..table + 4096], "the first four records");
    assert!(lines.iter().all(|line| line["offset_bytes"].as_u64().unwrap() < head as u64));
}

/// A disk whose sectors have 4096 bytes, as a LUN of such a device has.
fn large_sectors() -> Disk {
    ntfs_on(4096, 40, 200, 4096)
}

#[test]
fn a_disk_with_sectors_of_4096_bytes_is_read_and_mended_as_any_other() {
    let disk = large_sectors();
    let found = all_are_whole(&disk);
    let whole = found.iter().filter(|one| one.file.is_whole()).count();
    let size = disk.bytes.len();
    let by_table = |bytes: &Vec<u8>, what: &str| {
        let ground = vmglean::guest::Ground::new(bytes, &[]);
        let table = vmglean::guest::partition::table(&ground, &[]);
        assert!(table.rests_on.contains(what), "{what}: {}", table.rests_on);
        assert_eq!(table.partitions.len(), 1);
        assert_eq!(table.partitions[0].start, START);
        assert_eq!(table.partitions[0].end, size as u64 - (1 << 20));
        assert_eq!(table.partitions[0].name, b"Basic data partition");
    };
    by_table(&disk.bytes, "primary GPT at 0x1000, both CRCs right, in sectors of 4096 bytes");

    // All at the front: MBR, table, the volume's first sector, the first record.
    let mut bytes = disk.bytes.clone();
    randomised(&mut bytes, 0..512);
    randomised(&mut bytes, 4096..4096 * 6);
    randomised(&mut bytes, START as usize..START as usize + 4096);
    by_table(&bytes, "backup GPT in the last sector");
    let (made, lines) = consolidated(4096, &bytes);
    assert!(made[512..] == disk.bytes[512..], "made anew, each sector is what it was");
    let told: Vec<&str> = lines.iter().map(|line| line["rewritten"].as_str().unwrap()).collect();
    for what in [
        "protective MBR",
        "header of the primary GPT",
        "entries of the primary GPT",
        "NTFS boot sector, from its backup",
    ] {
        assert!(told.iter().any(|told| told.starts_with(what)), "{what}: {told:?}");
    }
    let again = files(&made, &true_map(size as u64, &[]));
    assert_eq!(again.iter().filter(|one| one.file.is_whole()).count(), whole);

    // All at the back.
    let mut bytes = disk.bytes.clone();
    randomised(&mut bytes, size - (1 << 20) - 4096..size - (1 << 20));
    randomised(&mut bytes, size - 5 * 4096..size);
    let (made, lines) = consolidated(4096, &bytes);
    assert!(made == disk.bytes, "made anew, each sector is what it was");
    assert_eq!(lines.len(), 3, "{lines:?}");
}
