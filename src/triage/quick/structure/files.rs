//! Where file systems say that folders and files begin: do such blocks stand there?

use super::{Place, structure};
use crate::triage::quick::fill::is_filled;

/// Folders and files looked at in one volume.
const MOST: u64 = 32;
/// Fewest files that say something together.
const LEAST_FILES: u64 = 8;

/// One in so many files may begin with zeros or a pattern: swap files, what was set aside.
const FILLED_OF: u64 = 4;

/// What was seen of folders and files.
#[derive(Debug, Default)]
pub(super) struct Files {
    folders: u64,
    lost: u64,
    first_lost: Option<(u64, Vec<u8>)>,
    files: u64,
    filled: u64,
    first_filled: Option<(u64, Vec<u8>)>,
}

impl Files {
    pub(super) fn wants_folders(&self) -> bool {
        self.folders < MOST
    }

    pub(super) fn wants_files(&self) -> bool {
        self.files < MOST
    }

    /// The first block of a folder, and whether it is one.
    pub(super) fn folder(&mut self, at: u64, bytes: Vec<u8>, is_whole: bool) {
        self.folders += 1;
        if !is_whole {
            self.lost += 1;
            self.first_lost.get_or_insert((at, bytes));
        }
    }

    /// The first block of a file that has bytes.
    pub(super) fn file(&mut self, at: u64, bytes: Vec<u8>) {
        self.files += 1;
        if is_filled(&bytes) {
            self.filled += 1;
            self.first_filled.get_or_insert((at, bytes));
        }
    }

    /// Notes what was lost. One folder in `spare` may be missing: what a journal still held when
    /// the guest was stopped.
    pub(super) fn note(self, place: &mut Place<'_>, name: &str, spare: u64) {
        let Self { folders, lost, first_lost, files, filled, first_filled } = self;
        if let Some((at, bytes)) =
            first_lost.filter(|_| lost > folders.checked_div(spare).unwrap_or(0))
        {
            let what = format!("folders of {name} must be ({lost} of {folders} looked at)");
            place.wreck(at, &bytes, &what);
        }
        if let Some((at, bytes)) =
            first_filled.filter(|_| files >= LEAST_FILES && filled * FILLED_OF > files)
        {
            let what = if bytes.iter().all(|byte| *byte == 0) { "zeros" } else { "one pattern" };
            let detail =
                format!("{what} where files of {name} begin ({filled} of {files} looked at)");
            place.found.damaged.push(structure(at, bytes.len() as u64, detail));
        }
    }
}
