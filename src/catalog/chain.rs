//! Links a disk to its parents and its extents, from the facts alone: no file is opened.

use std::collections::HashSet;

use vmglean_formats::vmdk::{Access, ContentId, CreateType, ExtentFormat, ExtentKind};

use super::{
    facts::DescriptorFacts,
    file::{CatalogFile, Content, FileId},
    index::{How, Index, Lookup},
};
use crate::{
    families::NameKind,
    finding::{Finding, Weight},
};

/// Links followed for one disk. ESXi itself stops at 32 snapshots.
const MAX_LINKS: usize = 10_000;
/// Links followed for a whole sweep, so that many leaves on one long chain stay affordable.
const MAX_LINKS_IN_ALL: usize = 4_000_000;

/// One disk of a chain.
#[derive(Clone, Debug)]
pub struct ChainLink {
    /// The descriptor, or the sparse file that holds or lacks it; `None` where only extents are
    /// left.
    pub file: Option<FileId>,
    /// Whether a readable descriptor describes it.
    pub described: bool,
    /// Its extents, in order.
    pub extents: Vec<LinkExtent>,
    /// Virtual size, where something tells it.
    pub capacity_bytes: Option<u64>,
    /// Whether VMware itself encrypts it.
    pub vmware_encrypted: bool,
    /// Whether it can stand alone: a base disk.
    pub is_base: bool,
}

/// One extent of a link.
#[derive(Clone, Debug)]
pub struct LinkExtent {
    /// The file, where there is one.
    pub file: Option<FileId>,
    /// The name it was sought by.
    pub name: String,
    /// What stands behind it; `None` where only its name tells.
    pub kind: Option<ExtentKind>,
    /// Virtual length.
    pub length_bytes: Option<u64>,
    /// Where it begins in the file; `None` past 2^64.
    pub offset_bytes: Option<u64>,
    /// How its line says it may be used.
    pub access: Access,
}

impl LinkExtent {
    /// Whether a file must be there for its bytes.
    #[must_use]
    pub fn needs_file(&self) -> bool {
        !matches!(self.kind, Some(ExtentKind::Zero))
    }

    /// Whether a descriptor calls it plain disk content.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        matches!(self.kind, Some(ExtentKind::Flat | ExtentKind::Vmfs))
    }

    /// Where it ends in the file; `None` where that is not known or past 2^64.
    #[must_use]
    pub fn end_bytes(&self) -> Option<u64> {
        self.offset_bytes?.checked_add(self.length_bytes?)
    }
}

/// Follows chains and remembers how much was followed.
#[derive(Debug)]
pub(super) struct Linker<'a> {
    index: &'a Index<'a>,
    followed: usize,
}

pub(super) fn finding(file: &CatalogFile, code: &str, what: String, next: Option<&str>) -> Finding {
    Finding {
        code: code.to_owned(),
        weight: Weight::Damage,
        path: file.shown.to_string_lossy().into_owned(),
        offset_bytes: None,
        what,
        next: next.map(str::to_owned),
    }
}

/// The part of a disk's name that its extents share: `X` of `X.vmdk`.
fn disk_stem(name: &[u8]) -> &[u8] {
    name.len()
        .checked_sub(5)
        .filter(|cut| name.get(*cut..).is_some_and(|end| end.eq_ignore_ascii_case(b".vmdk")))
        .and_then(|cut| name.get(..cut))
        .unwrap_or(name)
}

/// `vm-000003` is snapshot disk 3 of `vm`.
pub(super) fn snapshot_number(stem: &[u8]) -> Option<(&[u8], u32)> {
    let cut = stem.len().checked_sub(7)?;
    let (base, number) = stem.split_at_checked(cut)?;
    let digits = number.strip_prefix(b"-")?;
    digits.iter().all(u8::is_ascii_digit).then_some(())?;
    Some((base, std::str::from_utf8(digits).ok()?.parse().ok()?))
}

impl<'a> Linker<'a> {
    pub(super) fn new(index: &'a Index<'a>) -> Self {
        Self { index, followed: 0 }
    }

    /// The chain from `leaf` to its base, and what is wrong with it.
    pub(super) fn chain(&mut self, leaf: FileId) -> (Vec<ChainLink>, Vec<Finding>) {
        let mut links = Vec::new();
        let mut findings = Vec::new();
        let mut seen = HashSet::new();
        let mut next = Some(leaf);
        while let Some(id) = next {
            let file = self.index.file(id);
            if !seen.insert(id) {
                let what = "the chain comes back to a disk it already holds".to_owned();
                findings.push(finding(file, "chain.cycle", what, Some("examine parentFileNameHint and CIDs; no point of this chain can be trusted")));
                break;
            }
            if links.len() >= MAX_LINKS || self.followed >= MAX_LINKS_IN_ALL {
                let what = format!("the chain is followed no further than {} links", links.len());
                findings.push(finding(file, "chain.too-long", what, None));
                break;
            }
            self.followed += 1;
            let link = self.link(id, &mut findings);
            self.copies(&link, &mut findings);
            next = self.parent(id, &link, links.first(), &mut findings);
            links.push(link);
        }
        // Kept for every disk of the datastore: no room to grow.
        links.shrink_to_fit();
        findings.shrink_to_fit();
        (links, findings)
    }

    fn link(&self, id: FileId, findings: &mut Vec<Finding>) -> ChainLink {
        let file = self.index.file(id);
        match &file.content {
            Content::Descriptor(facts) => self.described(id, file, facts, findings),
            Content::Sparse { embedded: Some(facts), .. } if facts.extents.len() <= 1 => {
                if let (Some(header), Some(line)) = (file.capacity_bytes(), facts.capacity_bytes())
                    && header != line
                    && !facts.extents.is_empty()
                {
                    let what = format!(
                        "its header tells {header} bytes, its extent line {line}: one of them lies"
                    );
                    let next = "what only one of them covers is lost; compare the partition table";
                    findings.push(finding(file, "chain.extent-capacity-differs", what, Some(next)));
                }
                // The one extent of a disk that holds its descriptor is the file itself,
                // whatever the line calls it: names go stale, and a copy may lie beside.
                let own = LinkExtent {
                    file: Some(id),
                    name: String::from_utf8_lossy(file.stem()).into_owned(),
                    kind: Some(ExtentKind::Sparse),
                    length_bytes: file.capacity_bytes(),
                    offset_bytes: Some(0),
                    access: facts.extents.first().map_or(Access::ReadWrite, |line| line.access),
                };
                ChainLink {
                    file: Some(id),
                    described: true,
                    extents: vec![own],
                    capacity_bytes: file.capacity_bytes().or_else(|| facts.capacity_bytes()),
                    vmware_encrypted: facts.vmware_encrypted,
                    is_base: !facts.has_parent && facts.hint.is_none(),
                }
            }
            Content::Sparse { embedded: Some(facts), .. } => {
                self.described(id, file, facts, findings)
            }
            Content::Sparse { format, capacity_bytes, embedded: None } => ChainLink {
                file: Some(id),
                described: false,
                extents: vec![LinkExtent {
                    file: Some(id),
                    name: String::from_utf8_lossy(file.stem()).into_owned(),
                    kind: None,
                    length_bytes: *capacity_bytes,
                    offset_bytes: Some(0),
                    access: Access::ReadWrite,
                }],
                capacity_bytes: *capacity_bytes,
                vmware_encrypted: false,
                is_base: *format == ExtentFormat::StreamOptimized,
            },
            _ => self.undescribed(id, file),
        }
    }

    fn described(
        &self,
        id: FileId,
        file: &CatalogFile,
        facts: &DescriptorFacts,
        findings: &mut Vec<Finding>,
    ) -> ChainLink {
        let mut extents = Vec::with_capacity(facts.extents.len());
        for line in &facts.extents {
            let name = line.name.clone().into_string();
            let mut extent = LinkExtent {
                file: None,
                name,
                kind: Some(line.kind),
                length_bytes: line.length_bytes,
                offset_bytes: line.offset_bytes,
                access: line.access,
            };
            if extent.needs_file() {
                extent.file = self.extent_file(file, &extent.name, line.kind, findings);
            }
            extents.push(extent);
        }
        if facts.extents.is_empty() {
            let what = "the descriptor names no extent".to_owned();
            findings.push(finding(file, "chain.no-extent", what, None));
        }
        if facts.capacity_sectors.is_none_or(|s| s > 1 << 53) && !facts.extents.is_empty() {
            let what = "its extent lines add up to more than any disk can hold".to_owned();
            findings.push(finding(file, "chain.capacity-impossible", what, None));
        }
        ChainLink {
            file: Some(id),
            described: true,
            extents,
            capacity_bytes: facts.capacity_bytes(),
            vmware_encrypted: facts.vmware_encrypted,
            is_base: !facts.has_parent && !says_delta(facts),
        }
    }

    /// Tells files that stand in for others whose copies their names call them.
    fn copies(&self, link: &ChainLink, findings: &mut Vec<Finding>) {
        let mut told = HashSet::new();
        let extents = link.extents.iter().filter_map(|extent| extent.file);
        for id in link.file.into_iter().chain(extents).filter(|id| told.insert(*id)) {
            let file = self.index.file(id);
            if file.name.is_copy() {
                let what = format!(
                    "by its name a copy; it is taken because {:?} itself is not there, and nothing \
                     tells how old it is",
                    String::from_utf8_lossy(file.stem())
                );
                let next = "look for the file itself under another name or in another folder, and \
                            compare both before this one is used";
                findings.push(finding(file, "chain.copy-taken", what, Some(next)));
            }
        }
    }

    fn extent_file(
        &self,
        file: &CatalogFile,
        name: &str,
        kind: ExtentKind,
        findings: &mut Vec<Finding>,
    ) -> Option<FileId> {
        match self.index.lookup(file.root, &file.folder(), name.as_bytes()) {
            Lookup::Found(id, how) => {
                if how == How::Elsewhere {
                    let what = format!(
                        "extent {name:?} was found as {}",
                        self.index.file(id).shown.display()
                    );
                    findings.push(Finding {
                        weight: Weight::Note,
                        ..finding(file, "chain.extent-elsewhere", what, None)
                    });
                }
                if Some(id)
                    == self
                        .index
                        .beside(file.root, &file.folder(), file.path.file_name().as_encoded_bytes())
                        .map(|f| f.0)
                    && matches!(file.content, Content::Descriptor(_))
                {
                    let what = format!("extent {name:?} is the descriptor itself");
                    findings.push(finding(file, "chain.extent-is-descriptor", what, None));
                    return None;
                }
                Some(id)
            }
            Lookup::Missing => {
                let what = format!("extent {name:?} is not there");
                let next = "look for it in other folders and datastores, or restore it";
                findings.push(finding(file, "chain.extent-missing", what, Some(next)));
                None
            }
            Lookup::Outside(_) if matches!(kind, ExtentKind::VmfsRaw | ExtentKind::VmfsRdm) => {
                let what = format!("the disk is a raw device ({name:?}); its data lies on the LUN");
                let next = "image the LUN and map that";
                findings.push(finding(file, "chain.raw-device", what, Some(next)));
                None
            }
            Lookup::Outside(escape) => {
                let what = format!("extent name {name:?} {escape}; it was not followed");
                let next = "name its folder with --allow if it belongs to the evidence";
                findings.push(finding(file, "name.outside", what, Some(next)));
                None
            }
        }
    }

    /// A disk whose descriptor is lost: its extents are known by VMware's own naming.
    fn undescribed(&self, id: FileId, file: &CatalogFile) -> ChainLink {
        let own_data = match file.name.kind {
            NameKind::Flat | NameKind::Delta | NameKind::SeSparse | NameKind::SparseExtent => true,
            // Too long for a descriptor, so it was a disk with its descriptor inside.
            _ => file.size_bytes > 64 << 10,
        };
        let mut extents = Vec::new();
        if own_data {
            extents.push(self.extent_by_name(id));
        } else {
            extents
                .extend(self.extents_named_after(file).into_iter().map(|e| self.extent_by_name(e)));
        }
        let is_flat = |extent: &LinkExtent| {
            extent.file.is_some_and(|e| self.index.file(e).name.kind == NameKind::Flat)
        };
        let capacity_bytes = extents
            .iter()
            .try_fold(0_u64, |sum, extent| sum.checked_add(extent.length_bytes?))
            .filter(|sum| *sum > 0);
        ChainLink {
            file: Some(id),
            described: false,
            is_base: !extents.is_empty() && extents.iter().all(is_flat),
            capacity_bytes,
            extents,
            vmware_encrypted: false,
        }
    }

    fn extent_by_name(&self, id: FileId) -> LinkExtent {
        let file = self.index.file(id);
        let length_bytes = match file.name.kind {
            NameKind::Flat => Some(file.size_bytes / 512 * 512),
            _ => file.capacity_bytes(),
        };
        LinkExtent {
            file: Some(id),
            name: String::from_utf8_lossy(file.stem()).into_owned(),
            kind: None,
            length_bytes,
            offset_bytes: Some(0),
            access: Access::ReadWrite,
        }
    }

    /// Extent files that belong to the descriptor `file` by VMware's naming, in order.
    pub(super) fn extents_named_after(&self, file: &CatalogFile) -> Vec<FileId> {
        let stem = disk_stem(file.stem());
        let mut found: Vec<FileId> = self
            .index
            .in_folder(file.root, &file.folder())
            .iter()
            .copied()
            .filter(|id| {
                let other = self.index.file(*id);
                let rest = other
                    .stem()
                    .split_at_checked(stem.len())
                    .filter(|(head, _)| head.eq_ignore_ascii_case(stem))
                    .map(|(_, rest)| rest.to_ascii_lowercase());
                rest.is_some_and(|rest| is_extent_ending(&rest))
            })
            .collect();
        let name = |id: &FileId| &self.index.file(*id).name;
        found.sort_by_key(|id| {
            (name(id).stem.to_ascii_lowercase(), name(id).is_copy(), name(id).suffixes.len(), *id)
        });
        // A plain copy and a renamed one of the same extent are one extent.
        found.dedup_by(|b, a| {
            self.index.file(*a).stem().eq_ignore_ascii_case(self.index.file(*b).stem())
        });
        found
    }

    fn parent(
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
fn says_delta(facts: &DescriptorFacts) -> bool {
    facts.hint.is_some()
        || matches!(facts.create_type, Some(CreateType::VmfsSparse | CreateType::SeSparse))
        || facts
            .extents
            .iter()
            .any(|line| matches!(line.kind, ExtentKind::VmfsSparse | ExtentKind::SeSparse))
}

/// `-flat.vmdk`, `-delta.vmdk`, `-sesparse.vmdk`, `-s001.vmdk`, `-f001.vmdk`.
fn is_extent_ending(rest: &[u8]) -> bool {
    match rest {
        b"-flat.vmdk" | b"-delta.vmdk" | b"-sesparse.vmdk" => true,
        [b'-', b's' | b'f', digits @ .., b'.', b'v', b'm', b'd', b'k'] => {
            digits.len() == 3 && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_and_snapshot_disks_are_told_by_their_names() {
        assert!(is_extent_ending(b"-s012.vmdk"));
        assert!(is_extent_ending(b"-flat.vmdk"));
        assert!(!is_extent_ending(b"-s12.vmdk"));
        assert!(!is_extent_ending(b"-000001.vmdk"));
        assert_eq!(snapshot_number(b"vm-000012"), Some((&b"vm"[..], 12)));
        assert_eq!(snapshot_number(b"vm-12"), None);
        assert_eq!(disk_stem(b"a b.VMDK"), b"a b");
    }
}
