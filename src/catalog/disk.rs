//! One virtual disk of a machine.

use super::{
    chain::{Linker, lone_pointer},
    file::{CatalogFile, Content, FileId},
    index::{How, Index, Lookup},
    link::ChainLink,
};
use crate::{
    families::NameKind,
    finding::{Finding, Weight},
};

/// A virtual disk as its machine has it.
#[derive(Clone, Debug)]
pub struct MachineDisk {
    /// `scsi0:0`, where a configuration tells it.
    pub node: Option<String>,
    /// The name in the configuration, or the file's own.
    pub name: String,
    /// The file that stands for the leaf, where there is one.
    pub leaf: Option<FileId>,
    /// Leaf to base.
    pub chain: Vec<ChainLink>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

impl MachineDisk {
    /// Virtual size: the leaf's, else what its parents tell.
    #[must_use]
    pub fn capacity_bytes(&self) -> Option<u64> {
        self.chain.iter().find_map(|link| link.capacity_bytes)
    }

    /// Whether VMware itself encrypts any of it.
    #[must_use]
    pub fn is_vmware_encrypted(&self) -> bool {
        self.chain.iter().any(|link| link.vmware_encrypted)
    }

    /// Whether its last link is a base, so that nothing is missing below.
    #[must_use]
    pub fn reaches_base(&self) -> bool {
        self.chain.last().is_some_and(|link| link.is_base)
    }

    /// Every file it is made of, leaf first, each once.
    #[must_use]
    pub fn files(&self) -> Vec<FileId> {
        let mut files = Vec::new();
        let all = self.chain.iter().flat_map(|link| {
            link.file.into_iter().chain(link.extents.iter().filter_map(|extent| extent.file))
        });
        for id in all {
            if !files.contains(&id) {
                files.push(id);
            }
        }
        files
    }

    pub(super) fn from_leaf(linker: &mut Linker<'_>, index: &Index<'_>, leaf: FileId) -> Self {
        let (chain, findings) = linker.chain(leaf);
        let name = String::from_utf8_lossy(index.file(leaf).stem()).into_owned();
        Self { node: None, name, leaf: Some(leaf), chain, findings }
    }

    /// The disk that `config` names `name` at `node`.
    pub(super) fn from_config(
        linker: &mut Linker<'_>,
        index: &Index<'_>,
        config: &CatalogFile,
        node: &str,
        name: &str,
    ) -> Self {
        let said = |code: &str, weight, what, next: Option<&str>| Finding {
            code: code.to_owned(),
            weight,
            path: config.shown.to_string_lossy().into_owned(),
            offset_bytes: None,
            what,
            next: next.map(str::to_owned),
        };
        let mut disk = match index.lookup(config.root, &config.folder(), name.as_bytes()) {
            _ if name.is_empty() => {
                let what = format!("{node} is present and names no disk: a line of it is lost");
                let next = "vmware.log and the disks beside it tell which it was";
                Self::missing(name, said("disk.unnamed", Weight::Damage, what, Some(next)))
            }
            Lookup::Found(id, how) => {
                let mut disk = Self::from_leaf(linker, index, id);
                if how == How::Elsewhere {
                    let shown = index.file(id).shown.display();
                    let what = format!("disk {name:?} of {node} was found as {shown}");
                    disk.findings.push(said("disk.elsewhere", Weight::Note, what, None));
                }
                disk
            }
            Lookup::Missing => Self::without_descriptor(linker, index, config, name),
            Lookup::Outside(escape) => {
                let what = format!("disk name {name:?} of {node} {escape}; it was not followed");
                let next = "name its folder with --allow if it belongs to the evidence";
                let finding = said("name.outside", Weight::Damage, what, Some(next));
                Self::missing(name, finding)
            }
        };
        node.clone_into(disk.node.get_or_insert_default());
        name.clone_into(&mut disk.name);
        disk
    }

    fn missing(name: &str, finding: Finding) -> Self {
        Self {
            node: None,
            name: name.to_owned(),
            leaf: None,
            chain: Vec::new(),
            findings: vec![finding],
        }
    }

    /// A disk whose descriptor is not there: its extents may be.
    fn without_descriptor(
        linker: &mut Linker<'_>,
        index: &Index<'_>,
        config: &CatalogFile,
        name: &str,
    ) -> Self {
        let base = String::from_utf8_lossy(crate::source::base_name(name.as_bytes())).into_owned();
        let stem = base.strip_suffix(".vmdk").unwrap_or(&base);
        let beside = |end: &&str| {
            index.beside(config.root, &config.folder(), format!("{stem}{end}.vmdk").as_bytes())
        };
        let extent = ["-flat", "-delta", "-sesparse", "-s001", "-f001"].iter().find_map(beside);
        let path = config.shown.to_string_lossy().into_owned();
        let finding = |code: &str, what, next: &str| Finding {
            code: code.to_owned(),
            weight: Weight::Damage,
            path: path.clone(),
            offset_bytes: None,
            what,
            next: Some(next.to_owned()),
        };
        let pointer = ["-rdm", "-rdmp"].iter().find_map(beside);
        match (extent, pointer) {
            (Some((id, _)), _) => {
                let mut disk = Self::from_leaf(linker, index, id);
                let what = format!("the descriptor {base:?} is not there, its extent is");
                let next = "write the descriptor anew from the extent's length";
                disk.findings.push(finding("disk.descriptor-missing", what, next));
                disk
            }
            (None, Some((id, _))) => Self::missing(name, lone_pointer(index.file(id), name)),
            (None, None) => {
                let what = format!("disk {name:?} is not there, nor any extent of it");
                let next = "look for it in other folders and datastores, or restore it";
                Self::missing(name, finding("disk.missing", what, next))
            }
        }
    }
}

/// Whether a file can be the head of a disk when no configuration tells: a descriptor, a disk
/// with its descriptor inside, or what is left of either.
pub(super) fn may_be_leaf(file: &CatalogFile) -> bool {
    match &file.content {
        Content::Descriptor(_) | Content::Sparse { .. } => true,
        Content::Flat => file.name.kind == NameKind::Flat,
        Content::Unfit { .. } | Content::Refused | Content::Empty => matches!(
            file.name.kind,
            NameKind::Vmdk
                | NameKind::Flat
                | NameKind::Delta
                | NameKind::SeSparse
                | NameKind::SparseExtent
        ),
        _ => false,
    }
}
