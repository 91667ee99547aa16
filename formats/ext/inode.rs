//! Inodes.

use std::ops::Range;

use super::{
    Superblock,
    crc::{crc32c, crc32c_back},
    u16_at, u32_at,
};

/// Flags of inodes.
pub mod inode_flags {
    /// Names and content are encrypted by their owner.
    pub const ENCRYPTED: u32 = 0x800;
    /// The folder has an index.
    pub const INDEXED: u32 = 0x1000;
    /// Its blocks are described by extents.
    pub const EXTENTS: u32 = 0x8_0000;
    /// Its content lies in attributes of other inodes.
    pub const EA_INODE: u32 = 0x20_0000;
    /// Its content lies in the inode.
    pub const INLINE: u32 = 0x1000_0000;
    /// Content is packed.
    pub const COMPRESSED: u32 = 0x4;
}

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InodeKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket.
    Special,
    /// None: never used, or wiped.
    Free,
}

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// What it is.
    pub kind: InodeKind,
    /// Kind and permissions.
    pub mode: u16,
    /// Bytes of content.
    pub size: u64,
    /// Names that it has.
    pub links: u16,
    /// [`inode_flags`].
    pub flags: u32,
    /// When it was deleted, seconds since 1970; 0: it was not.
    pub deleted: u32,
    /// Use of its number.
    pub generation: u32,
    /// Made, changed, inode changed, read: nanoseconds since 1970.
    pub times: [Option<i128>; 4],
    /// Block numbers, extents, or content.
    pub map: [u8; 60],
    /// Content that lies behind the inode's fields, where it has some.
    pub more: Option<Vec<u8>>,
}

impl Inode {
    /// The inode that `bytes` are, of [`Superblock::inode_bytes`].
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mode = u16_at(bytes, 0)?;
        let kind = match mode >> 12 {
            4 => InodeKind::Folder,
            8 => InodeKind::File,
            10 => InodeKind::Link,
            1 | 2 | 6 | 12 => InodeKind::Special,
            _ => InodeKind::Free,
        };
        let flags = u32_at(bytes, 0x20)?;
        let extra = if bytes.len() > 128 { usize::from(u16_at(bytes, 0x80)?) } else { 0 };
        // Fields behind the first 128 bytes count as far as they were made room for.
        let end = extra.saturating_add(128);
        let field = |at: usize| u32_at(bytes, at).filter(|_| at.saturating_add(4) <= end);
        let time = |at: usize, more: usize| {
            let seconds = i128::from(u32_at(bytes, at)?.cast_signed());
            let more = field(more).unwrap_or(0);
            let seconds = seconds.saturating_add(i128::from(more & 3) << 32);
            let nanoseconds = i128::from(more >> 2).min(999_999_999);
            Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
        };
        let made = field(0x90).and_then(|_| time(0x90, 0x94));
        let is_inline = flags & inode_flags::INLINE != 0;
        Some(Self {
            kind,
            mode,
            size: u64::from(u32_at(bytes, 4)?) | u64::from(u32_at(bytes, 0x6C)?) << 32,
            links: u16_at(bytes, 0x1A)?,
            flags,
            deleted: u32_at(bytes, 0x14)?,
            generation: u32_at(bytes, 0x64)?,
            times: [made, time(0x10, 0x88), time(0x0C, 0x84), time(0x08, 0x8C)],
            map: bytes.get(0x28..0x64)?.try_into().ok()?,
            more: if is_inline { inline_rest(bytes, extra) } else { None },
        })
    }

    /// Whether one of [`inode_flags`] is set.
    #[must_use]
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Content that lies in the inode: of a small file, or a short link.
    #[must_use]
    pub fn inline(&self) -> Option<Vec<u8>> {
        let is_short_link = self.kind == InodeKind::Link
            && self.size < 60
            && !self.has(inode_flags::EXTENTS | inode_flags::INLINE);
        if !is_short_link && !self.has(inode_flags::INLINE) {
            return None;
        }
        let mut all = self.map.to_vec();
        all.extend_from_slice(self.more.as_deref().unwrap_or_default());
        let size = usize::try_from(self.size).ok()?;
        (size <= all.len()).then(|| {
            all.truncate(size);
            all
        })
    }
}

/// Value of the attribute `system.data` in the inode: what of the content the first 60 bytes do
/// not hold.
fn inline_rest(bytes: &[u8], extra: usize) -> Option<Vec<u8>> {
    const MAGIC: u32 = 0xEA02_0000;
    /// Attributes that are looked at.
    const MOST: usize = 256;
    let area = bytes.get(128_usize.checked_add(extra)?..)?;
    if u32_at(area, 0) != Some(MAGIC) {
        return None;
    }
    let area = area.get(4..)?;
    let mut at = 0_usize;
    for _ in 0..MOST {
        let entry = area.get(at..)?;
        let name_length = usize::from(*entry.first()?);
        let index = *entry.get(1)?;
        if name_length == 0 && index == 0 {
            return None;
        }
        let end = name_length.saturating_add(16);
        let name = entry.get(16..end)?;
        if index == 7 && name == b"data" {
            let from = usize::from(u16_at(entry, 2)?);
            let size = usize::try_from(u32_at(entry, 8)?).ok()?;
            return area.get(from..from.checked_add(size)?).map(<[u8]>::to_vec);
        }
        at = at.checked_add(end.checked_next_multiple_of(4)?)?;
    }
    None
}

/// Whether this is an inode by its kind and its checksum; the root must be a folder.
#[must_use]
pub fn is_inode(inode: &[u8], number: u64, volume: &Superblock) -> bool {
    let kind = u16_at(inode, 0).unwrap_or(0) >> 12;
    let is_kind =
        if number == 2 { kind == 4 } else { matches!(kind, 0 | 1 | 2 | 4 | 6 | 8 | 10 | 12) };
    if !is_kind || !volume.has_checksums {
        return is_kind;
    }
    let (Ok(number), Some(generation)) = (u32::try_from(number), inode.get(0x64..0x68)) else {
        return false;
    };
    let part = |range: Range<usize>| inode.get(range).unwrap_or_default();
    let mut sum = crc32c(crc32c(volume.seed, &number.to_le_bytes()), generation);
    sum = crc32c(crc32c(crc32c(sum, part(0..0x7C)), &[0, 0]), part(0x7E..128));
    let extra = if inode.len() > 128 { u16_at(inode, 0x80).unwrap_or(0) } else { 0 };
    if inode.len() > 128 {
        sum = crc32c(sum, part(128..0x82));
        let rest = if extra >= 4 {
            sum = crc32c(sum, &[0, 0]);
            0x84
        } else {
            0x82
        };
        sum = crc32c(sum, part(rest..inode.len()));
    }
    let low = u16_at(inode, 0x7C).map(u32::from).unwrap_or(0);
    let high = if extra >= 4 { u16_at(inode, 0x82).map(u32::from).unwrap_or(0) << 16 } else { 0 };
    let mask = if extra >= 4 { u32::MAX } else { 0xFFFF };
    low | high == sum & mask
}

/// The checksum of an inode that has one of 32 bits, with what it is made over behind the number:
/// generation, and the inode with zeros in the checksum's place.
fn summed(inode: &[u8]) -> Option<(u32, Vec<u8>)> {
    let kind = u16_at(inode, 0)? >> 12;
    let extra = usize::from(u16_at(inode, 0x80)?);
    let is_sane = matches!(kind, 1 | 2 | 4 | 6 | 8 | 10 | 12)
        && extra >= 4
        && extra.saturating_add(128) <= inode.len();
    if !is_sane {
        return None;
    }
    let sum = u32::from(u16_at(inode, 0x7C)?) | u32::from(u16_at(inode, 0x82)?) << 16;
    let mut bytes = inode.get(0x64..0x68)?.to_vec();
    bytes.extend_from_slice(inode);
    for place in [0x7C_usize, 0x7D, 0x82, 0x83] {
        *bytes.get_mut(place.saturating_add(4))? = 0;
    }
    Some((sum, bytes))
}

/// What checksums of the volume must begin with, if this is its inode `number`; `None` where the
/// inode has no checksum of 32 bits. Every inode gives an answer; only several that agree say
/// something.
#[must_use]
pub fn seed_by_inode(inode: &[u8], number: u32) -> Option<u32> {
    let (sum, bytes) = summed(inode)?;
    Some(crc32c_back(crc32c_back(sum, &bytes), &number.to_le_bytes()))
}

/// The number that an inode must have for its checksum to be right; `None` where it has none of
/// 32 bits. As with [`seed_by_inode`], only several that agree say something.
#[must_use]
pub fn number_by_inode(inode: &[u8], seed: u32) -> Option<u32> {
    let (sum, bytes) = summed(inode)?;
    // Four bytes carried into a value are the same as those four XORed into it, then four zeros.
    Some(crc32c_back(crc32c_back(sum, &bytes), &[0; 4]) ^ seed)
}
