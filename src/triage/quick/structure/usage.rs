//! Whether the file systems of a disk keep anything in a stretch of it, by their own bitmaps.

use std::ops::Range;

use super::{LOOK_BYTES, Place, Structures, ext, ntfs};
use crate::source::Source;

/// Whether `stretch` is used by none of the `volumes`; `false` where that cannot be said.
pub(super) fn is_unused(disk: &dyn Source, volumes: &[Range<u64>], stretch: &Range<u64>) -> bool {
    let mut found = Structures::default();
    let mut place = Place { source: disk, size: disk.len_bytes(), found: &mut found };
    volumes.iter().all(|at| {
        let inside = stretch.start.max(at.start)..stretch.end.min(at.end);
        inside.is_empty() || is_unused_by(&mut place, at, &inside).unwrap_or(false)
    })
}

/// The same of one volume; `None` where its bitmaps cannot be had.
fn is_unused_by(place: &mut Place<'_>, at: &Range<u64>, stretch: &Range<u64>) -> Option<bool> {
    let head = place.read(at.start, LOOK_BYTES)?;
    if ext::is_superblock(&head) {
        ext::is_unused(place, at, &head, stretch)
    } else if ntfs::is_boot(&head) {
        ntfs::is_unused(place, at, &head, stretch)
    } else {
        None
    }
}

/// Whether all the bits numbered `bits` are zeros; the first bit is the lowest of the first byte.
/// Bits
/// behind the bitmap's end are not.
pub(super) fn are_clear(bitmap: &[u8], mut bits: Range<u64>) -> bool {
    bits.all(|bit| {
        let byte = usize::try_from(bit / 8).ok().and_then(|byte| bitmap.get(byte));
        byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 0)
    })
}
