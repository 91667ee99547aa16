//! Which file is a link's parent.

use std::{collections::HashSet, sync::Arc};

use vmglean_formats::vmdk::ContentId;

use super::{
    companions::Candidate, link::ChainLink, locate::hint_places, open::Opener, tell::name,
};
use crate::source::{RelPath, Source};

/// Most neighbours whose descriptors are looked at for a CID.
const MAX_NEIGHBOURS: usize = 4096;

/// What was found for a link that says it has a parent.
pub(super) enum Parent {
    Found(Candidate, Arc<dyn Source>),
    /// Found by its name, but its CID does not speak for it.
    Doubted(Candidate, Arc<dyn Source>, String),
    Cycle(RelPath),
    Missing {
        why: String,
    },
}

/// A file that could be the parent.
struct Seen {
    candidate: Candidate,
    source: Arc<dyn Source>,
    cid: Option<ContentId>,
}

/// Finds the parent of `link`: by hint and CID, by hint alone, by CID alone, in this order.
pub(super) fn find_parent(
    opener: &mut Opener,
    link: &ChainLink,
    visited: &HashSet<RelPath>,
) -> Parent {
    let folder = link.path.folder();
    let wanted = link.parent_cid.filter(|cid| *cid != ContentId::NO_PARENT);
    let mut hinted: Vec<Seen> = Vec::new();
    let mut refused = None;
    let mut cycle = None;
    for (place, base) in link.parent_hint.iter().flat_map(|hint| hint_places(&folder, hint)) {
        for candidate in opener.companions.find(&place, &base).into_iter().take(16) {
            if visited.contains(&candidate.path) {
                cycle.get_or_insert(candidate.path);
                continue;
            }
            match opener.companions.open(&candidate) {
                Ok(source) => {
                    let cid = opener.descriptor(&*source).and_then(|d| d.cid());
                    hinted.push(Seen { candidate, source, cid });
                }
                Err(error) => {
                    refused.get_or_insert(format!("{}: {error}", name(&candidate.path)));
                }
            }
        }
    }
    if let Some(index) = hinted.iter().position(|seen| seen.cid.is_some() && seen.cid == wanted) {
        let seen = hinted.swap_remove(index);
        return Parent::Found(seen.candidate, seen.source);
    }
    if let Some(path) = cycle {
        return Parent::Cycle(path);
    }
    if let Some(parent) = by_cid(opener, link, wanted, visited) {
        return parent;
    }
    if !hinted.is_empty() {
        return mismatched(opener, link, wanted, hinted);
    }
    let hint = link.parent_hint.as_deref().unwrap_or_default();
    let why = match (refused, hint) {
        (Some(refused), _) => format!("the parent cannot be opened: {refused}"),
        (None, "") => match wanted {
            Some(cid) => {
                format!("no file name of the parent is given, and no disk here has CID {cid}")
            }
            None => "nothing says which disk is the parent".to_owned(),
        },
        (None, hint) => match wanted {
            Some(cid) => format!("the parent {hint:?} is missing, and no disk here has CID {cid}"),
            None => format!("the parent {hint:?} is missing"),
        },
    };
    Parent::Missing { why }
}

/// What a disk's descriptor says of it, for a search by CID.
pub(super) struct Neighbour {
    candidate: Candidate,
    cid: ContentId,
    capacity: Option<u64>,
}

fn neighbours(opener: &mut Opener, folder: &RelPath) -> Arc<Vec<Neighbour>> {
    if let Some(known) = opener.neighbours.get(folder) {
        return Arc::clone(known);
    }
    let mut found = Vec::new();
    for candidate in opener.companions.disks_in(folder).into_iter().take(MAX_NEIGHBOURS) {
        let Ok(source) = opener.companions.open(&candidate) else { continue };
        let Some(descriptor) = opener.descriptor(&*source) else { continue };
        let Some(cid) = descriptor.cid() else { continue };
        let capacity = descriptor.capacity().and_then(vmglean_formats::Sectors::to_bytes);
        found.push(Neighbour { candidate, cid, capacity: capacity.map(|bytes| bytes.0) });
    }
    let found = Arc::new(found);
    opener.neighbours.insert(folder.clone(), Arc::clone(&found));
    found
}

/// The one disk in the child's folder whose CID the child asks for.
fn by_cid(
    opener: &mut Opener,
    link: &ChainLink,
    wanted: Option<ContentId>,
    visited: &HashSet<RelPath>,
) -> Option<Parent> {
    // Any disk that was never written has this one: it proves nothing.
    let wanted = wanted.filter(|cid| *cid != ContentId::NEVER_WRITTEN)?;
    let all = neighbours(opener, &link.path.folder());
    let mut found: Vec<&Neighbour> = all
        .iter()
        .filter(|near| {
            near.cid == wanted
                && !visited.contains(&near.candidate.path)
                && (link.capacity == 0 || near.capacity.is_none_or(|c| c == link.capacity))
        })
        .collect();
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(|near| name(&near.candidate.path)).collect();
        opener.told.damage(
            "chain.parent-ambiguous",
            &link.path,
            format!(
                "{} disks here have the parent's CID {wanted}: {}",
                names.len(),
                names.join(", ")
            ),
            "correct parentFileNameHint in a copy of the descriptor",
        );
        return None;
    }
    let candidate = found.pop()?.candidate.clone();
    let source = opener.companions.open(&candidate).ok()?;
    let hint = link.parent_hint.as_deref().unwrap_or_default();
    let what = format!(
        "its parent {hint:?} was not found; {} has the CID {wanted} and is taken",
        name(&candidate.path)
    );
    opener.told.note("chain.parent-found-by-cid", &link.path, what);
    Some(Parent::Found(candidate, source))
}

/// A parent by name whose CID is another one, or cannot be read.
fn mismatched(
    opener: &mut Opener,
    link: &ChainLink,
    wanted: Option<ContentId>,
    mut hinted: Vec<Seen>,
) -> Parent {
    // The exact name comes first, but a readable descriptor counts for more.
    let index = hinted.iter().position(|seen| seen.cid.is_some()).unwrap_or(0);
    let seen = hinted.swap_remove(index);
    let parent = name(&seen.candidate.path);
    let next = "the parent was changed after this snapshot was taken, or is another disk: do not \
                trust ranges read through this link before a file system check agrees";
    let (code, what) = match (wanted, seen.cid) {
        (Some(wanted), Some(cid)) => (
            "chain.cid-mismatch",
            format!("asks for a parent with CID {wanted}, {parent} has CID {cid}"),
        ),
        (Some(wanted), None) => (
            "chain.cid-unknown",
            format!("asks for a parent with CID {wanted}; {parent} shows none"),
        ),
        (None, _) => (
            "chain.cid-unknown",
            format!("has no readable parentCID; {parent} is taken by its name alone"),
        ),
    };
    opener.told.damage(code, &link.path, what.clone(), next);
    Parent::Doubted(seen.candidate, seen.source, what)
}
