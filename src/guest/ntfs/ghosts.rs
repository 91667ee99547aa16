//! Names of files whose records are lost, from index blocks of their folders.

use std::collections::HashMap;

use vmglean_formats::{
    ByteOffset,
    ntfs::{FileName, IndexBlock, IndexEntry, Reference, index_root_entries, kinds},
};

use super::place::Placed;
use crate::guest::{
    Ground,
    scan::{Hits, RecordHit},
    volumes::{Volume, read_record},
};

/// Most lost names that are kept.
const MOST_GHOSTS: usize = 1 << 26;

/// A name without a record.
#[derive(Clone, Debug)]
pub(super) struct Ghost {
    pub(super) record: Reference,
    pub(super) name: FileName,
    pub(super) is_slack: bool,
}

/// Lost names in the order of their record numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Ghosts {
    pub(super) all: Vec<Ghost>,
    folders: HashMap<(u64, u16), usize>,
}

impl Ghosts {
    /// The lost folder that `folder` refers to.
    pub(super) fn folder(&self, folder: Reference) -> Option<&Ghost> {
        self.all.get(*self.folders.get(&(folder.number, folder.sequence))?)
    }

    /// Collects names that folders of the volume hold and no record answers to.
    pub(super) fn collect(
        ground: &Ground<'_>,
        hits: &Hits,
        volume: &Volume,
        placed: &Placed,
    ) -> Self {
        let mut all: Vec<Ghost> = Vec::new();
        let mut take = |entries: Vec<IndexEntry>, folder: Option<Reference>| {
            for entry in entries {
                let at_home = folder.is_none_or(|folder| folder == entry.name.parent);
                let is_known = placed.find(entry.record.number).is_some();
                if at_home && !is_known && all.len() < MOST_GHOSTS && !entry.name.is_dos_only() {
                    let IndexEntry { record, name, is_slack } = entry;
                    all.push(Ghost { record, name, is_slack });
                }
            }
        };
        let range = volume.start..volume.end(ground.size());
        let first = hits.indexes.partition_point(|hit| hit.at < range.start);
        for hit in hits.indexes.iter().skip(first).take_while(|hit| hit.at < range.end) {
            let Ok(mut bytes) = ground.read(hit.at, hit.bytes as usize) else { continue };
            if let Ok(block) = IndexBlock::parse(&mut bytes, ByteOffset(hit.at)) {
                take(block.entries, Some(hit.folder));
            }
        }
        let folders = placed.entries.iter().filter_map(|entry| {
            hits.records.get(entry.hit as usize).filter(|hit: &&RecordHit| hit.is_folder)
        });
        for hit in folders {
            let Some(record) = read_record(ground, hit) else { continue };
            for root in record.of_kind(kinds::INDEX_ROOT) {
                take(record.value(root).map(index_root_entries).unwrap_or_default(), None);
            }
        }
        // Of one record's same name, the one in use tells most.
        all.sort_by(|a, b| {
            let key = |ghost: &Ghost| (ghost.record, ghost.name.parent);
            key(a)
                .cmp(&key(b))
                .then_with(|| a.name.name.cmp(&b.name.name))
                .then_with(|| a.is_slack.cmp(&b.is_slack))
        });
        all.dedup_by(|later, kept| {
            later.record == kept.record
                && later.name.parent == kept.name.parent
                && later.name.name == kept.name.name
        });
        let mut folders = HashMap::new();
        for (index, ghost) in all.iter().enumerate().filter(|(_, ghost)| ghost.name.is_folder()) {
            let key = (ghost.record.number, ghost.record.sequence);
            let known = folders.entry(key).or_insert(index);
            if all.get(*known).is_some_and(|known| known.is_slack && !ghost.is_slack) {
                *known = index;
            }
        }
        Self { all, folders }
    }
}
