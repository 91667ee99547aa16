//! The start of a volume that none known begins at: empty, foreign, or lost?

use std::ops::Range;

use super::{Place, Wreck, ext, ntfs, structure};

/// Blocks at equal distances that are read where a partition begins with zeros.
const PROBES: u64 = 16;
const PROBE_BYTES: usize = 4096;

/// Judges a place that no known volume begins at; `head` are its first bytes.
pub(super) fn judge(place: &mut Place<'_>, at: &Range<u64>, head: &[u8], is_promised: bool) {
    let length = head.len() as u64;
    let witness = if ntfs::look_by_copy(place, at) {
        Some(("NTFS boot sector", "its copy holds"))
    } else {
        ext::witness(place, at).map(|why| ("ext superblock", why))
    };
    if let Some((name, why)) = witness {
        place.wreck(at.start, head, &format!("the {name} must be, while {why}"));
        return;
    }
    match Wreck::of(head) {
        Wreck::Random if at.start > 0 => {
            let detail = "random-like bytes at the start of a partition";
            place.found.suspicious.push(structure(at.start, length, detail));
        }
        _ if !is_promised => {}
        Wreck::Zeros => {
            if is_empty(place, at) {
                place.found.blank.push(at.clone());
            } else {
                let detail = "zeros at the start of a partition that holds data";
                place.found.doubtful.push(structure(at.start, length, detail));
            }
        }
        wreck => {
            let detail = format!("{} at the start of a partition: no volume known", wreck.words());
            place.found.doubtful.push(structure(at.start, length, detail));
        }
    }
}

/// Whether blocks all over the partition hold zeros alone.
fn is_empty(place: &mut Place<'_>, at: &Range<u64>) -> bool {
    let width = at.end.saturating_sub(at.start);
    (0..PROBES).all(|nth| {
        let by = u64::try_from(u128::from(width) * u128::from(nth) / u128::from(PROBES));
        let from = at.start.saturating_add(by.unwrap_or(0));
        let block = place.read(from, PROBE_BYTES);
        block.is_none_or(|block| block.iter().all(|byte| *byte == 0))
    })
}
