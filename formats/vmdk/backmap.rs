//! The witnesses that an seSparse extent keeps beside its tables: backmap and free bitmap.

use super::{
    blocks::{Blocks, u64s},
    defects::DefectSink,
    layout::Area,
    seextent::{SeSparseExtent, Slot},
    sesparse::{SeEntry, unpack},
    walk::Tables as _,
};
use crate::{
    defect::FormatError,
    read::ReadAt,
    units::{ByteOffset, SECTOR_BYTES},
};

/// What one backmap entry says of a physical grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackmapEntry {
    /// No owner.
    Free,
    /// Owned; what the number means is told by [`BackmapMeaning`].
    Owner(u64),
    /// No writer writes this.
    Unknown(u64),
}

/// What the owner in the backmap is. One real file fits both; which one holds is decided per
/// extent by what its tables confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackmapMeaning {
    /// The number of the virtual grain.
    VirtualGrain,
    /// Index of the grain table times its entries, plus the entry.
    TableSlot,
    /// Both fit: tables were handed out in disk order.
    Either,
    /// Neither fits, or nothing is allocated.
    Neither,
}

impl SeSparseExtent {
    /// Backmap entries of the physical grains from `first` on, as far as the backmap reaches.
    ///
    /// # Errors
    /// [`FormatError::Medium`] where it cannot be read.
    pub fn backmap(
        &self,
        file: &dyn ReadAt,
        first: u64,
        count: usize,
    ) -> Result<Vec<BackmapEntry>, FormatError> {
        let bytes = read_area(
            file,
            self.header().backmap,
            first.saturating_mul(8),
            count.saturating_mul(8),
        )?;
        Ok(u64s(&bytes)
            .map(|entry| match entry >> 60 {
                0 if entry == 0 => BackmapEntry::Free,
                1 => BackmapEntry::Owner(unpack(entry)),
                _ => BackmapEntry::Unknown(entry),
            })
            .collect())
    }

    /// Whether each of the `count` physical grains from `first` on is in use by the free bitmap.
    ///
    /// # Errors
    /// [`FormatError::Medium`] where it cannot be read.
    pub fn in_use(
        &self,
        file: &dyn ReadAt,
        first: u64,
        count: usize,
    ) -> Result<Vec<bool>, FormatError> {
        let skip = usize::try_from(first.checked_rem(8).unwrap_or(0)).unwrap_or(0);
        let length = count.saturating_add(skip).div_ceil(8);
        let bytes = read_area(file, self.header().bitmap, first / 8, length)?;
        Ok(bytes
            .iter()
            .flat_map(|byte| (0..8u32).map(move |bit| byte.checked_shr(bit).unwrap_or(0) & 1 == 1))
            .skip(skip)
            .take(count)
            .collect())
    }

    /// What the owners in the backmap are, by asking the grain tables of the first
    /// `limit` grain directory entries.
    ///
    /// # Errors
    /// [`FormatError::Medium`] where the backmap cannot be read.
    pub fn backmap_meaning(
        &self,
        file: &dyn ReadAt,
        limit: usize,
    ) -> Result<BackmapMeaning, FormatError> {
        let shape = self.shape();
        let (readable, _) = self.directory(file);
        let count = usize::try_from(readable.min(shape.tables())).unwrap_or(usize::MAX).min(limit);
        let mut sink = DefectSink::default();
        let slots = self.slots(file, 0, count, &mut sink);
        let tables_at = self.header().tables.offset.0.saturating_mul(SECTOR_BYTES);
        let table_bytes = self.header().table_size.0.saturating_mul(SECTOR_BYTES).max(1);
        let per_table = shape.entries_per_table;
        let (mut by_grain, mut by_slot, mut asked) = (0u64, 0u64, 0u64);
        for (nth, slot) in (0u64..).zip(&slots) {
            let Slot::Table(at) = slot else { continue };
            let index = at.saturating_sub(tables_at).checked_div(table_bytes).unwrap_or(0);
            let length = usize::try_from(table_bytes).unwrap_or(0);
            let blocks = Blocks::read(file, &[Some(*at)], length, "GrainTable", &mut sink);
            for (entry, value) in (0u64..).zip(u64s(blocks.block(0))) {
                let SeEntry::Grain(grain) = SeEntry::decode(value) else { continue };
                let Ok(owner) = self.backmap(file, grain, 1) else { continue };
                let Some(BackmapEntry::Owner(owner)) = owner.first() else { continue };
                asked = asked.saturating_add(1);
                let slot_number =
                    |table: u64| table.saturating_mul(per_table).saturating_add(entry);
                by_grain = by_grain.saturating_add(u64::from(*owner == slot_number(nth)));
                by_slot = by_slot.saturating_add(u64::from(*owner == slot_number(index)));
            }
        }
        // A few strays (a torn sector) do not overturn the rest.
        let fits = |hits: u64| asked > 0 && hits.saturating_mul(8) > asked.saturating_mul(7);
        Ok(match (fits(by_grain), fits(by_slot)) {
            (true, true) => BackmapMeaning::Either,
            (true, false) => BackmapMeaning::VirtualGrain,
            (false, true) => BackmapMeaning::TableSlot,
            (false, false) => BackmapMeaning::Neither,
        })
    }
}

fn read_area(
    file: &dyn ReadAt,
    area: Area,
    skip: u64,
    length: usize,
) -> Result<Vec<u8>, FormatError> {
    let size = area.size.0.saturating_mul(SECTOR_BYTES);
    let left = usize::try_from(size.saturating_sub(skip)).unwrap_or(usize::MAX);
    let at = area.offset.0.saturating_mul(SECTOR_BYTES).saturating_add(skip);
    Ok(file.read_up_to(ByteOffset(at), length.min(left))?)
}
