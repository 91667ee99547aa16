//! Records as text for a terminal.
//!
//! Style codes are written as they are; `ui` takes them out where colour is not wanted. Whatever
//! comes from the evidence goes through [`plain`](super::plain) first.

mod bar;
pub(in crate::report) mod chain;
pub(in crate::report) mod layout;
mod sweep;
#[cfg(test)]
mod tests;

pub(in crate::report) use sweep::finding_line;
pub use sweep::{TextOptions, write_sweep};
