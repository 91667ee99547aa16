//! Which points in time the chain holds, and in what order a person should try them.

use std::{collections::HashMap, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

use rayon::prelude::*;

use super::judge::changed_us;
use crate::{
    consolidate::{Snapshot, SnapshotTree},
    disk::{Chain, RunState, VirtualDisk},
    families::{Families, note_by_name, split_suffix},
    report::{
        chain::{AttackRecord, LinkRecord, LinkState, PointRecord, PointState},
        shell::quote,
    },
    source::{EvidenceRoot, RelPath},
};

/// Points whose bytes are counted; a host allows 32 snapshots.
const MAX_POINTS: usize = 33;
/// Names of the leaf's folder that are looked at for traces.
const MAX_NAMES: usize = 65_536;

/// A time as records have it; `None` where it lies beyond the calendar.
#[must_use]
pub fn instant(us: i64) -> Option<String> {
    let time = jiff::Timestamp::from_microsecond(us).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// How many bytes of the leaf's disk each link answers for.
pub(super) struct Served {
    /// Bytes read from each link; empty where the walk was stopped.
    pub(super) by_link: Vec<u64>,
    lost: HashMap<usize, u64>,
}

impl Served {
    /// Bytes of which link `number` itself says nothing that can be believed.
    pub(super) fn lost_at(&self, number: usize) -> u64 {
        self.lost.get(&number).copied().unwrap_or(0)
    }
}

/// Walks the leaf's disk once.
pub(super) fn serve(chain: &Chain, stop: &dyn Fn() -> bool) -> Served {
    let mut served = Served { by_link: vec![0; chain.links.len()], lost: HashMap::new() };
    let disk = chain.disk();
    for batch in disk.walk(0, disk.capacity_bytes()) {
        if stop() {
            served.by_link.clear();
            return served;
        }
        for run in batch.runs {
            let link = usize::try_from(run.link).unwrap_or(usize::MAX);
            match run.state {
                RunState::Data | RunState::Compressed => {
                    if let Some(sum) = served.by_link.get_mut(link) {
                        *sum += run.length;
                    }
                }
                RunState::Lost | RunState::Unreadable if run.extent.is_some() => {
                    *served.lost.entry(link).or_default() += run.length;
                }
                RunState::Lost | RunState::Unreadable | RunState::Zero | RunState::Absent => {}
            }
        }
    }
    served
}

/// When the attack began.
pub(super) struct Attack {
    since_us: Option<i64>,
    pub(super) record: Option<AttackRecord>,
}

/// The earliest change of a file in the leaf's folder that shows an attack, or the user's word.
pub(super) fn attack(
    root: &Arc<EvidenceRoot>,
    chain: &Chain,
    links: &[LinkRecord],
    told_us: Option<i64>,
    families: &Families,
) -> Attack {
    if let Some(us) = told_us {
        let record = instant(us)
            .map(|since| AttackRecord { since, rests_on: "given by --attack".to_owned() });
        return Attack { since_us: Some(us), record };
    }
    let mut signs: Vec<(i64, String)> = Vec::new();
    let mut sign = |path: &RelPath, why: &str| {
        if let Some(us) = changed_us(root, path) {
            signs.push((us, format!("last change of {}, {why}", path.as_path().display())));
        }
    };
    for extent in links.iter().flat_map(|link| &link.extents) {
        let why = match extent.state {
            LinkState::Encrypted => "which is encrypted",
            LinkState::PartlyEncrypted => "which is partly encrypted",
            _ => continue,
        };
        if let Some(path) = extent.path.as_ref().and_then(|path| RelPath::new(path.as_path())) {
            sign(&path, why);
        }
    }
    if let Some(leaf) = chain.links.first() {
        let folder = leaf.path.folder();
        let names = std::fs::read_dir(root.display(&folder)).into_iter().flatten().flatten();
        for name in names.take(MAX_NAMES).map(|entry| entry.file_name()) {
            let path = folder.join(&name);
            let bytes = name.as_bytes();
            if split_suffix(bytes, families).is_renamed() {
                sign(&path, "to whose name something was appended");
            } else if note_by_name(bytes, families).is_some_and(|note| !note.ambiguous) {
                sign(&path, "a ransom note by its name");
            }
        }
    }
    let first = signs.into_iter().min();
    let record = first.as_ref().and_then(|(us, rests_on)| {
        Some(AttackRecord { since: instant(*us)?, rests_on: rests_on.clone() })
    });
    Attack { since_us: first.map(|(us, _)| us), record }
}

/// Bytes of one point by what can be had of them.
#[derive(Default)]
struct Sums {
    data: u64,
    lost: u64,
    unreadable: u64,
}

fn sums(disk: &VirtualDisk, stop: &dyn Fn() -> bool) -> Option<Sums> {
    let mut sums = Sums::default();
    for batch in disk.walk(0, disk.capacity_bytes()) {
        if stop() {
            return None;
        }
        for run in batch.runs {
            let sum = match run.state {
                RunState::Data | RunState::Compressed => &mut sums.data,
                RunState::Lost => &mut sums.lost,
                RunState::Unreadable => &mut sums.unreadable,
                RunState::Zero | RunState::Absent => continue,
            };
            *sum += run.length;
        }
    }
    Some(sums)
}

/// The points of the chain, best first.
pub(super) fn rank(
    leaf: &Path,
    chain: &Chain,
    tree: Option<&SnapshotTree>,
    links: &[LinkRecord],
    attack: &Attack,
    stop: &(dyn Fn() -> bool + Sync),
) -> Vec<PointRecord> {
    let snapshots = tree.map(|tree| tree.snapshots.as_slice()).unwrap_or_default();
    let named: HashMap<usize, &Snapshot> =
        snapshots.iter().rev().filter_map(|s| Some((s.link?, s))).collect();
    let mut chosen: Vec<usize> = (0..links.len().min(MAX_POINTS)).collect();
    chosen.extend(named.keys().copied().filter(|link| *link >= MAX_POINTS));
    chosen.extend(links.len().checked_sub(1));
    chosen.sort_unstable();
    chosen.dedup();
    chosen.truncate(2 * MAX_POINTS);
    let mut points: Vec<(PointRecord, i64)> = Vec::new();
    let counted: Vec<Option<Sums>> = chosen
        .par_iter()
        .map(|link| chain.disk().at_link(*link).and_then(|disk| sums(&disk, stop)))
        .collect();
    for (link, sums) in chosen.into_iter().zip(counted) {
        // Stopped, or no such link.
        let Some(sums) = sums else { continue };
        // A snapshot's disk is never the running one, though the chain was asked for from it.
        let snapshot = named.get(&link).copied();
        let Some(record) = links.get(link) else { continue };
        let time = snapshot
            .and_then(|snapshot| i64::try_from(snapshot.time_us?).ok())
            .or_else(|| record_us(record));
        let before = attack.since_us.and_then(|since| time.map(|time| time < since));
        let (state, reason) = judge(chain, links, link, &sums);
        let at = record.path.file_name_path();
        let mut command = vec!["vmglean".to_owned(), "consolidate".to_owned()];
        command.push(quote(leaf.as_os_str()));
        if link > 0 {
            command.push("--at".to_owned());
            command.push(quote(at.as_path().as_os_str()));
        }
        command.push("-O flat -o".to_owned());
        command.push(quote(OsStr::new(&output_name(record))));
        points.push((
            PointRecord {
                rank: 0,
                link: record.number,
                at: at.lossy().into_owned(),
                snapshot: snapshot.and_then(|snapshot| snapshot.name.clone()),
                time: time.and_then(instant),
                state,
                lost_bytes: sums.lost,
                unreadable_bytes: sums.unreadable,
                data_bytes: sums.data,
                before_attack: before,
                reason,
                command: command.join(" "),
            },
            time.unwrap_or(i64::MIN),
        ));
    }
    points.sort_by_key(|(point, _)| {
        let known = match point.before_attack {
            Some(true) => 0,
            None => 1,
            Some(false) => 2,
        };
        (point.state, known, point.lost_bytes + point.unreadable_bytes, point.link)
    });
    let ranked = (1..).zip(points);
    ranked.map(|(rank, (point, _))| PointRecord { rank, ..point }).collect()
}

fn record_us(record: &LinkRecord) -> Option<i64> {
    let time: jiff::Timestamp = record.modified.as_ref()?.parse().ok()?;
    Some(time.as_microsecond())
}

/// A name for the output that no file of the chain has: the output goes outside anyway.
fn output_name(record: &LinkRecord) -> String {
    let name = record.path.file_name_path().lossy().into_owned();
    let end = name.to_ascii_lowercase().find(".vmdk").unwrap_or(name.len());
    format!("/path/outside/{}.vmdk", name.get(..end).unwrap_or("disk"))
}

fn judge(chain: &Chain, links: &[LinkRecord], from: usize, sums: &Sums) -> (PointState, String) {
    if sums.lost + sums.unreadable > 0 {
        let state = if sums.data == 0 { PointState::Lost } else { PointState::Damaged };
        let mut parts = Vec::new();
        for (bytes, word) in [(sums.lost, "lost"), (sums.unreadable, "out of reach")] {
            if bytes > 0 {
                parts.push(format!("{} {word}", crate::report::units::bytes(bytes)));
            }
        }
        return (state, parts.join(", "));
    }
    let below = || links.iter().enumerate().skip(from);
    let worst = below().max_by_key(|(number, link)| (link.state, usize::MAX - number));
    if let Some((_, link)) = worst
        && link.state >= LinkState::Damaged
    {
        return (PointState::Damaged, format!("{}: {}", link.path.lossy(), link.reason));
    }
    if let Some((_, why)) = chain
        .links
        .iter()
        .enumerate()
        .skip(from)
        .find_map(|(number, link)| Some((number, link.parent_doubt.as_ref()?)))
    {
        return (PointState::Unproven, format!("the chain may be the wrong one: it {why}"));
    }
    match worst {
        Some((_, link)) if link.state != LinkState::Untouched => {
            (PointState::Unproven, format!("{}: {}", link.path.lossy(), link.reason))
        }
        _ => (
            PointState::Whole,
            "every byte has its place, and the samples of every link are clean".to_owned(),
        ),
    }
}
