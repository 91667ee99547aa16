//! The only memory map. Regular files on local file systems, and only when asked for.

use std::fs::File;

/// A whole file in the address space, read-only.
#[derive(Debug)]
pub(super) struct Mapped(memmap2::Mmap);

/// File systems whose pages come from a local disk or from memory (`statfs` magics of
/// linux/magic.h): ext2-4, XFS, Btrfs, tmpfs, F2FS, ZFS, overlayfs.
const LOCAL_FILE_SYSTEMS: [i64; 7] =
    [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0xF2F5_2010, 0x2FC1_2FC1, 0x794C_7630];

impl Mapped {
    /// Maps `file`, or `None` where a map is not to be trusted or not to be had.
    pub(super) fn open(file: &File) -> Option<Self> {
        let kind = rustix::fs::fstatfs(file).ok()?.f_type;
        if !LOCAL_FILE_SYSTEMS.contains(&kind) || file.metadata().ok()?.len() == 0 {
            return None;
        }
        #[expect(unsafe_code, reason = "a map has no safe constructor")]
        // SAFETY: the map is read-only and shared with nobody who writes through us. Another
        // process that cuts the file short turns a read into SIGBUS, which ends this process
        // without touching evidence; the caller asked for that trade by `Access::Map`.
        let map = unsafe { memmap2::Mmap::map(file) };
        map.ok().map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
