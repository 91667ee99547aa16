//! The quick verdict: a disk judged without reading it whole, a small file judged whole.
//!
//! High entropy is a measurement, "encrypted" a verdict. Random-looking data tips into
//! "encrypted" only with independent support (a footer, a suffix, a note, a destroyed structure
//! where one must be, hard edges at equal distance), because zip files, BitLocker volumes and
//! key files look the same. What has neither support nor explanation is undetermined.

mod conclude;
mod disk;
mod explain;
mod figures;
mod fill;
mod fit;
mod interval;
mod islands;
mod plan;
mod sample;
mod small;
mod stretch;
mod structure;
mod support;
mod verdict;
mod weave;
mod wider;

pub(crate) use conclude::percent;
pub use disk::{footer_question, judge_disk, judge_part};
pub use small::{SmallContext, SmallJudgement, SmallState, judge_bytes, judge_small};
pub(in crate::triage) use structure::owner_encrypted;
pub use structure::{DiskPart, DiskPlaces};
pub use verdict::{
    DiskContext, DiskJudgement, DiskState, ExtentKind, FamilyNaming, Method, QuickOptions, Share,
};

#[cfg(test)]
mod tests;
