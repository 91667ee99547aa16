//! One pass over a source: statistics of every block, and hashes, at the speed of reading.
//!
//! The pass reads each byte once, skips holes, keeps going over what cannot be read, and hands
//! out [`Stretch`]es in order. Its memory does not grow with the source. The same source gives
//! the same stretches for any number of threads, and after a stop and a resume.

mod aside;
mod codec;
mod deliver;
mod hash;
mod hashing;
mod identity;
mod options;
mod parallel;
mod plan;
mod read;
mod records;
mod run;
mod state;
mod stretch;
mod tree;
mod work;

pub use aside::Aside;
pub use hash::{Digests, HashKinds};
pub use identity::{FileIdentity, SourceIdentity};
pub use options::{Cancel, PassError, PassOptions, PassOutcome, Stop};
pub use records::{Records, Walk};
pub use run::{Sink, run_pass, run_resumable};
pub use state::{PassState, Resume};
pub use stretch::Stretch;

#[cfg(test)]
mod tests;
