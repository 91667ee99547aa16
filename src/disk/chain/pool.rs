//! Files of long chains: cut to their original length, and few of them open at a time.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use vmglean_formats::{ByteOffset, Bytes, MediumError, ReadAt};

use super::companions::{Candidate, Companions};
use crate::source::Source;

/// Chains of up to this many files keep all of them open.
const KEPT_OPEN: usize = 192;
/// Files beyond that share so many open places.
const SHARED_PLACES: usize = 64;

/// The first `len` bytes of a source.
struct Shortened {
    inner: Arc<dyn Source>,
    len: u64,
}

/// `source` without what follows its original length.
pub(super) fn shorten(source: Arc<dyn Source>, original_len: Option<u64>) -> Arc<dyn Source> {
    match original_len {
        Some(len) if len < source.len_bytes() => Arc::new(Shortened { inner: source, len }),
        _ => source,
    }
}

impl ReadAt for Shortened {
    fn len_bytes(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let wanted = at.0.saturating_add(buf.len() as u64);
        if wanted > self.len {
            return Err(MediumError::End { end: ByteOffset(self.len), wanted: ByteOffset(wanted) });
        }
        self.inner.read_exact_at(buf, at)
    }
}

impl Source for Shortened {
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let next = self.inner.next_data(from)?;
        Ok(next.filter(|r| r.start < self.len).map(|r| r.start..r.end.min(self.len)))
    }
}

type OpenPlaces = Mutex<VecDeque<(usize, Arc<dyn Source>)>>;

/// Hands out sources so that a chain of ten thousand files needs few descriptors.
pub(super) struct Pool {
    companions: Arc<dyn Companions>,
    places: Arc<OpenPlaces>,
    given: usize,
}

impl Pool {
    pub(super) fn new(companions: Arc<dyn Companions>) -> Self {
        Self { companions, places: Arc::default(), given: 0 }
    }

    /// `source`, just opened as `candidate`, to be kept for the chain's life.
    pub(super) fn keep(
        &mut self,
        candidate: &Candidate,
        source: Arc<dyn Source>,
    ) -> Arc<dyn Source> {
        self.given += 1;
        if self.given <= KEPT_OPEN {
            return source;
        }
        Arc::new(Reopened {
            companions: Arc::clone(&self.companions),
            places: Arc::clone(&self.places),
            number: self.given,
            len: source.len_bytes(),
            candidate: candidate.clone(),
        })
    }
}

/// A file that is opened again whenever its place was given to another.
struct Reopened {
    companions: Arc<dyn Companions>,
    places: Arc<OpenPlaces>,
    number: usize,
    len: u64,
    candidate: Candidate,
}

impl Reopened {
    fn source(&self) -> io::Result<Arc<dyn Source>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = places.iter().position(|place| place.0 == self.number)
            && let Some(place) = places.remove(index)
        {
            let source = Arc::clone(&place.1);
            places.push_front(place);
            return Ok(source);
        }
        let source = self.companions.open(&self.candidate).map_err(io::Error::other)?;
        if source.len_bytes() != self.len {
            return Err(io::Error::other(format!(
                "the file changed while it was read: {} bytes, {} before",
                source.len_bytes(),
                self.len
            )));
        }
        places.push_front((self.number, Arc::clone(&source)));
        places.truncate(SHARED_PLACES);
        Ok(source)
    }
}

impl ReadAt for Reopened {
    fn len_bytes(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let len = Bytes(buf.len() as u64);
        match self.source() {
            Ok(source) => source.read_exact_at(buf, at),
            Err(source) => Err(MediumError::Io { at, len, source }),
        }
    }
}

impl Source for Reopened {
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.source()?.next_data(from)
    }
}
