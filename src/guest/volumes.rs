//! Volumes by vote: tables and boot sectors are voices among others, and none is needed.

use std::collections::{BTreeMap, HashMap};

use vmglean_formats::{
    ByteOffset,
    ext::Superblock,
    ntfs::{AttributeBody, BootSector, DataRun, FileRecord, kinds},
    partition::Partition,
};

use super::{
    Ground,
    partition::{Table, table},
    scan::{Hits, RecordHit, SECTOR},
    xfs::XfsGeometry,
};

/// Index blocks that must agree where nothing else tells where a volume begins.
const FEWEST_VOTES: u32 = 3;
/// Index blocks asked for their vote; more only repeat it.
const MOST_VOTERS: usize = 100_000;
/// More volumes than this on one disk are past belief.
const MOST_VOLUMES: usize = 256;

/// What a volume holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// NTFS, with its geometry.
    Ntfs(NtfsGeometry),
    /// ext2, ext3 or ext4, with its geometry.
    Ext(Superblock),
    /// XFS, with its geometry.
    Xfs(XfsGeometry),
    /// Something that is named, not read.
    Named(&'static str),
    /// Nothing tells: its first bytes are lost.
    Unknown,
}

/// Which of the three an ext file system is, by what it uses.
#[must_use]
pub fn ext_name(shape: &Superblock) -> &'static str {
    // Extents, 64 bits, flexible groups, content in inodes; checksums, large files of blocks.
    if shape.incompat & 0x82C0 != 0 || shape.read_only & 0x0678 != 0 {
        "ext4"
    } else if shape.has_journal() {
        "ext3"
    } else {
        "ext2"
    }
}

/// Sizes that NTFS structures are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtfsGeometry {
    /// Bytes a cluster.
    pub cluster_bytes: u32,
    /// Bytes a file record.
    pub record_bytes: u32,
    /// First cluster of `$MFT`, where a boot sector tells.
    pub mft_lcn: Option<u64>,
    /// First cluster of `$MFTMirr`, where a boot sector tells.
    pub mirror_lcn: Option<u64>,
}

/// A volume of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Counted from 1 in the order of the disk.
    pub number: u32,
    /// First byte.
    pub start: u64,
    /// Length, where something tells.
    pub bytes: Option<u64>,
    /// What it holds.
    pub kind: VolumeKind,
    /// Name of its partition, where the table gives one.
    pub name: Vec<u8>,
    /// What it rests on, in words.
    pub rests_on: Vec<String>,
    /// The volume that holds this one inside a file.
    pub inside: Option<u32>,
}

impl Volume {
    /// The byte after its last, or the disk's end where nothing tells.
    #[must_use]
    pub fn end(&self, disk_bytes: u64) -> u64 {
        self.bytes.map_or(disk_bytes, |bytes| self.start.saturating_add(bytes)).min(disk_bytes)
    }
}

/// Volumes and the table they are held against.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    /// In the order of the disk.
    pub volumes: Vec<Volume>,
    /// The partition table, if a copy survives.
    pub table: Table,
}

#[derive(Clone, Debug, Default)]
struct Candidate {
    cluster: u32,
    boot: Option<BootSector>,
    score: u32,
    votes: u32,
    reasons: Vec<String>,
}

/// Finds volumes from what the scan hit.
#[must_use]
pub fn volumes(ground: &Ground<'_>, hits: &Hits) -> Volumes {
    let table = table(ground, &hits.gpt);
    let votes = start_votes(ground, hits);
    let mut found: BTreeMap<u64, Candidate> = BTreeMap::new();
    for hit in &hits.boots {
        let first = support(&table, hits, &votes, hit.at, &hit.boot);
        let before = hit.at.checked_sub(hit.boot.volume_bytes());
        let second = before.map(|start| support(&table, hits, &votes, start, &hit.boot));
        let (start, reason) = match (before, second) {
            (Some(start), Some(second)) if second.score > first.score => {
                (start, format!("backup boot sector at {:#x}", hit.at))
            }
            _ => (hit.at, format!("boot sector at {:#x}", hit.at)),
        };
        let entry =
            found.entry(start).or_insert_with(|| support(&table, hits, &votes, start, &hit.boot));
        entry.reasons.insert(0, reason);
        entry.score += 4;
    }
    for (start, cluster) in record_zero_starts(ground, hits) {
        found.entry(start).or_insert_with(|| {
            let mut candidate = told_by_table(&table, start);
            candidate.cluster = cluster;
            candidate.votes = votes.get(&(start, cluster)).copied().unwrap_or(0);
            candidate.score += candidate.votes.min(10);
            candidate.reasons.push("where record 0 says that the table of files begins".to_owned());
            candidate
        });
    }
    for ((start, cluster), count) in &votes {
        if *count >= FEWEST_VOTES {
            let entry = found.entry(*start).or_insert_with(|| {
                let mut candidate = told_by_table(&table, *start);
                candidate.cluster = *cluster;
                candidate.votes = *count;
                candidate.score += (*count).min(10);
                candidate
            });
            if entry.cluster == *cluster {
                entry.votes = *count;
            }
        }
    }
    for partition in &table.partitions {
        let cluster = common_cluster(hits, partition.start, partition.end);
        if let (Some(cluster), false) = (cluster, found.contains_key(&partition.start)) {
            let mut candidate = told_by_table(&table, partition.start);
            candidate.cluster = cluster;
            candidate.score += 3;
            candidate.reasons.push("cluster size by vote of the file records in it".to_owned());
            found.insert(partition.start, candidate);
        }
    }
    found.retain(|_, candidate| candidate.score >= 3 && candidate.cluster != 0);
    let volumes = named(ground, hits, &table, found);
    Volumes { volumes, table }
}

fn told_by_table(table: &Table, start: u64) -> Candidate {
    let mut candidate = Candidate::default();
    if table.partitions.iter().any(|partition| partition.start == start) {
        candidate.score = 2;
        candidate.reasons.push(table.rests_on.clone());
    }
    candidate
}

/// What speaks for a volume of this geometry that begins at `start`, the boot sector that gave
/// the geometry not counted.
fn support(
    table: &Table,
    hits: &Hits,
    votes: &HashMap<(u64, u32), u32>,
    start: u64,
    boot: &BootSector,
) -> Candidate {
    let mut candidate = told_by_table(table, start);
    candidate.cluster = boot.cluster_bytes;
    candidate.boot = Some(*boot);
    for (what, lcn) in [("$MFT", boot.mft_lcn), ("$MFTMirr", boot.mirror_lcn)] {
        let place = lcn
            .checked_mul(u64::from(boot.cluster_bytes))
            .and_then(|offset| start.checked_add(offset));
        let hit = place.and_then(|at| record_at(hits, at));
        if hit.is_some_and(|hit| hit.number == 0) {
            candidate.score += 3;
            candidate.reasons.push(format!("record 0 where the boot sector puts {what}"));
        }
    }
    let count = votes.get(&(start, boot.cluster_bytes)).copied().unwrap_or(0);
    candidate.votes = count;
    candidate.score += count.min(10);
    candidate
}

fn named(
    ground: &Ground<'_>,
    hits: &Hits,
    table: &Table,
    found: BTreeMap<u64, Candidate>,
) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for (start, mut candidate) in found {
        let partition = table.partitions.iter().find(|partition| partition.start == start);
        let bytes = candidate
            .boot
            .map(|boot| boot.volume_bytes())
            .or_else(|| partition.map(|partition| partition.end - partition.start));
        let record_bytes =
            candidate.boot.map_or_else(|| common_record(hits, start), |boot| boot.record_bytes);
        if candidate.votes > 0 {
            candidate.reasons.push(format!("{} index blocks agree on its start", candidate.votes));
        }
        volumes.push(Volume {
            number: 0,
            start,
            bytes,
            kind: VolumeKind::Ntfs(NtfsGeometry {
                cluster_bytes: candidate.cluster,
                record_bytes,
                mft_lcn: candidate.boot.map(|boot| boot.mft_lcn),
                mirror_lcn: candidate.boot.map(|boot| boot.mirror_lcn),
            }),
            name: partition.map(|partition| partition.name.clone()).unwrap_or_default(),
            rests_on: candidate.reasons,
            inside: None,
        });
    }
    for volume in super::ext::volumes(ground, hits, table) {
        if volumes.iter().all(|other| other.start != volume.start) {
            volumes.push(volume);
        }
    }
    for (volume, is_first) in super::xfs::volumes(ground, hits, table) {
        // Where its superblock begins the volume, nothing else does.
        if is_first {
            volumes.retain(|other| other.start != volume.start);
        }
        if volumes.iter().all(|other| other.start != volume.start) {
            volumes.push(volume);
        }
    }
    for partition in &table.partitions {
        if volumes.iter().all(|volume| volume.start != partition.start) {
            volumes.push(other(ground, table, partition));
        }
    }
    volumes.sort_by_key(|volume| volume.start);
    volumes.truncate(MOST_VOLUMES);
    for (number, volume) in (1..).zip(&mut volumes) {
        volume.number = number;
    }
    mark_inner(&mut volumes);
    volumes
}

/// Marks volumes that begin inside another one of known length: they lie in one of its files. A
/// physical volume of LVM2 has none, and what has lost its head may be one.
fn mark_inner(volumes: &mut [Volume]) {
    let spans: Vec<(u32, u64, u64)> = volumes
        .iter()
        .filter(|volume| !matches!(volume.kind, VolumeKind::Named("LVM2") | VolumeKind::Unknown))
        .filter_map(|volume| Some((volume.number, volume.start, volume.start + volume.bytes?)))
        .collect();
    for volume in volumes {
        let outer = spans.iter().find(|(_, start, end)| (start + 1..*end).contains(&volume.start));
        volume.inside = outer.map(|(number, ..)| *number);
    }
}

/// A partition that is no NTFS volume, or of which nothing is left.
fn other(ground: &Ground<'_>, table: &Table, partition: &Partition) -> Volume {
    let head = ground.read(partition.start, 68 * 1024).unwrap_or_default();
    let is = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let known = [
        (3, b"-FVE-FS-".as_slice(), "BitLocker"),
        (0, b"LUKS\xBA\xBE".as_slice(), "LUKS"),
        (0, b"XFSB".as_slice(), "XFS"),
        (3, b"ReFS\0\0\0\0".as_slice(), "ReFS"),
        (3, b"EXFAT   ".as_slice(), "exFAT"),
        (0x52, b"FAT32   ".as_slice(), "FAT32"),
        (0x36, b"FAT1".as_slice(), "FAT"),
        (0x438, b"\x53\xEF".as_slice(), "ext2, ext3 or ext4"),
        (0x218, b"LVM2 001".as_slice(), "LVM2"),
        (0x10040, b"_BHRfS_M".as_slice(), "Btrfs"),
    ];
    let named = known.iter().find(|(at, magic, _)| is(*at, magic));
    let kind = named.map_or(VolumeKind::Unknown, |(_, _, name)| VolumeKind::Named(name));
    Volume {
        number: 0,
        start: partition.start,
        bytes: Some(partition.end - partition.start),
        kind,
        name: partition.name.clone(),
        rests_on: vec![table.rests_on.clone()],
        inside: None,
    }
}

/// The record that begins at `at`.
#[must_use]
pub fn record_at(hits: &Hits, at: u64) -> Option<&RecordHit> {
    let found = hits.records.binary_search_by_key(&at, |hit| hit.at).ok()?;
    hits.records.get(found)
}

/// Reads a record that the scan has hit.
#[must_use]
pub fn read_record(ground: &Ground<'_>, hit: &RecordHit) -> Option<FileRecord> {
    let bytes = ground.read(hit.at, usize::try_from(hit.bytes()).ok()?).ok()?;
    FileRecord::parse(bytes, ByteOffset(hit.at)).ok().map(|checked| checked.value)
}

/// The cluster of the volume that holds cluster `vcn` of these runs.
#[must_use]
pub fn lcn_of(runs: &[DataRun], vcn: u64) -> Option<u64> {
    let run = runs.iter().find(|run| (run.vcn..run.end()).contains(&vcn))?;
    run.lcn?.checked_add(vcn - run.vcn)
}

/// Record number and sequence of a folder.
type FolderKey = (u64, u16);

/// For each index block of a folder whose record is known: where the volume must begin.
fn start_votes(ground: &Ground<'_>, hits: &Hits) -> HashMap<(u64, u32), u32> {
    let mut blocks: HashMap<FolderKey, Vec<(u64, u64, u32)>> = HashMap::new();
    for hit in hits.indexes.iter().take(MOST_VOTERS) {
        let folder = (hit.folder.number, hit.folder.sequence);
        blocks.entry(folder).or_default().push((hit.at, hit.vcn, hit.bytes));
    }
    let mut votes = HashMap::new();
    for hit in hits.records.iter().filter(|hit| hit.is_folder && hit.base.is_none()) {
        let Some(blocks) = blocks.get(&(u64::from(hit.number), hit.sequence)) else { continue };
        let Some(record) = read_record(ground, hit) else { continue };
        for attribute in record.of_kind(kinds::INDEX_ALLOCATION) {
            let Some(cluster) = attribute.cluster_bytes() else { continue };
            let AttributeBody::NonResident { runs, .. } = &attribute.body else { continue };
            for (at, vcn, bytes) in blocks {
                let start = start_by_block(runs, cluster, *at, *vcn, *bytes);
                if let Some(start) = start {
                    *votes.entry((start, cluster)).or_insert(0) += 1;
                }
            }
        }
    }
    votes
}

fn start_by_block(runs: &[DataRun], cluster: u32, at: u64, vcn: u64, block: u32) -> Option<u64> {
    let cluster = u64::from(cluster);
    // Clusters larger than a block: the block counts sectors instead.
    let offset = if cluster > u64::from(block) {
        vcn.checked_mul(SECTOR)?
    } else {
        vcn.checked_mul(cluster)?
    };
    let lcn = lcn_of(runs, offset / cluster)?;
    let start = at.checked_sub(lcn.checked_mul(cluster)?.checked_add(offset % cluster)?)?;
    start.is_multiple_of(SECTOR).then_some(start)
}

/// Where a volume must begin by its record 0: as the first of the table, or of its mirror.
fn record_zero_starts(ground: &Ground<'_>, hits: &Hits) -> Vec<(u64, u32)> {
    let mut starts = Vec::new();
    let zeros = hits.records.iter().filter(|hit| hit.number == 0 && hit.base.is_none());
    for hit in zeros.take(MOST_VOLUMES) {
        let next = hit.at.checked_add(hit.bytes()).and_then(|at| record_at(hits, at));
        for hit_of in [Some(hit), next.filter(|next| next.number == 1)] {
            let Some(record) = hit_of.and_then(|hit| read_record(ground, hit)) else { continue };
            let data = record.of_kind(kinds::DATA).find(|attribute| attribute.name.is_empty());
            let Some(data) = data else { continue };
            let Some(cluster) = data.cluster_bytes() else { continue };
            let AttributeBody::NonResident { runs, .. } = &data.body else { continue };
            let start = lcn_of(runs, 0)
                .and_then(|lcn| lcn.checked_mul(u64::from(cluster)))
                .and_then(|offset| hit.at.checked_sub(offset));
            if let Some(start) = start.filter(|start| start.is_multiple_of(SECTOR)) {
                starts.push((start, cluster));
            }
        }
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// The cluster size most records between two places speak for.
fn common_cluster(hits: &Hits, from: u64, to: u64) -> Option<u32> {
    let first = hits.records.partition_point(|hit| hit.at < from);
    let inside = hits.records.iter().skip(first).take_while(|hit| hit.at < to);
    let mut counts = [0_u32; 64];
    for hit in inside.filter(|hit| hit.cluster_log2 > 0) {
        if let Some(count) = counts.get_mut(usize::from(hit.cluster_log2)) {
            *count += 1;
        }
    }
    let (log2, count) = (0_u32..).zip(counts).max_by_key(|(_, count)| *count)?;
    (count > 0).then(|| 1 << log2)
}

/// The length most records from `start` on have.
fn common_record(hits: &Hits, start: u64) -> u32 {
    let first = hits.records.partition_point(|hit| hit.at < start);
    let large =
        hits.records.iter().skip(first).take(1000).filter(|hit| hit.size_log2 >= 12).count();
    if large > 500 { 4096 } else { 1024 }
}
