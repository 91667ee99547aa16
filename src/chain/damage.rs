//! Damage maps of the files that samples speak against.

use std::io;

use super::{Opened, Suspect};
use crate::{
    consolidate::Damage,
    disk::FileId,
    families::{Families, split_suffix},
    report::chain::LinkState,
    triage::{
        footer::{FooterQuestion, read_footer},
        judge::{DamageMap, Facts, JudgeOptions, Survey, judge},
        pass::{Cancel, PassOptions, Stretch, run_pass},
        pattern::{as_rule, library},
    },
    ui::Progress,
};

/// What is known of the chain from link `at` on: what it tells of itself, and a damage map of
/// every suspect. Reads each suspect whole.
#[must_use]
pub fn damage(
    opened: &Opened,
    at: usize,
    suspects: &[Suspect],
    families: &Families,
    cancel: &Cancel,
    progress: &Progress,
) -> Damage {
    let mut damage = Damage::of(&opened.chain, at);
    for suspect in suspects {
        // Where samples could not tell, nothing is filled: what is copied stays undetermined.
        if !matches!(suspect.state, LinkState::Encrypted | LinkState::PartlyEncrypted) {
            continue;
        }
        let name = suspect.path.as_path().display().to_string();
        let files = (0_u32..).zip(opened.chain.disk().files());
        let Some((id, file)) = files.into_iter().find(|(_, file)| file.name == name) else {
            continue;
        };
        if let Some(map) = map(opened, suspect, &*file.source, families, cancel, progress) {
            damage.add(FileId(id), map);
        }
    }
    damage
}

fn map(
    opened: &Opened,
    suspect: &Suspect,
    source: &dyn crate::source::Source,
    families: &Families,
    cancel: &Cancel,
    progress: &Progress,
) -> Option<DamageMap> {
    let name = split_suffix(suspect.path.file_name().as_encoded_bytes(), families);
    let named = name.suffixes.iter().flat_map(|suffix| suffix.families.iter());
    let question = FooterQuestion {
        whole_sectors: true,
        expected_bytes: None,
        named: named.map(|family| family.family.clone()).collect(),
    };
    // The source of the chain ends where the disk ends; the footer stands behind that.
    let whole = opened.root.open_file(&suspect.path).ok()?;
    let footer = read_footer(&whole, &question, families).ok()?;
    let mut survey = Survey::new();
    let mut sink = |stretch: &Stretch| -> io::Result<()> {
        survey.take(stretch);
        progress.add(stretch.length_bytes());
        Ok(())
    };
    let pass = run_pass(source, &PassOptions::default(), &mut sink, cancel).ok()?;
    if pass.stopped.is_some() {
        return None;
    }
    survey.finish();
    let stated = footer.layers.iter().filter_map(|layer| layer.prediction.as_ref());
    let original = footer.original_size_bytes;
    let facts = Facts {
        path: suspect.path.as_path().display().to_string(),
        attacked: Some(suspect.reason.clone()),
        library: library(families, original)
            .into_iter()
            .chain(stated.filter_map(as_rule))
            .collect(),
        is_disk: true,
        footer: footer.evidence.clone(),
        ..Facts::default()
    };
    // Only what is proven is called intact.
    Some(judge(source, survey, &facts, JudgeOptions { strict: true }))
}
