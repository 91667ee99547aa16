//! Structures of XFS. A checksum that no longer holds refuses all of them but for the head of a
//! record of the log, so that fields are also tried with their checksum made right again.

use vmglean_forge::guest::xfs;
use vmglean_formats::xfs::{
    BlockHead, Fork, Inode, InodeHead, InodeNode, LogRecord, Node, SpaceHead, Superblock,
    folder_entries, inode_bytes, inode_tree_block, short_folder, tree_block,
};

use crate::table::Table;

fn told(found: Option<String>) -> String {
    found.unwrap_or_else(|| "refused".to_owned())
}

fn superblock(bytes: &[u8]) -> String {
    let shape = Superblock::parse(bytes).filter(|shape| shape.sum_holds(bytes));
    told(shape.map(|shape| {
        format!(
            "read: {} blocks of {}, {} groups of {}, inodes of {}, {}",
            shape.blocks,
            shape.block_bytes,
            shape.groups,
            shape.group_blocks,
            shape.inode_bytes,
            shape.unread_feature().unwrap_or("all of it known")
        )
    }))
}

fn inode(bytes: &[u8]) -> String {
    let known = inode_bytes(bytes).and_then(|size| Inode::parse(bytes.get(..size)?));
    told(known.map(|inode| {
        let fork = match inode.fork {
            Fork::None => "no content".to_owned(),
            Fork::Local(area) => match short_folder(&area) {
                Some((parent, entries)) => format!("{} names below {parent}", entries.len()),
                None => "no folder".to_owned(),
            },
            Fork::Extents(extents) => format!("{} extents", extents.len()),
            Fork::Tree(Node::Index(level, below)) => {
                format!("a tree of {level} levels and {} branches", below.len())
            }
            Fork::Tree(Node::Leaf(_)) => "a leaf".to_owned(),
            Fork::Broken => "content that cannot be".to_owned(),
        };
        format!("read: {:?}, {} bytes, {fork}", inode.kind, inode.size)
    }))
}

fn block(bytes: &[u8]) -> String {
    let head = BlockHead::parse(bytes).filter(|head| head.sum_holds(bytes));
    told(head.map(|head| {
        let (names, is_whole) = folder_entries(bytes);
        let extents = match tree_block(bytes) {
            Some(Node::Leaf(extents)) => extents.len(),
            Some(Node::Index(_, below)) => below.len(),
            None => 0,
        };
        let chunks = match inode_tree_block(bytes) {
            Some(InodeNode::Leaf(chunks)) => chunks.len(),
            Some(InodeNode::Index(_, below)) => below.len(),
            None => 0,
        };
        match bytes.get(..4) {
            Some(b"XDB3") => format!("read: {} names, all of them: {is_whole}", names.len()),
            Some(b"BMA3") => format!("read: {extents} extents of {}", head.owner),
            _ => format!("read: {chunks} chunks of group {}", head.owner),
        }
    }))
}

fn group(bytes: &[u8]) -> String {
    let space = SpaceHead::parse(bytes).map(|head| format!("read: {} blocks", head.blocks));
    let inodes = InodeHead::parse(bytes)
        .map(|head| format!("read: root {}, {} levels", head.root, head.levels));
    told(space.or(inodes))
}

fn record(bytes: &[u8]) -> String {
    told(LogRecord::parse(bytes).map(|record| format!("read: ends at {}", record.end())))
}

/// Fields with the checksum made right again.
fn sealed(
    table: &mut Table,
    whole: &[u8],
    sum_at: usize,
    judge: impl Fn(&[u8]) -> String,
    fields: &[(&str, usize, usize)],
) {
    let judge = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        xfs::seal(&mut bytes, sum_at);
        judge(&bytes)
    };
    table.fields(whole, judge, fields);
}

pub(crate) fn tables() -> Vec<Table> {
    let mut table = Table::new("xfs");
    for (name, bytes) in xfs::all() {
        let judge: fn(&[u8]) -> String = match name {
            "superblock" => superblock,
            "folder" | "tree" | "inodes" => block,
            "inode_head" | "space_head" => group,
            "unmounted" => record,
            _ => inode,
        };
        table.add(format!("{name}: as it is"), judge(&bytes));
        table.hurt(name, &bytes, judge);
        table.add(format!("{name}: nothing"), judge(&[]));
    }
    sealed(
        &mut table,
        &xfs::superblock(),
        224,
        superblock,
        &[
            ("block size", 4, 4),
            ("blocks", 8, 8),
            ("group blocks", 84, 4),
            ("groups", 88, 4),
            ("version", 100, 2),
            ("sector size", 102, 2),
            ("inode size", 104, 2),
            ("inodes a block", 123, 1),
            ("group bits", 124, 1),
            ("folder block", 192, 1),
            ("features", 216, 4),
        ],
    );
    for (name, whole) in
        [("file", xfs::file()), ("branched", xfs::branched()), ("short", xfs::short_folder())]
    {
        let fields: Vec<(String, usize, usize)> = [
            ("mode", 2, 2),
            ("version", 4, 1),
            ("format", 5, 1),
            ("size", 56, 8),
            ("extents", 76, 4),
            ("fork", 82, 1),
            ("flags", 120, 8),
            ("first of its fork", 176, 2),
            ("second of its fork", 178, 2),
            ("third of its fork", 180, 8),
        ]
        .into_iter()
        .map(|(field, at, width)| (format!("{name}: {field}"), at, width))
        .collect();
        let fields: Vec<(&str, usize, usize)> =
            fields.iter().map(|(field, at, width)| (field.as_str(), *at, *width)).collect();
        sealed(&mut table, &whole, 100, inode, &fields);
    }
    sealed(
        &mut table,
        &xfs::folder(),
        4,
        block,
        &[
            ("first name's length", 72, 1),
            ("first name's tag", 78, 2),
            ("room's length", 138, 2),
            ("names in the index", 4088, 4),
        ],
    );
    sealed(
        &mut table,
        &xfs::tree(),
        64,
        block,
        &[("level", 4, 2), ("extents in it", 6, 2), ("first extent", 72, 8), ("its place", 80, 8)],
    );
    sealed(
        &mut table,
        &xfs::inodes(),
        52,
        block,
        &[("level of inodes", 4, 2), ("chunks in it", 6, 2)],
    );
    table.fields(
        &xfs::unmounted(),
        record,
        &[("cycle", 4, 4), ("log version", 8, 4), ("length", 12, 4), ("place", 16, 8)],
    );
    vec![table]
}
