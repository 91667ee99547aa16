//! Registry hives, SQLite, PNG, PDF, JPEG.

use vmglean_formats::{ByteOffset, MediumError, ReadAt};

use super::{Content, Told, random::is_random};

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn big(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A hive's base block has a sum; its bins follow each other, and so do cells in each.
pub(super) fn registry(file: &dyn ReadAt, head: &[u8]) -> Result<Told, MediumError> {
    let told = |content, detail: String| Ok(Told::new("registry", content, detail));
    let sum = head.get(..508).map(|bytes| {
        let (words, _) = bytes.as_chunks::<4>();
        let sum = words.iter().fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
        match sum {
            0 => 1,
            u32::MAX => u32::MAX - 1,
            sum => sum,
        }
    });
    if sum.is_none() || sum != word(head, 508) {
        return told(Content::Contradicted, "the sum of its base block is wrong".to_owned());
    }
    let is_clean = word(head, 4) == word(head, 8);
    let length = u64::from(word(head, 40).unwrap_or(0));
    if length.saturating_add(4096) > file.len_bytes() {
        return told(Content::Contradicted, "it is shorter than its base block says".to_owned());
    }
    let (mut at, mut bins) = (0_u64, 0_u64);
    while at < length {
        let head = file.read_up_to(ByteOffset(4096 + at), 32)?;
        let size = u64::from(word(&head, 8).unwrap_or(0));
        let own = word(&head, 4).map(u64::from) == Some(at);
        let fits = size >= 4096 && size.is_multiple_of(4096) && at + size <= length;
        if !head.starts_with(b"hbin") || !own || !fits || size > 64 << 20 {
            // What was not yet written lies in the log beside it.
            let content = if is_clean { Content::Contradicted } else { Content::Untested };
            return told(content, format!("no bin where one must be, at {:#x}", 4096 + at));
        }
        let bin = file.read_up_to(ByteOffset(4096 + at), size as usize)?;
        let mut cell = 32_usize;
        while cell < bin.len() {
            let taken = word(&bin, cell).map(|size| size.cast_signed().unsigned_abs() as usize);
            match taken.filter(|taken| *taken >= 8 && taken % 8 == 0 && cell + taken <= bin.len()) {
                Some(taken) => cell += taken,
                None => {
                    let content = if is_clean { Content::Contradicted } else { Content::Untested };
                    let place = 4096 + at + cell as u64;
                    return told(
                        content,
                        format!("its cells do not follow each other at {place:#x}"),
                    );
                }
            }
        }
        bins += 1;
        at += size;
    }
    let open = if is_clean { "" } else { ", not closed: its .LOG files belong to it" };
    told(Content::Consistent, format!("{bins} bins hold{open}"))
}

pub(super) fn sqlite(file: &dyn ReadAt, head: &[u8]) -> Result<Told, MediumError> {
    let told = |content, detail: String| Ok(Told::new("sqlite", content, detail));
    let size = head.get(16..18).map_or(0, |b| u64::from(u16::from_be_bytes([b[0], b[1]])));
    let page_bytes = if size == 1 { 65_536 } else { size };
    let kind = head.get(100).copied().unwrap_or(0);
    if !page_bytes.is_power_of_two() || page_bytes < 512 || !matches!(kind, 2 | 5 | 10 | 13) {
        return told(Content::Contradicted, "its header does not hold".to_owned());
    }
    let counted = big(head, 24) == big(head, 92);
    let pages = u64::from(big(head, 28).unwrap_or(0));
    if counted && pages > 0 && pages.saturating_mul(page_bytes) > file.len_bytes() {
        // Pages may still lie in the write-ahead log.
        return told(
            Content::Untested,
            format!("its header counts {pages} pages, fewer are there"),
        );
    }
    told(Content::Consistent, format!("header holds, {} pages", file.len_bytes() / page_bytes))
}

pub(super) fn png(file: &dyn ReadAt) -> Result<Told, MediumError> {
    let told = |content, detail: String| Ok(Told::new("png", content, detail));
    let (mut at, mut chunks) = (8_u64, 0_u64);
    loop {
        let head = file.read_up_to(ByteOffset(at), 8)?;
        let Some(length) = big(&head, 0).map(u64::from).filter(|_| head.len() == 8) else {
            return told(Content::Contradicted, "it ends before its last chunk".to_owned());
        };
        if at.saturating_add(12 + length) > file.len_bytes() {
            return told(Content::Contradicted, format!("the chunk at {at:#x} passes its end"));
        }
        let mut crc = crc32fast::Hasher::new();
        let (mut place, end) = (at + 4, at + 8 + length);
        while place < end {
            let take = (end - place).min(1 << 20) as usize;
            crc.update(&file.read_up_to(ByteOffset(place), take)?);
            place += take as u64;
        }
        let stored = file.read_up_to(ByteOffset(end), 4)?;
        if big(&stored, 0) != Some(crc.finalize()) {
            return told(Content::Contradicted, format!("CRC of the chunk at {at:#x} is wrong"));
        }
        chunks += 1;
        at = end + 4;
        if head.get(4..) == Some(b"IEND") {
            break;
        }
    }
    let all = at == file.len_bytes();
    let content = if all { Content::Proven } else { Content::Consistent };
    told(content, format!("CRC of {chunks} chunks right"))
}

/// A PDF ends with the place of its table, and there the table is.
pub(super) fn pdf(file: &dyn ReadAt) -> Result<Told, MediumError> {
    let told = |content, detail: &str| Ok(Told::new("pdf", content, detail));
    let size = file.len_bytes();
    let tail_at = size.saturating_sub(4096);
    let tail = file.read_up_to(ByteOffset(tail_at), 4096)?;
    let find = |what: &[u8]| tail.windows(what.len()).rposition(|window| window == what);
    let Some(start) = find(b"startxref").filter(|_| find(b"%%EOF").is_some()) else {
        return if is_random(&tail) {
            told(Content::Contradicted, "it ends with random bytes")
        } else {
            told(Content::Untested, "no end mark")
        };
    };
    let digits: String = tail
        .iter()
        .skip(start + 9)
        .skip_while(|byte| byte.is_ascii_whitespace())
        .take_while(|byte| byte.is_ascii_digit())
        .take(20)
        .map(|byte| char::from(*byte))
        .collect();
    let Some(place) = digits.parse::<u64>().ok().filter(|place| *place < size) else {
        return told(Content::Untested, "its table lies past its end");
    };
    let table = file.read_up_to(ByteOffset(place), 4096)?;
    let is_object = table.first().is_some_and(u8::is_ascii_digit)
        && table.windows(4).take(40).any(|window| window == b" obj");
    if table.starts_with(b"xref") || is_object {
        told(Content::Consistent, "its table is where it says")
    } else if is_random(&table) {
        told(Content::Contradicted, "random bytes where its table must be")
    } else {
        told(Content::Untested, "its table is not where it says")
    }
}

pub(super) fn jpeg(file: &dyn ReadAt) -> Result<Told, MediumError> {
    let tail = file.read_up_to(ByteOffset(file.len_bytes().saturating_sub(2)), 2)?;
    let whole = tail == [0xFF, 0xD9];
    let content = if whole { Content::Consistent } else { Content::Untested };
    Ok(Told::new("jpeg", content, if whole { "ends with its end mark" } else { "" }))
}
