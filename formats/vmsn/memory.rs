//! Where the guest's memory lies: in the checkpoint itself or in the `.vmem` beside it.

use serde::Serialize;

use super::{Block, TagValue, facts::TagView};
use crate::{
    defect::DefectKind,
    dict::DefectList,
    units::{ByteOffset, Bytes},
};

const PAGE_BYTES: u64 = 4096;
/// VMware's own crash reader allows three; room for what is not known.
const MAX_REGIONS: u64 = 64;

/// A stretch of guest physical memory and its place in the memory image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryRegion {
    /// First guest physical page (`regionPPN`), 4096 bytes each.
    pub guest_page: u64,
    /// First page in the memory image (`regionPageNum`).
    pub image_page: u64,
    /// Pages (`regionSize`).
    pub pages: u64,
}

/// The memory image of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum MemoryImage {
    /// No memory was saved.
    None,
    /// Inside this file.
    Inline {
        /// Where; the image begins behind the padding.
        block: Block,
        /// Empty: one region, guest address = place in the image.
        regions: Vec<MemoryRegion>,
    },
    /// In a `.vmem` of the same stem.
    Sibling {
        /// How long it has to be; `None` where neither regions nor `memSize` tell.
        expected_length: Option<Bytes>,
        /// Empty: one region, guest address = place in the image.
        regions: Vec<MemoryRegion>,
    },
}

pub(super) fn image(view: &TagView, defects: &mut DefectList) -> MemoryImage {
    let Some(group) = view.groups.iter().find(|group| group.name == "memory") else {
        return MemoryImage::None;
    };
    let regions = regions(view, group.position, defects);
    let from_regions =
        regions.iter().filter_map(|region| region.image_page.checked_add(region.pages)).max();
    let from_setting = view.number("Checkpoint", "memSize").and_then(|mib| mib.checked_mul(256));
    let pages = from_regions.or(from_setting);
    let expected = pages.and_then(|pages| pages.checked_mul(PAGE_BYTES));
    let Some(block) = view.block("memory", "Memory") else {
        return MemoryImage::Sibling { expected_length: expected.map(Bytes), regions };
    };
    if let Some(expected) = expected.filter(|expected| *expected != block.in_memory.0) {
        let kind = DefectKind::Mismatch {
            expected: format!("{expected} bytes, as the regions say"),
            found: block.in_memory.to_string(),
        };
        defects.add_at("memory/Memory", block.at, kind);
    }
    MemoryImage::Inline { block, regions }
}

fn regions(view: &TagView, at: ByteOffset, defects: &mut DefectList) -> Vec<MemoryRegion> {
    let count = view.number("memory", "regionsCount").unwrap_or(0);
    if count > MAX_REGIONS {
        let kind = DefectKind::OutOfRange { value: count, min: 0, max: MAX_REGIONS };
        defects.add_at("memory/regionsCount", at, kind);
    }
    let field = |name: &str, index: u32| {
        view.tags_of("memory", name).find(|tag| tag.indices == [index]).and_then(|tag| {
            match &tag.value {
                TagValue::Inline(bytes) => super::facts::little_endian(bytes),
                TagValue::Block(_) => None,
            }
        })
    };
    let mut found: Vec<MemoryRegion> = Vec::new();
    for index in 0..u32::try_from(count.min(MAX_REGIONS)).unwrap_or(0) {
        let parts =
            (field("regionPPN", index), field("regionPageNum", index), field("regionSize", index));
        let (Some(guest_page), Some(image_page), Some(pages)) = parts else {
            let what = format!("memory region {index}");
            defects.add_at("memory", at, DefectKind::Missing { what });
            continue;
        };
        let end = image_page.saturating_add(pages);
        let taken = found.iter().any(|other| {
            image_page < other.image_page.saturating_add(other.pages) && other.image_page < end
        });
        if taken {
            let to = ByteOffset(image_page.saturating_mul(PAGE_BYTES));
            defects.add_at("memory/regionPageNum", at, DefectKind::Overlap { to });
        }
        found.push(MemoryRegion { guest_page, image_page, pages });
    }
    found
}
