//! LVM2: the label of a physical volume and the text that its metadata area holds.
//!
//! After the layout in lvm2's `lib/format_text/layout.h` and `lib/label/label.c`.

use std::ops::Range;

use super::{Place, structure, u32_at, u64_at};

const SECTOR: u64 = 512;
/// The CRC begins with this, and is not inverted.
const CRC_BEGIN: u32 = 0xF597_A6CF;
const AREA_MAGIC: &[u8] = b"\x20LVM2\x20x[5A%r0N*>";
/// Longest text that is read.
const MOST_TEXT: u64 = 4 << 20;
/// Descriptors of areas in one list.
const MOST_AREAS: usize = 16;

/// Looks at a physical volume whose label stands in sector `nth` of `head`.
pub(super) fn look(place: &mut Place<'_>, at: &Range<u64>, head: &[u8], nth: usize) {
    let from = at.start + nth as u64 * SECTOR;
    let Some(label) = head.get(nth * 512..(nth + 1) * 512) else { return };
    if u32_at(label, 16) != Some(crc(label.get(20..).unwrap_or_default())) {
        let detail = "the LVM label's checksum is wrong";
        place.found.damaged.push(structure(from, SECTOR, detail));
        return;
    }
    place.found.intact(from, SECTOR, "LVM label");
    for (offset, length) in areas(label).unwrap_or_default() {
        let Some(from) = at.start.checked_add(offset) else { continue };
        area(place, from, length);
    }
}

/// Metadata areas by the label: behind the list of data areas, each list ended by zeros.
fn areas(label: &[u8]) -> Option<Vec<(u64, u64)>> {
    let header = usize::try_from(u32_at(label, 20)?).ok()?;
    let mut pairs = label
        .get(header.checked_add(40)?..)?
        .chunks_exact(16)
        .filter_map(|pair| Some((u64_at(pair, 0)?, u64_at(pair, 8)?)));
    let is_one = |pair: &(u64, u64)| *pair != (0, 0);
    pairs.by_ref().take(MOST_AREAS).take_while(is_one).for_each(drop);
    Some(pairs.take(MOST_AREAS).take_while(is_one).collect())
}

fn area(place: &mut Place<'_>, at: u64, length: u64) -> Option<()> {
    let header = place.read(at, 512)?;
    let sum = crc(header.get(4..).unwrap_or_default());
    if header.get(4..20) != Some(AREA_MAGIC) || u32_at(&header, 0) != Some(sum) {
        place.wreck(at, &header, "the header of LVM's metadata must be");
        return None;
    }
    let (offset, size) = (u64_at(&header, 40)?, u64_at(&header, 48)?);
    if size == 0 {
        // Nothing was ever made of the volume.
        place.found.intact(at, SECTOR, "empty LVM metadata");
        return Some(());
    }
    (size <= MOST_TEXT && offset < length).then_some(())?;
    // The text goes round the area like a ring; its header stands still.
    let first = size.min(length - offset);
    let mut text = place.read(at.checked_add(offset)?, usize::try_from(first).ok()?)?;
    if first < size {
        let rest = usize::try_from(size - first).ok()?;
        text.extend(place.read(at.checked_add(SECTOR)?, rest)?);
    }
    if u32_at(&header, 56) == Some(crc(&text)) {
        place.found.intact(at.checked_add(offset)?, size, "LVM metadata");
    } else {
        place.wreck(at.checked_add(offset)?, &text, "LVM's metadata must be");
    }
    Some(())
}

/// CRC-32 as LVM2 uses it.
fn crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!CRC_BEGIN);
    hasher.update(bytes);
    !hasher.finalize()
}
