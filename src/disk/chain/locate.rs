//! From a name written in evidence to files below the root.

use std::os::unix::ffi::OsStrExt;

use super::companions::{Candidate, Companions};
use crate::source::{Escape, RelPath, base_name};

/// Where a name leads.
pub(super) enum Located {
    /// To files below the root, or to none.
    Files {
        candidates: Vec<Candidate>,
        /// Whether they were found by their last part alone.
        moved: bool,
    },
    /// To a device or an object store.
    Device,
    /// Out of the root, and nothing of that name lies beside the descriptor.
    Outside { why: &'static str },
}

fn is_device(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["/dev/", "/vmfs/devices/", r"\\.\", r"//./", "vsan://", "vvol://"]
        .iter()
        .any(|start| lower.starts_with(start))
}

/// Files that the extent name `name`, written in a file of `folder`, may mean.
pub(super) fn locate(companions: &dyn Companions, folder: &RelPath, name: &str) -> Located {
    if is_device(name) {
        return Located::Device;
    }
    let base = base_name(name.as_bytes());
    let beside = || if base.is_empty() { Vec::new() } else { companions.find(folder, base) };
    match folder.resolve(name.as_bytes()) {
        Ok(path) => {
            let there = companions.find(&path.folder(), path.file_name().as_bytes());
            if there.is_empty() && path.folder() != *folder {
                Located::Files { candidates: beside(), moved: true }
            } else {
                Located::Files { candidates: there, moved: false }
            }
        }
        Err(Escape::NoName) => Located::Files { candidates: Vec::new(), moved: false },
        Err(escape) => {
            let candidates = beside();
            if candidates.is_empty() {
                let why = match escape {
                    Escape::Parent => "leads out of the source by \"..\"",
                    Escape::Absolute | Escape::NoName => "is an absolute path",
                };
                Located::Outside { why }
            } else {
                Located::Files { candidates, moved: true }
            }
        }
    }
}

/// Folders and names that a parent hint, written in a file of `folder`, may mean, best first: beside the
/// child, where the hint leads, and for absolute paths the folder of that name near the child.
pub(super) fn hint_places(folder: &RelPath, hint: &str) -> Vec<(RelPath, Vec<u8>)> {
    let base = base_name(hint.as_bytes()).to_vec();
    if base.is_empty() {
        return Vec::new();
    }
    let mut places = vec![folder.clone()];
    match folder.resolve(hint.as_bytes()) {
        Ok(path) => places.push(path.folder()),
        Err(_) => {
            // `/vmfs/volumes/<datastore>/<folder>/<file>`: the same folder, wherever it lies now.
            let parts: Vec<&[u8]> = hint
                .as_bytes()
                .split(|byte| *byte == b'/' || *byte == b'\\')
                .filter(|part| !part.is_empty() && *part != b"." && *part != b"..")
                .collect();
            if let [.., above, near, _file] = parts.as_slice() {
                let (above, near) =
                    (std::ffi::OsStr::from_bytes(above), std::ffi::OsStr::from_bytes(near));
                places.push(folder.folder().join(near));
                places.push(RelPath::default().join(near));
                places.push(RelPath::default().join(above).join(near));
            }
        }
    }
    let mut out: Vec<(RelPath, Vec<u8>)> = Vec::new();
    for place in places {
        if !out.iter().any(|(known, _)| *known == place) {
            out.push((place, base.clone()));
        }
    }
    out
}
