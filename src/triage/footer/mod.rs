//! What stands behind a file's original end: appended footers and what they say in clear text.
//!
//! A flat extent is a whole number of sectors, so its length modulo 512 alone betrays a footer.
//! Magics and self-checking fields prove one; geometry stated in clear text gives the damaged
//! ranges by arithmetic. Footers stack when a program ran more than once.

mod campaign;
mod companions;
mod geometry;
mod read;

pub use campaign::{CampaignMarker, EndSample, FileEnd, campaign_markers};
pub use companions::footerless;
pub use geometry::Stated;
pub(in crate::triage) use geometry::looks_random;
pub use read::{
    FooterLayer, FooterProof, FooterQuestion, FooterReading, TAIL_BYTES, exercise, read_footer,
    read_tail,
};

#[cfg(test)]
mod tests;
