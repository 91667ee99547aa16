//! Fix-ups: the last two bytes of every 512 are swapped for a number that all share.

use super::{STRIDE_BYTES, array, u16_at};
use crate::{ByteOffset, Defect, DefectKind};

/// Puts the guarded bytes of a record or an index block back in place.
///
/// # Errors
/// A [`Defect`] where the array does not fit, or a sector does not carry the shared number: it
/// was torn, overwritten or encrypted. The bytes are then changed in part.
pub fn repair(bytes: &mut [u8], at: ByteOffset) -> Result<(), Defect> {
    let defect = |field, offset: usize, kind| {
        let offset = u64::try_from(offset).unwrap_or(0);
        Defect::new("MULTI_SECTOR_HEADER", field, at.checked_add(offset).unwrap_or(at), kind)
    };
    let length = bytes.len();
    let start = usize::from(u16_at(bytes, 4).unwrap_or(0));
    let count = usize::from(u16_at(bytes, 6).unwrap_or(0));
    let sectors = length.checked_div(STRIDE_BYTES).unwrap_or(0);
    if length == 0 || !length.is_multiple_of(STRIDE_BYTES) || count != sectors.saturating_add(1) {
        let value = u64::try_from(count).unwrap_or(u64::MAX);
        let max = u64::try_from(sectors).unwrap_or(0).saturating_add(1);
        return Err(defect("usa_count", 6, DefectKind::OutOfRange { value, min: max, max }));
    }
    // The array lies in the first sector, after the header and before its guarded end.
    let array_end = start.saturating_add(count.saturating_mul(2));
    if start < 0x28 || array_end > STRIDE_BYTES.saturating_sub(2) || !start.is_multiple_of(2) {
        let value = u64::try_from(start).unwrap_or(u64::MAX);
        return Err(defect("usa_offset", 4, DefectKind::OutOfRange { value, min: 0x28, max: 508 }));
    }
    let number: [u8; 2] = array(bytes, start).unwrap_or_default();
    for sector in 0..sectors {
        let place = sector.saturating_add(1).saturating_mul(STRIDE_BYTES).saturating_sub(2);
        let saved = start.saturating_add(sector.saturating_add(1).saturating_mul(2));
        let found: [u8; 2] = array(bytes, place).unwrap_or_default();
        if found != number {
            let (expected, found) = (u16::from_le_bytes(number), u16::from_le_bytes(found));
            return Err(defect(
                "fixup",
                place,
                DefectKind::Mismatch {
                    expected: format!("{expected:#06x}"),
                    found: format!("{found:#06x}"),
                },
            ));
        }
        let original: [u8; 2] = array(bytes, saved).unwrap_or_default();
        if let Some(end) = bytes.get_mut(place..place.saturating_add(2)) {
            end.copy_from_slice(&original);
        }
    }
    Ok(())
}
