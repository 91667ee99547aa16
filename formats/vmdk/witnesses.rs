//! What an seSparse extent tells of its grains besides its directory: tables, bitmap, backmap,
//! and the grains themselves.
//!
//! Whoever wipes the directory may wipe what lies behind it as well, so none of them is asked
//! alone.

use super::{
    blocks::{is_zero, u64s},
    layout::Area,
    seextent::SeSparseExtent,
    sesparse::unpack,
};
use crate::{
    read::ReadAt,
    units::{ByteOffset, SECTOR_BYTES},
};

/// Grains that a writer may have taken without having told its tables when its host stopped.
const OPEN_GRAINS: u64 = 4096;
/// Grains read behind the last one that anything names.
const MOST_READ: u64 = 4096;

/// Grains that lie in the file by whichever witness names most of them.
pub(super) fn held_grains(extent: &SeSparseExtent, file: &dyn ReadAt) -> Option<u64> {
    let header = extent.header();
    if header.inferred {
        return None;
    }
    let Some(volatile) = extent.volatile_header() else {
        // Which tables are in use is not known. Data without any table tells enough.
        let mut named = 0u64;
        for_area(file, header.gd, u64::MAX, |bytes| {
            named = named.saturating_add(count(u64s(bytes).filter(|entry| *entry != 0)));
        })?;
        return Some(if named == 0 { written(extent, file, 0) } else { 0 });
    };
    let mut found = Found { grains: extent.grain_count(), ..Found::default() };
    let table_bytes = header.table_size.0.saturating_mul(SECTOR_BYTES);
    let tables = volatile.free_gt_number.saturating_mul(table_bytes);
    for_area(file, header.tables, tables, |bytes| found.tables(bytes, table_bytes))?;
    // A size that lies would have other areas read as bits.
    let area = header.bitmap.size.0.saturating_mul(SECTOR_BYTES);
    let at = header.bitmap.offset.0.saturating_mul(SECTOR_BYTES);
    let fits = at.saturating_add(area) <= file.len_bytes();
    let bits = if fits { area } else { extent.grain_count().div_ceil(8) };
    for_area(file, header.bitmap, bits, |bytes| found.bitmap(bytes))?;
    let owners = grains_in_file(extent, file).saturating_mul(8);
    for_area(file, header.backmap, owners, |bytes| found.backmap(bytes))?;
    // What the guest unmapped keeps its grain until another one needs it.
    let by_use = found.used.max(found.owned).saturating_sub(found.unmapped);
    // Where a map of the grains is empty, it may have been wiped: then what it would have named is
    // looked for. A table is taken for a grain, so one that holds nothing was emptied.
    let (mut by_tables, mut by_data) = (found.named, 0);
    if found.used == 0 && found.owned == 0 {
        by_tables = by_tables.saturating_add(found.empty_tables);
    }
    if found.used == 0 || found.owned == 0 {
        by_data = found.named.saturating_add(written(extent, file, found.next));
    }
    let held = by_use.max(by_tables).max(by_data);
    let slack = if volatile.replay_journal { OPEN_GRAINS } else { 0 };
    Some(held.saturating_sub(slack))
}

#[derive(Default)]
struct Found {
    /// Grains there can be: what names one beyond is noise.
    grains: u64,
    /// Entries of tables in use that name a grain.
    named: u64,
    /// Those whose grain the guest gave back.
    unmapped: u64,
    /// Tables in use without any entry.
    empty_tables: u64,
    /// Bits of the bitmap.
    used: u64,
    bitmap_at: u64,
    /// Entries of the backmap.
    owned: u64,
    backmap_at: u64,
    /// The grain behind the last one that anything names.
    next: u64,
}

impl Found {
    fn tables(&mut self, bytes: &[u8], table_bytes: u64) {
        let length = usize::try_from(table_bytes).unwrap_or(usize::MAX).max(1);
        for table in bytes.chunks(length) {
            if is_zero(table) {
                self.empty_tables = self.empty_tables.saturating_add(1);
                continue;
            }
            for entry in u64s(table).filter(|entry| unpack(*entry) < self.grains) {
                match entry >> 60 {
                    1 => self.unmapped = self.unmapped.saturating_add(1),
                    3 => self.named = self.named.saturating_add(1),
                    _ => continue,
                }
                self.next = self.next.max(unpack(entry).saturating_add(1));
            }
        }
    }

    fn bitmap(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.used = self.used.saturating_add(u64::from(byte.count_ones()));
            if *byte != 0 {
                let bits = u64::from(8u32.saturating_sub(byte.leading_zeros()));
                self.next = self.next.max(self.bitmap_at.saturating_add(bits));
            }
            self.bitmap_at = self.bitmap_at.saturating_add(8);
        }
    }

    fn backmap(&mut self, bytes: &[u8]) {
        for entry in u64s(bytes) {
            self.backmap_at = self.backmap_at.saturating_add(1);
            if entry >> 60 == 1 {
                self.owned = self.owned.saturating_add(1);
                self.next = self.next.max(self.backmap_at);
            }
        }
    }
}

/// Whole grains that the file's length has room for.
fn grains_in_file(extent: &SeSparseExtent, file: &dyn ReadAt) -> u64 {
    let header = extent.header();
    let start = header.grains.offset.0.saturating_mul(SECTOR_BYTES);
    let room = file.len_bytes().saturating_sub(start);
    room.checked_div(header.grain_bytes()).unwrap_or(0).min(extent.grain_count())
}

/// Grains from `first` on that hold something: neither zeros nor the FF that a host extends the
/// file with. Of a long stretch every so-many-th is read and the rest estimated from them.
fn written(extent: &SeSparseExtent, file: &dyn ReadAt, first: u64) -> u64 {
    let header = extent.header();
    let all = grains_in_file(extent, file).saturating_sub(first);
    let step = all.div_ceil(MOST_READ).max(1);
    let grain = header.grain_bytes();
    let start = header.grains.offset.0.saturating_mul(SECTOR_BYTES);
    let Ok(length) = usize::try_from(grain) else { return 0 };
    let mut bytes = vec![0; length];
    let mut hits = 0u64;
    let mut nth = 0u64;
    while nth < all {
        let at = start.saturating_add(first.saturating_add(nth).saturating_mul(grain));
        if file.read_exact_at(&mut bytes, ByteOffset(at)).is_ok()
            && !is_zero(&bytes)
            && bytes.iter().any(|byte| *byte != 0xff)
        {
            hits = hits.saturating_add(1);
        }
        nth = nth.saturating_add(step);
    }
    hits.saturating_mul(step).min(all)
}

fn count<T>(of: impl Iterator<Item = T>) -> u64 {
    u64::try_from(of.count()).unwrap_or(u64::MAX)
}

/// Reads the first `length` bytes of an area in pieces, as far as the file reaches; `None` where
/// one does not come.
fn for_area(file: &dyn ReadAt, area: Area, length: u64, mut each: impl FnMut(&[u8])) -> Option<()> {
    // A multiple of every size of table.
    const AT_ONCE: u64 = 1 << 21;
    let start = area.offset.to_offset()?;
    let there = file.len_bytes().saturating_sub(start.0);
    let length = area.size.0.saturating_mul(SECTOR_BYTES).min(length).min(there);
    let mut done = 0u64;
    while done < length {
        let take = usize::try_from(AT_ONCE.min(length.saturating_sub(done))).ok()?;
        let mut bytes = vec![0; take];
        file.read_exact_at(&mut bytes, start.checked_add(done)?).ok()?;
        each(&bytes);
        done = done.saturating_add(AT_ONCE);
    }
    Some(())
}
