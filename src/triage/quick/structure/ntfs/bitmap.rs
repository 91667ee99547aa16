//! What `$Bitmap` says of a stretch of the volume.

use std::ops::Range;

use vmglean_formats::{
    ByteOffset,
    ntfs::{AttributeBody, BootSector, FileRecord, kinds},
};

use super::Place;
use crate::triage::quick::structure::usage::are_clear;

/// The record of `$Bitmap`.
const BITMAP_RECORD: u64 = 6;
/// Bytes of the bitmap that are read at once.
const PIECE_BYTES: u64 = 1 << 20;

/// Whether no cluster of `stretch` is given out; `None` where the bitmap cannot be had.
pub(in super::super) fn is_unused(
    place: &mut Place<'_>,
    at: &Range<u64>,
    head: &[u8],
    stretch: &Range<u64>,
) -> Option<bool> {
    let boot = BootSector::parse(head, ByteOffset(at.start)).ok()?;
    let (cluster, record) = (u64::from(boot.cluster_bytes), u64::from(boot.record_bytes));
    let table = boot.mft_lcn.checked_mul(cluster)?.checked_add(at.start)?;
    let bytes =
        place.read(table.checked_add(BITMAP_RECORD * record)?, usize::try_from(record).ok()?)?;
    let parsed = FileRecord::parse(bytes, ByteOffset(0)).ok()?.value;
    let data = parsed.of_kind(kinds::DATA).find(|one| one.name.is_empty())?;
    let AttributeBody::NonResident { runs, .. } = &data.body else { return None };
    let from = stretch.start.checked_sub(at.start)?.checked_div(cluster)?;
    let to = stretch.end.checked_sub(at.start)?.div_ceil(cluster);
    // The last cluster may be cut off by the copy of the boot sector.
    let to = to.min(boot.volume_bytes().checked_div(cluster)?);
    let (mut next, end) = (from / 8, to.div_ceil(8));
    while next < end {
        let run = runs.iter().find_map(|run| {
            let first = run.vcn.checked_mul(cluster)?;
            let last = run.clusters.checked_mul(cluster)?.checked_add(first)?;
            let begin = run.lcn?.checked_mul(cluster)?.checked_add(at.start)?;
            (first..last).contains(&next).then_some((begin.saturating_add(next - first), last))
        });
        let (begin, last) = run?;
        let length = last.min(end).min(next + PIECE_BYTES) - next;
        let piece = place.read(begin, usize::try_from(length).ok()?)?;
        if piece.len() as u64 != length {
            return None;
        }
        let bits = from.max(next * 8) - next * 8..to.min((next + length) * 8) - next * 8;
        if !are_clear(&piece, bits) {
            return Some(false);
        }
        next += length;
    }
    Some(true)
}
