//! Recorded damage maps for a chain: each of the whole disk, or of one of its files.

use std::path::PathBuf;

use super::{
    Refusal, Usage,
    recorded::{Recorded, stem},
};
use crate::{
    chain::{GivenMap, Opened},
    families::Families,
    source::RelPath,
};

/// The recorded maps that were named, each found to be of this disk or of one of its files.
pub(super) fn given(
    paths: &[PathBuf],
    opened: &Opened,
    at: usize,
    families: &Families,
) -> anyhow::Result<Vec<GivenMap>> {
    let Some(disk) = opened.chain.disk().at_link(at) else { return Ok(Vec::new()) };
    let mut all: Vec<GivenMap> = Vec::new();
    for path in paths {
        let recorded = Recorded::read(path)?;
        let file = match recorded.only_file() {
            Some(name) => file_of(opened, at, &name, recorded.size_bytes(), families),
            None => None,
        };
        if file.is_none() {
            recorded.check(&disk, families)?;
            // A plain file's map that is no file of the chain by its length.
            if recorded.size_bytes() != disk.capacity_bytes() {
                let text = format!(
                    "{} covers {} bytes, and no file of the chain has as many: it is the map of \
                     another disk",
                    path.display(),
                    recorded.size_bytes()
                );
                return Err(Refusal::Rule(text).into());
            }
        }
        let name = path.display().to_string();
        if let Some(other) = all.iter().find(|one| one.file == file || one.file.is_none()) {
            let of = match &file {
                Some(file) => file.as_path().display().to_string(),
                None => "the whole disk".to_owned(),
            };
            let text = format!("{name} is a map of {of}, and so is {}: give one", other.name);
            return Err(Usage(text).into());
        }
        let sha256 = recorded.sha256.clone();
        all.push(GivenMap { file, name, sha256, map: recorded.damage_map() });
    }
    if all.len() > 1
        && let Some(one) = all.iter().find(|one| one.file.is_none())
    {
        return Err(Usage(format!("{} is a map of the whole disk: give it alone", one.name)).into());
    }
    Ok(all)
}

/// The file of the chain from link `at` on that has this name and length.
fn file_of(
    opened: &Opened,
    at: usize,
    name: &str,
    size_bytes: u64,
    families: &Families,
) -> Option<RelPath> {
    let wanted = stem(name, families);
    let extents = opened.chain.links.iter().skip(at).flat_map(|link| &link.extents);
    let mut fits = extents.filter_map(|extent| extent.path.as_ref()).filter(|path| {
        let own = path.file_name().to_string_lossy();
        let length = || opened.root.open_file(path).ok().map(|file| file.stamp().len_bytes);
        stem(&own, families) == wanted && length() == Some(size_bytes)
    });
    fits.next().cloned()
}
