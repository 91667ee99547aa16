//! What each predicted run is worth, in nats against "no rule".

use std::ops::Range;

use crate::triage::judge::{Survey, Tone};

/// An edge that lies where the rule puts it: chance would need one block boundary in hundreds.
const EDGE: f64 = 6.0;
/// A whole block that cannot be ciphertext where the rule wants it.
const CONTRADICTED: f64 = -25.0;
/// Block length.
const BLOCK: u64 = 4096;

/// What one predicted run is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gain {
    /// Nats for or against.
    pub nats: f64,
    /// Whether an edge of it is seen.
    pub confirmed: bool,
    /// Bytes in whole blocks that cannot be ciphertext.
    pub contradicted: u64,
    /// Bytes in whole blocks that may be.
    pub possible: u64,
    /// Where the first contradiction begins.
    pub first_contradiction: Option<u64>,
}

/// Weighs predicted runs, all in order.
pub fn gains<'a>(
    survey: &'a Survey,
    runs: impl Iterator<Item = Range<u64>> + 'a,
) -> impl Iterator<Item = Gain> + 'a {
    runs.map(move |run| gain(survey, &run))
}

fn gain(survey: &Survey, run: &Range<u64>) -> Gain {
    let inner = run.start.next_multiple_of(BLOCK)..run.end / BLOCK * BLOCK;
    let mut made = Gain::default();
    if inner.start >= inner.end {
        return made;
    }
    for piece in survey.over(&inner) {
        let bytes = piece.end.min(inner.end) - piece.start.max(inner.start);
        match piece.tone {
            Tone::Plain | Tone::Zero | Tone::Absent => {
                made.contradicted += bytes;
                made.first_contradiction.get_or_insert(piece.start.max(inner.start));
            }
            Tone::Random | Tone::Doubtful => made.possible += bytes,
            // Compressed over 32 KiB: a shorter run could hide in it, a longer one could not.
            Tone::Packed => {
                if bytes >= 16 * BLOCK {
                    made.contradicted += bytes;
                    made.first_contradiction.get_or_insert(piece.start.max(inner.start));
                }
            }
            Tone::Unreadable => {}
        }
    }
    if made.contradicted > 0 {
        made.nats = CONTRADICTED;
        return made;
    }
    if made.possible == 0 {
        return made;
    }
    let outside = |at: Option<u64>| {
        at.and_then(|at| survey.tone_at(at))
            .is_some_and(|tone| !tone.may_be_ciphertext() && tone != Tone::Packed)
    };
    // The block before the first one that the run touches, and the one after the last.
    let before = (run.start / BLOCK * BLOCK).checked_sub(1);
    let after = Some(run.end.next_multiple_of(BLOCK)).filter(|&at| at < survey.size_bytes);
    let seen = u32::from(outside(before)) + u32::from(outside(after));
    made.confirmed = seen > 0;
    made.nats = f64::from(seen) * EDGE;
    made
}
