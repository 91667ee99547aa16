//! Long files followed while the pass still reads what lies behind them: whoever judges the disk
//! later finds the walk made.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use vmglean_formats::{ByteOffset, Bytes, MediumError, ReadAt};

use super::{
    BEFORE_BYTES, MOST_FRUITLESS,
    heads::{Kind, heads},
    walks::{Made, Walker, Walks},
};
use crate::triage::pass::Aside;

/// Makes walks ahead of the judgement, in a thread that it borrows from the pass for each.
pub struct Early<'a> {
    source: &'a dyn ReadAt,
    size: u64,
    walks: &'a Walks,
    is_closed: AtomicBool,
    is_over: AtomicBool,
}

impl<'a> Early<'a> {
    /// For the first `size` bytes of `source`; what is found goes to `walks`.
    #[must_use]
    pub fn new(source: &'a dyn ReadAt, size: u64, walks: &'a Walks) -> Self {
        let (is_closed, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { source, size, walks, is_closed, is_over }
    }

    /// Looks at the `starts` of long random-like runs, in order, until there are no more or
    /// [`Self::close`] is called; the pass works with one thread less while it does.
    pub fn run(&self, starts: impl IntoIterator<Item = u64>, aside: &Aside) {
        let until_over = UntilOver { source: self.source, is_over: &self.is_over };
        let mut walker = Walker::new(&until_over, self.size, &[], self.walks);
        let (mut done, mut left) = (0, MOST_FRUITLESS);
        for start in starts {
            if self.is_closed.load(Ordering::Relaxed) {
                return;
            }
            if start < done {
                continue;
            }
            let _thread = aside.one();
            let from = start.saturating_sub(BEFORE_BYTES).max(done);
            let to = start.saturating_add(BEFORE_BYTES / 2);
            let length = usize::try_from(to - from).unwrap_or(0);
            let Ok(bytes) = self.source.read_up_to(ByteOffset(from), length) else { continue };
            for (at, kind) in heads(&bytes, from) {
                if !kind.is_deflate() {
                    continue;
                }
                let Some(made) = self.walk(&mut walker, from + at as u64, kind, left) else {
                    continue;
                };
                match made.walk {
                    Some(walk) => {
                        done = done.max(walk.end());
                        break;
                    }
                    None => left = left.saturating_sub(made.used),
                }
            }
        }
    }

    fn walk(&self, walker: &mut Walker<'_>, place: u64, kind: Kind, most: u64) -> Option<Made> {
        let mut begun = self.walks.begin(place, kind)?;
        let made = walker.follow(place, kind, self.size, most)?;
        // What was broken off is no walk to its end.
        if !self.is_over.load(Ordering::Relaxed) {
            begun.made = Some(made);
        }
        begun.made.clone()
    }

    /// Begins no further walk; one that is begun goes on.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Ends everything when it goes out of scope.
    #[must_use]
    pub fn over_at_end(&self) -> impl Drop + '_ {
        Over(self)
    }
}

struct Over<'e, 'a>(&'e Early<'a>);

impl Drop for Over<'_, '_> {
    fn drop(&mut self) {
        self.0.close();
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// A source that fails once nobody waits for its bytes any more.
struct UntilOver<'a> {
    source: &'a dyn ReadAt,
    is_over: &'a AtomicBool,
}

impl ReadAt for UntilOver<'_> {
    fn len_bytes(&self) -> u64 {
        self.source.len_bytes()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        if self.is_over.load(Ordering::Relaxed) {
            let len = Bytes(buf.len() as u64);
            return Err(MediumError::Io { at, len, source: io::ErrorKind::Other.into() });
        }
        self.source.read_exact_at(buf, at)
    }
}
