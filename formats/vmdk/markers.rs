//! Where the grains of a stream lie by their own markers, for when the tables do not tell.

use std::ops::Range;

use super::{
    header::SparseHeader,
    inflate::inflate_grain,
    stream::{FoundGrain, Marker},
};
use crate::{
    read::ReadAt,
    units::{ByteOffset, SECTOR_BYTES},
};

/// Grains that are kept one by one: 24 MiB. Beyond, groups of neighbours are.
const LISTED: u64 = 1 << 20;
/// Markers of one group at first; doubles where a file has very many.
const GROUP: u64 = 1024;
const GROUPS: usize = 65_536;
/// How many groups may on average claim one virtual sector before a search is given up: writers
/// go up through the disk, so one does.
const TANGLE: u64 = 64;

/// Where a walk over markers stands.
struct Walk<'a> {
    file: &'a dyn ReadAt,
    header: &'a SparseHeader,
    at: u64,
    end: u64,
    /// Bytes that proofs of candidates may still inflate.
    budget: u64,
    /// Whether anything was no marker.
    garbage: bool,
    /// Whether the stream's own end was reached at the file's end.
    ended: bool,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Walk<'a> {
    fn from(file: &'a dyn ReadAt, header: &'a SparseHeader, at: u64) -> Self {
        let end = file.len_bytes();
        let budget = end.saturating_mul(4).saturating_add(header.grain_bytes());
        Self {
            file,
            header,
            at,
            end,
            budget,
            garbage: false,
            ended: false,
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// The sector at `at`; shorter at the end of the file, empty where it cannot be read.
    fn sector(&mut self, at: u64) -> &[u8] {
        let offset = at.checked_sub(self.window_at).and_then(|skip| usize::try_from(skip).ok());
        let hit = offset.filter(|skip| skip.saturating_add(512) <= self.window.len());
        let skip = match hit {
            Some(skip) => skip,
            None => {
                // Markers are a grain apart: a small window follows them, a search fills it whole.
                self.window = self.file.read_up_to(ByteOffset(at), 4096).unwrap_or_default();
                self.window_at = at;
                0
            }
        };
        let stop = skip.saturating_add(512).min(self.window.len());
        self.window.get(skip..stop).unwrap_or_default()
    }

    fn next(&mut self) -> Option<FoundGrain> {
        while self.at < self.end {
            let (at, end, header) = (self.at, self.end, self.header);
            let marker = Marker::parse(self.sector(at), at, end, header);
            match marker {
                Marker::Grain { lba, at: data, stored } => {
                    self.at = at.saturating_add(marker.advance());
                    return Some(FoundGrain { lba, at: data, stored });
                }
                Marker::EndOfStream => {
                    if at.saturating_add(SECTOR_BYTES) == end {
                        self.ended = true;
                    }
                    self.at = at.saturating_add(SECTOR_BYTES);
                    // Zeros in the middle look the same: the search goes on.
                    self.search();
                }
                Marker::Garbage => {
                    self.garbage = true;
                    self.at = at.saturating_add(SECTOR_BYTES);
                    self.search();
                }
                Marker::GrainTable { .. }
                | Marker::GrainDirectory { .. }
                | Marker::Footer
                | Marker::Progress { .. } => self.at = at.saturating_add(marker.advance()),
            }
        }
        None
    }

    /// Goes on to the next sector that begins a grain and proves it by inflating.
    fn search(&mut self) {
        while self.at < self.end {
            let (at, end, header) = (self.at, self.end, self.header);
            let marker = Marker::parse(self.sector(at), at, end, header);
            if let Marker::Grain { at: data, stored, .. } = marker {
                if self.budget == 0 {
                    self.at = end;
                    return;
                }
                if self.proves(data, stored) {
                    return;
                }
            }
            if marker == Marker::EndOfStream && at.saturating_add(SECTOR_BYTES) == end {
                self.ended = true;
            }
            self.at = at.saturating_add(SECTOR_BYTES);
        }
    }

    fn proves(&mut self, data: u64, stored: u64) -> bool {
        let grain = self.header.grain_bytes();
        self.budget = self.budget.saturating_sub(grain.saturating_add(stored));
        let (Ok(stored), Ok(grain)) = (usize::try_from(stored), usize::try_from(grain)) else {
            return false;
        };
        let Ok(zlib) = self.file.read_up_to(ByteOffset(data), stored) else { return false };
        inflate_grain(&zlib, &mut vec![0; grain]).is_ok()
    }
}

#[derive(Clone, Copy, Debug)]
struct Group {
    start: u64,
    end: u64,
    lbas: (u64, u64),
}

/// Where grains lie by their own markers, found by one walk over the whole file. Holds up to a
/// million grains, and of a larger file a bounded number of groups.
#[derive(Debug, Default)]
pub struct MarkerIndex {
    /// Every grain by virtual sector, in file order where several name the same.
    listed: Option<Vec<FoundGrain>>,
    groups: Vec<Group>,
    last: Option<u64>,
    whole: bool,
    tangled: bool,
    grains: u64,
}

impl MarkerIndex {
    /// Walks the markers from the end of the metadata on. Behind anything that is no marker the
    /// next grain is searched for and proven by its checksum.
    #[must_use]
    pub fn build(file: &dyn ReadAt, header: &SparseHeader) -> Self {
        let first = header.overhead.0.saturating_mul(SECTOR_BYTES);
        let first = if first == 0 || first >= file.len_bytes() { SECTOR_BYTES } else { first };
        let mut walk = Walk::from(file, header, first);
        let mut index = Self { listed: Some(Vec::new()), ..Self::default() };
        let mut group_size = GROUP;
        let mut in_group = 0u64;
        loop {
            let before = walk.at;
            let Some(found) = walk.next() else { break };
            index.grains = index.grains.saturating_add(1);
            index.last = index.last.max(Some(found.lba));
            match &mut index.listed {
                Some(listed) if index.grains <= LISTED => listed.push(found),
                _ => index.listed = None,
            }
            match index.groups.last_mut() {
                Some(group) if in_group < group_size => {
                    group.end = walk.at;
                    group.lbas = (group.lbas.0.min(found.lba), group.lbas.1.max(found.lba));
                    in_group = in_group.saturating_add(1);
                }
                _ => {
                    let lbas = (found.lba, found.lba);
                    index.groups.push(Group { start: before, end: walk.at, lbas });
                    in_group = 1;
                }
            }
            if index.groups.len() > GROUPS {
                index.halve();
                group_size = group_size.saturating_mul(2);
            }
        }
        index.whole = walk.ended && !walk.garbage;
        match &mut index.listed {
            Some(listed) => {
                listed.sort_by_key(|found| found.lba);
                index.groups = Vec::new();
            }
            None => index.tangled = index.is_disordered(),
        }
        index
    }

    fn halve(&mut self) {
        let merged = self.groups.chunks(2).filter_map(|pair| {
            let (first, last) = (pair.first()?, pair.last()?);
            let lbas = (first.lbas.0.min(last.lbas.0), first.lbas.1.max(last.lbas.1));
            Some(Group { start: first.start, end: last.end, lbas })
        });
        self.groups = merged.collect();
    }

    fn is_disordered(&self) -> bool {
        let claimed = self
            .groups
            .iter()
            .fold(0u64, |sum, group| sum.saturating_add(group.lbas.1.saturating_sub(group.lbas.0)));
        claimed > self.last.unwrap_or(0).saturating_mul(TANGLE)
    }

    /// Whether every byte of the stream was accounted for, up to its own end mark.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether there are so many grains in so little order that none is looked for.
    #[must_use]
    pub fn is_tangled(&self) -> bool {
        self.tangled
    }

    /// Grains found.
    #[must_use]
    pub fn grains(&self) -> u64 {
        self.grains
    }

    /// The highest virtual sector that a grain named.
    #[must_use]
    pub fn last_lba(&self) -> Option<u64> {
        self.last
    }

    /// The grains of these virtual bytes, by virtual sector.
    #[must_use]
    pub fn in_range(
        &self,
        file: &dyn ReadAt,
        header: &SparseHeader,
        range: Range<u64>,
    ) -> Vec<FoundGrain> {
        let sectors = range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES);
        if let Some(listed) = &self.listed {
            let first = listed.partition_point(|found| found.lba < sectors.start);
            let here = listed.get(first..).unwrap_or_default();
            return here.iter().take_while(|found| found.lba < sectors.end).copied().collect();
        }
        let mut found = Vec::new();
        if self.tangled {
            return found;
        }
        for group in &self.groups {
            if group.lbas.0 >= sectors.end || group.lbas.1 < sectors.start {
                continue;
            }
            let mut walk = Walk::from(file, header, group.start);
            while walk.at < group.end
                && let Some(grain) = walk.next()
            {
                if sectors.contains(&grain.lba) {
                    found.push(grain);
                }
            }
        }
        found.sort_by_key(|grain| grain.lba);
        found
    }
}
