//! The disks under a leaf: which there are, in what state, what is missing, and which points in
//! time can be had.

mod candidates;
mod damage;
mod judge;
mod points;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    consolidate::{SnapshotTree, find_tree},
    disk::{Chain, ChainEnd, ChainError, open_chain},
    families::Families,
    finding::Weight,
    outcome::Outcome,
    report::{
        chain::{
            CHAIN_SCHEMA, ChainRecord, EndKind, EndRecord, LinkState, PointState, SnapshotRecord,
            SnapshotsRecord,
        },
        record::RecordPath,
    },
    source::{Access, EvidenceRoot, RelPath},
    triage::footer::footerless,
    ui::Progress,
};

pub use candidates::missing;
pub use damage::{GivenMap, Known, damage};
pub use judge::{Sampled, sample};
pub use points::instant;

/// How to look at a chain.
#[derive(Clone, Debug)]
pub struct ChainOptions {
    /// How evidence is read.
    pub access: Access,
    /// The folder that names found in the disks may lead to; by default the leaf's own.
    pub root: Option<PathBuf>,
    /// Samples a file; 0 leaves the content unjudged.
    pub samples: u32,
    /// When the attack began, by the user's word; microseconds since 1970 UTC.
    pub attack_us: Option<i64>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// The leaf cannot be placed below its root.
    #[error("{0}")]
    Place(String),
    /// The leaf is no disk.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// A chain opened below its root.
pub struct Opened {
    /// The root.
    pub root: Arc<EvidenceRoot>,
    /// The chain.
    pub chain: Chain,
    /// The snapshot list, where one was found.
    pub tree: Option<SnapshotTree>,
}

/// Opens the chain of `leaf` with appended footers left out, and its snapshot list.
///
/// # Errors
/// [`ExamineError`] where there is no chain at all.
pub fn open(
    leaf: &Path,
    root: Option<&Path>,
    access: Access,
    families: &Families,
) -> Result<Opened, ExamineError> {
    let (root, rel) = place(leaf, root, access).map_err(ExamineError::Place)?;
    let root = Arc::new(root);
    let companions = footerless(&root, families);
    let chain = open_chain(&companions, &rel)?;
    let tree = find_tree(&root, &chain.links);
    Ok(Opened { root, chain, tree })
}

/// The folder that names may lead to, and the leaf's place in it.
pub(crate) fn place(
    leaf: &Path,
    root: Option<&Path>,
    access: Access,
) -> Result<(EvidenceRoot, RelPath), String> {
    let shown = leaf.display();
    let own = match leaf.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = leaf.file_name().ok_or_else(|| format!("{shown} is no file name"))?;
    let open = |folder: &Path| {
        EvidenceRoot::open(folder, access).map_err(|error| format!("{}: {error}", folder.display()))
    };
    let Some(root) = root else { return Ok((open(own)?, RelPath::default().join(name))) };
    let real = |folder: &Path| {
        folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))
    };
    let (wide, own) = (real(root)?, real(own)?);
    let below = own.strip_prefix(&wide).ok().and_then(RelPath::new);
    let below = below.ok_or_else(|| format!("{shown} does not lie below {}", root.display()))?;
    Ok((open(root)?, below.join(name)))
}

/// Looks at the chain of `leaf`. Reads samples of every file; memory does not grow with them.
///
/// # Errors
/// [`ExamineError`] where there is no chain at all.
pub fn examine(
    leaf: &Path,
    options: &ChainOptions,
    families: &Families,
    stop: &(dyn Fn() -> bool + Sync),
    progress: &Progress,
) -> Result<(ChainRecord, Outcome), ExamineError> {
    let Opened { root, chain, tree } =
        open(leaf, options.root.as_deref(), options.access, families)?;
    let served = points::serve(&chain, stop);
    let none = HashSet::new();
    let judged = judge::judge(&root, &chain, 0, &none, options.samples, families, (stop, progress));
    let links = judge::links(&root, &chain, &judged, &served);
    let attack = points::attack(&root, &chain, &links, options.attack_us, families);
    let points = points::rank(leaf, &chain, tree.as_ref(), &links, &attack, stop);
    let missing = match &chain.end {
        ChainEnd::Base | ChainEnd::Cycle { .. } | ChainEnd::TooLong => None,
        ChainEnd::ParentMissing { .. } | ChainEnd::ParentBroken { .. } => {
            candidates::missing(&root, &chain, families)
        }
    };
    let record = ChainRecord {
        schema: CHAIN_SCHEMA.to_owned(),
        leaf: RecordPath(leaf.to_path_buf()),
        capacity_bytes: chain.links.first().map_or(0, |link| link.capacity),
        end: end(&chain.end),
        snapshots: tree.as_ref().map(|tree| snapshots(tree, &chain)),
        links,
        missing,
        points,
        attack: attack.record,
        findings: chain.findings,
        run: None,
    };
    let outcome = outcome(&record);
    Ok((record, outcome))
}

fn end(end: &ChainEnd) -> EndRecord {
    let (kind, why) = match end {
        ChainEnd::Base => (EndKind::Base, None),
        ChainEnd::ParentMissing { why } => (EndKind::ParentMissing, Some(why.clone())),
        ChainEnd::ParentBroken { why } => (EndKind::ParentBroken, Some(why.clone())),
        ChainEnd::Cycle { path } => (
            EndKind::Cycle,
            Some(format!(
                "the last link names {} as its parent, which is its own descendant",
                path.as_path().display()
            )),
        ),
        ChainEnd::TooLong => {
            (EndKind::TooLong, Some(format!("more than {} links", crate::disk::MAX_LINKS)))
        }
    };
    EndRecord { kind, why }
}

fn snapshots(tree: &SnapshotTree, chain: &Chain) -> SnapshotsRecord {
    let number = |link: usize| u64::try_from(link).unwrap_or(u64::MAX);
    let named: HashSet<usize> =
        tree.snapshots.iter().filter_map(|snapshot| snapshot.link).collect();
    SnapshotsRecord {
        path: RecordPath(tree.path.as_path().to_path_buf()),
        current_uid: tree.current,
        need_consolidate: tree.need_consolidate,
        nodes: tree
            .snapshots
            .iter()
            .map(|snapshot| SnapshotRecord {
                uid: snapshot.uid,
                parent_uid: snapshot.parent,
                name: snapshot.name.clone(),
                description: snapshot.description.clone(),
                time: snapshot
                    .time_us
                    .and_then(|us| i64::try_from(us).ok())
                    .and_then(points::instant),
                disks: snapshot.disks.iter().map(|disk| disk.file_name.clone()).collect(),
                link: snapshot.link.map(number),
            })
            .collect(),
        unnamed_links: (1..chain.links.len())
            .filter(|link| !named.contains(link))
            .map(number)
            .collect(),
    }
}

fn outcome(record: &ChainRecord) -> Outcome {
    let mut outcome = Outcome::Clean;
    for finding in &record.findings {
        outcome = outcome.and(match finding.weight {
            Weight::Note => Outcome::Clean,
            Weight::Damage => Outcome::Damage,
            Weight::Unreadable => Outcome::Partial,
        });
    }
    for link in &record.links {
        outcome = outcome.and(match link.state {
            LinkState::Untouched | LinkState::Unjudged | LinkState::Undetermined => Outcome::Clean,
            LinkState::Damaged | LinkState::PartlyEncrypted | LinkState::Encrypted => {
                Outcome::Damage
            }
            LinkState::Missing => Outcome::Partial,
        });
    }
    let damaged = |point: &&crate::report::chain::PointRecord| {
        point.link == 0 && point.state >= PointState::Damaged
    };
    if record.end.kind != EndKind::Base || record.points.iter().any(|p| damaged(&p)) {
        outcome = outcome.and(Outcome::Damage);
    }
    outcome
}
