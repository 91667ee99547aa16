//! The descriptor of a bare extent, found by its name.

use std::{os::unix::ffi::OsStrExt as _, sync::Arc};

use vmglean_formats::{ByteOffset, vmdk::descriptor::looks_like_descriptor};

use super::{companions::Candidate, open::Opener, tell::name};
use crate::source::Source;

impl Opener {
    /// The descriptor file that names the bare extent `candidate`, found by its name. The
    /// descriptor of `x-flat.vmdk`, `x-delta.vmdk`, `x-s001.vmdk` is `x.vmdk`.
    pub(super) fn descriptor_of(
        &mut self,
        candidate: &Candidate,
        source: &dyn Source,
    ) -> Option<(Candidate, Arc<dyn Source>)> {
        let head = source.read_up_to(ByteOffset(0), 4096).ok()?;
        if looks_like_descriptor(&head) || self.descriptor(source).is_some() {
            return None;
        }
        let own = candidate.path.file_name().as_bytes();
        let wanted = described_as(own)?;
        for found in self.companions.find(&candidate.path.folder(), &wanted).into_iter().take(16) {
            let Ok(opened) = self.companions.open(&found) else { continue };
            let Some(descriptor) = self.descriptor(&*opened) else { continue };
            let names_it =
                descriptor.extents.iter().filter_map(|line| line.name.as_deref()).any(|name| {
                    let base = crate::source::base_name(name.as_bytes());
                    own.get(..base.len()).is_some_and(|head| head.eq_ignore_ascii_case(base))
                });
            if names_it {
                let what = format!("is an extent of {}, which is read", name(&found.path));
                self.told.note("chain.descriptor-used", &candidate.path, what);
                return Some((found, opened));
            }
        }
        None
    }
}

/// The name of the descriptor that an extent of this name belongs to.
fn described_as(extent: &[u8]) -> Option<Vec<u8>> {
    let lower = extent.to_ascii_lowercase();
    let stem_end = lower.windows(5).position(|part| part == b".vmdk")?;
    let stem = extent.get(..stem_end)?;
    let dash = stem.iter().rposition(|byte| *byte == b'-')?;
    let word = lower.get(dash + 1..stem_end)?;
    let numbered = matches!(word, [b's' | b'f', digits @ ..]
        if digits.len() >= 3 && digits.iter().all(u8::is_ascii_digit));
    let known = matches!(word, b"flat" | b"delta" | b"sesparse" | b"rdm" | b"rdmp");
    (numbered || known).then(|| [stem.get(..dash).unwrap_or_default(), b".vmdk"].concat())
}
