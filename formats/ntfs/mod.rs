//! NTFS structures, each read from its own bytes: no structure needs another one to be whole.
//!
//! Layout after the public descriptions of NTFS (linux-ntfs documentation, "[MS-FSCC]",
//! libfsntfs documentation), checked on volumes made by mkntfs and filled through ntfs-3g.
//! File records and index blocks guard each of their 512-byte sectors with two bytes; a
//! structure with a sector of other origin does not pass [`repair`].

mod boot;
mod fixup;
mod index;
mod list;
mod lznt1;
mod name;
mod record;
mod reparse;
mod runs;
#[cfg(test)]
mod tests;

pub use boot::BootSector;
pub use fixup::repair;
pub use index::{IndexBlock, IndexEntry, index_root_entries};
pub use list::{ListEntry, attribute_list};
pub use lznt1::decompress;
pub use name::{FileName, Reference, filetime_to_unix_ns, wtf8};
pub use record::{Attribute, AttributeBody, FileRecord, RecordHead, kinds};
pub use reparse::{ReparseKind, reparse_kind};
pub use runs::{DataRun, decode_runs};

/// Bytes guarded by one fix-up, whatever the sector size of the disk.
pub const STRIDE_BYTES: usize = 512;
/// Largest file record that is read; Windows makes 1 KiB and 4 KiB.
pub const MAX_RECORD_BYTES: u32 = 64 * 1024;
/// Largest cluster Windows makes.
pub const MAX_CLUSTER_BYTES: u32 = 2 * 1024 * 1024;

pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

pub(crate) fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
