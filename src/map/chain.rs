//! A whole chain mapped: its files one by one, then laid over the virtual disk.

use crate::{
    disk::{Chain, ExtentBody, VirtualDisk},
    families::{Families, split_suffix},
    triage::{
        footer::FooterQuestion,
        judge::JudgeOptions,
        pass::{Cancel, PassError, PassOptions},
    },
};

use super::{DiskMap, FileMap, MapOptions, map_source};

/// Reads all files of `chain` once and judges its disk, exactly as `vmglean map` does; `None`
/// where it was stopped. `told` hears of each stretch's length as it is done.
///
/// # Errors
/// [`PassError`]. A source that fails becomes unreadable runs.
pub fn map_chain(
    chain: Chain,
    families: &Families,
    pass: &PassOptions,
    judge: JudgeOptions,
    cancel: &Cancel,
    told: &mut dyn FnMut(u64),
) -> Result<Option<DiskMap>, PassError> {
    let doubt = doubt(&chain);
    let findings = chain.findings.clone();
    let disk = chain.into_disk();
    let mut files = Vec::new();
    for (number, file) in disk.files().iter().enumerate() {
        let options = MapOptions {
            name: file.name.clone(),
            pass: pass.clone(),
            judge,
            is_disk: true,
            attacked: None,
            footer: FooterQuestion {
                whole_sectors: file.name.to_ascii_lowercase().contains("vmdk"),
                expected_bytes: flat_length(&disk, number),
                named: named_after(&file.name, families),
            },
        };
        let mapped = map_source(&file.source, &options, families, None, cancel, &mut *told)?;
        if mapped.pass.stopped.is_some() {
            return Ok(None);
        }
        files.push(FileMap { name: file.name.clone(), mapped });
    }
    let mut map = DiskMap::over(&disk, files, doubt.as_ref());
    map.findings.splice(0..0, findings);
    Ok(Some(map))
}

/// Families that the endings of a file's name belong to.
#[must_use]
pub fn named_after(name: &str, families: &Families) -> Vec<String> {
    let parts = split_suffix(name.as_bytes(), families);
    let suffixes = parts.suffixes.iter();
    suffixes.flat_map(|suffix| suffix.families.iter().map(|known| known.family.clone())).collect()
}

/// How long a flat file must be by the word of its descriptor; `None` where it is no flat
/// file, or as long as that.
#[must_use]
pub fn flat_length(disk: &VirtualDisk, number: usize) -> Option<u64> {
    let ends = disk.links().iter().flat_map(|link| &link.extents).filter_map(|extent| match extent
        .body
    {
        ExtentBody::Flat { file, at } if file.0 as usize == number => at.checked_add(extent.length),
        _ => None,
    });
    // A file that is only itself states no length.
    let length = ends.max()?;
    disk.files().get(number).filter(|file| file.source.len_bytes() != length).map(|_| length)
}

/// A link whose tables are not all there, so that what it leaves open may have been written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Its number in the chain, 0 for the leaf: what is read through it counts for nothing.
    pub link: usize,
    /// Its file.
    pub path: String,
    /// Why, for a reader.
    pub what: String,
}

/// Why what the tables call zero or never written may yet have been written, if so.
#[must_use]
pub fn doubt(chain: &Chain) -> Option<Doubt> {
    chain.links.iter().enumerate().find_map(|(number, link)| {
        let path = link.path.as_path().display().to_string();
        let rebuilt = link.extents.iter().any(|extent| extent.rebuilt);
        let what = chain.disk().unnamed_grains(number).or_else(|| {
            rebuilt.then(|| "its header is lost; what seems never written may have been".to_owned())
        })?;
        Some(Doubt { link: number, path, what })
    })
}
