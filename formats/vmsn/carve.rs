//! Finding the spare files when the group table is gone: their tags describe themselves.

use std::io::Read;

use memchr::memmem::Finder;
use serde::Serialize;

use super::{
    Block, MAX_SPARE_BYTES, TagValue,
    header::Magic,
    reader::Reader,
    walk::{Step, step},
};
use crate::{
    defect::{Checked, DefectKind},
    dict::{DefectList, looks_like_dictionary},
    read::ReadAt,
    units::{ByteOffset, Bytes},
};

const WINDOW_BYTES: usize = 1 << 20;
const RETRY_BYTES: usize = 4096;
/// Longest pattern less one, so that none is cut by a window.
const OVERLAP_BYTES: usize = 24;
/// Bytes of a compressed value that decide whether it begins as it should.
const INFLATED_HEAD_BYTES: u64 = 16 << 10;
/// Most finds kept; a machine's memory may hold copies of old checkpoints.
const MAX_FOUND: usize = 64;

/// A spare file found by its tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Carved {
    /// `cfgFile`, `nvramFile` or `extendedConfigFile`.
    pub name: &'static str,
    /// Where the tag begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// The value.
    pub block: Block,
}

/// Searches `from..to` for the tags `cfgFile`, `nvramFile` and `extendedConfigFile`.
///
/// A find counts only where its lengths hold and its value begins as such a file does. Streams
/// in 1 MiB windows; stretches the medium does not deliver are defects and are stepped over.
/// Guest memory may hold copies of another machine's checkpoint: compare what is found.
#[must_use]
pub fn carve(file: &dyn ReadAt, from: ByteOffset, to: ByteOffset) -> Checked<Vec<Carved>> {
    let mut defects = DefectList::new("Checkpoint");
    let mut found = Vec::new();
    let finders = [
        ("cfgFile", "\x07cfgFile"),
        ("nvramFile", "\x09nvramFile"),
        ("extendedConfigFile", "\x12extendedConfigFile"),
    ]
    .map(|(name, pattern)| (name, Finder::new(pattern.as_bytes())));
    let end = to.0.min(file.len_bytes());
    let mut at = from.0;
    let mut reader = Reader::new(file);
    'file: while at < end {
        let want = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(WINDOW_BYTES);
        let (window, bad) = window(file, at, want, &mut defects);
        let mut hits: Vec<(u64, &'static str)> = Vec::new();
        for (name, finder) in &finders {
            for hit in finder.find_iter(&window) {
                hits.push((at.saturating_add(u64::try_from(hit).unwrap_or(0)), name));
            }
        }
        hits.sort_unstable();
        for (hit, name) in hits {
            // The byte before the name's length tells that a block follows.
            let Some(tag_at) = hit.checked_sub(1) else { continue };
            if found.iter().any(|known: &Carved| known.at.0 == tag_at) {
                continue;
            }
            if let Some(block) = take(&mut reader, tag_at, name) {
                if found.len() >= MAX_FOUND {
                    let place = usize::try_from(tag_at).unwrap_or(usize::MAX);
                    defects.limit("carved tags", place, MAX_FOUND.saturating_add(1), MAX_FOUND);
                    break 'file;
                }
                found.push(Carved { name, at: ByteOffset(tag_at), block });
            }
        }
        let taken = window.len().saturating_add(bad);
        let next = at.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
        let overlap =
            if next < end && bad == 0 && taken > OVERLAP_BYTES { OVERLAP_BYTES } else { 0 };
        at = next.saturating_sub(u64::try_from(overlap).unwrap_or(0)).max(at.saturating_add(1));
    }
    Checked { value: found, defects: defects.finish() }
}

/// The bytes from `at` up to the first unreadable piece, and how many to step over behind them.
fn window(file: &dyn ReadAt, at: u64, want: usize, defects: &mut DefectList) -> (Vec<u8>, usize) {
    if let Ok(window) = file.read_up_to(ByteOffset(at), want) {
        return (window, 0);
    }
    let mut window = Vec::new();
    while window.len() < want {
        let place = at.saturating_add(u64::try_from(window.len()).unwrap_or(0));
        let piece = want.saturating_sub(window.len()).min(to_boundary(place));
        match file.read_up_to(ByteOffset(place), piece) {
            Ok(bytes) if !bytes.is_empty() => window.extend_from_slice(&bytes),
            Ok(_) => break,
            Err(error) => {
                let length = Bytes(u64::try_from(piece).unwrap_or(0));
                let kind = DefectKind::Unreadable { length, why: error.to_string() };
                defects.add_at("carve", ByteOffset(place), kind);
                return (window, piece);
            }
        }
    }
    (window, 0)
}

/// Bytes from `at` to the next multiple of the retry size, so that no good sector is lost.
fn to_boundary(at: u64) -> usize {
    let step = u64::try_from(RETRY_BYTES).unwrap_or(4096);
    usize::try_from(step.saturating_sub(at.checked_rem(step).unwrap_or(0))).unwrap_or(RETRY_BYTES)
}

/// The value of the tag at `at`, where everything about it holds.
fn take(reader: &mut Reader, at: u64, name: &str) -> Option<Block> {
    [Magic::Normal, Magic::Old].into_iter().find_map(|magic| {
        let end = reader.len();
        let Step::Tag(tag, _) = step(reader, magic, 0, at, end) else { return None };
        let TagValue::Block(block) = tag.value else { return None };
        let sizes = block.compressed || block.stored == block.in_memory;
        let bounded = (1..=MAX_SPARE_BYTES).contains(&block.in_memory.0);
        let fits = tag.name == name && tag.indices.is_empty() && sizes && bounded;
        (fits && begins_right(reader, &block, name)).then_some(block)
    })
}

fn begins_right(reader: &mut Reader, block: &Block, name: &str) -> bool {
    let want = usize::try_from(block.stored.0).unwrap_or(usize::MAX);
    let Ok(stored) = reader.up_to(block.at.0, want) else { return false };
    let mut head = Vec::new();
    if block.compressed {
        // Only the beginning: many hits on one bomb must stay cheap.
        let inflater = flate2::read::ZlibDecoder::new(stored);
        let _ = inflater.take(INFLATED_HEAD_BYTES).read_to_end(&mut head);
    } else {
        head.extend_from_slice(stored);
    }
    let text_end = head.iter().position(|byte| *byte == 0).unwrap_or(head.len());
    let text = head.get(..text_end).unwrap_or_default();
    match name {
        "cfgFile" => looks_like_dictionary(text),
        "nvramFile" => head.starts_with(b"MRVN"),
        _ => text.starts_with(b"<?xml") || text.starts_with(b"<Foundry"),
    }
}
