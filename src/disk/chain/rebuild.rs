//! Extents whose header is lost: the layout that their size gives, proven by what is found there.
//!
//! A layout counts only where its directory or tables hold what only a writer of that format
//! puts there: random bytes hit such a value once in four billion. What is not proven stays lost.

use vmglean_formats::{
    ByteOffset, ReadAt, Sectors,
    vmdk::{
        CowdExtent, CowdLayout, ExtentFormat, ExtentMap, SeEntry, SeSparseExtent, SeSparseLayout,
        SparseExtent, SparseHeader, SparseLayout,
    },
};

/// Directory entries looked at.
const MAX_ENTRIES: u64 = 1 << 20;
/// Tables looked at where both directories are lost.
const MAX_TABLES: u64 = 8192;
/// Sectors of a grain that writers use, the usual one first.
const GRAINS: [u64; 5] = [128, 8, 16, 32, 64];

/// An extent read through a computed layout.
pub(super) struct Rebuilt {
    pub(super) format: ExtentFormat,
    pub(super) map: Box<dyn ExtentMap>,
    pub(super) grain_bytes: u64,
    pub(super) capacity: Sectors,
    /// What proves the layout, for a reader.
    pub(super) proof: String,
}

/// Reads an extent of `capacity` without its header. `formats` are those its descriptor or name
/// speaks for, likeliest first.
pub(super) fn rebuild(
    file: &dyn ReadAt,
    formats: &[ExtentFormat],
    capacity: Sectors,
) -> Option<Rebuilt> {
    capacity.to_bytes().filter(|bytes| bytes.0 > 0)?;
    formats.iter().find_map(|format| match format {
        ExtentFormat::HostedSparse => hosted(file, capacity),
        ExtentFormat::StreamOptimized => stream(file, capacity),
        ExtentFormat::Cowd => cowd(file, capacity),
        ExtentFormat::SeSparse => sesparse(file, capacity),
    })
}

fn u32s(file: &dyn ReadAt, sector: u64, count: u64) -> Vec<u32> {
    let length = usize::try_from(count.saturating_mul(4)).unwrap_or(0);
    let bytes = file.read_up_to(ByteOffset(sector.saturating_mul(512)), length);
    let bytes = bytes.unwrap_or_default();
    bytes.as_chunks::<4>().0.iter().map(|entry| u32::from_le_bytes(*entry)).collect()
}

fn hosted(file: &dyn ReadAt, capacity: Sectors) -> Option<Rebuilt> {
    let descriptors = [Some((Sectors(1), Sectors(20))), None];
    for grain in GRAINS {
        for descriptor in descriptors {
            let layout = SparseLayout::from_capacity(capacity, Sectors(grain), descriptor)?;
            if layout.overhead.0.saturating_mul(512) > file.len_bytes() {
                continue;
            }
            if let Some(proof) = hosted_proof(file, &layout) {
                let extent = SparseExtent::from_layout(&layout);
                return Some(Rebuilt {
                    format: ExtentFormat::HostedSparse,
                    map: Box::new(extent),
                    grain_bytes: grain * 512,
                    capacity,
                    proof,
                });
            }
        }
    }
    None
}

fn hosted_proof(file: &dyn ReadAt, layout: &SparseLayout) -> Option<String> {
    let count = layout.tables.min(MAX_ENTRIES);
    let agree = |gd: Sectors, place: fn(&SparseLayout, u64) -> Option<u64>| {
        let entries = u32s(file, gd.0, count);
        let named = (0..).zip(&entries).filter(|(table, entry)| {
            place(layout, *table).is_some_and(|sector| sector == u64::from(**entry))
        });
        named.count() as u64
    };
    let primary = agree(layout.gd, SparseLayout::table);
    let redundant = agree(layout.redundant_gd, SparseLayout::redundant_table);
    let best = primary.max(redundant);
    if best > 0 {
        // A stream may have the same directory; its grains lie at any sector.
        if names_no_grains(file, layout) {
            return None;
        }
        return Some(format!(
            "{best} of {count} entries of a grain directory stand where the layout puts the tables"
        ));
    }
    // Both directories are lost: tables that hold grains prove it as well.
    let mut good = 0_u64;
    for table in 0..layout.tables.min(MAX_TABLES) {
        for sector in [layout.table(table), layout.redundant_table(table)].into_iter().flatten() {
            let entries = u32s(file, sector, 512);
            good +=
                entries.chunks(128).filter(|part| holds_grains(part, file, layout)).count() as u64;
        }
    }
    (good > 0).then(|| {
        format!(
            "{good} sectors of grain tables name grains, and nothing but grains, inside the file"
        )
    })
}

/// Whether the tables hold more sectors with entries that cannot be grains of this layout than
/// sectors with nothing but grains: then it is another format's.
fn names_no_grains(file: &dyn ReadAt, layout: &SparseLayout) -> bool {
    let end = file.len_bytes() / 512;
    let (mut grains, mut others) = (0_u64, 0_u64);
    for table in 0..layout.tables.min(MAX_TABLES) {
        for sector in [layout.table(table), layout.redundant_table(table)].into_iter().flatten() {
            for part in u32s(file, sector, 512).chunks(128) {
                let mut used = part.iter().map(|e| u64::from(*e)).filter(|e| *e > 1).peekable();
                if used.peek().is_none() {
                    continue;
                }
                // Inside the file, yet no grain: noise is nearly always beyond it.
                let inside: Vec<u64> = used.filter(|entry| *entry < end).collect();
                if inside.is_empty() {
                    continue;
                }
                if inside
                    .iter()
                    .all(|e| *e >= layout.overhead.0 && e.is_multiple_of(layout.grain_size.0))
                {
                    grains += 1;
                } else {
                    others += 1;
                }
            }
        }
    }
    others > grains
}

/// Whether a sector of a table names at least two grains, and nothing that is none.
fn holds_grains(entries: &[u32], file: &dyn ReadAt, layout: &SparseLayout) -> bool {
    let end = file.len_bytes() / 512;
    let mut named = 0;
    for entry in entries.iter().map(|entry| u64::from(*entry)).filter(|entry| *entry != 0) {
        if entry < layout.overhead.0 || !entry.is_multiple_of(layout.grain_size.0) || entry >= end {
            return false;
        }
        named += 1;
    }
    named >= 2
}

fn stream(file: &dyn ReadAt, capacity: Sectors) -> Option<Rebuilt> {
    let header = SparseHeader::of_stream(capacity, Sectors(128));
    let extent = SparseExtent::from_header(header);
    let grains = extent.grains_by_marker(file);
    (grains > 0).then(|| Rebuilt {
        format: ExtentFormat::StreamOptimized,
        map: Box::new(extent),
        grain_bytes: 128 * 512,
        capacity,
        proof: format!("{grains} grains name their own place on the disk"),
    })
}

fn cowd(file: &dyn ReadAt, capacity: Sectors) -> Option<Rebuilt> {
    let layout = CowdLayout::from_capacity(capacity, Sectors(1))?;
    let end = file.len_bytes() / 512;
    let entries = u32s(file, layout.gd.0, layout.gd_entries.min(MAX_ENTRIES));
    let mut named: Vec<u64> =
        entries.iter().map(|entry| u64::from(*entry)).filter(|entry| *entry != 0).collect();
    let good = |entry: &u64| *entry >= layout.first_free.0 && *entry + 32 <= end;
    // Every entry that is used must be a place for a table, apart from all the others.
    if named.is_empty() || !named.iter().all(good) {
        return None;
    }
    named.sort_unstable();
    if named.windows(2).any(|pair| matches!(pair, [a, b] if b - a < 32)) {
        return None;
    }
    // And the tables must hold places behind the directory, none beyond the file.
    let proven = named.iter().take(64).filter(|table| {
        let entries = u32s(file, **table, 4096);
        let used = entries.iter().map(|e| u64::from(*e)).filter(|e| *e != 0);
        let (mut fit, mut all) = (0_u64, 0_u64);
        for entry in used {
            all += 1;
            fit += u64::from(entry >= layout.first_free.0 && entry < end);
        }
        all > 0 && fit == all
    });
    let proven = proven.count();
    (proven > 0).then(|| Rebuilt {
        format: ExtentFormat::Cowd,
        map: Box::new(CowdExtent::from_layout(&layout)),
        grain_bytes: 512,
        capacity,
        proof: format!(
            "{} entries of its grain directory lie apart inside the file, and {proven} of their \
             tables name sectors inside it",
            named.len()
        ),
    })
}

fn sesparse(file: &dyn ReadAt, capacity: Sectors) -> Option<Rebuilt> {
    let layout = SeSparseLayout::from_capacity(capacity)?;
    let count = capacity.0.div_ceil(8).div_ceil(4096).min(MAX_ENTRIES);
    let length = usize::try_from(count * 8).ok()?;
    let at = layout.gd.offset.to_offset()?;
    let bytes = file.read_up_to(at, length).ok()?;
    let tables = layout.tables.size.0 / 64;
    let (mut good, mut bad) = (0_u64, 0_u64);
    let mut first = None;
    for entry in bytes.as_chunks::<8>().0.iter().map(|entry| u64::from_le_bytes(*entry)) {
        match (entry, entry >> 32) {
            (0, _) => {}
            (_, 0x1000_0000) if entry & 0xffff_ffff < tables => {
                good += 1;
                first.get_or_insert(entry & 0xffff_ffff);
            }
            _ => bad += 1,
        }
    }
    if good == 0 || bad > 0 {
        return None;
    }
    // The first table named must hold entries of this format.
    let table = layout.tables.offset.0 + first? * 64;
    let bytes = file.read_up_to(ByteOffset(table * 512), 32_768).ok()?;
    let entries =
        bytes.as_chunks::<8>().0.iter().map(|entry| SeEntry::decode(u64::from_le_bytes(*entry)));
    let mut known = 0_u64;
    for entry in entries {
        match entry {
            SeEntry::Absent => {}
            SeEntry::Unknown(_) => return None,
            SeEntry::Grain(_) | SeEntry::Zero | SeEntry::Unmapped(_) => known += 1,
        }
    }
    (known > 0).then(|| Rebuilt {
        format: ExtentFormat::SeSparse,
        map: Box::new(SeSparseExtent::from_layout(file, &layout).value),
        grain_bytes: 4096,
        capacity,
        proof: format!(
            "{good} entries of its grain directory name tables, and {known} entries of the first \
             one are those of this format"
        ),
    })
}
