//! Lists the sources and reads every file of them just far enough.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use rayon::prelude::*;

use super::Job;
use crate::{
    catalog::{CatalogFile, read_file},
    source::{EvidenceRoot, Found, RelPath, WalkError, list, walk},
    ui::Progress,
};

/// A source that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system refused or failed.
    #[error("cannot open {}", path.display())]
    Open {
        /// The source.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Neither a folder nor a regular file.
    #[error("{} is neither a folder nor a regular file", .0.display())]
    Special(PathBuf),
}

/// One source, opened.
#[derive(Debug)]
pub(super) struct OpenedSource {
    /// As named by the user.
    pub(super) given: PathBuf,
    /// The one file of it that is swept, where that was named; the others answer to names alone.
    pub(super) only: Option<RelPath>,
    /// `folder` or `file`, or `allowed` where it only answers to names found in evidence.
    pub(super) kind: &'static str,
    pub(super) root: EvidenceRoot,
    found: Vec<Found>,
    /// Places that could not be listed.
    pub(super) refused: Vec<WalkError>,
}

/// All files of all sources.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) sources: Vec<OpenedSource>,
    pub(super) files: Vec<CatalogFile>,
}

fn open(given: &Path, job: &Job<'_>) -> Result<OpenedSource, SourceError> {
    let refuse = |source| SourceError::Open { path: given.to_path_buf(), source };
    if let Some(remote) = job.options.remote.iter().find(|remote| remote.given == given) {
        let root = EvidenceRoot::open_remote(remote).map_err(refuse)?;
        let (found, refused) = walk(&root, &RelPath::default());
        let (given, only) = (given.into(), None);
        return Ok(OpenedSource { given, only, kind: "datastore", root, found, refused });
    }
    let meta = given.metadata().map_err(refuse)?;
    let access = job.options.access;
    if meta.is_dir() {
        let root = EvidenceRoot::open(given, access).map_err(refuse)?;
        let (found, refused) = walk(&root, &RelPath::default());
        let (given, only) = (given.into(), None);
        return Ok(OpenedSource { given, only, kind: "folder", root, found, refused });
    }
    if !meta.is_file() {
        return Err(SourceError::Special(given.to_path_buf()));
    }
    // The folder round a single file is where its extents and parents are looked for.
    let folder = match given.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let root = EvidenceRoot::open(folder, access).map_err(refuse)?;
    let only = RelPath::default().join(given.file_name().unwrap_or_default());
    let found = list(&root);
    Ok(OpenedSource {
        given: given.into(),
        only: Some(only),
        kind: "file",
        root,
        found,
        refused: Vec::new(),
    })
}

impl Gathered {
    /// Whether `file` was asked for, and is not only there to answer to names.
    pub(super) fn is_swept(&self, file: &CatalogFile) -> bool {
        self.sources.get(file.root).is_some_and(|source| {
            source.kind != "allowed" && source.only.as_ref().is_none_or(|only| *only == file.path)
        })
    }
}

pub(super) fn gather(
    sources: &[PathBuf],
    job: &Job<'_>,
    progress: &Progress,
) -> Result<Gathered, SourceError> {
    progress.set_what("listing");
    let mut opened =
        sources.iter().map(|source| open(source, job)).collect::<Result<Vec<_>, _>>()?;
    for allowed in &job.options.allow {
        let source = open(allowed, job)?;
        opened.push(OpenedSource { kind: "allowed", ..source });
    }
    progress.set_what("reading small files");
    let listed: Vec<(usize, &Found)> = opened
        .iter()
        .enumerate()
        .flat_map(|(number, source)| source.found.iter().map(move |found| (number, found)))
        .collect();
    let files: Vec<CatalogFile> = listed
        .par_iter()
        .with_min_len(16)
        .map(|(number, found)| {
            // Positions come from the list made above.
            let root = &opened[*number].root;
            let file = read_file(root, *number, found, job.families);
            let read = file.size_bytes.min(vmglean_formats::detect::DETECT_BYTES as u64);
            job.read_bytes.fetch_add(read, Ordering::Relaxed);
            file
        })
        .collect();
    for source in &mut opened {
        source.found = Vec::new();
    }
    Ok(Gathered { sources: opened, files })
}
