//! What waits in the journal, read in place of the blocks that it will be written over.

use std::collections::HashMap;

use vmglean_formats::{
    ByteOffset, ReadAt as _,
    ext::{Inode, Journal, JournalBlock, Tag, is_inode},
};

use super::{base::Base, map::stream};
use crate::guest::{Stream, StreamReader};

/// Inode of the journal.
const JOURNAL: u32 = 8;
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
    /// Whether nothing tells if something waits.
    pub(super) is_unknown: bool,
    /// Why what is read may be older than what the machine knew.
    pub(super) doubt: Option<String>,
}

struct Ring<'a> {
    base: &'a Base<'a>,
    stream: &'a Stream,
    journal: Journal,
}

/// Reads what waits. Where the journal is lost, whether anything waits is unknown, and what is
/// read is taken as it stands.
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
    let doubt = || {
        let what = "its journal was not written back when the machine stopped, and is not all \
                    there: what is read may be older";
        is_told.then(|| what.to_owned())
    };
    let nothing = || Waiting { is_unknown: !is_told, doubt: doubt(), ..Waiting::default() };
    let Some(stream) = journal_stream(base) else { return nothing() };
    let reader = StreamReader::new(base.ground, &stream);
    let Ok(head) = reader.read_up_to(ByteOffset(0), 1024) else { return nothing() };
    let is_good =
        place_of(&stream, 0).is_some_and(|at| base.ground.is_good(at..at.saturating_add(1024)));
    let Some(journal) = Journal::parse(&head).filter(|_| is_good) else { return nothing() };
    if u64::from(journal.block_bytes) != shape.block_bytes {
        return nothing();
    }
    if journal.start == 0 {
        return Waiting::default();
    }
    let mut waiting = Ring { base, stream: &stream, journal }.replay();
    // Changes of such a kind lie behind the ring and are not read.
    if shape.compat & 0x400 != 0 {
        waiting.doubt = Some(
            "its journal waits with fast commits, which are not read: what is read may be older"
                .to_owned(),
        );
    }
    waiting
}

fn journal_stream(base: &Base<'_>) -> Option<Stream> {
    let group = base.group(0)?;
    let bytes = base.shape.inode_bytes;
    let at = base.at(group.group.inode_table)?.checked_add(u64::from(JOURNAL - 1) * bytes)?;
    if !base.ground.is_good(at..at.checked_add(bytes)?) {
        return None;
    }
    let bytes = base.ground.read(at, usize::try_from(bytes).ok()?).ok()?;
    if !is_inode(&bytes, u64::from(JOURNAL), &base.shape) {
        return None;
    }
    let stream = stream(base, JOURNAL, &Inode::parse(&bytes)?);
    let is_whole = stream.defects.is_empty() && stream.has_clusters() && stream.size <= LONGEST;
    is_whole.then_some(stream)
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
            waiting.doubt = Some(
                "its journal was not written back when the machine stopped, and is not all \
                 there: what is read may be older"
                    .to_owned(),
            );
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
