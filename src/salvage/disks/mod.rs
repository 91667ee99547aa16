//! A machine's disks: which links go over, under which names, and how the configuration names
//! them.

mod attach;
mod link;

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;

use super::{
    config::{Fact, Gathered, Guest, Opener, Rebuilt, look_at_disk},
    names::Unique,
    plan::{MachinePlan, PlannedFile, SalvageOptions},
    snapshots,
};
use crate::{
    catalog::{FileId, LinkExtent, Machine, MachineDisk},
    disk::{Companions, FolderCompanions, open_chain},
    finding::Weight,
    source::{Access, EvidenceRoot, RecordPath},
};

/// What becomes of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carried {
    /// Its files are in the folder.
    Copied,
    /// Only its descriptor is, as asked; its data stays where it is.
    Listed,
    /// Left where it is: damaged, encrypted or incomplete.
    Left,
    /// Nothing of it was found.
    Missing,
}

/// A file under another name that could be an extent the disk misses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The file.
    pub path: RecordPath,
    /// What the disk calls the extent.
    pub wanted: String,
    /// What speaks for it.
    pub why: String,
}

/// One disk of a salvaged machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskPlan {
    /// Where it hangs: `scsi0:0`.
    pub node: Option<String>,
    /// The name the machine's files give it.
    pub name: String,
    /// What it is called in the folder; `None` where it is not in it.
    pub file: Option<String>,
    /// Its files, from the link it starts at down to the base.
    pub sources: Vec<RecordPath>,
    /// Virtual size.
    pub capacity_bytes: Option<u64>,
    /// Triage's verdict.
    pub verdict: String,
    /// Why that verdict.
    pub reason: String,
    /// What becomes of it.
    pub carried: Carried,
    /// Links left out at the top because they are damaged.
    pub links_left_out: usize,
    /// Files under other names that could be extents it misses; none of them is carried over.
    pub candidates: Vec<Candidate>,
}

/// What the planning of disks shares.
pub(super) struct Layout<'a> {
    pub(super) opener: &'a Opener<'a>,
    pub(super) machine: &'a Machine,
    pub(super) found: &'a Gathered,
    /// The link each disk starts at.
    pub(super) starts: &'a [usize],
    pub(super) options: SalvageOptions,
}

/// The name of a link's own disk, lower case: `srv-000001.vmdk`.
fn disk_name(opener: &Opener<'_>, disk: &MachineDisk, at: usize) -> Option<String> {
    let link = disk.chain.get(at)?;
    let id = link.file.or_else(|| link.extents.iter().find_map(|extent| extent.file))?;
    Some(link::descriptor_name(opener, id).to_lowercase())
}

/// Links to start from: where one disk goes back to a snapshot, those that the same snapshot froze
/// go back with it, so that all are of one moment.
pub(super) fn align_to_snapshot(
    opener: &Opener<'_>,
    machine: &Machine,
    found: &Gathered,
    plan: &mut MachinePlan,
) -> Vec<usize> {
    let condition = plan.condition.clone();
    let start = |n: usize| condition.disks.get(n).map_or(0, |disk| disk.start);
    let mut starts: Vec<usize> = (0..machine.disks.len()).map(start).collect();
    let Some(deepest) = (0..starts.len()).filter(|n| start(*n) > 0).max_by_key(|n| start(*n))
    else {
        return starts;
    };
    let name = machine.disks.get(deepest).and_then(|disk| disk_name(opener, disk, start(deepest)));
    let uid = name.and_then(|name| snapshots::snapshot_of(&found.vmsd.as_ref()?.1, &name));
    let node = uid.and_then(|uid| found.vmsd.as_ref()?.1.by_uid(uid));
    let Some(node) = node else {
        if machine.disks.len() > 1 {
            let what = "one disk goes back to an earlier point and no snapshot list tells which \
                        point of the others belongs to it: their times differ"
                .to_owned();
            plan.tell("disks.times-differ", Weight::Damage, what, None);
        }
        return starts;
    };
    let point =
        node.display_name.clone().unwrap_or_else(|| format!("uid {}", node.uid.unwrap_or(0)));
    for (n, disk) in machine.disks.iter().enumerate() {
        let frozen = node.disks.iter().filter_map(|disk| disk.file_name.as_deref());
        let frozen: Vec<String> = frozen
            .map(|name| {
                String::from_utf8_lossy(crate::source::base_name(name.as_bytes())).to_lowercase()
            })
            .collect();
        let at = (start(n)..disk.chain.len())
            .find(|at| disk_name(opener, disk, *at).is_some_and(|name| frozen.contains(&name)));
        if let (Some(at), Some(slot)) = (at, starts.get_mut(n)) {
            *slot = at;
        }
    }
    let what =
        format!("its disks go back to the snapshot {point:?}; what was written later is left");
    plan.tell("disks.rolled-back", Weight::Damage, what, None);
    starts
}

impl Layout<'_> {
    /// Names in lower case of every link below those the machine will write to.
    pub(super) fn frozen(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (disk, start) in self.machine.disks.iter().zip(self.starts) {
            let below = start + 1..disk.chain.len();
            names.extend(below.filter_map(|at| disk_name(self.opener, disk, at)));
        }
        names
    }

    /// Plans every disk and writes its lines into `config`.
    pub(super) fn plan(
        &self,
        config: &mut Rebuilt,
        names: &mut Unique,
        plan: &mut MachinePlan,
    ) -> Vec<PlannedFile> {
        let mut files = Vec::new();
        let mut given: HashMap<FileId, String> = HashMap::new();
        let mut facts: Vec<Fact> = Vec::new();
        for (number, disk) in self.machine.disks.iter().enumerate() {
            let start = self.starts.get(number).copied().unwrap_or(0);
            let condition = plan.condition.disks.get(number).cloned();
            let fit = condition.as_ref().is_some_and(|c| c.fit || c.start > 0);
            let wanted = fit || self.options.include_damaged;
            let links = disk.chain.get(start..).unwrap_or_default();
            let ids = links.iter().flat_map(|link| {
                link.file.into_iter().chain(link.extents.iter().filter_map(|extent| extent.file))
            });
            let mut sources: Vec<RecordPath> = Vec::new();
            for id in ids {
                let path = RecordPath::from(self.opener.file(id).shown.clone());
                if !sources.contains(&path) {
                    sources.push(path);
                }
            }
            let mut carried = match (links.is_empty(), wanted, self.options.config_only) {
                (true, ..) => Carried::Missing,
                (_, false, _) => Carried::Left,
                (_, true, true) => Carried::Listed,
                (_, true, false) => Carried::Copied,
            };
            let mut file = None;
            if matches!(carried, Carried::Copied | Carried::Listed) {
                let mut chain = link::ChainFiles { layout: self, disk, names, given: &mut given };
                match chain.plan(start, config, plan, &mut facts) {
                    Ok((name, made)) => {
                        file = Some(name);
                        files.extend(made);
                    }
                    Err(why) => {
                        carried = Carried::Left;
                        let what = format!("disk {}: {why}", disk.name);
                        let device =
                            links.iter().flat_map(|l| &l.extents).any(LinkExtent::is_device);
                        let next = if device {
                            "image the LUN, or map it to the new machine"
                        } else {
                            "vmglean chain shows its links and what could replace them"
                        };
                        plan.tell("disk.not-carried", Weight::Damage, what, Some(next));
                    }
                }
            }
            let (verdict, reason) = condition.map_or_else(
                || ("undetermined".to_owned(), "it was not judged".to_owned()),
                |c| (c.verdict, c.reason),
            );
            plan.disks.push(DiskPlan {
                node: disk.node.clone(),
                name: disk.name.clone(),
                file,
                sources,
                capacity_bytes: links
                    .iter()
                    .find_map(|l| l.capacity_bytes)
                    .or(disk.capacity_bytes()),
                verdict,
                reason,
                carried,
                links_left_out: start,
                candidates: self.candidates(number),
            });
        }
        attach::attach(self, config, plan, facts);
        files
    }

    fn candidates(&self, disk: usize) -> Vec<Candidate> {
        let of = self.machine.lookalikes.iter().filter(|like| like.disk == Some(disk));
        of.map(|like| Candidate {
            path: RecordPath::from(self.opener.file(like.file).shown.clone()),
            wanted: like.wanted.clone(),
            why: like.why.clone(),
        })
        .collect()
    }

    /// What the first disk's partition table tells.
    pub(super) fn guest(&self) -> Guest {
        for (disk, start) in self.machine.disks.iter().zip(self.starts) {
            let Some(link) = disk.chain.get(*start) else { continue };
            let Some(id) = link.file.or_else(|| link.extents.first()?.file) else { continue };
            let file = self.opener.file(id);
            let Some(root) = self.opener.roots.get(file.root) else { continue };
            let Ok(root) = EvidenceRoot::open(root.path(), Access::Read) else { continue };
            let companions: Arc<dyn Companions> = Arc::new(FolderCompanions::new(Arc::new(root)));
            let Ok(chain) = open_chain(&companions, &file.path) else { continue };
            let guest = look_at_disk(chain.disk());
            if guest != Guest::default() {
                return guest;
            }
        }
        Guest::default()
    }
}
