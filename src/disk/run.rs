//! What each stretch of a virtual disk is, and where its bytes lie.

use serde::Serialize;
use vmglean_formats::Defect;

/// Which of [`VirtualDisk::files`](super::VirtualDisk::files).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FileId(pub u32);

/// What a stretch of the virtual disk is, by the word of its chain's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Plain bytes of a file.
    Data,
    /// (Part of) one compressed grain.
    Compressed,
    /// Zeros by a link's own word.
    Zero,
    /// Allocated nowhere in the chain, or a hole of a flat file: reads as zero.
    Absent,
    /// What is there is not known: tables, a file or a parent are lost.
    Lost,
    /// It is known where the bytes are, but they are out of reach (device, refused file).
    Unreadable,
}

impl RunState {
    /// Whether the stretch reads as zeros without any file being read.
    #[must_use]
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Zero | Self::Absent)
    }

    /// Whether no byte of the stretch can be had.
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Lost | Self::Unreadable)
    }
}

/// Consecutive bytes of a virtual disk that share one answer. All numbers are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ResolvedRun {
    /// First byte on the virtual disk.
    #[serde(rename = "offset_bytes")]
    pub offset: u64,
    /// How many bytes.
    #[serde(rename = "length_bytes")]
    pub length: u64,
    /// What they are.
    pub state: RunState,
    /// The link that answered, 0 = leaf. For [`RunState::Absent`] and a lost parent: the deepest.
    pub link: u32,
    /// Which extent of that link; `None` for what no link of the chain answers.
    pub extent: Option<u32>,
    /// The file that holds the bytes (Data, Compressed).
    pub file: Option<FileId>,
    /// Data: first byte in that file. Compressed: first byte of the grain's zlib data.
    #[serde(rename = "file_offset_bytes")]
    pub file_offset: u64,
    /// Compressed: bytes of zlib data in the file. Otherwise 0.
    #[serde(rename = "stored_bytes")]
    pub stored: u64,
    /// Compressed: bytes of the inflated grain that come before this run. Otherwise 0.
    #[serde(rename = "skip_bytes")]
    pub skip: u64,
}

impl ResolvedRun {
    /// First byte past the run.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// The part of this run inside `from..end`, which must overlap it.
    #[must_use]
    pub fn clip(&self, from: u64, end: u64) -> Self {
        let mut part = *self;
        let cut = from.saturating_sub(self.offset).min(self.length);
        part.offset += cut;
        part.length = self.end().min(end).saturating_sub(part.offset);
        match self.state {
            RunState::Data => part.file_offset = part.file_offset.saturating_add(cut),
            RunState::Compressed => part.skip = part.skip.saturating_add(cut),
            RunState::Zero | RunState::Absent | RunState::Lost | RunState::Unreadable => {}
        }
        part
    }

    /// Whether `next` carries this run on, so that both are one.
    #[must_use]
    pub fn joins(&self, next: &Self) -> bool {
        let follows = match self.state {
            RunState::Data => self.file_offset.checked_add(self.length) == Some(next.file_offset),
            RunState::Compressed => {
                self.file_offset == next.file_offset
                    && self.skip.checked_add(self.length) == Some(next.skip)
            }
            RunState::Zero | RunState::Absent | RunState::Lost | RunState::Unreadable => true,
        };
        follows
            && self.end() == next.offset
            && self.state == next.state
            && self.link == next.link
            && self.extent == next.extent
            && self.file == next.file
    }
}

/// A table's defect met on the way, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkDefect {
    /// Which link, 0 = leaf.
    pub link: u32,
    /// Which extent of it.
    pub extent: u32,
    /// What is wrong; offsets are those of the extent's file.
    pub defect: Defect,
}

/// Runs in order, without gap or overlap, and what was wrong with the tables that gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// The runs, from the place asked for on.
    pub runs: Vec<ResolvedRun>,
    /// What was wrong on the way.
    pub defects: Vec<LinkDefect>,
}

impl Resolved {
    /// First byte past the last run, `from` if there is none.
    #[must_use]
    pub fn end(&self, from: u64) -> u64 {
        self.runs.last().map_or(from, ResolvedRun::end)
    }
}
