//! Files that could be a missing extent under another name.

use std::collections::HashSet;

use super::{
    chain::finding,
    file::{CatalogFile, Content, FileId},
    index::Index,
    link::LinkExtent,
    machine::Machine,
};
use crate::{families::NameKind, source::base_name};

/// A file under another name that could be an extent that is missing.
pub const LOOKALIKE: &str = "chain.extent-lookalike";

/// No footer that an attack appends is longer.
const LONGEST_FOOTER: u64 = 8192;
/// Missing extents of one disk that are looked for.
const MAX_MISSING: usize = 256;

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

/// Tells each machine which files of no machine could be extents it misses, and why.
pub(super) fn find_lookalikes(
    index: &Index<'_>,
    claimed: &HashSet<FileId>,
    machines: &mut [Machine],
) {
    // A copy taken in its place does not make an extent less missing.
    let is_lost = |extent: &&LinkExtent| {
        extent.needs_file() && extent.file.is_none_or(|id| index.file(id).name.is_copy())
    };
    for machine in machines {
        for disk in machine.disks.iter_mut().chain(&mut machine.branches) {
            let missing = disk.chain.iter().filter(|link| link.described).flat_map(|link| {
                let lost = link.extents.iter().filter(is_lost);
                link.file.into_iter().flat_map(move |id| lost.clone().map(move |e| (id, e)))
            });
            for (described, extent) in missing.take(MAX_MISSING) {
                let described = index.file(described);
                let beside = index.in_folder(described.root, &described.folder()).iter();
                for id in beside.copied().filter(|id| !claimed.contains(id)) {
                    let file = index.file(id);
                    let Some(why) = could_be(file, extent) else { continue };
                    let (name, wanted) = (file.path.file_name().to_string_lossy(), &extent.name);
                    let what = format!("{name:?} could be the missing extent {wanted:?}: {why}");
                    let next = format!("name it {wanted:?} in a copy, and sweep that");
                    disk.findings.push(finding(file, LOOKALIKE, what, Some(&next)));
                    machine.lookalikes.push((id, format!("it misses extent {wanted:?}: {why}")));
                }
            }
        }
    }
}
