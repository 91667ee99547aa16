//! LVM2: labels, metadata areas and the text in them that tells where logical volumes lie.
//!
//! Layout after the LVM2 sources' `format_text/layout.h` and lvm(8); checked on volume groups of
//! lvm2 2.03. Everything but the text has a checksum of its own; the text has one in the area's
//! header. A parser gives `None` where its structure cannot be one.

mod group;
mod label;
mod text;

#[cfg(test)]
mod tests;

pub use group::{LogicalVolume, PhysicalVolume, Segment, SegmentKind, Stripe, VolumeGroup};
pub use label::{Area, AreaHeader, Label, TextPlace, lvm_crc};

/// Bytes of a metadata area's header, and of a label's sector.
pub const HEADER_BYTES: usize = 512;
/// Longest text that is believed: LVM2 itself takes 1 MiB areas by default.
pub const MAX_TEXT_BYTES: u64 = 16 << 20;

/// The little-endian number at `at`.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The little-endian number at `at`.
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}
