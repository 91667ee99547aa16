//! One file judged: record, extents, content, and the word that follows.

use std::ops::Range;

use vmglean_formats::{
    ByteOffset, ReadAt as _,
    ntfs::{FileRecord, ReparseKind, filetime_to_unix_ns, kinds, reparse_kind},
};

use super::{
    Content, Extents, GuestFile, RecordFact, Verdict,
    stream::{Frame, Stream, StreamReader},
};
use crate::guest::{Ground, content};

/// A file and what its bytes are read by.
pub(super) type Judged = (GuestFile, Option<Stream>);

/// Reasons listed for one file.
const MOST_REASONS: usize = 16;
/// A file may be this many times as large as its disk, being mostly holes.
const LARGEST_TIMES_DISK: u64 = 64;

/// Which clusters are in use.
#[derive(Debug)]
pub(super) struct Bitmap {
    bits: Vec<u8>,
    holes: Vec<Range<u64>>,
}

/// What the bitmap says of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// All in use.
    Used,
    /// None in use.
    Free,
    /// Some of each.
    Mixed,
    /// Its bytes are lost there.
    Unknown,
}

impl Bitmap {
    /// A bitmap of a volume up to 8 TiB at 4 KiB a cluster.
    pub(super) fn load(ground: &Ground<'_>, stream: &Stream) -> Option<Self> {
        const LONGEST: u64 = 256 << 20;
        if stream.size > LONGEST {
            return None;
        }
        let (_, holes) = stream.against(ground);
        let mut bits = vec![0; usize::try_from(stream.size).ok()?];
        StreamReader::new(ground, stream).read_exact_at(&mut bits, ByteOffset(0)).ok()?;
        Some(Self { bits, holes: holes.into_iter().map(|(range, _)| range).collect() })
    }

    pub(super) fn asks(&self, first: u64, clusters: u64) -> Use {
        let end = first.saturating_add(clusters);
        if end.div_ceil(8) > self.bits.len() as u64 {
            return Use::Unknown;
        }
        let bytes = first / 8..end.div_ceil(8);
        if self.holes.iter().any(|hole| hole.start < bytes.end && bytes.start < hole.end) {
            return Use::Unknown;
        }
        let (mut used, mut free) = (false, false);
        let mut at = first;
        while at < end && !(used && free) {
            let byte = usize::try_from(at / 8).ok().and_then(|n| self.bits.get(n)).copied();
            let byte = byte.unwrap_or(0);
            if at.is_multiple_of(8) && at + 8 <= end {
                used |= byte != 0;
                free |= byte != 0xFF;
                at += 8;
            } else {
                let bit = byte >> (at % 8) & 1 == 1;
                used |= bit;
                free |= !bit;
                at += 1;
            }
        }
        match (used, free) {
            (true, false) => Use::Used,
            (false, true) => Use::Free,
            (false, false) => Use::Unknown,
            (true, true) => Use::Mixed,
        }
    }
}

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

/// Holds a stream against map and bitmap.
fn against(ground: &Ground<'_>, bitmap: Option<&Bitmap>, stream: &Stream, file: &mut GuestFile) {
    file.size = stream.size;
    file.doubts.extend(stream.defects.iter().cloned());
    if stream.size > ground.size().saturating_mul(LARGEST_TIMES_DISK) {
        file.doubts.push(format!("{} bytes are past belief on this disk", stream.size));
    }
    (file.tally, file.holes) = stream.against(ground);
    file.places = stream.places();
    let tally = file.tally;
    file.extents = if stream.resident.is_some() || stream.size == 0 {
        Extents::Resident
    } else if tally.bad() == 0 {
        if stream.defects.is_empty() { Extents::Intact } else { Extents::Unknown }
    } else if tally.encrypted.saturating_add(tally.gone) >= stream.size {
        Extents::Encrypted
    } else if tally.encrypted == 0 && tally.gone == 0 {
        Extents::Unknown
    } else {
        Extents::Partial
    };
    if stream.flags & 0x4000 != 0 {
        file.is_withheld = true;
        file.notes.push("encrypted by its owner (EFS)".to_owned());
    }
    if file.extents == Extents::Unknown && tally.undetermined > 0 {
        file.notes.push(format!("the map cannot tell {} bytes of it", tally.undetermined));
    }
    let Some(bitmap) = bitmap else {
        if file.is_deleted && stream.has_clusters() {
            file.doubts
                .push("deleted, and whether its clusters were used again is lost".to_owned());
        }
        return;
    };
    for (first, clusters) in stream.clusters() {
        let used = bitmap.asks(first, clusters);
        if file.is_deleted && used != Use::Free {
            file.doubts.push("deleted, and its clusters may be in use again".to_owned());
            break;
        }
        if !file.is_deleted && matches!(used, Use::Free | Use::Mixed) {
            file.doubts.push("the volume's bitmap calls clusters of it free".to_owned());
            break;
        }
    }
}

/// Tests content whose bytes are there.
fn tested(ground: &Ground<'_>, stream: &Stream, file: &mut GuestFile) {
    let whole = matches!(file.extents, Extents::Intact | Extents::Resident);
    let perhaps = file.extents == Extents::Unknown && file.tally.encrypted == 0;
    if !(whole || perhaps) || stream.size > ground.size() {
        file.kind = kind_by_name(&file.path, false);
        return;
    }
    let reader = StreamReader::new(ground, stream);
    let told = content::test(&reader, &file.path);
    file.kind = told.kind.to_owned();
    file.content = told.content;
    if !told.detail.is_empty() {
        file.notes.push(told.detail);
    }
    if told.is_unreadable {
        file.extents = Extents::Unknown;
        file.notes.push("its bytes could not be read".to_owned());
    }
}

/// The word that follows from the facts.
fn settle(file: &mut GuestFile) {
    use ReparseKind::{Deduplicated, Offline, SystemCompressed};
    file.record = if file.doubts.is_empty() { RecordFact::Ok } else { RecordFact::Damaged };
    let stub = matches!(file.reparse, Some(Deduplicated | SystemCompressed | Offline));
    if stub && !file.path.contains(&b':') && !file.is_folder {
        file.is_withheld = true;
        file.extents = Extents::Unknown;
        file.notes.push("its content lies elsewhere; this is only a stub".to_owned());
    }
    let is_sure = file.record == RecordFact::Ok && !file.is_withheld;
    file.verdict = match (file.extents, file.content) {
        (Extents::Partial, _) => Verdict::Partial,
        (Extents::Encrypted, _) => Verdict::Encrypted,
        _ if !is_sure => Verdict::Undetermined,
        (Extents::Intact | Extents::Resident | Extents::Unknown, Content::Proven) => {
            Verdict::Proven
        }
        (Extents::Intact | Extents::Resident, Content::Contradicted) => Verdict::Contradicted,
        (Extents::Intact | Extents::Resident, Content::Consistent | Content::Untested)
            if !file.is_deleted =>
        {
            Verdict::Intact
        }
        _ => Verdict::Undetermined,
    };
    file.doubts.truncate(MOST_REASONS);
    file.notes.truncate(MOST_REASONS);
}

/// A kind by the name's end, where the content says nothing.
pub(super) fn kind_by_name(path: &[u8], is_folder: bool) -> String {
    if is_folder { "folder".to_owned() } else { content::kind_by_name(path).to_owned() }
}
