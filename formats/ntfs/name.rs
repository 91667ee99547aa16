//! `$FILE_NAME`: a name, its folder, and a copy of times and sizes from when it was given.

use serde::Serialize;

use super::{array, u16_at, u32_at, u64_at};

/// A record by number, and which use of that number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Reference {
    /// Number of the record.
    pub number: u64,
    /// How often that number had been used.
    pub sequence: u16,
}

impl Reference {
    /// Takes the 48 and 16 bits apart.
    #[must_use]
    pub fn new(raw: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = raw.to_le_bytes();
        Self {
            number: u64::from_le_bytes([a, b, c, d, e, f, 0, 0]),
            sequence: u16::from_le_bytes([g, h]),
        }
    }
}

/// A `$FILE_NAME` value, as records and index entries hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileName {
    /// Folder that it lies in.
    pub parent: Reference,
    /// Created, changed, record changed, read: 100 ns since 1601.
    pub times: [u64; 4],
    /// Bytes allocated; often out of date in records.
    pub allocated: u64,
    /// Bytes of content; often out of date in records.
    pub size: u64,
    /// DOS flags; 0x1000_0000 says folder.
    pub flags: u32,
    /// 0 POSIX, 1 Win32, 2 DOS, 3 Win32 that is DOS too.
    pub namespace: u8,
    /// The name in WTF-8: UTF-8, with lone surrogates kept.
    pub name: Vec<u8>,
}

const NAME_AT: usize = 66;

impl FileName {
    /// Reads a value; `None` where it is no plausible one: a length that does not fit, a name
    /// that no file can have.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [length, namespace] = array(bytes, 64)?;
        let name_bytes = usize::from(length).checked_mul(2)?;
        let raw = bytes.get(NAME_AT..NAME_AT.checked_add(name_bytes)?)?;
        if length == 0 || namespace > 3 {
            return None;
        }
        let (units, _) = raw.as_chunks::<2>();
        if units.iter().any(|unit| matches!(u16::from_le_bytes(*unit), 0 | 0x2F)) {
            return None;
        }
        let mut times = [0; 4];
        for (time, at) in times.iter_mut().zip([8, 16, 24, 32]) {
            *time = u64_at(bytes, at)?;
        }
        Some(Self {
            parent: Reference::new(u64_at(bytes, 0)?),
            times,
            allocated: u64_at(bytes, 40)?,
            size: u64_at(bytes, 48)?,
            flags: u32_at(bytes, 56)?,
            namespace,
            name: wtf8(raw),
        })
    }

    /// Bytes that the value takes.
    #[must_use]
    pub fn stored_bytes(bytes: &[u8]) -> Option<usize> {
        let [length] = array(bytes, 64)?;
        usize::from(length).checked_mul(2)?.checked_add(NAME_AT)
    }

    /// Whether it names a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.flags & 0x1000_0000 != 0
    }

    /// Whether it is only the 8.3 form of another name.
    #[must_use]
    pub fn is_dos_only(&self) -> bool {
        self.namespace == 2
    }
}

/// UTF-16LE as UTF-8; lone surrogates are kept in the same three-byte form.
#[must_use]
pub fn wtf8(utf16: &[u8]) -> Vec<u8> {
    let (units, _) = utf16.as_chunks::<2>();
    let mut out = Vec::with_capacity(units.len());
    for decoded in char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit))) {
        match decoded {
            Ok(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(lone) => {
                let [low, high] = lone.unpaired_surrogate().to_le_bytes();
                let second = 0x80 | (high & 0x0F) << 2 | low >> 6;
                out.extend_from_slice(&[0xED, second, 0x80 | low & 0x3F]);
            }
        }
    }
    out
}

/// A Windows time as nanoseconds since 1970; 0 is no time.
#[must_use]
pub fn filetime_to_unix_ns(time: u64) -> Option<i128> {
    const TO_1970: i128 = 116_444_736_000_000_000;
    (time != 0).then(|| i128::from(time).saturating_sub(TO_1970).saturating_mul(100))
}

/// Whether four times could be those of a file: 1980 to 2200, or none.
pub(super) fn are_plausible(times: &[u64; 4]) -> bool {
    const Y1980: u64 = 119_600_064_000_000_000;
    const Y2200: u64 = 189_024_000_000_000_000;
    times.iter().all(|time| *time == 0 || (Y1980..Y2200).contains(time))
}

/// A key of an index entry, checked harder where it lies in slack.
pub(super) fn key(bytes: &[u8], length: u16) -> Option<FileName> {
    let name = FileName::parse(bytes)?;
    (FileName::stored_bytes(bytes)? <= usize::from(length)).then_some(name)
}

pub(super) fn key_length(entry: &[u8]) -> Option<u16> {
    u16_at(entry, 10)
}
