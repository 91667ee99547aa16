//! A chain of disks, as `vmglean.chain/1`.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::{
    json::write_line,
    record::{Fraction, RecordPath, RunInfo},
};
use crate::finding::Finding;

pub use super::text::chain::write_text;

/// What `schema` says in a chain record.
pub const CHAIN_SCHEMA: &str = "vmglean.chain/1";

/// What `vmglean chain` found under one leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainRecord {
    /// Always [`CHAIN_SCHEMA`].
    pub schema: String,
    /// The leaf as named on the command line.
    pub leaf: RecordPath,
    /// Virtual size of the leaf.
    pub capacity_bytes: u64,
    /// How the chain ends.
    pub end: EndRecord,
    /// Links, leaf first.
    pub links: Vec<LinkRecord>,
    /// What is missing, where a parent is.
    pub missing: Option<MissingRecord>,
    /// The machine's snapshot list, where one was found.
    pub snapshots: Option<SnapshotsRecord>,
    /// Points in time that the chain holds, best first.
    pub points: Vec<PointRecord>,
    /// Since when somebody was at work, where the files tell.
    pub attack: Option<AttackRecord>,
    /// What a person must know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Time, version and arguments; left out with `--reproducible`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunInfo>,
}

/// How a chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndRecord {
    /// How.
    pub kind: EndKind,
    /// Why, where it does not end with a base.
    pub why: Option<String>,
}

/// How a chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndKind {
    /// With a base disk.
    Base,
    /// The parent of the last link is not there.
    ParentMissing,
    /// The parent of the last link is no disk.
    ParentBroken,
    /// A link is its own ancestor.
    Cycle,
    /// More links than are followed.
    TooLong,
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// 0 = leaf.
    pub number: u64,
    /// The descriptor, or the extent where there is none; below the root.
    pub path: RecordPath,
    /// Whether something was appended to its name.
    pub renamed: bool,
    /// `file`, `embedded`, `header`, `raw` or `rebuilt`.
    pub described_by: String,
    /// `createType`.
    pub create_type: Option<String>,
    /// `CID`.
    pub cid: Option<String>,
    /// `parentCID`, where the link has a parent.
    pub parent_cid: Option<String>,
    /// `ddb.longContentID`.
    pub long_content_id: Option<String>,
    /// `parentFileNameHint`.
    pub parent_hint: Option<String>,
    /// Virtual size.
    pub capacity_bytes: u64,
    /// Last change of its newest file, UTC.
    pub modified: Option<String>,
    /// Bytes of the leaf's disk that come from this link; `null` where that was not counted.
    pub serves_bytes: Option<u64>,
    /// The worst state of its extents.
    pub state: LinkState,
    /// Why, in one sentence.
    pub reason: String,
    /// Its extents.
    pub extents: Vec<ExtentRecord>,
}

/// What state a link's or an extent's bytes are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Positive evidence of intact data and nothing against it, by samples.
    Untouched,
    /// Not looked at.
    Unjudged,
    /// Nothing can be said.
    Undetermined,
    /// Structure lost by something other than encryption.
    Damaged,
    /// Some encrypted, some intact.
    PartlyEncrypted,
    /// Nearly all data encrypted.
    Encrypted,
    /// The file is not there or cannot be read.
    Missing,
}

/// One extent of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtentRecord {
    /// The file, where one was found.
    pub path: Option<RecordPath>,
    /// The name in the descriptor.
    pub name: Option<String>,
    /// Whether something was appended to its name.
    pub renamed: bool,
    /// `flat` or the format its header tells.
    pub format: Option<String>,
    /// Bytes of the file, footers left out.
    pub file_bytes: Option<u64>,
    /// Virtual length.
    pub length_bytes: u64,
    /// What state its bytes are in.
    pub state: LinkState,
    /// Why.
    pub reason: String,
    /// Encrypted share of its file, by samples.
    pub encrypted_fraction: Option<Fraction>,
}

/// A parent that is not there, and what could be it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingRecord {
    /// The link whose parent it is.
    pub child: RecordPath,
    /// The CID the parent must have.
    pub cid: Option<String>,
    /// The name the child gives it.
    pub hint: Option<String>,
    /// The size it must have.
    pub capacity_bytes: u64,
    /// What could be it, best first.
    pub candidates: Vec<CandidateRecord>,
}

/// A disk that could be a missing parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateRecord {
    /// The file, below the root.
    pub path: RecordPath,
    /// What speaks for it.
    pub reasons: Vec<String>,
    /// What speaks against it.
    pub against: Vec<String>,
}

/// A machine's snapshot list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotsRecord {
    /// The `.vmsd`.
    pub path: RecordPath,
    /// The snapshot that the running disks grew from.
    pub current_uid: Option<u64>,
    /// Delta disks are left over from a failed consolidation.
    pub need_consolidate: bool,
    /// The snapshots, in file order.
    pub nodes: Vec<SnapshotRecord>,
    /// Links of the chain that no snapshot names, although they are frozen.
    pub unnamed_links: Vec<u64>,
}

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// Its uid.
    pub uid: Option<u64>,
    /// The uid of the one before it.
    pub parent_uid: Option<u64>,
    /// Its name.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// When it was taken, UTC.
    pub time: Option<String>,
    /// The disks it froze, as written.
    pub disks: Vec<String>,
    /// The link of this chain that is one of them.
    pub link: Option<u64>,
}

/// A point in time that the chain holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointRecord {
    /// 1 = the best.
    pub rank: u64,
    /// The link it is read from.
    pub link: u64,
    /// What `--at` of consolidate takes.
    pub at: String,
    /// The snapshot's name; `null` for the running disk and links that no snapshot names.
    pub snapshot: Option<String>,
    /// When it was frozen, or last written for the running disk; UTC.
    pub time: Option<String>,
    /// Whether it can be had whole.
    pub state: PointState,
    /// Bytes whose place is lost.
    pub lost_bytes: u64,
    /// Bytes that are known but out of reach.
    pub unreadable_bytes: u64,
    /// Bytes whose place is known.
    pub data_bytes: u64,
    /// Whether it lies before the attack; `null` where that is not known.
    pub before_attack: Option<bool>,
    /// Why it stands where it stands.
    pub reason: String,
    /// The command that makes one disk of it.
    pub command: String,
}

/// Whether a point can be had whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointState {
    /// Every byte has its place, and the samples of every link are clean.
    Whole,
    /// Every byte has its place; the content of a link could not be judged, or not for sure.
    Unproven,
    /// Bytes are lost, encrypted or unreadable.
    Damaged,
    /// Nothing of it can be had.
    Lost,
}

/// When somebody was at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackRecord {
    /// The earliest change of a file that shows it, UTC.
    pub since: String,
    /// Which file, and why.
    pub rests_on: String,
}

/// Writes one object a line, flushed: `schema`, `leaf`, `link`, `missing`, `snapshots`, `point`,
/// `attack`, `finding`, `run`, and `complete` with the count of the lines before it.
///
/// # Errors
/// As the write says.
pub fn write_lines(out: &mut dyn Write, record: &ChainRecord) -> io::Result<()> {
    #[derive(Serialize)]
    #[serde(tag = "record", rename_all = "kebab-case")]
    enum Line<'a> {
        Schema { schema: &'a str },
        Leaf { leaf: &'a RecordPath, capacity_bytes: u64, end: &'a EndRecord },
        Link(&'a LinkRecord),
        Missing(&'a MissingRecord),
        Snapshots(&'a SnapshotsRecord),
        Point(&'a PointRecord),
        Attack(&'a AttackRecord),
        Finding(&'a Finding),
        Run(&'a RunInfo),
        Complete { lines: usize },
    }
    let mut lines = vec![
        Line::Schema { schema: &record.schema },
        Line::Leaf { leaf: &record.leaf, capacity_bytes: record.capacity_bytes, end: &record.end },
    ];
    lines.extend(record.links.iter().map(Line::Link));
    lines.extend(record.missing.iter().map(Line::Missing));
    lines.extend(record.snapshots.iter().map(Line::Snapshots));
    lines.extend(record.points.iter().map(Line::Point));
    lines.extend(record.attack.iter().map(Line::Attack));
    lines.extend(record.findings.iter().map(Line::Finding));
    lines.extend(record.run.iter().map(Line::Run));
    lines.push(Line::Complete { lines: lines.len() });
    lines.iter().try_for_each(|line| write_line(out, line))
}
