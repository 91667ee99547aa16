//! What state the bytes are in: measured, judged, with reasons.

pub mod edges;
pub mod footer;
pub mod judge;
pub mod lanes;
pub mod leaks;
pub mod measure;
pub mod notes;
pub mod pass;
pub mod pattern;
pub mod quick;
pub mod structure;
