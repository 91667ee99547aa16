//! From a window's plan to its stretch.

use super::{
    hash::Hasher,
    plan::{Piece, WindowPlan},
    read::{Failure, PIECE_BYTES, Reader},
    stretch::Stretch,
};
use crate::triage::measure::{BlockClass, WINDOW_BYTES, WindowBuilder, WindowRecord};

/// Reads, hashes and measures windows in one thread.
pub(super) struct Worker<'a> {
    reader: &'a Reader<'a>,
    builder: WindowBuilder,
    buf: Vec<u8>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(reader: &'a Reader<'a>, lanes: bool) -> Self {
        Self { reader, builder: WindowBuilder::new(lanes), buf: vec![0; PIECE_BYTES] }
    }

    /// One window; `hashers` take its bytes piece by piece, while they are near.
    pub(super) fn window(&mut self, plan: &WindowPlan, hashers: &mut [Hasher]) -> Stretch {
        self.builder.begin(plan.offset);
        for piece in plan.pieces() {
            match piece {
                Piece::Hole(range) => {
                    for hasher in hashers.iter_mut() {
                        hasher.update_zeros(range.len() as u64);
                    }
                    self.builder.push_hole(range.len());
                }
                Piece::Data(range) => {
                    let Some(bytes) = self.buf.get_mut(..range.len()) else { continue };
                    let offset = plan.offset.saturating_add(range.start as u64);
                    let failures = self.reader.read(bytes, offset);
                    for hasher in hashers.iter_mut() {
                        hasher.update(bytes);
                    }
                    push_read(&mut self.builder, bytes, failures.iter().cloned());
                }
            }
        }
        compact(self.builder.finish())
    }
}

/// One window's bytes, read once for all who need them.
pub(super) struct Loaded {
    pub(super) plan: WindowPlan,
    /// As long as the window; holes and what did not come are zero.
    pub(super) bytes: Vec<u8>,
    failures: Vec<Failure>,
}

impl Loaded {
    /// Reads a window into `bytes`; `hashers` take it piece by piece, while it is near.
    pub(super) fn read(
        reader: &Reader<'_>,
        plan: WindowPlan,
        mut bytes: Vec<u8>,
        hashers: &mut [Hasher],
    ) -> Self {
        bytes.resize(WINDOW_BYTES, 0);
        bytes.truncate(plan.length);
        let mut failures = Vec::new();
        for piece in plan.pieces() {
            let (Piece::Hole(range) | Piece::Data(range)) = piece.clone();
            let start = range.start;
            let Some(part) = bytes.get_mut(range) else { continue };
            match piece {
                Piece::Hole(_) => part.fill(0),
                Piece::Data(_) => {
                    let read = reader.read(part, plan.offset.saturating_add(start as u64));
                    failures.extend(
                        read.into_iter()
                            .map(|(range, cause)| (start + range.start..start + range.end, cause)),
                    );
                }
            }
            for hasher in hashers.iter_mut() {
                hasher.update(part);
            }
        }
        Self { plan, bytes, failures }
    }

    /// No window, only its buffer.
    pub(super) fn nothing(bytes: Vec<u8>) -> Self {
        let plan = WindowPlan { offset: 0, length: 0, data: Vec::new() };
        Self { plan, bytes, failures: Vec::new() }
    }

    /// Measures the window.
    pub(super) fn measure(&self, builder: &mut WindowBuilder) -> Stretch {
        builder.begin(self.plan.offset);
        let mut failures = self.failures.iter().peekable();
        for piece in self.plan.pieces() {
            match piece {
                Piece::Hole(range) => builder.push_hole(range.len()),
                Piece::Data(range) => {
                    let here = std::iter::from_fn(|| {
                        let next = failures.next_if(|(failed, _)| failed.start < range.end)?;
                        let from = next.0.start.saturating_sub(range.start);
                        Some((from..next.0.end.saturating_sub(range.start), next.1))
                    });
                    push_read(builder, self.bytes.get(range.clone()).unwrap_or(&[]), here);
                }
            }
        }
        compact(builder.finish())
    }
}

/// Measures what was read and names what was not.
fn push_read(builder: &mut WindowBuilder, bytes: &[u8], failures: impl Iterator<Item = Failure>) {
    let mut done = 0;
    for (range, cause) in failures {
        builder.push(bytes.get(done..range.start).unwrap_or(&[]));
        builder.push_unreadable(range.len(), cause);
        done = range.end;
    }
    builder.push(bytes.get(done..).unwrap_or(&[]));
}

/// A window of one kind as the shorter stretch.
fn compact(window: WindowRecord) -> Stretch {
    let (offset_bytes, length_bytes) = (window.offset_bytes, u64::from(window.length_bytes));
    let all = |class| window.blocks.iter().all(|block| block.class() == class);
    match (window.blocks.first().map(|block| block.class()), window.unreadable.as_slice()) {
        (Some(BlockClass::Zero), _) if all(BlockClass::Zero) => {
            Stretch::Zero { offset_bytes, length_bytes }
        }
        (Some(BlockClass::Absent), _) if all(BlockClass::Absent) => {
            Stretch::Absent { offset_bytes, length_bytes }
        }
        (_, [only]) if usize::from(only.blocks) == window.blocks.len() => {
            Stretch::Unreadable { offset_bytes, length_bytes, cause: only.cause }
        }
        _ => Stretch::Window(window),
    }
}
