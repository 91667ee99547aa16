//! What a run found, as records that scripts can rely on, and the renderers that show them.

pub mod chain;
pub mod consolidate;
pub mod csv;
pub mod files;
pub mod html;
pub mod inspect;
pub mod json;
mod judge;
#[cfg(test)]
mod made;
pub mod map;
pub mod plain;
pub mod record;
pub mod salvage;
pub mod shell;
pub mod text;
pub mod units;

/// The word an enum has in records.
pub(crate) fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
