//! The guest's structures inside a sparse extent, read through its tables.

use std::io;

use vmglean_formats::{
    ByteOffset, Bytes, MediumError, ReadAt,
    vmdk::{OpenedExtent, RunKind, open_extent},
};

use super::{Place, Structures, Wreck, partition, structure};
use crate::source::Source;

/// Runs of one read; the longest read spans a few dozen grains.
const RUNS: usize = 256;

/// An extent's bytes as the guest sees them, where this file alone tells.
struct Mapped<'a> {
    file: &'a dyn Source,
    opened: OpenedExtent,
}

/// What the guest's known places show, by offsets of the virtual disk; `None` where the extent
/// is a delta or cannot be opened. Places that this file cannot tell are passed over.
pub(super) fn look(file: &dyn Source) -> Option<Structures> {
    let opened = open_extent(file).ok()?.value;
    if opened.is_delta == Some(true) {
        return None;
    }
    let is_alone = opened.is_delta == Some(false);
    let guest = Mapped { file, opened };
    let size = guest.len_bytes();
    let mut found = Structures::default();
    let mut place = Place { source: &guest, size, found: &mut found };
    partition::look(&mut place);
    // Only where no parent and no other extent can hold it does a disk begin here for sure.
    if is_alone
        && !place.found.head_is_intact
        && place.found.destroyed.is_empty()
        && place.found.damaged.is_empty()
        && let Some(head) = place.read(0, 4096)
    {
        let wreck = Wreck::of(&head);
        let one = structure(0, 4096, format!("{} at the start of the disk", wreck.words()));
        match wreck {
            Wreck::Random => place.found.suspicious.push(one),
            Wreck::Zeros | Wreck::Filled => place.found.doubtful.push(one),
            Wreck::Other => {}
        }
    }
    Some(found)
}

impl ReadAt for Mapped<'_> {
    fn len_bytes(&self) -> u64 {
        self.opened.map.capacity().0
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let length = Bytes(buf.len() as u64);
        let fail = |why: String| MediumError::Io { at, len: length, source: io::Error::other(why) };
        let end = at.0.saturating_add(length.0);
        if end > self.len_bytes() {
            return Err(MediumError::End {
                end: ByteOffset(self.len_bytes()),
                wanted: ByteOffset(end),
            });
        }
        let runs = self.opened.map.runs(self.file, at, length, RUNS);
        let runs = runs.map_err(|error| fail(error.to_string()))?.value;
        let mut done = 0usize;
        for run in runs {
            let place = at.0.saturating_add(done as u64);
            let into = place.checked_sub(run.offset.0);
            let left = into.and_then(|into| run.length.0.checked_sub(into));
            let (Some(into), Some(left)) = (into, left.filter(|left| *left > 0)) else { break };
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len() - done);
            let Some(part) = buf.get_mut(done..done + take) else { break };
            match run.kind {
                RunKind::Stored { at } => {
                    let from = ByteOffset(at.0.saturating_add(into));
                    self.file.read_exact_at(part, from)?;
                }
                RunKind::Zero => part.fill(0),
                RunKind::Absent if self.opened.is_delta == Some(false) => part.fill(0),
                RunKind::Absent | RunKind::Lost | RunKind::Compressed { .. } => {
                    return Err(fail("not told by this file alone".to_owned()));
                }
            }
            done += take;
            if done == buf.len() {
                return Ok(());
            }
        }
        if done == buf.len() { Ok(()) } else { Err(fail("no run covers it".to_owned())) }
    }
}

impl Source for Mapped<'_> {}
