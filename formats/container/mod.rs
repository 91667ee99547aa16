//! VMware's own encrypted files: legitimate high entropy, not ransomware.

mod envelope;
mod file;
#[cfg(test)]
mod tests;

pub use envelope::{Envelope, EnvelopeAttribute};
pub use file::EncryptedFile;
