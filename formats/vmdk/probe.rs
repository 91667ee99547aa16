//! Whole readers over any bytes, for the fuzz targets: nothing here may panic, hang, or answer
//! with runs that do not cover the extent.

use super::{
    ChangeTracking, CowdExtent, Descriptor, ExtentMap, RunKind, SeSparseExtent, SparseExtent,
    inflate_grain, open_extent,
};
use crate::{
    detect::detect as detect_kind,
    field::Fields as _,
    units::{ByteOffset, Bytes},
};

/// Reads bytes as a descriptor and reads its own text again.
///
/// # Panics
/// Where the reader breaks its word.
pub fn descriptor(bytes: &[u8]) {
    let found = Descriptor::parse(bytes, ByteOffset(0)).value;
    let again = Descriptor::parse(found.text.as_bytes(), ByteOffset(0)).value;
    // The text is UTF-8 now, whatever it was before.
    if found.encoding == "UTF-8" {
        assert_eq!(found.extents.len(), again.extents.len());
    }
    let _ = (found.fields(), found.capacity(), found.geometry(), found.has_parent());
}

/// Tells the kind of bytes.
///
/// # Panics
/// Where the reader breaks its word.
pub fn detect(bytes: &[u8]) {
    if let Some(found) = detect_kind(bytes) {
        let end = found.at.0.saturating_add(found.length.0);
        assert!(usize::try_from(end).is_ok_and(|end| end <= bytes.len()));
    }
    let _ = ChangeTracking::parse(bytes);
}

/// Walks the start and the end of a map, and whatever lies in the runs.
fn walk(map: &dyn ExtentMap, bytes: &[u8]) {
    let capacity = map.capacity().0;
    let file = bytes.to_vec();
    for from in [0, capacity / 2, capacity.saturating_sub(70_000)] {
        let Ok(answer) = map.runs(&file, ByteOffset(from), Bytes(u64::MAX), 2000) else { continue };
        let mut at = from;
        for run in answer.value {
            let packed = matches!(run.kind, RunKind::Compressed { .. });
            assert!(run.offset.0 == at || (packed && run.offset.0 <= at), "a gap or an overlap");
            at = run.offset.0.saturating_add(run.length.0);
            assert!(at <= capacity && run.length.0 > 0);
            let end = match run.kind {
                RunKind::Stored { at } => at.0.saturating_add(run.length.0),
                RunKind::Compressed { at, stored } => at.0.saturating_add(stored.0),
                RunKind::Zero | RunKind::Absent | RunKind::Lost => 0,
            };
            assert!(usize::try_from(end).is_ok_and(|end| end <= bytes.len()), "past the end");
        }
        assert!(answer.defects.len() <= 257);
    }
}

/// Opens bytes as a hosted sparse extent and walks it.
///
/// # Panics
/// Where the reader breaks its word.
pub fn sparse(bytes: &[u8]) {
    if let Ok(opened) = SparseExtent::open(&bytes.to_vec()) {
        walk(&opened.value, bytes);
        let _ = opened.value.header().fields();
    }
}

/// As [`sparse`], and inflates the bytes as one grain.
///
/// # Panics
/// Where the reader breaks its word.
pub fn stream(bytes: &[u8]) {
    sparse(bytes);
    let _ = inflate_grain(bytes, &mut [0; 4096]);
}

/// Opens bytes as a redo log and walks it.
///
/// # Panics
/// Where the reader breaks its word.
pub fn cowd(bytes: &[u8]) {
    if let Ok(opened) = CowdExtent::open(&bytes.to_vec()) {
        walk(&opened.value, bytes);
        let _ = opened.value.header().fields();
    }
}

/// Opens bytes as an seSparse extent and walks it, its backmap and its bitmap.
///
/// # Panics
/// Where the reader breaks its word.
pub fn sesparse(bytes: &[u8]) {
    if let Ok(opened) = SeSparseExtent::open(&bytes.to_vec()) {
        let (extent, file) = (opened.value, bytes.to_vec());
        walk(&extent, bytes);
        let _ = (extent.header().fields(), extent.journal().fields());
        let _ = (extent.backmap(&file, 1, 100), extent.in_use(&file, 3, 100));
        let _ = extent.backmap_meaning(&file, 4);
    }
}

/// Opens bytes as whatever extent they are.
///
/// # Panics
/// Where the reader breaks its word.
pub fn extent_map(bytes: &[u8]) {
    if let Ok(opened) = open_extent(&bytes.to_vec()) {
        walk(opened.value.map.as_ref(), bytes);
    }
}
