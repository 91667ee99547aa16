//! Damages bytes as lockers do and knows, to the byte, what it encrypted.
//!
//! A [`Geometry`] says where, a [`Cipher`] how, a [`Trailer`] what is appended; [`Damage`] puts
//! them together and answers with the [`Truth`]. The geometries of known families are in
//! [`cases`], seeded random ones in [`random`].
//!
//! Source of the layouts: `families.json` of the fact collection (rivitna/Malware decryptors,
//! srlabs/black-basta-buster, public reports); what is only recalled there is so here too.

pub mod cases;
pub mod geometry;
pub mod keystream;
pub mod random;
pub mod trailer;

use std::{
    fs::OpenOptions,
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::Path,
};

pub use cases::{Case, family_cases};
pub use geometry::Geometry;
pub use keystream::{Cipher, KeyStream};
pub use random::{Rng, random_geometry};
pub use trailer::Trailer;

/// Bytes handled at a time when a file is damaged in place.
const STEP_BYTES: usize = 1 << 20;

/// What an attack does to one file.
#[derive(Clone, Debug)]
pub struct Damage {
    /// Where it encrypts.
    pub geometry: Geometry,
    /// How it encrypts.
    pub cipher: Cipher,
    /// Key of the cipher.
    pub seed: u64,
    /// What it appends.
    pub trailer: Option<Trailer>,
}

/// What the attack did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Length before anything was appended.
    pub original_bytes: u64,
    /// Length now.
    pub size_bytes: u64,
    /// Encrypted byte ranges of the original, in order, apart from each other.
    pub encrypted: Vec<Range<u64>>,
}

impl Truth {
    /// How many bytes were encrypted.
    #[must_use]
    pub fn encrypted_bytes(&self) -> u64 {
        self.encrypted.iter().map(|r| r.end - r.start).sum()
    }
}

impl Damage {
    /// Sound cipher, nothing appended.
    #[must_use]
    pub fn plain(geometry: Geometry, seed: u64) -> Self {
        Self { geometry, cipher: Cipher::Stream, seed, trailer: None }
    }

    /// Damages bytes in memory.
    pub fn apply(&self, data: &mut Vec<u8>) -> Truth {
        let original_bytes = data.len() as u64;
        let encrypted = self.geometry.ranges(original_bytes);
        let key = KeyStream::new(self.seed, self.cipher);
        for (nth, run) in encrypted.iter().enumerate() {
            let piece = &mut data[run.start as usize..run.end as usize];
            key.encrypt(piece, run.start, nth as u64);
        }
        if let Some(trailer) = &self.trailer {
            data.extend(trailer.bytes(original_bytes, self.seed));
        }
        Truth { original_bytes, size_bytes: data.len() as u64, encrypted }
    }

    /// Damages a file in place, a piece at a time.
    ///
    /// # Errors
    /// The system's error; the file is then half damaged.
    pub fn apply_to_file(&self, path: &Path) -> io::Result<Truth> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let original_bytes = file.metadata()?.len();
        let encrypted = self.geometry.ranges(original_bytes);
        let key = KeyStream::new(self.seed, self.cipher);
        let mut buf = vec![0; STEP_BYTES];
        for (nth, run) in encrypted.iter().enumerate() {
            let mut at = run.start;
            while at < run.end {
                let take = ((run.end - at) as usize).min(STEP_BYTES);
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(&mut buf[..take])?;
                key.encrypt_part(&mut buf[..take], at, at - run.start, nth as u64);
                file.seek(SeekFrom::Start(at))?;
                file.write_all(&buf[..take])?;
                at += take as u64;
            }
        }
        let mut size_bytes = original_bytes;
        if let Some(trailer) = &self.trailer {
            let bytes = trailer.bytes(original_bytes, self.seed);
            file.seek(SeekFrom::End(0))?;
            file.write_all(&bytes)?;
            size_bytes += bytes.len() as u64;
        }
        Ok(Truth { original_bytes, size_bytes, encrypted })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cipher, Damage, Geometry};

    #[test]
    fn bytes_outside_the_stated_ranges_are_untouched_and_inside_they_are_not() {
        let clean: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 7) as u8).collect();
        let mut data = clean.clone();
        let damage = Damage::plain(
            Geometry::Periodic { start: 100, run: 5000, period: 30_000, stop: None },
            7,
        );
        let truth = damage.apply(&mut data);
        let mut at = 0;
        for run in &truth.encrypted {
            let (from, to) = (run.start as usize, run.end as usize);
            assert_eq!(clean[at..from], data[at..from]);
            assert_ne!(clean[from..to], data[from..to]);
            at = to;
        }
        assert_eq!(clean[at..], data[at..]);
        assert_eq!(truth.encrypted[0], 100..5100);
    }

    #[test]
    fn a_file_and_a_buffer_are_damaged_alike() {
        let clean: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 11) as u8).collect();
        for cipher in [Cipher::Stream, Cipher::SameEveryRun(64), Cipher::Period(8192), Cipher::Ecb]
        {
            let damage = Damage {
                geometry: Geometry::Head { bytes: 2_500_016 },
                cipher,
                seed: 3,
                trailer: None,
            };
            let mut data = clean.clone();
            let truth = damage.apply(&mut data);
            let path = std::env::temp_dir().join(format!("forge-{}-damage", std::process::id()));
            std::fs::write(&path, &clean).unwrap();
            assert_eq!(damage.apply_to_file(&path).unwrap(), truth);
            assert_eq!(std::fs::read(&path).unwrap(), data);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
