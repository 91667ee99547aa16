//! One pass over a source: statistics of every block, and hashes, at the speed of reading.
//!
//! The pass reads each byte once, skips holes, keeps going over what cannot be read, and hands
//! out [`Stretch`]es in order. Its memory does not grow with the source. The same source gives
//! the same stretches for any number of threads, and after a stop and a resume.

mod hash;
mod options;
mod plan;
mod read;
mod run;
mod stretch;

pub use hash::{Digests, HashKinds};
pub use options::{Cancel, PassError, PassOptions, PassOutcome, Stop};
pub use run::{Sink, run_pass};
pub use stretch::Stretch;
