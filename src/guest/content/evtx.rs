//! Windows event logs: the file's head and every chunk carry checksums.

use vmglean_formats::{ByteOffset, MediumError, ReadAt};

use super::{Content, Told};

const KIND: &str = "evtx";
/// Bytes before the first chunk.
pub(in crate::guest) const HEAD_BYTES: u64 = 4096;
/// Bytes of every chunk.
pub(in crate::guest) const CHUNK_BYTES: u64 = 65_536;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Whether a chunk's two checksums hold; `None` where it is no chunk.
pub(in crate::guest) fn is_chunk_whole(chunk: &[u8]) -> Option<bool> {
    if !chunk.starts_with(b"ElfChnk\0") {
        return None;
    }
    let end = usize::try_from(word(chunk, 48)?).ok()?;
    let data = chunk.get(512..end)?;
    let mut head = crc32fast::Hasher::new();
    head.update(chunk.get(..120)?);
    head.update(chunk.get(128..512)?);
    Some(word(chunk, 124)? == head.finalize() && word(chunk, 52)? == crc32fast::hash(data))
}

pub(super) fn test(file: &dyn ReadAt, head: &[u8]) -> Result<Told, MediumError> {
    let is_dirty = word(head, 120).unwrap_or(0) & 1 != 0;
    let head_holds = head.get(..120).map(crc32fast::hash) == word(head, 124);
    let (mut good, mut bad, mut first_bad) = (0_u64, 0_u64, None);
    let mut at = HEAD_BYTES;
    while at + CHUNK_BYTES <= file.len_bytes() {
        let chunk = file.read_up_to(ByteOffset(at), CHUNK_BYTES as usize)?;
        match is_chunk_whole(&chunk) {
            Some(true) => good += 1,
            None if chunk.iter().all(|byte| *byte == 0) => {}
            Some(false) | None => {
                bad += 1;
                first_bad.get_or_insert(at);
            }
        }
        at += CHUNK_BYTES;
    }
    let all = good + bad;
    Ok(match first_bad {
        None if head_holds && good > 0 => {
            Told::new(KIND, Content::Proven, format!("{good} of {all} chunks hold"))
        }
        None => Told::new(KIND, Content::Consistent, format!("{good} of {all} chunks hold")),
        // The chunk that was being written when the machine stopped.
        Some(_) if is_dirty && bad == 1 && good > 0 => {
            Told::new(KIND, Content::Consistent, format!("{good} of {all} chunks hold, not closed"))
        }
        Some(at) => Told::new(
            KIND,
            Content::Contradicted,
            format!("{good} of {all} chunks hold; the first that does not lies at {at:#x}"),
        ),
    })
}
