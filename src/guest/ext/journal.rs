//! What waits in the journal, read in place of the blocks that it will be written over.

use std::collections::HashMap;

use vmglean_formats::{
    ByteOffset, ReadAt as _,
    ext::{Inode, Journal, JournalBlock, Tag, is_inode},
};

use super::{base::Base, map::stream};
use crate::guest::{Stream, StreamReader};

/// Longest journal that is followed.
const LONGEST: u64 = 64 << 30;
/// Blocks that are kept.
const MOST_BLOCKS: usize = 1 << 26;

/// A newer copy of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copy {
    /// Where it lies on the disk.
    pub(super) at: u64,
    /// Whether its first word is to be put back.
    pub(super) is_escaped: bool,
}

/// What the journal says.
#[derive(Default)]
pub(super) struct Waiting {
    /// Newer copies by block of the volume.
    pub(super) copies: HashMap<u64, Copy>,
    /// Why what is read may be older than what the machine knew.
    pub(super) doubt: Option<String>,
    /// Blocks of a journal that was found without its inode: first ones and how many.
    pub(super) places: Vec<(u64, u64)>,
}

/// That nothing is left which tells.
pub(super) const UNTOLD: &str = "its journal or where that lies is lost, and so is the superblock \
                                 that says whether it was written back when the machine stopped: \
                                 what is read may be older";
const TORN: &str = "its journal was not written back when the machine stopped, and is not all \
                    there: what is read may be older";
const FAST: &str =
    "its journal waits with fast commits, which are not read: what is read may be older";

struct Ring<'a> {
    base: &'a Base<'a>,
    stream: &'a Stream,
    journal: Journal,
}

/// Reads what waits. Where the journal is lost and might wait, that is a doubt about all that is
/// read: an inode may since have been given to another file, and its blocks too.
pub(super) fn waiting(base: &Base<'_>) -> Waiting {
    let shape = &base.shape;
    if !shape.has_journal() {
        return Waiting::default();
    }
    // Copies of the superblock do not say whether one waits; the journal's own does.
    let is_told = shape.group == 0;
    if is_told && !shape.is_journal_pending {
        return Waiting::default();
    }
    let why = if is_told { TORN } else { UNTOLD };
    let nothing = || Waiting { doubt: Some(why.to_owned()), ..Waiting::default() };
    let Some((stream, places)) = journal_stream(base) else { return nothing() };
    let reader = StreamReader::new(base.ground, &stream);
    let Ok(head) = reader.read_up_to(ByteOffset(0), 1024) else { return nothing() };
    let is_good =
        place_of(&stream, 0).is_some_and(|at| base.ground.is_good(at..at.saturating_add(1024)));
    let Some(journal) = Journal::parse(&head).filter(|_| is_good) else { return nothing() };
    if u64::from(journal.block_bytes) != shape.block_bytes {
        return nothing();
    }
    if journal.start == 0 {
        return Waiting { places, ..Waiting::default() };
    }
    let mut waiting = Ring { base, stream: &stream, journal }.replay();
    waiting.places = places;
    // Changes of such a kind lie behind the ring and are not read.
    if shape.compat & 0x400 != 0 {
        waiting.doubt = Some(FAST.to_owned());
    }
    waiting
}

/// The journal's bytes, by its inode, else by the copy of that in copies of the superblock; then
/// its blocks too.
fn journal_stream(base: &Base<'_>) -> Option<(Stream, Vec<(u64, u64)>)> {
    let is_whole = |stream: &Stream| {
        stream.defects.is_empty() && stream.has_clusters() && stream.size <= LONGEST
    };
    if let Some(stream) = by_inode(base).filter(is_whole) {
        return Some((stream, Vec::new()));
    }
    let copy = base.shape.journal_copy()?;
    let stream = stream(base, base.shape.journal_inode, &copy);
    let places = stream.clusters().collect();
    is_whole(&stream).then_some((stream, places))
}

fn by_inode(base: &Base<'_>) -> Option<Stream> {
    let number = base.shape.journal_inode;
    let index = u64::from(number.checked_sub(1)?);
    let each = base.shape.inodes_per_group.max(1);
    let group = base.group(index / each)?;
    let bytes = base.shape.inode_bytes;
    let at = base.at(group.group.inode_table)?.checked_add((index % each).checked_mul(bytes)?)?;
    if !base.ground.is_good(at..at.checked_add(bytes)?) {
        return None;
    }
    let bytes = base.ground.read(at, usize::try_from(bytes).ok()?).ok()?;
    if !is_inode(&bytes, u64::from(number), &base.shape) {
        return None;
    }
    Some(stream(base, number, &Inode::parse(&bytes)?))
}

/// Where a byte of the journal lies on the disk.
fn place_of(stream: &Stream, offset: u64) -> Option<u64> {
    let block = stream.cluster_bytes.max(1);
    let vcn = offset / block;
    let next = stream.runs.partition_point(|run| run.end() <= vcn);
    let run = stream.runs.get(next).filter(|run| run.vcn <= vcn)?;
    let lcn = run.lcn?.checked_add(vcn - run.vcn)?;
    stream.volume_start.checked_add(lcn.checked_mul(block)?)?.checked_add(offset % block)
}

impl Ring<'_> {
    /// A block of the journal with its place, and whether the map vouches for it.
    fn read(&self, block: u32) -> Option<(Vec<u8>, u64, bool)> {
        let length = u64::from(self.journal.block_bytes);
        let at = place_of(self.stream, u64::from(block).checked_mul(length)?)?;
        let is_good = self.base.ground.is_good(at..at.checked_add(length)?);
        let bytes = self.base.ground.read(at, usize::try_from(length).ok()?).ok()?;
        Some((bytes, at, is_good))
    }

    /// Follows the ring from its first transaction to where the numbers end.
    fn replay(&self) -> Waiting {
        let mut waiting = Waiting::default();
        let mut revoked: HashMap<u64, u32> = HashMap::new();
        let mut held: Vec<(u64, u32, Copy)> = Vec::new();
        let mut open: Vec<(u64, u32, Copy)> = Vec::new();
        let mut sequence = self.journal.sequence;
        let mut at = self.journal.start;
        let mut left = self.journal.blocks;
        let lost = loop {
            if left == 0 || held.len() > MOST_BLOCKS {
                break true;
            }
            let Some((bytes, _, is_good)) = self.read(at) else { break true };
            let block = self.journal.block(&bytes, sequence);
            // The ring ends at what is no block of the next number, if that can be believed.
            let Some(block) = block.filter(|_| is_good || self.journal.has_sums()) else {
                break !is_good;
            };
            at = self.journal.after(at);
            left = left.saturating_sub(1);
            match block {
                JournalBlock::Tags(tags) => {
                    let Some(copies) = self.copies(&tags, &mut at, &mut left, sequence) else {
                        break true;
                    };
                    open.extend(copies);
                }
                JournalBlock::Revoked(blocks) => {
                    for block in blocks {
                        revoked.insert(block, sequence);
                    }
                }
                JournalBlock::Commit => {
                    held.append(&mut open);
                    sequence = sequence.wrapping_add(1);
                }
            }
        };
        for (block, sequence, copy) in held {
            let is_revoked =
                revoked.get(&block).is_some_and(|at| at.wrapping_sub(sequence).cast_signed() >= 0);
            if !is_revoked {
                waiting.copies.insert(block, copy);
            }
        }
        if lost {
            waiting.doubt = Some(TORN.to_owned());
        }
        waiting
    }

    /// The blocks that follow a list of tags; `None` where one of them is lost.
    fn copies(
        &self,
        tags: &[Tag],
        at: &mut u32,
        left: &mut u32,
        sequence: u32,
    ) -> Option<Vec<(u64, u32, Copy)>> {
        let mut copies = Vec::new();
        for tag in tags {
            *left = left.checked_sub(1)?;
            let (bytes, place, is_good) = self.read(*at)?;
            if !self.journal.data_holds(tag, &bytes, sequence).unwrap_or(is_good) {
                return None;
            }
            *at = self.journal.after(*at);
            copies.push((tag.block, sequence, Copy { at: place, is_escaped: tag.is_escaped }));
        }
        Some(copies)
    }
}
