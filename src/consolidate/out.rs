//! The output's file. Large parts go straight to the medium, past the system's cache: they are
//! safe there at once, cost no copy, and what is read back to prove them comes from the medium.

use std::{
    fs::{File, OpenOptions},
    io,
    ops::{Deref, DerefMut},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What place, length and memory of a part must be multiples of to go past the cache: the largest
/// block of the devices in use.
const ALIGN: usize = 4096;
/// Shorter parts are gathered by the system's cache.
const DIRECT_BYTES: usize = 256 << 10;
/// A file that grows does so in these steps, so that writing past its end does not wait for others.
const GROWTH: u64 = 64 << 20;

/// Bytes whose first lies at a multiple of [`ALIGN`].
#[derive(Debug, Default)]
pub(super) struct Buffer {
    store: Vec<u8>,
    from: usize,
    length: usize,
}

impl Buffer {
    /// Makes it so long. What it holds then is not defined: old bytes, or zeros.
    pub(super) fn resize(&mut self, length: usize) {
        let need = length.saturating_add(ALIGN);
        if self.store.len() < need {
            // Nothing of the old is needed, so it is not carried over.
            self.store = Vec::new();
            self.store.resize(need, 0);
        }
        let from = self.store.as_ptr().align_offset(ALIGN);
        self.from = if from < ALIGN { from } else { 0 };
        self.length = length;
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.store.get(self.from..self.from + self.length).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.store.get_mut(self.from..self.from + self.length).unwrap_or_default()
    }
}

/// An output that is being written, by several threads at once.
pub(super) struct Out {
    file: File,
    /// The same file, opened to be written past the cache; `None` where the file system has no
    /// such way.
    direct: Option<File>,
    /// Cleared for good by the first write that the file system refuses in this way.
    is_direct: AtomicBool,
    /// Length of the file as this run has set it.
    length: Mutex<u64>,
}

impl Out {
    /// Opens `path`, made where it is not there; `anew` empties it.
    pub(super) fn open(path: &Path, anew: bool) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(anew).open(path)?;
        let flags = rustix::fs::OFlags::DIRECT.bits();
        let flags = i32::try_from(flags).unwrap_or(0);
        let direct = OpenOptions::new().write(true).custom_flags(flags).open(path).ok();
        let length = Mutex::new(file.metadata()?.len());
        Ok(Self { file, is_direct: AtomicBool::new(direct.is_some()), direct, length })
    }

    /// Sets the length of the file.
    pub(super) fn set_len(&self, length: u64) -> io::Result<()> {
        let mut known = self.length.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.set_len(length)?;
        *known = length;
        Ok(())
    }

    /// Writes all of `bytes` at `at`.
    pub(super) fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let past = self.write_direct(bytes, at)?;
        match bytes.get(past..) {
            Some(rest) if !rest.is_empty() => self.file.write_all_at(rest, at + past as u64),
            _ => Ok(()),
        }
    }

    /// Writes as much of the start of `bytes` past the cache as fits that way; tells how much.
    fn write_direct(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let whole = bytes.len() / ALIGN * ALIGN;
        let fits = whole >= DIRECT_BYTES
            && at.is_multiple_of(ALIGN as u64)
            && bytes.as_ptr().align_offset(ALIGN) == 0;
        let Some(direct) =
            self.direct.as_ref().filter(|_| fits && self.is_direct.load(Ordering::Relaxed))
        else {
            return Ok(0);
        };
        if !self.reach(at + whole as u64) {
            return Ok(0);
        }
        let mut done = 0;
        while let Some(rest) = bytes.get(done..whole).filter(|rest| !rest.is_empty()) {
            match direct.write_at(rest, at + done as u64) {
                Ok(0) => break,
                Ok(written) => {
                    done += written;
                    // A short write may end anywhere; the cache takes the rest.
                    if !done.is_multiple_of(ALIGN) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.is_direct.store(false, Ordering::Relaxed);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Grows the file where it ends before `end`; false where it may not grow so far.
    fn reach(&self, end: u64) -> bool {
        let mut length = self.length.lock().unwrap_or_else(PoisonError::into_inner);
        if end <= *length {
            return true;
        }
        let wanted = end.next_multiple_of(GROWTH);
        let grown = self.file.set_len(wanted).is_ok();
        if grown {
            *length = wanted;
        }
        grown
    }

    /// Waits until everything written is on the medium.
    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The same, with the file's own facts.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
