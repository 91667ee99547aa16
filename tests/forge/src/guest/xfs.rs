//! Structures of XFS, version 5, each with its checksum.

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 }
        })
    })
}

/// Writes the checksum that belongs at `at`.
pub fn seal(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum = crc32c(bytes);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

const UUID: [u8; 16] = *b"vmglean's volume";

/// The superblock of a volume of four groups, 100 MiB in blocks of 4 KiB.
#[must_use]
pub fn superblock() -> Vec<u8> {
    let mut out = vec![0; 512];
    put(&mut out, 0, b"XFSB");
    put(&mut out, 4, &4096_u32.to_be_bytes());
    put(&mut out, 8, &25_600_u64.to_be_bytes());
    put(&mut out, 32, &UUID);
    put(&mut out, 48, &16_390_u64.to_be_bytes());
    for (at, number) in [(56, 128_u64), (64, 129), (72, 130)] {
        put(&mut out, at, &number.to_be_bytes());
    }
    for (at, number) in [(84, 6400_u32), (88, 4), (96, 1368)] {
        put(&mut out, at, &number.to_be_bytes());
    }
    put(&mut out, 100, &[0xB4, 0xA5, 2, 0, 2, 0, 0, 8]);
    put(&mut out, 120, &[12, 9, 9, 3, 13]);
    put(&mut out, 180, &8_u32.to_be_bytes());
    put(&mut out, 216, &0xB_u32.to_be_bytes());
    put(&mut out, 228, &4_u32.to_be_bytes());
    seal(&mut out, 224);
    out
}

/// An extent of 128 bits.
#[must_use]
pub fn extent(block: u64, start: u64, count: u64, is_unwritten: bool) -> [u8; 16] {
    let bits = u128::from(is_unwritten) << 127
        | u128::from(block) << 73
        | u128::from(start) << 21
        | u128::from(count);
    bits.to_be_bytes()
}

/// An inode of such a mode and format.
#[must_use]
pub fn inode(mode: u16, format: u8, fork: &[u8], extents: u32, size: u64) -> Vec<u8> {
    let mut out = vec![0; 512];
    put(&mut out, 0, b"IN");
    put(&mut out, 2, &mode.to_be_bytes());
    put(&mut out, 4, &[3, format]);
    put(&mut out, 16, &1_u32.to_be_bytes());
    for at in [32, 40, 48, 144] {
        put(&mut out, at, &3_900_000_000_000_000_000_u64.to_be_bytes());
    }
    put(&mut out, 56, &size.to_be_bytes());
    put(&mut out, 76, &extents.to_be_bytes());
    put(&mut out, 120, &8_u64.to_be_bytes());
    put(&mut out, 152, &131_u64.to_be_bytes());
    put(&mut out, 160, &UUID);
    put(&mut out, 176, fork);
    seal(&mut out, 100);
    out
}

/// An inode of a file with three extents.
#[must_use]
pub fn file() -> Vec<u8> {
    let extents = [extent(0, 100, 3, false), extent(3, 8200, 5, true), extent(9, 300, 1, false)];
    inode(0o100_644, 2, extents.as_flattened(), 3, 40_000)
}

/// An inode of a file whose extents lie in a tree.
#[must_use]
pub fn branched() -> Vec<u8> {
    let mut root = vec![0; 336];
    put(&mut root, 0, &[0, 1, 0, 2]);
    put(&mut root, 4, &0_u64.to_be_bytes());
    put(&mut root, 12, &900_u64.to_be_bytes());
    let places = 4 + (336 - 4) / 16 * 8;
    put(&mut root, places, &77_u64.to_be_bytes());
    put(&mut root, places + 8, &78_u64.to_be_bytes());
    inode(0o100_644, 3, &root, 400, 1 << 30)
}

/// An inode of a folder that lies in it.
#[must_use]
pub fn short_folder() -> Vec<u8> {
    let mut fork = vec![2, 0];
    fork.extend(128_u32.to_be_bytes());
    for (name, kind, number) in [(&b"a.txt"[..], 1, 132_u32), (b"sub", 2, 65_664)] {
        fork.extend([name.len() as u8, 0, 96]);
        fork.extend_from_slice(name);
        fork.push(kind);
        fork.extend(number.to_be_bytes());
    }
    inode(0o040_755, 1, &fork, 0, fork.len() as u64)
}

/// A block of a folder with its own index.
#[must_use]
pub fn folder() -> Vec<u8> {
    let mut out = vec![0; 4096];
    put(&mut out, 0, b"XDB3");
    put(&mut out, 8, &800_u64.to_be_bytes());
    put(&mut out, 24, &UUID);
    put(&mut out, 40, &131_u64.to_be_bytes());
    let mut at = 64;
    for (name, kind, number) in
        [(&b"."[..], 2, 131_u64), (b"..", 2, 128), (b"first name.txt", 1, 133), (b"link", 7, 134)]
    {
        let length = (name.len() + 12).next_multiple_of(8);
        put(&mut out, at, &number.to_be_bytes());
        out[at + 8] = name.len() as u8;
        put(&mut out, at + 9, name);
        out[at + 9 + name.len()] = kind;
        put(&mut out, at + length - 2, &(at as u16).to_be_bytes());
        at += length;
    }
    let end = 4096 - 8 - 4 * 8;
    put(&mut out, at, &[0xFF, 0xFF]);
    put(&mut out, at + 2, &((end - at) as u16).to_be_bytes());
    put(&mut out, end - 2, &(at as u16).to_be_bytes());
    put(&mut out, 4096 - 8, &4_u32.to_be_bytes());
    seal(&mut out, 4);
    out
}

/// A block of extents.
#[must_use]
pub fn tree() -> Vec<u8> {
    let mut out = vec![0; 4096];
    put(&mut out, 0, b"BMA3\0\0\0\x02");
    put(&mut out, 24, &616_u64.to_be_bytes());
    put(&mut out, 40, &UUID);
    put(&mut out, 56, &131_u64.to_be_bytes());
    put(&mut out, 72, &extent(0, 500, 4, false));
    put(&mut out, 88, &extent(8, 600, 4, false));
    seal(&mut out, 64);
    out
}

/// A block that tells which inodes are made.
#[must_use]
pub fn inodes() -> Vec<u8> {
    let mut out = vec![0; 4096];
    put(&mut out, 0, b"IAB3\0\0\0\x02");
    put(&mut out, 16, &24_u64.to_be_bytes());
    put(&mut out, 32, &UUID);
    for (at, first) in [(56, 128_u32), (72, 192)] {
        put(&mut out, at, &first.to_be_bytes());
        put(&mut out, at + 4, &[0xFF, 0, 32, 3]);
        put(&mut out, at + 8, &7_u64.to_be_bytes());
    }
    seal(&mut out, 52);
    out
}

/// The head of a group's inodes.
#[must_use]
pub fn inode_head() -> Vec<u8> {
    let mut out = vec![0; 512];
    put(&mut out, 0, b"XAGI");
    for (at, number) in [(4, 1_u32), (8, 1), (12, 6400), (16, 64), (20, 3), (24, 1)] {
        put(&mut out, at, &number.to_be_bytes());
    }
    put(&mut out, 296, &UUID);
    seal(&mut out, 312);
    out
}

/// The head of a group's free space.
#[must_use]
pub fn space_head() -> Vec<u8> {
    let mut out = vec![0; 512];
    put(&mut out, 0, b"XAGF");
    for (at, number) in [(4, 1_u32), (8, 1), (12, 6400)] {
        put(&mut out, at, &number.to_be_bytes());
    }
    put(&mut out, 64, &UUID);
    seal(&mut out, 216);
    out
}

/// A record of the log which says that the volume was unmounted.
#[must_use]
pub fn unmounted() -> Vec<u8> {
    let mut out = vec![0; 1024];
    put(&mut out, 0, &0xFEED_BABE_u32.to_be_bytes());
    for (at, number) in [(4, 3_u32), (8, 2), (12, 512), (16, 3), (20, 40), (24, 3), (28, 40)] {
        put(&mut out, at, &number.to_be_bytes());
    }
    for (at, number) in [(40, 1_u32), (300, 1), (320, 32_768), (512, 3), (516, 8)] {
        put(&mut out, at, &number.to_be_bytes());
    }
    put(&mut out, 304, &UUID);
    put(&mut out, 520, &[0xAA, 0x20]);
    out
}

/// All of them, by name.
#[must_use]
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("superblock", superblock()),
        ("file", file()),
        ("branched", branched()),
        ("short_folder", short_folder()),
        ("folder", folder()),
        ("tree", tree()),
        ("inodes", inodes()),
        ("inode_head", inode_head()),
        ("space_head", space_head()),
        ("unmounted", unmounted()),
    ]
}
