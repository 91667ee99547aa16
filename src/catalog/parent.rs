//! The disk that a delta stands on, found by hint, CID, uuid and number.

use vmglean_formats::vmdk::{ContentId, CreateType, ExtentKind};

use super::{
    chain::{Linker, disk_stem, finding, snapshot_number},
    facts::DescriptorFacts,
    file::{CatalogFile, FileId},
    index::{How, Lookup},
    link::ChainLink,
};
use crate::finding::{Finding, Weight};

impl Linker<'_> {
    pub(super) fn parent(
        &self,
        id: FileId,
        link: &ChainLink,
        leaf: Option<&ChainLink>,
        findings: &mut Vec<Finding>,
    ) -> Option<FileId> {
        let file = self.index.file(id);
        let Some(facts) = file.descriptor() else {
            return if link.is_base { None } else { self.guess_parent(file, findings) };
        };
        if link.is_base {
            return None;
        }
        if facts.parent_cid == Some(ContentId::NO_PARENT) {
            let what = "is a delta, yet its parentCID says that it has no parent".to_owned();
            let next = "a host reads zeros for all that this delta does not hold: set parentCID to \
                        the parent's CID in a copy";
            findings.push(finding(file, "chain.delta-without-parent", what, Some(next)));
        }
        let parent = self.named_parent(file, facts, findings)?;
        let parent_file = self.index.file(parent);
        let unread = [(file, facts.parent_cid.is_none(), "parentCID")]
            .into_iter()
            .chain(parent_file.descriptor().map(|found| (parent_file, found.cid.is_none(), "CID")))
            .find(|(_, is_unread, _)| *is_unread);
        if let Some((whose, _, key)) = unread {
            let what = format!(
                "{key} of {} cannot be read, so nothing proves that {} is its parent as it was",
                whose.shown.display(),
                parent_file.shown.display()
            );
            let next = "compare guest content of both before trusting this chain";
            findings.push(finding(file, "chain.cid-unread", what, Some(next)));
        }
        if let (Some(wanted), Some(found)) =
            (facts.parent_cid, parent_file.descriptor().and_then(|d| d.cid))
            && wanted != found
            && wanted != ContentId::NO_PARENT
        {
            let what = format!(
                "parentCID is {wanted}, but its parent {} has CID {found}: the parent was written \
                 after this delta was made, or is another disk",
                parent_file.shown.display()
            );
            let next = "compare guest content of both before trusting this chain";
            findings.push(finding(file, "chain.cid-mismatch", what, Some(next)));
        }
        let of_leaf = leaf.map_or(link.capacity_bytes, |leaf| leaf.capacity_bytes);
        if let (Some(ours), Some(theirs)) = (of_leaf, parent_file.capacity_bytes())
            && ours != theirs
            && parent_file.descriptor().is_some()
        {
            let what = format!(
                "its parent {} holds {theirs} bytes, the leaf {ours}: ESXi opens no such chain",
                parent_file.shown.display()
            );
            findings.push(finding(file, "chain.capacity-differs", what, None));
        }
        Some(parent)
    }

    fn named_parent(
        &self,
        file: &CatalogFile,
        facts: &DescriptorFacts,
        findings: &mut Vec<Finding>,
    ) -> Option<FileId> {
        let by_hint = facts
            .hint
            .as_deref()
            .map(|hint| (hint, self.index.lookup(file.root, &file.folder(), hint.as_bytes())));
        match by_hint {
            Some((_, Lookup::Found(id, How::Exact | How::Renamed))) => return Some(id),
            Some((hint, Lookup::Found(id, How::Elsewhere))) => {
                let what =
                    format!("parent {hint:?} was found as {}", self.index.file(id).shown.display());
                findings.push(Finding {
                    weight: Weight::Note,
                    ..finding(file, "chain.parent-elsewhere", what, None)
                });
                return Some(id);
            }
            Some((hint, Lookup::Outside(escape))) => {
                let what = format!("parent name {hint:?} {escape}; it was not followed");
                let next = "name its folder with --allow if it belongs to the evidence";
                findings.push(finding(file, "name.outside", what, Some(next)));
            }
            Some((_, Lookup::Missing)) | None => {}
        }
        let by_cid: Vec<FileId> = facts
            .parent_cid
            .into_iter()
            .filter(|cid| *cid != ContentId::NO_PARENT)
            .flat_map(|cid| self.index.with_cid(cid.0))
            .filter(|id| {
                let other = self.index.file(*id);
                !std::ptr::eq(other, file) && other.capacity_bytes() == file.capacity_bytes()
            })
            .collect();
        let hint = facts.hint.as_deref().unwrap_or("(not named)");
        if let [only] = by_cid[..] {
            let what = format!(
                "parent {hint:?} is not there; {} has its CID and capacity and is taken",
                self.index.file(only).shown.display()
            );
            findings.push(finding(file, "chain.parent-by-cid", what, None));
            return Some(only);
        }
        let what = match by_cid.len() {
            0 => format!("parent {hint:?} is not there, and no other disk has its CID"),
            n => format!("parent {hint:?} is not there; {n} disks have its CID and capacity"),
        };
        let next = "look for it in other folders and datastores; without it only this delta's own \
                    grains can be had";
        findings.push(finding(file, "chain.parent-missing", what, Some(next)));
        None
    }

    /// The parent of a delta whose descriptor is lost, by number: `vm-000002` grew from
    /// `vm-000001` or `vm`, as a rule.
    fn guess_parent(&self, file: &CatalogFile, findings: &mut Vec<Finding>) -> Option<FileId> {
        let stem = disk_stem(file.stem());
        let stem = [&b"-delta"[..], b"-sesparse"]
            .iter()
            .find_map(|end| stem.strip_suffix(*end))
            .unwrap_or(stem);
        let (base, number) = snapshot_number(stem)?;
        let named =
            |stem: &[u8]| self.index.beside(file.root, &file.folder(), &[stem, b".vmdk"].concat());
        let lower = (1..number)
            .rev()
            .take(64)
            .find_map(|n| named(format!("{}-{n:06}", String::from_utf8_lossy(base)).as_bytes()));
        let (parent, _) = lower.or_else(|| named(base))?;
        let what = format!(
            "its descriptor is lost, so its parent is unknown; by its number it is {}",
            self.index.file(parent).shown.display()
        );
        let next = "vmware.log and the .vmsd tell the true order";
        findings.push(finding(file, "chain.parent-guessed", what, Some(next)));
        Some(parent)
    }
}

/// Whether anything besides `parentCID` says that a disk stands on another.
pub(super) fn says_delta(facts: &DescriptorFacts) -> bool {
    facts.hint.is_some()
        || matches!(facts.create_type, Some(CreateType::VmfsSparse | CreateType::SeSparse))
        || facts
            .extents
            .iter()
            .any(|line| matches!(line.kind, ExtentKind::VmfsSparse | ExtentKind::SeSparse))
}
