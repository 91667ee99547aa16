//! What a pass hands out, in order, covering its range without gap or overlap.

use crate::triage::measure::{ReadFailure, WindowRecord};

/// The next part of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// Whole windows inside a hole: nothing allocated, reads as zero. However long, one record.
    Absent {
        /// First byte, from the start of the source.
        offset_bytes: u64,
        /// How many.
        length_bytes: u64,
    },
    /// Whole windows that were read and hold only zeros.
    Zero {
        /// First byte, from the start of the source.
        offset_bytes: u64,
        /// How many.
        length_bytes: u64,
    },
    /// Whole windows that the medium did not give.
    Unreadable {
        /// First byte, from the start of the source.
        offset_bytes: u64,
        /// How many.
        length_bytes: u64,
        /// Why.
        cause: ReadFailure,
    },
    /// One measured window.
    Window(WindowRecord),
}

impl Stretch {
    /// First byte, from the start of the source.
    #[must_use]
    pub fn offset_bytes(&self) -> u64 {
        match self {
            Self::Absent { offset_bytes, .. }
            | Self::Zero { offset_bytes, .. }
            | Self::Unreadable { offset_bytes, .. } => *offset_bytes,
            Self::Window(window) => window.offset_bytes,
        }
    }

    /// Bytes covered.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        match self {
            Self::Absent { length_bytes, .. }
            | Self::Zero { length_bytes, .. }
            | Self::Unreadable { length_bytes, .. } => *length_bytes,
            Self::Window(window) => u64::from(window.length_bytes),
        }
    }

    /// First byte after it.
    #[must_use]
    pub fn end_bytes(&self) -> u64 {
        self.offset_bytes().saturating_add(self.length_bytes())
    }

    /// Takes `next` in where it goes on with the same; else gives it back.
    pub(super) fn join(&mut self, next: Self) -> Option<Self> {
        let end = self.end_bytes();
        if next.offset_bytes() != end {
            return Some(next);
        }
        match (self, &next) {
            (Self::Absent { length_bytes, .. }, Self::Absent { length_bytes: more, .. })
            | (Self::Zero { length_bytes, .. }, Self::Zero { length_bytes: more, .. }) => {
                *length_bytes = length_bytes.saturating_add(*more);
                None
            }
            (
                Self::Unreadable { length_bytes, cause, .. },
                Self::Unreadable { length_bytes: more, cause: same, .. },
            ) if cause == same => {
                *length_bytes = length_bytes.saturating_add(*more);
                None
            }
            _ => Some(next),
        }
    }
}

/// Joins neighbours of one kind, so that nobody sees in how many pieces they were made.
#[derive(Default)]
pub(super) struct Joiner {
    waiting: Option<Stretch>,
}

impl Joiner {
    /// Takes the next stretch; gives the one that is now known to be complete.
    pub(super) fn push(&mut self, next: Stretch) -> Option<Stretch> {
        match &mut self.waiting {
            None => {
                self.waiting = Some(next);
                None
            }
            Some(waiting) => waiting.join(next).and_then(|next| self.waiting.replace(next)),
        }
    }

    /// What waits for its end.
    pub(super) fn waiting(&self) -> Option<&Stretch> {
        self.waiting.as_ref()
    }

    /// What still waits, taken.
    pub(super) fn finish(&mut self) -> Option<Stretch> {
        self.waiting.take()
    }
}
