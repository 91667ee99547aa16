//! Logical volumes of LVM2: found by labels and metadata areas, or by the backup of their text in
//! the root volume, and read as disks of their own over all disks given.

mod layout;
mod search;

use std::collections::BTreeMap;

use vmglean_formats::lvm::{AreaHeader, HEADER_BYTES, Label, LogicalVolume, VolumeGroup};

pub use layout::{Found, Layout, LogicalDisk, Part, Placed};
pub use search::{Logical, Searched, without_logical};

use super::{
    Ground, ext,
    partition::Table,
    scan::Hits,
    volumes::{Volume, VolumeKind},
};
use crate::triage::judge::{Run, State, overlay};

/// Labels and backups of texts looked at on one disk.
const MOST: usize = 1024;
/// Areas looked at on one disk, each with a text of some megabytes at most.
const MOST_AREAS: usize = 64;
/// Longest backup of a text that is looked at.
const LONGEST_BACKUP: u64 = 1 << 20;

/// One of the disks given.
#[derive(Clone, Copy)]
pub struct Disk<'a> {
    /// Its bytes and their map.
    pub ground: &'a Ground<'a>,
    /// What the scan found on it.
    pub hits: &'a Hits,
    /// Its partitions.
    pub table: &'a Table,
}

/// A volume group and where its disks are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// As its text tells it.
    pub group: VolumeGroup,
    /// Where each physical volume lies; `None`: on none of the disks given.
    pub placed: Vec<Option<Placed>>,
    /// Which text that is, in words.
    pub rests_on: String,
    /// Whether it is the text in force; a backup may be older than the volumes are.
    pub is_in_force: bool,
}

impl Group {
    /// The layout of one of its volumes; `None` where a kind of segment is not read.
    #[must_use]
    pub fn layout(&self, volume: &LogicalVolume) -> Option<Layout> {
        let is_read = volume.unread().is_none() && !volume.segments.is_empty();
        let mut layout = is_read.then(|| Layout::new(&self.group, volume, &self.placed))?;
        for part in &mut layout.parts {
            part.is_proven &= self.is_in_force;
        }
        Some(layout)
    }

    /// What a volume rests on and what it lacks, in words.
    #[must_use]
    pub fn told(&self, volume: &LogicalVolume) -> Vec<String> {
        let mut told = vec![self.rests_on.clone()];
        if let Some(kind) = volume.unread() {
            told.push(format!("a part of it is of type {kind}: named, not read"));
        }
        for (physical, placed) in self.group.physical.iter().zip(&self.placed) {
            let name = &physical.name;
            match placed {
                Some(placed) if placed.is_proven => {}
                Some(placed) => told.push(format!(
                    "{name} is taken to begin at {:#x}; no label of its own alone says so",
                    placed.start
                )),
                None => told.push(format!(
                    "{name} ({}, last seen as {}) is on none of the disks given",
                    physical.uuid, physical.device
                )),
            }
        }
        told
    }
}

/// A text and where it was found.
struct Text {
    group: VolumeGroup,
    rests_on: String,
    is_in_force: bool,
}

/// Finds volume groups on the disks given.
#[must_use]
pub fn groups(disks: &[Disk<'_>]) -> Vec<Group> {
    let mut labels: BTreeMap<String, Vec<(usize, u64)>> = BTreeMap::new();
    let mut starts: Vec<(usize, u64)> = Vec::new();
    let mut texts: BTreeMap<String, Text> = BTreeMap::new();
    for (number, disk) in disks.iter().enumerate() {
        for at in disk.hits.labels.iter().take(MOST) {
            let bytes = disk.ground.read(*at, HEADER_BYTES).unwrap_or_default();
            let Some(label) = Label::parse(&bytes) else { continue };
            let Some(start) = at.checked_sub(label.sector.saturating_mul(512)) else { continue };
            labels.entry(label.uuid).or_default().push((number, start));
        }
        for at in disk.hits.areas.iter().take(MOST_AREAS) {
            let Some((start, text)) = in_force(disk, number, *at) else { continue };
            starts.push((number, start));
            keep(&mut texts, text);
        }
        for at in disk.hits.texts.iter().take(MOST) {
            if let Some(text) = backup(disk, number, *at) {
                keep(&mut texts, text);
            }
        }
    }
    texts.into_values().map(|text| placed(disks, text, &labels, &starts)).collect()
}

/// Keeps the newest text of each group; of equals the one in force.
fn keep(texts: &mut BTreeMap<String, Text>, text: Text) {
    let worth = |text: &Text| (text.group.sequence, text.is_in_force);
    match texts.get(&text.group.uuid) {
        Some(known) if worth(known) >= worth(&text) => {}
        _ => {
            texts.insert(text.group.uuid.clone(), text);
        }
    }
}

fn on(number: usize) -> String {
    if number == 0 { String::new() } else { format!(" of disk {number} of those given with it") }
}

/// The text in force of the area whose header lies at `at`, and where its physical volume begins.
fn in_force(disk: &Disk<'_>, number: usize, at: u64) -> Option<(u64, Text)> {
    let header = AreaHeader::parse(&disk.ground.read(at, HEADER_BYTES).ok()?)?;
    let start = at.checked_sub(header.start)?;
    let mut bytes = Vec::new();
    for piece in header.pieces() {
        let from = at.checked_add(piece.offset)?;
        bytes.extend(disk.ground.read(from, usize::try_from(piece.size).ok()?).ok()?);
    }
    let group = VolumeGroup::parse(&bytes).filter(|_| header.holds(&bytes))?;
    let rests_on = format!(
        "text {} of volume group {} in the metadata area at {at:#x}{}, its checksum right",
        group.sequence,
        group.name,
        on(number)
    );
    Some((start, Text { group, rests_on, is_in_force: true }))
}

/// A backup of a text, as LVM2 keeps them in files under `/etc/lvm`.
fn backup(disk: &Disk<'_>, number: usize, at: u64) -> Option<Text> {
    let length = disk.ground.size().checked_sub(at)?.min(LONGEST_BACKUP);
    let mut bytes = disk.ground.read(at, usize::try_from(length).ok()?).ok()?;
    // The group's own closing brace ends it.
    let end = bytes.windows(3).position(|three| three == b"\n}\n")?.checked_add(3)?;
    bytes.truncate(end);
    if !disk.ground.is_good(at..at.checked_add(u64::try_from(end).ok()?)?) {
        return None;
    }
    let group = VolumeGroup::parse(&bytes)?;
    let rests_on = format!(
        "backup {} of the text of volume group {} at {at:#x}{}; it may be older than the volumes",
        group.sequence,
        group.name,
        on(number)
    );
    Some(Text { group, rests_on, is_in_force: false })
}

/// Finds the physical volumes of a group: by label, else by the one area that is left, else by the
/// one partition of its size.
fn placed(
    disks: &[Disk<'_>],
    text: Text,
    labels: &BTreeMap<String, Vec<(usize, u64)>>,
    starts: &[(usize, u64)],
) -> Group {
    let begins = |disk: usize, start: u64| {
        let table = disks.get(disk).map(|disk| &disk.table.partitions);
        start == 0 || table.is_some_and(|table| table.iter().any(|one| one.start == start))
    };
    let mut found: Vec<Option<Placed>> = text
        .group
        .physical
        .iter()
        .map(|physical| {
            let known = labels.get(&physical.uuid)?;
            let mut begun = known.iter().filter(|(disk, start)| begins(*disk, *start));
            let best = begun.next();
            // Of two copies of one physical volume nothing tells which is meant.
            let is_proven = best.is_some() && begun.next().is_none() || known.len() == 1;
            let (disk, start) = *best.or(known.first())?;
            Some(Placed { disk, start, is_proven })
        })
        .collect();
    let is_taken = |found: &[Option<Placed>], disk: usize, start: u64| {
        labels.values().flatten().any(|place| *place == (disk, start))
            || found.iter().flatten().any(|place| (place.disk, place.start) == (disk, start))
    };
    // An area's header says where its volume begins, not which one it is.
    let mut free: Vec<(usize, u64)> =
        starts.iter().copied().filter(|(disk, at)| !is_taken(&found, *disk, *at)).collect();
    free.dedup();
    let open: Vec<usize> = (0..found.len()).filter(|n| found.get(*n) == Some(&None)).collect();
    if let ([number], [(disk, start)]) = (open.as_slice(), free.as_slice())
        && let Some(place) = found.get_mut(*number)
    {
        *place = Some(Placed { disk: *disk, start: *start, is_proven: false });
    }
    for number in open {
        let wanted = text.group.physical.get(number).and_then(|physical| physical.device_bytes);
        let Some(wanted) = wanted.filter(|_| found.get(number) == Some(&None)) else { continue };
        let mut fits = disks.iter().enumerate().flat_map(|(number, disk)| {
            let whole = [(0, disk.ground.size())];
            let parts = disk.table.partitions.iter().map(|one| (one.start, one.end));
            parts.chain(whole).map(move |(start, end)| (number, start, end - start))
        });
        let mut fits = fits
            .by_ref()
            .filter(|(disk, start, length)| *length == wanted && !is_taken(&found, *disk, *start));
        if let (Some((disk, start, _)), None) = (fits.next(), fits.next()) {
            let place = Some(Placed { disk, start, is_proven: false });
            drop(fits);
            if let Some(open) = found.get_mut(number) {
                *open = place;
            }
        }
    }
    Group {
        group: text.group,
        placed: found,
        rests_on: text.rests_on,
        is_in_force: text.is_in_force,
    }
}

/// The parts of a volume that neither checksums nor a copy of its file system's superblock, which
/// says where it lies, put in their places: nothing in them is known to be the volume's.
#[must_use]
pub fn doubted(layout: &Layout, hits: &Hits, volumes: &[Volume]) -> Vec<Run> {
    let is_confirmed = |part: &Part| {
        let end = part.at.saturating_add(part.length);
        part.stripes.len() == 1
            && volumes.iter().any(|volume| {
                let VolumeKind::Ext(shape) = &volume.kind else { return false };
                let mut copies = ext::copies(hits, volume.start, shape);
                copies.any(|at| part.at <= at && at < end)
            })
    };
    let doubted = layout.parts.iter().filter(|part| !part.is_proven && !is_confirmed(part));
    doubted
        .map(|part| Run::new(part.at..part.at.saturating_add(part.length), State::Undetermined, 0))
        .collect()
}

/// The volume's map without what nothing puts in its place.
#[must_use]
pub fn believed(runs: Vec<Run>, doubted: Vec<Run>) -> Vec<Run> {
    overlay(runs, doubted)
}
