//! Nodes and entries alone.
#![allow(clippy::as_conversions, reason = "tests count small numbers")]

use super::{
    Entries, EntryKind, Extent, Node, Superblock, crc32c, is_inode, number_by_inode, seed_by_inode,
};

fn node(depth: u16, entries: &[[u8; 12]]) -> Vec<u8> {
    let mut out = vec![0x0A, 0xF3];
    for field in [entries.len() as u16, 4, depth, 0, 0] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    entries.iter().for_each(|entry| out.extend_from_slice(entry));
    out.resize(60, 0);
    out
}

#[test]
fn unwritten_extents_are_told_and_those_out_of_order_refused() {
    let first = [0, 0, 0, 0, 3, 0, 0, 0, 100, 0, 0, 0];
    let second = [3, 0, 0, 0, 5, 0x80, 1, 0, 7, 0, 0, 0];
    let wanted = vec![
        Extent { block: 0, count: 3, start: 100, is_unwritten: false },
        Extent { block: 3, count: 5, start: 7 | 1 << 32, is_unwritten: true },
    ];
    assert_eq!(Node::parse(&node(0, &[first, second])), Some(Node::Leaf(wanted)));
    assert_eq!(Node::parse(&node(0, &[second, first])), None);
    assert_eq!(Node::parse(&node(6, &[first])), None);
    assert_eq!(Node::parse(&node(0, &[first; 5])), None);
}

#[test]
fn entries_end_where_one_cannot_be() {
    let mut block = vec![11, 0, 0, 0, 12, 0, 1, 2, b'.', 0, 0, 0];
    block.extend_from_slice(&[12, 0, 0, 0, 12, 0, 3, 1, b'a', b'b', b'c', 0]);
    block.extend_from_slice(&[13, 0, 0, 0, 4, 0, 1, 1, b'x', 0, 0, 0]);
    let mut entries = Entries::new(&block, true);
    let found: Vec<_> = entries.by_ref().map(|entry| (entry.inode, entry.kind)).collect();
    assert_eq!(found, [(11, EntryKind::Folder), (12, EntryKind::File)]);
    assert!(entries.is_broken());
}

#[test]
fn an_inode_tells_the_seed_by_its_number_and_its_number_by_the_seed() {
    const SEED: u32 = 0xDEAD_5EED;
    for number in [2_u32, 11, 4097, 1 << 20] {
        let mut bytes = vec![0; 256];
        bytes[..2].copy_from_slice(&[0xA4, 0x81]);
        bytes[0x64] = 7;
        bytes[0x80] = 32;
        let sum = crc32c(crc32c(SEED, &number.to_le_bytes()), &[7, 0, 0, 0]);
        let [a, b, c, d] = crc32c(sum, &bytes).to_le_bytes();
        bytes[0x7C..0x7E].copy_from_slice(&[a, b]);
        bytes[0x82..0x84].copy_from_slice(&[c, d]);
        let mut shape = Superblock::guessed(4096, 25_600, 8192, true);
        shape.seed = SEED;
        if number != 2 {
            assert!(is_inode(&bytes, u64::from(number), &shape));
        }
        assert_eq!(seed_by_inode(&bytes, number), Some(SEED));
        assert_eq!(number_by_inode(&bytes, SEED), Some(number));
    }
    assert_eq!(seed_by_inode(&[0; 256], 2), None);
}
