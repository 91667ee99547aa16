//! Real files of third parties, where a copy is at hand. Never part of this repository.

use std::{env, fs, path::PathBuf};

/// The corpus folder: `VMGLEAN_CORPUS`, else `../shared/corpus` beside the workspace.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let beside = || {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().map(|up| up.join("../shared/corpus")).find(|folder| folder.is_dir())
    };
    env::var_os("VMGLEAN_CORPUS")
        .map(PathBuf::from)
        .filter(|folder| folder.is_dir())
        .or_else(beside)
}

/// The bytes of one file of the corpus; `None` where there is no corpus.
#[must_use]
pub fn file(path: &str) -> Option<Vec<u8>> {
    fs::read(folder()?.join(path)).ok()
}
