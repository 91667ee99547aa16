//! The one thing a parser asks of a source: these bytes, from this place.

use std::{io, sync::Arc};

use crate::{
    defect::FormatError,
    units::{ByteOffset, Bytes},
};

/// Why bytes did not come.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// The source ends before them.
    #[error("the source ends at {end}, before {wanted}")]
    End {
        /// Where the source ends.
        end: ByteOffset,
        /// End of the wanted range.
        wanted: ByteOffset,
    },
    /// The system refused or failed.
    #[error("cannot read {len} at {at}")]
    Io {
        /// Where the read began.
        at: ByteOffset,
        /// How much was asked for.
        len: Bytes,
        /// The system's error.
        source: io::Error,
    },
}

/// Bytes with positions, read-only. Safe to use from many threads at once.
pub trait ReadAt: Send + Sync {
    /// Length in bytes, as known when the source was opened.
    fn len_bytes(&self) -> u64;

    /// Fills the whole of `buf` with the bytes from `at` on.
    ///
    /// # Errors
    /// [`MediumError`] when not all of them can be had; `buf` then holds nothing to rely on.
    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError>;

    /// Up to `len` bytes from `at`: fewer only where the source ends.
    ///
    /// # Errors
    /// [`MediumError::Io`] when the medium fails. An `at` past the end gives no bytes.
    fn read_up_to(&self, at: ByteOffset, len: usize) -> Result<Vec<u8>, MediumError> {
        let rest = self.len_bytes().saturating_sub(at.0);
        let take = usize::try_from(rest).map_or(len, |rest| rest.min(len));
        let mut buf = vec![0; take];
        if take > 0 {
            self.read_exact_at(&mut buf, at)?;
        }
        Ok(buf)
    }
}

impl From<MediumError> for FormatError {
    fn from(error: MediumError) -> Self {
        match error {
            MediumError::End { end, wanted } => Self::Medium {
                at: end,
                len: Bytes(wanted.0.saturating_sub(end.0)),
                source: io::Error::from(io::ErrorKind::UnexpectedEof),
            },
            MediumError::Io { at, len, source } => Self::Medium { at, len, source },
        }
    }
}

impl ReadAt for [u8] {
    fn len_bytes(&self) -> u64 {
        u64::try_from(self.len()).unwrap_or(u64::MAX)
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let found = usize::try_from(at.0)
            .ok()
            .and_then(|from| Some(from..from.checked_add(buf.len())?))
            .and_then(|range| self.get(range));
        match found {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(MediumError::End {
                end: ByteOffset(self.len_bytes()),
                wanted: ByteOffset(at.0.saturating_add(u64::try_from(buf.len()).unwrap_or(0))),
            }),
        }
    }
}

impl ReadAt for Vec<u8> {
    fn len_bytes(&self) -> u64 {
        self.as_slice().len_bytes()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        self.as_slice().read_exact_at(buf, at)
    }
}

macro_rules! forward {
    ($($kind:ty),+) => {$(
        impl<T: ReadAt + ?Sized> ReadAt for $kind {
            fn len_bytes(&self) -> u64 {
                (**self).len_bytes()
            }

            fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
                (**self).read_exact_at(buf, at)
            }
        }
    )+};
}
forward!(&T, Box<T>, Arc<T>);
