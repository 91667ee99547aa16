//! What state the bytes are in.

pub mod measure;
pub mod pass;
