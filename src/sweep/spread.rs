//! Disks whose plain content lies in several files, as `twoGbMaxExtentFlat` has it: structures
//! are looked for in the disk as a whole, by its own addresses.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::{gather::Gathered, judge::open};
use crate::{
    catalog::{ChainLink, Content, FileId, Index, Machine},
    source::{Joined, Part},
    triage::quick::{DiskPart, DiskPlaces},
};

/// Disks of more files are judged file by file: each of them would be held open.
const MOST_FILES: usize = 128;

/// One such disk.
struct Whole {
    /// Its stretches: how long each is, and the file it lies in; none for zeros.
    stretches: Vec<(u64, Option<FileId>)>,
    /// Its files as they are now: the judgement of each rests on all of them.
    words: String,
    looked: OnceLock<(Joined, DiskPlaces)>,
}

/// All such disks.
#[derive(Default)]
pub(super) struct Spread {
    files: HashMap<FileId, (Arc<Whole>, Range<u64>)>,
}

impl Spread {
    pub(super) fn of(machines: &[Machine], index: &Index<'_>) -> Self {
        let mut found = Self::default();
        let mut twice = HashSet::new();
        let disks = machines.iter().flat_map(Machine::all_disks);
        for link in disks.flat_map(|disk| &disk.chain) {
            let Some(whole) = whole(link, index) else { continue };
            let whole = Arc::new(whole);
            let mut start = 0_u64;
            for (length, file) in &whole.stretches {
                let at = start..start.saturating_add(*length);
                start = at.end;
                let Some(id) = file else { continue };
                let known = found.files.insert(*id, (Arc::clone(&whole), at.clone()));
                // A disk that two machines share is one disk.
                if known.is_some_and(|(other, was)| other.words != whole.words || was != at) {
                    twice.insert(*id);
                }
            }
        }
        found.files.retain(|id, _| !twice.contains(id));
        found
    }

    /// Which part of which disk the file is, as it now lies there.
    pub(super) fn words(&self, id: FileId) -> Option<String> {
        let (whole, at) = self.files.get(&id)?;
        Some(format!("bytes {} to {} of {}", at.start, at.end, whole.words))
    }

    /// Whether the file is a part of a disk that begins in another.
    pub(super) fn is_later(&self, id: FileId) -> bool {
        self.files.get(&id).is_some_and(|(_, at)| at.start > 0)
    }

    /// The file as a part of its disk, which is looked at the first time it is asked for.
    pub(super) fn part(
        &self,
        id: FileId,
        gathered: &Gathered,
        index: &Index<'_>,
    ) -> Option<DiskPart<'_>> {
        let (whole, at) = self.files.get(&id)?;
        let (disk, places) = whole.looked.get_or_init(|| {
            let disk = whole.join(gathered, index);
            let places = DiskPlaces::look(&disk);
            (disk, places)
        });
        Some(DiskPart { disk, places, at: at.clone() })
    }
}

/// The disk of a link whose plain extents are at least two files, each used once and from its
/// first byte on.
fn whole(link: &ChainLink, index: &Index<'_>) -> Option<Whole> {
    if !link.described || !(2..=MOST_FILES).contains(&link.extents.len()) {
        return None;
    }
    let mut stretches = Vec::new();
    let mut words = String::new();
    let mut seen = HashSet::new();
    for extent in &link.extents {
        let length = extent.length_bytes?;
        if !extent.needs_file() {
            stretches.push((length, None));
            continue;
        }
        if !extent.is_flat() || extent.offset_bytes != Some(0) {
            return None;
        }
        let id = extent.file?;
        let file = index.file(id);
        let is_plain =
            !matches!(file.content, Content::Refused | Content::Empty | Content::Sparse { .. });
        if !is_plain || Some(id) == link.file || !seen.insert(id) {
            return None;
        }
        let (size, inode) = (file.size_bytes, file.inode);
        let (changed, set) = (file.ctime_ns, file.mtime_ns);
        // Writing to a text cannot fail.
        let _ = write!(words, "{} {length} {size} {inode} {changed} {set}; ", file.shown.display());
        stretches.push((length, Some(id)));
    }
    (seen.len() >= 2).then(|| Whole { stretches, words, looked: OnceLock::new() })
}

impl Whole {
    fn join(&self, gathered: &Gathered, index: &Index<'_>) -> Joined {
        let mut disk = Joined::default();
        for (length, id) in &self.stretches {
            let Some(id) = id else {
                disk.push(*length, Part::Zeros);
                continue;
            };
            let file = index.file(*id);
            let there = file.size_bytes.min(*length);
            match open(gathered, file) {
                Ok(source) => disk.push(there, Part::Bytes(Arc::new(source))),
                Err(_) => disk.push(there, Part::Missing),
            }
            if there < *length {
                disk.push(length - there, Part::Missing);
            }
        }
        disk
    }
}
