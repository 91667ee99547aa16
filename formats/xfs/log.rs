//! The log: records in a ring of sectors, each sector stamped with the round it was written in.

use super::{be32, be64, uuid_at};

/// A record's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// The round it was written in.
    pub cycle: u32,
    /// Its own place in the log, in sectors.
    pub sector: u32,
    /// Round and sector of the oldest record that is still needed.
    pub tail: (u32, u32),
    /// Sectors of its head and of what follows it.
    pub sectors: (u32, u32),
    /// Operations in it.
    pub operations: u32,
    /// The volume's number.
    pub uuid: [u8; 16],
}

impl LogRecord {
    /// The record whose head `bytes` begin with. It has a checksum over all of the record, which
    /// mkfs leaves empty.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        const MAGIC: u32 = 0xFEED_BABE;
        /// Longest record.
        const LONGEST: u32 = 256 << 10;
        /// What one head can tell of, in bytes.
        const EACH: u32 = 32 << 10;
        let (cycle, version, length) = (be32(bytes, 4)?, be32(bytes, 8)?, be32(bytes, 12)?);
        let place = be64(bytes, 16)?;
        let tail = be64(bytes, 24)?;
        let size = be32(bytes, 320)?;
        let split = |place: u64| {
            Some((u32::try_from(place >> 32).ok()?, u32::try_from(place & 0xFFFF_FFFF).ok()?))
        };
        let (own_cycle, sector) = split(place)?;
        let is_one = be32(bytes, 0)? == MAGIC
            && matches!(version, 1 | 2)
            && own_cycle == cycle
            && cycle > 0
            && length <= LONGEST;
        let heads = if version == 2 && size > EACH { size.min(LONGEST).div_ceil(EACH) } else { 1 };
        is_one.then(|| {
            Some(Self {
                cycle,
                sector,
                tail: split(tail)?,
                sectors: (heads, length.div_ceil(512)),
                operations: be32(bytes, 40)?,
                uuid: uuid_at(bytes, 304)?,
            })
        })?
    }

    /// The sector behind the record, were the log endless.
    #[must_use]
    pub fn end(&self) -> u64 {
        let (heads, rest) = self.sectors;
        u64::from(self.sector).saturating_add(u64::from(heads)).saturating_add(u64::from(rest))
    }
}

/// The round that a sector of the log was last written in.
#[must_use]
pub fn cycle_of(sector: &[u8]) -> Option<u32> {
    match be32(sector, 0)? {
        0xFEED_BABE => be32(sector, 4),
        cycle => Some(cycle),
    }
}

/// Whether the operation that a record's content begins with says that the volume was unmounted.
/// The first word is the round.
#[must_use]
pub fn is_unmount(content: &[u8]) -> bool {
    content.get(9).is_some_and(|flags| flags & 0x20 != 0)
}
