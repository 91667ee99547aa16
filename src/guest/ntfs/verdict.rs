//! One file judged: its streams, and the word that follows.

use vmglean_formats::ntfs::{FileRecord, ReparseKind, filetime_to_unix_ns, kinds, reparse_kind};

use super::assemble::Frame;
use crate::guest::{
    Extents, Ground, GuestFile, Stream,
    judge::{Bitmap, Judged, against, kind_by_name, settle, tested},
};

/// Judges all streams of a file. `head` carries what is known before: names, and reasons
/// against the record.
pub(super) fn judge(
    ground: &Ground<'_>,
    bitmap: Option<&Bitmap>,
    frame: Frame,
    records: &[FileRecord],
    mut head: GuestFile,
    test: bool,
) -> Vec<Judged> {
    head.times = times(records);
    let reparse = records.iter().find_map(|record| {
        let attribute = record.of_kind(kinds::REPARSE_POINT).next()?;
        // One outside the record is long, and its tag is somewhere in clusters.
        Some(record.value(attribute).and_then(reparse_kind).unwrap_or(ReparseKind::Other(0)))
    });
    head.reparse = reparse;
    let mut all = Vec::new();
    if head.is_folder {
        let mut folder = head.clone();
        folder.kind = "folder".to_owned();
        folder.extents = Extents::Resident;
        settle(&mut folder);
        all.push((folder, None));
    }
    for name in Stream::names(records) {
        let Some(stream) = Stream::assemble(records, kinds::DATA, &name, frame) else { continue };
        let mut file = head.clone();
        if !name.is_empty() {
            file.path.push(b':');
            file.path.extend_from_slice(&name);
            file.links.clear();
            file.is_folder = false;
        } else if head.is_folder {
            continue;
        }
        against(ground, bitmap, &stream, &mut file);
        if test && !file.is_system {
            tested(ground, &stream, &mut file);
        }
        settle(&mut file);
        all.push((file, Some(stream)));
    }
    if all.is_empty() {
        let mut file = head;
        if file.is_system && file.doubts.is_empty() {
            file.extents = Extents::Resident;
        } else if file.reparse.is_none() {
            file.doubts.push("no content of it is described".to_owned());
        }
        file.kind = kind_by_name(&file.path, false);
        settle(&mut file);
        all.push((file, None));
    }
    all
}

fn times(records: &[FileRecord]) -> [Option<i128>; 4] {
    let value = records
        .iter()
        .find_map(|record| record.value(record.of_kind(kinds::STANDARD_INFORMATION).next()?));
    let Some((words, _)) = value.map(|value| value.as_chunks::<8>()) else { return [None; 4] };
    let mut times = [None; 4];
    for (time, word) in times.iter_mut().zip(words) {
        *time = filetime_to_unix_ns(u64::from_le_bytes(*word));
    }
    times
}
