//! Where logical volumes lie, for scripts.

use serde::{Deserialize, Serialize};

use crate::guest::lvm::Layout;

/// A part of a logical volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartLine {
    /// First byte in the volume.
    pub offset_bytes: u64,
    /// How many.
    pub length_bytes: u64,
    /// Bytes of a stripe; `null`: it lies in a row.
    pub stripe_bytes: Option<u64>,
    /// Where each stripe begins; `null`: on none of the disks given.
    pub stripes: Vec<Option<StripeLine>>,
}

/// Where a stripe begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripeLine {
    /// Which disk: 0 the one asked for, from 1 on those of `with`.
    pub disk: usize,
    /// First byte there.
    pub disk_offset_bytes: u64,
}

pub(super) fn parts(layout: &Layout) -> Vec<PartLine> {
    let stripe = |place: &Option<(usize, u64)>| {
        place.map(|(disk, disk_offset_bytes)| StripeLine { disk, disk_offset_bytes })
    };
    let parts = layout.parts.iter().map(|part| PartLine {
        offset_bytes: part.at,
        length_bytes: part.length,
        stripe_bytes: (part.stripes.len() > 1).then_some(part.stripe_bytes),
        stripes: part.stripes.iter().map(stripe).collect(),
    });
    parts.collect()
}
