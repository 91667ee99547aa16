//! The tables of a sparse extent walked to their end: is every grain where they say?

use serde::{Deserialize, Serialize};
use vmglean_formats::{
    ByteOffset, Bytes, Checked,
    vmdk::{ExtentFormat, RunKind, open_extent},
};

use crate::source::Source;

/// Runs asked for at a time.
const WINDOW_RUNS: usize = 4096;
/// Runs walked before the rest is left to the full map.
const MAX_RUNS: u64 = 40_000_000;
/// Streams whose markers are all counted; a longer one has its tables alone walked.
const MAX_MARKED_BYTES: u64 = 1 << 30;
/// Defects quoted.
const DEFECTS_SHOWN: usize = 3;

/// What the tables of an extent say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tables {
    /// Bytes whose grains are there.
    pub(super) stored_bytes: u64,
    /// Bytes whose entries are lost or lie.
    pub(super) lost_bytes: u64,
    /// Virtual position of the first of those.
    pub(super) first_lost_bytes: Option<u64>,
    /// Defects, a few of them in words.
    pub(super) defects: Vec<String>,
    /// How many there were.
    pub(super) defect_count: u64,
    /// Whether the walk came to the end.
    pub(super) complete: bool,
}

/// Walks the tables of `source`; `None` where it opens as no sparse extent.
pub(super) fn walk_tables(source: &dyn Source, is_over: &dyn Fn() -> bool) -> Option<Tables> {
    let Checked { value: extent, .. } = open_extent(&source).ok()?;
    let capacity = extent.map.capacity().0;
    let mut tables = Tables::default();
    let mut at = 0_u64;
    let mut runs_seen = 0_u64;
    while at < capacity {
        if runs_seen >= MAX_RUNS || is_over() {
            return Some(tables);
        }
        let window = extent.map.runs(&source, ByteOffset(at), Bytes(capacity - at), WINDOW_RUNS);
        let Ok(Checked { value: runs, defects }) = window else {
            tables.lost_bytes = tables.lost_bytes.saturating_add(capacity - at);
            tables.first_lost_bytes.get_or_insert(at);
            break;
        };
        tables.defect_count += defects.len() as u64;
        for defect in defects.iter().take(DEFECTS_SHOWN.saturating_sub(tables.defects.len())) {
            tables.defects.push(defect.to_string());
        }
        let mut end = at;
        for run in &runs {
            runs_seen += 1;
            end = run.offset.0.saturating_add(run.length.0);
            match run.kind {
                RunKind::Stored { .. } | RunKind::Compressed { .. } => {
                    tables.stored_bytes = tables.stored_bytes.saturating_add(run.length.0);
                }
                RunKind::Lost => {
                    tables.lost_bytes = tables.lost_bytes.saturating_add(run.length.0);
                    tables.first_lost_bytes.get_or_insert(run.offset.0);
                }
                RunKind::Zero | RunKind::Absent => {}
            }
        }
        if end <= at {
            break;
        }
        at = end;
    }
    tables.complete = true;
    let quick =
        extent.format != ExtentFormat::StreamOptimized || source.len_bytes() <= MAX_MARKED_BYTES;
    if tables.lost_bytes == 0
        && quick
        && let Some(unnamed) = extent.unnamed_grains(&source, tables.stored_bytes)
    {
        tables.lost_bytes = unnamed.bytes;
        tables.defect_count += 1;
        tables.defects.push(unnamed.defect.to_string());
    }
    Some(tables)
}

#[cfg(test)]
mod tests {
    use vmglean_forge::vmdk::seeds;

    use super::*;

    fn walked(name: &str, hurt: impl Fn(&mut Vec<u8>)) -> Tables {
        let seed = seeds::extents().into_iter().find(|seed| seed.name == name).unwrap();
        let mut file = seed.forged.image.to_bytes();
        hurt(&mut file);
        walk_tables(&file, &|| false).unwrap()
    }

    #[test]
    fn a_directory_of_zeros_is_no_empty_disk() {
        for name in ["cowd", "kdmv-v1-one-copy"] {
            let whole = walked(name, |_| {});
            assert_eq!((whole.lost_bytes, whole.defect_count), (0, 0), "{name}");
            // Behind the header: the directory and, for KDMV, the first tables.
            let hurt = walked(name, |file| {
                file[512.max(2048 * usize::from(name == "cowd"))..][..512].fill(0);
            });
            assert!(hurt.lost_bytes > 0, "{name}");
            assert!(hurt.defects[0].contains("are named by no entry"), "{name}: {hurt:?}");
        }
    }
}
