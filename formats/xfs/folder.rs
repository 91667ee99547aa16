//! Names in folders: inside the inode, and in blocks.

use super::{EntryKind, be16, be32, be64};

/// Bytes of a block's head, of a tail with its index, and of an index entry.
const HEAD: usize = 64;
const TAIL: usize = 8;
const LEAF: usize = 8;
/// Marks room in a block.
const ROOM: u16 = 0xFFFF;

/// An entry of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Number of its inode.
    pub inode: u64,
    /// What it says that the file is.
    pub kind: EntryKind,
    /// Name, as its bytes are.
    pub name: &'a [u8],
}

fn kind_of(byte: u8) -> EntryKind {
    match byte {
        1 => EntryKind::File,
        2 => EntryKind::Folder,
        3..=6 => EntryKind::Special,
        7 => EntryKind::Link,
        _ => EntryKind::Unknown,
    }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&0) && !name.contains(&b'/')
}

/// Parent and entries of a folder that lies in its inode; `None` where it cannot be one.
#[must_use]
pub fn short_folder(fork: &[u8]) -> Option<(u64, Vec<Entry<'_>>)> {
    let (count, wide) = (usize::from(*fork.first()?), *fork.get(1)?);
    let width = if wide > 0 { 8 } else { 4 };
    let number = |at: usize| {
        if wide > 0 { be64(fork, at) } else { be32(fork, at).map(u64::from) }
    };
    let parent = number(2)?;
    let mut at = 2_usize.checked_add(width)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::from(*fork.get(at)?);
        let from = at.checked_add(3)?;
        let end = from.checked_add(length)?;
        let name = fork.get(from..end).filter(|name| is_name(name))?;
        let kind = kind_of(*fork.get(end)?);
        let inode = number(end.checked_add(1)?)?;
        at = end.checked_add(1)?.checked_add(width)?;
        entries.push(Entry { inode, kind, name });
    }
    Some((parent, entries))
}

/// Entries of a folder's block, itself and the folder above included, and whether they fill it
/// as they must. Its checksum was asked before.
#[must_use]
pub fn folder_entries(block: &[u8]) -> (Vec<Entry<'_>>, bool) {
    let mut entries = Vec::new();
    let mut at = HEAD;
    let Some(end) = end_of_entries(block) else { return (entries, false) };
    while at < end {
        match step(block, at, end) {
            Some((next, entry)) if next > at => {
                entries.extend(entry);
                at = next;
            }
            _ => return (entries, false),
        }
    }
    (entries, true)
}

/// Where the names of a block end: at its own end, or where the index of a folder of one block
/// begins.
fn end_of_entries(block: &[u8]) -> Option<usize> {
    if !block.starts_with(b"XDB3") {
        return Some(block.len());
    }
    let tail = block.len().checked_sub(TAIL)?;
    let count = usize::try_from(be32(block, tail)?).ok()?;
    tail.checked_sub(count.checked_mul(LEAF)?).filter(|end| *end >= HEAD)
}

/// The entry at `at`, if it is one, and where the next begins.
fn step(block: &[u8], at: usize, end: usize) -> Option<(usize, Option<Entry<'_>>)> {
    let tag_holds = |next: usize| {
        let tag = next.checked_sub(2)?;
        (usize::from(be16(block, tag)?) == at && next <= end).then_some(())
    };
    if be16(block, at)? == ROOM {
        let next = at.checked_add(usize::from(be16(block, at.checked_add(2)?)?))?;
        tag_holds(next)?;
        return Some((next, None));
    }
    let inode = be64(block, at)?;
    let length = usize::from(*block.get(at.checked_add(8)?)?);
    let from = at.checked_add(9)?;
    let behind = from.checked_add(length)?;
    let name = block.get(from..behind).filter(|name| is_name(name))?;
    let kind = kind_of(*block.get(behind)?);
    // The kind, then the tag, and all of it in steps of eight bytes.
    let next = behind.checked_add(3)?.checked_next_multiple_of(8)?;
    tag_holds(next)?;
    Some((next, Some(Entry { inode, kind, name })))
}
