//! Which files of a guest are asked for.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::Usage;
use crate::{guest::GuestFile, report::files::FileLine};

/// Which files.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Which {
    /// Paths inside the volume, with * ? [] {} and ** over folders; letter case does not count
    #[arg(value_name = "GLOB")]
    pub globs: Vec<String>,
    /// Only these verdicts: proven, intact, partial, encrypted, undetermined, contradicted, lost
    #[arg(long, value_name = "VERDICT", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Also files that were deleted before the attack
    #[arg(long)]
    pub deleted: bool,
    /// Also the file system's own files
    #[arg(long)]
    pub system: bool,
}

/// Which files, ready to be asked.
pub(super) struct Chosen {
    globs: Option<GlobSet>,
    pub(super) only: Vec<String>,
    deleted: bool,
    system: bool,
}

const VERDICTS: [&str; 7] =
    ["proven", "intact", "partial", "encrypted", "undetermined", "contradicted", "lost"];

impl Which {
    pub(super) fn ready(&self) -> anyhow::Result<Chosen> {
        let mut builder = GlobSetBuilder::new();
        for glob in &self.globs {
            let made = GlobBuilder::new(glob.trim_start_matches('/'))
                .case_insensitive(true)
                .literal_separator(true)
                .build()
                .map_err(|error| Usage(format!("{glob:?} is no pattern: {error}")))?;
            builder.add(made);
        }
        for word in &self.only {
            if !VERDICTS.contains(&word.as_str()) {
                return Err(
                    Usage(format!("--only {word:?}: one of {}", VERDICTS.join(", "))).into()
                );
            }
        }
        let globs = if self.globs.is_empty() { None } else { Some(builder.build()?) };
        Ok(Chosen { globs, only: self.only.clone(), deleted: self.deleted, system: self.system })
    }
}

impl Chosen {
    pub(super) fn takes(&self, file: &GuestFile, line: &FileLine) -> bool {
        let named = self.globs.as_ref().is_none_or(|globs| {
            globs.is_match(line.path.as_path())
                || line.links.iter().any(|link| globs.is_match(link.as_path()))
        });
        named
            && (self.only.is_empty() || self.only.contains(&line.verdict))
            && (self.deleted || !file.is_deleted)
            && (self.system || !file.is_system)
    }
}
