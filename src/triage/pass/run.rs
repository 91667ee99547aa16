//! The pass itself.

use std::io;

use super::{
    options::{Cancel, PassError, PassOptions, PassOutcome},
    plan::{Plan, Step, WindowPlan},
    read::{PIECE_BYTES, Reader},
    stretch::{Joiner, Stretch},
};
use crate::{
    source::Source,
    triage::measure::{BlockClass, WindowBuilder},
};

/// Takes stretches as they come, in order, each as long as it can be.
pub type Sink<'a> = dyn FnMut(&Stretch) -> io::Result<()> + 'a;

/// Reads `source` once and hands its stretches to `sink`, from the first byte to the last.
///
/// # Errors
/// [`PassError`] when the sink refuses. A source that fails is recorded as unreadable.
pub fn run_pass(
    source: &dyn Source,
    options: &PassOptions,
    sink: &mut Sink<'_>,
    cancel: &Cancel,
) -> Result<PassOutcome, PassError> {
    let mut outcome = PassOutcome::default();
    let reader = Reader::new(source);
    let mut plan = Plan::new(source, 0);
    let mut builder = WindowBuilder::new(options.lanes);
    let mut buf = vec![0; PIECE_BYTES];
    let mut joiner = Joiner::default();
    loop {
        outcome.stopped = cancel.asked();
        let step = if outcome.stopped.is_some() { None } else { plan.next() };
        let stretch = match step {
            None => {
                if let Some(last) = joiner.finish() {
                    sink(&last).map_err(PassError::Sink)?;
                }
                return Ok(outcome);
            }
            Some(Step::Hole { offset, length }) => {
                Stretch::Absent { offset_bytes: offset, length_bytes: length }
            }
            Some(Step::Window(plan)) => measure(&reader, &plan, &mut builder, &mut buf),
        };
        outcome.covered_bytes = stretch.end_bytes();
        if let Some(ready) = joiner.push(stretch) {
            sink(&ready).map_err(PassError::Sink)?;
        }
    }
}

/// Reads and measures one window.
fn measure(
    reader: &Reader<'_>,
    plan: &WindowPlan,
    builder: &mut WindowBuilder,
    buf: &mut [u8],
) -> Stretch {
    builder.begin(plan.offset);
    for part in &plan.data {
        builder.push_hole(part.start.saturating_sub(builder.covered_bytes()));
        let mut at = part.start;
        while at < part.end {
            let take = (part.end - at).min(buf.len());
            let Some(piece) = buf.get_mut(..take) else { break };
            let failures = reader.read(piece, plan.offset.saturating_add(at as u64));
            let mut done = 0;
            for (range, cause) in failures {
                builder.push(piece.get(done..range.start).unwrap_or(&[]));
                builder.push_unreadable(range.len(), cause);
                done = range.end;
            }
            builder.push(piece.get(done..).unwrap_or(&[]));
            at += take;
        }
    }
    builder.push_hole(plan.length.saturating_sub(builder.covered_bytes()));
    compact(builder.finish())
}

/// A window of zeros alone, or of nothing but one failure, as the shorter stretch.
fn compact(window: crate::triage::measure::WindowRecord) -> Stretch {
    let (offset_bytes, length_bytes) = (window.offset_bytes, u64::from(window.length_bytes));
    if window.blocks.iter().all(|block| block.class() == BlockClass::Zero) {
        return Stretch::Zero { offset_bytes, length_bytes };
    }
    match window.unreadable.as_slice() {
        [only] if usize::from(only.blocks) == window.blocks.len() => {
            Stretch::Unreadable { offset_bytes, length_bytes, cause: only.cause }
        }
        _ => Stretch::Window(window),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_cover_the_source_in_order() {
        let mut bytes = vec![0u8; 5 << 20];
        bytes[(2 << 20) + 5000] = 7;
        bytes.truncate((5 << 20) - 100);
        let mut ends = vec![];
        let mut sink = |stretch: &Stretch| {
            ends.push((stretch.offset_bytes(), stretch.end_bytes()));
            Ok(())
        };
        let outcome =
            run_pass(&bytes, &PassOptions::default(), &mut sink, &Cancel::default()).unwrap();
        assert_eq!(outcome.covered_bytes, bytes.len() as u64);
        assert_eq!(ends, [(0, 2 << 20), (2 << 20, 3 << 20), (3 << 20, (5 << 20) - 100)]);
    }
}
