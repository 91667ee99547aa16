//! Archives: every member's CRC.

use std::io;

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use vmglean_formats::{ByteOffset, MediumError, ReadAt};

use super::{Content, Front, Told};

/// What may come out of a file in a test, times its size: Deflate gives at most 1032.
const MOST_TIMES: u64 = 256;
/// And this much in any case.
const MOST_ANYWAY: u64 = 64 << 20;
/// The end record, with the longest comment.
const END_BYTES: u64 = 22 + 65_535;
/// Longest directory that is read at once.
const LONGEST_DIRECTORY: u64 = 256 << 20;

fn bound(size: u64) -> u64 {
    size.saturating_mul(MOST_TIMES).saturating_add(MOST_ANYWAY)
}

fn half(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Reads to the end or to `most` bytes. Tells length and CRC-32; `None` where more would come.
fn drain(reader: &mut dyn io::Read, most: u64) -> io::Result<Option<(u64, u32)>> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buf = vec![0; 64 << 10];
    let mut all = 0;
    loop {
        let got = reader.read(&mut buf)?;
        if got == 0 {
            return Ok(Some((all, hasher.finalize())));
        }
        hasher.update(buf.get(..got).unwrap_or_default());
        all += got as u64;
        if all > most {
            return Ok(None);
        }
    }
}

/// Whether an error is the medium's and not the format's.
fn is_medium(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other
        && error.get_ref().is_some_and(|inner| inner.is::<MediumError>())
}

pub(super) fn gzip(file: &dyn ReadAt) -> Result<Told, MediumError> {
    let size = file.len_bytes();
    let front = io::BufReader::with_capacity(64 << 10, Front::new(file, 0, size));
    let mut decoder = MultiGzDecoder::new(front);
    Ok(match drain(&mut decoder, bound(size)) {
        Ok(Some((out, _))) => {
            Told::new("gzip", Content::Proven, format!("unpacks to {out} bytes, CRC right"))
        }
        Ok(None) => Told::new("gzip", Content::Untested, "unpacks to more than is tested"),
        Err(error) if is_medium(&error) => {
            Told { is_unreadable: true, ..Told::new("gzip", Content::Untested, "") }
        }
        // Something else may follow the last member.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            match error.to_string().contains("header") {
                true => Told::new("gzip", Content::Untested, "something follows its last member"),
                false => {
                    Told::new("gzip", Content::Contradicted, format!("does not unpack: {error}"))
                }
            }
        }
        Err(error) => Told::new("gzip", Content::Contradicted, format!("does not unpack: {error}")),
    })
}

/// Where the directory lies: offset, length, entries.
fn directory(tail: &[u8], tail_at: u64) -> Option<(u64, u64, u64)> {
    let end = (0..tail.len().saturating_sub(21)).rev().find(|at| {
        let rest = tail.get(*at..).unwrap_or_default();
        rest.starts_with(b"PK\x05\x06")
            && half(rest, 20).is_some_and(|comment| rest.len() as u64 >= 22 + comment)
    })?;
    let rest = tail.get(end..)?;
    let (entries, length, offset) = (half(rest, 10)?, word(rest, 12)?, word(rest, 16)?);
    if offset != 0xFFFF_FFFF && length != 0xFFFF_FFFF && entries != 0xFFFF {
        return Some((offset, length, entries));
    }
    // ZIP64: the record that the locator before the end points to, where the tail holds it.
    let locator = tail.get(end.checked_sub(20)?..end)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Some((offset, length, entries));
    }
    let at = usize::try_from(long(locator, 8)?.checked_sub(tail_at)?).ok()?;
    let record = tail.get(at..)?;
    record.starts_with(b"PK\x06\x06").then_some(())?;
    Some((long(record, 48)?, long(record, 40)?, long(record, 32)?))
}

struct Member {
    flags: u64,
    method: u64,
    crc: u32,
    packed: u64,
    unpacked: u64,
    at: u64,
    name: Vec<u8>,
}

fn member(entry: &[u8]) -> Option<(Member, usize)> {
    if !entry.starts_with(b"PK\x01\x02") {
        return None;
    }
    let (name, extra, comment) = (half(entry, 28)?, half(entry, 30)?, half(entry, 32)?);
    let name_end = 46 + usize::try_from(name).ok()?;
    let extra_end = name_end + usize::try_from(extra).ok()?;
    let length = extra_end + usize::try_from(comment).ok()?;
    let (mut packed, mut unpacked, mut at) = (word(entry, 20)?, word(entry, 24)?, word(entry, 42)?);
    let mut fields = entry.get(name_end..extra_end)?;
    while fields.len() >= 4 {
        let (tag, size) = (half(fields, 0)?, usize::try_from(half(fields, 2)?).ok()?);
        let mut value = fields.get(4..4 + size)?;
        if tag == 1 {
            for field in [&mut unpacked, &mut packed, &mut at] {
                if *field == 0xFFFF_FFFF {
                    *field = long(value, 0)?;
                    value = value.get(8..)?;
                }
            }
        }
        fields = fields.get(4 + size..)?;
    }
    let member = Member {
        flags: half(entry, 8)?,
        method: half(entry, 10)?,
        crc: u32::try_from(word(entry, 16)?).ok()?,
        packed,
        unpacked,
        at,
        name: entry.get(46..name_end)?.to_vec(),
    };
    entry.get(..length)?;
    Some((member, length))
}

pub(super) fn zip(file: &dyn ReadAt) -> Result<Told, MediumError> {
    let size = file.len_bytes();
    let tail_at = size.saturating_sub(END_BYTES + 200);
    let tail = file.read_up_to(ByteOffset(tail_at), (END_BYTES + 200) as usize)?;
    let told = |content, detail: String| Told::new("zip", content, detail);
    let Some((offset, length, count)) = directory(&tail, tail_at) else {
        return Ok(told(Content::Contradicted, "its end record is not there".to_owned()));
    };
    if length > LONGEST_DIRECTORY || offset.saturating_add(length) > size {
        return Ok(told(Content::Contradicted, "its directory lies past its end".to_owned()));
    }
    let bytes = file.read_up_to(ByteOffset(offset), length as usize)?;
    let mut rest = bytes.as_slice();
    let (mut tested, mut skipped, mut covered) = (0_u64, 0_u64, 0_u64);
    let mut left = bound(size);
    while !rest.is_empty() {
        let Some((member, taken)) = member(rest) else {
            return Ok(told(Content::Contradicted, "its directory does not hold".to_owned()));
        };
        rest = rest.get(taken..).unwrap_or_default();
        let head = file.read_up_to(ByteOffset(member.at), 30)?;
        let names =
            half(&head, 26).zip(half(&head, 28)).filter(|_| head.starts_with(b"PK\x03\x04"));
        let bad = |what: &str| {
            let name = String::from_utf8_lossy(&member.name).into_owned();
            told(Content::Contradicted, format!("member {name:?}: {what}"))
        };
        let Some((name, extra)) = names else { return Ok(bad("no head where it must be")) };
        let own = file.read_up_to(ByteOffset(member.at.saturating_add(30)), name as usize)?;
        if own != member.name {
            return Ok(bad("its head has another name"));
        }
        let from = member.at.saturating_add(30 + name + extra);
        let to = from.saturating_add(member.packed);
        if to > offset {
            return Ok(bad("reaches into the directory"));
        }
        covered = covered.saturating_add(to - member.at);
        if member.flags & 1 != 0 || !matches!(member.method, 0 | 8) {
            skipped += 1;
            continue;
        }
        let front = io::BufReader::with_capacity(64 << 10, Front::new(file, from, to));
        let most = left.min(member.unpacked);
        let drained = if member.method == 8 {
            drain(&mut DeflateDecoder::new(front), most)
        } else {
            drain(&mut { front }, most)
        };
        match drained {
            Ok(Some((out, crc))) if crc == member.crc && out == member.unpacked => {
                left -= out.min(left);
                tested += 1;
            }
            Ok(None) if most < member.unpacked => {
                return Ok(told(Content::Untested, "unpacks to more than is tested".to_owned()));
            }
            Ok(_) => return Ok(bad("its CRC is wrong")),
            Err(error) if is_medium(&error) => {
                return Ok(Told { is_unreadable: true, ..told(Content::Untested, String::new()) });
            }
            Err(_) => return Ok(bad("it does not unpack")),
        }
    }
    if tested + skipped != count {
        let detail =
            format!("its end record counts {count} members, {} are there", tested + skipped);
        return Ok(told(Content::Contradicted, detail));
    }
    // Between members, only descriptors of up to 24 bytes lie.
    let gaps = offset.saturating_sub(covered);
    let all = skipped == 0 && gaps <= count.saturating_mul(24);
    let content = if all && tested > 0 { Content::Proven } else { Content::Consistent };
    Ok(told(content, format!("CRC of {tested} of {count} members right")))
}

pub(super) fn seven(file: &dyn ReadAt, head: &[u8]) -> Result<Told, MediumError> {
    const LONGEST: u64 = 64 << 20;
    let told = |content, detail: &str| Ok(Told::new("7z", content, detail));
    let Some(start) = head.get(12..32) else { return told(Content::Untested, "") };
    if word(head, 8) != Some(u64::from(crc32fast::hash(start))) {
        return told(Content::Contradicted, "CRC of its start header is wrong");
    }
    let fields = long(start, 0).zip(long(start, 8)).zip(word(start, 16));
    let Some(((offset, length), crc)) = fields else { return told(Content::Untested, "") };
    if length > LONGEST || offset.saturating_add(32 + length) > file.len_bytes() {
        return told(Content::Contradicted, "its directory lies past its end");
    }
    let directory = file.read_up_to(ByteOffset(offset.saturating_add(32)), length as usize)?;
    if u64::from(crc32fast::hash(&directory)) != crc {
        return told(Content::Contradicted, "CRC of its directory is wrong");
    }
    told(Content::Consistent, "CRC of both headers right, members not unpacked")
}
