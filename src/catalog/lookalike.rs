//! Files that could be a missing extent under another name.

use super::{
    chain::LinkExtent,
    file::{CatalogFile, Content, FileId},
    index::Index,
};
use crate::{
    families::NameKind,
    source::{RelPath, base_name},
};

/// No footer that an attack appends is longer.
const LONGEST_FOOTER: u64 = 8192;
/// Missing extents of one disk that are looked for.
pub(super) const MAX_MISSING: usize = 256;

/// Why `file` could be `extent`, which is missing; `None` where nothing speaks for it. Its length
/// must be the extent's, a footer aside, and either its name or its first bytes must speak for it.
pub(super) fn could_be(file: &CatalogFile, extent: &LinkExtent) -> Option<String> {
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

/// Files of `folder` that could be `extent`, and why, none that `is_taken`.
pub(super) fn lookalikes(
    index: &Index<'_>,
    (root, folder): (usize, &RelPath),
    extent: &LinkExtent,
    is_taken: impl Fn(FileId) -> bool,
) -> Vec<(FileId, String)> {
    let files = index.in_folder(root, folder).iter().copied();
    let open = files.filter(|id| !is_taken(*id));
    open.filter_map(|id| Some((id, could_be(index.file(id), extent)?))).collect()
}
