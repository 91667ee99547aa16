//! Blocks of folders.

use super::{Inode, crc::crc32c, u16_at, u32_at};

/// What an entry says that its file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket.
    Special,
    /// It does not say.
    Unknown,
}

/// An entry of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Number of its inode.
    pub inode: u32,
    /// What it says that the file is.
    pub kind: EntryKind,
    /// Name, as its bytes are.
    pub name: &'a [u8],
}

/// Entries of a block, in order; ends at the first that cannot be one.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
    has_kinds: bool,
    is_broken: bool,
}

impl<'a> Entries<'a> {
    /// Entries of `block`. Blocks of a folder's index have none but its first two.
    #[must_use]
    pub fn new(block: &'a [u8], has_kinds: bool) -> Self {
        Self { rest: block, has_kinds, is_broken: false }
    }

    /// Whether it ended before the block did.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    fn step(&mut self) -> Option<Option<Entry<'a>>> {
        let inode = u32_at(self.rest, 0)?;
        let length = match u16_at(self.rest, 4)? {
            // A block of 64 KiB cannot be told in 16 bits.
            0 | u16::MAX => self.rest.len(),
            length => usize::from(length),
        };
        let name_length = usize::from(*self.rest.get(6)?);
        let kind = *self.rest.get(7)?;
        let end = name_length.saturating_add(8);
        let fits = length >= 8 && length.is_multiple_of(4) && end <= length;
        let name = self.rest.get(8..end).filter(|_| fits)?;
        self.rest = self.rest.get(length..)?;
        let kind = match kind {
            1 if self.has_kinds => EntryKind::File,
            2 if self.has_kinds => EntryKind::Folder,
            7 if self.has_kinds => EntryKind::Link,
            3..=6 if self.has_kinds => EntryKind::Special,
            _ => EntryKind::Unknown,
        };
        let is_name = inode != 0 && !name.is_empty() && !name.contains(&0) && !name.contains(&b'/');
        Some(is_name.then_some(Entry { inode, kind, name }))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        while !self.rest.is_empty() {
            match self.step() {
                Some(Some(entry)) => return Some(entry),
                Some(None) => {}
                None => {
                    self.is_broken = true;
                    self.rest = &[];
                }
            }
        }
        None
    }
}

/// Whether the checksum at a block's end is right; `None`: it has none there. `seed` is the
/// checksum's beginning for its inode.
#[must_use]
pub fn folder_block_holds(block: &[u8], seed: u32) -> Option<bool> {
    let (summed, tail) = block.split_at_checked(block.len().checked_sub(12)?)?;
    let is_tail = u32_at(tail, 0) == Some(0) && tail.get(4..8) == Some(&[12, 0, 0, 0xDE]);
    is_tail.then(|| u32_at(tail, 8) == Some(crc32c(seed, summed)))
}

/// Parent and entries of a folder that lies in its inode, as two pieces.
#[must_use]
pub fn inline_folder(inode: &Inode) -> Option<(u32, [&[u8]; 2])> {
    let parent = u32_at(&inode.map, 0)?;
    Some((parent, [inode.map.get(4..)?, inode.more.as_deref().unwrap_or_default()]))
}
