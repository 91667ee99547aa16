//! The files of a chain without what lockers appended to them.

use std::sync::Arc;

use super::{FooterQuestion, read_footer};
use crate::{
    disk::{Companions, FolderCompanions},
    families::{Families, split_suffix},
    source::EvidenceRoot,
};

/// Companions below `root`, each cut to its length before the attack where its footer proves one,
/// or where its name says that something was appended.
#[must_use]
pub fn footerless(root: &Arc<EvidenceRoot>, families: &Families) -> Arc<dyn Companions> {
    let names = families.clone();
    let companions =
        FolderCompanions::new(Arc::clone(root)).with_lengths(Box::new(move |path, source| {
            let name = split_suffix(path.file_name().as_encoded_bytes(), &names);
            let named = name.suffixes.iter().flat_map(|s| s.families.iter());
            let question = FooterQuestion {
                whole_sectors: false,
                expected_bytes: None,
                named: named.map(|family| family.family.clone()).collect(),
            };
            let reading = read_footer(source, &question, &names).ok()?;
            (reading.is_proven() || name.is_renamed()).then_some(reading.original_size_bytes)
        }));
    Arc::new(companions)
}
