//! The quick verdict against disks whose truth is known, computed and never written.

mod clean;
mod disk;
mod geometry;
mod odds;
mod sampling;
mod small;
mod structures;

use disk::{Disk, Fill, gpt_disk};

use super::{DiskContext, DiskJudgement, DiskState, ExtentKind, QuickOptions, judge_disk};
use crate::families::{Families, split_suffix};

fn families() -> &'static Families {
    static FAMILIES: std::sync::OnceLock<Families> = std::sync::OnceLock::new();
    FAMILIES.get_or_init(|| Families::built_in().unwrap())
}

/// A flat extent named `name`, as the catalog would hand it over.
fn context(name: &str) -> DiskContext {
    DiskContext {
        path: name.to_owned(),
        kind: ExtentKind::Flat,
        suffixes: split_suffix(name.as_bytes(), families()).suffixes,
        ..DiskContext::default()
    }
}

fn judge(disk: &Disk, context: &DiskContext) -> DiskJudgement {
    judge_disk(disk, context, &QuickOptions::default(), families())
}

/// An eighth of the samples: enough where only the verdict is asked, and quick.
fn judge_quickly(disk: &Disk, context: &DiskContext) -> DiskJudgement {
    let options = QuickOptions { samples: 86, ..Default::default() };
    judge_disk(disk, context, &options, families())
}
