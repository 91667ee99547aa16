//! `vmware.log`: the second source of a lost configuration.
//!
//! At every power-on VMware prints the whole `.vmx` (`DICT --- CONFIGURATION`), then each change
//! (`ConfigDB: Setting`/`Unsetting`), and what it learnt of the disks. The log is read as a
//! stream: only the latest configuration and the facts stay in memory. Line forms measured on
//! more than a hundred logs, Workstation 4 to 17 and ESXi 5 to 8.

mod config;
mod disk;
mod end;
mod fields;
mod lines;
mod prefix;
mod scan;
#[cfg(test)]
mod tests;
mod time;

use serde::Serialize;

pub use config::{LoggedConfig, LoggedValue};
pub use disk::{
    CidChange, Geometry, LoggedChain, LoggedDevice, LoggedDisk, LoggedExtent, LoggedLink,
};
pub use end::LogEnd;
pub use lines::MAX_LINE_BYTES;
pub use time::LogTime;

use crate::{
    defect::{Checked, DefectKind},
    dict::DefectList,
    read::ReadAt,
    units::{ByteOffset, Bytes},
};

/// Most bytes of keys and values kept of one configuration.
pub const MAX_CONFIG_BYTES: usize = 16 << 20;
/// Most facts of one kind kept.
pub const MAX_FACTS: usize = 4096;

/// What a log tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VmwareLog {
    /// `VMware ESX`, `VMware Workstation`, `VMware Player`.
    pub product: Option<String>,
    /// `version=`.
    pub version: Option<String>,
    /// `build=`, without `build-`.
    pub build: Option<String>,
    /// `Host codepage=`.
    pub codepage: Option<String>,
    /// `encoding=`, the charset of the log and of the `.vmx` by the host's word.
    pub encoding: Option<String>,
    /// `Hostname=`.
    pub host_name: Option<String>,
    /// Last `location-UUID` said before the machine ran.
    pub uuid_location: Option<String>,
    /// `BIOS-UUID`.
    pub uuid_bios: Option<String>,
    /// The first time stamp.
    pub first_time: Option<LogTime>,
    /// The last time stamp.
    pub last_time: Option<LogTime>,
    /// `CONFIGURATION` sections: how often the machine was powered on in this log.
    pub power_ons: u32,
    /// The configuration of the latest power-on with all later changes.
    pub config: Option<LoggedConfig>,
    /// The one before it, kept where the latest section is cut or damaged.
    pub previous_config: Option<LoggedConfig>,
    /// Storage nodes, by name.
    pub devices: Vec<LoggedDevice>,
    /// Disk files, by path as logged.
    pub disks: Vec<LoggedDisk>,
    /// Chains as last opened, by path of the tip.
    pub chains: Vec<LoggedChain>,
    /// Content ID changes, oldest first; the latest [`MAX_FACTS`].
    pub cid_changes: Vec<CidChange>,
    /// How the log ends.
    pub end: LogEnd,
    /// Lines read.
    pub lines: u64,
    /// Lines without a prefix of any known form: continuations, or foreign text.
    pub unprefixed_lines: u64,
    /// Length of the log.
    pub length: Bytes,
}

impl VmwareLog {
    /// Reads a log to its end.
    ///
    /// Defects: control bytes in a line, lines past [`MAX_LINE_BYTES`], stretches the medium did
    /// not deliver, a last line that is cut, a configuration that is cut, and limits.
    #[must_use]
    pub fn parse(file: &dyn ReadAt) -> Checked<Self> {
        let mut defects = DefectList::new("vmware.log");
        let mut lines = lines::Lines::new(file);
        let mut scan = scan::Scan::default();
        while let Some(line) = lines.next(&mut defects) {
            scan.take(&line, &mut defects);
        }
        let mut value = scan.finish(lines.ended_mid_line());
        value.length = Bytes(file.len_bytes());
        if value.lines > 0 && value.unprefixed_lines == value.lines {
            let what = "any line of a known form".to_owned();
            defects.add("line", 0, DefectKind::Missing { what });
        }
        if let Some(config) = value.config.as_ref().filter(|config| !config.complete) {
            let what = "the end of the latest CONFIGURATION section".to_owned();
            defects.add_at("DICT", config.at, DefectKind::Missing { what });
        }
        Checked { value, defects: defects.finish() }
    }
}

/// One line with its place.
pub(crate) struct Line<'a> {
    pub(crate) number: u32,
    pub(crate) at: ByteOffset,
    pub(crate) bytes: &'a [u8],
    /// Cut, or holds bytes that no log line holds.
    pub(crate) junk: bool,
}
