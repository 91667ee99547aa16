//! What state the bytes are in: measured, judged, with reasons.

pub mod footer;
pub mod measure;
pub mod notes;
pub mod pass;
pub mod quick;
