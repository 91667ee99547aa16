//! What extent lines leave out of the files they name.

use std::collections::BTreeMap;

use vmglean_formats::vmdk::{Access, Descriptor, ExtentKind};

use super::{
    link::ChainLink,
    open::{Opener, bytes_of},
};
use crate::source::RelPath;

/// No footer that an attack appends is longer; what is, is part of the disk.
const LONGEST_FOOTER: u64 = 8192;

impl Opener {
    /// Tells bytes of plain extent files that the lines of `descriptor` keep from the disk.
    pub(super) fn lines(&mut self, link: &ChainLink, descriptor: &Descriptor) {
        let mut used: BTreeMap<&RelPath, (u64, u64)> = BTreeMap::new();
        for (line, facts) in descriptor.extents.iter().zip(&link.extents) {
            if line.access == Access::NoAccess && line.kind != ExtentKind::Zero {
                let what = format!(
                    "its line for extent {:?} says NOACCESS: a host reads zeros for these {} \
                     bytes, and so does this, whatever the file holds",
                    line.name.as_deref().unwrap_or_default(),
                    facts.length
                );
                let next = "set the word to RW in a copy of the descriptor";
                self.told.damage("chain.extent-access", &link.path, what, next);
            }
            if let (ExtentKind::Flat | ExtentKind::Vmfs, Some(path), Some(file_len)) =
                (line.kind, &facts.path, facts.file_len)
            {
                let at = bytes_of(line.offset.map_or(0, |sectors| sectors.0));
                let known = used.entry(path).or_insert((0, file_len));
                known.0 = known.0.max(at.saturating_add(facts.length));
            }
        }
        for (path, (end, file_len)) in used {
            let Some(over) = file_len.checked_sub(end).filter(|over| *over > 0) else { continue };
            // Less than a sector is no part of any disk, and a footer may not be known as one.
            if over > LONGEST_FOOTER || over.is_multiple_of(vmglean_formats::SECTOR_BYTES) {
                let what = format!(
                    "is {file_len} bytes long, its extent lines end at {end}: {over} bytes of it \
                     are on no disk"
                );
                let next = "the descriptor may have been changed: the partition table tells the \
                            disk's true size";
                self.told.damage("chain.extent-long", path, what, next);
            }
        }
    }
}
