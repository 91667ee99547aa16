#![no_main]
use vmglean_formats::ext as f;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // A superblock, then what it gives the sizes of.
    let Some(shape) = f::Superblock::parse(bytes) else { return };
    let _ = (shape.sum_holds(bytes), shape.bytes(), shape.copy_at(shape.group));
    for block in [0, 1, u64::from(shape.first_meta_group), u64::MAX] {
        assert!(shape.descriptor_blocks(block).len() <= 64);
    }
    let rest = bytes.get(1024..).unwrap_or_default();
    if let Some(group) = f::Group::parse(rest, 1, &shape) {
        let _ = (group.made_inodes(&shape), group.bitmap_holds(rest, 0, &shape));
    }
    let _ = f::is_inode(rest, 12, &shape);
    let _ = (f::seed_by_inode(rest, 12), f::number_by_inode(rest, 1));
    let _ = f::Journal::parse(rest).map(|journal| journal.block(rest, journal.sequence));
    if let Some(inode) = f::Inode::parse(rest) {
        let _ = (inode.inline(), f::Node::parse(&inode.map));
        if let Some((_, pieces)) = f::inline_folder(&inode) {
            pieces.iter().for_each(|piece| assert!(f::Entries::new(piece, true).count() <= 4096));
        }
    }
    let _ = (f::Node::parse(rest), f::Node::sum_holds(rest, 1), f::folder_block_holds(rest, 1));
    let _ = (f::Entries::new(rest, true).count(), f::pointers(rest).count());
});
