//! The snapshot tree of a machine: `.vmsd`, a dictionary with numbered entries.
//!
//! VMware removes an entry before it consolidates the disks, so a tree without snapshots does
//! not prove that there are no delta disks; 0 bytes is normal for a machine that never had one.

#[cfg(test)]
mod tests;
mod tree;

use serde::Serialize;

use crate::{
    defect::{Checked, DefectKind},
    dict::{DefectList, Dictionary},
    field::{FieldNote, Fields},
    units::ByteOffset,
};

/// Most snapshots read; VMware allows 32 in a chain and a few hundred in a tree.
pub const MAX_SNAPSHOTS: usize = 4096;
/// Most disks read of one snapshot; a machine holds at most 256.
pub const MAX_DISKS: u64 = 256;

/// One disk as a snapshot froze it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotDisk {
    /// `diskM.node`: `scsi0:0`.
    pub node: Option<String>,
    /// `diskM.fileName`: the disk this snapshot froze, parent of what was written after it.
    /// As written: it may point anywhere.
    pub file_name: Option<String>,
}

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotNode {
    /// N of `snapshotN`: a place in the file, not an identity.
    pub index: u32,
    /// `uid`: what parents and `snapshot.current` point to.
    pub uid: Option<u64>,
    /// `parent`: uid of the snapshot before it; `None` at a root.
    pub parent: Option<u64>,
    /// `filename`: the `.vmsn`, as written.
    pub file_name: Option<String>,
    /// `displayName`.
    pub display_name: Option<String>,
    /// `description`, line breaks decoded.
    pub description: Option<String>,
    /// `type`, as written. Inferred: 0 disks only, 1 with memory.
    pub kind: Option<u64>,
    /// `createTimeHigh`/`createTimeLow`: microseconds since 1970-01-01 UTC.
    pub create_time_us: Option<u64>,
    /// Its disks, by M.
    pub disks: Vec<SnapshotDisk>,
    /// Where its first key stands.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
}

/// A snapshot tree as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vmsd {
    /// Every line.
    pub dictionary: Dictionary,
    /// `snapshot.numSnapshots`.
    pub num_snapshots: Option<u64>,
    /// `snapshot.lastUID`: the highest uid ever given.
    pub last_uid: Option<u64>,
    /// `snapshot.current`: uid of the snapshot the running disks grew from.
    pub current: Option<u64>,
    /// `snapshot.needConsolidate`: delta disks are left over from a failed consolidation.
    pub need_consolidate: bool,
    /// The snapshots, by index.
    pub snapshots: Vec<SnapshotNode>,
    /// `cloneOfN`: configurations of which this machine is a linked clone, as written.
    pub clone_of: Vec<String>,
    /// `sentinelN`: lock files that linked clones of this machine hold, as written.
    pub sentinels: Vec<String>,
}

impl Vmsd {
    /// Reads a `.vmsd`. No bytes at all is an empty tree without defect.
    ///
    /// Defects besides the dictionary's: counts that disagree, uids given twice or missing,
    /// parents that are not there, cycles, a `current` that is no snapshot, torn times.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let read = Dictionary::parse("vmsd", bytes);
        let mut defects = DefectList::new("vmsd");
        defects.extend(read.defects);
        let dictionary = read.value;
        let mut number = |key: &'static str| tree::number(&dictionary, key, key, &mut defects);
        let num_snapshots = number("snapshot.numSnapshots");
        let last_uid = number("snapshot.lastUID");
        let current = number("snapshot.current");
        let snapshots = tree::snapshots(&dictionary, &mut defects);
        let listed = |prefix: &str| {
            let named = dictionary.with_prefix(prefix).filter(|(key, _)| {
                key.get(prefix.len()..).is_some_and(|rest| {
                    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
                })
            });
            named.map(|(_, entry)| entry.value.clone()).collect()
        };
        let value = Self {
            num_snapshots,
            last_uid,
            current,
            need_consolidate: dictionary.is_true("snapshot.needConsolidate").unwrap_or(false),
            snapshots,
            clone_of: listed("cloneOf"),
            sentinels: listed("sentinel"),
            dictionary,
        };
        value.check(&mut defects);
        Checked { value, defects: defects.finish() }
    }

    /// The snapshot with that uid.
    #[must_use]
    pub fn by_uid(&self, uid: u64) -> Option<&SnapshotNode> {
        self.snapshots.iter().find(|node| node.uid == Some(uid))
    }

    /// From the snapshot `uid` up to its root; ends where a parent is missing or comes again.
    #[must_use]
    pub fn ancestry(&self, uid: u64) -> Vec<&SnapshotNode> {
        let mut found: Vec<&SnapshotNode> = Vec::new();
        let mut next = Some(uid);
        while let Some(node) = next.and_then(|uid| self.by_uid(uid)) {
            if found.iter().any(|seen| seen.index == node.index) {
                break;
            }
            found.push(node);
            next = node.parent;
        }
        found
    }

    fn check(&self, defects: &mut DefectList) {
        let have = u64::try_from(self.snapshots.len()).unwrap_or(u64::MAX);
        match self.num_snapshots {
            Some(told) if told != have => {
                let kind = DefectKind::Mismatch {
                    expected: format!("{told}, as snapshot.numSnapshots says"),
                    found: format!("{have} snapshots"),
                };
                let at = self.dictionary.get("snapshot.numSnapshots").map(|entry| entry.value_at);
                defects.add_at("snapshots", at.unwrap_or_default(), kind);
            }
            None if have > 0 => {
                let what = "snapshot.numSnapshots".to_owned();
                defects.add("key", 0, DefectKind::Missing { what });
            }
            Some(_) | None => {}
        }
        if let Some(current) = self.current.filter(|uid| *uid != 0 && self.by_uid(*uid).is_none()) {
            let at = self.dictionary.get("snapshot.current").map(|entry| entry.value_at);
            let what = format!("the current snapshot, uid {current},");
            defects.add_at(
                "snapshot.current",
                at.unwrap_or_default(),
                DefectKind::Missing { what },
            );
        }
        tree::check_links(&self.snapshots, defects);
    }
}

impl Fields for Vmsd {
    fn fields(&self) -> Vec<FieldNote> {
        self.dictionary.fields()
    }
}
