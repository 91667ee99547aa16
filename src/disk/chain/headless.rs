//! Extents whose header is lost: what tells their size, and what becomes of them.

use std::{os::unix::ffi::OsStrExt, sync::Arc};

use vmglean_formats::{
    ByteOffset, ReadAt as _,
    vmdk::{CreateType, Descriptor, ExtentFormat, ExtentKind, descriptor::looks_like_descriptor},
};

use super::{
    companions::Candidate,
    link::{ChainLink, DescribedBy, ExtentFacts},
    open::{Opener, bytes_of, names_a_delta},
    rebuild::{Rebuilt, rebuild},
    tell::name,
};
use crate::{
    disk::{DiskLink, ExtentBody, FileId, LinkExtent},
    source::{RelPath, Source},
};

impl Opener {
    /// A sparse extent whose header is lost: its own descriptor behind the header, or else its
    /// child, tells the size.
    pub(super) fn open_headless(
        &mut self,
        candidate: &Candidate,
        source: &Arc<dyn Source>,
        why: &str,
    ) -> Option<(ChainLink, DiskLink)> {
        let path = &candidate.path;
        // The usual place of an embedded descriptor.
        let room = source.read_up_to(ByteOffset(vmglean_formats::SECTOR_BYTES), 20 * 512).ok()?;
        let embedded = looks_like_descriptor(&room)
            .then(|| Descriptor::parse(&room, ByteOffset(vmglean_formats::SECTOR_BYTES)).value)
            .filter(|descriptor| descriptor.extents.len() == 1);
        let own = embedded.as_ref().and_then(Descriptor::capacity);
        let expected = self.expected.map(|b| vmglean_formats::Sectors(b.div_ceil(512)));
        let capacity = own.or(expected)?;
        let formats: &[ExtentFormat] = match names_format(path) {
            Some(ExtentFormat::Cowd) => &[ExtentFormat::Cowd],
            Some(ExtentFormat::SeSparse) => &[ExtentFormat::SeSparse],
            _ if embedded.as_ref().and_then(Descriptor::create_type)
                == Some(CreateType::StreamOptimized) =>
            {
                &[ExtentFormat::StreamOptimized]
            }
            _ => &[ExtentFormat::HostedSparse, ExtentFormat::StreamOptimized],
        };
        let rebuilt = rebuild(&**source, formats, capacity)?;
        let mut link = match &embedded {
            Some(descriptor) => {
                let by = DescribedBy::Embedded;
                ChainLink::described(path.clone(), candidate.renamed, by, descriptor)
            }
            None => ChainLink::bare(path.clone(), candidate.renamed, DescribedBy::Rebuilt),
        };
        link.has_parent |= names_a_delta(path)
            || matches!(rebuilt.format, ExtentFormat::Cowd | ExtentFormat::SeSparse);
        link.capacity = bytes_of(capacity.0);
        let len = source.len_bytes();
        let file = self.keep(candidate, Arc::clone(source));
        let mut facts = ExtentFacts {
            path: Some(path.clone()),
            name: None,
            renamed: candidate.renamed,
            file_len: Some(len),
            format: None,
            length: link.capacity,
            rebuilt: false,
            broken: None,
        };
        let body = self.rebuilt(&mut facts, path, file, rebuilt, why);
        link.extents.push(facts);
        let extents = vec![LinkExtent { start: 0, length: link.capacity, body }];
        let disk = DiskLink { name: name(&link.path), capacity: link.capacity, extents };
        Some((link, disk))
    }

    pub(super) fn rebuilt(
        &mut self,
        facts: &mut ExtentFacts,
        path: &RelPath,
        file: FileId,
        rebuilt: Rebuilt,
        why: &str,
    ) -> ExtentBody {
        facts.format = Some(rebuilt.format);
        facts.rebuilt = true;
        let what = format!(
            "its header is lost ({why}); it is read through the layout that a disk of {} bytes \
             has: {}",
            bytes_of(rebuilt.capacity.0),
            rebuilt.proof
        );
        self.told.damage("chain.extent-header-rebuilt", path, what, "");
        ExtentBody::Mapped { file, map: rebuilt.map, grain_bytes: rebuilt.grain_bytes }
    }
}

/// Formats that an extent line's word stands for, likeliest first.
pub(super) fn formats_of(kind: ExtentKind) -> &'static [ExtentFormat] {
    match kind {
        ExtentKind::Sparse => &[ExtentFormat::HostedSparse, ExtentFormat::StreamOptimized],
        ExtentKind::VmfsSparse => &[ExtentFormat::Cowd],
        ExtentKind::SeSparse => &[ExtentFormat::SeSparse],
        _ => &[],
    }
}

/// The format that an extent's name speaks for.
fn names_format(path: &RelPath) -> Option<ExtentFormat> {
    let name = path.file_name().as_bytes().to_ascii_lowercase();
    let holds = |word: &[u8]| name.windows(word.len()).any(|part| part == word);
    if holds(b"-sesparse") {
        Some(ExtentFormat::SeSparse)
    } else if holds(b"-delta") {
        Some(ExtentFormat::Cowd)
    } else {
        None
    }
}
