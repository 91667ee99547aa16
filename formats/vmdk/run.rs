//! What an extent file says of each stretch of its virtual disk, in a form all kinds share.

use serde::Serialize;

use crate::{
    defect::{Checked, FormatError},
    read::ReadAt,
    units::{ByteOffset, Bytes},
};

/// What one run of the virtual extent holds, as its tables tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum RunKind {
    /// Plain bytes at this place of the extent file, as long as the run.
    Stored {
        /// First byte in the extent file.
        at: ByteOffset,
    },
    /// One compressed grain: `stored` bytes of zlib data at `at`, inflating to the run.
    Compressed {
        /// First byte of the zlib data.
        at: ByteOffset,
        /// Bytes of zlib data.
        stored: Bytes,
    },
    /// Zeros by the extent's own word.
    Zero,
    /// Nothing allocated here: the parent's data, or zeros where there is no parent.
    Absent,
    /// The entry that would tell is lost, unreadable or a lie; data may exist.
    Lost,
}

/// Consecutive bytes of the virtual extent that share one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// First byte, from the start of the virtual extent.
    pub offset: ByteOffset,
    /// How many bytes.
    pub length: Bytes,
    /// What they are.
    pub kind: RunKind,
}

/// The tables of one opened extent, ready to be asked.
pub trait ExtentMap: Send + Sync {
    /// Virtual size of this extent.
    fn capacity(&self) -> Bytes;

    /// Runs from `from` on, in order, without gap or overlap, neighbours of one kind merged.
    ///
    /// Stops after `length` bytes or `max_runs` runs (at least one), whichever comes first: the
    /// last run tells where to ask on. Reads only the tables it needs, so memory stays bounded
    /// whatever the capacity. What is wrong with those tables comes along as defects; the runs
    /// concerned are [`RunKind::Lost`], never invented.
    ///
    /// A compressed grain is one thing and is never cut: its run may begin before `from` and end
    /// behind the asked range. `from` at the capacity gives no runs. Ask for many runs at once: a
    /// call judges whole windows of tables (2 GiB in usual grains) however few runs it gives.
    ///
    /// # Errors
    /// Only where not even `Lost` can be said, such as `from` outside the capacity.
    fn runs(
        &self,
        file: &dyn ReadAt,
        from: ByteOffset,
        length: Bytes,
        max_runs: usize,
    ) -> Result<Checked<Vec<Run>>, FormatError>;

    /// Grains that lie in the file by everything but the tables: by its length, by the header's
    /// own count, or by their markers (which reads the whole file). `None` where nothing tells.
    ///
    /// Tables that name fewer have lost some: a table of zeros looks like one that was never used.
    fn held_grains(&self, file: &dyn ReadAt) -> Option<u64> {
        let _ = file;
        None
    }
}
