//! From a leaf to its base: which links there are, whether they belong together, and what is
//! wrong with them.
//!
//! Names written in evidence are hostile. They are followed inside the evidence root only: beside
//! the child first, then where they lead, then by the folder's name for a path of another host.
//! Every step is bounded: links, extents, neighbours looked at, files held open.

mod companions;
mod described;
mod extents;
mod headless;
mod lines;
mod link;
mod locate;
mod open;
mod parent;
mod pool;
mod rebuild;
mod tell;

use std::{collections::HashSet, sync::Arc};

pub use companions::{Candidate, Companions, FolderCompanions, OriginalLength};
pub use link::{ChainLink, DescribedBy, ExtentFacts};

use self::{
    open::Opener,
    parent::{Parent, find_parent},
    tell::name,
};
use super::{Bottom, DiskLink, VirtualDisk};
use crate::{
    finding::Finding,
    source::{OpenError, RelPath},
};

/// Links of one chain that are followed. VMware allows 32 snapshots.
pub const MAX_LINKS: usize = 16_384;

/// Why no chain can be told at all.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The leaf cannot be opened.
    #[error("{path}")]
    Open {
        /// Which file.
        path: String,
        /// Why.
        source: OpenError,
    },
    /// The leaf opens, but is no disk.
    #[error("{path}: {why}")]
    NoDisk {
        /// Which file.
        path: String,
        /// Why.
        why: String,
    },
}

/// How a chain ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainEnd {
    /// With a base disk.
    Base,
    /// With a link whose parent is not there.
    ParentMissing {
        /// Why.
        why: String,
    },
    /// With a link whose parent is one of its own descendants.
    Cycle {
        /// That descendant.
        path: RelPath,
    },
    /// With a parent that is no disk.
    ParentBroken {
        /// Why.
        why: String,
    },
    /// Nowhere: more links than are followed.
    TooLong,
}

/// A leaf and everything below it.
pub struct Chain {
    /// Links, leaf first.
    pub links: Vec<ChainLink>,
    /// What lies below the last link.
    pub end: ChainEnd,
    /// What is wrong or worth knowing, in the order it was met.
    pub findings: Vec<Finding>,
    disk: VirtualDisk,
}

impl Chain {
    /// The whole chain, read as one disk.
    #[must_use]
    pub fn disk(&self) -> &VirtualDisk {
        &self.disk
    }

    /// The same, to keep.
    #[must_use]
    pub fn into_disk(self) -> VirtualDisk {
        self.disk
    }

    /// Whether the chain reaches a base disk.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.end == ChainEnd::Base
    }
}

/// Follows the chain of the disk that `leaf` is: a descriptor, a sparse extent with a descriptor
/// inside, a bare extent (its descriptor is looked for), or plain bytes.
///
/// # Errors
/// [`ChainError`] only where the leaf itself is not to be had; everything else is a finding.
pub fn open_chain(companions: &Arc<dyn Companions>, leaf: &RelPath) -> Result<Chain, ChainError> {
    let candidate = Candidate { path: leaf.clone(), renamed: false, original_len_bytes: None };
    let opened = companions
        .open(&candidate)
        .map_err(|source| ChainError::Open { path: name(leaf), source })?;
    let mut opener = Opener::new(Arc::clone(companions));
    let (mut candidate, mut source) = match opener.descriptor_of(&candidate, &*opened) {
        Some(described) => described,
        None => (candidate, opened),
    };
    let mut links: Vec<ChainLink> = Vec::new();
    let mut disks: Vec<DiskLink> = Vec::new();
    let mut visited = HashSet::new();
    let end = loop {
        visited.insert(candidate.path.clone());
        opener.expected = links.last().map(|child: &ChainLink| child.capacity);
        let (link, disk) = match opener.open(&candidate, source) {
            Ok(opened) => opened,
            Err(why) if links.is_empty() => {
                return Err(ChainError::NoDisk { path: name(&candidate.path), why });
            }
            Err(why) => break ChainEnd::ParentBroken { why },
        };
        if let Some(child) = links.last()
            && child.capacity != link.capacity
        {
            opener.told.damage(
                "chain.capacity-differs",
                &link.path,
                format!(
                    "holds {} bytes, its child {} holds {}; a host refuses such a chain",
                    link.capacity,
                    name(&child.path),
                    child.capacity
                ),
                "the base was probably resized under its snapshots: set the old size in a copy \
                 of the descriptor",
            );
        }
        let has_parent = link.has_parent;
        links.push(link);
        disks.push(disk);
        let Some(link) = links.last().filter(|_| has_parent) else { break ChainEnd::Base };
        if links.len() >= MAX_LINKS {
            break ChainEnd::TooLong;
        }
        match find_parent(&mut opener, link, &visited) {
            Parent::Found(parent, opened) => (candidate, source) = (parent, opened),
            Parent::Doubted(parent, opened, why) => {
                (candidate, source) = (parent, opened);
                if let Some(link) = links.last_mut() {
                    link.parent_doubt = Some(why);
                }
            }
            Parent::Cycle(path) => break ChainEnd::Cycle { path },
            Parent::Missing { why } => break ChainEnd::ParentMissing { why },
        }
    };
    let last = links.last().map_or_else(|| leaf.clone(), |link| link.path.clone());
    let bottom = tell_end(&mut opener, &last, &end);
    let disk = VirtualDisk::new(disks, opener.files, bottom);
    Ok(Chain { links, end, findings: opener.told.into_findings(leaf), disk })
}

fn tell_end(opener: &mut Opener, last: &RelPath, end: &ChainEnd) -> Bottom {
    let next = "what this chain does not hold itself is lost until the parent is found";
    let (code, what) = match end {
        ChainEnd::Base => return Bottom::Zeros,
        ChainEnd::ParentMissing { why } => ("chain.parent-missing", why.clone()),
        ChainEnd::ParentBroken { why } => {
            ("chain.parent-broken", format!("the parent is no disk: {why}"))
        }
        ChainEnd::Cycle { path } => (
            "chain.cycle",
            format!("names {} as its parent, which is its own descendant", name(path)),
        ),
        ChainEnd::TooLong => {
            ("chain.too-long", format!("the chain is longer than {MAX_LINKS} links"))
        }
    };
    opener.told.damage(code, last, what.clone(), next);
    Bottom::Lost { why: format!("{}: {what}", name(last)) }
}
