//! Real files of third parties. Never part of this repository: `tests/corpus` gets those that
//! packages carry, the others are used where `VMGLEAN_CORPUS` names a folder with them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The folder that `VMGLEAN_CORPUS` names, where it holds the whole set.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    env::var_os("VMGLEAN_CORPUS").map(PathBuf::from).filter(|folder| folder.is_dir())
}

/// Where `tests/corpus` puts what it gets.
fn fetched() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    env::var_os("CARGO_TARGET_DIR").map_or_else(beside, PathBuf::from).join("corpus")
}

/// Where one file of the corpus lies; `None` where it is not at hand.
#[must_use]
pub fn path(name: &str) -> Option<PathBuf> {
    let places = folder().into_iter().chain([fetched()]);
    places.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The bytes of one file of the corpus; `None` where it is not at hand.
#[must_use]
pub fn file(name: &str) -> Option<Vec<u8>> {
    fs::read(path(name)?).ok()
}

/// The SHA-256 of bytes, as lower-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
