//! The file behind one extent line: which one it is, and what is wrong with it.

use std::sync::Arc;

use vmglean_formats::vmdk::{
    Access, DiskExtent, ExtentFormat, ExtentKind, OpenedExtent, open_extent,
};

use super::{
    companions::Candidate,
    headless::formats_of,
    link::{ChainLink, ExtentFacts},
    locate::{Located, locate},
    open::{Opener, bytes_of, worded},
    rebuild::rebuild,
};
use crate::{
    disk::{ExtentBody, FileId},
    source::{OpenError, RelPath, Source},
};

/// A file opened for one extent line.
struct Placed {
    candidate: Candidate,
    source: Arc<dyn Source>,
    sparse: Option<Result<OpenedExtent, String>>,
    fits: bool,
}

impl Opener {
    pub(super) fn mapped(
        &mut self,
        facts: &mut ExtentFacts,
        path: &RelPath,
        file: FileId,
        opened: OpenedExtent,
        length: u64,
    ) -> ExtentBody {
        facts.format = Some(opened.format);
        let own_length = bytes_of(opened.capacity.0);
        if own_length != length {
            let what = format!(
                "its header tells {own_length} bytes, the extent line {length}; what only one of \
                 them covers is lost"
            );
            self.told.damage("chain.extent-capacity-differs", path, what, "");
        }
        ExtentBody::Mapped { file, map: opened.map, grain_bytes: opened.grain_bytes }
    }

    /// What stands behind one extent line.
    pub(super) fn line(
        &mut self,
        link: &ChainLink,
        line: &DiskExtent,
        length: u64,
        facts: &mut ExtentFacts,
    ) -> ExtentBody {
        if line.kind == ExtentKind::Zero || line.access == Access::NoAccess {
            return ExtentBody::Zero;
        }
        let wanted = line.name.as_deref().unwrap_or_default();
        if matches!(line.kind, ExtentKind::VmfsRdm | ExtentKind::VmfsRaw) {
            return self.device(&link.path, wanted);
        }
        let located = locate(&*self.companions, &link.path.folder(), wanted);
        let candidates = match located {
            Located::Device => return self.device(&link.path, wanted),
            Located::Files { candidates, moved } => {
                if moved && !candidates.is_empty() {
                    let what = format!("the extent {wanted:?} was found by its name alone");
                    self.told.note("chain.extent-found-beside", &link.path, what);
                }
                candidates
            }
            Located::Outside { why } => {
                let what = format!("the extent {wanted:?} {why}; it is not followed");
                self.told.damage(
                    "chain.extent-outside-root",
                    &link.path,
                    what.clone(),
                    "put the file beside its descriptor, or name a higher folder as the source",
                );
                return ExtentBody::Lost { why: what };
            }
        };
        let plain = matches!(line.kind, ExtentKind::Flat | ExtentKind::Vmfs);
        let file_at = bytes_of(line.offset.map_or(0, |sectors| sectors.0));
        let placed = self.place(&candidates, plain, file_at.saturating_add(length));
        let placed = match placed {
            Ok(placed) => placed,
            Err(None) => {
                let what = format!("the extent file {wanted:?} is missing");
                let next = "look for it under another name or in a backup of the folder";
                self.told.damage("chain.extent-missing", &link.path, what.clone(), next);
                return ExtentBody::Lost { why: what };
            }
            Err(Some((path, error))) => {
                let what = format!("the extent {wanted:?} is {error}");
                let code = match error {
                    OpenError::Symlink => "chain.extent-symlink",
                    _ => "chain.extent-refused",
                };
                self.told.unreadable(code, &path, what.clone(), "");
                return ExtentBody::Unreadable { why: what };
            }
        };
        let path = placed.candidate.path.clone();
        facts.path = Some(path.clone());
        facts.renamed = placed.candidate.renamed;
        facts.file_len = Some(placed.source.len_bytes());
        if placed.candidate.renamed {
            let what =
                format!("is taken for the extent {wanted:?}; something was appended to its name");
            self.told.note("chain.extent-renamed", &path, what);
        }
        let file = self.keep(&placed.candidate, Arc::clone(&placed.source));
        match placed.sparse {
            None => {
                let there = placed.source.len_bytes().saturating_sub(file_at);
                if there < length {
                    let what = format!(
                        "is {there} bytes long from byte {file_at} on, its extent line says {length}; the last {} bytes are lost",
                        length - there
                    );
                    self.told.damage("chain.extent-short", &path, what, "");
                }
                ExtentBody::Flat { file, at: file_at }
            }
            Some(Ok(opened)) => {
                if expected_kind(opened.format) != line.kind {
                    let what = format!(
                        "the extent line says {}, the file is {:?}; the file is believed",
                        line.kind_word, opened.format
                    );
                    self.told.damage("chain.extent-kind-differs", &path, what, "");
                }
                self.mapped(facts, &path, file, opened, length)
            }
            Some(Err(why)) => {
                let formats = formats_of(line.kind);
                let capacity = vmglean_formats::Sectors(length / vmglean_formats::SECTOR_BYTES);
                if let Some(rebuilt) = rebuild(&*placed.source, formats, capacity) {
                    return self.rebuilt(facts, &path, file, rebuilt, &why);
                }
                let what = format!("its header cannot be used: {why}");
                let next = "`vmglean inspect` shows what is left of it";
                self.told.damage("chain.extent-header-lost", &path, what.clone(), next);
                ExtentBody::Lost { why: what }
            }
        }
    }

    fn device(&mut self, path: &RelPath, wanted: &str) -> ExtentBody {
        let what = format!("the data of {wanted:?} lie on a device or object, not in this folder");
        self.told.unreadable(
            "chain.extent-is-device",
            path,
            what.clone(),
            "image the LUN or object itself and read that",
        );
        ExtentBody::Unreadable { why: what }
    }

    /// The first candidate that fits, else the first that opens at all.
    fn place(
        &mut self,
        candidates: &[Candidate],
        plain: bool,
        need: u64,
    ) -> Result<Placed, Option<(RelPath, OpenError)>> {
        let mut best: Option<Placed> = None;
        let mut refused = None;
        for candidate in candidates.iter().take(16) {
            let source = match self.companions.open(candidate) {
                Ok(source) => source,
                Err(OpenError::NotFound) => continue,
                Err(error) => {
                    refused.get_or_insert((candidate.path.clone(), error));
                    continue;
                }
            };
            let (sparse, fits) = if plain {
                (None, source.len_bytes() >= need)
            } else {
                match open_extent(&*source) {
                    Ok(checked) => {
                        self.told.defects("chain.extent-defect", &candidate.path, &checked.defects);
                        (Some(Ok(checked.value)), true)
                    }
                    Err(error) => (Some(Err(worded(&error))), false),
                }
            };
            let placed = Placed { candidate: candidate.clone(), source, sparse, fits };
            if placed.fits {
                return Ok(placed);
            }
            best.get_or_insert(placed);
        }
        best.ok_or(refused)
    }
}

fn expected_kind(format: ExtentFormat) -> ExtentKind {
    match format {
        ExtentFormat::HostedSparse | ExtentFormat::StreamOptimized => ExtentKind::Sparse,
        ExtentFormat::Cowd => ExtentKind::VmfsSparse,
        ExtentFormat::SeSparse => ExtentKind::SeSparse,
    }
}
