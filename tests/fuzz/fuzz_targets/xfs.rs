#![no_main]
use vmglean_formats::xfs as f;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Checksums are asked apart, so that what lies behind them is reached.
    let _ = f::inode_bytes(bytes);
    if let Some(head) = f::BlockHead::parse(bytes) {
        let _ = (head.bytes_by_sum(bytes), head.sum_holds(bytes));
    }
    let _ = (f::SpaceHead::parse(bytes), f::InodeHead::parse(bytes));
    if let Some(shape) = f::Superblock::parse(bytes) {
        let end = shape.bytes();
        let _ = (shape.sum_holds(bytes), shape.unread_feature(), shape.folder_block_bytes());
        for number in [0, 1, u64::MAX, shape.root.unwrap_or(7), shape.log_start.unwrap_or(9)] {
            assert!(shape.block_offset(number).is_none_or(|at| at < end));
            assert!(shape.inode_offset(number).is_none_or(|at| at < end));
            let _ = (shape.group_offset(number), shape.inode_group(number));
            assert!(shape.block_of_group_offset(number, number).is_none_or(|at| at < end));
        }
    }
    if let Some(inode) = f::Inode::parse(bytes) {
        match inode.fork {
            f::Fork::Local(area) => {
                assert!(inode.size <= area.len() as u64);
                if let Some((_, entries)) = f::short_folder(&area) {
                    assert!(entries.len() <= 255);
                }
            }
            f::Fork::Extents(extents) => {
                assert!(extents.windows(2).all(|p| p[0].block + p[0].count <= p[1].block));
            }
            f::Fork::Tree(_) | f::Fork::None | f::Fork::Broken => {}
        }
    }
    let (entries, _) = f::folder_entries(bytes);
    assert!(entries.len() <= bytes.len() / 16);
    let _ = (f::tree_root(bytes), f::tree_block(bytes));
    if let Some(f::InodeNode::Leaf(chunks)) = f::inode_tree_block(bytes) {
        let _ = chunks.iter().filter(|chunk| chunk.is_made(chunk.first) == Some(true)).count();
    }
    let mut reader = f::LogReader::default();
    if reader.take(bytes).is_some() {
        let _ = reader.finish();
    }
    let _ = f::LogRecord::parse(bytes).map(|record| record.end());
    let _ = (f::cycle_of(bytes), f::is_unmount(bytes));
});
