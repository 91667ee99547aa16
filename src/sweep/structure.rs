//! The tables of a sparse extent walked to their end: is every grain where they say?

use serde::{Deserialize, Serialize};
use vmglean_formats::{
    ByteOffset, Bytes, Checked,
    vmdk::{ExtentFormat, Run, RunKind, inflate_grain, open_extent},
};

use crate::source::Source;

/// Runs asked for at a time.
const WINDOW_RUNS: usize = 4096;
/// Runs walked before the rest is left to the full map.
const MAX_RUNS: u64 = 40_000_000;
/// Streams whose markers are all counted; a longer one has its tables alone walked.
const MAX_MARKED_BYTES: u64 = 1 << 30;
/// Bytes before the zlib data of a grain.
const MARKER_BYTES: u64 = 12;
/// Most that both copies of a table of 512 grains and their markers take.
const TABLE_BYTES: u64 = 8192;
/// Most that headers and descriptor of a stream take.
const HEAD_BYTES: u64 = 1 << 20;
/// From so many grains on it is strange that all hold zeros.
const MIN_ZERO_GRAINS: u64 = 16;
/// Grains looked at, more where there are more runs.
const MOST_LOOKED_AT: u64 = 1024;
/// Grains kept to choose from.
const MOST_KEPT: usize = 4096;
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

/// Walks the tables of `source` and inflates `checked` of its compressed grains, evenly chosen;
/// `None` where it opens as no sparse extent.
pub(super) fn walk_tables(
    source: &dyn Source,
    checked: Inflate,
    is_over: &dyn Fn() -> bool,
) -> Option<Tables> {
    let Checked { value: extent, .. } = open_extent(&source).ok()?;
    let capacity = extent.map.capacity().0;
    let mut tables = Tables::default();
    let mut at = 0_u64;
    let mut runs_seen = 0_u64;
    let mut grains = Grains::new(checked);
    let mut plain = Sampled::default();
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
                RunKind::Stored { .. } => {
                    tables.stored_bytes = tables.stored_bytes.saturating_add(run.length.0);
                    plain.add(*run);
                }
                RunKind::Compressed { stored, .. } => {
                    tables.stored_bytes = tables.stored_bytes.saturating_add(run.length.0);
                    let sectors = stored.0.saturating_add(MARKER_BYTES).div_ceil(512);
                    grains.packed_bytes = grains.packed_bytes.saturating_add(sectors * 512);
                    if grains.meet(source, run, &mut tables) && is_over() {
                        return Some(tables);
                    }
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
    let is_stream = extent.format == ExtentFormat::StreamOptimized;
    for run in grains.chosen() {
        if is_over() {
            return Some(tables);
        }
        grains.prove(source, &run, &mut tables);
    }
    let named = tables.stored_bytes / extent.grain_bytes.max(1);
    if !is_stream && named >= MIN_ZERO_GRAINS && all_zero(source, &plain, extent.grain_bytes) {
        tables.lost_bytes = tables.lost_bytes.saturating_add(tables.stored_bytes);
        tables.defect_count += 1;
        let what = format!("all of the {named} grains that its tables name are zeros");
        tables.defects.push(what);
    }
    tables.complete = true;
    let quick = !is_stream || source.len_bytes() <= MAX_MARKED_BYTES;
    if !quick && tables.lost_bytes == 0 {
        let named = grains.packed_bytes;
        let spare = source.len_bytes().saturating_sub(named);
        let rooms = (capacity / extent.grain_bytes.max(1) / 512 + 2).saturating_mul(TABLE_BYTES);
        if spare > rooms.saturating_add(HEAD_BYTES) {
            tables.lost_bytes = spare;
            tables.defect_count += 1;
            tables.defects.push(format!("its tables name {named} bytes of grains, it is longer"));
        }
    }
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

/// How many compressed grains are inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inflate {
    /// Each.
    All,
    /// So many.
    Some(u32),
}

/// Runs, evenly chosen from however many.
#[derive(Default)]
struct Sampled {
    /// Every `2^halved`th so far.
    kept: Vec<Run>,
    halved: u32,
    met: u64,
}

impl Sampled {
    fn add(&mut self, run: Run) {
        if self.met.is_multiple_of(1 << self.halved.min(63)) {
            if self.kept.len() >= MOST_KEPT {
                self.kept = self.kept.iter().step_by(2).copied().collect();
                self.halved += 1;
            }
            self.kept.push(run);
        }
        self.met = self.met.saturating_add(1);
    }
}

/// Whether all grains looked at hold zeros. As a rule the first one does not, and one is read.
fn all_zero(source: &dyn Source, runs: &Sampled, grain_bytes: u64) -> bool {
    let grain = grain_bytes.clamp(512, 64 << 10);
    let each = (MOST_LOOKED_AT / runs.kept.len().max(1) as u64).max(1);
    let mut bytes = vec![0; usize::try_from(grain).unwrap_or(512)];
    for run in &runs.kept {
        let RunKind::Stored { at } = run.kind else { continue };
        let step = (run.length.0 / each).max(grain);
        let mut inside = 0;
        while inside < run.length.0 {
            let here = usize::try_from((run.length.0 - inside).min(grain)).unwrap_or(0);
            let Some(piece) = bytes.get_mut(..here) else { return false };
            let place = ByteOffset(at.0.saturating_add(inside));
            if source.read_exact_at(piece, place).is_err() || piece.iter().any(|byte| *byte != 0) {
                return false;
            }
            inside = inside.saturating_add(step);
        }
    }
    true
}

/// The compressed grains of an extent, on the way through its tables.
struct Grains {
    checked: Inflate,
    /// Some of them, where not all are inflated.
    kept: Sampled,
    /// Bytes that those met take in the file.
    packed_bytes: u64,
    zlib: Vec<u8>,
    grain: Vec<u8>,
}

impl Grains {
    fn new(checked: Inflate) -> Self {
        let (zlib, grain) = (Vec::new(), Vec::new());
        Self { checked, kept: Sampled::default(), packed_bytes: 0, zlib, grain }
    }

    /// Inflates a grain or keeps it for later; whether it was inflated.
    fn meet(&mut self, source: &dyn Source, run: &Run, tables: &mut Tables) -> bool {
        if self.checked == Inflate::All {
            self.prove(source, run, tables);
            return true;
        }
        self.kept.add(*run);
        false
    }

    fn chosen(&mut self) -> Vec<Run> {
        let kept = std::mem::take(&mut self.kept).kept;
        match self.checked {
            Inflate::Some(count) if count > 0 => {
                let step = kept.len().div_ceil(count as usize).max(1);
                kept.into_iter().step_by(step).collect()
            }
            Inflate::Some(_) | Inflate::All => Vec::new(),
        }
    }

    /// Inflates a grain, whose own checksum tells whether it is what was written.
    fn prove(&mut self, source: &dyn Source, run: &Run, tables: &mut Tables) {
        let RunKind::Compressed { at, stored } = run.kind else { return };
        let length = |bytes: u64| usize::try_from(bytes.min(MAX_GRAIN_BYTES)).unwrap_or(0);
        self.zlib.resize(length(stored.0), 0);
        self.grain.resize(length(run.length.0).max(64 << 10), 0);
        let read = source.read_exact_at(&mut self.zlib, at).map_err(|error| error.to_string());
        let why = match read.map(|()| inflate_grain(&self.zlib, &mut self.grain)) {
            Ok(Ok(inflated)) if inflated.produced as u64 >= run.length.0 => return,
            Ok(Ok(inflated)) => format!("gives {} bytes", inflated.produced),
            Ok(Err(defect)) => defect.to_string(),
            Err(why) => why,
        };
        tables.lost_bytes = tables.lost_bytes.saturating_add(run.length.0);
        tables.first_lost_bytes.get_or_insert(run.offset.0);
        tables.defect_count += 1;
        if tables.defects.len() < DEFECTS_SHOWN {
            tables.defects.push(format!("the compressed grain at byte {at}: {why}"));
        }
    }
}

/// Longest grain inflated; no writer comes near.
const MAX_GRAIN_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use vmglean_forge::vmdk::seeds;

    use super::*;

    fn walked(name: &str, hurt: impl Fn(&mut Vec<u8>)) -> Tables {
        let seed = seeds::extents().into_iter().find(|seed| seed.name == name).unwrap();
        let mut file = seed.forged.image.to_bytes();
        hurt(&mut file);
        walk_tables(&file, Inflate::All, &|| false).unwrap()
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

    #[test]
    fn noise_inside_a_grain_of_a_stream_is_found_whether_all_are_inflated_or_some() {
        let seed = seeds::extents().into_iter().find(|seed| seed.name == "stream-front").unwrap();
        let mut file = seed.forged.image.to_bytes();
        for checked in [Inflate::All, Inflate::Some(100)] {
            let whole = walk_tables(&file, checked, &|| false).unwrap();
            assert_eq!((whole.lost_bytes, whole.defect_count), (0, 0), "{whole:?}");
        }
        let extent = open_extent(&file).unwrap().value;
        let all = Bytes(extent.map.capacity().0);
        let runs = extent.map.runs(&file, ByteOffset(0), all, 100).unwrap().value;
        let (run, at, stored) = runs
            .iter()
            .find_map(|run| match run.kind {
                RunKind::Compressed { at, stored } => Some((*run, at.0 as usize, stored.0)),
                _ => None,
            })
            .unwrap();
        for byte in &mut file[at + 8..at + (stored as usize).min(108)] {
            *byte = byte.wrapping_mul(181).wrapping_add(77);
        }
        for checked in [Inflate::All, Inflate::Some(100)] {
            let hurt = walk_tables(&file, checked, &|| false).unwrap();
            assert_eq!(hurt.lost_bytes, run.length.0, "{hurt:?}");
            assert!(hurt.defects[0].contains("compressed grain"), "{hurt:?}");
        }
        let unasked = walk_tables(&file, Inflate::Some(0), &|| false).unwrap();
        assert_eq!(unasked.defect_count, 0);
    }
}
