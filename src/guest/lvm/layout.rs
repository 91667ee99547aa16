//! Where the bytes of a logical volume lie, and the volume as a disk of its own.

use std::{io, ops::Range};

use vmglean_formats::{
    ByteOffset, MediumError, ReadAt,
    lvm::{LogicalVolume, SegmentKind, VolumeGroup},
};

use crate::{
    guest::{Ground, GuestFile, Place},
    source::Source,
    triage::judge::{Run, State},
};

/// Runs of one volume's map, and stripes looked at for it: what lies behind so many is not looked at.
const MOST_RUNS: usize = 1 << 22;
const MOST_STRIPES: u64 = 1 << 25;
/// Bytes of the disks given for each stripe that is looked at: none is shorter than a sector, and a
/// volume may be so many times as large as the disks.
const BYTES_A_STRIPE: u64 = 512 / 64;
/// Places of one file after they were taken apart.
const MOST_PLACES: usize = 20_000;

/// Where a physical volume lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Which of the disks given.
    pub disk: usize,
    /// First byte there.
    pub start: u64,
    /// Whether a checksum says that it is this one: else what lies there must.
    pub is_proven: bool,
}

/// A segment with its bytes in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte in the volume.
    pub at: u64,
    /// Bytes.
    pub length: u64,
    /// Bytes of a stripe.
    pub stripe_bytes: u64,
    /// Where each stripe begins: disk and byte; `None` where its physical volume is lost.
    pub stripes: Vec<Option<(usize, u64)>>,
    /// Whether all of it is where the text says, by checksums.
    pub is_proven: bool,
}

/// Where a stretch of a volume lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Disk and byte; `None` where the physical volume is lost.
    pub at: Option<(usize, u64)>,
    /// Bytes that lie there in a row.
    pub length: u64,
}

/// The layout of a logical volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// In order, without gap.
    pub parts: Vec<Part>,
}

impl Layout {
    /// The layout of a volume whose segments are all read.
    #[must_use]
    pub fn new(group: &VolumeGroup, volume: &LogicalVolume, placed: &[Option<Placed>]) -> Self {
        let extent = group.extent_bytes;
        let mut parts = Vec::new();
        for segment in &volume.segments {
            let SegmentKind::Striped { stripe_bytes, stripes } = &segment.kind else { continue };
            let length = segment.extents.saturating_mul(extent);
            let mut is_proven = true;
            let stripes: Vec<Option<(usize, u64)>> = stripes
                .iter()
                .map(|stripe| {
                    let start = group.physical.get(stripe.physical)?.start;
                    let place = placed.get(stripe.physical).copied().flatten()?;
                    is_proven &= place.is_proven;
                    let offset = stripe.extent.checked_mul(extent)?.checked_add(start)?;
                    Some((place.disk, place.start.checked_add(offset)?))
                })
                .collect();
            let stripe_bytes = if stripes.len() > 1 { *stripe_bytes } else { length };
            let at = segment.first.saturating_mul(extent);
            parts.push(Part { at, length, stripe_bytes, stripes, is_proven });
        }
        Self { parts }
    }

    /// Bytes of the volume.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.at.saturating_add(part.length))
    }

    /// Where the byte `at` lies, and how many behind it lie in a row; `None` past the end.
    #[must_use]
    pub fn find(&self, at: u64) -> Option<Found> {
        let number = self.parts.partition_point(|part| part.at.saturating_add(part.length) <= at);
        let part = self.parts.get(number).filter(|part| part.at <= at)?;
        let into = at - part.at;
        let stripe = part.stripe_bytes.max(1);
        let count = u64::try_from(part.stripes.len()).ok()?.max(1);
        let (chunk, rest) = (into / stripe, into % stripe);
        let length = (stripe - rest).min(part.length - into);
        let place = part.stripes.get(usize::try_from(chunk % count).ok()?).copied().flatten();
        let found = place.and_then(|(disk, start)| {
            let offset = (chunk / count).checked_mul(stripe)?.checked_add(rest)?;
            Some((disk, start.checked_add(offset)?))
        });
        Some(Found { at: found, length })
    }

    /// Bytes that lie on one of the disks given.
    #[must_use]
    pub fn placed_bytes(&self) -> u64 {
        let placed = self.parts.iter().map(|part| {
            let (all, here) = (part.stripes.len(), part.stripes.iter().flatten().count());
            part.length / all.max(1) as u64 * here as u64
        });
        placed.fold(0, u64::saturating_add)
    }

    /// Hands out where `range` lies, in order, as long as `told` wants more; what lies past the
    /// volume's end is left out.
    pub fn each(&self, range: Range<u64>, told: &mut dyn FnMut(u64, Found) -> bool) {
        let mut at = range.start;
        while at < range.end {
            let Some(mut found) = self.find(at) else { return };
            found.length = found.length.min(range.end - at);
            if found.length == 0 || !told(at, found) {
                return;
            }
            at += found.length;
        }
    }

    /// The volume's map, from those of the disks.
    #[must_use]
    pub fn runs(&self, disks: &[&Ground<'_>]) -> Vec<Run> {
        let mut out: Vec<Run> = Vec::new();
        let given = disks.iter().map(|ground| ground.size()).fold(0, u64::saturating_add);
        let most = (given / BYTES_A_STRIPE).saturating_add(1024).min(MOST_STRIPES);
        let mut stripes = 0;
        self.each(0..self.bytes(), &mut |at, found| {
            stripes += 1;
            if out.len() > MOST_RUNS || stripes > most {
                out.push(Run::new(at..self.bytes(), State::Damaged, 0));
                return false;
            }
            let ground = found.at.and_then(|(disk, start)| Some((disks.get(disk)?, start)));
            match ground {
                Some((ground, start)) => {
                    ground.moved(start..start.saturating_add(found.length), at, &mut out);
                }
                None => {
                    let range = at..at.saturating_add(found.length);
                    out.push(Run::new(range, State::Damaged, 0));
                }
            }
            true
        });
        out
    }

    /// What lies in the volume at `offset`, put where it lies on the disks.
    #[must_use]
    pub fn on_disk(&self, offset: u64) -> Option<(usize, u64)> {
        self.find(offset)?.at
    }

    /// Puts the places of a file of this volume where they lie on the disks.
    pub fn translate(&self, file: &mut GuestFile) {
        let mut places: Vec<Place> = Vec::new();
        for place in &file.places {
            let Some(start) = place.disk_offset else {
                places.push(*place);
                continue;
            };
            self.each(start..start.saturating_add(place.length), &mut |at, found| {
                let (disk, disk_offset) = match found.at {
                    Some((disk, at)) => (disk, Some(at)),
                    None => (0, None),
                };
                let offset = place.offset + (at - start);
                let follows = places.last().is_some_and(|last| {
                    last.disk == disk
                        && last.offset + last.length == offset
                        && last.disk_offset.map(|at| at + last.length) == disk_offset
                });
                let length = found.length;
                if places.len() >= MOST_PLACES {
                    return false;
                }
                match places.last_mut() {
                    Some(last) if follows => last.length += length,
                    _ => places.push(Place { offset, length, disk_offset, disk }),
                }
                true
            });
        }
        file.places = places;
        if let Some(at) = file.record_at {
            file.record_at = self.on_disk(at).filter(|(disk, _)| *disk == 0).map(|(_, at)| at);
        }
    }
}

/// A logical volume as a disk. Where its physical volume is lost it reads as zeros, and its map
/// says that nothing is there.
pub struct LogicalDisk<'a> {
    layout: &'a Layout,
    disks: Vec<&'a dyn Source>,
}

impl<'a> LogicalDisk<'a> {
    /// The volume of this layout over the disks given.
    #[must_use]
    pub fn new(layout: &'a Layout, disks: Vec<&'a dyn Source>) -> Self {
        Self { layout, disks }
    }
}

impl ReadAt for LogicalDisk<'_> {
    fn len_bytes(&self) -> u64 {
        self.layout.bytes()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let end = at.0.saturating_add(buf.len() as u64);
        if end > self.len_bytes() {
            return Err(MediumError::End {
                end: ByteOffset(self.len_bytes()),
                wanted: ByteOffset(end),
            });
        }
        let mut done = 0_usize;
        while done < buf.len() {
            let here = at.0 + done as u64;
            let missing = MediumError::End { end: ByteOffset(here), wanted: ByteOffset(end) };
            let Some(found) = self.layout.find(here).filter(|found| found.length > 0) else {
                return Err(missing);
            };
            let take = usize::try_from(found.length).unwrap_or(usize::MAX).min(buf.len() - done);
            let Some(part) = buf.get_mut(done..done + take) else { return Err(missing) };
            let disk = found.at.and_then(|(disk, at)| Some((self.disks.get(disk)?, at)));
            match disk {
                // The text may speak of a disk that was longer.
                Some((disk, at)) if at.saturating_add(take as u64) <= disk.len_bytes() => {
                    disk.read_exact_at(part, ByteOffset(at))?;
                }
                _ => part.fill(0),
            }
            done += take;
        }
        Ok(())
    }
}

impl Source for LogicalDisk<'_> {
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let end = self.len_bytes();
        Ok((from < end).then_some(from..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(at: u64, length: u64, stripe_bytes: u64, stripes: &[Option<(usize, u64)>]) -> Part {
        Part { at, length, stripe_bytes, stripes: stripes.to_vec(), is_proven: true }
    }

    /// 40 bytes on the second disk, then 24 in stripes of 4 over both, then 10 that are lost.
    fn layout() -> Layout {
        Layout {
            parts: vec![
                part(0, 40, 40, &[Some((1, 100))]),
                part(40, 24, 4, &[Some((0, 10)), Some((1, 200))]),
                part(64, 10, 10, &[None]),
            ],
        }
    }

    #[test]
    fn bytes_lie_where_segments_and_stripes_put_them() {
        let layout = layout();
        assert_eq!((layout.bytes(), layout.placed_bytes()), (74, 64));
        let at = |offset| layout.on_disk(offset);
        assert_eq!((at(0), at(39)), (Some((1, 100)), Some((1, 139))));
        assert_eq!((at(40), at(43), at(44)), (Some((0, 10)), Some((0, 13)), Some((1, 200))));
        assert_eq!((at(48), at(55), at(63)), (Some((0, 14)), Some((1, 207)), Some((1, 211))));
        assert_eq!((at(64), at(74)), (None, None));
        let disks: [Vec<u8>; 2] =
            [(0..=255).collect(), (0..=255).map(|byte: u8| byte.reverse_bits()).collect()];
        let sources: Vec<&dyn Source> = disks.iter().map(|disk| disk as &dyn Source).collect();
        let joined = LogicalDisk::new(&layout, sources);
        let mut all = vec![7; 74];
        joined.read_exact_at(&mut all, ByteOffset(0)).unwrap();
        for (offset, byte) in all.iter().enumerate() {
            let expected = at(offset as u64).map_or(0, |(disk, at)| disks[disk][at as usize]);
            assert_eq!(*byte, expected, "{offset}");
        }
        assert!(joined.read_exact_at(&mut [0; 2], ByteOffset(73)).is_err());
    }

    #[test]
    fn the_map_follows_the_bytes_and_what_is_lost_is_damaged() {
        let layout = layout();
        let disks = [vec![1_u8; 256], vec![1_u8; 205]];
        let runs = [Run::new(0..12, State::Intact, 0), Run::new(12..256, State::Encrypted, 0)];
        let first = Ground::new(&disks[0], &runs);
        let second = Ground::new(&disks[1], &[Run::new(0..256, State::Intact, 0)]);
        let runs = layout.runs(&[&first, &second]);
        let mut end = 0;
        for run in &runs {
            assert_eq!(run.start, end);
            end = run.end;
        }
        assert_eq!(end, 74);
        let all = vec![0_u8; 74];
        let ground = Ground::new(&all, &runs);
        assert!(ground.is_good(0..42) && ground.is_good(44..48));
        assert_eq!(ground.tally(42..44).encrypted, 2);
        // The second disk ends inside its second stripe.
        assert_eq!((ground.tally(52..56).gone, ground.tally(64..74).gone), (3, 10));
    }

    #[test]
    fn a_layout_past_belief_is_gone_through_in_bounded_time() {
        let layout =
            Layout { parts: vec![part(0, 1 << 60, 1, &[Some((0, 0)), Some((0, 1 << 59))])] };
        let disk = vec![1_u8; 64];
        let ground = Ground::new(&disk, &[Run::new(0..64, State::Intact, 0)]);
        let runs = layout.runs(&[&ground]);
        let last = runs.last().unwrap();
        assert_eq!((last.end, last.state), (1 << 60, State::Damaged));
        let all = LogicalDisk::new(&layout, vec![&disk]);
        let searchable: u64 =
            Ground::new(&all, &runs).searchable().iter().map(|range| range.end - range.start).sum();
        assert!(searchable <= 1 << 28, "{searchable}");
    }
}
