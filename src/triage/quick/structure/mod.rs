//! Structure at known places: what a disk must show where, and whether it does.

mod btrfs;
mod ext;
mod extent;
mod fat;
mod files;
mod lvm;
mod mapped;
mod ntfs;
mod part;
mod partition;
mod start;
#[cfg(test)]
mod tests;
mod usage;
mod volume;
mod xfs;

use std::ops::Range;

use vmglean_formats::ByteOffset;

pub use part::{DiskPart, DiskPlaces};

use super::verdict::ExtentKind;
use crate::{
    finding::{Evidence, EvidenceKind, in_one_line},
    source::Source,
    triage::measure::BlockStats,
};

/// Bytes of a first look at any place.
const LOOK_BYTES: usize = 4096;

/// What the known places show.
#[derive(Clone, Debug, Default)]
pub(super) struct Structures {
    /// Structures that hold together.
    pub(super) intact: Vec<Evidence>,
    /// Random-like bytes where a structure must be, its copy elsewhere proving that it was there.
    pub(super) destroyed: Vec<Evidence>,
    /// Random-like bytes where a structure would be expected.
    pub(super) suspicious: Vec<Evidence>,
    /// Structures that are lost in another way: zeros, other bytes, torn.
    pub(super) damaged: Vec<Evidence>,
    /// Places that a partition table promises a volume at, and that show none we know: whole or
    /// lost, nobody can say.
    pub(super) doubtful: Vec<Evidence>,
    /// Partitions that begin with zeros: empty, or wiped.
    pub(super) blank: Vec<Range<u64>>,
    /// Volumes that are encrypted by their owner: where, and by what.
    pub(super) owner_encrypted: Vec<(Range<u64>, &'static str)>,
    /// Whether the first 4 KiB look random.
    pub(super) head_is_random: bool,
    /// Whether the very first bytes are a structure that holds.
    pub(super) head_is_intact: bool,
    /// Where a partition table, or the disk itself without one, promises volumes.
    volumes: Vec<Range<u64>>,
    /// Whether it holds zeros alone, and the file systems of its disk store nothing there.
    pub(super) is_unused: bool,
    /// Places that could not be read.
    pub(super) unreadable: Vec<(u64, u64, String)>,
    /// Bytes read.
    pub(super) read_bytes: u64,
}

impl Structures {
    fn intact(&mut self, at: u64, length: u64, detail: impl Into<String>) {
        self.intact.push(structure(at, length, detail));
    }
}

fn structure(at: u64, length: u64, detail: impl Into<String>) -> Evidence {
    Evidence {
        kind: EvidenceKind::Structure,
        offset_bytes: at,
        length_bytes: length,
        detail: detail.into(),
    }
}

/// Looks at the known places of a disk of `size` bytes.
pub(super) fn look(source: &dyn Source, size: u64, kind: ExtentKind) -> Structures {
    let mut found = Structures::default();
    let mut place = Place { source, size, found: &mut found };
    match kind {
        ExtentKind::Flat => partition::look(&mut place),
        ExtentKind::Sparse | ExtentKind::Cowd | ExtentKind::SeSparse | ExtentKind::Stream => {
            extent::look(&mut place, kind);
        }
        ExtentKind::Memory | ExtentKind::Other => {
            if let Some(head) = place.read(0, LOOK_BYTES) {
                place.found.head_is_random = is_random(&head);
            }
        }
    }
    found
}

/// A source, the part of it that was the disk, and what was found so far.
struct Place<'a> {
    source: &'a dyn Source,
    size: u64,
    found: &'a mut Structures,
}

impl Place<'_> {
    /// `length` bytes at `at`, fewer at the end; a failure is kept and answered with `None`.
    fn read(&mut self, at: u64, length: usize) -> Option<Vec<u8>> {
        let take = usize::try_from(self.size.saturating_sub(at)).map_or(length, |n| n.min(length));
        if take == 0 {
            return None;
        }
        match self.source.read_up_to(ByteOffset(at), take) {
            Ok(bytes) if !bytes.is_empty() => {
                self.found.read_bytes += bytes.len() as u64;
                Some(bytes)
            }
            Ok(_) => None,
            Err(error) => {
                self.found.unreadable.push((at, take as u64, in_one_line(&error)));
                None
            }
        }
    }
}

/// What stands where a structure must be and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wreck {
    Random,
    Zeros,
    /// One byte value throughout, not zero.
    Filled,
    Other,
}

impl Wreck {
    fn of(bytes: &[u8]) -> Self {
        let Some(first) = bytes.first() else { return Self::Other };
        if bytes.iter().all(|byte| byte == first) {
            return if *first == 0 { Self::Zeros } else { Self::Filled };
        }
        let is_random = is_random(bytes) || bytes.chunks_exact(512).any(looks_random);
        if is_random { Self::Random } else { Self::Other }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Random => "random-like bytes",
            Self::Zeros => "zeros",
            Self::Filled => "one byte value throughout",
            Self::Other => "other bytes",
        }
    }
}

impl Place<'_> {
    /// Notes that `bytes` at `at` are not the structure that is stated to be there: destroyed if
    /// they look random, damaged otherwise. `what` goes on after "where".
    fn wreck(&mut self, at: u64, bytes: &[u8], what: &str) {
        let wreck = Wreck::of(bytes);
        let one = structure(at, bytes.len() as u64, format!("{} where {what}", wreck.words()));
        if wreck == Wreck::Random {
            self.found.destroyed.push(one);
        } else {
            self.found.damaged.push(one);
        }
    }
}

/// Half a kilobyte and more is too short for the bounds of whole blocks; distinct values tell.
fn looks_random(bytes: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in bytes {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    // 512 random bytes show 221 ± 5 distinct values, 1,024 show 251.
    bytes.len() >= 512 && seen.iter().filter(|seen| **seen).count() >= 200
}

/// Whether the first 4 KiB of `bytes` look random; fewer than 2 KiB say nothing.
fn is_random(bytes: &[u8]) -> bool {
    let block = bytes.get(..LOOK_BYTES).unwrap_or(bytes);
    block.len() >= LOOK_BYTES / 2 && BlockStats::of(block).chi_square().is_random_like()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// Volumes of a disk of `size` bytes that their owner encrypted, in order: where, and by what.
pub(in crate::triage) fn owner_encrypted(
    source: &dyn Source,
    size: u64,
) -> Vec<(Range<u64>, &'static str)> {
    let mut found = look(source, size, ExtentKind::Flat).owner_encrypted;
    found.sort_by_key(|(range, _)| (range.start, range.end));
    let mut end = 0;
    found.retain_mut(|(range, _)| {
        range.start = range.start.max(end);
        end = end.max(range.end);
        range.start < range.end
    });
    found
}
