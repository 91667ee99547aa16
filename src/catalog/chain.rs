//! Links a disk to its parents and its extents, from the facts alone: no file is opened.

use std::collections::HashSet;

use vmglean_formats::vmdk::{Access, ExtentFormat, ExtentKind};

use super::{
    facts::DescriptorFacts,
    file::{CatalogFile, Content, FileId},
    index::{How, Index, Lookup},
    link::{ChainLink, LinkExtent},
    parent::says_delta,
};
use crate::{
    families::NameKind,
    finding::{Finding, Weight},
};

/// Links followed for one disk. ESXi itself stops at 32 snapshots.
const MAX_LINKS: usize = 10_000;
/// Links followed for a whole sweep, so that many leaves on one long chain stay affordable.
const MAX_LINKS_IN_ALL: usize = 4_000_000;

/// Follows chains and remembers how much was followed.
#[derive(Debug)]
pub(super) struct Linker<'a> {
    pub(super) index: &'a Index<'a>,
    followed: usize,
}

/// A disk whose bytes no file of the datastore holds: whatever lies under the pointer's name is a
/// mapping that only VMFS reads.
const RAW_DEVICE: &str = "chain.raw-device";

fn device(file: &CatalogFile, extent: &LinkExtent) -> Finding {
    let what = match extent.kind {
        Some(ExtentKind::VmfsRdm) => format!(
            "the disk is a raw device mapping: {:?} only points to a LUN, which holds its data",
            extent.name
        ),
        _ => format!("the disk is the raw device {:?}, which holds its data", extent.name),
    };
    finding(file, RAW_DEVICE, what, Some("image the LUN and map that"))
}

/// The finding of a disk whose descriptor is not there while the pointer to its LUN is.
pub(super) fn lone_pointer(file: &CatalogFile, disk: &str) -> Finding {
    let pointer = file.path.file_name().to_string_lossy().into_owned();
    let what = format!(
        "disk {disk:?} is not there; {pointer:?} beside it says that it is a raw device mapping: a \
         LUN holds its data"
    );
    finding(file, RAW_DEVICE, what, Some("image the LUN and map that"))
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
pub(super) fn disk_stem(name: &[u8]) -> &[u8] {
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
            if extent.is_device() {
                findings.push(device(file, &extent));
            } else if extent.needs_file() {
                extent.file = self.extent_file(file, &extent.name, findings);
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
