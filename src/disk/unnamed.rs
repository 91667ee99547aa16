//! Grains that lie in a link's files and that none of its tables names any more.

use vmglean_formats::{
    ByteOffset, Bytes,
    vmdk::{ExtentMap, RunKind},
};

use super::{ExtentBody, VirtualDisk};

/// Runs asked for at a time.
const WINDOW_RUNS: usize = 16 << 10;

impl VirtualDisk {
    /// Grains of link `link` that lie in its files and that no table names: then a table was
    /// zeroed, and what looks as if it was never written may have been. Entries that are lost, which
    /// is told range by range, count as names. `None` where all are named.
    #[must_use]
    pub fn unnamed_grains(&self, link: usize) -> Option<String> {
        let link = self.links().get(link)?;
        for extent in &link.extents {
            let ExtentBody::Mapped { file, map, grain_bytes } = &extent.body else { continue };
            let Some(file) = self.file(*file) else { continue };
            let Some(named) = named_bytes(&**map, &*file.source) else { continue };
            let named = named.div_ceil((*grain_bytes).max(1));
            let held = map.held_grains(&*file.source).unwrap_or(0);
            if held > named {
                return Some(format!(
                    "{} holds {held} grains, its tables name {named}: what seems never written may \
                     have been",
                    file.name
                ));
            }
        }
        None
    }
}

impl VirtualDisk {
    /// What is wrong with the tables of link `link` although every entry was had, from their other
    /// copy or from the layout: how much, and the first of it. `None` where nothing is, or where
    /// entries are lost, which is told range by range.
    #[must_use]
    pub fn mended_tables(&self, link: usize) -> Option<String> {
        for extent in &self.links().get(link)?.extents {
            let ExtentBody::Mapped { file, map, .. } = &extent.body else { continue };
            let Some(file) = self.file(*file) else { continue };
            let capacity = map.capacity().0;
            let (mut at, mut count, mut first, mut lost) = (0_u64, 0, None, false);
            while at < capacity && !lost {
                let rest = Bytes(capacity - at);
                let Ok(window) = map.runs(&*file.source, ByteOffset(at), rest, WINDOW_RUNS) else {
                    break;
                };
                lost = window.value.iter().any(|run| run.kind == RunKind::Lost);
                count += window.defects.len();
                first = first.or_else(|| window.defects.first().map(ToString::to_string));
                let end = window.value.last().map_or(at, |run| run.offset.0 + run.length.0);
                if end <= at {
                    break;
                }
                at = end;
            }
            if let (Some(first), false) = (first, lost) {
                return Some(format!(
                    "{}: {count} places of its tables are broken; their other copy or the layout \
                     was used. The first: {first}",
                    file.name
                ));
            }
        }
        None
    }
}

/// Bytes that the tables name, or named before they were lost; `None` where they cannot be asked.
fn named_bytes(map: &dyn ExtentMap, source: &dyn crate::source::Source) -> Option<u64> {
    let capacity = map.capacity().0;
    let (mut at, mut named) = (0_u64, 0_u64);
    while at < capacity {
        let window = map.runs(&source, ByteOffset(at), Bytes(capacity - at), WINDOW_RUNS).ok()?;
        let mut end = at;
        for run in &window.value {
            end = run.offset.0.saturating_add(run.length.0);
            match run.kind {
                RunKind::Stored { .. } | RunKind::Compressed { .. } | RunKind::Lost => {
                    named = named.saturating_add(run.length.0);
                }
                RunKind::Zero | RunKind::Absent => {}
            }
        }
        if end <= at {
            return None;
        }
        at = end;
    }
    Some(named)
}
