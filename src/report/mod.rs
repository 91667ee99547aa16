//! What a run found, as records that scripts can rely on, and the renderers that show them.

pub mod plain;
pub mod record;
pub mod shell;
pub mod units;
