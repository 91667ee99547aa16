//! Reparse points: files whose content another driver makes.

use serde::Serialize;

use super::u32_at;

/// What stands in the file's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReparseKind {
    /// Another folder or volume.
    MountPoint,
    /// Another file.
    Symlink,
    /// Content lies in the chunk store of Data Deduplication.
    Deduplicated,
    /// Content lies compressed in the stream `WofCompressedData`, or in an image.
    SystemCompressed,
    /// Content lies in a cloud or an archive.
    Offline,
    /// Something else.
    Other(u32),
}

/// The kind of a `$REPARSE_POINT` value ([MS-FSCC] 2.1.2.1).
#[must_use]
pub fn reparse_kind(value: &[u8]) -> Option<ReparseKind> {
    let tag = u32_at(value, 0)?;
    Some(match tag {
        0xA000_0003 => ReparseKind::MountPoint,
        0xA000_000C => ReparseKind::Symlink,
        0x8000_0013 => ReparseKind::Deduplicated,
        0x8000_0017 | 0x8000_0008 => ReparseKind::SystemCompressed,
        0xC000_0004 | 0x8000_0006 => ReparseKind::Offline,
        // Every cloud tag: 0x9000_?01A.
        _ if tag & 0xFFFF_0FFF == 0x9000_001A => ReparseKind::Offline,
        _ => ReparseKind::Other(tag),
    })
}
