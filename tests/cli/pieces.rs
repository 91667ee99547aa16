//! Disks whose plain content lies in several files: structures are those of the whole disk.

use std::{fs, path::Path};

use vmglean_forge::{
    damage::{Cipher, KeyStream},
    estate::guest,
};

use crate::run::{BASE, configure, descriptor, folder, vmglean};

const DISK_BYTES: usize = 8 << 20;
const PIECES: usize = 4;
const PIECE_BYTES: usize = DISK_BYTES / PIECES;

/// A machine whose disk lies in four files.
fn write(place: &Path, disk: &[u8]) {
    fs::create_dir_all(place).unwrap();
    let mut lines = String::new();
    for (nth, piece) in (1..).zip(disk.chunks(PIECE_BYTES)) {
        fs::write(place.join(format!("disk-f{nth:03}.vmdk")), piece).unwrap();
        lines += &format!("RW {} FLAT \"disk-f{nth:03}.vmdk\" 0\n", PIECE_BYTES / 512);
    }
    let text = descriptor(1, "x", 1, BASE).replace("vmfs", "twoGbMaxExtentFlat");
    let text = text.replace("RW 1 VMFS \"x\"\n", &lines);
    fs::write(place.join("disk.vmdk"), text).unwrap();
    configure(place, "disk.vmdk");
}

/// What the sweep calls the disk, with its reason.
fn verdict(disk: &[u8], more: &[&str]) -> (String, String) {
    let root = folder();
    write(&root.path().join("vm"), disk);
    let record = vmglean(root.path(), &[&["sweep", "--json", "."][..], more].concat()).json();
    let disk = &record["machines"][0]["disks"][0];
    let word = |key: &str| disk[key].as_str().unwrap().to_owned();
    (word("verdict"), word("reason"))
}

fn disks() -> [Vec<u8>; 2] {
    [guest::linux(DISK_BYTES, "host", 1), guest::linux_mbr(DISK_BYTES, "host", 2)]
}

#[test]
fn pieces_of_a_whole_disk_are_untouched_the_empty_ones_too() {
    for disk in disks() {
        assert!(disk[3 * PIECE_BYTES..3 * PIECE_BYTES + 4096].iter().all(|byte| *byte == 0));
        for more in [&[][..], &["--full"]] {
            let (verdict, reason) = verdict(&disk, more);
            assert_eq!(verdict, "untouched", "{reason}");
        }
    }
}

#[test]
fn a_piece_that_is_gone_is_not_passed_over() {
    let random = |bytes: &mut [u8]| KeyStream::new(9, Cipher::Stream).encrypt(bytes, 0, 0);
    let zeros = |bytes: &mut [u8]| bytes.fill(0);
    for disk in disks() {
        for (what, act) in [("random", &random as &dyn Fn(&mut [u8])), ("zeros", &zeros)] {
            for nth in 0..2 {
                let mut hit = disk.clone();
                act(&mut hit[nth * PIECE_BYTES..(nth + 1) * PIECE_BYTES]);
                let (verdict, reason) = verdict(&hit, &[]);
                assert_ne!(verdict, "untouched", "{what} in piece {nth}: {reason}");
            }
        }
    }
    // The copy of the partition table lies in the last file.
    let mut hit = disks()[0].clone();
    random(&mut hit[DISK_BYTES - 4096..]);
    let (verdict, reason) = verdict(&hit, &[]);
    assert_ne!(verdict, "untouched", "{reason}");
}
