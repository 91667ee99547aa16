//! What the log says: that it was written back, where its newest record tells of an unmount; else
//! what changes wait in it. They are not made here: whatever they touch is not believed.
//!
//! The log is a ring, and each of its sectors is stamped with the round it was written in. What is
//! written next goes behind the newest record: where the sector there is of the round before,
//! nothing newer was begun.

use std::{collections::BTreeSet, ops::Range};

use vmglean_formats::xfs::{Changes, LogReader, LogRecord, cycle_of, is_unmount};

use super::{base::Base, hits::XfsHits, pieces::Place};

const SECTOR: u64 = 512;
const UNTOLD: &str = "its log is lost, or the part of it that says whether it was written back when \
                      the machine stopped: what is read may be older";
const TORN: &str = "its log was not written back when the machine stopped, and is not all there: \
                    what is read may be older";
const ELSEWHERE: &str = "its log lies on another disk, and so does what says whether it was written \
                         back: what is read may be older";

/// Where the log lies.
struct Ring<'a> {
    base: &'a Base<'a>,
    /// Its first byte in the volume, as the superblock says.
    offset: Option<u64>,
    /// Its first byte on the disk, where no superblock says anything.
    start: u64,
    /// How many it has, where that is known.
    sectors: Option<u64>,
}

/// What became of the log.
pub(super) enum Log {
    /// It was written back.
    Clean,
    /// These changes wait in it.
    Waiting(Changes),
    /// What is read may be older than what the machine knew, for this reason.
    Doubt(&'static str),
}

/// Reads the log as far as needed.
pub(super) fn log(base: &Base<'_>, hits: &XfsHits) -> Log {
    let shape = &base.shape;
    if shape.log_start.is_none() && shape.log_blocks > 0 {
        return Log::Doubt(ELSEWHERE);
    }
    let mut records: Vec<&(u64, LogRecord)> = Vec::new();
    records.extend(hits.of(&shape.user_uuid).into_iter().flat_map(|own| &own.logs));
    if shape.uuid != shape.user_uuid {
        records.extend(hits.of(&shape.uuid).into_iter().flat_map(|own| &own.logs));
    }
    let Some(ring) = Ring::new(base, &records) else { return Log::Doubt(UNTOLD) };
    let newest = records
        .into_iter()
        .filter(|(at, record)| {
            let sector = u64::from(record.sector);
            ring.place(sector).is_some_and(|place| place.at() == *at)
                && ring.sectors.is_none_or(|sectors| sector < sectors)
        })
        .max_by_key(|(_, record)| (record.cycle, record.sector));
    newest.map_or(Log::Doubt(UNTOLD), |(at, newest)| ring.judge(*at, newest))
}

impl<'a> Ring<'a> {
    /// By the superblock, else where most records say that it begins.
    fn new(base: &'a Base<'a>, records: &[&(u64, LogRecord)]) -> Option<Self> {
        if let Some(first) = base.shape.log_start {
            let offset = base.shape.block_offset(first)?;
            let sectors = base.shape.log_blocks.checked_mul(base.shape.block_bytes)? / SECTOR;
            return Some(Self {
                base,
                offset: Some(offset),
                start: 0,
                sectors: Some(sectors).filter(|n| *n > 0),
            });
        }
        let mut starts: Vec<u64> = records
            .iter()
            .filter_map(|(at, record)| at.checked_sub(u64::from(record.sector) * SECTOR))
            .collect();
        starts.sort_unstable();
        let most = starts.chunk_by(|one, other| one == other).max_by_key(|same| same.len())?;
        Some(Self { base, offset: None, start: *most.first()?, sectors: None })
    }

    /// Where a sector of it lies on the disk.
    fn place(&self, sector: u64) -> Option<Place> {
        let within = sector.checked_mul(SECTOR)?;
        match self.offset {
            Some(offset) => self.base.pieces.place(offset.checked_add(within)?, SECTOR),
            None => self.start.checked_add(within).map(Place::Sure),
        }
    }

    /// A sector that the map vouches for.
    fn read(&self, at: u64) -> Option<Vec<u8>> {
        let is_good = self.base.ground.is_good(at..at.checked_add(SECTOR)?);
        self.base.ground.read(at, usize::try_from(SECTOR).ok()?).ok().filter(|_| is_good)
    }

    /// The sector `number` after one that lies at `at`: it lies behind it, or where it must.
    fn after(&self, at: u64, record: &LogRecord, number: u64) -> Option<Vec<u8>> {
        /// Pieces of logical volumes begin at multiples of this.
        const TOGETHER: u64 = 1 << 20;
        if let Some(Place::Sure(place)) = self.place(number) {
            return self.read(place);
        }
        let behind = number.checked_sub(u64::from(record.sector))?;
        let place = at.checked_add(behind.checked_mul(SECTOR)?)?;
        (place / TOGETHER == at / TOGETHER).then(|| self.read(place))?
    }

    fn wrap(&self, sector: u64) -> u64 {
        self.sectors.map_or(sector, |sectors| sector % sectors.max(1))
    }

    fn judge(&self, at: u64, newest: &LogRecord) -> Log {
        // Where the log ends is not known without a superblock: what would be written there, if
        // the record is its last, stands at its beginning.
        let begins = self.sectors.is_none().then_some(0);
        for next in [Some(self.wrap(newest.end())), begins].into_iter().flatten() {
            let cycle = self.after(at, newest, next).and_then(|bytes| cycle_of(&bytes));
            let Some(cycle) = cycle else { return Log::Doubt(UNTOLD) };
            let is_next_round = next <= u64::from(newest.sector);
            if cycle > newest.cycle || (cycle == newest.cycle && !is_next_round) {
                return Log::Doubt(TORN);
            }
        }
        let content = u64::from(newest.sector).saturating_add(u64::from(newest.sectors.0));
        match self.after(at, newest, self.wrap(content)) {
            Some(content) if newest.operations == 1 && is_unmount(&content) => Log::Clean,
            _ => self.changes(newest).map_or(Log::Doubt(TORN), Log::Waiting),
        }
    }

    /// What the records that are still needed change; `None` where one of them is lost.
    fn changes(&self, newest: &LogRecord) -> Option<Changes> {
        let mut reader = LogReader::default();
        let all = self.sectors?;
        let mut left = all;
        let (mut cycle, sector) = newest.tail;
        let mut sector = u64::from(sector);
        loop {
            let mut bytes = self.raw(sector)?;
            let record = LogRecord::parse(&bytes)
                .filter(|record| record.cycle == cycle && u64::from(record.sector) == sector)?;
            let end = record.end();
            left = left.checked_sub(end - sector)?;
            for next in sector + 1..end {
                bytes.extend(self.raw(self.wrap(next))?);
            }
            // Its checksum speaks for it.
            reader.take(&bytes)?;
            if (record.cycle, record.sector) == (newest.cycle, newest.sector) {
                return reader.finish();
            }
            cycle = cycle.checked_add(u32::from(end >= all))?;
            sector = self.wrap(end);
        }
    }

    /// A sector, whatever the map says of it.
    fn raw(&self, sector: u64) -> Option<Vec<u8>> {
        self.base.ground.read(self.place(sector)?.at(), usize::try_from(SECTOR).ok()?).ok()
    }
}

/// Places that waiting changes touch.
#[derive(Default)]
pub(super) struct Touched {
    inodes: BTreeSet<u64>,
    /// Bytes of the volume, in order, joined.
    ranges: Vec<Range<u64>>,
}

impl Touched {
    pub(super) fn new(base: &Base<'_>, changes: Changes) -> Self {
        let blocks = changes.sectors.into_iter().map(|(first, count)| {
            let start = first.saturating_mul(SECTOR);
            start..start.saturating_add(count.saturating_mul(SECTOR))
        });
        let chunks = changes.chunks.into_iter().filter_map(|(group, first, count)| {
            let start = base.shape.block_of_group_offset(group, first)?;
            Some(start..start.saturating_add(count.saturating_mul(base.shape.block_bytes)))
        });
        let mut all: Vec<Range<u64>> = blocks.chain(chunks).collect();
        all.sort_unstable_by_key(|range| range.start);
        let mut ranges: Vec<Range<u64>> = Vec::with_capacity(all.len());
        for range in all {
            match ranges.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => ranges.push(range),
            }
        }
        Self { inodes: changes.inodes, ranges }
    }

    /// How many inodes have changes waiting.
    pub(super) fn count(&self) -> usize {
        self.inodes.len()
    }

    /// Whether an inode, what stands beside it, or a block of its tree is touched.
    pub(super) fn has(&self, base: &Base<'_>, inode: u64, tree: &[u64]) -> bool {
        let is_touched = |offset: Option<u64>, length: u64| {
            let Some(offset) = offset else { return false };
            let next = self.ranges.partition_point(|range| range.end <= offset);
            self.ranges.get(next).is_some_and(|range| range.start < offset.saturating_add(length))
        };
        let block = base.shape.block_bytes;
        self.inodes.contains(&inode)
            || is_touched(base.shape.inode_offset(inode), base.shape.inode_bytes)
            || tree.iter().any(|number| is_touched(base.shape.block_offset(*number), block))
    }
}

/// Blocks of the log: the first, and how many.
pub(super) fn blocks(base: &Base<'_>) -> Option<(u64, u64)> {
    Some((base.shape.log_start?, base.shape.log_blocks))
}
