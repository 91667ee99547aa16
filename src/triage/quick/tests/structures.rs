//! Structures that must stand at their places: what lies there instead is never passed over.

use super::{
    disk::{INODES, MIRROR, TABLE, VOLUME, mbr_ext},
    *,
};

const SIZE: u64 = 64 << 20;

fn fills() -> [Fill; 3] {
    [Fill::Zero, Fill::Bytes(std::sync::Arc::new(vec![0xFF; 512])), Fill::Random(5)]
}

fn check(disk: &Disk, what: &str, must_be: &[DiskState]) {
    for full in [false, true] {
        let options = QuickOptions { full, ..Default::default() };
        let judged = judge_disk(disk, &context("a-flat.vmdk"), &options, families());
        assert!(must_be.contains(&judged.state), "{what}: {:?} {}", judged.state, judged.reason);
    }
}

const LOST: [DiskState; 2] = [DiskState::Damaged, DiskState::PartlyEncrypted];

#[test]
fn whole_volumes_are_untouched() {
    check(&gpt_disk(SIZE, Fill::Text), "NTFS", &[DiskState::Untouched]);
    check(&mbr_ext(SIZE), "ext", &[DiskState::Untouched]);
}

#[test]
fn a_lost_piece_of_ntfs_is_no_untouched_disk() {
    let end = SIZE - (1 << 20);
    let pieces = [
        ("boot sector", VOLUME..VOLUME + 4096),
        ("first 64 KiB", VOLUME..VOLUME + 65_536),
        ("copy of the boot sector", end - 512..end),
        ("mirror", MIRROR..MIRROR + 4096),
        ("first records", TABLE..TABLE + 65_536),
        ("one record", TABLE + 5 * 1024..TABLE + 6 * 1024),
        ("half a record", TABLE + 2 * 1024 + 512..TABLE + 3 * 1024),
        ("copy of the partition table", SIZE - 33 * 512..SIZE),
    ];
    for (what, at) in pieces {
        for fill in fills() {
            check(&gpt_disk(SIZE, Fill::Text).with(at.clone(), fill), what, &LOST);
        }
    }
}

#[test]
fn a_lost_piece_of_ext_is_no_untouched_disk() {
    let pieces = [
        ("superblock", VOLUME..VOLUME + 4096),
        ("superblock alone", VOLUME + 1024..VOLUME + 2048),
        ("descriptors", VOLUME + 4096..VOLUME + 8192),
        ("inodes", VOLUME + INODES..VOLUME + INODES + 4096),
    ];
    for (what, at) in pieces {
        for fill in fills() {
            check(&mbr_ext(SIZE).with(at.clone(), fill), what, &LOST);
        }
    }
}

#[test]
fn a_partition_whose_volume_is_gone_is_doubtful_unless_all_of_it_is_empty() {
    let end = SIZE - (1 << 20);
    let table =
        |fill| disk::with_gpt(Disk::new(SIZE, Fill::Zero), VOLUME, end).with(VOLUME..end, fill);
    check(&table(Fill::Text), "text", &[DiskState::Undetermined]);
    let wiped = table(Fill::Text).with(VOLUME..VOLUME + 8192, Fill::Zero);
    check(&wiped, "wiped", &[DiskState::Undetermined]);
}

#[test]
fn a_short_random_piece_is_not_passed_in_an_attacked_folder() {
    let disk = gpt_disk(SIZE, Fill::Text).with(20 << 20..(20 << 20) + 65_536, Fill::Random(3));
    check(&disk, "a key file", &[DiskState::Untouched]);
    let attacked = DiskContext { note_in_folder: true, ..context("a-flat.vmdk") };
    for full in [false, true] {
        let options = QuickOptions { full, samples: 4096, ..Default::default() };
        let judged = judge_disk(&disk, &attacked, &options, families());
        assert_ne!(judged.state, DiskState::Untouched, "{}", judged.reason);
    }
}
