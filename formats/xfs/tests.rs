//! Records and entries alone.
#![allow(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "tests count small numbers"
)]

use super::{
    BlockHead, BlockKind, EntryKind, Extent, Fork, InodeChunk, InodeKind, InodeNode, LogRecord,
    Node, Superblock, cycle_of, folder_entries, inode_bytes, inode_tree_block, short_folder,
    size_by_sum, sum_holds, tree_root,
};

/// Writes the checksum that belongs at `at`.
fn seal(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum = !crate::ext::crc32c(u32::MAX, bytes);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

fn record(block: u64, start: u64, count: u64, is_unwritten: bool) -> [u8; 16] {
    let bits = u128::from(is_unwritten) << 127
        | u128::from(block) << 73
        | u128::from(start) << 21
        | u128::from(count);
    bits.to_be_bytes()
}

fn inode(format: u8, fork: &[u8], extents: u32, size: u64) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..6].copy_from_slice(&[b'I', b'N', 0x81, 0xA4, 3, format]);
    bytes[19] = 1;
    bytes[56..64].copy_from_slice(&size.to_be_bytes());
    bytes[76..80].copy_from_slice(&extents.to_be_bytes());
    bytes[152..160].copy_from_slice(&131_u64.to_be_bytes());
    bytes[176..176 + fork.len()].copy_from_slice(fork);
    seal(&mut bytes, 100);
    bytes
}

fn superblock() -> Vec<u8> {
    let mut bytes = vec![0; 512];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, b"XFSB");
    put(4, &4096_u32.to_be_bytes());
    put(8, &20_000_u64.to_be_bytes());
    put(48, &16_390_u64.to_be_bytes());
    put(56, &128_u64.to_be_bytes());
    put(84, &6400_u32.to_be_bytes());
    put(88, &4_u32.to_be_bytes());
    put(96, &1368_u32.to_be_bytes());
    put(100, &[0xB4, 0xA5, 2, 0, 2, 0, 0, 8]);
    put(120, &[12, 9, 9, 3, 13]);
    put(219, &[0xB]);
    seal(&mut bytes, 224);
    bytes
}

#[test]
fn numbers_of_blocks_and_inodes_lead_to_their_places() {
    let bytes = superblock();
    let shape = Superblock::parse(&bytes).unwrap();
    assert!(shape.sum_holds(&bytes) && shape.root == Some(128));
    assert_eq!(shape.block_offset(5), Some(5 * 4096));
    assert_eq!(shape.block_offset(8192 + 5), Some((6400 + 5) * 4096));
    // Behind a group's end, and behind the volume's.
    assert_eq!(shape.block_offset(6400), None);
    assert_eq!(shape.block_offset(3 << 13 | 900), None);
    assert_eq!(shape.inode_offset(128), Some(16 * 4096));
    assert_eq!(shape.inode_offset(1 << 16 | 131), Some((6400 + 16) * 4096 + 3 * 512));
    assert_eq!(shape.inode_group(1 << 16 | 131), (1, 131));
    assert_eq!(shape.inode_offset(u64::MAX), None);
    assert_eq!(shape.unread_feature(), None);
    let odd = Superblock { incompat: 1 << 20, ..shape };
    assert!(odd.unread_feature().is_some());
    let mut large = bytes.clone();
    large[192] = 200;
    assert_eq!(Superblock::parse(&large), None);
    for (at, value) in [(6, 0), (8, 0xFF), (86, 0), (90, 9), (123, 9), (124, 60), (124, 14)] {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        bytes[at + 1] = value;
        assert_eq!(Superblock::parse(&bytes), None, "{at}");
    }
}

#[test]
fn extents_in_an_inode_must_be_in_order_and_have_room() {
    let two = [record(0, 7, 3, false), record(5, 1 << 40, 2, true)];
    let parsed = super::Inode::parse(&inode(2, two.as_flattened(), 2, 20_000)).unwrap();
    assert_eq!((parsed.number, parsed.kind, parsed.links), (131, InodeKind::File, 1));
    let wanted = vec![
        Extent { block: 0, count: 3, start: 7, is_unwritten: false },
        Extent { block: 5, count: 2, start: 1 << 40, is_unwritten: true },
    ];
    assert_eq!(parsed.fork, Fork::Extents(wanted));
    let fork = |bytes: &[u8]| super::Inode::parse(bytes).unwrap().fork;
    let swapped = [record(5, 7, 3, false), record(0, 99, 2, true)];
    assert_eq!(fork(&inode(2, swapped.as_flattened(), 2, 20_000)), Fork::Broken);
    assert_eq!(fork(&inode(2, two.as_flattened(), 22, 20_000)), Fork::Broken);
    assert_eq!(fork(&inode(2, two.as_flattened(), u32::MAX, 20_000)), Fork::Broken);
    assert_eq!(fork(&inode(1, b"target", 0, 1 << 60)), Fork::Broken);
    assert!(
        matches!(fork(&inode(1, b"target", 0, 6)), Fork::Local(bytes) if bytes.starts_with(b"target"))
    );
}

#[test]
fn a_checksum_tells_how_long_its_structure_is() {
    let bytes = inode(2, &[], 0, 0);
    assert_eq!(inode_bytes(&[&bytes[..], &[7; 600]].concat()), Some(512));
    let mut long = bytes;
    long.resize(2048, 3);
    seal(&mut long, 100);
    assert_eq!(inode_bytes(&long), Some(2048));
    assert_eq!(inode_bytes(&long[..2000]), None);
    long[1999] ^= 1;
    assert_eq!(inode_bytes(&long), None);
    assert_eq!(size_by_sum(&[0; 3], 0, 512..=512), None);
    assert!(!sum_holds(&[], 0));
}

#[test]
fn a_root_that_promises_more_than_it_has_room_for_is_refused() {
    let mut root = vec![0, 1, 0, 2];
    root.extend([0_u64, 900, 0, 0].iter().flat_map(|key| key.to_be_bytes()));
    root.extend([11_u64, 12, 0, 0].iter().flat_map(|place| place.to_be_bytes()));
    assert_eq!(tree_root(&root), Some(Node::Index(1, vec![(0, 11), (900, 12)])));
    for (at, value) in [(1, 0), (1, 200), (3, 5), (3, 0), (2, 9)] {
        let mut root = root.clone();
        root[at] = value;
        assert_eq!(tree_root(&root), None, "{at} {value}");
    }
}

fn entry(inode: u64, kind: u8, name: &[u8], at: u16) -> Vec<u8> {
    let mut out = inode.to_be_bytes().to_vec();
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.push(kind);
    out.resize((out.len() + 2).next_multiple_of(8) - 2, 0);
    out.extend_from_slice(&at.to_be_bytes());
    out
}

#[test]
fn entries_of_a_block_fill_it_and_end_where_its_index_begins() {
    let mut block = b"XDB3".to_vec();
    block.resize(64, 0);
    block.extend(entry(128, 2, b".", 64));
    block.extend(entry(77, 1, b"name", 80));
    let at = block.len();
    let room = (512 - 16 - at) as u16;
    block.extend([0xFF, 0xFF]);
    block.extend(room.to_be_bytes());
    block.resize(512 - 18, 0);
    block.extend((at as u16).to_be_bytes());
    block.extend([0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(block.len(), 512);
    let (entries, is_whole) = folder_entries(&block);
    let found: Vec<_> = entries.iter().map(|one| (one.inode, one.kind, one.name)).collect();
    assert_eq!(found, [(128, EntryKind::Folder, &b"."[..]), (77, EntryKind::File, b"name")]);
    assert!(is_whole);
    // A tag that is not its entry's place.
    block[95] = 0;
    let (entries, is_whole) = folder_entries(&block);
    assert_eq!((entries.len(), is_whole), (1, false));
}

#[test]
fn a_short_folder_has_all_the_entries_it_counts() {
    let mut fork = vec![2, 0, 0, 0, 0, 128];
    fork.extend([1, 0, 96, b'a', 1, 0, 0, 0, 9]);
    fork.extend([2, 0, 120, b'b', b'c', 2, 0, 0, 1, 0]);
    let (parent, entries) = short_folder(&fork).unwrap();
    assert_eq!(parent, 128);
    let found: Vec<_> = entries.iter().map(|one| (one.inode, one.kind, one.name)).collect();
    assert_eq!(found, [(9, EntryKind::File, &b"a"[..]), (256, EntryKind::Folder, b"bc")]);
    fork[0] = 3;
    assert_eq!(short_folder(&fork), None);
}

#[test]
fn a_chunk_tells_which_of_its_inodes_are_there() {
    let mut block = b"IAB3".to_vec();
    block.extend([0, 0, 0, 1]);
    block.resize(56, 0);
    block.extend([0, 0, 0, 64, 0xFF, 0, 32, 1, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    block.resize(512, 0);
    let chunk = InodeChunk { first: 64, holes: 0xFF00, free: 1 << 63 };
    assert_eq!(inode_tree_block(&block), Some(InodeNode::Leaf(vec![chunk])));
    let made: Vec<_> = [63, 64, 95, 96, 127, 128].iter().map(|n| chunk.is_made(*n)).collect();
    assert_eq!(made, [None, Some(true), Some(true), Some(false), Some(false), None]);
    block[7] = 60;
    assert_eq!(inode_tree_block(&block), None);
}

#[test]
fn a_block_says_where_it_must_lie() {
    let mut block = b"BMA3".to_vec();
    block.resize(1024, 0);
    block[24..32].copy_from_slice(&4242_u64.to_be_bytes());
    block[56..64].copy_from_slice(&131_u64.to_be_bytes());
    seal(&mut block, 64);
    let head = BlockHead::parse(&block).unwrap();
    assert_eq!((head.kind, head.address, head.owner), (BlockKind::Extents, 4242, 131));
    assert_eq!(head.bytes_by_sum(&[&block[..], &[1; 4096]].concat()), Some(1024));
    assert!(head.sum_holds(&block) && !head.sum_holds(&block[..512]));
}

#[test]
fn a_record_of_the_log_must_say_its_round_twice() {
    let mut head = vec![0xFE, 0xED, 0xBA, 0xBE, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 2, 0];
    head.extend([0, 0, 0, 3, 0, 0, 0, 40, 0, 0, 0, 2, 0, 0, 0, 9]);
    head.resize(512, 0);
    head[43] = 1;
    let record = LogRecord::parse(&head).unwrap();
    assert_eq!((record.cycle, record.sector, record.tail, record.end()), (3, 40, (2, 9), 42));
    assert_eq!(cycle_of(&head), Some(3));
    head[19] = 4;
    assert_eq!(LogRecord::parse(&head), None);
}
