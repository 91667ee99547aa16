//! Deflate streams decoded to their end and held against their checksums: gzip (RFC 1952),
//! zlib (RFC 1950) as PDF and others use it, and the entries of ZIP files (APPNOTE 6.3).

use flate2::{Crc, Decompress, FlushDecompress, Status};
use simd_adler32::Adler32;

use super::{Walk, cursor::Cursor};

/// So far before the place where decoding failed may damage have begun: ciphertext can pass for
/// Huffman codes until it hits an end-of-block code.
const BACK_BYTES: u64 = 128 * 1024;

/// Bytes decoded at a time.
const OUT_BYTES: usize = 64 * 1024;

/// Zeros in a row that say nothing of whether they belong to a stream: any decoder that has lost
/// it takes them for codes as well, for as long as they go on.
const BLANK_BYTES: u64 = 4096;
/// Zeros in a row at which a stream is given up. A real one has so many for 4 GiB of zeros.
const MOST_BLANK: u64 = 4 << 20;

/// What a container states of its content, to hold what was decoded against.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    /// gzip, ZIP.
    Crc32,
    /// zlib.
    Adler32,
}

/// What came out of a stream.
struct Sum {
    check: Check,
    crc: Crc,
    adler: Adler32,
}

impl Sum {
    fn new(check: Check) -> Self {
        Self { check, crc: Crc::new(), adler: Adler32::new() }
    }

    fn add(&mut self, bytes: &[u8]) {
        match self.check {
            Check::Crc32 => self.crc.update(bytes),
            Check::Adler32 => self.adler.write(bytes),
        }
    }
}

/// How a deflate stream ended.
enum Ended {
    /// Complete: what came out, and where else it could have broken off. Where neither checksum
    /// nor length are what the container states, the codes of other bytes passed for the stream's
    /// last ones: a file that goes on elsewhere, or damage, at about this place.
    Whole(Sum, u64),
    /// Broken at about this place.
    Broken(u64),
}

/// Long runs of zeros in what was decoded.
struct Blanks {
    at: u64,
    /// Zeros right before `at`, and where they begin.
    zeros: u64,
    since: u64,
    /// Where the first run begins that no [`BACK_BYTES`] without another one followed, and where
    /// the last of them ends.
    doubted: Option<(u64, u64)>,
}

impl Blanks {
    fn new(at: u64) -> Self {
        Self { at, zeros: 0, since: at, doubted: None }
    }

    fn see(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(512) {
            let length = part.len() as u64;
            match part.iter().rposition(|byte| *byte != 0) {
                Some(last) => {
                    self.zeros = length - 1 - last as u64;
                    self.since = self.at + 1 + last as u64;
                }
                None if self.zeros == 0 => (self.zeros, self.since) = (length, self.at),
                None => self.zeros += length,
            }
            self.at += length;
            if self.zeros >= BLANK_BYTES {
                self.doubted = Some((self.broken_before(self.since), self.at));
            }
        }
    }

    /// Up to where the decoder may still have been in the stream when it broke off: had it seen
    /// fewer of the last zeros, or more, it would be the same.
    fn broken_at(&self) -> u64 {
        self.broken_before(if self.zeros > 0 { self.since } else { self.at })
    }

    fn broken_before(&self, at: u64) -> u64 {
        let near = self.doubted.filter(|(_, end)| at.saturating_sub(*end) <= BACK_BYTES);
        near.map_or(at, |(from, _)| from)
    }
}

/// Decodes stream after stream in the same memory.
pub(super) struct Inflater {
    raw: Decompress,
    out: Vec<u8>,
    /// Where the zeros begin for which the last stream was given up, if it was for them.
    blank: Option<u64>,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self { raw: Decompress::new(false), out: vec![0; OUT_BYTES], blank: None }
    }

    /// Where the zeros begin for which a stream was given up since this was last asked: had it
    /// ended anywhere in them, it would have broken off all the same.
    pub(super) fn take_blank(&mut self) -> Option<u64> {
        self.blank.take()
    }

    fn inflate(&mut self, cursor: &mut Cursor<'_>, check: Check) -> Ended {
        let state = &mut self.raw;
        state.reset(false);
        let mut sum = Sum::new(check);
        let mut blanks = Blanks::new(cursor.at());
        let blank = &mut self.blank;
        let mut broken = |blanks: &Blanks| {
            *blank = (blanks.zeros > 0).then_some(blanks.since);
            Ended::Broken(blanks.broken_at())
        };
        loop {
            let (read, written) = (state.total_in(), state.total_out());
            let is_end = cursor.ahead().is_empty();
            // Tables may have been passed over.
            blanks.at = cursor.at();
            let input = cursor.ahead();
            if is_end {
                return broken(&blanks);
            }
            let status = state.decompress(input, &mut self.out, FlushDecompress::None);
            let (used, made) = (state.total_in() - read, state.total_out() - written);
            let used_bytes = usize::try_from(used).unwrap_or(usize::MAX).min(input.len());
            blanks.see(input.get(..used_bytes).unwrap_or_default());
            let Ok(status) = status else { return broken(&blanks) };
            let made = usize::try_from(made).unwrap_or(usize::MAX).min(self.out.len());
            sum.add(self.out.get(..made).unwrap_or_default());
            if cursor.skip(used).is_none() || blanks.zeros > MOST_BLANK {
                return broken(&blanks);
            }
            match status {
                Status::StreamEnd => return Ended::Whole(sum, blanks.broken_at()),
                Status::Ok | Status::BufError if used == 0 && made == 0 => return broken(&blanks),
                Status::Ok | Status::BufError => {}
            }
        }
    }
}

fn broken(at: u64, what: &'static str) -> Walk {
    let walked_to = at.saturating_sub(BACK_BYTES);
    let doubted = Some((walked_to, at.saturating_add(BACK_BYTES)));
    Walk { walked_to, what, doubted, ..Walk::default() }
}

/// Whether so many bytes came out as the container states, give or take what damage inside it
/// changes. Where a file goes on elsewhere, other bytes stand in the place of its length.
fn is_near(stated: u32, made: u32) -> bool {
    stated.abs_diff(made) <= made / 64
}

const DAMAGED_GZIP: &str = "gzip member, about as long as it states, and its CRC-32 is wrong: \
                            something inside it is damaged, and nothing says where";
const DAMAGED_ZIP: &str = "ZIP entry, about as long as it states, and its CRC-32 is wrong: \
                           something inside it is damaged, and nothing says where";
const DAMAGED_ZLIB: &str = "zlib stream before its end mark, and its Adler-32 is wrong: \
                            something inside it is damaged, and nothing says where";
const BROKEN_INSIDE: &str = "ZIP entry that is followed by the next and cannot be decoded: \
                             something inside it is damaged, and nothing says where";
const BROKEN_GZIP: &str = "gzip member, decoded as far as it goes";
const BROKEN_ZLIB: &str = "zlib stream, decoded as far as it goes";
const BROKEN_ZIP: &str = "ZIP entry, decoded as far as it goes";

/// A gzip member.
pub(super) fn gzip(cursor: &mut Cursor<'_>, inflater: &mut Inflater) -> Option<Walk> {
    let [_, _, method, flags, ..] = cursor.take::<10>()?;
    if method != 8 || flags & 0xE0 != 0 {
        return None;
    }
    if flags & 4 != 0 {
        let length = u16::from_le_bytes(cursor.take()?);
        cursor.skip(u64::from(length))?;
    }
    for text in [8, 16] {
        if flags & text != 0 {
            // A name or comment of reasonable length.
            (0..1024).map_while(|_| cursor.take::<1>()).find(|[byte]| *byte == 0)?;
        }
    }
    if flags & 2 != 0 {
        cursor.skip(2)?;
    }
    match inflater.inflate(cursor, Check::Crc32) {
        Ended::Whole(Sum { crc, .. }, broken_at) => {
            let stated = u32::from_le_bytes(cursor.take()?);
            let length = u32::from_le_bytes(cursor.take()?);
            match (stated == crc.sum(), is_near(length, crc.amount())) {
                (true, _) if length == crc.amount() => {
                    Some(Walk::proven(cursor.at(), "gzip member, CRC-32 right"))
                }
                (true, _) => None,
                (false, true) => Some(Walk::contradicted(cursor.at(), DAMAGED_GZIP)),
                (false, false) => Some(broken(broken_at, BROKEN_GZIP)),
            }
        }
        Ended::Broken(at) => Some(broken(at, BROKEN_GZIP)),
    }
}

/// A zlib stream. It states no length of its own, so a wrong Adler-32 alone does not tell a stream
/// that goes on elsewhere from one with damage inside: such a one explains nothing.
pub(super) fn zlib(cursor: &mut Cursor<'_>, inflater: &mut Inflater) -> Option<Walk> {
    let [method, flags] = cursor.take::<2>()?;
    let has_dictionary = flags & 0x20 != 0;
    if method & 0x0F != 8
        || method >> 4 > 7
        || has_dictionary
        || !u16::from_be_bytes([method, flags]).is_multiple_of(31)
    {
        return None;
    }
    match inflater.inflate(cursor, Check::Adler32) {
        Ended::Whole(sum, _) => {
            let stated = u32::from_be_bytes(cursor.take()?);
            if stated == sum.adler.finish() {
                return Some(Walk::proven(cursor.at(), "zlib stream, Adler-32 right"));
            }
            // Where the stream's end mark follows, it does not go on elsewhere.
            let behind = cursor.peek::<12>()?;
            let is_ended = memchr::memmem::find(&behind, b"endstream").is_some();
            is_ended.then(|| Walk::contradicted(cursor.at(), DAMAGED_ZLIB))
        }
        Ended::Broken(at) => Some(broken(at, BROKEN_ZLIB)),
    }
}

/// An entry that is right; where something as varied as ciphertext stands in the place of the next
/// part, the ZIP breaks off there.
fn entry(cursor: &mut Cursor<'_>, what: &'static str) -> Walk {
    const BEHIND_BYTES: usize = 512;
    let end = cursor.at();
    let behind = cursor.look(BEHIND_BYTES);
    let is_broken = !behind.starts_with(b"PK") && super::is_varied(behind);
    let doubted = is_broken.then(|| (end, end.saturating_add(BACK_BYTES)));
    Walk { doubted, ..Walk::proven(end, what) }
}

/// One entry of a ZIP file.
pub(super) fn zip(cursor: &mut Cursor<'_>, inflater: &mut Inflater) -> Option<Walk> {
    let head = cursor.take::<30>()?;
    let u16_at = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let u32_at =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (flags, method) = (u16_at(6), u16_at(8));
    let (crc, packed, length) = (u32_at(14), u32_at(18), u32_at(22));
    cursor.skip(u64::from(u16_at(26)) + u64::from(u16_at(28)))?;
    if flags & 1 != 0 {
        cursor.skip(u64::from(packed))?;
        return Some(Walk {
            name: Some("an entry of a ZIP file that its owner encrypted"),
            walked_to: cursor.at(),
            ..Walk::default()
        });
    }
    let data = cursor.at();
    match method {
        8 => match inflater.inflate(cursor, Check::Crc32) {
            Ended::Whole(Sum { crc: sum, .. }, broken_at) => {
                let (mut stated, mut told) = (crc, length);
                if flags & 8 != 0 && crc == 0 {
                    if cursor.peek()? == *b"PK\x07\x08" {
                        cursor.skip(4)?;
                    }
                    stated = u32::from_le_bytes(cursor.take()?);
                    // The packed length, which the walk itself has shown.
                    let _: [u8; 4] = cursor.take()?;
                    told = u32::from_le_bytes(cursor.take()?);
                }
                let is_told = told == u32::MAX;
                match (stated == sum.sum(), is_told || is_near(told, sum.amount())) {
                    (true, _) if is_told || told == sum.amount() => {
                        Some(entry(cursor, "ZIP entry, CRC-32 right"))
                    }
                    (false, true) if !is_told => Some(Walk::contradicted(cursor.at(), DAMAGED_ZIP)),
                    (false, false) => Some(broken(broken_at, BROKEN_ZIP)),
                    _ => None,
                }
            }
            Ended::Broken(at) => {
                cursor.go(data);
                // Where the next part stands in its place, the entry does not go on elsewhere.
                let is_followed = flags & 8 == 0
                    && cursor.skip(u64::from(packed)).is_some()
                    && matches!(cursor.peek(), Some([b'P', b'K', 1 | 3, 2 | 4]));
                Some(if is_followed {
                    Walk::contradicted(cursor.at(), BROKEN_INSIDE)
                } else {
                    broken(at, BROKEN_ZIP)
                })
            }
        },
        0 if packed == length && flags & 8 == 0 && length > 0 => {
            let mut sum = Crc::new();
            let mut left = u64::from(length);
            while left > 0 {
                let bytes = cursor.ahead();
                let take = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                if take == 0 {
                    return None;
                }
                sum.update(bytes.get(..take).unwrap_or_default());
                cursor.skip(take as u64)?;
                left -= take as u64;
            }
            (sum.sum() == crc).then(|| entry(cursor, "stored ZIP entry, CRC-32 right"))
        }
        _ => None,
    }
}
