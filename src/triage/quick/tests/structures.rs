//! Structures that must stand at their places: what lies there instead is never passed over.

use super::{
    disk::{INODES, MIRROR, TABLE, VOLUME, mbr_ext},
    *,
};
use crate::families::{Comb, Prediction};
use vmglean_formats::{ByteOffset, ReadAt};

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
    let disk = gpt_disk(SIZE, Fill::Text).with(20 << 20..(20 << 20) + 32_768, Fill::Random(3));
    check(&disk, "a key file", &[DiskState::Untouched]);
    let attacked = DiskContext { note_in_folder: true, ..context("a-flat.vmdk") };
    for full in [false, true] {
        let options = QuickOptions { full, samples: 4096, ..Default::default() };
        let judged = judge_disk(&disk, &attacked, &options, families());
        assert_ne!(judged.state, DiskState::Untouched, "{}", judged.reason);
    }
}

/// Random bytes at one distance, from 8 MiB on.
fn woven(run: u64, step: u64) -> Disk {
    let start = 8 << 20;
    let end = SIZE - (2 << 20);
    let count = (end - start) / step;
    let comb = Comb { start_bytes: start, run_bytes: run, step_bytes: step, count };
    let damage = Prediction { size_bytes: SIZE, combs: vec![comb] };
    gpt_disk(SIZE, Fill::Text).damaged(damage)
}

#[test]
fn ciphertext_finer_than_blocks_is_seen_behind_whole_structures() {
    let any = [DiskState::Undetermined, DiskState::PartlyEncrypted, DiskState::Encrypted];
    for (run, step) in [
        (2048, 4096),
        (512, 1024),
        (1024, 2048),
        (256, 1024),
        (64, 128),
        (64, 6400),
        (4096, 1 << 20),
    ] {
        let full = QuickOptions { full: true, ..Default::default() };
        let judged = judge_disk(&woven(run, step), &context("a-flat.vmdk"), &full, families());
        assert!(any.contains(&judged.state), "{run} of {step}: {}", judged.reason);
        if step < 1 << 20 {
            check(&woven(run, step), "sampled", &any);
        }
    }
}

#[test]
fn one_pattern_over_much_of_a_disk_is_no_untouched_disk() {
    for pattern in [&b"\xff"[..], b"YOUR FILES ARE ENCRYPTED by us. pay\n"] {
        let fill = Fill::Bytes(std::sync::Arc::new(pattern.repeat(512)));
        let disk = gpt_disk(SIZE, Fill::Text).with(8 << 20..SIZE - (2 << 20), fill);
        check(&disk, "pattern", &[DiskState::Undetermined]);
    }
}

#[test]
fn a_changed_name_makes_no_short_piece_ciphertext() {
    let disk = gpt_disk(SIZE, Fill::Text).with(20 << 20..(20 << 20) + 65_536, Fill::Random(3));
    let options = QuickOptions { full: true, ..Default::default() };
    let judged = judge_disk(&disk, &context("a-flat.vmdk.akira"), &options, families());
    assert_eq!(judged.state, DiskState::Undetermined, "{}", judged.reason);
}

/// A hosted sparse extent, alone, whose grains hold `guest` in order.
fn in_grains(guest: &Disk) -> Disk {
    const GRAINS: u64 = 256 * 512;
    let grains = guest.length / 65_536;
    let mut head = b"KDMV\x01\0\0\0\x03\0\0\0".to_vec();
    for value in [guest.length / 512, 128, 1, 20] {
        head.extend_from_slice(&value.to_le_bytes());
    }
    head.extend_from_slice(&512u32.to_le_bytes());
    for value in [21u64, 21, 256] {
        head.extend_from_slice(&value.to_le_bytes());
    }
    head.extend_from_slice(b"\0\n \r\n\0\0");
    head.resize(512, 0);
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
         createType=\"monolithicSparse\"\nRW {} SPARSE \"a.vmdk\"\n",
        guest.length / 512
    );
    let directory: Vec<u8> =
        (0..grains.div_ceil(512) as u32).flat_map(|n| (22 + n * 4).to_le_bytes()).collect();
    let table: Vec<u8> = (0..grains as u32).flat_map(|n| (256 + n * 128).to_le_bytes()).collect();
    let mut bytes = vec![0; guest.length as usize];
    guest.read_exact_at(&mut bytes, ByteOffset(0)).unwrap();
    Disk::new(GRAINS + guest.length, Fill::Zero)
        .bytes(0, &head)
        .bytes(512, text.as_bytes())
        .bytes(21 * 512, &directory)
        .bytes(22 * 512, &table)
        .bytes(GRAINS, &bytes)
}

#[test]
fn the_guest_inside_a_sparse_extent_is_looked_at() {
    let sparse = DiskContext { kind: ExtentKind::Sparse, ..context("a.vmdk") };
    let judged = |disk: &Disk| judge_disk(disk, &sparse, &QuickOptions::default(), families());
    let guest = || gpt_disk(16 << 20, Fill::Text);
    let whole = judged(&in_grains(&guest()));
    assert_eq!(whole.state, DiskState::Untouched, "{}", whole.reason);
    let inside = whole.evidence.iter().any(|one| one.detail.contains("inside the disk"));
    assert!(inside, "{:?}", whole.evidence);
    for (what, at) in [("table", 0..65_536), ("records", TABLE..TABLE + 65_536)] {
        for fill in fills() {
            let judged = judged(&in_grains(&guest().with(at.clone(), fill)));
            assert!(LOST.contains(&judged.state), "{what}: {}", judged.reason);
        }
    }
}
