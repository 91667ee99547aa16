//! VMware on-disk formats: bytes in, typed values and defects out.
//!
//! Damage is the normal case here. A parser that can go on returns its value *and* what was
//! wrong on the way ([`Checked`]); only what makes a value impossible is an error. Parsers take
//! bytes (or a [`ReadAt`]) and never open, print, log, or believe a count they did not bound.
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod container;
pub mod defect;
pub mod detect;
pub mod dict;
pub mod esxi;
pub mod ext;
pub mod field;
pub mod log;
pub mod lvm;
pub mod ntfs;
pub mod nvram;
pub mod ovf;
pub mod partition;
pub mod read;
pub mod units;
pub mod vmdk;
pub mod vmsd;
pub mod vmsn;
pub mod vmx;
pub mod vmxf;
pub mod xfs;
mod xml;

pub use defect::{Checked, Defect, DefectKind, FormatError};
pub use detect::{Confidence, Detected, FileKind, detect};
pub use field::{FieldNote, Fields};
pub use read::{MediumError, ReadAt};
pub use units::{ByteOffset, Bytes, GrainIndex, SECTOR_BYTES, Sectors};
