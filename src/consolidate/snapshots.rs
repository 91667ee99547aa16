//! The snapshot tree of a machine beside its disks: which link of a chain is which point in time.

use std::{collections::HashMap, os::unix::ffi::OsStrExt};

use vmglean_formats::{ByteOffset, ReadAt, vmsd::Vmsd};

use crate::{
    disk::ChainLink,
    source::{EvidenceRoot, RelPath, base_name},
};

/// A `.vmsd` is a few KiB; a longer one is no snapshot list.
const MAX_VMSD_BYTES: usize = 4 << 20;
/// Snapshot lists of one folder that are looked at.
const MAX_LISTS: usize = 256;

/// A disk that a snapshot froze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrozenDisk {
    /// `scsi0:0`.
    pub node: Option<String>,
    /// As written.
    pub file_name: String,
}

/// One snapshot, and the link of the chain that holds what it froze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its uid.
    pub uid: Option<u64>,
    /// The uid of the snapshot before it.
    pub parent: Option<u64>,
    /// Its name.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// When it was taken, microseconds since 1970 UTC.
    pub time_us: Option<u64>,
    /// The disks it froze.
    pub disks: Vec<FrozenDisk>,
    /// The link of this chain that it froze, 0 = leaf.
    pub link: Option<usize>,
}

/// The snapshot list that belongs to a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotTree {
    /// The `.vmsd`.
    pub path: RelPath,
    /// The uid of the snapshot that the running disks grew from.
    pub current: Option<u64>,
    /// Delta disks are left over from a failed consolidation.
    pub need_consolidate: bool,
    /// The snapshots, in file order.
    pub snapshots: Vec<Snapshot>,
    /// What does not hold in the file.
    pub defects: Vec<String>,
}

/// The snapshot list in the leaf's folder that names most of the chain's links; of several that
/// name none, the one whose name fits the leaf's best.
#[must_use]
pub fn find_tree(root: &EvidenceRoot, links: &[ChainLink]) -> Option<SnapshotTree> {
    let leaf = links.first()?;
    let folder = leaf.path.folder();
    let mut names: Vec<_> = std::fs::read_dir(root.display(&folder))
        .ok()?
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name.as_bytes().to_ascii_lowercase().windows(5).any(|part| part == b".vmsd"))
        .take(MAX_LISTS)
        .collect();
    names.sort();
    let by_name = links_by_name(links);
    let own = leaf.path.file_name().as_bytes();
    let mut best: Option<((usize, usize), SnapshotTree)> = None;
    for name in names {
        let Some(tree) = read(root, &folder.join(&name), &by_name) else { continue };
        let told = tree.snapshots.iter().filter(|snapshot| snapshot.link.is_some()).count();
        let alike = name.as_bytes().iter().zip(own).take_while(|(a, b)| a == b).count();
        if best.as_ref().is_none_or(|(score, _)| (told, alike) > *score) {
            best = Some(((told, alike), tree));
        }
    }
    best.map(|(_, tree)| tree)
}

fn links_by_name(links: &[ChainLink]) -> HashMap<Vec<u8>, usize> {
    let mut found = HashMap::new();
    for (number, link) in links.iter().enumerate() {
        let name = link.path.file_name().as_bytes().to_ascii_lowercase();
        found.entry(name.clone()).or_insert(number);
        // What was appended to a name is no part of it: `x.vmdk.locked` was `x.vmdk`.
        if let Some(end) = name.windows(5).position(|part| part == b".vmdk") {
            found.entry(name.get(..end + 5).unwrap_or_default().to_vec()).or_insert(number);
        }
    }
    found
}

fn read(
    root: &EvidenceRoot,
    path: &RelPath,
    by_name: &HashMap<Vec<u8>, usize>,
) -> Option<SnapshotTree> {
    let file = root.open_file(path).ok()?;
    let bytes = file.read_up_to(ByteOffset(0), MAX_VMSD_BYTES).ok()?;
    let parsed = Vmsd::parse(&bytes);
    let link_of =
        |name: &str| by_name.get(&base_name(name.as_bytes()).to_ascii_lowercase()).copied();
    let snapshots = parsed.value.snapshots.iter().map(|node| {
        let disks: Vec<FrozenDisk> = node
            .disks
            .iter()
            .filter_map(|disk| {
                Some(FrozenDisk { node: disk.node.clone(), file_name: disk.file_name.clone()? })
            })
            .collect();
        Snapshot {
            uid: node.uid,
            parent: node.parent,
            name: node.display_name.clone(),
            description: node.description.clone(),
            time_us: node.create_time_us,
            link: disks.iter().find_map(|disk| link_of(&disk.file_name)),
            disks,
        }
    });
    Some(SnapshotTree {
        path: path.clone(),
        current: parsed.value.current,
        need_consolidate: parsed.value.need_consolidate,
        snapshots: snapshots.collect(),
        defects: parsed.defects.iter().take(16).map(ToString::to_string).collect(),
    })
}

/// A point in time chosen by the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The link to read from, 0 = leaf.
    pub link: usize,
    /// The snapshot's name, where it was chosen by its name or uid.
    pub snapshot: Option<String>,
}

/// The link that `at` means: a file name of the chain, a snapshot's name, or its uid.
///
/// # Errors
/// Why it is not clear, with what there is to choose from.
pub fn select(
    links: &[ChainLink],
    tree: Option<&SnapshotTree>,
    at: &str,
) -> Result<Selected, String> {
    let named = |link: &ChainLink| {
        let whole = link.path.as_path().to_string_lossy();
        let base = link.path.file_name().to_string_lossy();
        let stem = base.to_ascii_lowercase().find(".vmdk").map(|end| base[..end].to_owned());
        whole == at || base == at || stem.as_deref() == Some(at)
    };
    if let Some(link) = links.iter().position(named) {
        return Ok(Selected { link, snapshot: None });
    }
    let snapshots = tree.map(|tree| tree.snapshots.as_slice()).unwrap_or_default();
    let exact = |snapshot: &&Snapshot| snapshot.name.as_deref() == Some(at);
    let uid = |snapshot: &&Snapshot| snapshot.uid.is_some_and(|uid| uid.to_string() == at);
    let mut found: Vec<&Snapshot> = snapshots.iter().filter(exact).collect();
    if found.is_empty() {
        found = snapshots.iter().filter(uid).collect();
    }
    let label = |snapshot: &Snapshot| {
        let name = snapshot.name.as_deref().unwrap_or("without a name");
        snapshot.uid.map_or_else(|| format!("{name:?}"), |uid| format!("{name:?} (uid {uid})"))
    };
    let list = |snapshots: &[&Snapshot]| {
        let names: Vec<String> = snapshots.iter().map(|snapshot| label(snapshot)).collect();
        names.join(", ")
    };
    match found.as_slice() {
        [one] => match one.link {
            Some(link) => Ok(Selected { link, snapshot: Some(label(one)) }),
            None => Err(format!("snapshot {} froze no disk of this chain", label(one))),
        },
        [] => {
            let files: Vec<String> = links
                .iter()
                .take(40)
                .map(|link| link.path.file_name().to_string_lossy().into_owned())
                .collect();
            let mut text = format!("{at:?} is no link and no snapshot of this chain; links: ");
            text.push_str(&files.join(", "));
            if !snapshots.is_empty() {
                let all: Vec<&Snapshot> = snapshots.iter().take(40).collect();
                text.push_str(&format!("; snapshots: {}", list(&all)));
            }
            Err(text)
        }
        several => Err(format!("{at:?} names several snapshots: {}; use the uid", list(several))),
    }
}
