//! Databases whose pages carry checksums: ESE (Active Directory, Exchange), SQL Server.

use vmglean_formats::{ByteOffset, MediumError, ReadAt};

use super::{Content, Told};

/// Pages read at a time.
const PAGES: u64 = 64;

fn xor(bytes: &[u8], seed: u32) -> u32 {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().fold(seed, |sum, word| sum ^ u32::from_le_bytes(*word))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Reads all pages from `first` on and counts those that hold, fail, or are all zero.
fn count(
    file: &dyn ReadAt,
    page_bytes: u64,
    first: u64,
    holds: impl Fn(&[u8], u64) -> Option<bool>,
) -> Result<(u64, u64, u64, Option<u64>), MediumError> {
    let pages = file.len_bytes() / page_bytes;
    let (mut good, mut bad, mut unsummed, mut first_bad) = (0, 0, 0, None);
    let size = usize::try_from(page_bytes).unwrap_or(usize::MAX);
    let mut number = first;
    while number < pages {
        let take = PAGES.min(pages - number);
        let bytes = file.read_up_to(ByteOffset(number * page_bytes), size * take as usize)?;
        for page in bytes.chunks_exact(size) {
            match holds(page, number) {
                Some(true) => good += 1,
                Some(false) => {
                    bad += 1;
                    first_bad.get_or_insert(number * page_bytes);
                }
                None => unsummed += 1,
            }
            number += 1;
        }
        if bytes.len() < size {
            break;
        }
    }
    Ok((good, bad, unsummed, first_bad))
}

fn judged(
    kind: &'static str,
    (good, bad, unsummed, first_bad): (u64, u64, u64, Option<u64>),
) -> Told {
    let all = good + bad;
    match first_bad {
        None if good > 0 && unsummed == 0 => {
            Told::new(kind, Content::Proven, format!("{good} of {all} pages hold"))
        }
        None if good > 0 => Told::new(
            kind,
            Content::Consistent,
            format!("{good} of {all} pages hold, {unsummed} carry no checksum"),
        ),
        // Most hold: the sum is the right one, and what fails has failed.
        Some(at) if good > bad => Told::new(
            kind,
            Content::Contradicted,
            format!("{good} of {all} pages hold; the first that does not lies at {at:#x}"),
        ),
        _ => Told::new(kind, Content::Untested, "its pages follow no checksum that is known here"),
    }
}

/// One ESE page: number counted from the third, XOR seeded with that number.
fn ese_page(page: &[u8], place: u64) -> Option<bool> {
    if page.iter().all(|byte| *byte == 0) {
        return Some(true);
    }
    let number = u32::try_from(place.checked_sub(1)?).ok()?;
    if page.len() <= 8192 {
        return Some(word(page, 0)? == xor(page.get(8..)?, number));
    }
    let quarter = page.len() / 4;
    let mut holds = word(page, 0)? == xor(page.get(8..quarter)?, number);
    for (n, at) in [(1, 40), (2, 48), (3, 56)] {
        holds &= word(page, at)? == xor(page.get(n * quarter..(n + 1) * quarter)?, number);
    }
    Some(holds)
}

pub(super) fn ese(file: &dyn ReadAt, head: &[u8]) -> Result<Told, MediumError> {
    let page_bytes = u64::from(word(head, 236).unwrap_or(0));
    if !matches!(page_bytes, 2048 | 4096 | 8192 | 16_384 | 32_768) {
        return Ok(Told::new("ese", Content::Untested, ""));
    }
    Ok(judged("ese", count(file, page_bytes, 2, ese_page)?))
}

/// One SQL Server page: 16 sectors of 128 words, each sector's XOR turned left by 15 minus its
/// number; its own field counts as 0.
fn mssql_page(page: &[u8], place: u64) -> Option<bool> {
    if page.iter().all(|byte| *byte == 0) {
        return Some(true);
    }
    let flags = word(page, 4)? & 0xFFFF;
    if flags & 0x200 == 0 {
        return None;
    }
    let mut sum = 0;
    for (n, sector) in (0_u32..).zip(page.chunks_exact(512)) {
        let own = if n == 0 { word(page, 0x3C)? } else { 0 };
        sum ^= (xor(sector, 0) ^ own).rotate_left(15_u32.checked_sub(n)?);
    }
    Some(sum == word(page, 0x3C)? && u64::from(word(page, 0x20)?) == place)
}

pub(super) fn mssql(file: &dyn ReadAt) -> Result<Told, MediumError> {
    Ok(judged("mssql", count(file, 8192, 0, mssql_page)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(page_bytes: usize, pages: usize) -> Vec<u8> {
        let mut file: Vec<u8> = (0..page_bytes * pages).map(|n| (n * 7 % 251) as u8).collect();
        file[4..8].copy_from_slice(&0x89AB_CDEF_u32.to_le_bytes());
        file[236..240].copy_from_slice(&(page_bytes as u32).to_le_bytes());
        for place in 2..pages {
            let page = &mut file[place * page_bytes..(place + 1) * page_bytes];
            let number = place as u32 - 1;
            if page_bytes <= 8192 {
                let sum = xor(&page[8..], number);
                page[..4].copy_from_slice(&sum.to_le_bytes());
            } else {
                let quarter = page_bytes / 4;
                for (n, at) in [(1, 40), (2, 48), (3, 56)] {
                    let sum = xor(&page[n * quarter..(n + 1) * quarter], number);
                    page[at..at + 4].copy_from_slice(&sum.to_le_bytes());
                }
                let sum = xor(&page[8..quarter], number);
                page[..4].copy_from_slice(&sum.to_le_bytes());
            }
        }
        file
    }

    #[test]
    fn one_changed_byte_in_a_page_contradicts_a_database() {
        for page_bytes in [4096, 8192, 32_768] {
            let mut file = database(page_bytes, 20);
            let told = ese(&file, &file[..4096]).unwrap();
            assert_eq!(told.content, Content::Proven, "{told:?}");
            file[page_bytes * 7 + 3000] ^= 1;
            let told = ese(&file, &file[..4096]).unwrap();
            assert_eq!(told.content, Content::Contradicted, "{told:?}");
            // A page in another one's place is as wrong as a broken one.
            let mut file = database(page_bytes, 20);
            let page = file[page_bytes * 7..page_bytes * 8].to_vec();
            file[page_bytes * 9..page_bytes * 10].copy_from_slice(&page);
            let told = ese(&file, &file[..4096]).unwrap();
            assert_eq!(told.content, Content::Contradicted, "{told:?}");
        }
    }
}
