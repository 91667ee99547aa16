//! One pass over the bytes that are not encrypted, for everything that describes itself.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use rayon::prelude::*;
use vmglean_formats::{
    ByteOffset,
    ext::Superblock,
    ntfs::{BootSector, FileName, FileRecord, IndexBlock, RecordHead, Reference, kinds},
};

use super::{Ground, xfs::XfsHits};

/// Structures begin at sectors.
pub const SECTOR: u64 = 512;
/// Bytes searched in one piece by one thread.
const PIECE_BYTES: u64 = 4 << 20;
/// Longest structure that is read here: one that begins in a piece may end this far behind it.
const LONGEST: u64 = 64 << 10;
/// Hits of one kind that are kept: 2^31 records are a table of 2 TiB.
const MOST_RECORDS: usize = 1 << 31;
/// Superblocks kept of one piece: one a group is far less.
const MOST_SUPERS: usize = 1024;

/// A file record whose fix-ups and attributes hold, and none of whose bytes is known as bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHit {
    /// Where it lies on the disk.
    pub at: u64,
    /// Its own number.
    pub number: u32,
    /// Use of that number.
    pub sequence: u16,
    /// Whether it is in use.
    pub is_in_use: bool,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether the map vouches for all of its bytes.
    pub is_good: bool,
    /// Whether its attributes end as they should.
    pub is_whole: bool,
    /// Number of the first record of its file, where it is a later one.
    pub base: Option<u32>,
    /// Last log record that changed it.
    pub lsn: u64,
    /// Base-2 logarithm of its length.
    pub size_log2: u8,
    /// Base-2 logarithm of the cluster size its attributes speak for; 0: they do not tell.
    pub cluster_log2: u8,
    /// Its first name in [`Hits::names`].
    pub first_name: u32,
    /// How many names it has.
    pub names: u16,
}

impl RecordHit {
    /// Its length.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        1 << u32::from(self.size_log2).min(63)
    }
}

/// One name of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameHit {
    /// Its folder.
    pub parent: Reference,
    /// Whether it is only the 8.3 form.
    pub is_dos_only: bool,
    start: usize,
    length: u16,
}

/// An index block of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexHit {
    /// Where it lies on the disk.
    pub at: u64,
    /// Its own place in the index.
    pub vcn: u64,
    /// The folder.
    pub folder: Reference,
    /// Its length.
    pub bytes: u32,
}

/// A boot sector or its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootHit {
    /// Where it lies on the disk.
    pub at: u64,
    /// What it says.
    pub boot: BootSector,
}

/// A superblock of ext2, ext3 or ext4, or its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperHit {
    /// Where it lies on the disk.
    pub at: u64,
    /// What it says.
    pub shape: Superblock,
}

/// The first block of a folder of ext2, ext3 or ext4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderHit {
    /// Where it lies on the disk.
    pub at: u64,
    /// The folder's inode.
    pub inode: u32,
    /// The inode of the folder it lies in.
    pub parent: u32,
}

/// What the pass found, each list in the order of the disk.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    /// NTFS file records.
    pub records: Vec<RecordHit>,
    /// NTFS index blocks.
    pub indexes: Vec<IndexHit>,
    /// NTFS boot sectors.
    pub boots: Vec<BootHit>,
    /// ext superblocks.
    pub supers: Vec<SuperHit>,
    /// First blocks of ext folders.
    pub folders: Vec<FolderHit>,
    /// Structures of XFS.
    pub xfs: XfsHits,
    /// Sectors that begin as a GPT header does.
    pub gpt: Vec<u64>,
    /// Sectors that begin as a label of LVM2 does.
    pub labels: Vec<u64>,
    /// Sectors that begin as the header of an LVM2 metadata area does.
    pub areas: Vec<u64>,
    /// Sectors that begin as a backup of LVM2's text does.
    pub texts: Vec<u64>,
    names: Vec<NameHit>,
    text: Vec<u8>,
}

impl Hits {
    /// Names of a record.
    #[must_use]
    pub fn names_of(&self, hit: &RecordHit) -> &[NameHit] {
        let first = hit.first_name as usize;
        self.names.get(first..first + usize::from(hit.names)).unwrap_or_default()
    }

    /// A name's text in WTF-8.
    #[must_use]
    pub fn text(&self, name: &NameHit) -> &[u8] {
        self.text.get(name.start..name.start + usize::from(name.length)).unwrap_or_default()
    }

    fn take(&mut self, other: Self) {
        let (names, text) = (self.names.len(), self.text.len());
        if self.records.len().saturating_add(other.records.len()) > MOST_RECORDS {
            return;
        }
        let first = u32::try_from(names).unwrap_or(u32::MAX);
        self.records.extend(other.records.into_iter().map(|mut hit| {
            hit.first_name = hit.first_name.saturating_add(first);
            hit
        }));
        self.names.extend(other.names.into_iter().map(|mut name| {
            name.start += text;
            name
        }));
        self.text.extend(other.text);
        self.indexes.extend(other.indexes);
        self.boots.extend(other.boots);
        self.supers.extend(other.supers);
        self.folders.extend(other.folders);
        self.xfs.take(other.xfs);
        self.gpt.extend(other.gpt);
        self.labels.extend(other.labels);
        self.areas.extend(other.areas);
        self.texts.extend(other.texts);
    }
}

/// Searches the disk. `told` hears of bytes done. Stops early, with what it has, when `stop` is
/// set.
#[must_use]
pub fn scan(
    ground: &Ground<'_>,
    threads: usize,
    stop: &AtomicBool,
    told: &(dyn Fn(u64) + Sync),
) -> Hits {
    let pieces: Vec<Range<u64>> = ground.searchable().into_iter().flat_map(cut).collect();
    let mut hits = Hits::default();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
    // A batch at a time, so that what comes out waits in no long queue.
    for batch in pieces.chunks(threads.max(1).saturating_mul(16)) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let search = || -> Vec<Hits> {
            batch
                .par_iter()
                .map(|range| {
                    let found = piece(ground, range.clone());
                    told(range.end - range.start);
                    found
                })
                .collect()
        };
        let found = match &pool {
            Ok(pool) => pool.install(search),
            Err(_) => search(),
        };
        for found in found {
            hits.take(found);
        }
    }
    hits
}

fn cut(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let start = range.start.next_multiple_of(SECTOR);
    let count = range.end.saturating_sub(start).div_ceil(PIECE_BYTES);
    (0..count).map(move |n| {
        let from = start + n * PIECE_BYTES;
        from..(from + PIECE_BYTES).min(range.end)
    })
}

fn piece(ground: &Ground<'_>, range: Range<u64>) -> Hits {
    let mut hits = Hits::default();
    let end = range.end.saturating_add(LONGEST).min(ground.size());
    let length = usize::try_from(end.saturating_sub(range.start)).unwrap_or(0);
    let own = usize::try_from(range.end - range.start).unwrap_or(0);
    match ground.read(range.start, length) {
        Ok(bytes) => search(ground, range.start, &bytes, own, &mut hits),
        Err(_) if length > SECTOR as usize => {
            // Somewhere in it the medium fails: what can be had is had sector group by group.
            let mut at = range.start;
            while at < range.end {
                let take = usize::try_from((end - at).min(8192)).unwrap_or(0);
                if let Ok(bytes) = ground.read(at, take) {
                    search(ground, at, &bytes, take.min(4096), &mut hits);
                }
                at += 4096;
            }
        }
        Err(_) => {}
    }
    hits
}

fn search(ground: &Ground<'_>, start: u64, bytes: &[u8], own: usize, hits: &mut Hits) {
    let mut place = 0;
    while place < own {
        let Some(rest) = bytes.get(place..) else { break };
        let Some((first, tail)) = rest.split_first_chunk::<4>() else { break };
        let at = start + place as u64;
        if rest.get(0x38..0x3A) == Some(&[0x53, 0xEF]) {
            superblock(ground, at, rest, hits);
        }
        if tail.first() == Some(&12) && tail.get(4..8) == Some(b".\0\0\0") {
            folder(ground, at, rest, hits);
        }
        // After the sum of an area's header.
        if tail.starts_with(b" LVM2 x[5A%r0N*>") {
            hits.areas.push(at);
        }
        match first {
            b"LABE" if tail.starts_with(b"LONE") => hits.labels.push(at),
            b"# Ge" if tail.starts_with(b"nerated by LVM2") => hits.texts.push(at),
            b"FILE" => record(ground, at, rest, hits),
            b"INDX" => index(ground, at, rest, hits),
            b"EFI " => hits.gpt.push(at),
            b"XFSB"
            | b"XAGF"
            | b"XDB3"
            | b"XDD3"
            | b"XDF3"
            | b"BMA3"
            | b"IAB3"
            | b"AB3B"
            | b"AB3C"
            | b"FIB3"
            | b"RMB3"
            | b"R3FC"
            | b"XSLM"
            | b"\xFE\xED\xBA\xBE"
            | [b'I', b'N', ..] => {
                hits.xfs.look(ground, at, rest);
            }
            _ => {
                if first[3] == b'N' && tail.starts_with(b"TFS    ") {
                    boot(ground, at, rest, hits);
                }
            }
        }
        place += SECTOR as usize;
    }
}

fn superblock(ground: &Ground<'_>, at: u64, rest: &[u8], hits: &mut Hits) {
    let Some(block) = rest.get(..1024) else { return };
    let Some(shape) = Superblock::parse(block) else { return };
    let is_believed =
        shape.sum_holds(block).unwrap_or_else(|| ground.is_good(at..at.saturating_add(1024)));
    if is_believed && hits.supers.len() < MOST_SUPERS {
        hits.supers.push(SuperHit { at, shape });
    }
}

fn folder(ground: &Ground<'_>, at: u64, rest: &[u8], hits: &mut Hits) {
    let word = |at: usize| {
        rest.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes)
    };
    // Its first two entries are itself and the folder above.
    let (Some(inode), Some(parent)) = (word(0), word(12)) else { return };
    let is_first = rest.get(5..7) == Some(&[0, 1])
        && rest.get(18) == Some(&2)
        && rest.get(20..22) == Some(b"..");
    if is_first && inode > 1 && parent > 1 && ground.is_good(at..at.saturating_add(SECTOR)) {
        hits.folders.push(FolderHit { at, inode, parent });
    }
}

fn boot(ground: &Ground<'_>, at: u64, rest: &[u8], hits: &mut Hits) {
    let parsed = rest.get(..512).and_then(|sector| BootSector::parse(sector, ByteOffset(at)).ok());
    if let Some(boot) = parsed.filter(|_| ground.is_good(at..at + SECTOR)) {
        hits.boots.push(BootHit { at, boot });
    }
}

fn record(ground: &Ground<'_>, at: u64, rest: &[u8], hits: &mut Hits) {
    let Some(head) = RecordHead::parse(rest) else { return };
    let Some(number) = head.number else { return };
    let length = u64::from(head.record_bytes);
    let tally = ground.tally(at..at.saturating_add(length));
    // An attack can spare the guarded ends of sectors; only the map tells then.
    if tally.encrypted > 0 || tally.gone > 0 {
        return;
    }
    let Some(bytes) = rest.get(..head.record_bytes as usize) else { return };
    let Ok(parsed) = FileRecord::parse(bytes.to_vec(), ByteOffset(at)) else { return };
    let is_whole = parsed.defects.is_empty();
    let record = parsed.value;
    let first_name = hits.names.len();
    for attribute in record.of_kind(kinds::FILE_NAME) {
        let Some(name) = record.value(attribute).and_then(FileName::parse) else { continue };
        let length = u16::try_from(name.name.len()).unwrap_or(0);
        let is_dos_only = name.is_dos_only();
        let start = hits.text.len();
        hits.text.extend_from_slice(&name.name);
        hits.names.push(NameHit { parent: name.parent, is_dos_only, start, length });
    }
    let cluster = record.attributes.iter().find_map(|attribute| attribute.cluster_bytes());
    hits.records.push(RecordHit {
        at,
        number,
        sequence: head.sequence,
        is_in_use: head.is_in_use,
        is_folder: head.is_folder,
        is_good: tally.bad() == 0,
        is_whole,
        base: head.base.map(|base| u32::try_from(base.number).unwrap_or(u32::MAX)),
        lsn: head.lsn,
        size_log2: head.record_bytes.trailing_zeros() as u8,
        cluster_log2: cluster.map_or(0, |bytes| bytes.trailing_zeros() as u8),
        first_name: u32::try_from(first_name).unwrap_or(u32::MAX),
        names: u16::try_from(hits.names.len() - first_name).unwrap_or(u16::MAX),
    });
}

fn index(ground: &Ground<'_>, at: u64, rest: &[u8], hits: &mut Hits) {
    let Some(length) = block_length(rest) else { return };
    let Some(bytes) = rest.get(..length) else { return };
    if !ground.is_good(at..at + length as u64) {
        return;
    }
    let mut copy = bytes.to_vec();
    let Ok(block) = IndexBlock::parse(&mut copy, ByteOffset(at)) else { return };
    let Some(folder) = block.folder() else { return };
    let bytes = u32::try_from(length).unwrap_or(u32::MAX);
    hits.indexes.push(IndexHit { at, vcn: block.vcn, folder, bytes });
}

/// Length of an index block, by its fix-ups.
fn block_length(bytes: &[u8]) -> Option<usize> {
    let count = usize::from(u16::from_le_bytes([*bytes.get(6)?, *bytes.get(7)?]));
    let length = count.checked_sub(1)?.checked_mul(512)?;
    (length.is_power_of_two() && (512..=LONGEST as usize).contains(&length)).then_some(length)
}
