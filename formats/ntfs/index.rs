//! Index blocks of folders: names with references, and older names in what is no longer used.

use serde::Serialize;

use super::{
    FileName, Reference, index,
    name::{are_plausible, key, key_length},
    repair, u16_at, u32_at, u64_at,
};
use crate::{ByteOffset, Defect, DefectKind};

/// Where the index header begins in a block.
const HEADER_AT: usize = 24;
/// Entries begin with a reference, two lengths and flags.
const KEY_AT: usize = 16;

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexEntry {
    /// The record named.
    pub record: Reference,
    /// Its name, folder, times and sizes.
    pub name: FileName,
    /// Whether it lies in the block's unused end: deleted, renamed, or moved when the block was
    /// split.
    pub is_slack: bool,
}

/// One block of a folder's index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexBlock {
    /// Its own place in the index: clusters, or sectors where clusters are larger than blocks.
    pub vcn: u64,
    /// Number of the last log record that changed it.
    pub lsn: u64,
    /// Names, those in use first.
    pub entries: Vec<IndexEntry>,
}

impl IndexBlock {
    /// Reads a block; the bytes are repaired in place. Blocks of other indexes than names have
    /// no entries.
    ///
    /// # Errors
    /// A [`Defect`] where it is no block or its fix-ups do not hold.
    pub fn parse(bytes: &mut [u8], at: ByteOffset) -> Result<Self, Defect> {
        let found = u64::from(u32_at(bytes, 0).unwrap_or(0));
        let expected = u64::from(u32::from_le_bytes(*b"INDX"));
        if found != expected {
            let kind = DefectKind::Magic { expected, found };
            return Err(Defect::new("INDEX_ALLOCATION_BUFFER", "magic", at, kind));
        }
        repair(bytes, at)?;
        let vcn = u64_at(bytes, 16).unwrap_or(0);
        let lsn = u64_at(bytes, 8).unwrap_or(0);
        Ok(Self { vcn, lsn, entries: entries(bytes, HEADER_AT) })
    }

    /// The folder that most of its entries name as theirs.
    #[must_use]
    pub fn folder(&self) -> Option<Reference> {
        // Boyer-Moore: only a strict majority counts.
        let (mut held, mut votes) = (None, 0_usize);
        for entry in &self.entries {
            match held {
                Some(parent) if parent == entry.name.parent => votes = votes.saturating_add(1),
                _ if votes == 0 => (held, votes) = (Some(entry.name.parent), 1),
                _ => votes = votes.saturating_sub(1),
            }
        }
        let held = held?;
        let all = self.entries.iter().filter(|entry| entry.name.parent == held).count();
        (all.saturating_mul(2) > self.entries.len()).then_some(held)
    }
}

/// Names in a folder's `$INDEX_ROOT` value.
#[must_use]
pub fn index_root_entries(value: &[u8]) -> Vec<IndexEntry> {
    // Only an index of names (attribute 0x30).
    if u32_at(value, 0) != Some(0x30) { Vec::new() } else { entries(value, 16) }
}

fn entries(bytes: &[u8], header_at: usize) -> Vec<IndexEntry> {
    let mut found = Vec::new();
    let field = |offset: usize| u32_at(bytes, header_at.saturating_add(offset)).map_or(0, index);
    let place = |relative: usize| header_at.saturating_add(relative).min(bytes.len());
    let used_end = place(field(4));
    let end = place(field(8));
    let mut at = place(field(0));
    while at < used_end {
        let Some(entry) = bytes.get(at..used_end) else { break };
        let length = usize::from(u16_at(entry, 8).unwrap_or(0));
        let flags = u16_at(entry, 12).unwrap_or(0);
        if length < KEY_AT || !length.is_multiple_of(8) || length > entry.len() {
            break;
        }
        if flags & 2 != 0 {
            break;
        }
        if let Some(entry) = named(entry.get(..length).unwrap_or_default(), false) {
            found.push(entry);
        }
        at = at.saturating_add(length);
    }
    // The unused end, and all of the block where its header makes no sense.
    let mut at = used_end.max(place(field(0))).next_multiple_of(8);
    while let Some(rest) = bytes.get(at..end).filter(|rest| rest.len() > KEY_AT) {
        match named(rest, true) {
            Some(entry) => {
                let length = usize::from(u16_at(rest, 8).unwrap_or(8)).max(8);
                found.push(entry);
                at = at.saturating_add(length);
            }
            None => at = at.saturating_add(8),
        }
    }
    found
}

fn named(entry: &[u8], is_slack: bool) -> Option<IndexEntry> {
    let key_bytes = key_length(entry)?;
    let name = key(entry.get(KEY_AT..)?, key_bytes)?;
    let record = Reference::new(u64_at(entry, 0)?);
    let length = u16_at(entry, 8)?;
    let is_whole = usize::from(length) >= KEY_AT.saturating_add(usize::from(key_bytes))
        && length.is_multiple_of(8);
    let is_plausible =
        record.sequence != 0 && name.parent.sequence != 0 && are_plausible(&name.times);
    (is_plausible && (!is_slack || is_whole)).then_some(IndexEntry { record, name, is_slack })
}
