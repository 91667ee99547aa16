//! What scripts read of a guest's files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vmglean_formats::ntfs::ReparseKind;

use crate::{
    finding::{Finding, Weight},
    guest::{
        Content, Extents, GuestFile, RecordFact, Verdict,
        lvm::Layout,
        volumes::{Volume, VolumeKind, ext_name},
    },
    report::record::{RecordPath, RunInfo},
};

use super::logical::{PartLine, parts};

/// What `schema` says in a files record.
pub const FILES_SCHEMA: &str = "vmglean.files/1";
/// Map alarms listed one by one.
const MOST_ALARMS: usize = 200;

/// Volumes and files of one disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesRecord {
    /// Always [`FILES_SCHEMA`].
    pub schema: String,
    /// The disk as named on the command line.
    pub disk: RecordPath,
    /// Disks given with it, as named on the command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<RecordPath>,
    /// Volumes in the order of the disk, logical ones behind them.
    pub volumes: Vec<VolumeRecord>,
    /// Files; left out where only volumes were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileLine>,
    /// Files by verdict.
    pub summary: FilesSummary,
    /// What a person must know beside that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Time, version and arguments; left out with `--reproducible`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunInfo>,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Counted from 1.
    pub volume: u32,
    /// What it holds; `null` where its first bytes are lost and nothing else tells.
    pub kind: Option<String>,
    /// Name of its partition; group and name of a logical volume.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// First byte on the disk; of a logical volume, within it.
    pub offset_bytes: u64,
    /// Length; `null` where nothing tells.
    pub length_bytes: Option<u64>,
    /// Bytes a cluster.
    pub cluster_bytes: Option<u32>,
    /// Volume that holds this one inside a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<u32>,
    /// Where the logical volume that holds it lies, part by part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartLine>,
    /// What says so.
    pub rests_on: Vec<String>,
}

/// One file, folder or alternate stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// Path in its volume.
    pub path: RecordPath,
    /// Its volume.
    pub volume: u32,
    /// Bytes of content.
    pub size_bytes: u64,
    /// All facts in one word.
    pub verdict: String,
    /// `ok`, `damaged` or `lost`.
    pub record: String,
    /// `intact`, `resident`, `partial`, `encrypted` or `unknown`.
    pub extents: String,
    /// Bytes of it that are encrypted.
    pub encrypted_bytes: u64,
    /// Bytes that the medium did not give or that have no place.
    pub lost_bytes: u64,
    /// Bytes the map cannot tell.
    pub undetermined_bytes: u64,
    /// `proven`, `consistent`, `contradicted` or `untested`.
    pub content: String,
    /// Kind by content, else by name.
    pub kind: String,
    /// What stands in the content's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reparse: Option<String>,
    /// UTC, to 100 ns.
    pub created: Option<String>,
    /// UTC, to 100 ns.
    pub modified: Option<String>,
    /// UTC, to 100 ns: last change of the record.
    pub changed: Option<String>,
    /// UTC, to 100 ns.
    pub accessed: Option<String>,
    /// Deleted before the attack, or seemingly so.
    pub deleted: bool,
    /// Belongs to the file system itself.
    pub system: bool,
    /// Number of its record.
    pub record_number: u64,
    /// Use of that number.
    pub sequence: u16,
    /// Where the record lies on the disk.
    pub record_offset_bytes: Option<u64>,
    /// Other names of the same file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<RecordPath>,
    /// Where its bytes lie.
    pub runs: Vec<RunLine>,
    /// Bytes of it that are not as the guest wrote them: start and end in the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holes: Vec<(u64, u64)>,
    /// What speaks against it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// What else is worth knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A stretch of a file on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLine {
    /// First byte in the file as stored.
    pub offset_bytes: u64,
    /// How many.
    pub length_bytes: u64,
    /// First byte on the disk; `null`: a hole, reads as zero, or on none of the disks given.
    pub disk_offset_bytes: Option<u64>,
    /// Which disk: left out for the one asked for, from 1 on those of `with`.
    #[serde(default, skip_serializing_if = "is_first")]
    pub disk: usize,
}

/// Whether a place lies on the disk asked for.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
pub(super) fn is_first(disk: &usize) -> bool {
    *disk == 0
}

/// Files and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tallied {
    /// How many.
    pub files: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// Files by verdict; folders, deleted files and the file system's own are counted apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesSummary {
    /// By verdict.
    pub verdicts: BTreeMap<String, Tallied>,
    /// By folder of the first level, then by verdict.
    pub folders: BTreeMap<String, BTreeMap<String, Tallied>>,
    /// By kind, then by verdict.
    pub kinds: BTreeMap<String, BTreeMap<String, Tallied>>,
    /// Deleted files.
    pub deleted: Tallied,
    /// Folders.
    pub folder_count: u64,
    /// Files whose record and extents are intact and whose content contradicts.
    pub map_alarms: u64,
    /// Event logs that were rebuilt from the chunks of damaged ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rebuilt_logs: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A verdict's word.
#[must_use]
pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Proven => "proven",
        Verdict::Intact => "intact",
        Verdict::Partial => "partial",
        Verdict::Encrypted => "encrypted",
        Verdict::Undetermined => "undetermined",
        Verdict::Contradicted => "contradicted",
        Verdict::Lost => "lost",
    }
}

impl FilesSummary {
    /// Counts a file; tells a finding where the content contradicts the map.
    pub fn count(&mut self, file: &GuestFile) -> Option<Finding> {
        if file.is_folder {
            self.folder_count += 1;
            return None;
        }
        if file.is_system {
            return None;
        }
        if file.is_deleted {
            add(&mut self.deleted, file.size);
            return None;
        }
        let verdict = word(file.verdict).to_owned();
        add(self.verdicts.entry(verdict.clone()).or_default(), file.size);
        let folder = match file.path.iter().position(|byte| *byte == b'/') {
            Some(end) => String::from_utf8_lossy(file.path.get(..end).unwrap_or_default()).into(),
            None => String::new(),
        };
        let folders = self.folders.len();
        // Names are the evidence's: not one summary line for each of a million folders.
        let folder = if folders < 1000 || self.folders.contains_key(&folder) {
            folder
        } else {
            "(other folders)".to_owned()
        };
        add(self.folders.entry(folder).or_default().entry(verdict.clone()).or_default(), file.size);
        let kind = self.kinds.entry(file.kind.clone()).or_default();
        add(kind.entry(verdict).or_default(), file.size);
        if !file.is_map_alarm() {
            return None;
        }
        self.map_alarms += 1;
        (self.map_alarms <= MOST_ALARMS as u64).then(|| Finding {
            code: "files.map-alarm".to_owned(),
            weight: Weight::Damage,
            path: String::from_utf8_lossy(&file.path).into_owned(),
            offset_bytes: file
                .places
                .iter()
                .find(|place| place.disk_offset.is_some())
                .filter(|place| place.disk == 0)
                .and_then(|place| place.disk_offset),
            what: format!(
                "the map calls all of its bytes intact, and its content contradicts: {}",
                file.notes.last().map_or("", String::as_str)
            ),
            next: Some(
                "take the file from a backup; if many are listed, make the map anew with --strict"
                    .to_owned(),
            ),
        })
    }

    /// Files that are whole.
    #[must_use]
    pub fn whole(&self) -> Tallied {
        let mut sum = Tallied::default();
        for word in ["proven", "intact"] {
            if let Some(part) = self.verdicts.get(word) {
                sum.files += part.files;
                sum.bytes = sum.bytes.saturating_add(part.bytes);
            }
        }
        sum
    }

    /// All files counted.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.verdicts.values().map(|tallied| tallied.files).sum()
    }
}

fn add(sum: &mut Tallied, bytes: u64) {
    sum.files += 1;
    sum.bytes = sum.bytes.saturating_add(bytes);
}

/// A volume for the record; `layout` of a logical one.
#[must_use]
pub fn volume_record(volume: &Volume, layout: Option<&Layout>) -> VolumeRecord {
    let (kind, cluster_bytes) = match volume.kind {
        VolumeKind::Ntfs(geometry) => (Some("NTFS".to_owned()), Some(geometry.cluster_bytes)),
        VolumeKind::Ext(shape) => {
            (Some(ext_name(&shape).to_owned()), u32::try_from(shape.block_bytes).ok())
        }
        VolumeKind::Xfs(geometry) => {
            (Some("XFS".to_owned()), u32::try_from(geometry.shape.block_bytes).ok())
        }
        VolumeKind::Named(name) => (Some(name.to_owned()), None),
        VolumeKind::Unknown => (None, None),
    };
    VolumeRecord {
        volume: volume.number,
        kind,
        name: String::from_utf8_lossy(&volume.name).into_owned(),
        offset_bytes: volume.start,
        length_bytes: volume.bytes,
        cluster_bytes,
        inside: volume.inside,
        parts: layout.map(parts).unwrap_or_default(),
        rests_on: volume.rests_on.clone(),
    }
}

/// Bytes of a path or name as the evidence has them.
fn path(bytes: &[u8]) -> RecordPath {
    use std::os::unix::ffi::OsStringExt as _;
    RecordPath(std::ffi::OsString::from_vec(bytes.to_vec()).into())
}

/// A time in UTC at full 100 ns.
#[must_use]
pub(super) fn time(ns: Option<i128>) -> Option<String> {
    let stamp = jiff::Timestamp::from_nanosecond(ns?).ok()?;
    let part = stamp.subsec_nanosecond() / 100;
    Some(format!("{}.{part:07}Z", stamp.strftime("%Y-%m-%dT%H:%M:%S")))
}

fn reparse(kind: ReparseKind) -> String {
    match kind {
        ReparseKind::MountPoint => "mount-point".to_owned(),
        ReparseKind::Symlink => "symlink".to_owned(),
        ReparseKind::Deduplicated => "deduplicated".to_owned(),
        ReparseKind::SystemCompressed => "system-compressed".to_owned(),
        ReparseKind::Offline => "offline".to_owned(),
        ReparseKind::Other(tag) => format!("tag {tag:#010x}"),
    }
}

impl From<&GuestFile> for FileLine {
    fn from(file: &GuestFile) -> Self {
        let [created, modified, changed, accessed] = file.times.map(time);
        Self {
            path: path(&file.path),
            volume: file.volume,
            size_bytes: file.size,
            verdict: word(file.verdict).to_owned(),
            record: match file.record {
                RecordFact::Ok => "ok",
                RecordFact::Damaged => "damaged",
                RecordFact::Lost => "lost",
            }
            .to_owned(),
            extents: match file.extents {
                Extents::Intact => "intact",
                Extents::Resident => "resident",
                Extents::Partial => "partial",
                Extents::Encrypted => "encrypted",
                Extents::Unknown => "unknown",
            }
            .to_owned(),
            encrypted_bytes: file.tally.encrypted,
            lost_bytes: file.tally.gone,
            undetermined_bytes: file.tally.undetermined,
            content: match file.content {
                Content::Proven => "proven",
                Content::Consistent => "consistent",
                Content::Contradicted => "contradicted",
                Content::Untested => "untested",
            }
            .to_owned(),
            kind: file.kind.clone(),
            reparse: file.reparse.map(reparse),
            created,
            modified,
            changed,
            accessed,
            deleted: file.is_deleted,
            system: file.is_system,
            record_number: file.record_number,
            sequence: file.sequence,
            record_offset_bytes: file.record_at,
            links: file.links.iter().map(|link| path(link)).collect(),
            runs: file
                .places
                .iter()
                .map(|place| RunLine {
                    offset_bytes: place.offset,
                    length_bytes: place.length,
                    disk_offset_bytes: place.disk_offset,
                    disk: place.disk,
                })
                .collect(),
            holes: file.holes.iter().map(|(hole, _)| (hole.start, hole.end)).collect(),
            doubts: file.doubts.clone(),
            notes: file.notes.clone(),
        }
    }
}
