//! Small files of machines, judged whole.

use std::sync::atomic::Ordering;

use vmglean_formats::{ByteOffset, Checked, ReadAt, detect::FileKind, vmsn};

use super::{
    Job,
    gather::Gathered,
    judge::{Judged, holds_disk_data, open},
};
use crate::{
    catalog::{CatalogFile, Content},
    families::NameKind,
    triage::quick::{SmallContext, SmallJudgement, SmallState, judge_bytes, judge_small},
};

/// Files up to this size are judged whole.
const SMALL_BYTES: u64 = 16 << 20;
/// Of a longer log both ends of this size are, unless everything is to be read.
const LOG_END_BYTES: usize = 512 << 10;

pub(super) fn is_judged_whole(file: &CatalogFile) -> bool {
    match &file.content {
        Content::Log | Content::Checkpoint(_) => return true,
        _ if file.size_bytes > SMALL_BYTES || holds_disk_data(file) => return false,
        _ => {}
    }
    match &file.content {
        Content::Unfit { .. } => true,
        Content::Vmx(facts) => !facts.whole,
        Content::Descriptor(facts) => !facts.defects.is_empty(),
        // Their heads are whole; what follows may be written over.
        Content::Known(FileKind::Nvram | FileKind::Vmxf) => true,
        _ => false,
    }
}

pub(super) fn judge_one_small(
    gathered: &Gathered,
    file: &CatalogFile,
    note_in_folder: bool,
    job: &Job<'_>,
) -> Judged {
    let source = match open(gathered, file) {
        Ok(source) => source,
        Err(why) => return Judged::Gone(why),
    };
    let kind = file.name.kind;
    let context = SmallContext { kind, suffixes: file.name.suffixes.clone(), note_in_folder };
    let read = |bytes: u64| job.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    let is_long = file.size_bytes > 2 * LOG_END_BYTES as u64;
    let judged = match file.content {
        Content::Log if is_long && !job.options.quick.full => {
            read(2 * LOG_END_BYTES as u64);
            ends_of_log(&source, &context)
        }
        Content::Checkpoint(_) => spare_files(&source, &context),
        _ => {
            read(file.size_bytes.min(SMALL_BYTES));
            judge_small(&source, &context)
        }
    };
    Judged::Small(judged)
}

fn ends_of_log(source: &dyn ReadAt, context: &SmallContext) -> SmallJudgement {
    let tail_at = source.len_bytes().saturating_sub(LOG_END_BYTES as u64);
    let read = |at| source.read_up_to(ByteOffset(at), LOG_END_BYTES);
    let (Ok(head), Ok(tail)) = (read(0), read(tail_at)) else {
        return judge_small(source, context);
    };
    let head = judge_bytes(&head, context);
    if head.state != SmallState::Intact {
        return head;
    }
    let mut tail = judge_bytes(&tail, context);
    if tail.state != SmallState::Intact {
        tail.reason = format!("in the part from {tail_at:#x} on: {}", tail.reason);
    }
    tail
}

/// The copies of small files inside a checkpoint, each by its own kind; the worst of them.
fn spare_files(source: &dyn ReadAt, context: &SmallContext) -> SmallJudgement {
    let head = source.read_up_to(ByteOffset(0), 4096).unwrap_or_default();
    let whole = judge_bytes(&head, context);
    let Ok(Checked { value, .. }) = vmsn::Checkpoint::parse(source) else { return whole };
    let spares = [
        (&value.cfg_file, NameKind::Vmx, "cfgFile"),
        (&value.nvram_file, NameKind::Nvram, "nvramFile"),
        (&value.extended_config_file, NameKind::Vmxf, "extendedConfigFile"),
    ];
    for (block, kind, name) in spares {
        let Some(block) = block else { continue };
        let bytes = match kind {
            NameKind::Nvram => block.read(source, vmsn::MAX_SPARE_BYTES),
            _ => value.read_text(source, block),
        };
        // What cannot be had was told by the walk of its tags.
        let Ok(bytes) = bytes else { continue };
        let mut judged = judge_bytes(&bytes, &SmallContext { kind, ..context.clone() });
        if matches!(judged.state, SmallState::Damaged | SmallState::Encrypted) {
            judged.reason = format!("its copy {name}: {}", judged.reason);
            return judged;
        }
    }
    whole
}
