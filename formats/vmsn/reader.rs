//! Small reads at rising offsets, served from one window.

use crate::{
    read::{MediumError, ReadAt},
    units::ByteOffset,
};

const WINDOW_BYTES: usize = 16 << 10;

/// A file with the bytes last looked at.
pub(super) struct Reader<'a> {
    pub(super) file: &'a dyn ReadAt,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a dyn ReadAt) -> Self {
        Self { file, window: Vec::new(), window_at: 0 }
    }

    pub(super) fn len(&self) -> u64 {
        self.file.len_bytes()
    }

    /// Up to `len` bytes from `at` (at most a window); fewer only at the end of the file.
    pub(super) fn up_to(&mut self, at: u64, len: usize) -> Result<&[u8], MediumError> {
        let len = len.min(WINDOW_BYTES);
        let have = self.len().saturating_sub(at);
        let len = usize::try_from(have).map_or(len, |have| have.min(len));
        if self.place(at, len).is_none() {
            // A bad sector further on must not cost what lies before it.
            let window = self.file.read_up_to(ByteOffset(at), WINDOW_BYTES);
            self.window = match window {
                Ok(window) => window,
                Err(_) => self.file.read_up_to(ByteOffset(at), len)?,
            };
            self.window_at = at;
        }
        Ok(self.place(at, len).unwrap_or_default())
    }

    fn place(&self, at: u64, len: usize) -> Option<&[u8]> {
        let from = usize::try_from(at.checked_sub(self.window_at)?).ok()?;
        self.window.get(from..from.checked_add(len)?)
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}
