//! One file of a chain mapped as it lies on the medium, with what was appended to it.

use std::num::NonZeroUsize;

use crate::{
    disk::{ExtentBody, FileId, VirtualDisk},
    families::Families,
    source::SourceFile,
    triage::{
        footer::FooterQuestion,
        judge::{DamageMap, JudgeOptions},
        pass::{Cancel, PassError, PassOptions},
    },
};

use super::{MapOptions, map_source, named_after};

/// Maps the file `id` of `disk`, opened anew as `source`, exactly as `vmglean map` does; `None`
/// where it was stopped. `attacked` says what else speaks for a locker's work in it. `told` hears
/// of each stretch's length as it is done.
///
/// # Errors
/// [`PassError`]. A source that fails becomes unreadable runs.
pub fn map_file(
    source: &SourceFile,
    (disk, id): (&VirtualDisk, FileId),
    families: &Families,
    jobs: usize,
    attacked: Option<String>,
    cancel: &Cancel,
    told: &mut dyn FnMut(u64),
) -> Result<Option<DamageMap>, PassError> {
    let name = disk.file(id).map_or("", |file| file.name.as_str());
    let length = flat_length(disk, id);
    source.advise_sequential();
    let options = MapOptions {
        name: name.to_owned(),
        pass: PassOptions {
            jobs: NonZeroUsize::new(jobs).unwrap_or(NonZeroUsize::MIN),
            ..PassOptions::default()
        },
        judge: JudgeOptions::default(),
        footer: FooterQuestion {
            whole_sectors: name.to_ascii_lowercase().contains("vmdk"),
            expected_bytes: length.filter(|length| *length != source.stamp().len_bytes),
            named: named_after(name, families),
        },
        is_disk: true,
        attacked,
    };
    let mapped = map_source(source, &options, families, None, cancel, told)?;
    Ok(mapped.pass.stopped.is_none().then_some(mapped.map))
}

/// How long a flat file is by the word of the descriptors that name it.
fn flat_length(disk: &VirtualDisk, id: FileId) -> Option<u64> {
    let extents = disk.links().iter().flat_map(|link| &link.extents);
    let ends = extents.filter_map(|extent| match extent.body {
        ExtentBody::Flat { file, at } if file == id => at.checked_add(extent.length),
        _ => None,
    });
    ends.max()
}
