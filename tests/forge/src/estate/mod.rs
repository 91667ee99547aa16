//! The sample estate: a small datastore of machines, untouched and hit in every way that a sweep
//! has a word for, made the same to the byte each time.
//!
//! What is known of the attacks comes from [`crate::damage`]; the notes are invented and lead
//! nowhere.

mod attack;
mod ext2;
pub mod guest;
mod machine;
mod ntfs;
mod older;
mod plan;
mod tell;

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use plan::make;
pub use tell::{expected_json, made_md};

/// Files by their path, and what a sweep must say of them.
#[derive(Clone, Debug, Default)]
pub struct Estate {
    /// Content by path, folders parted by `/`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The machines, in the order of the plan.
    pub machines: Vec<Expected>,
    /// Ransom notes: path and family.
    pub notes: Vec<(String, String)>,
    /// Disk files of no machine: path and the machine they are to be offered to.
    pub orphans: Vec<(String, String)>,
}

/// What a sweep must say of one machine.
#[derive(Clone, Debug, Serialize)]
pub struct Expected {
    /// Folder below the estate.
    pub folder: String,
    /// Display name.
    pub name: String,
    /// What it is and what was done to it.
    #[serde(skip)]
    pub story: String,
    /// Verdict.
    pub verdict: &'static str,
    /// Route.
    pub route: &'static str,
    /// State of its own configuration.
    pub config: &'static str,
    /// File the configuration is to be taken from, by name.
    pub config_source: Option<String>,
    /// Verdict of each disk.
    pub disks: Vec<&'static str>,
    /// Encrypted share of the disk's files, where the damage is known to the byte.
    pub encrypted_share: Option<f64>,
    /// The family that the disk's own traces name.
    pub family: Option<&'static str>,
}

impl Estate {
    /// Puts a file, in place of another where there is one.
    pub fn put(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), content.into());
    }

    /// Takes a file away.
    ///
    /// # Panics
    /// When it is not there.
    pub fn take(&mut self, path: &str) -> Vec<u8> {
        assert!(self.files.contains_key(path), "{path} is not there");
        self.files.remove(path).unwrap_or_default()
    }

    /// Gives a file another name.
    pub fn rename(&mut self, from: &str, to: &str) {
        let content = self.take(from);
        self.put(to, content);
    }

    /// Writes all files below `out`.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write(&self, out: &Path) -> io::Result<()> {
        for (path, content) in &self.files {
            let path = out.join(path);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(path, content)?;
        }
        Ok(())
    }

    /// SHA-256 over path, length and content of every file, in order.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, content) in &self.files {
            hash.update(path.as_bytes());
            hash.update([0]);
            hash.update((content.len() as u64).to_le_bytes());
            hash.update(content);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
