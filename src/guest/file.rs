//! What is known of one file, facts kept apart.

use vmglean_formats::ntfs::ReparseKind;

use super::{Tally, judge::kind_by_name};

/// State of a file's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordFact {
    /// At its place, whole.
    Ok,
    /// There, with something against it.
    Damaged,
    /// Gone; the name comes from a folder's index.
    Lost,
}

/// The file's bytes held against the damage map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extents {
    /// All as the guest wrote them.
    Intact,
    /// In the record, or none at all.
    Resident,
    /// Some encrypted or gone.
    Partial,
    /// All encrypted or gone.
    Encrypted,
    /// Where they lie is not known, or the map cannot tell.
    Unknown,
}

/// What the content says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// Checksums over all of it hold.
    Proven,
    /// Its structure holds together.
    Consistent,
    /// It contradicts itself.
    Contradicted,
    /// No test for it, or none was made.
    Untested,
}

/// All facts in one word: what may be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Its own checksums prove it.
    Proven,
    /// Record and extents are intact and nothing contradicts.
    Intact,
    /// Part of its bytes are intact.
    Partial,
    /// All of its bytes are encrypted or gone.
    Encrypted,
    /// Something cannot be told; the reason says what.
    Undetermined,
    /// Intact by record and map, and its content contradicts: the map may be wrong there.
    Contradicted,
    /// Its record is gone.
    Lost,
}

/// A stretch of a file's bytes on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First byte in the file as stored.
    pub offset: u64,
    /// How many.
    pub length: u64,
    /// First byte on the disk; `None`: a hole.
    pub disk_offset: Option<u64>,
    /// Which disk: 0 is the one asked for, further ones were given with it.
    pub disk: usize,
}

/// One file, folder or alternate stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestFile {
    /// Number of its volume.
    pub volume: u32,
    /// Number of its record.
    pub record_number: u64,
    /// Use of that number.
    pub sequence: u16,
    /// Where the record lies on the disk.
    pub record_at: Option<u64>,
    /// Path in WTF-8, `/` between parts; `:stream` at its end for an alternate stream.
    pub path: Vec<u8>,
    /// Other names of the same file.
    pub links: Vec<Vec<u8>>,
    /// Bytes of content.
    pub size: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether it was deleted before the attack, or seems so.
    pub is_deleted: bool,
    /// Whether it belongs to the file system itself.
    pub is_system: bool,
    /// Whether its stored bytes are not its content: a stub, or encrypted by its owner.
    pub is_withheld: bool,
    /// State of the record.
    pub record: RecordFact,
    /// State of the bytes.
    pub extents: Extents,
    /// State of the content.
    pub content: Content,
    /// All in one word.
    pub verdict: Verdict,
    /// Bytes by state; of a compressed file, unit by unit.
    pub tally: Tally,
    /// Kind by content, else by name.
    pub kind: String,
    /// What stands in the content's place.
    pub reparse: Option<ReparseKind>,
    /// Created, changed, record changed, read: nanoseconds since 1970.
    pub times: [Option<i128>; 4],
    /// Where its bytes lie; cut where there are very many.
    pub places: Vec<Place>,
    /// Bytes of the file that are not as the guest wrote them, with their state.
    pub holes: Vec<(std::ops::Range<u64>, crate::triage::judge::State)>,
    /// What speaks against the record; where anything does, it is not believed.
    pub doubts: Vec<String>,
    /// What else is worth knowing: what was tested, what the map cannot tell.
    pub notes: Vec<String>,
}

impl GuestFile {
    /// A file whose inode is lost: only its name is known.
    pub(super) fn without_inode(volume: u32, inode: u64, path: Vec<u8>, is_folder: bool) -> Self {
        Self {
            volume,
            record_number: inode,
            sequence: 0,
            record_at: None,
            kind: kind_by_name(&path, is_folder),
            path,
            links: Vec::new(),
            size: 0,
            is_folder,
            is_deleted: false,
            is_system: false,
            is_withheld: false,
            record: RecordFact::Lost,
            extents: Extents::Unknown,
            content: Content::Untested,
            verdict: Verdict::Lost,
            tally: Tally::default(),
            reparse: None,
            times: [None; 4],
            places: Vec::new(),
            holes: Vec::new(),
            doubts: Vec::new(),
            notes: vec!["its inode is lost; only its name is known, from its folder".to_owned()],
        }
    }

    /// Takes back "intact", for this reason: content that does not prove itself is not believed.
    pub(super) fn distrust(&mut self, why: &str) {
        if self.verdict == Verdict::Intact && self.size > 0 && !self.is_folder {
            self.verdict = Verdict::Undetermined;
            self.notes.push(why.to_owned());
        }
    }

    /// Whether its bytes may be handed out as good.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.verdict, Verdict::Proven | Verdict::Intact)
    }

    /// Whether the map says intact and the content says otherwise.
    #[must_use]
    pub fn is_map_alarm(&self) -> bool {
        self.verdict == Verdict::Contradicted
    }
}
