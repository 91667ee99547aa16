//! All inodes of a volume that are found at the place of their number.

use std::collections::HashSet;

use vmglean_formats::xfs::InodeKind;

use super::{base::Base, hits::VolumeHits, made::Made};
use crate::guest::names::Names;

/// An inode of the volume.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) at: u64,
    pub(super) kind: InodeKind,
    /// Whether it is in use by its own word, and its group's tree does not say otherwise.
    pub(super) is_live: bool,
    /// Whether something but itself says that it is in use.
    pub(super) is_vouched: bool,
}

/// The inodes in the order of their numbers.
#[derive(Default)]
pub(super) struct Inodes {
    pub(super) entries: Vec<Entry>,
}

impl Inodes {
    pub(super) fn read(base: &Base<'_>, hits: &VolumeHits, made: &Made) -> Self {
        let size = base.shape.inode_bytes;
        let is_placed =
            |at: u64, number: u64| base.inode_at(number).is_some_and(|place| place.at() == at);
        let mut entries: Vec<Entry> = hits
            .inodes
            .iter()
            .filter(|hit| hit.kind != InodeKind::Free && 1 << hit.size_log2.min(63) == size)
            .filter(|hit| is_placed(hit.at, hit.number))
            .map(|hit| {
                let made = made.is_made(base, hit.number);
                Entry {
                    number: hit.number,
                    at: hit.at,
                    kind: hit.kind,
                    is_live: hit.is_live && made != Some(false),
                    is_vouched: made == Some(true),
                }
            })
            .collect();
        entries.sort_unstable_by_key(|entry| entry.number);
        Self { entries }
    }

    pub(super) fn find(&self, number: u64) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        self.entries.get(at)
    }

    /// Vouches for what follows from the folders that are in use for sure: whom they name, and
    /// whoever was made together with one of those.
    pub(super) fn follow(&mut self, names: &Names, root: Option<u64>, together: u64) {
        let together = together.max(1);
        let mut children: Vec<(u64, u64)> =
            names.all().iter().map(|name| (name.parent, name.child)).collect();
        children.sort_unstable();
        let mut done: HashSet<u64> = HashSet::new();
        let vouched =
            self.entries.iter().filter(|entry| entry.is_vouched).map(|entry| entry.number);
        // One inode of each lot.
        let mut waiting: Vec<u64> = vouched.chain(root).map(|number| number / together).collect();
        waiting.dedup();
        while let Some(lot) = waiting.pop() {
            if !done.insert(lot) {
                continue;
            }
            let first = lot.saturating_mul(together);
            let end = first.saturating_add(together);
            let from = self.entries.partition_point(|entry| entry.number < first);
            for entry in self.entries.iter_mut().skip(from).take_while(|entry| entry.number < end) {
                entry.is_vouched = true;
                if entry.kind != InodeKind::Folder || !entry.is_live {
                    continue;
                }
                let from = children.partition_point(|(parent, _)| *parent < entry.number);
                let own = children.iter().skip(from);
                let own = own.take_while(|(parent, _)| *parent == entry.number);
                waiting.extend(own.map(|(_, child)| child / together));
            }
        }
    }
}
