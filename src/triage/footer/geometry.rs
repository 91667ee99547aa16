//! Footers that state the damage in clear text.

use serde::{Deserialize, Serialize};

use crate::families::Geometry;

/// What a footer states in clear text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// Which form was read.
    pub form: Geometry,
    /// The mode in words, with its number.
    pub mode: String,
    /// Percent the operator chose, where stated.
    pub percent: Option<u64>,
    /// Size of the file this layer was laid on, where stated.
    pub size_bytes: Option<u64>,
    /// How far the program says it came, where it keeps count.
    pub progress_bytes: Option<u64>,
}
