//! One disk out of a chain, with a word for every byte of it: which link it comes from, and in
//! what state.

mod snapshots;

pub use snapshots::{FrozenDisk, Selected, Snapshot, SnapshotTree, find_tree, select};
