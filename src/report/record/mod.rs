//! The records of the contract: `vmglean.sweep/1` and `vmglean.map/1`.
//!
//! Everything here is plain data that reads and writes as JSON. Nothing depends on the time of
//! the run but [`RunInfo`], so the same input gives the same bytes. Field by field:
//! `docs/schema/sweep.md` and `docs/schema/map.md`.

mod map;
mod number;
mod sweep;
#[cfg(test)]
mod tests;
mod totals;

pub use crate::source::RecordPath;
pub use map::{
    EdgeUncertainty, FooterRecord, HashRecord, LatticeRecord, MAP_SCHEMA, MapRecord, MapRun,
    MapState, MapSummary, PatternKind, PatternRecord,
};
pub use number::{Fraction, Score};
pub use sweep::{
    Basis, Candidate, Confidence, ConfigRecord, ConfigState, DiskRecord, DiskVerdict, FamilyHit,
    MachineRecord, MachineVerdict, Method, NoteRecord, OrphanRecord, Route, RunInfo, SWEEP_SCHEMA,
    SourceRecord, SweepRecord, UnreadableRecord,
};
pub use totals::{ClassTotal, Totals};
