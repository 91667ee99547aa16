//! Files that could be a missing extent under another name.

use std::collections::{HashMap, HashSet};

use super::{
    chain::finding,
    disk::MachineDisk,
    file::{CatalogFile, Content, FileId},
    index::Index,
    link::LinkExtent,
    machine::{Lookalike, Machine},
};
use crate::{
    families::NameKind,
    finding::{Finding, Weight},
    source::{RelPath, base_name},
};

/// A file under another name that could be an extent that is missing.
pub const LOOKALIKE: &str = "chain.extent-lookalike";

/// No footer that an attack appends is longer.
const LONGEST_FOOTER: u64 = 8192;
/// Missing extents of one disk that are looked for.
const MAX_MISSING: usize = 256;
/// Files offered for one disk.
const MAX_OFFERS: usize = 64;
/// Pairs of an extent and a file compared in a whole sweep; a pair takes some tens of
/// nanoseconds.
const MAX_COMPARED: usize = 16 << 20;

/// Why `file` could be `extent`, which is missing; `None` where nothing speaks for it. Its length
/// must be the extent's, a footer aside, and either its name or its first bytes must speak for it.
fn could_be(file: &CatalogFile, extent: &LinkExtent) -> Option<String> {
    let wanted = base_name(extent.name.as_bytes());
    let length = extent.length_bytes.filter(|length| *length > 0)?;
    let name = file.stem();
    // Something was put in front of its name.
    let end = name.len().checked_sub(wanted.len()).filter(|front| *front > 0);
    let end = end.and_then(|front| name.get(front..));
    let is_prefixed = !wanted.is_empty() && end.is_some_and(|end| end.eq_ignore_ascii_case(wanted));
    let over = |need: u64| file.size_bytes.checked_sub(need).filter(|o| *o <= LONGEST_FOOTER);
    let long = |over: u64| match over {
        0 => "it has exactly its length".to_owned(),
        over => format!("it has its length and {over} bytes more, as a footer has"),
    };
    let offset = extent.offset_bytes.unwrap_or(0);
    let plain = || over(offset.checked_add(length)?).filter(|_| extent.is_flat()).map(long);
    match &file.content {
        Content::Sparse { capacity_bytes, .. } if !extent.is_flat() => {
            let fits = *capacity_bytes == Some(length);
            let unnamed = file.name.kind == NameKind::Other;
            (fits && (unnamed || is_prefixed))
                .then(|| "its header tells exactly its size".to_owned())
        }
        Content::Flat if is_prefixed => Some(format!("its name ends so, and {}", plain()?)),
        Content::Other if file.begins_partitioned => {
            Some(format!("{} and begins with a partition table", plain()?))
        }
        Content::Unfit { .. } if is_prefixed => Some("its name ends so".to_owned()),
        _ => None,
    }
}

/// Files of each folder that no machine claims and that could be an extent at all.
struct Loose<'i, 'a> {
    index: &'i Index<'a>,
    claimed: &'i HashSet<FileId>,
    folders: HashMap<(usize, RelPath), Vec<FileId>>,
    /// Pairs of an extent and a file that may still be compared in this sweep.
    left: usize,
}

impl Loose<'_, '_> {
    /// Those beside the file `described`, each folder being listed once.
    fn beside(&mut self, described: &CatalogFile) -> &[FileId] {
        let (index, claimed) = (self.index, self.claimed);
        let place = (described.root, described.folder());
        self.folders.entry(place).or_insert_with_key(|(root, folder)| {
            let may_be = |id: &FileId| {
                let content = &index.file(*id).content;
                matches!(
                    content,
                    Content::Sparse { .. } | Content::Flat | Content::Other | Content::Unfit { .. }
                )
            };
            let files = index.in_folder(*root, folder).iter().copied();
            files.filter(|id| !claimed.contains(id)).filter(may_be).collect()
        })
    }

    /// What could be an extent that `disk` misses, and whether all of it was looked at.
    fn of(&mut self, disk: &MachineDisk) -> (Vec<Lookalike>, bool) {
        let index = self.index;
        // A copy taken in its place does not make an extent less missing.
        let is_lost = |extent: &&LinkExtent| {
            extent.needs_file()
                && !extent.is_device()
                && extent.file.is_none_or(|id| index.file(id).name.is_copy())
        };
        let missing = disk.chain.iter().filter(|link| link.described).flat_map(|link| {
            let lost = link.extents.iter().filter(is_lost);
            link.file.into_iter().flat_map(move |id| lost.clone().map(move |e| (id, e)))
        });
        let mut found = Vec::new();
        for (number, (described, extent)) in missing.enumerate() {
            let left = self.left;
            let beside = self.beside(index.file(described));
            if number >= MAX_MISSING || beside.len() > left {
                return (found, beside.is_empty());
            }
            let compared = beside.len();
            let like = beside.iter().filter_map(|id| {
                let why = could_be(index.file(*id), extent)?;
                Some(Lookalike { file: *id, disk: None, wanted: extent.name.clone(), why })
            });
            let room = MAX_OFFERS.saturating_sub(found.len());
            found.extend(like.take(room + 1));
            self.left = left.saturating_sub(compared);
            if found.len() > MAX_OFFERS {
                found.truncate(MAX_OFFERS);
                return (found, false);
            }
        }
        (found, true)
    }
}

/// Tells each machine which files of no machine could be extents it misses, and why.
pub(super) fn find_lookalikes(
    index: &Index<'_>,
    claimed: &HashSet<FileId>,
    machines: &mut [Machine],
) {
    let mut loose = Loose { index, claimed, folders: HashMap::new(), left: MAX_COMPARED };
    for machine in machines {
        let own = machine.disks.iter_mut().enumerate().map(|(at, disk)| (Some(at), disk));
        for (at, disk) in own.chain(machine.branches.iter_mut().map(|disk| (None, disk))) {
            let (found, whole) = loose.of(disk);
            for like in &found {
                let file = index.file(like.file);
                let (name, wanted) = (file.path.file_name().to_string_lossy(), &like.wanted);
                let what = format!("{name:?} could be the missing extent {wanted:?}: {}", like.why);
                let next = format!("name it {wanted:?} in a copy, and sweep that");
                disk.findings.push(finding(file, LOOKALIKE, what, Some(&next)));
            }
            if !whole && let Some(described) = disk.chain.iter().find_map(|link| link.file) {
                let what = format!(
                    "not every file beside it was compared with the extents it misses: {} are offered",
                    found.len()
                );
                let cut = finding(index.file(described), "chain.extent-lookalikes-cut", what, None);
                disk.findings.push(Finding { weight: Weight::Note, ..cut });
            }
            machine.lookalikes.extend(found.into_iter().map(|like| Lookalike { disk: at, ..like }));
        }
    }
}
