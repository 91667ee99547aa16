//! A machine's `.vmx`, merged key by key from every file that repeats it.
//!
//! VMware writes a configuration down in many places: the `.vmx` and its copies, the spare inside
//! each checkpoint, the log at every power-on. Each is read into a [`Piece`]; [`rebuild`] takes the
//! most trustworthy word for each key and keeps the place, the confidence and what others said.
//! What no file tells is a [`Fact`], derived or guessed, and marked so.

mod derive;
mod gather;
mod guess;
mod host;
mod merge;
mod piece;
#[cfg(test)]
mod tests;
mod text;

pub use derive::{derive, from_descriptor};
pub use gather::{Gathered, Opener, Spare, SpareKind, gather};
pub use guess::{Guest, GuestKind, guess, look_at_disk};
pub use host::{HostFacts, HostNetwork, Hosts, Registration, possible_stems};
pub use merge::{Confidence, Conflict, Fact, LeftOut, MissingKey, Rebuilt, RebuiltLine, rebuild};
pub use piece::{Piece, PieceKind, Place, Told};
