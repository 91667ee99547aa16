//! Memory images beside their state files, named as memory forensics wants them.
//!
//! volatility3 reads `NAME.vmem` and finds its layout in `NAME.vmss` or `NAME.vmsn` beside it, of
//! the same stem; it does not read memory embedded in a checkpoint.

use serde::Serialize;
use vmglean_formats::vmsn::MemoryImage;

use super::{
    config::{Gathered, Opener},
    names::safe_bytes,
    plan::{MachinePlan, Origin, PlannedContent, PlannedFile, SalvageOptions, has_memory},
};
use crate::{catalog::FileId, families::NameKind, finding::Weight, source::RecordPath};

/// A memory image with its state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryPair {
    /// The `.vmsn` or `.vmss`.
    pub state_file: RecordPath,
    /// The `.vmem`; the state file itself where the memory lies inside it.
    pub image: RecordPath,
    /// First byte of the memory in `image`.
    pub offset_bytes: u64,
    /// How many bytes.
    pub length_bytes: u64,
    /// What the image is called in the folder, or would be.
    pub name: String,
    /// Whether it is carried over.
    pub carried: bool,
}

/// Finds the pairs, and carries them over where asked.
pub(super) fn plan(
    opener: &Opener<'_>,
    found: &Gathered,
    options: SalvageOptions,
    plan: &mut MachinePlan,
) {
    for (id, checkpoint) in &found.checkpoints {
        if !has_memory(&checkpoint.memory) {
            continue;
        }
        let file = opener.file(*id);
        let state_name = safe_bytes(file.stem());
        let stem = state_name.rsplit_once('.').map_or(state_name.as_str(), |(stem, _)| stem);
        let image_name = format!("memory/{stem}.vmem");
        let state_file = RecordPath::from(file.shown.clone());
        let (image, at, length) = match &checkpoint.memory {
            MemoryImage::None => continue,
            MemoryImage::Inline { block, .. } => {
                if block.compressed || block.at.0.saturating_add(block.stored.0) > file.size_bytes {
                    let what = format!("{}: its memory is cut or compressed", file.shown.display());
                    plan.tell("memory.damaged", Weight::Damage, what, None);
                    continue;
                }
                (*id, block.at.0, block.stored.0)
            }
            MemoryImage::Sibling { expected_length, .. } => {
                let Some(image) = sibling(opener, *id) else {
                    let what = format!("{}: its .vmem is not there", file.shown.display());
                    let next = Some("look for it beside its snapshot on every datastore");
                    plan.tell("memory.missing", Weight::Damage, what, next);
                    continue;
                };
                let there = opener.file(image).size_bytes;
                let length = expected_length.map_or(there, |length| length.0.min(there));
                if expected_length.is_some_and(|length| length.0 > there) {
                    let what = format!(
                        "{}: shorter than its state file says",
                        opener.file(image).shown.display()
                    );
                    plan.tell("memory.short", Weight::Damage, what, None);
                }
                (image, 0, length)
            }
        };
        let carried = options.memory && !options.config_only;
        if carried {
            let part =
                |file, at, length| PlannedContent::Part { file, at, length, state: "undetermined" };
            let why = "guest memory for forensics; not needed to start the machine";
            let origin = if image == *id { Origin::Extracted } else { Origin::Copied };
            let whole = opener.file(*id).size_bytes;
            for (name, origin, content) in [
                (image_name.clone(), origin, part(image, at, length)),
                (format!("memory/{state_name}"), Origin::Copied, part(*id, 0, whole)),
            ] {
                if !plan.files.iter().any(|planned| planned.name == name) {
                    plan.files.push(PlannedFile { name, origin, why: why.to_owned(), content });
                }
            }
        }
        plan.memory.push(MemoryPair {
            state_file,
            image: RecordPath::from(opener.file(image).shown.clone()),
            offset_bytes: at,
            length_bytes: length,
            name: image_name,
            carried,
        });
    }
}

/// The `.vmem` of the same stem in the same folder.
fn sibling(opener: &Opener<'_>, id: FileId) -> Option<FileId> {
    let file = opener.file(id);
    let stem = file.stem();
    let dot = stem.iter().rposition(|byte| *byte == b'.')?;
    let wanted = [stem.get(..dot)?, b".vmem"].concat();
    opener.index.iter().find_map(|(other, candidate)| {
        (candidate.name.kind == NameKind::Vmem
            && candidate.root == file.root
            && candidate.folder() == file.folder()
            && candidate.stem().eq_ignore_ascii_case(&wanted))
        .then_some(other)
    })
}
