//! What is known of the families that attack ESXi: suffixes, notes, footers, damage geometry.
//!
//! The knowledge lies in `families.json` beside this file, built into the program; a user's file
//! of the same form adds entries or replaces those of the same name. Each entry says on what it
//! rests ([`Basis`], [`Confidence`], sources), and whoever names a family passes that on.

mod entry;
mod fields;
mod load;
pub mod names;
mod notes;
mod pattern;

pub use entry::{
    Basis, Confidence, Family, FooterForm, Geometry, HeaderMark, SuffixRule, SuffixShape,
};
pub use load::{Families, FamiliesError};
pub use names::{NameKind, NameParts, Suffix, SuffixFamily, SuffixMeaning, split_suffix};
pub use notes::{NoteName, note_by_name};
pub use pattern::{Comb, Pattern, PatternKind, Prediction};

use serde::{Deserialize, Serialize};

/// A family that fits what was seen, and what the naming rests on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FamilyHint {
    /// The family's name as in the data file.
    pub family: String,
    /// What was seen that fits it.
    pub rests_on: String,
    /// How sure the data file is of that fact.
    pub confidence: Confidence,
}

#[cfg(test)]
mod tests;
