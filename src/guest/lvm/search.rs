//! The volumes of volume groups, searched as disks of their own.

use super::{Group, Layout, LogicalDisk, believed, doubted};
use crate::guest::{
    Ground,
    scan::Hits,
    volumes::{Volume, VolumeKind, volumes},
};

/// A volume may be this many times as large as the disks given: most of it is lost then.
const LARGEST_TIMES_DISKS: u64 = 64;
/// Volumes that are named.
const MOST_VOLUMES: usize = 4096;
/// All volumes together may hold this many times what the disks given hold: none of a true group lie on
/// each other, and older texts are few.
const ALL_TIMES_DISKS: u64 = 4;

/// A logical volume that users see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logical {
    /// Group and volume, as in `vg0/root`.
    pub name: String,
    /// What it rests on and what it lacks, in words.
    pub told: Vec<String>,
    /// Bytes.
    pub bytes: u64,
    /// Where it lies; empty where a kind of segment is not read.
    pub layout: Layout,
}

impl Logical {
    /// All of these groups, over disks of `given` bytes in all. What is past belief is named, not read.
    #[must_use]
    pub fn all(groups: &[Group], given: u64) -> Vec<Self> {
        let mut left = given.saturating_mul(ALL_TIMES_DISKS);
        let visible = groups.iter().flat_map(|group| {
            group.group.logical.iter().filter(|one| one.is_visible).map(move |one| (group, one))
        });
        visible
            .take(MOST_VOLUMES)
            .map(|(group, volume)| {
                let mut told = group.told(volume);
                let bytes = volume.extents().saturating_mul(group.group.extent_bytes);
                let mut layout = group.layout(volume).unwrap_or_default();
                let placed = layout.placed_bytes();
                if bytes > given.saturating_mul(LARGEST_TIMES_DISKS) || placed > left {
                    told.push("more bytes than these disks could hold: not read".to_owned());
                    layout = Layout::default();
                } else {
                    left -= placed;
                }
                Self { name: format!("{}/{}", group.group.name, volume.name), told, bytes, layout }
            })
            .collect()
    }
}

/// A logical volume that was searched.
pub struct Searched<'a> {
    /// Its bytes and their map.
    pub ground: Ground<'a>,
    /// What the scan found in it.
    pub hits: Hits,
    /// Its file systems: one, as a rule. Where none was found, one of a kind that is unknown.
    pub volumes: Vec<Volume>,
}

impl<'a> Searched<'a> {
    /// Searches the volume `logical` that `disk` reads over the disks of these grounds.
    #[must_use]
    pub fn new(
        disk: &'a LogicalDisk<'a>,
        logical: &Logical,
        grounds: &[&Ground<'_>],
        scan: &dyn Fn(&Ground<'_>) -> Hits,
    ) -> Self {
        let search = |ground: Ground<'a>| {
            let hits = scan(&ground);
            let found = volumes(&ground, &hits).volumes;
            Self { ground, hits, volumes: found }
        };
        let layout = &logical.layout;
        let runs = layout.runs(grounds);
        let mut this = search(Ground::new(disk, &runs));
        let open = doubted(layout, &this.hits, &this.volumes);
        let mut told = logical.told.clone();
        if !open.is_empty() {
            let bytes: u64 = open.iter().map(|run| run.end - run.start).sum();
            told.push(format!("nothing puts {bytes} bytes of it in their place: undetermined"));
            this = search(Ground::new(disk, &believed(runs, open)));
        }
        if this.volumes.is_empty() {
            let is_read = !layout.parts.is_empty() || logical.bytes == 0;
            let kind = if is_read {
                VolumeKind::Unknown
            } else {
                VolumeKind::Named("an LVM2 volume of a kind that is not read")
            };
            this.volumes.push(Volume {
                number: 0,
                start: 0,
                bytes: Some(logical.bytes),
                kind,
                name: Vec::new(),
                rests_on: Vec::new(),
                inside: None,
            });
        }
        for volume in &mut this.volumes {
            volume.name = logical.name.clone().into_bytes();
            volume.rests_on.splice(0..0, told.iter().cloned());
        }
        this
    }

    /// Counts its volumes on from `last`; the number of the last of them.
    pub fn count_on(&mut self, last: u32) -> u32 {
        for volume in &mut self.volumes {
            volume.inside = volume.inside.map(|number| number.saturating_add(last));
        }
        let mut number = last;
        for volume in &mut self.volumes {
            number = number.saturating_add(1);
            volume.number = number;
        }
        number
    }
}

/// Leaves out volumes of the disk `number` that were found as logical ones: read by themselves, they
/// would be taken for whole where they lie in several pieces.
pub fn without_logical(
    volumes: &mut Vec<Volume>,
    number: usize,
    groups: &[Group],
    logical: &[Searched<'_>],
) {
    let starts: Vec<u64> = groups
        .iter()
        .flat_map(|group| group.placed.iter().flatten())
        .filter(|placed| placed.disk == number)
        .map(|placed| placed.start)
        .collect();
    let is_logical = |volume: &Volume| {
        let VolumeKind::Ext(shape) = &volume.kind else { return false };
        let mut found = logical.iter().flat_map(|one| &one.volumes);
        starts.iter().any(|start| volume.start > *start)
            && found.any(|one| matches!(&one.kind, VolumeKind::Ext(own) if own.uuid == shape.uuid))
    };
    volumes.retain(|volume| !is_logical(volume));
    for (number, volume) in (1..).zip(volumes.iter_mut()) {
        volume.number = number;
    }
}
