//! What a run found, as records that scripts can rely on, and the renderers that show them.

pub mod html;
pub mod json;
mod judge;
#[cfg(test)]
mod made;
pub mod plain;
pub mod record;
pub mod shell;
pub mod text;
pub mod units;
