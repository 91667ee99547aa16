//! Where file systems say that folders and files begin: do such blocks stand there?

use std::collections::BTreeSet;

use super::{Place, structure};
use crate::triage::quick::fill::is_filled;

/// Folders and files looked at in one volume.
const MOST: u64 = 32;
/// Fewest files that say something together.
const LEAST_FILES: u64 = 8;

/// One in so many files may begin with zeros or a pattern: swap files, what was set aside.
const FILLED_OF: u64 = 4;

/// Places inside files that are kept, and that are looked at in one volume.
const MOST_PLACES: usize = 8192;
const PLACES_LOOKED_AT: usize = 128;
/// Files of so many lengths that lie side by side and hold zeros were wiped: files that were set
/// aside for logs and databases have all the same length.
const LEAST_LENGTHS: usize = 5;
/// A longer piece of a file is looked at in more than one place.
const LONG_BYTES: u64 = 256 * 1024;

/// A place that holds bytes of a file.
#[derive(Clone, Copy, Debug)]
struct Held {
    at: u64,
    file_bytes: u64,
}

/// What was seen of folders and files.
#[derive(Debug, Default)]
pub(super) struct Files {
    folders: u64,
    lost: u64,
    first_lost: Option<(u64, Vec<u8>)>,
    files: u64,
    filled: u64,
    first_filled: Option<(u64, Vec<u8>)>,
    held: Vec<Held>,
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

    /// Bytes of a file of `file_bytes` that were written lie at `at`, `length` of them.
    pub(super) fn holds(&mut self, at: u64, length: u64, file_bytes: u64) {
        let places = if length >= LONG_BYTES { 2 } else { 1 };
        for nth in 0..places {
            if self.held.len() < MOST_PLACES {
                let at = at.saturating_add(length / places * nth);
                self.held.push(Held { at, file_bytes });
            }
        }
    }

    /// Looks at places of files in their order on the volume, and notes zeros in files side by
    /// side.
    fn wiped(place: &mut Place<'_>, name: &str, mut held: Vec<Held>) {
        held.sort_by_key(|one| one.at);
        let step = held.len().div_ceil(PLACES_LOOKED_AT).max(1);
        let mut run: Vec<Held> = Vec::new();
        let mut longest: Vec<Held> = Vec::new();
        let lengths =
            |run: &[Held]| run.iter().map(|one| one.file_bytes).collect::<BTreeSet<_>>().len();
        for one in held.into_iter().step_by(step) {
            // A place in another file of the same disk, or one that cannot be read, says nothing.
            let Some(bytes) = place.read(one.at, 4096) else { continue };
            if bytes.iter().all(|byte| *byte == 0) {
                run.push(one);
                if lengths(&run) > lengths(&longest) {
                    longest.clone_from(&run);
                }
            } else {
                run.clear();
            }
        }
        let files = lengths(&longest);
        if let (Some(first), Some(last)) = (longest.first(), longest.last())
            && files >= LEAST_LENGTHS
        {
            let detail = format!("zeros in {files} files of {name} that lie side by side");
            let length = last.at.saturating_add(4096).saturating_sub(first.at);
            place.found.doubtful.push(structure(first.at, length, detail));
        }
    }

    /// Notes what was lost. One folder in `spare` may be missing: what a journal still held when
    /// the guest was stopped.
    pub(super) fn note(self, place: &mut Place<'_>, name: &str, spare: u64) {
        let Self { folders, lost, first_lost, files, filled, first_filled, held } = self;
        Self::wiped(place, name, held);
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
