//! What the structures of a disk that lies in several files say of each of them.

use std::ops::Range;

use super::{Evidence, Structures, look, usage};
use crate::{source::Source, triage::quick::verdict::ExtentKind};

/// Structures of the disk that vouch for a part in which none stands.
const VOUCHING: usize = 2;

/// What the known places of a disk show that lies in several files, by its own addresses.
#[derive(Debug)]
pub struct DiskPlaces(Structures);

impl DiskPlaces {
    /// Looks at `disk`, all of its files joined.
    #[must_use]
    pub fn look(disk: &dyn Source) -> Self {
        Self(look(disk, disk.len_bytes(), ExtentKind::Flat))
    }
}

/// One file of a disk that lies in several.
#[derive(Clone)]
pub struct DiskPart<'a> {
    /// All of its files joined.
    pub disk: &'a dyn Source,
    /// What the known places of it show.
    pub places: &'a DiskPlaces,
    /// Where the file's bytes lie in it.
    pub at: Range<u64>,
}

impl DiskPart<'_> {
    /// Whether the disk begins with it.
    pub(in crate::triage::quick) fn is_first(&self) -> bool {
        self.at.start == 0
    }

    /// Whether no file system of the disk, nor anything unknown, keeps data in it.
    pub(in crate::triage::quick) fn is_unused(&self) -> bool {
        let DiskPlaces(whole) = self.places;
        whole.head_is_intact && usage::is_unused(self.disk, &whole.volumes, &self.at)
    }

    /// What stands in it, by offsets of the file.
    pub(in crate::triage::quick) fn structures(&self) -> Structures {
        let DiskPlaces(whole) = self.places;
        let mine = |all: &[Evidence]| -> Vec<Evidence> {
            let inside = all.iter().filter(|one| self.at.contains(&one.offset_bytes));
            inside
                .map(|one| Evidence {
                    offset_bytes: one.offset_bytes - self.at.start,
                    ..one.clone()
                })
                .collect()
        };
        let within = |range: &Range<u64>| {
            let (start, end) = (range.start.max(self.at.start), range.end.min(self.at.end));
            (start < end).then(|| start - self.at.start..end - self.at.start)
        };
        let mut intact = mine(&whole.intact);
        if intact.is_empty() {
            intact.extend(whole.intact.iter().take(VOUCHING).map(|one| Evidence {
                detail: format!(
                    "in the disk it is a part of, at {:#x}: {}",
                    one.offset_bytes, one.detail
                ),
                // A place of the disk is none of this file.
                offset_bytes: 0,
                length_bytes: 0,
                ..one.clone()
            }));
        }
        let unreadable = whole.unreadable.iter().filter(|(at, length, _)| {
            // What reaches into other files is theirs to tell.
            self.at.contains(at) && at.saturating_add(*length) <= self.at.end
        });
        Structures {
            intact,
            destroyed: mine(&whole.destroyed),
            suspicious: mine(&whole.suspicious),
            damaged: mine(&whole.damaged),
            doubtful: mine(&whole.doubtful),
            blank: whole.blank.iter().filter_map(within).collect(),
            owner_encrypted: whole
                .owner_encrypted
                .iter()
                .filter_map(|(range, by)| Some((within(range)?, *by)))
                .collect(),
            volumes: Vec::new(),
            is_unused: false,
            head_is_random: whole.head_is_random && self.is_first(),
            head_is_intact: whole.head_is_intact,
            unreadable: unreadable
                .map(|(at, length, why)| (at - self.at.start, *length, why.clone()))
                .collect(),
            read_bytes: if self.is_first() { whole.read_bytes } else { 0 },
        }
    }
}
