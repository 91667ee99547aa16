//! Whether the log was written back: its newest record must say that the volume was unmounted.
//!
//! The log is a ring, and each of its sectors is stamped with the round it was written in. What is
//! written next goes behind the newest record: where the sector there is of the round before,
//! nothing newer was begun.

use vmglean_formats::xfs::{LogRecord, cycle_of, is_unmount};

use super::{base::Base, hits::XfsHits, pieces::Place};

const SECTOR: u64 = 512;
const UNTOLD: &str = "its log is lost, or the part of it that says whether it was written back when \
                      the machine stopped: what is read may be older";
const DIRTY: &str = "its log was not written back when the machine stopped, and is not read: what \
                     is read may be older";
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

/// Why what is read may be older than what the machine knew.
pub(super) fn doubt(base: &Base<'_>, hits: &XfsHits) -> Option<&'static str> {
    let shape = &base.shape;
    if shape.log_start.is_none() && shape.log_blocks > 0 {
        return Some(ELSEWHERE);
    }
    let mut records: Vec<&(u64, LogRecord)> = Vec::new();
    records.extend(hits.of(&shape.user_uuid).into_iter().flat_map(|own| &own.logs));
    if shape.uuid != shape.user_uuid {
        records.extend(hits.of(&shape.uuid).into_iter().flat_map(|own| &own.logs));
    }
    let Some(ring) = Ring::new(base, &records) else { return Some(UNTOLD) };
    let newest = records
        .into_iter()
        .filter(|(at, record)| {
            let sector = u64::from(record.sector);
            ring.place(sector).is_some_and(|place| place.at() == *at)
                && ring.sectors.is_none_or(|sectors| sector < sectors)
        })
        .max_by_key(|(_, record)| (record.cycle, record.sector));
    newest.map_or(Some(UNTOLD), |(at, newest)| ring.judge(*at, newest))
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

    fn judge(&self, at: u64, newest: &LogRecord) -> Option<&'static str> {
        let wrap = |sector: u64| self.sectors.map_or(sector, |sectors| sector % sectors.max(1));
        let content = wrap(u64::from(newest.sector).saturating_add(u64::from(newest.sectors.0)));
        let Some(content) = self.after(at, newest, content) else { return Some(UNTOLD) };
        if newest.operations != 1 || !is_unmount(&content) {
            return Some(DIRTY);
        }
        // Where the log ends is not known without a superblock: what would be written there, if
        // the record is its last, stands at its beginning.
        let begins = self.sectors.is_none().then_some(0);
        for next in [Some(wrap(newest.end())), begins].into_iter().flatten() {
            let cycle = self.after(at, newest, next).and_then(|bytes| cycle_of(&bytes));
            let Some(cycle) = cycle else { return Some(UNTOLD) };
            let is_next_round = next <= u64::from(newest.sector);
            if cycle > newest.cycle || (cycle == newest.cycle && !is_next_round) {
                return Some(DIRTY);
            }
        }
        None
    }
}

/// Blocks of the log: the first, and how many.
pub(super) fn blocks(base: &Base<'_>) -> Option<(u64, u64)> {
    Some((base.shape.log_start?, base.shape.log_blocks))
}
